"""The ledger's rows: a leaf in the commit of its evidence, proofs from stored nodes, the tree over an old store."""

import hashlib
import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from test_store_engine import grouped
from test_store_messages import evidence

from kepgw.errors import StoreError
from kepgw.evidence import merkle
from kepgw.evidence.ledger import Head, Statement
from kepgw.store import ledger, messages, migrate
from kepgw.store.engine import Store
from kepgw.store.octets import put_blob

AT = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)
MONTH = 202601


def xml(number):
    return f"<evidence number='{number}'/>".encode()


def adding(number, **more):
    def work(tx):
        put_blob(tx, MONTH, number, [xml(number)])
        return messages.record_evidence(tx, evidence(f"delil.{number}@hs90.kep.tr", blob=number, **more))

    return work


def fill(store, count):
    for number in range(1, count + 1):
        assert store.write_now(adding(number, event_time=AT + timedelta(microseconds=number))) == number


def test_the_leaf_is_the_hash_of_a_record_that_anybody_can_write(store):
    store.write_now(adding(1, ordinal=2, reason="Çıkmaz", dispatch=(1 << 61) + 1))
    record = {
        "v": 1,
        "seq": 1,
        "id": "delil.1@hs90.kep.tr",
        "digest": hashlib.sha256(xml(1)).hexdigest(),
        "code": 10,
        "issuer": "hs90.kep.tr",
        "own": True,
        "event_time": "2026-01-31T21:30:00.000000Z",
        "month": MONTH,
        "message": "1",
        "dispatch": str((1 << 61) + 1),
        "ordinal": 2,
        "reason": "Çıkmaz",
    }
    octets = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    leaf = hashlib.sha256(b"\x00" + octets).digest()
    assert store.read_now(ledger.tree) == (1, [leaf])
    (found,) = store.read_now(lambda tx: ledger.records(tx, 0, 9))
    assert found.record.octets() == octets


def test_a_large_evidence_is_read_in_pieces(store):
    octets = b"x" * 700_000

    def work(tx):
        put_blob(tx, MONTH, 1, [octets])
        messages.record_evidence(tx, evidence("a", blob=1))

    store.write_now(work)
    (found,) = store.read_now(lambda tx: ledger.records(tx, 0, 9))
    assert found.record.digest == hashlib.sha256(octets).digest()
    assert store.read_now(ledger.tree).edge == [found.record.leaf()]


def test_stored_nodes_prove_every_record_and_every_continuation(store):
    fill(store, 21)

    def work(tx):
        size, edge = ledger.tree(tx)
        leaves = [each.record.leaf() for each in ledger.records(tx, 0, size)]
        assert len(leaves) == size == 21
        assert len(ledger.nodes(tx, 0, size)) == merkle.count(size)
        root = merkle.edge_root(edge)
        assert root == ledger.root_at(tx, size)
        for seq, leaf in enumerate(leaves, 1):
            merkle.verify_inclusion(leaf, seq - 1, size, ledger.inclusion(tx, seq, size), root)
        for old in range(1, size + 1):
            proof = ledger.consistency(tx, old, size)
            merkle.verify_consistency(old, size, ledger.root_at(tx, old), root, proof)

    store.read_now(work)


def test_a_work_that_fails_leaves_no_leaf(store):
    def lost(tx):
        adding(2)(tx)
        raise RuntimeError("lost")

    results = grouped(store, adding(1), lost, adding(3))
    assert isinstance(results[1], RuntimeError)
    assert (results[0], results[2]) == (1, 2)
    assert store.read_now(ledger.tree).size == 2
    assert store.read_now(lambda tx: [each.identifier for each in ledger.records(tx, 0, 9)]) == [
        "delil.1@hs90.kep.tr",
        "delil.3@hs90.kep.tr",
    ]


def test_an_evidence_without_octets_is_not_recorded(store):
    with pytest.raises(StoreError, match="missing"):
        store.write_now(lambda tx: messages.record_evidence(tx, evidence("a", blob=99)))
    assert store.read_now(ledger.counted) == (0, 0)
    assert store.read_now(ledger.tree).size == 0


def test_a_ledger_that_lost_its_end_is_not_continued(store):
    fill(store, 3)

    def truncate(tx):
        tx.run("DELETE FROM evidence WHERE seq = 3")
        tx.run("UPDATE counter SET value = 2 WHERE name = 'evidence'")

    store.write_now(truncate)
    with pytest.raises(StoreError, match="removed"):
        store.write_now(adding(4))
    store.write_now(lambda tx: tx.run("UPDATE ledger_tree SET edge = x'00'"))
    with pytest.raises(StoreError, match="edge"):
        store.write_now(adding(5))
    store.write_now(lambda tx: tx.run("DELETE FROM ledger_node"))
    with pytest.raises(StoreError, match="node"):
        store.read_now(lambda tx: ledger.root_at(tx, 3))


async def test_growth_is_announced(store):
    import asyncio

    seen = asyncio.Queue()
    store.subscribe(seen.put_nowait)
    await store.write(adding(1))
    assert await asyncio.wait_for(seen.get(), 5) == ("ledger", 1)


def test_heads(store):
    assert store.read_now(ledger.newest_head) is None

    def head(size):
        return Head(Statement("hs90.kep.tr", size, b"r" * 32, AT).octets(), b"signature%d" % size, b"token")

    for size in (5, 12, 7):
        store.write_now(lambda tx, size=size: ledger.put_head(tx, head(size)))
    size, time, newest = store.read_now(ledger.newest_head)
    assert (size, time, newest) == (12, AT, head(12))
    assert store.read_now(lambda tx: ledger.heads(tx, 5)) == [(7, head(7)), (12, head(12))]
    again = Head(head(7).statement, b"other", b"other")
    store.write_now(lambda tx: ledger.put_head(tx, again))
    assert store.read_now(lambda tx: ledger.heads(tx, 5, 1)) == [(7, head(7))]


def old_store(path, monkeypatch, count):
    """A store as version 0001 left it."""
    with monkeypatch.context() as patched:
        real = migrate.command.upgrade
        patched.setattr(migrate.command, "upgrade", lambda config, _: real(config, "0001"))
        migrate.upgrade(path)
    fresh = Store.open(path.with_name("fresh"))
    fill(fresh, count)
    expected = fresh.read_now(ledger.tree), fresh.read_now(lambda tx: ledger.nodes(tx, 0, count))
    fresh.close()
    connection = sqlite3.connect(path)
    connection.execute("ATTACH ? AS fresh", (str(path.with_name("fresh")),))
    for table in ("evidence", "blob", "blob_chunk", "counter"):
        connection.execute(f"INSERT INTO {table} SELECT * FROM fresh.{table}")
    connection.commit()
    connection.close()
    return expected


@pytest.mark.parametrize("count", [0, 1, 1203])
def test_the_evidence_of_an_older_store_becomes_the_first_leaves(tmp_path, monkeypatch, count):
    expected = old_store(tmp_path / "old", monkeypatch, count)
    store = Store.open(tmp_path / "old")
    assert store.read_now(ledger.tree) == expected[0]
    assert store.read_now(lambda tx: ledger.nodes(tx, 0, count)) == expected[1]
    assert store.write_now(adding(count + 1)) == count + 1
    store.close()


def test_an_older_store_with_a_hole_is_not_upgraded(tmp_path, monkeypatch):
    old_store(tmp_path / "old", monkeypatch, 3)
    connection = sqlite3.connect(tmp_path / "old")
    connection.execute("DELETE FROM evidence WHERE seq = 2")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="evidence 2 is missing"):
        Store.open(tmp_path / "old")
