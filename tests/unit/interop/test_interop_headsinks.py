"""Heads leave the machine: in order, each one, whatever fails on the way."""

import asyncio
import json
import stat
import sys
from datetime import UTC, datetime

import pytest

from kepgw.evidence.ledger import Head, Statement, read_head
from kepgw.interop import headsinks
from kepgw.interop.headsinks import CommandSink, FolderSink, HeadSender, Undelivered
from kepgw.store import headsinks as rows
from kepgw.store import ledger
from kepgw.store.engine import Store

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "s")
    yield store
    store.close()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(headsinks, "RETRY_FIRST", 0.01)
    monkeypatch.setattr(headsinks, "RETRY_MAX", 0.01)


async def sign(store, *sizes):
    for size in sizes:
        head = Head(Statement("hs90.kep.tr", size, bytes(32), AT).octets(), b"signature", b"token")
        await store.write(lambda tx, head=head: ledger.put_head(tx, head))


class Place:
    """Fails as often as it is told, and remembers."""

    name = "place"

    def __init__(self, *troubles):
        self.troubles = list(troubles)
        self.files = []
        self.arrived = asyncio.Event()
        self.wanted = 0

    async def deliver(self, file, octets):
        if self.troubles:
            raise self.troubles.pop(0)
        self.files.append((file, read_head(octets).read().size))
        if len(self.files) >= self.wanted:
            self.arrived.set()

    async def wait(self, count):
        self.wanted = count
        if len(self.files) < count:
            self.arrived.clear()
            await asyncio.wait_for(self.arrived.wait(), 20)


async def state(store, name, want):
    """Wait until the state of a place is as wanted."""
    news = asyncio.Event()
    end = store.subscribe(lambda change: news.set() if change.topic == rows.TOPIC else None)
    async with asyncio.timeout(20):
        while True:
            news.clear()
            found = {each.name: each for each in await store.read(rows.states)}[name]
            if want(found):
                end()
                return found
            await news.wait()


async def run(store, *sinks):
    sender = HeadSender(store, "hs90.kep.tr", sinks, lambda: AT)
    await sender.start()
    return sender


async def test_every_head_in_order_also_after_failures_and_a_restart(store):
    await sign(store, 1, 5)
    place = Place(Undelivered("full"), Undelivered("full"), ValueError("a fault"))
    sender = await run(store, place)
    await place.wait(1)
    assert place.files == [("hs90.kep.tr-000000000005.json", 5)], "a new place begins with the newest"
    await sign(store, 7, 9)
    await place.wait(3)
    await state(store, "place", lambda found: found.size == 9)
    await sender.stop()
    await sign(store, 10, 12)
    again = Place()
    sender = await run(store, again)
    await again.wait(2)
    await sign(store, 20)
    await again.wait(3)
    await sender.stop()
    assert [size for _, size in place.files + again.files] == [5, 7, 9, 10, 12, 20]


async def test_a_place_that_fails_does_not_keep_the_others_waiting(store):
    place, dead = Place(), Place(*[Undelivered("unreachable")] * 100_000)
    dead.name = "dead"
    sender = await run(store, dead, place)
    await sign(store, 3)
    await place.wait(1)
    found = await state(store, "dead", lambda found: found.error)
    await sender.stop()
    assert (found.size, found.error) == (0, "unreachable")


async def test_a_folder_gets_whole_files(tmp_path):
    sink = FolderSink(tmp_path)
    await sink.deliver("a.json", b"one")
    await sink.deliver("a.json", b"one")  # after a crash between its arrival and our knowing
    (file,) = tmp_path.iterdir()
    assert (file.name, file.read_bytes()) == ("a.json", b"one")
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    with pytest.raises(Undelivered, match="No such file"):
        await FolderSink(tmp_path / "not mounted").deliver("a.json", b"one")
    assert not (tmp_path / "not mounted").exists()


async def test_a_folder_that_is_full_keeps_no_halves(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(headsinks.os, "fsync", full)
    with pytest.raises(Undelivered, match="No space"):
        await FolderSink(tmp_path).deliver("a.json", b"one")
    assert list(tmp_path.iterdir()) == []


async def test_a_command_gets_the_head_on_its_input(tmp_path):
    program = "import os, sys; open(os.environ['KEPGW_HEAD'], 'wb').write(sys.stdin.buffer.read())"
    target = tmp_path / "h.json"
    await CommandSink([sys.executable, "-c", program], 20).deliver(str(target), b"x" * 100_000)
    assert target.read_bytes() == b"x" * 100_000


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["sh", "-c", "echo dolu >&2; exit 3"], "status 3: dolu"),
        (["/nowhere/at/all"], "No such file"),
        (["sh", "-c", "yes >&2 & exit 4"], "not ready|status 4"),
        (["sleep", "1000"], "not ready"),
        (["sh", "-c", "sleep 1000 & wait"], "not ready"),
    ],
)
async def test_a_command_that_fails(command, reason):
    with pytest.raises(Undelivered, match=reason):
        await CommandSink(command, 0.3).deliver("h.json", b"x" * 1_000_000)


async def test_the_state_is_there_for_people(store):
    await sign(store, 2)
    sink = CommandSink(["false"], 5)
    sender = await run(store, sink)
    found = await state(store, sink.name, lambda found: found.error)
    await sender.stop()
    assert json.loads(found.name.removeprefix("command ")) == ["false"]
    assert (found.size, found.error) == (1, "false: status 1: ")
