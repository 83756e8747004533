"""Our reading of BER says what asn1crypto's says."""

import pytest
from asn1crypto import cms as asn1
from asn1crypto import core
from hypothesis import given
from hypothesis import strategies as st
from trust_samples import AT

from kepgw.errors import FormatError
from kepgw.evidence import bounds
from kepgw.trust import ber, cms, cmsreading

AT_MOST = 2**200


@given(st.integers(-AT_MOST, AT_MOST))
def test_numbers(value):
    octets = core.Integer(value).dump()
    assert ber.integer(octets, ber.whole(octets, ber.INTEGER)) == value


@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**64), max_size=5))
def test_identifiers(first, second, more):
    dotted = ".".join(map(str, (first, second, *more)))
    octets = core.ObjectIdentifier(dotted).dump()
    assert ber.identifier(octets, ber.whole(octets, ber.OID)) == dotted


@pytest.mark.parametrize("octets", [b"\x06\x00", b"\x06\x01\x81", b"\x06\x02\x2a\x81", b"\x02\x00", b"\x05\x00"])
def test_what_is_no_number_and_no_identifier(octets):
    one = ber.element(octets, 0, len(octets))
    with pytest.raises(FormatError):
        ber.identifier(octets, one)
    with pytest.raises(FormatError):
        ber.integer(octets, one)


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        (b"\x04\x03abc", b"abc"),
        (b"\x24\x08\x04\x01a\x04\x03bcd", b"abcd"),
        (b"\x24\x80\x04\x01a\x24\x05\x04\x03bcd\x00\x00", b"abcd"),
        (b"\x24\x80\x24\x80\x04\x01a\x00\x00\x04\x00\x00\x00", b"a"),
        (b"\x24\x00", b""),
    ],
)
def test_octet_strings_in_pieces(octets, value):
    bounds.check(octets)
    assert ber.octet_string(octets, ber.element(octets, 0, len(octets))) == value


@given(st.binary(max_size=40))
def test_any_octets_are_read_or_refused(octets):
    try:
        bounds.check(octets)
        outer = ber.element(octets, 0, len(octets))
        assert outer.after == len(octets)
        if outer.tag & 0x20:
            found = ber.inside(octets, outer)
            assert b"".join(ber.as_given(octets, each) for each in found) == ber.content(octets, outer)
    except FormatError:
        return


@pytest.mark.parametrize(
    ("kind", "signature"), [("p-256", "ecdsa-sha256"), ("rsa-2048", "rsa-sha512"), ("rsa-2048", "rsa-pss-sha256")]
)
def test_a_signature_reads_as_asn1crypto_reads_it(process_key, tsa, kind, signature):
    key = process_key(kind, signature)
    digest = bytes({"256": 32, "512": 64}[signature[-3:]])
    made = cms.sign_detached(digest, key, AT, tsa)
    for octets in (made, cmsreading.read(made).token):
        reading = cmsreading.read(octets)
        signed = asn1.ContentInfo.load(octets)["content"]
        info = signed["signer_infos"][0]
        attributes = {each["type"].native: each["values"][0] for each in info["signed_attrs"]}
        assert reading.certificates == tuple(each.chosen.dump() for each in signed["certificates"])
        assert reading.content_type == signed["encap_content_info"]["content_type"].dotted
        assert reading.content == (bytes(signed["encap_content_info"]["content"]) if octets != made else None)
        assert reading.message_digest == attributes["message_digest"].native
        assert reading.signing_time == attributes["signing_time"].native
        assert reading.signed_attributes == info["signed_attrs"].untag().dump()
        assert reading.signature == info["signature"].native
        named = attributes["signing_certificate_v2"]["certs"][0]
        assert reading.certificate_id.digest == named["cert_hash"].native
        assert reading.certificate_id.serial == named["issuer_serial"]["serial_number"].native
        if info["unsigned_attrs"].native:
            assert reading.token == info["unsigned_attrs"][0]["values"][0].dump()
