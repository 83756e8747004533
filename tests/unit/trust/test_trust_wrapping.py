"""What stands around, beside or behind the signed part of an envelope is never taken for it."""

import base64
import re

import pytest
from trust_samples import ORIGINAL

from kepgw.errors import FormatError
from kepgw.message.envelope import open_envelope
from kepgw.trust.judge import judge_message

FORGED = b"From: forged@hs90.kep.tr\r\nSubject: forged\r\n\r\nforged\r\n"


@pytest.fixture(scope="module")
def dispatch(make):
    return make()


def boundaries(octets):
    outer, mixed = re.findall(rb'boundary="([^"]+)"', octets)[:2]
    return b"--" + outer, b"--" + mixed


def parts(octets):
    """Head, signed part with its delimiter, signature part with its delimiter, close."""
    outer, _ = boundaries(octets)
    signed = octets.index(outer + b"\r\n")
    signature = octets.index(outer + b"\r\n", signed + 1)
    end = octets.rindex(outer + b"--")
    return octets[:signed], octets[signed:signature], octets[signature:end], octets[end:]


def test_the_parts_make_the_whole_again(dispatch, anchors):
    assert b"".join(parts(dispatch)) == dispatch
    assert judge_message(dispatch, anchors).good


def test_two_signature_parts(dispatch):
    head, signed, signature, end = parts(dispatch)
    with pytest.raises(FormatError, match="too many parts"):
        open_envelope(head + signed + signature + signature + end)


@pytest.mark.parametrize("place", ["before", "between", "behind"])
def test_a_part_beside_the_signed_one(dispatch, place):
    head, signed, signature, end = parts(dispatch)
    outer, _ = boundaries(dispatch)
    forged = outer + b"\r\nContent-Type: message/rfc822\r\n\r\n" + FORGED + b"\r\n"
    order = {
        "before": (head, forged, signed, signature, end),
        "between": (head, signed, forged, signature, end),
        "behind": (head, signed, signature, forged, end),
    }[place]
    with pytest.raises(FormatError):
        open_envelope(b"".join(order))


def test_the_signature_before_what_it_signs(dispatch):
    head, signed, signature, end = parts(dispatch)
    with pytest.raises(FormatError):
        open_envelope(head + signature + signed + end)


@pytest.mark.parametrize("where", ["preamble", "epilogue"])
def test_what_stands_outside_the_parts_is_not_read(dispatch, anchors, where):
    head, signed, signature, end = parts(dispatch)
    forged = b"Content-Type: message/rfc822\r\n\r\n" + FORGED
    octets = head + forged + b"\r\n" + signed + signature + end if where == "preamble" else dispatch + forged
    envelope = open_envelope(octets)
    assert octets[slice(*envelope.original)] == ORIGINAL
    assert [xml for _, xml in envelope.evidence] == [xml for _, xml in open_envelope(dispatch).evidence]
    assert judge_message(octets, anchors).good


@pytest.mark.parametrize("where", ["preamble", "epilogue"])
def test_the_same_inside_the_signed_part_breaks_the_signature(dispatch, anchors, where):
    _, mixed = boundaries(dispatch)
    if where == "preamble":
        octets = dispatch.replace(b"\r\n" + mixed + b"\r\n", b"\r\n" + FORGED + mixed + b"\r\n", 1)
    else:
        octets = dispatch.replace(mixed + b"--", mixed + b"--\r\n" + FORGED, 1)
    judged = judge_message(octets, anchors)
    assert octets[slice(*judged.envelope.original)] == ORIGINAL
    assert not judged.good


def test_a_signed_message_inside_a_forged_one(dispatch):
    """The whole honest envelope as a part of another multipart: nothing of it counts."""
    octets = (
        b'From: x@y\r\nContent-Type: multipart/mixed; boundary="f"\r\n\r\n--f\r\nContent-Type: message/rfc822\r\n\r\n'
        + FORGED + b"\r\n--f\r\n" + dispatch + b"\r\n--f--\r\n"
    )  # fmt: skip
    with pytest.raises(FormatError, match="not multipart/signed"):
        open_envelope(octets)


def test_multipart_signed_in_multipart_signed(dispatch):
    """An honest envelope as the signed part of a forged one: its inner signature is not mistaken for the outer."""
    _, _, signature, _ = parts(dispatch)
    outer, _ = boundaries(dispatch)
    octets = (
        b'From: x@y\r\nContent-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary="f"\r\n\r\n'
        b"--f\r\n" + dispatch + b"\r\n--f" + signature.removeprefix(outer).rstrip(b"\r\n") + b"\r\n--f--\r\n"
    )
    with pytest.raises(FormatError, match="signed part is not multipart/mixed"):
        open_envelope(octets)


def test_the_signature_of_another_message(dispatch, make, anchors):
    head, signed, _, end = parts(dispatch)
    other = make(ORIGINAL.replace(b"yaz", b"YAZ"))
    judged = judge_message(head + signed + parts(other)[2] + end, anchors)
    assert [check.verdict for check in judged.checks if check.name == "envelope-signature"] == ["bad"]


def test_a_second_original_or_one_that_is_encoded(dispatch):
    _, mixed = boundaries(dispatch)
    second = mixed + b"\r\nContent-Type: message/rfc822\r\n\r\n" + FORGED + b"\r\n"
    with pytest.raises(FormatError, match="more than one original"):
        open_envelope(dispatch.replace(mixed + b"--", second + mixed + b"--", 1))
    place = dispatch.index(b"Content-Type: message/rfc822")
    line = dispatch.index(b"Content-Transfer-Encoding:", place)
    octets = dispatch[:line] + b"Content-Transfer-Encoding: base64\r\n" + dispatch[dispatch.index(b"\r\n", line) + 2 :]
    with pytest.raises(FormatError, match="transfer encoding"):
        open_envelope(octets)


@pytest.mark.parametrize("name", [b"Content-Type", b"content-type", b"Content-Transfer-Encoding"])
@pytest.mark.parametrize("part", ["message", "signed", "original", "evidence", "signature"])
def test_a_header_that_stands_twice_in_any_part(dispatch, name, part):
    """One reader takes the first, another the last."""
    marks = {
        "message": b"Content-Type: multipart/signed",
        "signed": b"Content-Type: multipart/mixed",
        "original": b"Content-Type: message/rfc822",
        "evidence": b"Content-Type: application/xml",
        "signature": b"Content-Type: application/pkcs7-signature",
    }
    at = dispatch.index(marks[part])
    forged = name + b": text/plain\r\n"
    if name.lower().endswith(b"encoding"):
        forged *= 2
    with pytest.raises(FormatError, match="two content types"):
        open_envelope(dispatch[:at] + forged + dispatch[at:])


def test_headers_of_the_message_that_stand_twice_decide_nothing(dispatch, anchors):
    """The outer header is not signed: what it says twice or otherwise can only warn."""
    octets = b"X-REM-EvidenceIdentifier: forged\r\nSubject: forged\r\n" + dispatch
    judged = judge_message(octets, anchors)
    assert judged.good
    assert judged.evidences[0].evidence.identifier == "delil-1@hs90.kep.tr"
    assert any(check.name == "headers" and check.verdict == "warning" for check in judged.checks)


def test_a_boundary_that_begins_like_another(dispatch, anchors):
    """Delimiters are whole lines: what begins like one opens no part."""
    outer, _ = boundaries(dispatch)
    octets = dispatch.replace(outer + b"\r\n", outer + b"x\r\n" + FORGED + outer + b"\r\n", 1)
    assert octets[slice(*open_envelope(octets).original)] == ORIGINAL
    assert judge_message(octets, anchors).good


def test_an_envelope_that_does_not_end(dispatch):
    outer, mixed = boundaries(dispatch)
    for close in (outer + b"--", mixed + b"--"):
        with pytest.raises(FormatError):
            open_envelope(dispatch.replace(close, b"", 1))


def test_an_evidence_beside_the_signed_one(dispatch, make, anchors):
    """A second evidence, honest by itself, put into the signed part of another message."""
    other = open_envelope(make(identifier="delil-2@hs90.kep.tr")).evidence[0][1]
    _, mixed = boundaries(dispatch)
    extra = (
        mixed + b'\r\nContent-Type: application/xml; name="x.xml"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + base64.encodebytes(other).replace(b"\n", b"\r\n") + b"\r\n"
    )  # fmt: skip
    judged = judge_message(dispatch.replace(mixed + b"--", extra + mixed + b"--", 1), anchors)
    assert not judged.good
