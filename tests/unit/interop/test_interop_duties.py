"""The duties: what each task does, what a restart in the middle does, and what time brings."""

import asyncio
import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from interop_house import HS90, HS91, HS92, SETTINGS, House, case, original, receipt, sealed

from kepgw.errors import SigningUnavailable, StampUnavailable
from kepgw.evidence import ts102640
from kepgw.evidence.codes import KepCode, Reason
from kepgw.interop import duties
from kepgw.interop.case import case_of
from kepgw.interop.desk import Outcome, RelayProblem
from kepgw.interop.peers import remove_peer
from kepgw.message.envelope import open_envelope
from kepgw.message.rendering import render
from kepgw.store.messages import load_transaction
from kepgw.store.octets import ContentRef, read_blob, rendered_of
from kepgw.store.reading import MAIL_COLUMNS, MailRow
from kepgw.store.tasks import Kind
from kepgw.trust.judge import judge_message

VELI, ZEKI, FAR, AYSE = "veli@hs91.kep.tr", "zeki@hs91.kep.tr", "can@hs92.kep.tr", "ayse@hs90.kep.tr"
SERVICE = f"kep@{HS90}"
ALI = "ali@hs90.kep.tr"


@pytest.fixture
def ali(house):
    return house.account("ali", "Ali Yılmaz")


def transaction_case(house, dispatch=0):
    found = house.dispatches()[dispatch]
    return case_of(house.store.read_now(lambda tx: load_transaction(tx, found.month, found.id)))


def xml(house, row):
    return house.store.read_now(lambda tx: b"".join(read_blob(tx, row.month, row.blob)))


def mail_rows(house, folder):
    rows = house.rows(
        f"SELECT {MAIL_COLUMNS} FROM mail m JOIN mailbox b ON b.id = m.mailbox WHERE b.name = ? ORDER BY m.uid", folder
    )
    return [MailRow(*row) for row in rows]


def problem(*, permanent=False, stage="connect"):
    return RelayProblem("451 4.3.0 later" if not permanent else "554 5.7.1 never", permanent=permanent, stage=stage)


# -- issue ----------------------------------------------------------------------------------------------------------


async def test_issue_makes_evidence_10_and_a_dispatch_around_the_untouched_original(house, identities, ali):
    house.account("ayse")
    octets = original(to=[VELI, AYSE], body="Çağrı".encode())
    await house.submit(ali, octets, VELI, AYSE)
    t0 = house.clock()
    house.clock.go(minutes=5)
    await house.work(Kind.ISSUE)
    assert house.states() == ["relaying", "consigned"]
    ((month, content, _, _, size, *_),) = house.mails("INBOX", AYSE)
    dispatch = house.octets(month, content)
    assert size == len(dispatch)
    envelope = open_envelope(dispatch)
    assert dispatch[slice(*envelope.original)] == octets
    judgement = judge_message(dispatch, identities.anchors(HS90))
    assert judgement.good
    assert judgement.stamp is not None
    ((row),) = house.evidence()
    assert xml(house, row) == envelope.evidence[0][1]  # the octets of the ledger
    made = ts102640.read(envelope.evidence[0][1])
    assert made.event_time == made.submission_time == t0.replace(microsecond=0)
    assert house.store.read_now(lambda tx: rendered_of(tx, ContentRef(month, content))) == render(dispatch)
    # the original lies there once: what the dispatch adds are two blobs around it
    (spans,) = house.rows("SELECT spans FROM content WHERE id = ?", content)[0]
    ours = house.rows("SELECT spans FROM content WHERE id = ?", house.message().content)[0][0]
    assert json.loads(spans)[1:2] == json.loads(ours)
    assert len(json.loads(spans)) == 3
    (relay,) = house.tasks(Kind.RELAY)
    assert (relay.lane, relay.deadline) == (HS91, house.clock() + SETTINGS.window)
    assert house.flags(ALI) == "$KepKabul \\Seen"


async def test_each_peer_gets_one_relay_and_each_blind_recipient_its_own(house, ali):
    await house.submit(ali, original(to=[VELI, ZEKI, FAR]), VELI, ZEKI, FAR, "gizli@hs91.kep.tr")
    await house.work(Kind.ISSUE)
    assert sorted(each.lane for each in house.tasks(Kind.RELAY)) == [HS91, HS91, HS92]
    await house.work(Kind.RELAY)
    assert sorted((route.provider, outgoing.recipients) for route, outgoing, _ in house.client.sent) == [
        (HS91, ("gizli@hs91.kep.tr",)),
        (HS91, (VELI, ZEKI)),
        (HS92, (FAR,)),
    ]
    for _, outgoing, octets in house.client.sent:
        assert (b"gizli" in octets) == (outgoing.recipients == ("gizli@hs91.kep.tr",))
        assert outgoing.sender == SERVICE


async def test_a_restart_between_work_and_commit_makes_the_same_once(house, ali):
    await house.submit(ali, original(to=[VELI]), VELI)
    (task,) = house.tasks(Kind.ISSUE)
    before = transaction_case(house)
    await asyncio.gather(house.duties.issue(task), house.duties.issue(task))
    await house.duties.issue(task)
    assert [number for _, number in house.workshop.made] == [before.evidence_id] * 3
    assert house.codes() == [10]
    assert len(house.mails("Deliller")) == 1
    assert len(house.tasks(Kind.RELAY)) == 1


async def test_an_evidence_made_twice_is_kept_once(house, bench, ali):
    house.account("ayse")
    given = case(octets := original("ali@hs91.kep.tr"))
    await house.receive(sealed(bench, given, octets), AYSE)
    tasks = house.tasks(Kind.EVIDENCE)
    for task in [*tasks, *tasks]:
        await house.duties.evidence(task)
    assert sorted(house.codes()) == [10, 20, 40]
    made = [identifier for _, identifier in house.workshop.made]
    assert made[:2] == made[2:]
    assert len(house.tasks(Kind.RECEIPT)) == 2
    assert [each.seq for each in house.evidence()] == [1, 2, 3]


# -- relay ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def issued(house, ali):
    await house.submit(ali, original(to=[VELI, ZEKI]), VELI, ZEKI)
    await house.work(Kind.ISSUE)
    return house


async def test_250_starts_the_answer_window(issued):
    await issued.work(Kind.RELAY)
    assert issued.states() == ["relayed", "relayed"]
    windows = issued.tasks(Kind.ANSWER_WINDOW)
    assert [each.due for each in windows] == [issued.clock() + SETTINGS.answer_window] * 2
    assert await issued.work(Kind.RELAY) == 0


async def test_no_way_is_tried_again_until_the_window_ends_and_then_is_31(issued):
    due = []
    issued.client.answers = [problem() for _ in range(99)]
    while issued.tasks(Kind.RELAY):
        (task,) = issued.tasks(Kind.RELAY)
        due.append(task.due)
        issued.clock.time = task.due
        await issued.work(Kind.RELAY)
    waits = [(later - sooner).total_seconds() for sooner, later in pairwise(due)]
    assert waits == [30, 60, 120, 240, 480, 960, 1710]  # doubled, and the last at the end of the window
    assert issued.states() == ["unreached", "unreached"]
    await issued.work(Kind.EVIDENCE)
    assert issued.codes() == [10, 31, 31]
    made = ts102640.read(xml(issued, issued.evidence()[1]))
    assert made.reasons[0].reason == Reason.R_REMMD_UNREACHABLE
    assert "451 4.3.0 later" in made.reasons[0].details
    assert issued.flags(ALI) == "$KepKabul $KepTeslimEdilemedi \\Seen"


async def test_a_final_no_is_31_at_once(issued):
    issued.client.answers = [problem(permanent=True, stage="data")]
    await issued.work(Kind.RELAY, Kind.EVIDENCE)
    assert issued.codes() == [10, 31, 31]
    assert ts102640.read(xml(issued, issued.evidence()[1])).reasons[0].reason == Reason.R_REMMD_MALFUNCTION


async def test_a_recipient_refused_by_the_peer(issued):
    issued.client.answers = [Outcome("250 ok", {ZEKI: "550 5.1.1 no such user"})]
    await issued.work(Kind.RELAY)
    assert issued.states() == ["relayed", "unreached"]
    await issued.work(Kind.EVIDENCE)
    (row,) = [each for each in issued.evidence() if each.code == 31]
    made = ts102640.read(xml(issued, row))
    assert (row.ordinal, made.refers_to, made.reasons[0].reason) == (2, 2, Reason.UNKNOWN_RECIPIENT)
    assert issued.tasks(Kind.RELAY) == []


async def test_a_recipient_refused_for_now_is_asked_again_alone(issued):
    (before,) = issued.tasks(Kind.RELAY)
    issued.client.answers = [Outcome("250 ok", {ZEKI: "452 4.5.3 too many"})]
    await issued.work(Kind.RELAY)
    assert issued.states() == ["relayed", "relaying"]
    (task,) = issued.tasks(Kind.RELAY)
    assert (task.deadline, task.attempts) == (before.deadline, 1)
    assert task.due == issued.clock() + SETTINGS.retry_first
    assert "452" in task.last_error
    issued.clock.time = task.due
    await issued.work(Kind.RELAY)
    assert issued.client.sent[-1][1].recipients == (ZEKI,)
    assert issued.states() == ["relayed", "relayed"]


async def test_all_refused_one_for_good_and_one_for_now(issued):
    replies = {ZEKI: "550 5.1.1 no such user", VELI: "452 4.5.3 too many"}
    issued.client.answers = [RelayProblem("550", permanent=False, stage="rcpt", refused=replies)]
    await issued.work(Kind.RELAY, Kind.EVIDENCE)
    assert issued.states() == ["relaying", "unreached"], "a final no does not wait for the others"
    assert len(issued.tasks(Kind.RELAY)) == 1
    issued.clock.time = issued.tasks(Kind.RELAY)[0].due
    await issued.work(Kind.RELAY)
    assert issued.client.sent[-1][1].recipients == (VELI,)


async def test_a_recipient_refused_for_now_until_the_window_ends(issued):
    issued.clock.time = issued.tasks(Kind.RELAY)[0].deadline
    issued.client.answers = [Outcome("250 ok", {ZEKI: "452 4.5.3 too many"})]
    await issued.work(Kind.RELAY)
    assert issued.states() == ["relayed", "unreached"]
    assert issued.tasks(Kind.RELAY) == []
    await issued.work(Kind.EVIDENCE)
    (row,) = [each for each in issued.evidence() if each.code == 31]
    assert ts102640.read(xml(issued, row)).reasons[0].reason == Reason.R_REMMD_UNREACHABLE


async def test_a_relay_done_twice_sends_nothing_the_second_time(issued):
    (task,) = issued.tasks(Kind.RELAY)
    await issued.duties.relay(task)
    await issued.duties.relay(task)
    assert len(issued.client.sent) == 1
    assert issued.states() == ["relayed", "relayed"]


async def test_killed_between_the_250_and_the_commit(issued, bench):
    """The peer has it, we do not know: it is sent again, and the peer's evidence may come first."""
    sending = transaction_case(issued)

    async def answers_first(route, outgoing, octets):
        await issued.receive(receipt(bench, sending, KepCode.ILETILDI), SERVICE)
        await issued.receive(receipt(bench, sending, KepCode.TESLIM, refers_to=1), SERVICE)
        raise problem(stage="data")  # the connection broke before we read the 250

    issued.client.answers = [answers_first]
    await issued.work(Kind.RELAY)
    assert issued.states() == ["delivered", "answered"]
    (task,) = issued.tasks(Kind.RELAY)
    issued.clock.time = task.due
    await issued.work(Kind.RELAY)
    assert len(issued.client.sent) == 1
    assert issued.tasks(Kind.RELAY) == []


async def test_evidence_that_overtakes_the_250(issued, bench):
    given = transaction_case(issued)

    async def answers_first(route, outgoing, octets):
        await issued.receive(receipt(bench, given, KepCode.TESLIM, refers_to=2), SERVICE)
        return Outcome("250 ok", {})

    issued.client.answers = [answers_first]
    await issued.work(Kind.RELAY)
    assert issued.states() == ["relayed", "delivered"]
    assert [each.ordinal for each in issued.tasks(Kind.ANSWER_WINDOW)] == [1]


async def test_a_removed_peer_is_waited_for_and_then_31(issued):
    await issued.store.write(lambda tx: remove_peer(tx, HS91))
    await issued.peers.load()
    await issued.work(Kind.RELAY)
    assert issued.client.sent == []
    (task,) = issued.tasks(Kind.RELAY)
    assert "no peer at present" in task.last_error
    await issued.know(HS91)
    issued.clock.time = task.due
    await issued.work(Kind.RELAY)
    assert issued.states() == ["relayed", "relayed"]


# -- windows --------------------------------------------------------------------------------------------------------


async def test_no_answer_in_the_answer_window_is_31(issued, bench):
    await issued.work(Kind.RELAY)
    given = transaction_case(issued)
    issued.clock.go(hours=1)
    await issued.receive(receipt(bench, given, KepCode.ILETILDI, refers_to=1), SERVICE)
    issued.clock.go(hours=1)
    await issued.work(Kind.ANSWER_WINDOW, Kind.DELIVERY_WINDOW, Kind.EVIDENCE)
    assert issued.states() == ["answered", "unreached"]
    assert issued.codes() == [10, 20, 31]
    assert issued.tasks(Kind.ANSWER_WINDOW) == []


async def test_no_delivery_in_the_delivery_window_is_our_own_41_and_a_later_40_wins(issued, bench):
    await issued.work(Kind.RELAY)
    given = transaction_case(issued)
    await issued.receive(receipt(bench, given, KepCode.ILETILDI), SERVICE)
    await issued.receive(receipt(bench, given, KepCode.TESLIM, refers_to=2), SERVICE)
    issued.clock.go(hours=3)
    await issued.work(Kind.DELIVERY_WINDOW, Kind.EVIDENCE)
    assert issued.states() == ["unproved", "delivered"]
    (row,) = [each for each in issued.evidence() if each.code == 41]
    assert (row.own, row.ordinal) == (True, 1)
    assert ts102640.read(xml(issued, row)).reasons[0].reason == Reason.NO_DELIVERY_INFO
    assert issued.flags(ALI) == "$KepIletildi $KepKabul $KepTeslimEdilemedi \\Seen"
    assert issued.recipients()[0].proofs == {"10", "20", "41"}
    await issued.receive(receipt(bench, given, KepCode.TESLIM, refers_to=1), SERVICE)
    assert issued.states() == ["delivered-late", "delivered"]
    assert issued.flags(ALI) == "$KepIletildi $KepKabul $KepTeslim $KepTeslimEdilemedi \\Seen"


async def test_a_window_done_twice_or_after_its_answer_changes_nothing(issued, bench):
    await issued.work(Kind.RELAY)
    windows = issued.tasks(Kind.ANSWER_WINDOW)
    await issued.receive(receipt(bench, transaction_case(issued), KepCode.ILETILDI, refers_to=1), SERVICE)
    for task in [*windows, *windows]:
        await issued.duties.answer_window(task)
    assert issued.states() == ["answered", "unreached"]
    assert len(issued.tasks(Kind.EVIDENCE)) == 1


# -- the recipient's side ---------------------------------------------------------------------------------------------


@pytest.fixture
async def received(house, bench):
    """A dispatch from hs91 in the mailbox of ayse; nothing answered yet."""
    house.account("ayse", "Ayşe")
    octets = original("ali@hs91.kep.tr", [AYSE])
    await house.receive(sealed(bench, case(octets), octets), AYSE)
    return house


async def test_receipts_go_to_the_service_address_of_the_senders_provider(received, identities):
    await received.work()
    assert [outgoing.recipients for _, outgoing, _ in received.client.sent] == [(f"kep@{HS91}",)] * 2
    for _, outgoing, octets in received.client.sent:
        assert not outgoing.eight_bit
        assert octets.isascii()
        assert judge_message(octets, identities.anchors(HS90)).good
    assert received.states() == ["delivered"]
    assert received.tasks() == []
    assert received.mails("Deliller") == []  # they are the sender's


async def test_a_receipt_is_tried_for_ever(received):
    received.client.answers = [problem(permanent=True) for number in range(99)]
    received.client.answers[5] = Outcome("250 ok", {f"kep@{HS91}": "550 5.7.1 no"})
    await received.work(Kind.EVIDENCE)
    for _ in range(30):
        received.clock.go(hours=1)
        await received.work(Kind.RECEIPT)
    assert len(received.tasks(Kind.RECEIPT)) == 2
    assert {each.attempts for each in received.tasks(Kind.RECEIPT)} == {30}
    received.client.answers = []
    received.clock.go(hours=1)
    await received.work(Kind.RECEIPT)
    assert received.tasks() == []


async def test_a_receipt_waits_for_a_removed_peer(received):
    await received.work(Kind.EVIDENCE)
    await received.store.write(lambda tx: remove_peer(tx, HS91))
    await received.peers.load()
    await received.work(Kind.RECEIPT)
    assert any("no peer at present" in each.last_error for each in received.tasks(Kind.RECEIPT))
    assert len(received.tasks(Kind.RECEIPT)) == 2
    await received.know(HS91)
    received.clock.go(hours=1)
    await received.work(Kind.RECEIPT)
    assert received.tasks() == []


async def test_reading_makes_60_once(received):
    await received.work()
    (mail,) = mail_rows(received, "INBOX")
    await asyncio.gather(*(received.duties.opened(mail) for _ in range(5)))
    await received.work()
    await received.duties.opened(mail)
    assert sorted(received.codes()) == [10, 20, 40, 60]
    assert received.states() == ["read"]
    assert received.tasks() == []


async def test_reading_before_40_is_ready(received):
    (mail,) = mail_rows(received, "INBOX")
    await received.duties.opened(mail)
    await received.work()
    assert sorted(received.codes()) == [10, 20, 40, 60]
    assert received.states() == ["read"]
    assert received.recipients()[0].proofs == {"40", "60"}


async def test_reading_again_needs_no_commit(received, monkeypatch):
    (mail,) = mail_rows(received, "INBOX")
    await received.duties.opened(mail)
    monkeypatch.setattr(received.store, "write", None)
    await received.duties.opened(mail)


async def test_a_sender_who_reads_its_receipts_reads_for_nobody(house, ali):
    """Rows of Deliller and Gönderilmiş carry the same dispatch and ordinal as the copy of the recipient."""
    house.account("ayse")
    await house.submit(ali, original(to=[AYSE]), AYSE)
    await house.work()
    assert house.states() == ["delivered"]
    for mail in mail_rows(house, "Deliller") + mail_rows(house, "Gönderilmiş"):
        await house.duties.opened(mail)
    assert house.states() == ["delivered"]
    (mail,) = mail_rows(house, "INBOX")
    await house.duties.opened(mail)
    await house.work()
    assert house.codes() == [10, 40, 60]
    assert house.flags(ALI) == "$KepKabul $KepOkundu $KepTeslim \\Seen"


@pytest.mark.parametrize("read", [False, True])
async def test_not_read_in_time_is_61_where_it_is_asked_for(house, ali, read):
    house.duties.settings = replace(SETTINGS, retrieval_window=timedelta(hours=4))
    house.account("ayse")
    await house.submit(ali, original(to=[AYSE]), AYSE)
    await house.work()
    (mail,) = mail_rows(house, "INBOX")
    if read:
        await house.duties.opened(mail)
    house.clock.go(hours=4)
    await house.work()
    assert house.codes() == ([10, 40, 60] if read else [10, 40, 61])
    await house.duties.opened(mail)
    await house.work()
    assert house.codes() == ([10, 40, 60] if read else [10, 40, 61, 60])
    assert house.states() == ["read"]
    assert house.tasks() == []


# -- no stamp, no key ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [StampUnavailable("no TSA"), SigningUnavailable("expired")])
async def test_without_a_stamp_or_key_nothing_is_lost(house, ali, trouble, monkeypatch):
    monkeypatch.setattr(duties, "SENT_OVER", 0)  # as for a large original, which is sealed in a step of its own
    await house.submit(ali, original(to=[VELI]), VELI)
    (task,) = house.tasks()
    for place in range(2):  # at the evidence, then at the seal of the dispatch
        house.workshop.trouble = [trouble]
        if place:
            house.workshop.trouble = []
            real = house.workshop.seal

            async def seal(*_):
                raise trouble

            house.workshop.seal = seal
        with pytest.raises(type(trouble)):
            await house.duties.issue(task)
        if place:
            house.workshop.seal = real
        assert house.tasks() == [task]
        assert house.evidence() == []
        assert house.mails("Deliller") == []
    await house.duties.issue(task)
    assert house.codes() == [10]
    assert house.evidence()[0].event_time == task.created


# -- two providers ------------------------------------------------------------------------------------------------


def through(to, service):
    """An answer of a client that hands everything to another house."""

    async def deliver(route, outgoing, octets):
        assert route.provider == to.domain
        await to.receive(octets, *outgoing.recipients, sender=service)
        return Outcome("250 ok", {})

    return deliver


async def test_the_whole_way_between_two_houses(house, identities, tmp_path):
    there = await House(identities, tmp_path / HS91, HS91, house.clock).start()
    await there.know(HS90)
    ali = house.account("ali", "Ali Yılmaz")
    there.account("veli", "Veli Öztürk")
    octets = original(to=[VELI, "yok@hs91.kep.tr"], more=b"X-TR-REM-iletiTip: eYazisma\r\n", body="Şırıl".encode())
    await house.submit(ali, octets, VELI, "yok@hs91.kep.tr")
    for _ in range(3):
        house.client.answers = [through(there, f"kep@{HS90}") for _ in range(9)]
        there.client.answers = [through(house, f"kep@{HS91}") for _ in range(9)]
        await house.work()
        await there.work()
    assert house.states() == ["delivered", "refused"]
    assert there.states() == ["delivered", "refused"]
    (mail,) = mail_rows(there, "INBOX")
    await there.duties.opened(mail)
    there.client.answers = [through(house, f"kep@{HS91}")]
    await there.work()
    assert house.states() == ["read", "refused"]
    assert sorted(house.codes()) == [10, 20, 21, 40, 60]
    assert house.flags(ALI) == "$KepIletildi $KepKabul $KepTeslimEdilemedi \\Seen"
    assert {each.id: hashlib.sha256(xml(house, each)).hexdigest() for each in house.evidence()} == {
        each.id: hashlib.sha256(xml(there, each)).hexdigest() for each in there.evidence()
    }
    assert house.tasks() == there.tasks() == []
    there.close()
