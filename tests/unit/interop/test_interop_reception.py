"""The desk for peers: every rule of who may say what, broken by a peer that looks honest."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from interop_house import HS90, HS91, HS92, case, original, receipt, sealed, tools

from kepgw.errors import StoreError, StoreFull
from kepgw.evidence import cardinality, markup, ts102640, xades
from kepgw.evidence.codes import KepCode, Reason
from kepgw.evidence.model import Entity
from kepgw.interop.case import Order, case_of
from kepgw.interop.peers import remove_peer
from kepgw.interop.work import order_of
from kepgw.interop.workshop import Bench
from kepgw.refusals import Refusal
from kepgw.store.accounts import set_account_state
from kepgw.store.messages import load_transaction
from kepgw.store.tasks import Kind
from kepgw.trust import devpki
from kepgw.trust.paths import load_anchors

OCTETS = original("ali@hs91.kep.tr", ["ayse@hs90.kep.tr"])
OTHER, THIRD = (original("ali@hs91.kep.tr", ["ayse@hs90.kep.tr"], number=number) for number in (2, 3))
AYSE, BORA, YOK, FAR = "ayse@hs90.kep.tr", "bora@hs90.kep.tr", "yok@hs90.kep.tr", "can@hs92.kep.tr"


def people(*addresses):
    return tuple(Entity(address) for address in addresses)


@pytest.fixture
def ayse(house):
    return house.account("ayse")


@pytest.fixture
def bora(house):
    return house.account("bora")


async def refused(house, octets, *recipients, sender=f"kep@{HS91}"):
    """The refusal of a message of a peer; nothing of it is kept but the audit line."""
    tables = ("message", "mail", "evidence", "task", "blob", "content", "idempotency", "dispatch", "recipient")
    count = [house.rows(f"SELECT count(*) FROM {table}") for table in tables]
    with pytest.raises(Refusal) as caught:
        await house.receive(octets, *recipients, sender=sender)
    assert [house.rows(f"SELECT count(*) FROM {table}") for table in tables] == count
    ((act, detail),) = house.rows("SELECT act, detail FROM audit ORDER BY id DESC LIMIT 1")
    assert act == "relay-refused"
    assert caught.value.key in detail
    return caught.value.key


def orders(house):
    """What answers wait to be made: (code, the one recipient or None for all)."""
    found = [order_of(each.payload) for each in house.tasks(Kind.EVIDENCE)]
    return sorted((int(order.code), order.about[0] if order.about else None) for order in found)


# -- MAIL and RCPT ------------------------------------------------------------------------------------------------


async def test_the_envelope_sender_is_a_known_peer(house):
    await house.reception.sender("KEP@hs91.kep.tr", None)
    for address in ("", "ali@hs91.kep.tr", "kep@hs93.kep.tr", "kep@hs90.kep.tr"):
        with pytest.raises(Refusal) as caught:
            await house.reception.sender(address, None)
        assert (caught.value.key, caught.value.rule.enhanced) == ("unknown-peer", "5.7.1")


async def test_a_peer_whose_card_names_a_client_certificate_shows_it(house, identities):
    """An honest-looking peer with the right service address, without the key that its card speaks of."""
    card = identities.card(HS91)
    names, other = (card.roots[0], card.tls_certificate), card.signers[0]
    await house.know(HS91, client_certificates=names)
    assert house.peers.client_certificates() == frozenset(names)
    for certificate in names:
        await house.reception.sender("kep@hs91.kep.tr", certificate)
    for certificate in (None, other):
        with pytest.raises(Refusal) as caught:
            await house.reception.sender("kep@hs91.kep.tr", certificate)
        rule = caught.value.rule
        assert (caught.value.key, rule.code, rule.enhanced) == ("client-certificate", 550, "5.7.1")
    await house.reception.sender("kep@hs92.kep.tr", None)  # a card without one asks for none


async def test_recipients_are_ours_whether_they_exist_or_not(house):
    take = house.reception.recipient
    assert await take("kep@hs91.kep.tr", "KEP@hs90.kep.tr") == "kep@hs90.kep.tr"
    assert await take("kep@hs91.kep.tr", "YOK@firma.hs90.kep.tr") == "yok@firma.hs90.kep.tr"
    for address, key in (("a@hs91.kep.tr", "foreign-recipient"), ("a@example.com", "not-kep-address")):
        with pytest.raises(Refusal) as caught:
            await take("kep@hs91.kep.tr", address)
        assert caught.value.key == key


# -- dispatches -----------------------------------------------------------------------------------------------------


async def test_a_dispatch_is_kept_as_it_came_consigned_and_answered(house, bench, ayse):
    given = case(OCTETS)
    octets = sealed(bench, given, OCTETS)
    assert await house.receive(octets, AYSE) == given.remmd_id
    message = house.message()
    assert (message.direction, message.peer, message.sender) == ("in", HS91, "ali@hs91.kep.tr")
    assert (message.t0, message.digest, message.size) == (given.t0, hashlib.sha256(OCTETS).digest(), len(OCTETS))
    ((month, content, _, kind, size, *_),) = house.mails("INBOX", AYSE)
    kept = house.octets(month, content)
    assert kept.endswith(octets)
    assert kept.startswith(b"Received: ")
    assert (kind, size) == ("dispatch", len(kept))
    assert house.states() == ["consigned"]
    assert orders(house) == [(20, None), (40, 1)]
    ((evidence),) = house.evidence()
    assert (evidence.code, evidence.own, evidence.issuer, evidence.id) == (10, False, HS91, given.evidence_id)


async def test_a_dispatch_that_comes_twice_is_kept_once_and_answered_once(house, bench, ayse):
    octets = sealed(bench, case(OCTETS), OCTETS)
    first = await house.receive(octets, AYSE)
    house.clock.go(hours=1)
    assert await house.receive(octets, AYSE) == first
    await house.work(Kind.EVIDENCE)
    assert await house.receive(octets, AYSE) == first
    assert len(house.mails("INBOX")) == 1
    assert house.codes() == [10, 20, 40]
    assert orders(house) == []
    assert house.states() == ["delivered"]


async def test_more_recipients_of_the_same_dispatch_later(house, bench, ayse, bora):
    octets = sealed(bench, case(OCTETS, recipients=people(AYSE, BORA, FAR)), OCTETS)
    await house.receive(octets, AYSE)
    assert house.states() == ["consigned", "elsewhere", "elsewhere"]
    assert orders(house) == [(20, 1), (40, 1)]  # no evidence speaks of one that was not handed over
    await house.receive(octets, AYSE, BORA)
    assert house.states() == ["consigned", "consigned", "elsewhere"]
    assert orders(house) == [(20, 1), (20, 2), (40, 1), (40, 2)]
    assert len(house.mails("INBOX", AYSE)) == len(house.mails("INBOX", BORA)) == 1
    assert {row[4] for row in house.mails("INBOX")} == {house.rows("SELECT size FROM content")[0][0]}
    assert len(house.rows("SELECT 1 FROM message")) == 1


async def test_all_alike_is_one_answer_and_unlike_is_one_for_each(house, bench, ayse, bora):
    everyone = people(AYSE, FAR, BORA, YOK)
    await house.receive(sealed(bench, case(OCTETS, recipients=everyone[:3]), OCTETS), BORA, AYSE)
    assert orders(house) == [(20, None), (40, 1), (40, 3)]
    house.store.write_now(lambda tx: tx.run("DELETE FROM task"))
    given = case(OCTETS, recipients=everyone, remmd_id="r2", evidence_id="e2")
    await house.receive(sealed(bench, given, OCTETS), AYSE, BORA, YOK)
    assert orders(house) == [(20, 1), (20, 3), (21, 4), (40, 1), (40, 3)]


async def test_unknown_and_closed_recipients_get_21(house, bench, ayse):
    await house.store.write(lambda tx: set_account_state(tx, AYSE, "closed"))
    await house.receive(sealed(bench, case(OCTETS, recipients=people(AYSE, YOK)), OCTETS), YOK, AYSE)
    assert orders(house) == [(21, None)]
    (task,) = house.tasks(Kind.EVIDENCE)
    assert order_of(task.payload).reasons[0].reason == Reason.UNKNOWN_RECIPIENT
    assert house.states() == ["refused", "refused"]
    assert house.mails("INBOX") == []


async def test_a_disabled_account_goes_on_receiving(house, bench, ayse):
    await house.store.write(lambda tx: set_account_state(tx, AYSE, "disabled"))
    await house.receive(sealed(bench, case(OCTETS), OCTETS), AYSE)
    assert house.states() == ["consigned"]


async def test_signed_by_another_known_peer(house, identities, ayse):
    other = identities.benches[HS92]
    given = case(OCTETS, sender=Entity("ali@hs92.kep.tr"))
    octets = sealed(other, given, OCTETS)
    # its root is not that of the card of hs91, so its path ends nowhere
    assert await refused(house, octets, AYSE) == "envelope-invalid"
    assert await house.receive(octets, AYSE, sender=f"kep@{HS92}")


async def test_signed_by_another_certificate_below_a_root_that_we_trust(house, identities, ayse, tmp_path):
    # here the path of the signer is good, for its root is among our anchors: only the card tells that it is another
    house.reception._anchors = identities.anchors(HS92)
    octets = sealed(identities.benches[HS92], case(OCTETS), OCTETS)
    assert await refused(house, octets, AYSE) == "envelope-signer"


async def test_an_evidence_by_one_peer_in_the_envelope_of_another(house, identities, bench, ayse):
    house.reception._anchors = identities.anchors(HS92)
    octets = sealed(identities.benches[HS92], case(OCTETS), OCTETS, envelope_by=bench)
    assert await refused(house, octets, AYSE) == "envelope-signer"


@pytest.mark.parametrize("sender", ["ali@hs92.kep.tr", "ali@hs90.kep.tr", "ali@example.com", "ali"])
async def test_a_sender_of_another_domain(house, bench, ayse, sender):
    key = await refused(house, sealed(bench, case(OCTETS, sender=Entity(sender)), OCTETS), AYSE)
    assert key == ("speaks-for-another" if sender.endswith(".kep.tr") else "not-kep-address")


async def test_a_sender_of_a_sub_domain_is_the_peers_own(house, bench, ayse):
    assert await house.receive(sealed(bench, case(OCTETS, sender=Entity("a@firma.hs91.kep.tr")), OCTETS), AYSE)


async def test_a_recipient_that_is_not_ours(house, bench, ayse):
    octets = sealed(bench, case(OCTETS, recipients=people(AYSE, FAR)), OCTETS)
    assert await refused(house, octets, AYSE, FAR) == "foreign-recipient"


async def test_a_recipient_that_the_evidence_does_not_name(house, bench, ayse, bora):
    assert await refused(house, sealed(bench, case(OCTETS), OCTETS), AYSE, BORA) == "recipient-not-named"
    assert await refused(house, sealed(bench, case(OCTETS), OCTETS), "kep@hs90.kep.tr") == "recipient-not-named"


async def test_a_recipient_named_twice(house, bench, ayse):
    octets = sealed(bench, case(OCTETS, recipients=people(AYSE, AYSE.upper())), OCTETS)
    assert await refused(house, octets, AYSE) == "not-an-envelope"


@pytest.mark.parametrize("code", [KepCode.ILETILDI, KepCode.TESLIM, KepCode.OKUNDU])
async def test_an_original_with_another_evidence_than_10(house, bench, ayse, code):
    given = case(OCTETS)
    octets = sealed(bench, given, OCTETS, order=Order(code, given.evidence_id, given.t0))
    assert await refused(house, octets, AYSE) == "not-an-envelope"


async def test_an_evidence_10_about_another_original(house, bench, ayse):
    given = case(OCTETS, digest=hashlib.sha256(b"other").digest())
    assert await refused(house, sealed(bench, given, OCTETS), AYSE) == "envelope-invalid"


@pytest.mark.parametrize(
    "change",
    [
        {"recipients": people(BORA)},
        {"recipients": people(BORA, AYSE)},
        {"sender": Entity("veli@hs91.kep.tr")},
        {"evidence_id": "delil.other@hs91.kep.tr"},
    ],
)
async def test_an_identifier_used_for_something_else(house, bench, ayse, bora, change):
    given = case(OCTETS, recipients=people(AYSE, BORA))
    await house.receive(sealed(bench, given, OCTETS), AYSE)
    assert await refused(house, sealed(bench, replace(given, **change), OCTETS), BORA) == "envelope-invalid"
    other = original("ali@hs91.kep.tr", body=b"other")
    changed = replace(case(other, recipients=given.recipients), remmd_id=given.remmd_id, evidence_id=given.evidence_id)
    assert await refused(house, sealed(bench, changed, other), BORA) == "envelope-invalid"
    assert house.states() == ["consigned", "elsewhere"]


async def test_an_evidence_identifier_used_for_two_dispatches(house, bench, ayse):
    given = case(OCTETS)
    await house.receive(sealed(bench, given, OCTETS), AYSE)
    octets = sealed(bench, replace(given, remmd_id="remmd.other@hs91.kep.tr"), OCTETS)
    assert await refused(house, octets, AYSE) == "envelope-invalid"


async def test_a_peer_cannot_use_up_the_identifiers_of_another(house, bench, ayse, identities):
    honest = case(OCTETS)
    theirs = original("can@hs92.kep.tr", [AYSE])
    evil = case(theirs, sender=Entity("can@hs92.kep.tr"), evidence_id=honest.evidence_id, remmd_id=honest.remmd_id)
    await house.receive(sealed(identities.benches[HS92], evil, theirs), AYSE, sender=f"kep@{HS92}")
    await house.receive(sealed(bench, honest, OCTETS), AYSE)
    assert [house.states(message=number) for number in (0, 1)] == [["consigned"], ["consigned"]]


async def test_a_dispatch_that_no_evidence_of_ours_could_repeat(house, bench, ayse, monkeypatch):
    # raw ">" is good XML and short; our canonical form needs four octets for each
    sign = xades.sign
    given = case(OCTETS, recipients=people(AYSE, *(f"{number}@hs91.kep.tr" for number in range(800))))
    given = replace(given, recipients=tuple(Entity(each.address, ">" * 240) for each in given.recipients))
    with monkeypatch.context() as peer:
        peer.setattr(ts102640, "MAX_XML", 1 << 22)
        peer.setattr(markup, "MAX_XML", 1 << 22)
        peer.setattr(xades, "sign", lambda *given, **more: sign(*given, **more).replace(b"&gt;", b">"))
        octets = sealed(bench, given, OCTETS)
    assert await refused(house, octets, AYSE) == "not-an-envelope"
    given = replace(given, recipients=given.recipients[:500])
    await house.receive(sealed(bench, given, OCTETS), AYSE)
    assert await house.work(Kind.EVIDENCE) == 2


async def test_an_evidence_10_that_speaks_of_no_octets(house, bench, ayse, monkeypatch):
    monkeypatch.setattr(cardinality, "check", lambda evidence: None)
    octets = sealed(bench, case(OCTETS, digest=b""), OCTETS)
    assert await refused(house, octets, AYSE) in {"envelope-invalid", "not-an-envelope"}


@pytest.mark.parametrize("t0", [datetime(2001, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=2)])
async def test_a_time_that_cannot_be(house, bench, ayse, t0):
    assert await refused(house, sealed(bench, case(OCTETS, t0=t0), OCTETS), AYSE) == "envelope-invalid"


@pytest.mark.parametrize("field", ["remmd_id", "evidence_id", "ua_message_id"])
@pytest.mark.parametrize("value", ["a\nb", "ğ", "x" * 999])
async def test_an_identifier_that_no_header_can_carry(house, bench, ayse, field, value):
    octets = sealed(bench, case(OCTETS, **{field: value}), OCTETS)
    assert await refused(house, octets, AYSE) == "not-an-envelope"


@pytest.mark.parametrize(
    "octets",
    [OCTETS, b"", b"\r\n\r\n", b"Content-Type: multipart/signed; boundary=x\r\n\r\n--x\r\n"],
)
async def test_what_is_no_envelope(house, ayse, octets):
    octets = octets if octets.endswith(b"\r\n") else octets + b"\r\n"
    assert await refused(house, octets, AYSE) == "not-an-envelope"


def altered(octets, place):
    """One octet changed in a part of a dispatch."""
    body = octets.index(b"Content-Type: multipart/mixed")
    at = {
        "signed header": body + 5,
        "introduction": octets.index(b"text/plain; charset=UTF-8", body) + 120,
        "original": octets.index(OCTETS) + len(OCTETS) - 3,
        "evidence": octets.index(b"rem_message/xml_evidence") + 400,
        "signature": octets.rindex(b"Content-Disposition: attachment") + 400,
    }[place]
    flipped = ord("B") if octets[at] == ord("A") else ord("A")
    return octets[:at] + bytes([flipped]) + octets[at + 1 :]


@pytest.mark.parametrize("place", ["signed header", "introduction", "original", "evidence", "signature"])
async def test_one_altered_octet(house, bench, ayse, place):
    octets = sealed(bench, case(OCTETS), OCTETS)
    assert await refused(house, altered(octets, place), AYSE) in {"envelope-invalid", "not-an-envelope"}
    assert await house.receive(octets, AYSE)


async def test_unsigned_headers_prove_nothing(house, bench, ayse):
    given = case(OCTETS)
    octets = sealed(bench, given, OCTETS)
    head, _, rest = octets.partition(b"\r\n\r\n")
    lie = head.replace(given.remmd_id.encode(), b"remmd.lie@hs92.kep.tr").replace(b"ali@hs91", b"xxx@hs92")
    lie = lie.replace(b"X-REM-Msg-Type: Dispatch", b"X-REM-Msg-Type: Message")
    assert lie != head
    assert await house.receive(lie + b"\r\n\r\n" + rest, AYSE) == given.remmd_id
    assert house.message().sender == "ali@hs91.kep.tr"


async def test_a_peer_removed_meanwhile(house, bench, ayse):
    octets = sealed(bench, case(OCTETS), OCTETS)
    await house.store.write(lambda tx: remove_peer(tx, HS91))
    await house.peers.load()
    with pytest.raises(Refusal, match="unknown-peer"):
        await house.receive(octets, AYSE)


async def test_what_a_peer_signed_in_time_may_come_after_the_certificate_ended(house, bench, ayse):
    octets = sealed(bench, case(OCTETS), OCTETS)
    house.clock.go(days=4 * 365)
    assert await house.receive(octets, AYSE)


async def test_what_a_peer_signed_with_an_ended_certificate(house, identities, ayse, tmp_path, monkeypatch):
    devpki.create(tmp_path / HS91, HS91, f"kep@{HS91}", algorithm="p-256", at=house.clock() - timedelta(days=4 * 365))
    late = Bench(tools(tmp_path, HS91))
    monkeypatch.setattr(late.keys, "choose", lambda at: late.keys.keys[0])  # nothing of ours would do that
    chain = load_anchors([tmp_path / HS91 / "keys" / f"{name}.pem" for name in ("process", "intermediate", "root")])
    house.peers._cards[HS91] = identities.card(HS91, process_chains=(chain,))
    octets = sealed(late, case(OCTETS), OCTETS)
    assert await refused(house, octets, AYSE) == "envelope-invalid"


async def test_a_renewed_certificate_of_a_peer(house, identities, bench, ayse, tmp_path):
    devpki.create(tmp_path / HS91, HS91, f"kep@{HS91}", algorithm="p-256")
    renewed = Bench(tools(tmp_path, HS91))
    chain = load_anchors([tmp_path / HS91 / "keys" / f"{name}.pem" for name in ("process", "intermediate", "root")])
    with_old, with_new = sealed(bench, case(OCTETS), OCTETS), sealed(renewed, case(OTHER), OTHER)
    assert await refused(house, with_new, AYSE) == "envelope-invalid"  # its card does not name it yet
    card = identities.card(HS91)
    house.peers._cards[HS91] = replace(card, process_chains=(*card.process_chains, chain))
    assert await house.receive(with_new, AYSE)
    assert await house.receive(with_old, AYSE), "what was sealed before and was under way"
    at_the_switch = case(THIRD)
    assert await house.receive(sealed(bench, at_the_switch, THIRD, envelope_by=renewed), AYSE)


async def test_a_full_disk_keeps_nothing_and_is_no_refusal(house, bench, ayse):
    octets = sealed(bench, case(OCTETS), OCTETS)
    pages = house.store.write_now(lambda tx: tx.row("PRAGMA page_count")[0])
    house.store.write_now(lambda tx: tx.row(f"PRAGMA max_page_count={pages}"))
    with pytest.raises(StoreFull):
        await house.receive(octets, AYSE)
    assert house.rows("SELECT count(*) FROM message") == [(0,)]
    house.store.write_now(lambda tx: tx.row("PRAGMA max_page_count=100000"))
    assert await house.receive(octets, AYSE)


async def test_a_rule_is_told_even_when_the_audit_cannot_be_written(house, ayse, monkeypatch):
    async def broken(work):
        raise StoreError("no room")

    monkeypatch.setattr(house.store, "write", broken)
    with pytest.raises(Refusal, match="not-an-envelope"):
        await house.receive(OCTETS, AYSE)


# -- receipts -------------------------------------------------------------------------------------------------------


VELI, ZEKI = "veli@hs91.kep.tr", "zeki@hs91.kep.tr"
SERVICE = f"kep@{HS90}"


@pytest.fixture
async def sent(house):
    """A message of ours to two people at hs91 and one at hs92, handed over."""
    ali = house.account("ali", "Ali")
    octets = original(to=[VELI, ZEKI, FAR])
    await house.submit(ali, octets, VELI, ZEKI, FAR)
    await house.work(Kind.ISSUE, Kind.RELAY)
    assert house.states() == ["relayed"] * 3
    (dispatch,) = house.dispatches()
    return case_of(house.store.read_now(lambda tx: load_transaction(tx, dispatch.month, dispatch.id)))


async def test_answers_reach_the_sender(house, bench, sent):
    for code, refers_to in ((KepCode.ILETILDI, None), (KepCode.TESLIM, 1), (KepCode.OKUNDU, 1), (KepCode.TESLIM, 2)):
        octets = receipt(bench, sent, code, refers_to=refers_to)
        identifier = await house.receive(octets, SERVICE)
        (month, content, _, kind, size, *_) = house.mails("Deliller")[-1]
        assert kind == "receipt"
        assert house.octets(month, content).endswith(octets)
        assert size == len(house.octets(month, content))
        assert house.evidence()[-1].id == identifier
    assert house.states() == ["read", "delivered", "relayed"]
    assert house.codes() == [10, 20, 40, 60, 40]
    assert house.flags("ali@hs90.kep.tr") == "$KepIletildi $KepKabul \\Seen"
    assert [each.ordinal for each in house.tasks(Kind.ANSWER_WINDOW)] == [3]
    assert house.tasks(Kind.DELIVERY_WINDOW) == []


async def test_20_without_a_recipient_is_about_all_of_that_provider_and_nobody_else(house, bench, sent):
    await house.receive(receipt(bench, sent, KepCode.ILETILDI), SERVICE)
    assert house.states() == ["answered", "answered", "relayed"]
    assert [each.ordinal for each in house.tasks(Kind.DELIVERY_WINDOW)] == [1, 2]


@pytest.mark.parametrize("code", [KepCode.TESLIM, KepCode.TESLIM_EDILEMEDI, KepCode.OKUNDU])
async def test_40_41_and_60_must_name_their_recipient(house, bench, sent, code):
    assert await refused(house, receipt(bench, sent, code), SERVICE) == "envelope-invalid"


@pytest.mark.parametrize("code", [KepCode.ILETILDI, KepCode.TESLIM, KepCode.TESLIM_EDILEMEDI, KepCode.OKUNDU])
async def test_a_provider_that_does_not_own_the_recipient(house, bench, sent, code):
    assert await refused(house, receipt(bench, sent, code, refers_to=3), SERVICE) == "speaks-for-another"
    assert house.states() == ["relayed"] * 3


async def test_a_provider_that_has_no_recipient_in_the_message(house, identities):
    ali = house.account("ali")
    await house.submit(ali, original(), VELI)
    await house.work(Kind.ISSUE, Kind.RELAY)
    (dispatch,) = house.dispatches()
    given = case_of(house.store.read_now(lambda tx: load_transaction(tx, dispatch.month, dispatch.id)))
    octets = receipt(identities.benches[HS92], given, KepCode.TESLIM)
    assert await refused(house, octets, SERVICE, sender=f"kep@{HS92}") == "speaks-for-another"


async def test_nobody_else_speaks_for_our_own_users(house, bench):
    ali, _ = house.account("ali"), house.account("ayse")
    await house.submit(ali, original(to=[AYSE, VELI]), AYSE, VELI)
    await house.work(Kind.ISSUE)
    (dispatch,) = house.dispatches()
    given = case_of(house.store.read_now(lambda tx: load_transaction(tx, dispatch.month, dispatch.id)))
    assert await refused(house, receipt(bench, given, KepCode.OKUNDU, refers_to=1), SERVICE) == "speaks-for-another"


@pytest.mark.parametrize("code", [KepCode.KABUL, KepCode.RED, KepCode.ULASILAMADI])
async def test_what_only_the_senders_provider_says(house, bench, sent, code):
    refers_to = None if code in {KepCode.KABUL, KepCode.RED} else 1
    assert await refused(house, receipt(bench, sent, code, refers_to=refers_to), SERVICE) == "speaks-for-another"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"remmd_id": "remmd.unknown@hs90.kep.tr"}, "unknown-message"),
        ({"digest": hashlib.sha256(b"other").digest()}, "envelope-invalid"),
        ({"sender": Entity("mallory@hs90.kep.tr")}, "envelope-invalid"),
        ({"recipients": people(VELI, ZEKI)}, "envelope-invalid"),
        ({"recipients": people(ZEKI, VELI, FAR)}, "envelope-invalid"),
        ({"recipients": people(VELI, ZEKI, FAR, "x@hs91.kep.tr")}, "envelope-invalid"),
    ],
)
async def test_an_evidence_that_fits_no_message_of_ours(house, bench, sent, change, key):
    octets = receipt(bench, replace(sent, **change), KepCode.TESLIM, refers_to=1)
    assert await refused(house, octets, SERVICE) == key
    assert house.states() == ["relayed"] * 3


async def test_the_xml_tells_which_message_whatever_the_header_claims(house, bench, sent):
    octets = receipt(bench, sent, KepCode.TESLIM, refers_to=1)
    head, _, rest = octets.partition(b"\r\n\r\n")
    lie = head.replace(sent.remmd_id.encode(), b"remmd.0@hs90.kep.tr").replace(
        b"DeliveryNonDelivery", b"RetrievalNonRet"
    )
    assert lie != head
    await house.receive(lie + b"\r\n\r\n" + rest, SERVICE)
    assert house.states() == ["delivered", "relayed", "relayed"]
    # and the other way: a header that names our message does not make an evidence about another one ours
    other = receipt(bench, replace(sent, remmd_id="remmd.1@hs90.kep.tr"), KepCode.TESLIM, refers_to=2)
    head, _, rest = other.partition(b"\r\n\r\n")
    lie = head.replace(b"remmd.1@hs90.kep.tr", sent.remmd_id.encode())
    assert await refused(house, lie + b"\r\n\r\n" + rest, SERVICE) == "unknown-message"


async def test_a_receipt_that_comes_twice_is_kept_once(house, bench, sent):
    octets = receipt(bench, sent, KepCode.ILETILDI, identifier="delil.x@hs91.kep.tr")
    for _ in range(3):
        assert await house.receive(octets, SERVICE) == "delil.x@hs91.kep.tr"
    again = receipt(bench, sent, KepCode.ILETILDI, identifier="delil.x@hs91.kep.tr")  # signed anew after a crash there
    assert again != octets
    await house.receive(again, SERVICE)
    assert house.codes() == [10, 20]
    assert len(house.mails("Deliller")) == 2
    assert len(house.tasks(Kind.DELIVERY_WINDOW)) == 2


async def test_an_identifier_of_one_evidence_on_another(house, bench, sent):
    await house.receive(receipt(bench, sent, KepCode.ILETILDI, identifier="delil.x@hs91.kep.tr"), SERVICE)
    octets = receipt(bench, sent, KepCode.TESLIM, refers_to=1, identifier="delil.x@hs91.kep.tr")
    assert await refused(house, octets, SERVICE) == "envelope-invalid"
    ours = receipt(bench, sent, KepCode.TESLIM, refers_to=1, identifier=sent.evidence_id)
    assert await refused(house, ours, SERVICE) == "envelope-invalid"
    assert house.states()[0] == "answered"


async def test_a_peer_that_contradicts_itself_is_recorded_and_changes_nothing(house, bench, sent):
    for code in (KepCode.TESLIM, KepCode.TESLIM_EDILEMEDI, KepCode.ILETILMEDI, KepCode.OKUNDU, KepCode.ILETILMEDI):
        number = len(house.codes())
        await house.receive(receipt(bench, sent, code, refers_to=1, identifier=f"d{number}@hs91.kep.tr"), SERVICE)
    assert house.states()[0] == "read"
    assert house.codes() == [10, 40, 41, 21, 60, 21]


@pytest.mark.parametrize("at", [datetime(9000, 1, 1, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC)])
async def test_an_event_at_a_time_that_cannot_be(house, bench, sent, at):
    octets = receipt(bench, sent, KepCode.ILETILDI, at=at)
    assert await refused(house, octets, f"kep@{HS90}") == "envelope-invalid"


async def test_a_recipient_beyond_the_list(house, bench, sent):
    octets = receipt(bench, sent, KepCode.TESLIM, refers_to=1)
    # the reader may refuse it as no evidence, or the desk as about nobody: in no case it is taken
    sealed_ = receipt(
        bench, replace(sent, recipients=(*sent.recipients, Entity("x@hs91.kep.tr"))), KepCode.TESLIM, refers_to=4
    )
    assert await refused(house, sealed_, SERVICE) == "envelope-invalid"
    assert await house.receive(octets, SERVICE)


async def test_a_late_proof_after_31(house, bench, sent):
    house.clock.go(hours=3)
    await house.work(Kind.ANSWER_WINDOW, Kind.EVIDENCE)
    assert house.states() == ["unreached"] * 3
    assert house.codes() == [10, 31, 31, 31]
    at = house.clock() - timedelta(hours=1)
    await house.receive(receipt(bench, sent, KepCode.ILETILDI, at=at), SERVICE)
    await house.receive(receipt(bench, sent, KepCode.TESLIM, refers_to=1, at=at), SERVICE)
    assert house.states() == ["delivered-late", "answered-late", "unreached"]
    assert house.tasks(Kind.DELIVERY_WINDOW) == []
    assert house.flags("ali@hs90.kep.tr") == "$KepIletildi $KepKabul $KepTeslimEdilemedi \\Seen"


class Unstamped:
    """A bench that asks no authority for some of its stamps."""

    def __init__(self, bench, leave_out):
        self.bench = bench
        self.identity = bench.identity
        self.leave_out = leave_out

    def make(self, *arguments):
        return self._without("evidence", self.bench.make, arguments)

    def seal(self, *arguments):
        return self._without("envelope", self.bench.seal, arguments)

    def _without(self, what, job, arguments):
        stamp = self.bench.stamp
        if what == self.leave_out:
            self.bench.stamp = None
        try:
            return job(*arguments)
        finally:
            self.bench.stamp = stamp


@pytest.mark.parametrize("leave_out", ["evidence", "envelope"])
async def test_a_dispatch_without_a_time_stamp_is_none(house, bench, ayse, leave_out):
    octets = original("ali@hs91.kep.tr", to=[AYSE])
    given = case(octets)
    assert await refused(house, sealed(Unstamped(bench, leave_out), given, octets), AYSE) == "envelope-invalid"
    await house.receive(sealed(bench, given, octets), AYSE)


async def test_a_receipt_without_a_time_stamp_proves_nothing(house, bench, sent):
    octets = receipt(Unstamped(bench, "evidence"), sent, KepCode.TESLIM, refers_to=1)
    assert await refused(house, octets, SERVICE) == "envelope-invalid"
