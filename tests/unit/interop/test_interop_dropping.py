"""What an administrator holds back, lets go and gives up."""

from datetime import timedelta

import pytest
from interop_house import HS90, HS91, original

from kepgw.evidence.codes import Reason
from kepgw.interop.desk import Outcome
from kepgw.interop.dropping import give_up
from kepgw.interop.peers import hold_peer, release_peer
from kepgw.interop.work import order_of
from kepgw.store.tasks import Kind, hold, release, retry_now

VELI, ZEKI = "veli@hs91.kep.tr", "zeki@hs91.kep.tr"


@pytest.fixture
async def issued(house):
    ali = house.account("ali")
    await house.submit(ali, original(to=[VELI, ZEKI]), VELI, ZEKI)
    await house.work(Kind.ISSUE)
    return house


async def test_a_held_dispatch_is_not_sent_and_its_window_goes_on(issued):
    (task,) = issued.tasks(Kind.RELAY)
    await issued.store.write(lambda tx: hold(tx, task, "bakım"))
    await issued.store.write(lambda tx: retry_now(tx, issued.clock()))
    assert await issued.work(Kind.RELAY) == 0
    issued.clock.time = task.deadline
    assert await issued.work(Kind.RELAY, Kind.EVIDENCE) == 3
    assert not issued.client.sent
    assert issued.states() == ["unreached", "unreached"]
    assert issued.codes() == [10, 31, 31]


async def test_one_held_while_it_is_under_way_is_not_sent_again(issued):
    """The peer has it for one recipient; the other one's second attempt is what is held back."""
    (task,) = issued.tasks(Kind.RELAY)

    async def answer(route, outgoing, octets):
        await issued.store.write(lambda tx: hold(tx, task, "bakım"))
        return Outcome("250 2.0.0 ok", {ZEKI: "450 4.2.1 later"})

    issued.client.answers = [answer]
    assert await issued.work(Kind.RELAY) == 1
    (left,) = issued.tasks(Kind.RELAY)
    assert (left.held, left.due) == ("bakım", task.deadline)
    issued.clock.go(minutes=59)
    assert await issued.work(Kind.RELAY) == 0
    assert len(issued.client.sent) == 1


async def test_one_given_up_while_it_is_under_way_has_one_31_and_then_counts_as_late(issued):
    (task,) = issued.tasks(Kind.RELAY)

    async def answer(route, outgoing, octets):
        args = (Reason.OTHER, "yanlış alıcı", HS90, issued.clock())
        assert await issued.store.write(lambda tx: give_up(tx, task, *args))
        return Outcome("250 2.0.0 ok", {})

    issued.client.answers = [answer]
    assert await issued.work(Kind.RELAY, Kind.EVIDENCE) == 3
    assert issued.states() == ["unreached", "unreached"]
    assert issued.codes() == [10, 31, 31]
    assert not issued.tasks(Kind.RELAY)
    assert not issued.tasks(Kind.ANSWER_WINDOW)


async def test_a_released_dispatch_goes_at_once(issued):
    (task,) = issued.tasks(Kind.RELAY)
    await issued.store.write(lambda tx: hold(tx, task, "bakım"))
    issued.clock.go(hours=1)
    await issued.store.write(lambda tx: release(tx, task, issued.clock()))
    assert await issued.work(Kind.RELAY) == 1
    assert len(issued.client.sent) == 1


async def test_nothing_is_given_to_a_held_peer(issued):
    await issued.store.write(lambda tx: hold_peer(tx, HS91, "bakım", issued.clock()))
    await issued.peers.load()
    assert await issued.work(Kind.RELAY) == 1
    assert not issued.client.sent
    (task,) = issued.tasks(Kind.RELAY)
    assert task.last_error == "held: bakım"
    assert await issued.store.write(lambda tx: release_peer(tx, HS91))
    assert not await issued.store.write(lambda tx: release_peer(tx, HS91))
    await issued.peers.load()
    issued.clock.time = task.due
    assert await issued.work(Kind.RELAY) == 1
    assert len(issued.client.sent) == 1


async def test_a_dispatch_given_up_is_31_with_the_reason_for_those_who_waited(issued):
    (task,) = issued.tasks(Kind.RELAY)
    args = (Reason.OTHER, "yanlış alıcı", HS90, issued.clock())
    assert await issued.store.write(lambda tx: give_up(tx, task, *args))
    assert not await issued.store.write(lambda tx: give_up(tx, task, *args))  # it is given up once
    assert issued.states() == ["unreached", "unreached"]
    orders = [order_of(each.payload) for each in issued.tasks(Kind.EVIDENCE)]
    assert [(each.code, each.about, each.reasons[0].details) for each in orders] == [
        (31, (1,), "yanlış alıcı"),
        (31, (2,), "yanlış alıcı"),
    ]
    assert not issued.tasks(Kind.RELAY)


async def test_an_evidence_is_never_given_up(issued):
    (task,) = issued.tasks(Kind.RELAY)
    await issued.work(Kind.RELAY)
    issued.clock.go(days=2)
    window = issued.tasks(Kind.ANSWER_WINDOW)[0]
    with pytest.raises(ValueError, match="no relay"):
        issued.store.write_now(lambda tx: give_up(tx, window, Reason.OTHER, "x", HS90, issued.clock()))
    assert task.deadline - task.created <= timedelta(days=1)
