"""Evidence, dispatch and receipt of tr-kep: by the published schema, by header, by kind."""

import base64
import email
import hashlib
from datetime import UTC, datetime
from email.policy import default
from pathlib import Path

import pytest
from interop_house import HS91, case, original, receipt, sealed
from lxml import etree

from kepgw.evidence import ts102640
from kepgw.evidence.codes import DEVELOPMENT_POLICY, KEP_CODES, KepCode
from kepgw.evidence.model import Entity, GivenReason
from kepgw.interop.case import Order
from kepgw.interop.tr_kep import TrKep
from kepgw.trust.judge import judge_message

XSD = Path(__file__).parents[4] / "shared" / "xsd" / "ts102640" / "TS102640_v2.xsd"
AT = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)
OCTETS = original("ali@hs91.kep.tr", ["ayse@hs90.kep.tr"], body="Çağrı".encode())
TWO = (Entity("ayse@hs90.kep.tr", "Ayşe Öztürk"), Entity("umit@hs90.kep.tr", "Ümit Şahin Iğdır"))


def parts(octets):
    return email.message_from_bytes(octets, policy=default)


def order(code, refers_to=None):
    reasons = () if KEP_CODES[code].positive else (GivenReason("Other", "gerekçe"),)
    return Order(code, f"delil.{int(code)}@hs91.kep.tr", AT, (refers_to,) if refers_to else (), reasons)


@pytest.fixture(scope="module")
def schema():
    if not XSD.exists():
        pytest.skip("the published schemas (../shared/xsd) are not beside the checkout")
    return etree.XMLSchema(etree.parse(XSD))


@pytest.mark.parametrize("code", KepCode)
@pytest.mark.parametrize("refers_to", [None, 2])
def test_every_code_is_valid_by_the_schema_as_signed(bench, schema, code, refers_to):
    if refers_to and code in {KepCode.KABUL, KepCode.RED}:
        return
    given = case(
        OCTETS, recipients=TWO, subject="Çağrı: <&>\0\x0b\r\nBcc: x", sender=Entity("ali@hs91.kep.tr", "İ. Ş.")
    )
    made = bench.make(given, order(code, refers_to))
    root = etree.fromstring(made.xml)
    assert root.tag.endswith(f"}}{KEP_CODES[code].element}")
    root.remove(root[-1])  # ds:Signature: the published XAdES schema does not know SigningCertificateV2
    schema.assertValid(root)


@pytest.mark.parametrize("code", KepCode)
def test_an_evidence_says_what_was_ordered(bench, code):
    given = case(OCTETS, recipients=TWO)
    found = ts102640.read(bench.make(given, order(code)).xml)
    assert found.kep_code is code
    assert found.identifier == f"delil.{int(code)}@hs91.kep.tr"
    assert (found.event_time, found.submission_time) == (AT, given.t0)
    assert found.policies == (DEVELOPMENT_POLICY,)
    assert (found.issuer.address, found.issuer.name) == ("kep@hs91.kep.tr", "Sağlayıcı hs91.kep.tr")
    assert found.sender == given.sender
    assert found.recipients == TWO
    assert found.message.digest == hashlib.sha256(OCTETS).digest()
    assert found.message.remmd_message_id == given.remmd_id
    assert found.message.ua_message_id == "<1@client>"
    assert bool(found.sender_authentication) == (code in {KepCode.KABUL, KepCode.RED})


def test_a_recipient_is_referred_to_only_where_there_are_others(bench):
    one, two = case(OCTETS), case(OCTETS, recipients=TWO)
    assert ts102640.read(bench.make(one, order(KepCode.TESLIM, 1)).xml).refers_to is None
    assert ts102640.read(bench.make(two, order(KepCode.TESLIM, 2)).xml).refers_to == 2


def test_a_dispatch_for_people_and_programs(bench):
    tr = (("X-TR-REM-iletiTip", "eYazisma"), ("X-TR-REM-iletiID", "42"))
    given = case(OCTETS, recipients=TWO, tr_headers=tr, cc="umit@hs90.kep.tr", subject="Çağrı " * 60)
    octets = sealed(bench, given, OCTETS)
    whole = parts(octets)
    assert whole["Message-ID"] == f"<{given.remmd_id}>"
    assert whole["From"].addresses[0].addr_spec == "kep@hs91.kep.tr"
    assert whole["Reply-To"] == "ali@hs91.kep.tr"
    assert (whole["To"], whole["Cc"]) == ("ayse@hs90.kep.tr", "umit@hs90.kep.tr")
    assert whole["References"] == whole["In-Reply-To"] == "<1@client>"
    assert whole["X-REM-Msg-Type"] == "Dispatch"
    assert whole["X-REM-EvidenceIdentifier"] == given.evidence_id
    assert whole["X-REM-hashValue"] == base64.b64encode(hashlib.sha256(OCTETS).digest()).decode()
    assert whole["X-REM-hashAlgorithm"] == "SHA-256"
    assert whole["X-REM-EvidenceType"] is None
    assert whole["X-REM-EventCode"] is None
    assert len(whole["Subject"]) < 300
    assert whole["Subject"].endswith("…")
    signed = whole.get_payload(0)
    for name, value in tr:  # outside for clients, inside to be trusted
        assert whole[name] == value
        assert signed[name] == value
    kinds = [part.get_content_type() for part in signed.iter_parts()]
    assert kinds == ["multipart/alternative", "message/rfc822", "application/xml"]
    assert OCTETS in octets
    (xml,) = [part for part in whole.walk() if part.get_content_type() == "application/xml"]
    assert xml.get_filename() == "SubmissionAcceptanceRejection.xml"
    assert ts102640.read(xml.get_content()).identifier == given.evidence_id


def test_a_dispatch_without_a_usable_to(bench):
    whole = parts(sealed(bench, case(OCTETS, to="", ua_message_id=""), OCTETS))
    assert whole["To"] == "undisclosed-recipients:;"
    assert whole["References"] is None
    assert whole["In-Reply-To"] is None


@pytest.mark.parametrize("code", KepCode)
def test_a_receipt_carries_exactly_one_evidence(bench, code):
    given = case(OCTETS, recipients=TWO)
    refers_to = None if code in {KepCode.KABUL, KepCode.RED} else 2
    made = bench.make(given, order(code, refers_to))
    whole = parts(made.receipt)
    assert whole["To"] == "ali@hs91.kep.tr"
    assert whole["Message-ID"] == f"<{made.evidence.identifier}>"
    assert whole["References"] == whole["In-Reply-To"] == "<1@client>"
    assert whole["Auto-Submitted"] == "auto-generated"
    assert whole["X-REM-Msg-Type"] == "Message"
    assert whole["X-REM-EvidenceType"] == KEP_CODES[code].element
    assert whole["X-REM-EventCode"].rpartition("#")[2]
    assert whole["X-REM-EvidenceIdentifier"] == made.evidence.identifier
    assert ("umit@hs90.kep.tr" in whole["Subject"]) == (refers_to is not None)
    found = [part for part in whole.walk() if part.get_content_type() == "application/xml"]
    assert [part.get_filename() for part in found] == [f"{KEP_CODES[code].element}.xml"]
    assert found[0].get_content() == made.xml  # the octets of the ledger
    assert not [part for part in whole.walk() if part.get_content_type() == "message/rfc822"]


def test_the_type_header_can_be_the_code(bench):
    profile = TrKep(bench.identity, type_header="code")
    wanted = order(KepCode.TESLIM)
    made = profile.evidence(case(OCTETS), wanted, None)
    assert b"X-REM-EvidenceType: 40\r\n" in profile.receipt(case(OCTETS), wanted, made, b"<x/>").head


def test_development_is_marked_for_every_reader(bench):
    receipt_octets = receipt(bench, case(OCTETS), KepCode.TESLIM)
    plain = parts(receipt_octets).get_body(("plain",)).get_content()
    html = parts(receipt_octets).get_body(("html",)).get_content()
    assert "DEVELOPMENT" in plain
    assert "GELİŞTİRME" in plain
    assert "DEVELOPMENT" in html


def test_nothing_in_a_case_can_break_out_of_a_header(bench):
    evil = "x\r\nBcc: spy@hs92.kep.tr\r\n\r\nbody"
    given = case(OCTETS, subject=evil, ua_message_id="<1@x>\r\nBcc: spy@hs92.kep.tr")
    for octets in (sealed(bench, given, OCTETS), receipt(bench, given, KepCode.KABUL)):
        assert b"\r\nBcc:" not in octets.partition(b"\r\n\r\n")[0]
        assert parts(octets)["Bcc"] is None


def test_the_same_order_gives_the_same_envelope(bench):
    given, profile = case(OCTETS), TrKep(bench.identity)
    made = profile.evidence(given, order(KepCode.KABUL), None)
    first, second = (profile.dispatch(given, made, b"<x/>") for _ in range(2))
    assert (first.head, first.tail, first.signed_from) == (second.head, second.tail, second.signed_from)


def test_what_is_made_is_judged_good(identities, bench):
    anchors = identities.anchors(HS91)
    for octets in (sealed(bench, case(OCTETS), OCTETS), receipt(bench, case(OCTETS), KepCode.KABUL)):
        judgement = judge_message(octets, anchors)
        assert judgement.good, [check for _, check in judgement.every() if check.verdict == "bad"]
        assert {check.verdict for _, check in judgement.every() if check.name != "development"} <= {"ok", "not checked"}
    assert judge_message(sealed(bench, case(OCTETS), OCTETS), anchors).stamp is not None
    assert judge_message(receipt(bench, case(OCTETS), KepCode.TESLIM), anchors).stamp is None  # CAdES B-B
