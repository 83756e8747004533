"""Detached signatures beside their message: over the file, over the signed part, over what a client had signed."""

import base64
import hashlib

import pytest
from trust_samples import AT, ORIGINAL

from kepgw.errors import FormatError, Sub
from kepgw.trust import cms
from kepgw.trust.detached import is_signature, judge_detached
from kepgw.trust.trusted import Trusted


@pytest.fixture(scope="module")
def sign(process_key, tsa):
    def made(octets, stamped=True):
        return cms.sign_detached(hashlib.sha256(octets).digest(), process_key(), AT, tsa if stamped else None)

    return made


def told(branch):
    (check,) = [each for each in branch.checks() if each.name == "file-signature"]
    return check.told if check.verdict == "ok" else check.sub


def multipart(part, signature, protocol="application/x-pkcs7-signature", extra=b""):
    return (
        b'Subject: Deneme\r\nContent-Type: multipart/signed; protocol="' + protocol.encode() + b'"; micalg=sha256; '
        b"boundary=B\r\n\r\n" + extra + b"--B\r\n" + part + b"\r\n--B\r\n"
        b"Content-Type: application/pkcs7-signature; name=smime.p7s; smime-type=signed-data\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(signature).replace(b"\n", b"\r\n")
        + b"--B--\r\n"
    )


INNER = (
    b'Content-Type: multipart/mixed; boundary="I"\r\n\r\n--I\r\nContent-Type: text/plain\r\n\r\nMerhaba\r\n--I--\r\n'
)


def test_over_the_file(sign, anchors):
    signature = sign(ORIGINAL)
    branch = judge_detached(signature, ORIGINAL, Trusted(anchors))
    assert told(branch) == "whole-file"
    assert branch.status == "good"
    (inside,) = [each for each in branch.branches() if each.is_signature]
    assert inside.indication == "TOTAL-PASSED"
    assert told(judge_detached(signature, ORIGINAL.replace(b"\r\n", b"\n"), Trusted(anchors))) == "line-ends"


def test_as_pem_and_as_it_stands_in_a_mail(sign, anchors):
    signature = sign(ORIGINAL)
    folded = base64.encodebytes(signature)
    for octets in (
        folded,
        folded.replace(b"\n", b"\r\n"),
        b"-----BEGIN PKCS7-----\n" + folded + b"-----END PKCS7-----\n",
    ):
        assert is_signature(octets)
        assert told(judge_detached(octets, ORIGINAL, Trusted(anchors))) == "whole-file"


def test_the_part_of_a_multipart_saved_by_itself(sign, anchors):
    signature = sign(INNER)
    assert told(judge_detached(signature, multipart(INNER, signature), Trusted(anchors))) == "signed-part"


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        (INNER.replace(b"\r\n\r\n--I", b"\r\n\r\n\r\n--I", 1), INNER),  # the CRLF of the preamble
        (INNER, INNER + b"\r\n\r\n"),  # trimmed before it was signed
    ],
)
def test_as_turkish_clients_sign(sign, anchors, signed, sent):
    signature = sign(signed)
    assert told(judge_detached(signature, multipart(sent, signature), Trusted(anchors))) == "signed-part-altered"


def test_dots_that_were_stuffed_after_signing(sign, anchors):
    part = INNER.replace(b"Merhaba", b"Merhaba\r\n.nokta")
    signature = sign(part)
    stuffed = multipart(part.replace(b"\r\n.", b"\r\n.."), signature)
    assert told(judge_detached(signature, stuffed, Trusted(anchors))) == "signed-part-altered"


def test_the_original_inside_a_dispatch(sign, anchors, make):
    signature = sign(INNER)
    original = multipart(INNER, signature)
    assert told(judge_detached(signature, make(original), Trusted(anchors))) == "signed-part-of-original"
    assert told(judge_detached(sign(ORIGINAL), make(), Trusted(anchors))) == "original"


def test_the_envelope_of_a_dispatch_and_its_own_signature(make, anchors):
    from kepgw.message.envelope import open_envelope

    octets = make()
    branch = judge_detached(open_envelope(octets).signature, octets, Trusted(anchors))
    assert told(branch) == "signed-part"


def test_another_message(sign, anchors):
    branch = judge_detached(sign(ORIGINAL), ORIGINAL + b"x", Trusted(anchors))
    assert told(branch) is Sub.HASH_FAILURE
    assert branch.status == "bad"


def test_without_stamp_and_without_trust(sign):
    branch = judge_detached(sign(ORIGINAL, stamped=False), ORIGINAL, Trusted(), AT)
    assert branch.status == "indeterminate"
    said = {each.name: each.sub for each in branch.checks()}
    assert said["file-stamp"] is Sub.NO_POE
    assert said["file-chain"] is Sub.NO_CERTIFICATE_CHAIN_FOUND


def test_a_signature_around_its_own_content(process_key, anchors):
    made = cms.envelop("1.2.840.113549.1.7.1", b"x", hashlib.sha256(b"x").digest(), process_key(), AT)
    assert told(judge_detached(made, b"x", Trusted(anchors))) is Sub.SIGNED_DATA_NOT_FOUND


@pytest.mark.parametrize("octets", [b"", b"x", ORIGINAL, b"\x30\x80", b"AAAA" * 100, b"-----BEGIN PKCS7-----\n"])
def test_no_signature(octets, anchors):
    assert not is_signature(octets)
    with pytest.raises(FormatError):
        judge_detached(octets, ORIGINAL, Trusted(anchors))


def test_every_altered_octet_of_the_signature(sign, anchors):
    signature = sign(ORIGINAL, stamped=False)
    for at in range(0, len(signature), 11):
        spoilt = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
        try:
            branch = judge_detached(spoilt, ORIGINAL, Trusted(anchors), AT)
        except FormatError:
            continue
        assert branch.verdict in ("bad", "ok", "warning")


def test_authorities_of_senders_count_for_senders_only(sign, anchors, process_key):
    trusted = Trusted(sender_anchors=anchors)
    assert judge_detached(sign(ORIGINAL, stamped=False), ORIGINAL, trusted, AT).status == "good"
    signer = process_key()
    (check,) = trusted.chain("evidence", signer.certificate, signer.chain, AT, proved=True)
    assert (check.verdict, check.sub) == ("not checked", Sub.NO_CERTIFICATE_CHAIN_FOUND)
