import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from asn1crypto import cms as asn1
from asn1crypto import core
from asn1crypto import x509 as asn1_x509
from pyhanko.sign.validation import KeyUsageConstraints
from pyhanko.sign.validation.generic_cms import async_validate_cms_signature
from pyhanko_certvalidator import ValidationContext

from kepgw.errors import ConfigurationError, FormatError, SignatureInvalid
from kepgw.trust import cms, der
from kepgw.trust.cmsreading import verify_reading
from kepgw.trust.paths import load_anchors
from kepgw.trust.stamping import verify_token

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONTENT = "Content-Type: text/plain\r\n\r\nİmzalı içerik.\r\n".encode()
DIGEST = hashlib.sha256(CONTENT).digest()
KINDS = [
    ("p-256", "ecdsa-sha256"),
    ("p-384", "ecdsa-sha256"),
    ("p-384", "ecdsa-sha384"),
    ("rsa-2048", "rsa-sha256"),
    ("rsa-2048", "rsa-sha512"),
    ("rsa-2048", "rsa-pss-sha256"),
]


def digest_for(signature):
    return hashlib.new(signature.rpartition("-")[2], CONTENT).digest()


@pytest.mark.oracle
@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize(("kind", "signature"), KINDS)
async def test_judged_by_openssl_and_pyhanko(pki, process_key, tsa, openssl, tmp_path, kind, signature, stamped):
    made = cms.sign_detached(digest_for(signature), process_key(kind, signature), AT, tsa if stamped else None)
    (tmp_path / "cms").write_bytes(made)
    (tmp_path / "content").write_bytes(CONTENT)

    def judged(content):
        return openssl(
            "cms", "-verify", "-cades", "-binary", "-crlfeol", "-inform", "DER", "-in", tmp_path / "cms",
            "-content", content, "-CAfile", pki(kind) / "root.pem", "-attime", int(AT.timestamp()), "-out", "/dev/null",
        )  # fmt: skip

    good = judged(tmp_path / "content")
    assert good.returncode == 0, good.stderr
    assert b"CAdES Verification successful" in good.stderr
    (tmp_path / "other").write_bytes(CONTENT.replace(b"\xc4\xb0", b"I"))
    assert judged(tmp_path / "other").returncode != 0

    roots = [asn1_x509.Certificate.load(load_anchors([pki(each) / "root.pem"])[0]) for each in {kind, "p-256"}]
    context = ValidationContext(trust_roots=roots, moment=AT, allow_fetching=False)
    signed_data = asn1.ContentInfo.load(made)["content"]
    status = await async_validate_cms_signature(
        signed_data, raw_digest=digest_for(signature), validation_context=context,
        key_usage_settings=KeyUsageConstraints(key_usage={"digital_signature"}),
    )  # fmt: skip
    assert (status.intact, status.valid, status.trusted) == (True, True, True)


@pytest.mark.parametrize(("kind", "signature"), KINDS)
def test_reads_its_own(process_key, kind, signature):
    key = process_key(kind, signature)
    reading = cms.verify(cms.sign_detached(digest_for(signature), key, AT), digest_for(signature))
    assert reading.signer == key.certificate
    assert set(reading.certificates) == {key.certificate, *key.chain}
    assert reading.signing_time == AT
    assert reading.algorithm == signature
    assert reading.token is None


@pytest.mark.oracle
def test_is_der_through_and_through(process_key, tsa, openssl):
    made = cms.sign_detached(DIGEST, process_key(), AT, tsa)
    assert openssl("cms", "-cmsout", "-inform", "DER", "-outform", "DER", octets=made).stdout == made


def test_the_stamp_is_over_the_signature_value(process_key, tsa, anchors):
    reading = cms.read(cms.sign_detached(DIGEST, process_key(), AT, tsa))
    assert verify_token(reading.token, hashlib.sha256(reading.signature).digest(), anchors).time == AT


def test_after_2049_the_time_is_generalized(process_key):
    late = datetime(2051, 1, 1, tzinfo=UTC)
    assert cms.read(cms.sign_detached(DIGEST, process_key(), late)).signing_time == late


def test_digest_of_another_length(process_key):
    with pytest.raises(ConfigurationError, match="sha256"):
        cms.sign_detached(hashlib.sha1(CONTENT).digest(), process_key(), AT)


def test_other_content(process_key):
    made = cms.sign_detached(DIGEST, process_key(), AT)
    with pytest.raises(SignatureInvalid, match="digest differs") as caught:
        cms.verify(made, hashlib.sha256(b"x").digest())
    assert caught.value.check == "envelope-signature"
    with pytest.raises(SignatureInvalid, match="no sha256 digest"):
        cms.verify(made, {"sha512": hashlib.sha512(CONTENT).digest()})


def test_every_altered_octet_is_noticed(process_key):
    """Each octet is spoilt in turn; what survives is outside the signature and does not change its meaning."""
    key = process_key()
    made = cms.sign_detached(DIGEST, key, AT)
    good = cms.verify(made, DIGEST)
    protected = (good.signer, good.signing_time, good.algorithm, good.message_digest, good.signed_attributes)
    noticed = 0
    for place in range(len(made)):
        spoilt = made[:place] + bytes([made[place] ^ 0x01]) + made[place + 1 :]
        try:
            reading = cms.verify(spoilt, DIGEST)
        except SignatureInvalid:
            noticed += 1
            continue
        assert protected == (
            reading.signer, reading.signing_time, reading.algorithm, reading.message_digest, reading.signed_attributes
        )  # fmt: skip
    outside = sum(map(len, key.chain)) + 40  # intermediates travel unsigned; version numbers and the digest set
    assert noticed >= len(made) - outside


def changed(made, change):
    info = asn1.ContentInfo.load(made)
    change(info["content"])
    return info.dump(force=True)


def test_a_salt_that_no_key_has_room_for(process_key):
    reading = cms.read(cms.sign_detached(DIGEST, process_key("rsa-2048", "rsa-pss-sha256"), AT))
    verify_reading(reading, DIGEST, "x")
    with pytest.raises(SignatureInvalid):
        verify_reading(replace(reading, salt=512), DIGEST, "x")


def test_two_signers(process_key):
    def double(signed):
        signed["signer_infos"] = [signed["signer_infos"][0], signed["signer_infos"][0].copy()]

    with pytest.raises(SignatureInvalid, match="2 signers"):
        cms.verify(changed(cms.sign_detached(DIGEST, process_key(), AT), double), DIGEST)


def test_signer_certificate_missing(process_key):
    def drop(signed):
        signed["certificates"] = []

    with pytest.raises(SignatureInvalid, match="does not travel"):
        cms.verify(changed(cms.sign_detached(DIGEST, process_key(), AT), drop), DIGEST)


def test_content_inside_is_refused(process_key):
    made = cms.envelop("1.2.840.113549.1.7.1", CONTENT, DIGEST, process_key(), AT)
    with pytest.raises(SignatureInvalid, match="content of its own"):
        cms.verify(made, DIGEST)


def test_other_content_type_is_refused(process_key):
    made = cms.envelop("1.2.840.113549.1.9.16.1.4", None, DIGEST, process_key(), AT)
    with pytest.raises(SignatureInvalid, match="type"):
        cms.verify(made, DIGEST)


def test_attributes_that_must_stand(process_key, monkeypatch):
    key = process_key()
    full = cms._static(key.certificate, key.chain, key.algorithm)

    def without(attributes):
        monkeypatch.setattr(cms, "_static", lambda *_: full._replace(attributes=attributes))
        return cms.sign_detached(DIGEST, key, AT)

    protection, named = full.attributes
    assert cms.verify(without((named,)), DIGEST)  # protection may be missing (RFC 6211)
    with pytest.raises(SignatureInvalid, match="no signing-certificate"):
        cms.verify(without((protection,)), DIGEST)
    with pytest.raises(SignatureInvalid, match="stands twice"):
        cms.verify(without((protection, named, named)), DIGEST)
    wrong = der.sequence(der.sequence(der.sequence(der.octet_string(hashlib.sha256(b"other").digest()))))
    with pytest.raises(SignatureInvalid, match="another certificate"):
        cms.verify(without((protection, der.attribute("1.2.840.113549.1.9.16.2.47", wrong))), DIGEST)
    version_1 = der.sequence(der.sequence(der.sequence(der.octet_string(hashlib.sha1(key.certificate).digest()))))
    with pytest.raises(SignatureInvalid, match="SHA-1 only"):
        cms.verify(without((protection, der.attribute("1.2.840.113549.1.9.16.2.12", version_1))), DIGEST)
    other = der.sequence(der.sequence(der.oid("2.16.840.1.101.3.4.2.3"), der.NULL), b"\xa1" + full.algorithm[1:])
    with pytest.raises(SignatureInvalid, match="protected"):
        cms.verify(without((der.attribute("1.2.840.113549.1.9.52", other), named)), DIGEST)


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_weak_digests_are_refused(pki, openssl, tmp_path, digest):
    """A CAdES signature by openssl itself, right in all but its digest."""
    (tmp_path / "content").write_bytes(CONTENT)
    keys = pki("rsa-2048")
    made = openssl(
        "cms", "-sign", "-cades", "-binary", "-md", digest, "-in", tmp_path / "content", "-outform", "DER",
        "-signer", keys / "process.pem", "-inkey", keys / "process.key",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    with pytest.raises(SignatureInvalid, match="refused"):
        cms.verify(made.stdout, {"sha1": hashlib.sha1(CONTENT).digest(), "sha256": DIGEST})


@pytest.mark.oracle
@pytest.mark.parametrize("options", [[], ["-keyid"]])
def test_reads_what_openssl_signs(pki, openssl, tmp_path, options):
    (tmp_path / "content").write_bytes(CONTENT)
    keys = pki("rsa-2048")
    made = openssl(
        "cms", "-sign", "-cades", "-binary", "-md", "sha256", "-in", tmp_path / "content", "-outform", "DER",
        "-signer", keys / "process.pem", "-inkey", keys / "process.key", *options,
    )  # fmt: skip
    assert cms.verify(made.stdout, DIGEST).algorithm == "rsa-sha256"


def indefinite(octets, depth):
    """The same BER with indefinite lengths in its outer levels, as Java's signers write it (X.690 8.1.3.6)."""
    out = b""
    while octets:
        size, begin = octets[1], 2
        if size & 0x80:
            begin += size & 0x7F
            size = int.from_bytes(octets[2:begin], "big")
        end = begin + size
        if octets[0] & 0x20 and depth:
            out += octets[:1] + b"\x80" + indefinite(octets[begin:end], depth - 1) + b"\0\0"
        else:
            out += octets[:end]
        octets = octets[end:]
    return out


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_reads_indefinite_lengths(process_key, depth):
    made = cms.sign_detached(DIGEST, process_key(), AT)
    assert cms.verify(indefinite(made, depth), DIGEST).signer == process_key().certificate


@pytest.mark.parametrize(
    "octets",
    [b"", b"\x30\x80", b"0" * 100, b"\x30\x84\xff\xff\xff\xff", b"\x30\x80" * 5000, core.Null().dump()],
    ids=["empty", "open", "text", "length", "nested", "null"],
)
def test_rubbish(octets):
    with pytest.raises(FormatError):
        cms.read(octets)
    with pytest.raises(SignatureInvalid):
        cms.verify(octets, DIGEST)


def test_too_large():
    with pytest.raises(FormatError, match="octets"):
        cms.read(bytes((1 << 20) + 1))
