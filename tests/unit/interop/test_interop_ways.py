"""A peer that cannot be reached: one attempt at a time, everything else waits for it, and nobody waits for good."""

from datetime import timedelta

import pytest
from interop_house import HS91, HS92, RelayProblem, original

from kepgw.interop.desk import Outcome
from kepgw.interop.settings import RelaySettings
from kepgw.interop.ways import Ways
from kepgw.store.tasks import Kind, retry_now

SETTINGS = RelaySettings(retry_first=timedelta(seconds=30), retry_jitter=0.0)


def dead(stage="connect"):
    return RelayProblem("nobody there", permanent=False, stage=stage)


@pytest.fixture
def ways(house):
    return Ways(SETTINGS, house.clock)


def fail(ways, peer=HS91, stage="connect", last=False):
    with pytest.raises(RelayProblem, match="nobody there"), ways.attempt(peer, last=last):
        raise dead(stage)


def tried(ways, last=False):
    try:
        with ways.attempt(HS91, last=last):
            return True
    except RelayProblem:
        return False


@pytest.mark.parametrize("stage", ["dns", "connect", "tls"])
def test_after_a_failure_nobody_tries_until_its_wait_is_over(ways, house, stage):
    fail(ways, stage=stage)
    assert not ways.open(HS91)
    assert ways.left(HS91) == timedelta(seconds=30)
    assert not tried(ways)
    assert ways.open(HS92)
    house.clock.go(seconds=30)
    fail(ways)
    assert ways.left(HS91) == timedelta(seconds=60)
    house.clock.go(seconds=60)
    assert tried(ways)
    assert ways.open(HS91)


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
def test_what_it_says_of_a_message_says_that_it_is_there(ways, stage):
    fail(ways, stage=stage)
    assert ways.open(HS91)


def test_one_probe_at_a_time(ways, house):
    fail(ways)
    house.clock.go(seconds=30)
    with ways.attempt(HS91, last=False):
        assert not tried(ways)
        assert not tried(ways, last=True)
        assert ways.left(HS91) == timedelta(seconds=30)
    assert tried(ways)


def test_those_that_fail_beside_one_another_fail_once(ways):
    others = [ways.attempt(HS91, last=False) for _ in range(3)]
    for each in others:
        each.__enter__()
    for each in others:
        assert not each.__exit__(RelayProblem, dead(), None)
    assert ways.left(HS91) == timedelta(seconds=30)


def test_a_probe_that_ends_without_an_answer_lets_another_probe(ways, house):
    fail(ways)
    house.clock.go(seconds=30)
    with pytest.raises(OSError, match="disk"), ways.attempt(HS91, last=False):
        raise OSError("disk")
    assert not ways.open(HS91)
    assert tried(ways)


def test_the_last_chance_is_tried_but_not_by_all(ways, house):
    fail(ways)
    assert not tried(ways, last=True), "it was tried a moment ago"
    house.clock.go(seconds=29)
    assert not tried(ways, last=True)
    house.clock.go(seconds=1)
    fail(ways)
    house.clock.go(seconds=31)  # its wait is 60 by now
    assert not tried(ways)
    fail(ways, last=True)


def test_forgotten(ways):
    fail(ways)
    ways.forget()
    assert tried(ways)


# -- with a queue ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def waiting(house):
    """Forty dispatches for hs91, and one for hs92."""
    ali = house.account("ali")
    for number in range(40):
        await house.submit(ali, original(number=number), "veli@hs91.kep.tr")
    await house.submit(ali, original(number=99, to=("can@hs92.kep.tr",)), "can@hs92.kep.tr")
    await house.work(Kind.ISSUE)
    return house


def relays(house, lane=HS91):
    return [each for each in house.tasks(Kind.RELAY) if each.lane == lane]


async def test_a_dead_peer_is_tried_by_one_and_the_rest_wait(waiting):
    began = waiting.clock()
    waiting.client.answers = [dead() for _ in range(9)]
    (there,) = relays(waiting, HS92)
    for task in relays(waiting)[:4]:
        await waiting.duties.relay(task)
    assert len(waiting.client.sent) == 1, "those that had begun to run make no attempt"
    assert waiting.duties.at_once(HS91) == 1
    assert {each.due - began for each in relays(waiting)[:39]} == {timedelta(seconds=30)}
    assert all(each.last_error.startswith("connect: nobody") for each in relays(waiting))
    assert sum(each.attempts for each in relays(waiting)) <= 4
    assert relays(waiting, HS92) == [there], "nobody else waits"
    waiting.client.answers.clear()
    await waiting.duties.relay(there)
    # each later attempt is made with another
    probed = set()
    for wait in (30, 60, 120):
        waiting.clock.go(seconds=wait)
        waiting.client.answers = [dead()]
        first = relays(waiting)[0]
        await waiting.duties.relay(first)
        probed.add(first.id)
    assert len(probed) == 3
    assert len(waiting.client.sent) == 5
    # the peer is back: all go at once
    waiting.clock.go(seconds=240)
    await waiting.duties.relay(relays(waiting)[0])
    assert waiting.duties.at_once(HS91) > 1
    assert {each.due for each in relays(waiting)} == {waiting.clock()}
    await waiting.work(Kind.RELAY)
    assert len(waiting.client.sent) == 5 + 40
    assert relays(waiting) == []


async def test_a_message_that_comes_while_nobody_is_there_waits_with_the_others(waiting):
    waiting.client.answers = [dead()]
    await waiting.work(Kind.RELAY)
    sent = len(waiting.client.sent)
    ali = waiting.account("ayla")
    await waiting.submit(ali, original("ayla@hs90.kep.tr", number=200), "veli@hs91.kep.tr")
    await waiting.work(Kind.ISSUE)
    await waiting.work(Kind.RELAY)
    assert len(waiting.client.sent) == sent
    assert all(each.due > waiting.clock() for each in relays(waiting))


async def test_at_the_end_of_the_window_31_without_a_connection_each(waiting):
    waiting.client.answers = [dead() for _ in range(99)]
    while tasks := relays(waiting):
        waiting.clock.time = max(waiting.clock(), min(each.due for each in tasks))
        await waiting.work(Kind.RELAY)
    attempts = [route for route, _, _ in waiting.client.sent if route.provider == HS91]
    assert len(attempts) == 8, "as many for forty messages as for one"
    await waiting.work(Kind.EVIDENCE)
    assert sum(waiting.codes(number).count(31) for number in range(41)) == 41


async def test_an_administrator_who_says_now(waiting):
    carrier = waiting.carrier()
    waiting.client.answers = [dead()]
    await waiting.work(Kind.RELAY)
    await carrier.start()
    await waiting.store.write(lambda tx: retry_now(tx, waiting.clock()))
    await carrier.settled()
    await carrier.stop(5)
    assert relays(waiting) == []


async def test_a_refused_message_is_no_dead_peer(waiting):
    waiting.client.answers = [RelayProblem("451 busy", permanent=False, stage="data"), Outcome("250 ok", {})]
    first, second = relays(waiting)[:2]
    await waiting.duties.relay(first)
    await waiting.duties.relay(second)
    assert len(waiting.client.sent) == 2
