"""The queue: durable work that waits for its time."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from kepgw.store.engine import Row, Tx
from kepgw.store.ids import micros, moment, new_id

SIGN: Final = "sign"  # lane of work that needs a signature
NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
TIMER: Final = "timer"  # lane of windows that end; relay work waits in the lane of its peer

# what the reason of postponed work begins with; shown to people, and counted
AWAITING_STAMP: Final = "awaiting time stamp"
AWAITING_SIGNATURE: Final = "awaiting signature"
AWAITING_EARLIER: Final = "awaiting an earlier evidence"
REFUSED_FOR_GOOD: Final = "refused"  # by a 5xx; it is tried again, but nobody waits for it


class Kind(StrEnum):
    """What a task does."""

    ISSUE = "issue"  # evidence 10 and the dispatch
    EVIDENCE = "evidence"  # one evidence with its receipt
    RELAY = "relay"  # a dispatch to a peer
    RECEIPT = "receipt"  # a receipt to a peer
    ANSWER_WINDOW = "answer-window"
    DELIVERY_WINDOW = "delivery-window"
    RETRIEVAL_WINDOW = "retrieval-window"


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work. ``payload`` is JSON data, its keys belong to the kind."""

    kind: Kind
    month: int
    message: int
    dispatch: int | None
    lane: str
    due: datetime
    payload: dict[str, Any]
    created: datetime
    deadline: datetime | None = None
    attempts: int = 0
    last_error: str = ""
    id: int = 0
    ordinal: int | None = None
    held: str = ""  # why an administrator holds it back


_COLUMNS: Final = (
    "kind, month, message, dispatch, lane, due, payload, created, deadline, attempts, last_error, id, ordinal, held"
)

# jumps from lane to lane along the index (lane, due), however many tasks stand in each
_LANES: Final = (
    "WITH RECURSIVE lanes (lane) AS (SELECT min(lane) FROM task UNION ALL"
    " SELECT (SELECT min(lane) FROM task WHERE lane > lanes.lane) FROM lanes WHERE lanes.lane IS NOT NULL) "
)
_LANE_DUE: Final = (
    _LANES + "SELECT lane, (SELECT min(due) FROM task t WHERE t.lane = lanes.lane) FROM lanes WHERE lane IS NOT NULL"
)
_NEXT_DUE: Final = (
    _LANES + "SELECT min((SELECT min(due) FROM task t WHERE t.lane = lanes.lane AND t.due > ?)) FROM lanes"
    " WHERE lane IS NOT NULL"
)


def add(tx: Tx, task: Task) -> None:
    """Put a task into the queue under a number that no task had before.

    SQLite would give the number of a finished task again: whoever still holds that one would then finish this one.
    """
    tx.run(
        "INSERT INTO task (id, kind, month, message, dispatch, lane, due, payload, created, deadline, attempts,"
        " last_error, ordinal, held)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        new_id(task.created),
        task.kind.value,
        task.month,
        task.message,
        task.dispatch,
        task.lane,
        micros(task.due),
        json.dumps(task.payload, ensure_ascii=False),
        micros(task.created),
        None if task.deadline is None else micros(task.deadline),
        task.attempts,
        task.last_error,
        task.ordinal,
        task.held,
    )
    tx.announce("task", 0)


def due_lanes(tx: Tx, at: datetime) -> list[str]:
    """The lanes that have work due."""
    rows = tx.rows(_LANE_DUE)
    return [lane for lane, due in rows if due <= micros(at)]


def due_tasks(tx: Tx, lane: str, at: datetime, limit: int) -> list[Task]:
    """Work of a lane that is due, the oldest first."""
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM task WHERE lane = ? AND due <= ? ORDER BY due LIMIT ?",
        lane,
        micros(at),
        limit,
    )
    return [_task(row) for row in rows]


class Look(NamedTuple):
    """The queue at one moment."""

    due: list[Task]  # by lane, the oldest first
    next_due: datetime | None  # of what is not due yet
    waiting: int  # signing tasks, due or not


def look(tx: Tx, at: datetime, most: Callable[[str], int]) -> Look:
    """Everything that the carrier needs to know, in one read: at most ``most(lane)`` tasks of each lane."""
    found: list[Task] = []
    for lane in due_lanes(tx, at):
        limit = most(lane)
        if limit > 0:
            found += due_tasks(tx, lane, at, limit)
    return Look(found, next_due(tx, at), waiting(tx))


def next_due(tx: Tx, after: datetime) -> datetime | None:
    """When the next task that is not due yet will be."""
    row = tx.row(
        _NEXT_DUE,
        micros(after),
    )
    return moment(row[0]) if row and row[0] is not None else None


def postpone(tx: Tx, task: Task, due: datetime, reason: str) -> None:
    """Try a task again later, and say why it did not work."""
    tx.run(
        "UPDATE task SET due = ?, attempts = attempts + 1, last_error = ? WHERE id = ?",
        micros(due),
        reason[:500],
        task.id,
    )
    tx.announce("task", 0)


def postpone_lane(tx: Tx, lane: str, at: datetime, due: datetime, reason: str) -> int:
    """Let all work of a lane wait until ``due``, each at most until its deadline. Returns how many tasks do.

    Those whose deadline has passed at ``at`` stay due. None counts as tried; what was tried most often comes last: one
    whose turn never comes again must not be what every attempt is made with.
    """
    tx.announce("task", 0)
    return tx.run(
        "UPDATE task SET due = CASE WHEN deadline < ? THEN deadline ELSE ? + attempts * 1000 END, last_error = ?"
        " WHERE lane = ? AND due < ? AND held = '' AND (deadline IS NULL OR deadline > ?)",
        micros(due),
        micros(due),
        reason[:500],
        lane,
        micros(due),
        micros(at),
    )


def wait_for(tx: Tx, task: Task, other: Task, at: datetime, least: timedelta) -> None:
    """A receipt waits for the one before it: until ``let_follow``, or until it may have got further."""
    due = max(other.due, at + least)
    tx.run("UPDATE task SET due = ?, last_error = ? WHERE id = ?", micros(due), AWAITING_EARLIER, task.id)
    tx.announce("task", 0)


def of_dispatch(tx: Tx, month: int, message: int, dispatch: int, kinds: Sequence[Kind], limit: int) -> list[Task]:
    """Work about a dispatch, the oldest first."""
    marks = ", ".join("?" for _ in kinds)
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM task WHERE month = ? AND message = ? AND dispatch = ? AND kind IN ({marks})"
        " ORDER BY id LIMIT ?",
        month,
        message,
        dispatch,
        *(kind.value for kind in kinds),
        limit,
    )
    return [_task(row) for row in rows]


def let_follow(tx: Tx, task: Task, at: datetime) -> None:
    """What waits for the receipts of a dispatch before it may go now."""
    tx.run(
        "UPDATE task SET due = ? WHERE month = ? AND message = ? AND dispatch = ? AND lane = ? AND due > ?"
        " AND held = '' AND last_error LIKE ?",
        micros(at),
        task.month,
        task.message,
        task.dispatch,
        task.lane,
        micros(at),
        f"{AWAITING_EARLIER}%",
    )
    tx.announce("task", 0)


def finish(tx: Tx, task: Task) -> bool:
    """Take a done task out of the queue; False when somebody else already has."""
    return tx.run("DELETE FROM task WHERE id = ?", task.id) > 0


def end_windows(tx: Tx, kind: Kind, month: int, message: int, dispatch: int, ordinal: int) -> None:
    """A window that has its answer need not end."""
    tx.run(
        "DELETE FROM task WHERE month = ? AND message = ? AND dispatch = ? AND ordinal = ? AND kind = ?",
        month,
        message,
        dispatch,
        ordinal,
        kind.value,
    )


def queue(tx: Tx, limit: int = 1000) -> list[Task]:
    """The queue as an administrator sees it, by due time."""
    return [_task(row) for row in tx.rows(f"SELECT {_COLUMNS} FROM task ORDER BY due LIMIT ?", limit)]


def retry_now(tx: Tx, at: datetime, task_id: int | None = None) -> int:
    """Make waiting relay and signing work due at once (windows keep their time). Returns how many."""
    tx.announce("retry", 0)
    tx.announce("task", 0)
    return tx.run(
        "UPDATE task SET due = ? WHERE lane <> 'timer' AND held = '' AND due > ? AND (? IS NULL OR id = ?)",
        micros(at),
        micros(at),
        task_id,
        task_id,
    )


def wake(tx: Tx, lane: str, at: datetime) -> int:
    """Make all work of a lane due at once. Returns how many tasks were not due yet."""
    tx.announce("task", 0)
    return tx.run("UPDATE task SET due = ? WHERE lane = ? AND held = '' AND due > ?", micros(at), lane, micros(at))


def by_id(tx: Tx, task_id: int) -> Task | None:
    """A task of the queue."""
    row = tx.row(f"SELECT {_COLUMNS} FROM task WHERE id = ?", task_id)
    return _task(row) if row else None


def in_lane(tx: Tx, lane: str, kind: Kind) -> list[Task]:
    """All work of one kind in a lane."""
    return [_task(row) for row in tx.rows(f"SELECT {_COLUMNS} FROM task WHERE lane = ? AND kind = ?", lane, kind.value)]


def hold(tx: Tx, task: Task, reason: str) -> None:
    """Keep a task back until it is released; one with a deadline comes back when that has passed."""
    due = NEVER if task.deadline is None else task.deadline
    tx.run("UPDATE task SET due = ?, held = ? WHERE id = ?", micros(due), reason, task.id)
    tx.announce("task", 0)


def release(tx: Tx, task: Task, at: datetime) -> None:
    """Let a held task go on now."""
    tx.run("UPDATE task SET due = ?, held = '' WHERE id = ?", micros(at), task.id)
    tx.announce("task", 0)


class Depth(NamedTuple):
    """What stands in one lane: how much, of which so much awaits a stamp or a signature, and since when."""

    lane: str
    tasks: int
    awaiting_stamp: int
    awaiting_signature: int
    oldest: datetime


def depths(tx: Tx) -> list[Depth]:
    """All lanes that hold work, by name."""
    rows = tx.rows(
        "SELECT lane, count(*), sum(CASE WHEN last_error LIKE ? THEN 1 ELSE 0 END),"
        " sum(CASE WHEN last_error LIKE ? THEN 1 ELSE 0 END), min(created) FROM task GROUP BY lane ORDER BY lane",
        f"{AWAITING_STAMP}%",
        f"{AWAITING_SIGNATURE}%",
    )
    return [Depth(row[0], row[1], row[2], row[3], moment(row[4])) for row in rows]


def waiting(tx: Tx) -> int:
    """How many signing tasks wait: the debt that intake is measured against."""
    row = tx.row("SELECT count(*) FROM task WHERE lane = ?", SIGN)
    return int(row[0]) if row else 0


def _task(row: Row) -> Task:
    deadline = None if row[8] is None else moment(row[8])
    values = (Kind(row[0]), *row[1:5], moment(row[5]), json.loads(row[6]), moment(row[7]), deadline, *row[9:])
    return Task(*values)
