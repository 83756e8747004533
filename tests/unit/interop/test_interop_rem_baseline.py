"""Evidence, dispatch and receipt of rem-baseline: every code, every rule; the published examples are in vectors."""

import email
import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from email.policy import default

import pytest
from interop_house import HS90, HS91, case, original, receipt, sealed

from kepgw.evidence import en319522, reading
from kepgw.evidence.codes import DEVELOPMENT_POLICY, KEP_CODES, KepCode, Reason
from kepgw.evidence.en319522_cardinality import GENERAL, check
from kepgw.evidence.en319522_codes import REM_BASELINE_POLICY, ErdsEvent, ErdsReason
from kepgw.evidence.identity import person_identifier
from kepgw.evidence.model import Authentication, Entity, GivenReason
from kepgw.interop.case import Counterpart, Order, sender_told, tell_sender
from kepgw.interop.rem_baseline import RemBaseline
from kepgw.interop.tr_kep import TrKep
from kepgw.message.envelope import open_envelope
from kepgw.message.form import rem_baseline
from kepgw.message.headers import split
from kepgw.message.rendering import reheaded, render
from kepgw.trust.judge import judge_message

AT = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)
OCTETS = original("ali@hs91.kep.tr", ["ayse@hs90.kep.tr"], body="Çağrı".encode())
TWO = (Entity("ayse@hs90.kep.tr", "Ayşe Öztürk"), Entity("umit@hs90.kep.tr", "Ümit"))
EVENTS = {
    KepCode.KABUL: ErdsEvent.SUBMISSION_ACCEPTANCE,
    KepCode.RED: ErdsEvent.SUBMISSION_REJECTION,
    KepCode.ILETILDI: ErdsEvent.RELAY_ACCEPTANCE,
    KepCode.ILETILMEDI: ErdsEvent.RELAY_REJECTION,
    KepCode.ULASILAMADI: ErdsEvent.RELAY_FAILURE,
    KepCode.TESLIM: ErdsEvent.CONTENT_CONSIGNMENT,
    KepCode.TESLIM_EDILEMEDI: ErdsEvent.CONTENT_CONSIGNMENT_FAILURE,
    KepCode.OKUNDU: ErdsEvent.CONTENT_HANDOVER,
    KepCode.OKUNMADI: ErdsEvent.CONTENT_HANDOVER_FAILURE,
}


def rem(octets=OCTETS, **changes):
    """A transaction of hs91 in this profile, its digest that of the form."""
    given = case(octets, profile="rem-baseline", counterpart=Counterpart(HS90, "Öteki", "kep@hs90.kep.tr"), **changes)
    header = octets[: split(octets)[0]]
    form = rem_baseline(header, len(octets), f"<{given.remmd_id}>")
    return replace(given, digest=hashlib.sha256(form.octets(octets)).digest())


def order(code, *about, reason="Other"):
    reasons = () if KEP_CODES[code].positive else (GivenReason(reason, "gerekçe"),)
    return Order(code, f"delil.{int(code)}@hs91.kep.tr", AT, about, reasons)


def parts(octets):
    return email.message_from_bytes(octets, policy=default)


@pytest.mark.parametrize("code", KepCode)
def test_every_code_is_an_event_within_table_c27(bench, code):
    given = rem(recipients=TWO, here=frozenset({1, 2}))
    about = () if code in {KepCode.KABUL, KepCode.RED} else (2,)
    made = bench.make(given, order(code, *about))
    found = reading.read(made.xml)
    assert found.erds_event is EVENTS[code]
    check(found)
    assert (found.identifier, found.event_time, found.submission_time) == (made.evidence.identifier, AT, given.t0)
    assert found.policies == (REM_BASELINE_POLICY, DEVELOPMENT_POLICY)
    assert found.issuer.name == "Sağlayıcı hs91.kep.tr"
    assert (found.external.name if found.external else "") == ("Öteki" if EVENTS[code].letter[0] == "B" else "")
    assert found.message.digest == given.digest != hashlib.sha256(OCTETS).digest()
    assert (found.message.remmd_message_id, found.message.ua_message_id) == (given.remmd_id, "<1@client>")
    assert found.sender.identity == (person_identifier("ali@hs91.kep.tr", "TR", "TR"),)
    assert [each.address for each in found.about] == [each.address for each in (TWO[1:] if about else TWO)]
    assert bool(found.recipient_authentication) == (code is KepCode.OKUNDU)


@pytest.mark.parametrize("code", KepCode)
def test_a_receipt_is_judged_good_and_says_what_it_carries(identities, bench, code):
    given = rem(recipients=TWO, here=frozenset({1, 2}))
    octets = receipt(bench, given, code, refers_to=None if code in {KepCode.KABUL, KepCode.RED} else 1)
    judgement = judge_message(octets, identities.anchors(HS91), original=OCTETS)
    assert judgement.good, [each for _, each in judgement.every() if each.verdict == "bad"]
    told = {each.name: each.verdict for _, each in judgement.every()}
    assert told["headers"] == told["digest"] == "ok"
    whole, event = parts(octets), EVENTS[code]
    assert whole["Subject"] == f"REM {event}: Merhaba"
    assert whole["REM-EventIdentifier"] == event.uri
    assert whole["REM-Evidence-ID"] == f"<{judgement.evidences[0].evidence.identifier}>"
    assert ("REM-RelayDate" in whole) == (code is not KepCode.KABUL)  # table C.26
    assert whole["In-Reply-To"] == whole["References"] == "<1@client>"
    between = code in {KepCode.ILETILDI, KepCode.ILETILMEDI}
    assert whole["To"].addresses[0].addr_spec == ("kep@hs90.kep.tr" if between else "ali@hs91.kep.tr")
    assert whole["X-REM-Msg-Type"] is None
    (xml,) = [part for part in whole.walk() if part.get_content_type() == "application/xml"]
    assert (xml.get_filename(), xml["REM-Section-Type"]) == (f"{event}.xml", "rem_message/xml_evidence")
    assert b"X-REM-" not in octets
    plain = whole.get_body(("plain",)).get_content()
    assert "REM delili" in plain
    assert "GELİŞTİRME" in plain


def test_a_dispatch_carries_the_form_and_says_what_was_changed(identities, bench):
    tr = (("X-TR-REM-iletiTip", "eYazisma"),)
    given = rem(recipients=TWO, tr_headers=tr, cc="umit@hs90.kep.tr", subject="Çağrı " * 60)
    octets = sealed(bench, given, OCTETS)
    assert judge_message(octets, identities.anchors(HS91)).good
    whole = parts(octets)
    start, end = open_envelope(octets).original
    inner = octets[start:end]
    assert inner == OCTETS.replace(
        b"Message-ID: <1@client>", f"Message-ID: <{given.remmd_id}>\r\nREM-UAMessageIdentifier: <1@client>".encode()
    )
    assert whole["Message-ID"] == f"<{given.remmd_id}>"
    assert whole["Reply-To"].addresses[0].addr_spec == "ali@hs91.kep.tr"
    assert whole["Reply-To"].addresses[0].display_name == "Ali Yılmaz"
    assert (whole["To"], whole["Cc"]) == ("ayse@hs90.kep.tr", "umit@hs90.kep.tr")
    assert whole["Subject"].startswith("REM Dispatch: Çağrı")
    assert len(whole["Subject"]) < 300
    for name, value in tr:
        assert whole[name] == whole.get_payload(0)[name] == value
    plain = whole.get_body(("plain",)).get_content()
    assert "REM-UAMessageIdentifier" in plain  # EN 319 532-3 6: the recipient is told
    told = parts(receipt(bench, given, KepCode.KABUL)).get_body(("plain",)).get_content()
    assert "REM-UAMessageIdentifier" in told  # and so is the sender
    assert whole.get_payload(0).get_payload(1)["Content-Transfer-Encoding"] == "8bit"


def test_nothing_in_a_case_can_break_out_of_a_header(bench):
    evil = "x\r\nBcc: spy@hs92.kep.tr\r\n\r\nbody"
    given = rem(subject=evil, ua_message_id="<1@x>\r\nBcc: spy@hs92.kep.tr", sender=Entity("ali@hs91.kep.tr", evil))
    for octets in (sealed(bench, given, OCTETS), receipt(bench, given, KepCode.KABUL)):
        assert b"\r\nBcc:" not in octets.partition(b"\r\n\r\n")[0]
        assert parts(octets)["Bcc"] is None


@pytest.mark.parametrize(
    ("code", "given", "said"),
    [
        (KepCode.RED, Reason.MALWARE_FOUND, "RA03"),
        (KepCode.RED, Reason.POLICY_VIOLATION, "RA05"),
        (KepCode.RED, Reason.INVALID_USER_SIGNATURE, "RAXX"),  # no word for it at submission
        (KepCode.ILETILMEDI, Reason.UNKNOWN_RECIPIENT, "RB21"),
        (KepCode.ULASILAMADI, Reason.UNKNOWN_RECIPIENT, "RB10"),  # at the peer's door
        (KepCode.ULASILAMADI, ErdsReason.RB21, "RB21"),  # the peer's rejection, repeated
        (KepCode.ULASILAMADI, ErdsReason.RB22, "RB22"),  # no answer
        (KepCode.ULASILAMADI, Reason.R_REMMD_UNREACHABLE, "RB09"),
        (KepCode.ULASILAMADI, Reason.R_REMMD_MALFUNCTION, "RB07"),
        (KepCode.TESLIM_EDILEMEDI, Reason.NO_DELIVERY_INFO, "RD03"),
        (KepCode.TESLIM_EDILEMEDI, ErdsReason.RB21, "RDXX"),
        (KepCode.OKUNMADI, Reason.RETENTION_PERIOD_EXPIRED, "RE04"),
        (KepCode.ULASILAMADI, "urn:somebody:else", "RBXX"),
    ],
)
def test_reasons_of_both_generations(bench, code, given, said):
    found = reading.read(bench.make(rem(), order(code, 1, reason=given)).xml)
    assert [each.code for each in found.reasons] == [said]
    assert found.reasons[0].details == "gerekçe"


def test_no_answer_is_a_malfunction_in_older_words(bench):
    found = reading.read(bench.make(case(OCTETS), order(KepCode.ULASILAMADI, 1, reason=ErdsReason.RB22)).xml)
    assert found.reasons[0].reason is Reason.R_REMMD_MALFUNCTION


def test_of_whom_an_answer_speaks(bench):
    profile, older = RemBaseline(bench.identity), TrKep(bench.identity)
    assert profile.scopes([1, 3], [1, 2, 3]) == [(1, 3)]
    assert profile.scopes([1, 2, 3], [1, 2, 3]) == [(1, 2, 3)]
    assert older.scopes([1, 3], [1, 2, 3]) == [(1,), (3,)]
    assert older.scopes([1, 2, 3], [1, 2, 3]) == [()]
    made = bench.make(rem(recipients=(*TWO, Entity("x@hs92.kep.tr"))), order(KepCode.ILETILDI, 1, 2))
    assert reading.read(made.xml).refers_to_several == (1, 2)


def test_what_a_peer_says_of_its_sender_is_repeated(bench):
    """I01, I10: as in the evidence of the dispatch; what it did not say is not made up."""
    peer = reading.read(bench.make(rem(), order(KepCode.KABUL)).xml)
    entity, authentication = sender_told(tell_sender(peer))
    assert (entity.identity, entity.assurance) == (peer.sender.identity, peer.sender.assurance)
    assert authentication == peer.sender_authentication
    theirs = replace(entity, address="ali@hs91.kep.tr")
    again = rem(own_sender=False, sender=theirs, authentication=authentication)
    found = reading.read(bench.make(again, order(KepCode.ILETILDI, 1)).xml)
    check(found)
    assert (found.sender, found.sender_authentication) == (peer.sender, peer.sender_authentication)
    silent = rem(own_sender=False, sender=Entity("ali@hs91.kep.tr"), authentication=None)
    found = reading.read(bench.make(silent, order(KepCode.ILETILDI, 1)).xml)
    check(found, GENERAL)
    assert (found.sender.identity, found.sender.assurance, found.sender_authentication) == ((), (), None)


@pytest.mark.parametrize("method", ["SAML", "ne olursa"])
def test_a_method_that_we_could_not_write_is_not_kept(bench, method):
    peer = bench.make(rem(), order(KepCode.KABUL)).evidence
    assert "authentication" not in tell_sender(replace(peer, sender_authentication=Authentication(AT, method)))


def test_settings_of_the_profile(bench):
    profile = RemBaseline(bench.identity, "DE", "urn:level", "urn:policy", "urn:method:")
    made = profile.evidence(rem(), order(KepCode.KABUL), None)
    found = en319522.read(profile.write(made))
    assert found.sender.identity == (person_identifier("ali@hs91.kep.tr", "DE", "DE"),)
    assert [(each.level, each.policy) for each in found.sender.assurance] == [("urn:level", "urn:policy")]
    assert found.sender_authentication.method == "urn:method:Basic"


def test_the_same_order_gives_the_same_envelope(bench):
    given, profile = rem(), RemBaseline(bench.identity)
    made = profile.evidence(given, order(KepCode.KABUL), None)
    first, second = (profile.dispatch(given, made, b"<x/>") for _ in range(2))
    assert (first.head, first.tail, first.signed_from) == (second.head, second.tail, second.signed_from)


@pytest.mark.parametrize(
    "octets",
    [
        OCTETS,
        original(more=b"Content-Type: multipart/mixed; boundary=b\r\n", body=b"--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--"),
        original().replace(b"Message-ID: <1@client>\r\n", b"Message-ID:\r\n <1@client>\r\nX: y\r\n z\r\n"),
        b"From: a@hs90.kep.tr\r\nMessage-ID: <1@client>\r\n\r\n",
    ],
)
def test_the_form_is_shown_without_being_read_again(octets):
    form = rem_baseline(octets[: split(octets)[0]], len(octets), "<new@hs90.kep.tr>")
    before = render(octets)
    assert reheaded(before, form.octets(before.header)) == render(form.octets(octets))
