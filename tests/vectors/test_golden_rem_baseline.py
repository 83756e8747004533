"""The example messages that ETSI published with EN 319 532-4, judged as a whole; and each of them spoilt.

Nothing here is of our making: these messages say whether we read the REM baseline at all.
"""

import base64
import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from kepgw.errors import FormatError
from kepgw.evidence import reading, xades
from kepgw.evidence.en319522_cardinality import check
from kepgw.evidence.en319522_codes import ERDS_EVENTS
from kepgw.evidence.identity import PERSON_IDENTIFIER, person_identifier
from kepgw.message.envelope import open_envelope
from kepgw.trust import tree
from kepgw.trust.judge import judge_evidence, judge_message
from kepgw.trust.paths import load_anchors
from kepgw.trust.tokens import read_token

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "etsi-rem-baseline"
NAMES = sorted(path.name for path in VECTORS.glob("S?_REM_*.eml"))

pytestmark = pytest.mark.skipif(not NAMES, reason="the golden messages (../shared/vectors) are not beside the checkout")


@cache
def octets_of(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


def original_of(name: str) -> bytes:
    """What the sender submitted; scenario 2 submits what scenario 1 does."""
    return octets_of(f"{name[:2].replace('S2', 'S1')}_original_message.eml")


@cache
def anchors(*names: str) -> tuple[bytes, ...]:
    return tuple(load_anchors([VECTORS / "certificates" / name for name in names]))


def roots() -> tuple[bytes, ...]:
    return anchors("REM-ROOT-CA.crt", "tsa-root-embedded-2020.pem")


def evidence_of(name: str) -> bytes:
    ((_, xml),) = open_envelope(octets_of(name)).evidence
    return xml


def verdicts(judgement) -> dict[str, str]:
    return {each.name: each.verdict for _, each in judgement.every()}


def failed(checks) -> set[str]:
    return {each.name for each in checks if each.verdict == "bad"}


def test_none_is_missing():
    assert len(NAMES) == 30
    assert len([name for name in NAMES if "Dispatch" in name]) == 3


@pytest.mark.parametrize("name", NAMES)
def test_everything_holds(name):
    judgement = judge_message(octets_of(name), roots(), original=None if "Dispatch" in name else original_of(name))
    assert judgement.kind == ("Dispatch" if "Dispatch" in name else "Message")
    assert verdicts(judgement) == {
        "envelope-signature": "ok",  # CAdES
        "envelope-chain": "ok",
        "envelope-revocation": "not checked",  # the kit has no lists
        "envelope-from": "ok",
        "envelope-stamp": "not checked",  # EN 319 532-4 C.4: B-B is enough
        "headers": "ok",
        "evidence-content": "ok",
        "evidence-signature": "ok",  # XAdES with Filter 2
        "evidence-chain": "ok",
        "evidence-revocation": "not checked",
        "evidence-stamp": "ok",
        "evidence-stamp-revocation": "not checked",
        "digest": "ok",  # of the form in the dispatch, or made of what was submitted (C.22)
    }
    (judged,) = judgement.evidences
    token = read_token(judged.signature.token)
    assert judged.stamp.time == token.time
    assert 0 <= (token.time - judged.evidence.event_time).total_seconds() < 86_400 * 30
    assert judged.time == token.time  # the chain was judged at genTime
    whole = tree.of_message(judgement, name)
    assert whole.status == "good"
    assert [each.indication for each in whole.branches() if each.is_signature] == ["TOTAL-PASSED"] * 2


@pytest.mark.parametrize("name", NAMES)
def test_the_evidence_says_what_the_file_is_called(name):
    event, code = re.fullmatch(r"S\d_REM_([A-Za-z]+)[\d,]*\.(R[AB D]\d\d)\.eml", name).groups()
    said = reading.read(evidence_of(name))
    assert said.erds_event == ("SubmissionAcceptance" if event == "Dispatch" else event)
    (reason,) = said.reasons
    assert reason.code == reason.reason.code(said.erds_event) == code
    assert reason.reason in ERDS_EVENTS[said.erds_event].reasons
    told = re.search(r"(Acceptance|Rejection|Failure|Consignment)([\d,]+)\.", name)
    if told and event == "ContentConsignment":
        assert (said.refers_to, said.refers_to_several) == (int(told[2]), ())
    elif event.startswith("Relay"):
        assert said.external.name.startswith("S-REMS" if "Failure" not in event else "R-REMS")
        assert len(said.about) == len(said.refers_to_several) >= 1
    check(said)  # table C.27, every cell of it
    for entity in (said.sender, *said.recipients):
        for attribute in entity.identity:
            assert attribute.name == PERSON_IDENTIFIER
            assert person_identifier(entity.address, *attribute.value.split("/")[:2]) == attribute


@pytest.mark.parametrize("name", NAMES)
def test_another_root_is_not_enough(name):
    judgement = judge_message(octets_of(name), anchors("tsa-root-embedded-2021.pem"))
    assert failed(each for _, each in judgement.every()) == {
        "envelope-chain",
        "evidence-chain",
        "evidence-stamp",
    }
    nobody = tree.of_message(judge_message(octets_of(name), ()), name)
    assert nobody.status == "indeterminate"
    alone = judge_message(octets_of(name), anchors("REM-ROOT-CA.crt"))
    assert failed(each for _, each in alone.every()) == {"evidence-stamp"}


# one octet altered, in each place that something protects


def flip(octets: bytes, at: int) -> bytes:
    """Another octet at ``at``, of the same alphabet where it is text."""
    old = octets[at : at + 1]
    new = {b"0": b"1", b"A": b"B", b"a": b"b"}.get(old) or (
        bytes([old[0] ^ 1]) if not old.isalnum() or bytes([old[0] ^ 1]).isalnum() else bytes([old[0] - 1])
    )
    assert new != old
    return octets[:at] + new + octets[at + 1 :]


def inside(pattern: bytes, group: int = 1):
    """An alteration in the middle of what ``pattern`` finds."""

    def alter(octets: bytes) -> bytes:
        found = re.search(pattern, octets, re.DOTALL)
        assert found, pattern
        start, end = found.span(group)
        return flip(octets, (start + end) // 2)

    return alter


def last_digit(pattern: bytes):
    def alter(octets: bytes) -> bytes:
        found = re.search(pattern, octets, re.DOTALL)
        assert found, pattern
        at = found.end(1) - 1
        return octets[:at] + (b"1" if octets[at : at + 1] != b"1" else b"2") + octets[at + 1 :]

    return alter


def in_base64(pattern: bytes, place):
    """An alteration of the octets that base64 carries; ``place(der)`` is the offset."""

    def alter(octets: bytes) -> bytes:
        found = re.search(pattern, octets, re.DOTALL)
        assert found, pattern
        der = base64.b64decode(found[1])
        at = place(der)
        altered = der[:at] + bytes([der[at] ^ 1]) + der[at + 1 :]
        return octets[: found.start(1)] + base64.b64encode(altered) + octets[found.end(1) :]

    return alter


TOKEN = rb"<xades:EncapsulatedTimeStamp[^>]*>([^<]+)<"
SIGNATURE = {"evidence-signature"}
IN_EVIDENCE = {
    "event time": (last_digit(rb"<EventTime>[^<]*(\d)Z<"), SIGNATURE),
    "submission time": (last_digit(rb"<tns:SubmissionTime>[^<]*(\d)Z<"), SIGNATURE),
    "digest of the original": (
        inside(rb"PartInfo>.*<ds:DigestValue>([^<]+)</ds:DigestValue>\s*</tns:PartInfo"),
        SIGNATURE | {"digest"},
    ),
    "identifier": (inside(rb"<tns:EvidenceIdentifier>([^<]+)<"), SIGNATURE),
    "message identifier": (
        inside(rb"<tns:MessageIdentifier>([^<]+)<"),
        SIGNATURE,  # and the form of the original that was submitted can no longer be made
    ),
    "event": (inside(rb"<tns:ERDSEventId>http://uri.etsi.org/19522/Event/([^<]+)<"), SIGNATURE),
    "reason": (inside(rb"<Code>http://uri.etsi.org/19522/EventReason/([^<]+)<"), SIGNATURE),
    "sender": (inside(rb"<tns:SenderDetails>.*?mailto\">([^<]+)<"), SIGNATURE),
    "recipient": (inside(rb"<tns:RecipientDetails>.*?mailto\">([^<]+)<"), SIGNATURE),
    "subject": (inside(rb"<ext:Subject>([^<]+)<"), SIGNATURE),
    "white space": (lambda xml: xml.replace(b"\n    <EventTime>", b"\n   <EventTime>", 1), SIGNATURE),
    "version": (inside(rb'version="(EN319522v1.1.1)"'), SIGNATURE),
    "digest of the document": (inside(rb"<ds:SignedInfo>.*?<ds:DigestValue>([^<]+)<"), SIGNATURE),
    "digest of the properties": (
        inside(rb"SignedProperties\" URI=.*?<ds:DigestValue>([^<]+)</ds:DigestValue></ds:Reference></ds:SignedInfo"),
        SIGNATURE,
    ),
    "signature value": (inside(rb"<ds:SignatureValue[^>]*>([^<]+)<"), SIGNATURE),
    "signing time": (last_digit(rb"<xades:SigningTime>[^<]*(\d)Z?<"), SIGNATURE),
    "certificate digest": (inside(rb"<xades:CertDigest>.*?<ds:DigestValue>([^<]+)<"), SIGNATURE),
    "issuer and serial": (inside(rb"<xades:IssuerSerialV2>([^<]+)<"), SIGNATURE),
    "certificate": (inside(rb"<ds:X509Certificate>([^<]+)<"), SIGNATURE),
    "time in the token": (in_base64(TOKEN, lambda der: der.index(b"20211201") + 9), {"evidence-stamp"}),
    "imprint in the token": (
        in_base64(TOKEN, lambda der: der.index(bytes.fromhex("608648016503040201")) + 60),
        {"evidence-stamp"},
    ),
    "signature of the token": (in_base64(TOKEN, lambda der: len(der) - 5), {"evidence-stamp"}),
}


def altered_evidence(name: str, alter) -> bytes:
    xml = alter(evidence_of(name))
    assert xml != evidence_of(name)
    return xml


@pytest.mark.parametrize("place", IN_EVIDENCE)
def test_one_octet_in_the_decoded_evidence(place):
    alter, expected = IN_EVIDENCE[place]
    for name in NAMES:
        # the digest of the form: what a receipt shares with its dispatch
        digest = reading.read(evidence_of(name)).message.digest
        whole = judge_evidence(evidence_of(name), roots(), original_digest=digest)
        assert whole.good, name
        assert {each.name: each.verdict for each in whole.checks}["digest"] == "ok"
        judged = judge_evidence(altered_evidence(name, alter), roots(), original_digest=digest)
        # a version or digest that cannot even be read is bad content, and never digest "ok"
        assert failed(judged.checks) - {"evidence-content"} == expected, (name, judged.checks)
        assert not judged.good


@pytest.mark.parametrize("place", IN_EVIDENCE)
def test_the_same_inside_the_message(place):
    alter, expected = IN_EVIDENCE[place]
    for name in NAMES:
        octets, xml = octets_of(name), evidence_of(name)
        body = re.search(rb"\r\n\r\n(PD94[A-Za-z0-9+/=\r\n]+)\r\n", octets)
        assert base64.b64decode(body[1]) == xml
        changed = base64.encodebytes(altered_evidence(name, alter)).replace(b"\n", b"\r\n")
        judgement = judge_message(octets[: body.start(1)] + changed + octets[body.end(1) :], roots())
        bad = failed(each for _, each in judgement.every())
        assert bad - {"evidence-content", "digest"} == {"envelope-signature", *(expected - {"digest"})}, name


SMIME = rb"pkcs7-signature; name=(?:[^\r]|\r\n[^\r])*\r\n\r\n([A-Za-z0-9+/=\r\n]+)\r\n--"


def cms_octets(place):
    """Alter the detached signature at ``place(der)``."""

    def alter(octets: bytes) -> bytes:
        (found,) = re.finditer(SMIME, octets)  # the one in the part, not in the header
        der = base64.b64decode(found[1])
        at = place(der)
        changed = base64.encodebytes(der[:at] + bytes([der[at] ^ 1]) + der[at + 1 :]).replace(b"\n", b"\r\n")
        return octets[: found.start(1)] + changed + octets[found.end(1) :]

    return alter


def after(oid: str, skip: int):
    """``skip`` octets behind the last place of an object identifier (DER of its content)."""
    return lambda der: der.rindex(bytes.fromhex(oid)) + len(oid) // 2 + skip


ENVELOPE = {"envelope-signature"}
IN_MESSAGE = {
    "introduction": (lambda octets: octets.replace(b"REMS Issuer", b"REMS issuer", 1), ENVELOPE),
    "file name of the evidence": (lambda octets: octets.replace(b'filename="', b'filename="x', 1), ENVELOPE),
    "header of the signed part": (inside(rb"(X?REM-Section-Type: rem_message/introduction)"), ENVELOPE),
    "messageDigest": (cms_octets(after("2a864886f70d010904", 10)), ENVELOPE),
    "signingTime": (cms_octets(after("2a864886f70d010905", 12)), ENVELOPE),
    "signingCertificateV2": (cms_octets(after("2a864886f70d010910022f", 20)), ENVELOPE),
    "CMS signature value": (cms_octets(lambda der: len(der) - 20), ENVELOPE),
}


@pytest.mark.parametrize("place", IN_MESSAGE)
def test_one_octet_of_the_envelope(place):
    alter, expected = IN_MESSAGE[place]
    for name in NAMES:
        octets = alter(octets_of(name))
        assert octets != octets_of(name), name
        judgement = judge_message(octets, roots())
        assert failed(each for _, each in judgement.every()) == expected, name
        assert judgement.evidences[0].good  # the evidence stands by itself


@pytest.mark.parametrize("name", [name for name in NAMES if "Dispatch" in name])
def test_every_octet_of_the_original(name):
    octets = octets_of(name)
    start, end = open_envelope(octets).original
    for at in range(start, end, 5):
        spoilt = octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :]
        judgement = judge_message(spoilt, roots())
        assert failed(each for _, each in judgement.every()) == {"envelope-signature", "digest"}, at


@pytest.mark.parametrize("name", [name for name in NAMES if "Dispatch" not in name])
def test_a_receipt_beside_another_original(name):
    for original in (original_of(name).replace(b"Purchase", b"purchase"), b"", b"Message-ID: <1@x>\r\n" * 2):
        judgement = judge_message(octets_of(name), roots(), original=original)
        assert failed(each for _, each in judgement.every()) == {"digest"}
    unix = judge_message(octets_of(name), roots(), original=original_of(name).replace(b"\r\n", b"\n"))
    assert unix.good


HEADERS = {
    "REM-Evidence-ID": b"<x@y>",
    "REM-EventIdentifier": b"http://uri.etsi.org/19522/Event/ContentHandover",
    "REM-ReasonIdentifier": b"http://uri.etsi.org/19522/EventReason/Other",
    "REM-DigestValue": base64.b64encode(bytes(32)),
    "REM-DigestAlgorithm": b"http://www.w3.org/2001/04/xmlenc#sha512",
    "REM-UAMessageIdentifier": b"<x@y>",
    "REM-MD08": b"Mallory <mallory@senderdomain.rem>",
    "REM-MessageType": b"http://uri.etsi.org/19522/v1#/ERDMessageType/",
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_that_differs_from_the_evidence_warns(header):
    for name in NAMES:
        value = HEADERS[header]
        if header == "REM-MessageType":
            value += b"receipt" if "Dispatch" in name else b"dispatch"
        octets = re.sub(
            rb"\r\n%b: [^\r]*" % header.encode(), rb"\r\n%b: %b" % (header.encode(), value), octets_of(name), count=1
        )
        assert octets != octets_of(name)
        judgement = judge_message(octets, roots())
        assert judgement.good
        (told,) = [each for _, each in judgement.every() if each.name == "headers"]
        assert told.verdict == "warning"
        assert header in told.detail


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(NAMES or [""]),
    part=st.floats(0, 1, exclude_max=True),
    length=st.integers(0, 60),
    piece=st.binary(max_size=6),
)
def test_an_alteration_anywhere_is_judged(name, part, length, piece):
    octets = octets_of(name)
    at = int(part * len(octets))
    altered = octets[:at] + piece + octets[at + length :]
    try:
        judgement = judge_message(altered, roots())
    except FormatError:
        return
    assert list(tree.draw(tree.of_message(judgement, name), ("tr", "en")))  # every finding has its words
    if not failed(each for _, each in judgement.every()):
        # what no signature protects: everything that one does protect is what it was
        ((_, xml),) = judgement.envelope.evidence
        assert reading.read(xml) == reading.read(evidence_of(name))
        start, end = judgement.envelope.signed
        first, last = open_envelope(octets).signed
        assert altered[start:end] == octets[first:last]


def test_a_stamp_of_another_evidence():
    first, second = (evidence_of(name) for name in NAMES[:2])
    token = re.search(TOKEN, first)[1]
    moved = re.sub(TOKEN, lambda found: found[0].replace(found[1], token), second)
    assert failed(judge_evidence(moved, roots()).checks) == {"evidence-stamp"}


def test_a_second_signature_or_a_wrapped_document_is_refused():
    xml = evidence_of(NAMES[0])
    root = etree.fromstring(xml)
    signature = next(root.iter("{http://www.w3.org/2000/09/xmldsig#}Signature"))
    twice = etree.fromstring(xml)
    twice.append(etree.fromstring(etree.tostring(signature, with_tail=False)))
    wrapped = etree.Element(root.tag, root.attrib, nsmap=root.nsmap)
    for child in etree.fromstring(xml):
        if child.tag != signature.tag:
            wrapped.append(child)
    next(wrapped.iter("EventTime")).text = "2031-12-01T21:04:39Z"
    wrapped.append(root)
    for hostile in (twice, wrapped):
        assert "evidence-signature" in failed(judge_evidence(etree.tostring(hostile), roots()).checks)
    assert xades.verify(xml).signer
