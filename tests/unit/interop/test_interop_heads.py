"""Tree heads: signed when they are due, judged, and never over a ledger that is damaged."""

import asyncio
import subprocess
from datetime import timedelta

import pytest
from interop_house import HS90, HS91, InProcess

from kepgw.errors import SignatureInvalid, StampUnavailable, StoreError
from kepgw.evidence import ledger as documents
from kepgw.interop.heads import HeadKeeper, HeadSettings, checked
from kepgw.store import ledger, messages
from kepgw.store.engine import Store
from kepgw.store.ids import month_of
from kepgw.store.octets import put_blob
from kepgw.trust.circuit import Waits
from kepgw.trust.heads import verify_head


class Workshop(InProcess):
    """Counts the heads; ``trouble`` comes first."""

    def __init__(self, bench):
        super().__init__(bench)
        self.sizes = []

    async def head(self, size, root):
        if self.trouble:
            raise self.trouble.pop(0)
        self.sizes.append(size)
        return self.bench.head(size, root)


class Clock:
    def __init__(self):
        from datetime import UTC, datetime

        self.time = datetime.now(UTC)

    def __call__(self):
        return self.time


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "s")
    yield store
    store.close()


@pytest.fixture
def workshop(identities):
    return Workshop(identities.benches[HS90])


async def record(store, clock, count=1):
    def work(tx):
        for _ in range(count):
            number = ledger.tree(tx).size + 1
            month = month_of(clock())
            put_blob(tx, month, number, [b"<evidence/>"])
            row = messages.EvidenceRow(
                month, f"delil.{number}@{HS90}", 1, 1, None, 10, HS90, True, clock(), "", number, None
            )
            messages.record_evidence(tx, row)

    await store.write(work)


async def until(store, size):
    """Wait for the head of a size."""
    seen = asyncio.Event()
    end = store.subscribe(lambda change: seen.set() if change.topic == "ledger-head" else None)
    try:
        while True:
            seen.clear()
            newest = await store.read(ledger.newest_head)
            if newest and newest[0] >= size:
                return newest[2]
            await asyncio.wait_for(seen.wait(), 20)
    finally:
        end()


async def test_the_first_record_and_each_so_many_get_a_head(store, workshop):
    clock = Clock()
    keeper = HeadKeeper(store, workshop, HeadSettings(timedelta(hours=1), 10), clock)
    await keeper.start()
    await record(store, clock)
    await until(store, 1)
    await record(store, clock, 9)
    await record(store, clock, 1)
    await until(store, 11)
    assert workshop.sizes == [1, 11]
    await keeper.stop()


async def test_time_passes_then_the_next_record_gets_a_head(store, workshop):
    clock = Clock()
    await record(store, clock, 3)
    keeper = HeadKeeper(store, workshop, HeadSettings(timedelta(hours=1), 10), clock)
    assert await keeper._look() == pytest.approx(3600)
    assert workshop.sizes == [3], "what the last process left is due at once"
    await record(store, clock)
    left = await keeper._look()
    assert 3590 < left <= 3600
    clock.time += timedelta(hours=1, seconds=1)
    await keeper._look()
    assert workshop.sizes == [3, 4]
    clock.time += timedelta(hours=2)
    await keeper._look()
    assert workshop.sizes == [3, 4], "no record, no head"
    assert keeper._wake_at == 5


async def test_without_a_stamp_it_waits_and_tries_again(store, workshop, monkeypatch, caplog):
    monkeypatch.setattr("kepgw.interop.heads.RETRY", Waits(0.01, 0.01))
    workshop.trouble = [StampUnavailable("no authority answers"), RuntimeError("odd")]
    clock = Clock()
    await record(store, clock)
    keeper = HeadKeeper(store, workshop, HeadSettings(), clock)
    await keeper.start()
    await until(store, 1)
    await keeper.stop()
    assert "no authority answers" in caplog.text


async def test_a_head_is_judged_by_anybody(store, workshop, identities, tmp_path):
    clock = Clock()
    await record(store, clock, 5)
    keeper = HeadKeeper(store, workshop, HeadSettings(), clock)
    assert await keeper.sign_now() == 5
    assert await keeper.sign_now() == 5
    assert workshop.sizes == [5], "the same tree is not signed twice"
    (_, _, head) = await store.read(ledger.newest_head)
    head = documents.read_head(documents.write_head(head))
    anchors = identities.anchors(HS90)
    judged = verify_head(head, HS90, f"kep@{HS90}", anchors)
    assert judged.statement.size == 5
    assert judged.statement.root == (await store.read(ledger.tree)).root
    assert "urn:kepgw:policy:development" in judged.statement.policies
    with pytest.raises(SignatureInvalid):
        verify_head(head, HS91, f"kep@{HS90}", anchors)
    with pytest.raises(SignatureInvalid, match="signed by"):
        verify_head(head, HS90, f"kep@{HS91}", anchors)
    with pytest.raises(SignatureInvalid):
        verify_head(head, HS90, f"kep@{HS90}", identities.anchors(HS91))
    other = await workshop.head(5, b"x" * 32)
    for spoilt in (
        documents.Head(other.statement, head.signature, head.token),
        documents.Head(head.statement, other.signature, head.token),
        documents.Head(head.statement, head.signature, other.token),
    ):
        with pytest.raises(SignatureInvalid):
            verify_head(spoilt, HS90, f"kep@{HS90}", anchors)

    check_with_openssl(head, identities.folder / HS90 / "keys" / "root.pem", tmp_path)


def check_with_openssl(head, root, folder):
    for name, octets in (("statement", head.statement), ("signature", head.signature), ("token", head.token)):
        (folder / name).write_bytes(octets)
    for command in (
        "cms -verify -cades -binary -inform DER -in signature -content statement -out /dev/null -purpose any",
        "ts -verify -data signature -in token -token_in",
    ):
        done = subprocess.run(
            ["openssl", *command.split(), "-CAfile", str(root)], cwd=folder, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE ledger_node SET hash = x'" + "00" * 32 + "' WHERE id = 6",
        "DELETE FROM ledger_node WHERE id = 6",
        "UPDATE ledger_tree SET size = 3, edge = x'" + "11" * 64 + "'",
    ],
)
async def test_a_damaged_ledger_is_not_signed(store, workshop, damage):
    clock = Clock()
    await record(store, clock, 4)
    keeper = HeadKeeper(store, workshop, HeadSettings(), clock)
    await keeper.sign_now()
    await store.write(lambda tx: tx.run(damage))
    with pytest.raises(StoreError, match="ledger"):
        await keeper.sign_now()
    assert workshop.sizes == [4]


async def test_a_tree_that_does_not_continue_its_head_is_not_signed(store, workshop):
    clock = Clock()
    await record(store, clock, 4)
    await store.write(lambda tx: ledger.put_head(tx, workshop.bench.head(3, b"x" * 32)))
    with pytest.raises(StoreError, match="does not continue"):
        await store.read(checked)
    await store.write(lambda tx: ledger.put_head(tx, workshop.bench.head(9, b"x" * 32)))
    with pytest.raises(StoreError, match="there are 4"):
        await store.read(checked)
