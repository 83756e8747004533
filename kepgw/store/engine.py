"""The seam between the product and its database, and the SQLite engine behind it.

Work on the store is a function of a transaction, ``work(tx)``, without any other side effect. ``Store.write`` returns
when the work is durable; many waiting works share one fsync (group commit). ``Store.read`` runs on a snapshot.

SQLite: one writer thread owns the only writing connection, WAL, synchronous FULL; readers have connections of
their own, so that reading never waits for writing.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from kepgw.errors import StoreError, StoreFull

T = TypeVar("T")
Row = tuple[Any, ...]

PAGE_SIZE: Final = 16384  # cannot be changed later under WAL
READERS: Final = 4
GROUP: Final = 128  # works that share one commit at most

_log = logging.getLogger("kepgw.store")


class Change(NamedTuple):
    """Something was committed that others may wait for: ``("mailbox", 7)``, ``("task", 0)``, ``("account", 3)``."""

    topic: str
    key: int


class Tx(Protocol):
    """One transaction, as a work sees it. SQL takes ``?`` placeholders and runs on either engine."""

    def run(self, sql: str, *params: object) -> int:
        """Execute a statement; the number of rows it touched."""

    def many(self, sql: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Execute a statement for each row."""

    def row(self, sql: str, *params: object) -> Row | None:
        """The first row of a query, or None."""

    def rows(self, sql: str, *params: object) -> list[Row]:
        """All rows of a query; callers bound it by LIMIT where the result can grow."""

    def announce(self, topic: str, key: int) -> None:
        """Tell subscribers after the commit, and only then."""


class _SqliteTx:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.changes: set[Change] = set()

    def run(self, sql: str, *params: object) -> int:
        return self._connection.execute(sql, params).rowcount

    def many(self, sql: str, rows: Iterable[tuple[object, ...]]) -> None:
        self._connection.executemany(sql, rows)

    def row(self, sql: str, *params: object) -> Row | None:
        found: Row | None = self._connection.execute(sql, params).fetchone()
        return found

    def rows(self, sql: str, *params: object) -> list[Row]:
        return self._connection.execute(sql, params).fetchall()

    def announce(self, topic: str, key: int) -> None:
        self.changes.add(Change(topic, key))


def _store_error(error: sqlite3.Error) -> StoreError:
    # SQLITE_FULL is a full disk; a short write of the WAL or of its index is one too, seen from below
    name = getattr(error, "sqlite_errorname", "")
    if name in {"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"}:
        return StoreFull(f"{name}: {error}")
    return StoreError(f"{name or type(error).__name__}: {error}")


def connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    """A connection with the settings that durability and speed rest on."""
    mode = "rwc" if writable else "ro"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=30
    )
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-16384")
    if writable:
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # a commit is on the disk when it returns
    return connection


class Reader:
    """Looks at a store that another process may own: one connection that cannot write, in the calling thread.

    Raises StoreError when the file is not there or not a store. A long look should be many short ones: the log of the
    owner cannot shrink while a snapshot is held.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._connection = connect(path, writable=False)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error
        # whoever spoilt a text must not make the whole store unreadable
        self._connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")

    def look(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` on a consistent snapshot. Raises what the work raises or StoreError."""
        try:
            self._connection.execute("BEGIN")
            try:
                return work(_SqliteTx(self._connection))
            finally:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _store_error(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class _Waiting(NamedTuple):
    work: Callable[[Tx], Any]
    future: "Future[Any]"


class Store:
    """An open store. ``subscribe`` gives a queue of committed changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._subscribers: set[Callable[[Change], None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._local = threading.local()
        self._reading: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READERS, "store-read")
        self._connection = connect(path, writable=True)
        self._closed = False
        self._closing = threading.Lock()  # nothing is handed in behind the writer's last item
        self._writer = threading.Thread(target=self._write_loop, name="store-write", daemon=True)
        self._writer.start()

    @classmethod
    def open(cls, path: Path) -> "Store":
        """Open the store at ``path`` and bring its schema up to date. Raises StoreError if it cannot be used."""
        from kepgw.store.migrate import upgrade  # noqa: PLC0415  (Alembic loads late: 0.1 s that reads need not pay)

        try:
            upgrade(path)
            return cls(path)
        except sqlite3.Error as error:
            raise _store_error(error) from error
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Finish what was handed in and close all connections."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._waiting.put(None)
        self._writer.join()
        self._readers.shutdown()
        for connection in self._reading:
            connection.close()
        self._connection.close()

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call ``callback`` on the event loop for every committed change; returns the function that ends it."""
        self._loop = asyncio.get_running_loop()
        self._subscribers.add(callback)
        return lambda: self._subscribers.discard(callback)

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` in a transaction; returns its value when the commit is durable.

        Raises what the work raises (nothing of it is then kept), StoreFull or StoreError.
        """
        return await asyncio.wrap_future(self._submit(work))

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run ``work`` on a consistent snapshot in a reader thread. Raises what the work raises or StoreError."""
        if self._closed:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, work)

    def write_now(self, work: Callable[[Tx], T]) -> T:
        """``write`` for callers without an event loop (commands on a stopped provider)."""
        return self._submit(work).result()

    def read_now(self, work: Callable[[Tx], T]) -> T:
        """``read`` in the calling thread."""
        if self._closed:
            raise StoreError("the store is closed")
        try:
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = connect(self.path, writable=False)
                self._reading.append(connection)
            connection.execute("BEGIN")
            try:
                return work(_SqliteTx(connection))
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _store_error(error) from error

    def _submit(self, work: Callable[[Tx], T]) -> "Future[T]":
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # a caller who goes away does not undo what was handed in
        with self._closing:
            if self._closed:
                raise StoreError("the store is closed")
            self._waiting.put(_Waiting(work, future))
        return future

    def _write_loop(self) -> None:
        while (first := self._waiting.get()) is not None:
            group = [first]
            last = False
            with suppress(queue.Empty):
                while len(group) < GROUP:
                    item = self._waiting.get_nowait()
                    if item is None:
                        last = True
                        break
                    group.append(item)
            self._commit(group)
            if last:
                return

    def _commit(self, group: list[_Waiting]) -> None:
        tx = _SqliteTx(self._connection)
        done: list[tuple[_Waiting, Any, BaseException | None]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            done = [self._attempt(tx, waiting) for waiting in group]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            failure = _store_error(error)
            if isinstance(failure, StoreFull) and len(group) > 1:
                # SQLite gives up the whole transaction for one large work: the small ones may still find room
                for waiting in group:
                    self._commit([waiting])
                return
            _log.error("commit failed: %s", failure)
            # also what a work raised by itself: it may have seen what another one of the group wrote
            done = [(waiting, None, failure) for waiting in group]
        else:
            self._publish(tx.changes)
        for waiting, value, problem in done:
            if problem is None:
                waiting.future.set_result(value)
            else:
                waiting.future.set_exception(problem)

    def _attempt(self, tx: _SqliteTx, waiting: _Waiting) -> tuple[_Waiting, Any, BaseException | None]:
        before = set(tx.changes)
        self._connection.execute("SAVEPOINT work")
        try:
            value = waiting.work(tx)
        except BaseException as problem:
            tx.changes = before
            if not self._connection.in_transaction:  # SQLite rolled everything back by itself: a full disk
                raise (
                    problem if isinstance(problem, sqlite3.Error) else sqlite3.OperationalError(str(problem))
                ) from None
            self._connection.execute("ROLLBACK TO work")
            self._connection.execute("RELEASE work")
            if isinstance(problem, sqlite3.Error):
                problem = _store_error(problem)
            return waiting, None, problem
        self._connection.execute("RELEASE work")
        return waiting, value, None

    def _publish(self, changes: set[Change]) -> None:
        if changes and self._loop is not None and self._subscribers:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._tell, changes)

    def _tell(self, changes: set[Change]) -> None:
        for callback in tuple(self._subscribers):
            for change in changes:
                try:
                    callback(change)
                except Exception:  # what one subscriber cannot do must not keep the news from the others
                    _log.exception("a subscriber failed: topic=%s key=%d", change.topic, change.key)
