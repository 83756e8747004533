"""The carrier: lanes apart, nothing dropped, an end that finishes what is in hand."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from kepgw.errors import SigningUnavailable, StampUnavailable, StoreError
from kepgw.interop import carrier as module
from kepgw.interop.carrier import SIGN_AT_ONCE, Carrier
from kepgw.interop.settings import RelaySettings
from kepgw.store import tasks
from kepgw.store.engine import Store
from kepgw.store.tasks import SIGN, TIMER, Kind, Task
from kepgw.trust.circuit import Waits

AT = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)
SETTINGS = RelaySettings(connections_per_peer=2, retry_jitter=0.0)
STAMP_WAITS = Waits(7, 60, jitter=0.0)


class Work:
    """Duties that do what the test says: ``does`` by lane, else finish."""

    def __init__(self, store):
        self.store = store
        self.settings = SETTINGS
        self.does = {}
        self.begun = asyncio.Queue()
        self.now = {}
        self.most = {}
        self.count = []
        for kind in Kind:
            setattr(self, kind.value.replace("-", "_"), self.do)

    def at_once(self, peer):
        return SETTINGS.connections_per_peer

    def try_all(self):
        self.tried_all = True

    async def do(self, task):
        lane = task.lane
        self.count.append(task.id)
        self.now[lane] = self.now.get(lane, 0) + 1
        self.most[lane] = max(self.most.get(lane, 0), self.now[lane])
        self.begun.put_nowait(task)
        try:
            await self.does.get(lane, self.finish)(task)
        finally:
            self.now[lane] -= 1

    async def finish(self, task):
        await self.store.write(lambda tx: tasks.finish(tx, task))


@pytest.fixture
async def shop(tmp_path):
    store = Store.open(tmp_path / "s")
    work = Work(store)
    clock = SimpleNamespace(time=AT)
    carrier = Carrier(store, work, lambda: clock.time, 1, STAMP_WAITS)
    yield SimpleNamespace(store=store, work=work, carrier=carrier, clock=clock)
    await carrier.stop(5)
    store.close()


def task(kind=Kind.RELAY, lane="hs91.kep.tr", due=AT, **more):
    return Task(kind, 202601, 1, 2, lane, due, {}, AT, **more)


async def put(shop, *given):
    await shop.store.write(lambda tx: [tasks.add(tx, each) for each in given])


def left(shop):
    return shop.store.read_now(tasks.queue)


async def test_what_was_left_from_before_is_done(shop):
    await put(shop, task(), task(Kind.ISSUE, SIGN), task(Kind.ANSWER_WINDOW, TIMER))
    await shop.carrier.start()
    await shop.carrier.settled()
    assert left(shop) == []
    assert len(shop.work.count) == 3


async def test_new_work_is_begun_when_it_is_committed(shop):
    await shop.carrier.start()
    await put(shop, task())
    assert (await shop.work.begun.get()).lane == "hs91.kep.tr"


async def test_a_peer_that_hangs_holds_up_nobody_else_and_takes_few_connections(shop):
    go = asyncio.Event()

    async def hang(given):
        await go.wait()
        await shop.work.finish(given)

    shop.work.does["hs91.kep.tr"] = hang
    await put(shop, *(task() for _ in range(20)))
    await shop.carrier.start()
    await put(shop, task(lane="hs92.kep.tr"), task(Kind.ISSUE, SIGN), task(Kind.ANSWER_WINDOW, TIMER))
    begun = [await shop.work.begun.get() for _ in range(5)]
    assert sorted(each.lane for each in begun) == ["hs91.kep.tr"] * 2 + ["hs92.kep.tr", SIGN, TIMER]
    go.set()
    await shop.carrier.settled()
    assert left(shop) == []
    assert shop.work.most["hs91.kep.tr"] == SETTINGS.connections_per_peer
    assert sorted(shop.work.count) == sorted(set(shop.work.count)), "each once"


async def test_signing_has_a_bound_and_the_debt_is_told(shop):
    go = asyncio.Event()

    async def wait(given):
        await go.wait()
        await shop.work.finish(given)

    shop.work.does[SIGN] = wait
    await put(shop, *(task(Kind.ISSUE, SIGN) for _ in range(30)))
    await shop.carrier.start()
    for _ in range(SIGN_AT_ONCE):
        await shop.work.begun.get()
    assert shop.carrier.debt == 30
    go.set()
    await shop.carrier.settled()
    assert shop.work.most[SIGN] == SIGN_AT_ONCE
    assert shop.carrier._running == {}
    assert shop.carrier._in_lane == {}
    assert len(shop.work.count) == 30


@pytest.mark.parametrize(
    ("error", "told", "wait"),
    [
        (StampUnavailable("no TSA"), "awaiting time stamp: no TSA", timedelta(seconds=7)),
        (SigningUnavailable("no key"), "awaiting signature: no key", timedelta(seconds=7)),
        (ValueError("a fault of ours"), "ValueError: a fault", SETTINGS.retry_first),
        (StoreError("x"), "StoreError: x", SETTINGS.retry_first),
    ],
)
async def test_what_fails_waits_and_is_tried_again(shop, error, told, wait):
    async def fail(given):
        raise error

    shop.work.does[SIGN] = fail
    await put(shop, task(Kind.ISSUE, SIGN))
    await shop.carrier.start()
    await shop.carrier.settled()
    (found,) = left(shop)
    assert (found.due, found.attempts) == (AT + wait, 1)
    assert found.last_error.startswith(told)
    del shop.work.does[SIGN]
    shop.clock.time = found.due
    shop.carrier._wake.set()
    await shop.work.begun.get()
    await shop.work.begun.get()
    await shop.carrier.settled()
    assert left(shop) == []


async def test_the_first_stamp_after_an_outage_wakes_all_that_wait(shop):
    async def fail(given):
        raise StampUnavailable("no TSA")

    shop.work.does[SIGN] = fail
    await put(shop, *(task(Kind.ISSUE, SIGN) for _ in range(5)), task(Kind.RELAY, due=AT + timedelta(hours=1)))
    await shop.carrier.start()
    await shop.carrier.settled()
    waiting = [each for each in left(shop) if each.lane == SIGN]
    assert [each.due for each in waiting] == [AT + timedelta(seconds=7)] * 5
    depth = {each.lane: each for each in shop.store.read_now(tasks.depths)}
    assert (depth[SIGN].tasks, depth[SIGN].awaiting_stamp, depth[SIGN].oldest) == (5, 5, AT)
    assert (depth["hs91.kep.tr"].tasks, depth["hs91.kep.tr"].awaiting_stamp) == (1, 0)
    del shop.work.does[SIGN]
    await put(shop, task(Kind.EVIDENCE, SIGN))  # its own time is now; the others' is not
    for _ in range(5 + 6):
        await shop.work.begun.get()
    await shop.carrier.settled()
    assert [each.lane for each in left(shop)] == ["hs91.kep.tr"], "other lanes keep their time"


async def test_a_task_that_falls_due_between_two_looks_at_the_clock_is_not_slept_over(shop, monkeypatch):
    """The pause is measured from the look that found nothing, not from a later one."""
    await put(shop, task(due=AT + timedelta(milliseconds=1)))
    real = shop.carrier._start_due

    async def slow():
        pause = await real()
        shop.clock.time = AT + timedelta(milliseconds=5)
        return pause

    monkeypatch.setattr(shop.carrier, "_start_due", slow)
    await shop.carrier.start()
    async with asyncio.timeout(5):
        await shop.work.begun.get()


async def test_stop_finishes_what_is_in_hand_and_begins_nothing(shop):
    go = asyncio.Event()

    async def slow(given):
        await go.wait()
        await shop.work.finish(given)

    shop.work.does["hs91.kep.tr"] = slow
    await put(shop, *(task() for _ in range(5)))
    await shop.carrier.start()
    await shop.work.begun.get()
    stopping = asyncio.create_task(shop.carrier.stop(5))
    await put(shop, task(lane="hs92.kep.tr"))
    go.set()
    await stopping
    assert len(left(shop)) == 6 - 2
    assert set(shop.work.most) == {"hs91.kep.tr"}


async def test_stop_leaves_what_takes_too_long_in_the_queue(shop):
    async def hang(given):
        await asyncio.Event().wait()

    shop.work.does["hs91.kep.tr"] = hang
    await put(shop, task())
    await shop.carrier.start()
    await shop.work.begun.get()
    await shop.carrier.stop(0)
    (found,) = left(shop)
    assert found.attempts == 0


async def test_the_carrier_outlives_a_queue_that_cannot_be_read(shop, monkeypatch, caplog):
    real = module.look
    monkeypatch.setattr(module, "look", None)
    await shop.carrier.start()
    await put(shop, task())
    while "cannot be read" not in caplog.text:
        await shop.store.read(lambda tx: None)
    monkeypatch.setattr(module, "look", real)
    shop.carrier._wake.set()
    await shop.work.begun.get()


async def test_one_that_ended_while_the_queue_was_read_is_not_begun_again(shop, monkeypatch):
    await put(shop, task())
    (only,) = left(shop)
    real = shop.store.read
    reads = []

    async def read(work):
        found = await real(work)
        if isinstance(found, tasks.Look) and found.due:
            reads.append(found)
            if len(reads) == 2:  # the snapshot still has it; meanwhile its run ends
                gate.set()
                while shop.carrier._running:
                    await asyncio.wait(list(shop.carrier._running.values()))
        return found

    gate = asyncio.Event()

    async def hold(given):
        await gate.wait()
        await shop.work.finish(given)

    shop.work.does["hs91.kep.tr"] = hold
    monkeypatch.setattr(shop.store, "read", read)
    await shop.carrier.start()
    await shop.work.begun.get()
    shop.carrier._wake.set()
    async with asyncio.timeout(5):
        while left(shop):
            await asyncio.wait([asyncio.create_task(real(lambda tx: None))])
    await shop.carrier.settled()
    assert shop.work.count == [only.id]
