"""The engine: what is durable, what is kept of a group, who hears of it, and what a full disk does."""

import asyncio
import sqlite3
import threading

import pytest

from kepgw.errors import StoreError, StoreFull
from kepgw.store.engine import GROUP, PAGE_SIZE, Change, Store


def put(name, value=0):
    return lambda tx: tx.run("INSERT INTO counter (name, value) VALUES (?, ?)", name, value)


def names(store):
    return [name for (name,) in store.read_now(lambda tx: tx.rows("SELECT name FROM counter ORDER BY name"))]


def grouped(store, *works):
    """Hand works in together: they share one commit, for the writer is held while they come."""
    inside, go = threading.Event(), threading.Event()

    def hold(tx):
        inside.set()
        assert go.wait(10)

    held = store._submit(hold)
    assert inside.wait(10)
    futures = [store._submit(work) for work in works]
    go.set()
    held.result(10)
    return [future.exception(10) or future.result() for future in futures]


def spy_commits(store):
    """The statements BEGIN and COMMIT that the writer executes."""
    seen = []
    store._connection.set_trace_callback(
        lambda sql: seen.append(sql) if sql in {"BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"} else None
    )
    return seen


def test_durability_is_really_in_force(store):
    def settings(tx):
        return [tx.row(f"PRAGMA {name}")[0] for name in ("journal_mode", "synchronous", "page_size", "foreign_keys")]

    assert store.write_now(settings) == ["wal", 2, PAGE_SIZE, 1]  # 2: FULL


def test_the_file_is_for_its_owner_only(store):
    assert store.path.stat().st_mode & 0o077 == 0


def test_a_group_shares_one_commit(store):
    seen = spy_commits(store)
    grouped(store, *(put(f"n{number}") for number in range(20)))
    assert seen == ["BEGIN IMMEDIATE", "COMMIT"] * 2  # that of the holder, and one for all twenty
    assert len(names(store)) == 20


def test_a_group_has_a_bound(store):
    seen = spy_commits(store)
    grouped(store, *(put(f"n{number:03}") for number in range(GROUP + 5)))
    assert seen.count("COMMIT") == 3
    assert len(names(store)) == GROUP + 5


def test_one_work_of_a_group_fails_and_the_others_are_kept(store):
    def fails(tx):
        tx.run("INSERT INTO counter (name, value) VALUES ('half', 1)")
        raise ValueError("no")

    def wrong(tx):
        tx.run("INSERT INTO counter (name, value) VALUES ('half', 1)")
        tx.run("INSERT INTO nowhere VALUES (1)")

    first, failed, bad, last = grouped(store, put("a"), fails, wrong, put("z"))
    assert first == last == 1
    assert isinstance(failed, ValueError)
    assert type(bad) is StoreError
    assert names(store) == ["a", "z"]


def test_a_unique_key_given_twice_in_a_group_fails_the_second(store):
    first, second = grouped(store, put("a", 1), put("a", 2))
    assert first == 1
    assert isinstance(second, StoreError)
    assert store.read_now(lambda tx: tx.row("SELECT value FROM counter")) == (1,)


def test_a_work_that_raises_leaves_nothing_even_for_errors_that_are_not_exceptions(store):
    def leaves(tx):
        put("x")(tx)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write_now(leaves)
    assert names(store) == []
    assert store.write_now(put("still writes")) == 1


def test_a_commit_that_fails_tells_everybody_and_keeps_nothing(store, monkeypatch):
    class Failing:
        def __init__(self, connection):
            self._real = connection

        def execute(self, sql, *parameters):
            if sql == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return self._real.execute(sql, *parameters)

        def __getattr__(self, name):
            return getattr(self._real, name)

    heard = []
    real = store._connection
    store._subscribers.add(heard.append)
    store._connection = Failing(real)
    with pytest.raises(StoreError, match="disk I/O error"):
        store.write_now(put("a"))
    store._connection = real
    assert names(store) == []
    assert heard == []
    assert store.write_now(put("b")) == 1


def limit_pages(store, more):
    pages = store.write_now(lambda tx: tx.row("PRAGMA page_count")[0])
    store.write_now(lambda tx: tx.row(f"PRAGMA max_page_count={pages + more}"))


def put_blob(number, size):
    return lambda tx: tx.run(
        "INSERT INTO blob_chunk (month, blob, seq, data) VALUES (1, ?, 0, zeroblob(?))", number, size
    )


def test_a_full_disk_is_StoreFull_and_writing_goes_on_when_there_is_room(store):
    limit_pages(store, 2)
    with pytest.raises(StoreFull):
        store.write_now(put_blob(1, 50 * PAGE_SIZE))
    assert store.read_now(lambda tx: tx.row("SELECT count(*) FROM blob_chunk")) == (0,)
    limit_pages(store, 100)
    assert store.write_now(put_blob(1, 50 * PAGE_SIZE)) == 1


def test_a_full_disk_fails_only_the_work_that_met_it(store):
    limit_pages(store, 2)
    small, big, small_again = grouped(store, put("a"), put_blob(1, 50 * PAGE_SIZE), put("b"))
    assert small == small_again == 1
    assert isinstance(big, StoreFull)
    assert names(store) == ["a", "b"]


def test_a_transaction_that_sqlite_gave_up_by_itself_fails_the_whole_group(store):
    def gives_up(tx):
        tx.run("ROLLBACK")  # what SQLite does on some full disks
        raise sqlite3.OperationalError("database or disk is full")

    first, second, third = grouped(store, put("a"), gives_up, put("b"))
    assert isinstance(first, StoreError)
    assert isinstance(second, StoreError)
    assert isinstance(third, StoreError)
    assert names(store) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [("SQLITE_FULL", StoreFull), ("SQLITE_IOERR_WRITE", StoreFull), ("SQLITE_IOERR_FSYNC", StoreError)],
)
def test_errors_of_sqlite_by_their_names(name, kind):
    from kepgw.store.engine import _store_error

    error = sqlite3.OperationalError("x")
    error.sqlite_errorname = name
    assert type(_store_error(error)) is kind


def test_a_reader_sees_one_snapshot_while_others_write(store):
    store.write_now(put("a", 1))

    def reading(tx):
        before = tx.row("SELECT value FROM counter")
        store.write_now(lambda tx: tx.run("UPDATE counter SET value = 2"))
        return before, tx.row("SELECT value FROM counter")

    assert store.read_now(reading) == ((1,), (1,))
    assert store.read_now(lambda tx: tx.row("SELECT value FROM counter")) == (2,)


def test_a_reader_cannot_write_and_tells_errors_as_ours(store):
    with pytest.raises(StoreError, match="readonly"):
        store.read_now(put("a"))
    with pytest.raises(StoreError):
        store.read_now(lambda tx: tx.rows("SELECT nothing FROM nowhere"))
    with pytest.raises(KeyError):
        store.read_now(lambda tx: {}["x"])
    assert store.read_now(lambda tx: tx.rows("SELECT name FROM counter")) == []


async def test_announcements_come_after_the_commit_and_only_of_what_was_kept(store):
    heard = asyncio.Queue()
    seen = []

    def hear(change):
        seen.append(store.read_now(lambda tx: tx.rows("SELECT name FROM counter")))
        heard.put_nowait(change)

    def said(name, topic):
        def work(tx):
            put(name)(tx)
            tx.announce(topic, 7)

        return work

    def fails(tx):
        tx.announce("lost", 1)
        raise ValueError

    store.subscribe(hear)
    results = await asyncio.gather(
        store.write(said("a", "mailbox")), store.write(fails), store.write(said("b", "task")), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), ValueError, type(None)]
    got = {await heard.get(), await heard.get()}
    assert got == {Change("mailbox", 7), Change("task", 7)}
    assert heard.empty()
    assert all(("a",) in rows for rows in seen)


async def test_a_subscriber_that_fails_keeps_the_news_from_nobody(store, caplog):
    heard = asyncio.Queue()

    def fails(change):
        raise RuntimeError("bad subscriber")

    store.subscribe(fails)
    stop = store.subscribe(heard.put_nowait)
    store.subscribe(fails)
    await store.write(lambda tx: tx.announce("task", 0))
    assert await heard.get() == Change("task", 0)
    assert "a subscriber failed" in caplog.text
    stop()
    await store.write(lambda tx: tx.announce("task", 1))
    await store.read(lambda tx: None)
    assert heard.empty()


async def test_a_caller_who_goes_away_does_not_undo_the_work(store):
    inside, go = threading.Event(), threading.Event()

    def slow(tx):
        inside.set()
        go.wait(10)
        return put("a")(tx)

    task = asyncio.create_task(store.write(slow))
    await asyncio.to_thread(inside.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    await store.write(put("b"))
    assert names(store) == ["a", "b"]


async def test_a_closed_store_says_so_and_keeps_what_was_handed_in(tmp_path):
    store = Store.open(tmp_path / "s")
    futures = [store._submit(put(f"n{number:03}")) for number in range(300)]
    store.close()
    store.close()
    assert all(future.result(0) == 1 for future in futures)
    with pytest.raises(StoreError, match="closed"):
        await store.write(put("late"))
    with pytest.raises(StoreError, match="closed"):
        await store.read(lambda tx: None)
    with pytest.raises(StoreError, match="closed"):
        store.read_now(lambda tx: None)
    again = Store.open(tmp_path / "s")
    assert len(names(again)) == 300
    again.close()


def test_many_and_rows(store):
    store.write_now(
        lambda tx: tx.many("INSERT INTO counter (name, value) VALUES (?, ?)", [("a", 1), ("b", 2), ("c", 3)])
    )
    assert store.read_now(lambda tx: tx.rows("SELECT value FROM counter WHERE value > ?", 1)) == [(2,), (3,)]
    assert store.read_now(lambda tx: tx.row("SELECT value FROM counter WHERE value > ?", 9)) is None
    assert store.write_now(lambda tx: tx.run("DELETE FROM counter WHERE value < ?", 3)) == 2


def test_nobody_is_answered_by_what_was_not_kept(store):
    def gives_up(tx):
        tx.run("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    def refuses_what_it_sees(tx):
        if tx.row("SELECT 1 FROM counter WHERE name = 'a'"):
            raise KeyError("there is an a already")

    _, refused, _ = grouped(store, put("a"), refuses_what_it_sees, gives_up)
    assert isinstance(refused, StoreError)


def test_after_a_full_disk_a_work_sees_only_what_was_kept(store):
    limit_pages(store, 2)

    def big(tx):
        put("a")(tx)
        put_blob(1, 50 * PAGE_SIZE)(tx)

    def sees(tx):
        return tx.row("SELECT 1 FROM counter WHERE name = 'a'") is not None

    refused, seen, own = grouped(store, big, lambda tx: {"seen": sees(tx)}, lambda tx: {}["own"])
    assert isinstance(refused, StoreFull)
    assert seen == {"seen": False}
    assert isinstance(own, KeyError)
