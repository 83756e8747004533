"""Which profile goes where: two and three providers in one process that hand each other what they make."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from interop_house import HS90, HS91, HS92, House, case, original, receipt, sealed

from kepgw.errors import StoreError
from kepgw.evidence import en319522, reading
from kepgw.evidence.codes import KepCode, kep_code
from kepgw.evidence.model import Assurance, Authentication, Entity, IdentityAttribute
from kepgw.interop import rem_baseline
from kepgw.interop.case import Counterpart, case_of
from kepgw.interop.desk import Outcome, RelayProblem
from kepgw.interop.work import order_of
from kepgw.message import form
from kepgw.message.envelope import open_envelope
from kepgw.refusals import Refusal
from kepgw.store.messages import Transaction
from kepgw.store.reading import MAIL_COLUMNS, MailRow
from kepgw.store.tasks import Kind
from kepgw.trust.judge import judge_message

VELI, YOK, CAN = "veli@hs91.kep.tr", "yok@hs91.kep.tr", "can@hs92.kep.tr"


@pytest.fixture
async def houses(identities, tmp_path, house):
    """hs90 with its peers hs91 and hs92, all real; ``exchange`` carries what waits until nothing does."""
    others = {}
    for domain in (HS91, HS92):
        made = await House(identities, tmp_path / domain, domain, clock=house.clock).start()
        await made.know(HS90)
        others[domain] = made
    found = {HS90: house, **others}
    for each in found.values():
        each.client.send = carrying(found, each)
    yield found
    for each in others.values():
        each.close()


def carrying(houses, sender):
    async def send(route, outgoing):
        octets = b"".join([chunk async for chunk in outgoing.octets()])
        sender.client.sent.append((route, outgoing, octets))
        there = houses[route.provider]
        try:
            await there.receive(octets, *outgoing.recipients, sender=f"kep@{sender.domain}")
        except Refusal as refusal:
            raise RelayProblem(str(refusal), permanent=True, stage="data") from refusal
        return Outcome("250 ok", {})

    return send


async def exchange(houses):
    while sum([await each.work() for each in houses.values()]):
        pass


async def prefer(houses, *profiles, of=(HS90, HS91, HS92)):
    """These cards name these profiles, the first preferred."""
    for domain, each in houses.items():
        for peer in houses:
            if peer != domain and peer in of and each.peers.card(peer):
                await each.know(peer, profiles=profiles)


def kinds(house, number=0):
    """What evidence a house has of a message: (generation, code), in the order of the ledger."""
    found = []
    for row in house.evidence(number):
        (octets,) = house.rows("SELECT data FROM blob_chunk WHERE blob = ?", row.blob)[0]
        said = reading.read(octets)
        assert row.code == kep_code(said.element, said.event)
        found.append(("rem" if said.is_erds else "kep", row.code))
    return found


async def test_a_whole_exchange_in_the_baseline(houses, identities):
    house, there = houses[HS90], houses[HS91]
    await prefer(houses, "rem-baseline", "tr-kep")
    ali, _ = house.account("ali", "Ali Yılmaz"), there.account("veli")
    octets = original(to=[VELI], body="Çağrı".encode())
    await house.submit(ali, octets, VELI)
    await exchange(houses)
    assert house.states() == ["delivered"]
    assert kinds(house) == [("rem", 10), ("rem", 20), ("rem", 40)]
    assert kinds(there) == [("rem", 10), ("rem", 20), ("rem", 40)]
    ((month, content, *_),) = there.mails("INBOX")
    dispatch = there.octets(month, content)
    start, end = open_envelope(dispatch).original
    (made,) = house.dispatches()
    assert dispatch[start:end] == octets.replace(
        b"Message-ID: <1@client>", f"Message-ID: <{made.remmd_id}>\r\nREM-UAMessageIdentifier: <1@client>".encode()
    )
    anchors = [*identities.anchors(HS90), *identities.anchors(HS91)]
    assert judge_message(dispatch, anchors).good
    for mail in house.mails("Deliller"):
        assert judge_message(house.octets(*mail[:2]), anchors, original=octets).good
    (row,) = there.rows(f"SELECT {MAIL_COLUMNS} FROM mail m WHERE m.kind = 'dispatch'")
    await there.duties.opened(MailRow(*row))
    await exchange(houses)
    assert house.states() == ["read"]
    assert kinds(house)[-1] == ("rem", 60)
    assert "$KepOkundu" in house.flags("ali@hs90.kep.tr")


async def test_each_direction_in_the_profile_that_the_other_takes(houses):
    """hs90 writes tr-kep to hs91, hs91 the baseline to hs90; each is answered as it was asked."""
    house, there = houses[HS90], houses[HS91]
    await there.know(HS90, profiles=("rem-baseline",))
    ali, veli = house.account("ali"), there.account("veli")
    await house.submit(ali, original(to=[VELI]), VELI)
    await exchange(houses)
    assert kinds(house) == kinds(there) == [("kep", 10), ("kep", 20), ("kep", 40)]
    await there.submit(veli, original("veli@hs91.kep.tr", ["ali@hs90.kep.tr"], number=2), "ali@hs90.kep.tr")
    await exchange(houses)
    assert kinds(there, 0) == [("rem", 10), ("rem", 20), ("rem", 40)]
    assert there.states() == ["delivered"]


async def test_one_message_to_peers_of_both_profiles_and_to_users_here(houses):
    """A dispatch has one form and one evidence 10: one a profile, each naming its own recipients (ADR 20)."""
    house = houses[HS90]
    await house.know(HS91, profiles=("rem-baseline",))
    ali, _ = house.account("ali"), house.account("ece")
    houses[HS91].account("veli")
    houses[HS92].account("can")
    named = [VELI, CAN, "ece@hs90.kep.tr"]
    await house.submit(ali, original(to=named), *named)
    assert [(each.profile, each.blind) for each in house.dispatches()] == [("rem-baseline", False), ("tr-kep", False)]
    await exchange(houses)
    assert [house.states(0), house.states(1)] == [["delivered"], ["delivered", "delivered"]]
    assert sorted(kinds(house)) == sorted(
        [("rem", 10), ("rem", 20), ("rem", 40), ("kep", 10), ("kep", 20), ("kep", 40), ("kep", 40)]
    )
    assert len(house.client.sent) == 2
    assert {"$KepKabul", "$KepIletildi", "$KepTeslim"} <= set(house.flags("ali@hs90.kep.tr").split())
    (first, second) = house.dispatches()
    assert first.digest != second.digest == house.message().digest
    for domain, generation in ((HS91, "rem"), (HS92, "kep"), (HS90, "kep")):
        mailbox = houses[domain].mails("INBOX")
        ((month, content, *_),) = mailbox
        (name, xml) = open_envelope(houses[domain].octets(month, content)).evidence[0]
        said = reading.read(xml)
        assert said.is_erds == (generation == "rem"), name
        assert {each.address for each in said.recipients} == ({VELI} if said.is_erds else {CAN, "ece@hs90.kep.tr"})


async def test_a_setting_outranks_the_card_and_local_messages_have_their_own(houses, identities, tmp_path):
    choice = {"local": "rem-baseline", "chosen": {HS91: "tr-kep"}}
    house = await House(identities, tmp_path / "chosen", HS90, clock=houses[HS90].clock, **choice).start()
    try:
        await house.know(HS91, HS92, profiles=("rem-baseline",))
        assert house.profiles.toward(house.peers.card(HS91)) == "tr-kep"
        assert house.profiles.toward(house.peers.card(HS92)) == house.profiles.toward(None) == "rem-baseline"
        ali, _ = house.account("ali"), house.account("ece")
        await house.submit(ali, original(to=["ece@hs90.kep.tr"]), "ece@hs90.kep.tr")
        await house.work()
        assert kinds(house) == [("rem", 10), ("rem", 40)]
        house.clock.go(seconds=1)
        with pytest.raises(Refusal):
            await house.submit(ali, original(number=2) + b"\rx\r\n", "ece@hs90.kep.tr")
        await house.work()
        assert kinds(house) == [("rem", 11)]
    finally:
        house.close()


async def test_unknown_and_known_recipients_have_one_answer_each_set(houses):
    """RelayAcceptance for some, RelayRejection RB21 for the others, and the sender's RelayFailure with RB21."""
    house, there = houses[HS90], houses[HS91]
    await prefer(houses, "rem-baseline")
    ali = house.account("ali")
    for name in ("veli", "suna"):
        there.account(name)
    named = [VELI, YOK, "suna@hs91.kep.tr"]
    await house.submit(ali, original(to=named), *named)
    await exchange(houses)
    assert house.states() == ["delivered", "refused", "delivered"]
    assert sorted(kinds(house)) == [("rem", 10), ("rem", 20), ("rem", 21), ("rem", 31), ("rem", 40), ("rem", 40)]
    said = {row.code: reading.read(blob(house, row)) for row in house.evidence()}
    assert said[20].refers_to_several == (1, 3)
    assert said[21].refers_to_several == said[31].refers_to_several == (2,)
    assert [said[code].reasons[0].code for code in (20, 21, 31)] == ["RB01", "RB21", "RB21"]
    assert said[31].external.name == HS91
    assert [sorted(each.proofs) for each in house.recipients()] == [
        ["10", "20", "40"],
        ["10", "21", "31"],
        ["10", "20", "40"],
    ]


def blob(house, row):
    return house.rows("SELECT data FROM blob_chunk WHERE blob = ?", row.blob)[0][0]


async def test_no_answer_in_time_is_rb22(house):
    await house.know(HS91, profiles=("rem-baseline",))
    ali = house.account("ali")
    await house.submit(ali, original(to=[VELI]), VELI)
    await house.work(Kind.ISSUE, Kind.RELAY, Kind.EVIDENCE)
    house.clock.go(hours=3)
    await house.work()
    (row,) = [row for row in house.evidence() if row.code == 31]
    assert reading.read(blob(house, row)).reasons[0].code == "RB22"
    assert house.states() == ["unreached"]


async def test_a_later_rejection_after_31_brings_no_second_one(house, bench):
    await house.know(HS91, profiles=("rem-baseline",))
    ali = house.account("ali")
    await house.submit(ali, original(to=[VELI]), VELI)
    await house.work(Kind.ISSUE, Kind.RELAY)
    house.clock.go(hours=3)
    await house.work()
    await house.receive(receipt(bench, told(house), KepCode.ILETILMEDI, refers_to=1), "kep@hs90.kep.tr")
    await house.work()
    assert house.codes() == [10, 31, 21]
    assert house.states() == ["refused"]


def told(house):
    """The transaction of a house as its peer hs91 would speak of it."""
    transaction = Transaction(house.message(), house.dispatches()[0], house.recipients())
    return replace(case_of(transaction), counterpart=Counterpart(HS90, "Ali'ninki", "kep@hs90.kep.tr"))


async def test_an_answer_in_the_other_generation_is_taken(house, bench):
    """Whoever asked in tr-kep and is answered in the baseline, or the other way round, reads it all the same."""
    ali = house.account("ali")
    for number, (asked, answered) in enumerate((("tr-kep", "rem-baseline"), ("rem-baseline", "tr-kep")), 1):
        await house.know(HS91, profiles=(asked,))
        house.clock.go(seconds=1)
        await house.submit(ali, original(to=[VELI], number=number), VELI)
        await house.work(Kind.ISSUE, Kind.RELAY)
        theirs = replace(told(house), profile=answered)
        for code in (KepCode.ILETILDI, KepCode.TESLIM, KepCode.OKUNDU):
            octets = receipt(bench, theirs, code, refers_to=1, identifier=f"d{number}.{int(code)}@hs91.kep.tr")
            await house.receive(octets, "kep@hs90.kep.tr")
        assert house.states() == ["read"]
        assert house.codes() == [10, 20, 40, 60]


async def test_several_recipients_must_be_the_peers_own(house, bench):
    await house.know(HS91, HS92, profiles=("rem-baseline",))
    ali = house.account("ali")
    named = [VELI, CAN]
    await house.submit(ali, original(to=named), *named)
    await house.work(Kind.ISSUE, Kind.RELAY)
    profile = bench.profiles["rem-baseline"]
    given = told(house)
    made = profile.evidence(given, order_of(payload(20, [1, 2])), None)
    assert made.refers_to_several == (1, 2)
    octets = bench.make(given, order_of(payload(20, [1, 2]))).receipt
    with pytest.raises(Refusal, match="hs91") as caught:
        await house.receive(octets, "kep@hs90.kep.tr")
    assert caught.value.key == "speaks-for-another"
    assert house.states() == ["relayed", "relayed"]


def payload(code, about):
    when = int(datetime.now(UTC).timestamp() * 1_000_000)
    return {"code": code, "identifier": "d@hs91.kep.tr", "event_time": when, "about": about, "reasons": []}


async def test_a_dispatch_of_the_baseline_needs_no_stamp_around_it(house, bench):
    """EN 319 532-4 C.4: the envelope is B-B; one of tr-kep without a stamp is refused."""
    octets = original("ali@hs91.kep.tr", ["ayse@hs90.kep.tr"])
    house.account("ayse")

    class Plain:
        """A bench whose envelopes bear no stamp."""

        def seal(self, unsealed, digest, rendered, form):
            kept, bench.stamp = bench.stamp, None
            try:
                return bench.seal(unsealed, digest, rendered, form)
            finally:
                bench.stamp = kept

    theirs = formed(bench, octets)
    with pytest.raises(Refusal, match="envelope-stamp"):  # its card does not name the baseline: nothing is excused
        await house.receive(sealed(bench, theirs, octets, envelope_by=Plain()), "ayse@hs90.kep.tr")
    await house.know(HS91, profiles=("rem-baseline", "tr-kep"))
    assert await house.receive(sealed(bench, theirs, octets, envelope_by=Plain()), "ayse@hs90.kep.tr")
    assert house.dispatches()[0].profile == "rem-baseline"
    with pytest.raises(Refusal, match="envelope-stamp"):
        await house.receive(sealed(bench, case(octets), octets, envelope_by=Plain()), "ayse@hs90.kep.tr")


def formed(bench, octets, **changes):
    """A transaction of hs91 in the baseline, with the digest of its form."""
    theirs = replace(case(octets), profile="rem-baseline", **changes)
    made = bench.profiles["rem-baseline"].form(octets, len(octets), theirs.remmd_id).octets(octets)
    return replace(theirs, digest=hashlib.sha256(made).digest())


@pytest.mark.parametrize("edition", ["EN319522v1.2.1", "EN319522v2.1.1"])
async def test_a_later_edition_of_the_same_events_is_read_and_answered(house, bench, monkeypatch, edition):
    """EN 319 522 V1.2.1 (2024): what it adds is not known here, what it keeps is read."""
    octets = original("ali@hs91.kep.tr", ["ayse@hs90.kep.tr"])
    house.account("ayse")
    with monkeypatch.context() as later:
        later.setattr(rem_baseline, "ERDS_VERSION", edition)
        later.setattr(rem_baseline, "METADATA_VERSION", "EN31953203V010301")
        sent = sealed(bench, formed(bench, octets), octets)
    assert await house.receive(sent, "ayse@hs90.kep.tr")
    await house.work(Kind.EVIDENCE)
    assert [code for _, code in kinds(house)] == [10, 20, 40]


@pytest.mark.parametrize("identifier", ["<remmd.1@hs91.kep.tr>", "remmd 1@hs91.kep.tr"])
async def test_a_dispatch_that_no_evidence_of_ours_could_name(house, bench, monkeypatch, identifier):
    octets = original("ali@hs91.kep.tr", ["ayse@hs90.kep.tr"])
    house.account("ayse")
    with monkeypatch.context() as peer:
        peer.setattr(en319522, "check", lambda _evidence, _rules: None)
        peer.setattr(form, "field", lambda name, value: f"{name}: {value}\r\n".encode())
        sent = sealed(bench, formed(bench, octets, remmd_id=identifier), octets)
    with pytest.raises(Refusal) as caught:
        await house.receive(sent, "ayse@hs90.kep.tr")
    assert caught.value.key == "not-an-envelope"


@pytest.mark.parametrize("much", ["identity", "assurance", "authentication"])
async def test_what_is_too_much_to_be_repeated(house, bench, much):
    octets = original("ali@hs91.kep.tr", ["ayse@hs90.kep.tr"])
    house.account("ayse")
    long = "urn:" + "x" * 800_000
    sender = Entity("ali@hs91.kep.tr", "Ali")
    theirs = {
        "identity": {"sender": replace(sender, identity=(IdentityAttribute("urn:a", long),)), "own_sender": False},
        "assurance": {"sender": replace(sender, assurance=(Assurance(long),)), "own_sender": False},
        "authentication": {"authentication": Authentication(house.clock(), long)},
    }[much]
    with pytest.raises(Refusal) as caught:
        await house.receive(sealed(bench, formed(bench, octets, **theirs), octets), "ayse@hs90.kep.tr")
    assert caught.value.key == "not-an-envelope"
    assert "too much" in str(caught.value)


async def test_a_clients_retry_is_no_second_transaction_in_either_profile(house):
    await house.know(HS91, profiles=("rem-baseline",))
    ali = house.account("ali")
    octets = original(to=[VELI, CAN])
    first = await house.submit(ali, octets, VELI, CAN)
    assert await house.submit(ali, octets, CAN, VELI) in {each.remmd_id for each in house.dispatches()}
    assert first in {each.remmd_id for each in house.dispatches()}
    assert len(house.dispatches()) == 2
    assert len(house.tasks(Kind.ISSUE)) == 2


async def test_a_large_original_is_sealed_as_it_streams(houses, identities):
    house, there = houses[HS90], houses[HS91]
    await prefer(houses, "rem-baseline")
    ali, _ = house.account("ali"), there.account("veli")
    octets = original(to=[VELI], body=b"\r\n".join([b"x" * 900] * 700))
    await house.submit(ali, octets, VELI)
    await exchange(houses)
    assert house.states() == ["delivered"]
    ((month, content, *_),) = there.mails("INBOX")
    whole = there.octets(month, content)
    assert judge_message(whole, [*identities.anchors(HS90)]).good
    assert octets.partition(b"\r\n\r\n")[2] in whole
    kept = house.rows("SELECT SUM(size) FROM blob WHERE size > 500000")
    assert kept == [(kept[0][0],)]
    assert kept[0][0] < 2 * len(octets)  # kept once


def test_a_profile_that_is_gone_stops_nothing_silently(house):
    with pytest.raises(StoreError, match="unknown profile"):
        house.profiles["pec"]
