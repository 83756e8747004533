"""How long a message is kept, what holds it back, and its deletion, which is a record of the ledger.

Nothing is deleted by itself. What a deletion leaves: the rows without octets and persons, the leaf of every evidence,
and a record that names who, when, why and the digest of each document that went.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from kepgw.errors import StoreError
from kepgw.evidence.ledger import Deleted, Deletion
from kepgw.store import ledger
from kepgw.store.archivedocuments import Document, Kind, digest, documents_of
from kepgw.store.engine import Tx
from kepgw.store.ids import micros, moment
from kepgw.store.mailboxes import raise_modseq
from kepgw.store.messages import DELETED

PAGE: Final = 1000  # rows of one look
MOST_HOLDS: Final = 10_000  # listed


# -- legal hold ---------------------------------------------------------------------------------------------------


class Hold(NamedTuple):
    """A legal hold on a message; ``released`` is None while it is in force. Times in microseconds."""

    id: int
    month: int
    message: int
    placed: int
    placed_by: str
    reason: str
    released: int | None
    released_by: str
    release_reason: str


_HOLD: Final = "id, month, message, placed, placed_by, reason, released, released_by, release_reason"


def place_hold(tx: Tx, month: int, message: int, by: str, reason: str, at: datetime) -> int:
    """Put a hold on a message; it may have several. Returns its number."""
    row = tx.row(
        "INSERT INTO legal_hold (month, message, placed, placed_by, reason, released_by, release_reason)"
        " VALUES (?, ?, ?, ?, ?, '', '') RETURNING id",
        month,
        message,
        micros(at),
        by,
        reason,
    )
    assert row is not None
    return int(row[0])


def release_holds(tx: Tx, month: int, message: int, by: str, reason: str, at: datetime) -> int:
    """Release all holds on a message. Returns how many were in force."""
    return tx.run(
        "UPDATE legal_hold SET released = ?, released_by = ?, release_reason = ?"
        " WHERE month = ? AND message = ? AND released IS NULL",
        micros(at),
        by,
        reason,
        month,
        message,
    )


def holds(tx: Tx, *, released: bool = False) -> list[Hold]:
    """The holds in force, or with ``released`` all that there ever were, the oldest first."""
    rows = tx.rows(
        f"SELECT {_HOLD} FROM legal_hold WHERE released IS NULL OR ? ORDER BY id LIMIT ?", int(released), MOST_HOLDS
    )
    return [Hold(*row) for row in rows]


# -- what may go --------------------------------------------------------------------------------------------------


class Candidate(NamedTuple):
    """A message whose last event lies before the day that was asked for. ``last`` is that event's time.

    ``refusal`` is empty, or why it stays: hold | retention | waiting.
    """

    month: int
    id: int
    sender: str
    last: int
    evidence: int
    size: int
    refusal: str


def kept_until(last: datetime, years: int) -> datetime:
    """The end of the retention of what ended at ``last``: the same day, so many calendar years later."""
    try:
        return last.replace(year=last.year + years)
    except ValueError:  # 29 February
        return last.replace(year=last.year + years, month=3, day=1)


def candidates(
    tx: Tx, before: datetime, at: datetime, years: int, after: tuple[int, int], limit: int = PAGE
) -> tuple[list[Candidate], tuple[int, int] | None]:
    """Messages with keys above ``after`` whose last event is before ``before``; and where the next look goes on."""
    rows = tx.rows(
        "SELECT m.month, m.id, m.sender, m.t0, m.size,"
        " (SELECT max(event_time) FROM evidence e WHERE e.month = m.month AND e.message = m.id),"
        " (SELECT count(*) FROM evidence e WHERE e.month = m.month AND e.message = m.id),"
        " EXISTS (SELECT 1 FROM task t WHERE t.month = m.month AND t.message = m.id),"
        " EXISTS (SELECT 1 FROM legal_hold h WHERE h.month = m.month AND h.message = m.id AND h.released IS NULL)"
        " FROM message m WHERE (m.month, m.id) > (?, ?) AND m.month <= ? AND m.state <> ?"
        " ORDER BY m.month, m.id LIMIT ?",
        *after,
        before.astimezone(UTC).year * 100 + before.astimezone(UTC).month,
        DELETED,
        limit,
    )
    found = []
    for month, number, sender, t0, size, newest, count, waiting, held in rows:
        last = max(t0, newest or 0)  # an evidence of a peer may speak of an earlier time than our own T0
        if last >= micros(before):
            continue
        refusal = "hold" if held else "waiting" if waiting or not count else ""
        if not refusal and kept_until(moment(last), years) > at:
            refusal = "retention"
        found.append(Candidate(month, number, sender, last, count, size, refusal))
    return found, (rows[-1][0], rows[-1][1]) if len(rows) == limit else None


def refusal_of(tx: Tx, month: int, message: int, at: datetime, years: int) -> str | None:
    """As ``Candidate.refusal``, for one message now; None when it is not there or deleted already."""
    far = moment(micros(at) + 1)
    found, _ = candidates(tx, far, at, years, (month, message - 1), 1)
    if not found or (found[0].month, found[0].id) != (month, message):
        return None
    return found[0].refusal


# -- what others need ---------------------------------------------------------------------------------------------


class Going(NamedTuple):
    """The contents and blobs of some messages of a month, without those that something else needs."""

    contents: frozenset[int]
    blobs: frozenset[int]


_IN: Final = "IN (SELECT value FROM json_each(?))"
_USES: Final = (  # table, the message it belongs to, the content it needs
    ("message", "id", "content"),
    ("dispatch", "message", "content"),
    ("evidence", "message", "receipt"),
    ("mail", "message", "content"),
)


def going(tx: Tx, month: int, messages: Iterable[int]) -> Going:
    """What the deletion of these messages may take away. One walk through the month, however many they are."""
    listed = json.dumps(sorted(messages))
    contents: set[int] = set()
    for table, owner, content in _USES:
        sql = f"SELECT DISTINCT {content} FROM {table} WHERE month = ? AND {owner} {_IN} AND {content} IS NOT NULL"
        contents |= _first(tx, sql, month, listed)
    wanted = json.dumps(sorted(contents))
    for table, owner, content in _USES:
        sql = (
            f"SELECT DISTINCT {content} FROM {table} WHERE month = ? AND {content} {_IN}"
            f" AND ({owner} IS NULL OR {owner} NOT {_IN})"
        )
        contents -= _first(tx, sql, month, wanted, listed)
    wanted = json.dumps(sorted(contents))
    blob = "json_extract(s.value, '$[0]')"
    spans = f"SELECT DISTINCT {blob} FROM content c, json_each(c.spans) s WHERE c.month = ? AND c.id"
    blobs = _first(tx, f"SELECT blob FROM evidence WHERE month = ? AND message {_IN}", month, listed)
    blobs |= _first(tx, f"{spans} {_IN}", month, wanted)
    needed = json.dumps(sorted(blobs))
    others = f"SELECT blob FROM evidence WHERE month = ? AND blob {_IN} AND message NOT {_IN}"
    blobs -= _first(tx, others, month, needed, listed)
    blobs -= _first(tx, f"{spans} NOT {_IN} AND {blob} {_IN}", month, wanted, needed)
    return Going(frozenset(contents), frozenset(blobs))


def _first(tx: Tx, sql: str, *params: object) -> set[int]:
    return {row[0] for row in tx.rows(sql, *params)}


# -- deletion -----------------------------------------------------------------------------------------------------


def documents(tx: Tx, month: int, message: int) -> tuple[Deleted, ...]:
    """Every document of a message with its digest as it is now, in the order of the ledger.

    Raises StoreError when one is not what was recorded: a deletion never covers up damage.
    """
    found: list[tuple[int, Document]] = []
    for (seq,) in tx.rows("SELECT seq FROM evidence WHERE month = ? AND message = ? ORDER BY seq", month, message):
        (row,) = ledger.records(tx, seq - 1, seq)
        if row.record is None or row.record.leaf() != ledger.node(tx, 0, seq - 1):
            raise StoreError(f"record {seq} is not what was recorded; run kepgw ledger verify")
        found += [(0 if each.kind == Kind.ORIGINAL else seq, each) for each in documents_of(tx, seq)]
    named = {each for _, each in found}
    for table, owner, kind in (("message", "id", Kind.ORIGINAL), ("dispatch", "message", Kind.DISPATCH)):
        sql = f"SELECT content FROM {table} WHERE month = ? AND {owner} = ? AND content IS NOT NULL ORDER BY id"
        others = (Document(kind, month, content) for (content,) in tx.rows(sql, month, message))
        found += [
            (0, each) for each in others if each not in named
        ]  # no evidence stands for it: it is told all the same
    deleted = []
    for seq, each in found:
        taken = digest(tx, each, ["sha256"])
        deleted.append(Deleted(str(each.kind), seq, taken.digests["sha256"], taken.size))
    return tuple(deleted)


class Order(NamedTuple):
    """Who deletes, and why; ``actor`` is the system user."""

    by: str
    actor: str
    reason: str


def delete(
    tx: Tx, month: int, message: int, order: Order, went: Sequence[Deleted], taken: Going, at: datetime
) -> Deletion:
    """Delete a message, in one transaction, and record it. ``went`` and ``taken`` were found just before.

    Raises StoreError when the message got another evidence since.
    """
    seqs = [row[0] for row in tx.rows("SELECT seq FROM evidence WHERE month = ? AND message = ?", month, message)]
    evidence = {each.seq: each.digest for each in went if each.kind == Kind.EVIDENCE}
    if set(seqs) != set(evidence):
        raise StoreError(f"message {message} was changed while it was to be deleted; try again")
    seq = ledger.next_seq(tx)
    record = Deletion(seq, at, order.by, order.actor, order.reason, month, message, tuple(went))
    tx.run(
        "INSERT INTO deletion (seq, time, month, message, record) VALUES (?, ?, ?, ?, ?)",
        seq,
        micros(at),
        month,
        message,
        record.octets(),
    )
    tx.many(
        "INSERT INTO deleted_evidence (seq, digest, deletion) VALUES (?, ?, ?)",
        [(number, octets, seq) for number, octets in evidence.items()],
    )
    ledger.append(tx, record)
    _take_away(tx, month, message, taken)
    return record


def _take_away(tx: Tx, month: int, message: int, taken: Going) -> None:
    """Octets and persons: what is left are numbers, times, digests and the provider's own identifiers."""
    key = (month, message)
    tx.row("PRAGMA secure_delete = ON")  # SQLite: what is deleted is overwritten, not only forgotten
    contents = {
        row[0]
        for row in tx.rows(
            "SELECT content FROM message WHERE month = ? AND id = ?"
            " UNION SELECT content FROM dispatch WHERE month = ? AND message = ?"
            " UNION SELECT receipt FROM evidence WHERE month = ? AND message = ?"
            " UNION SELECT content FROM mail WHERE month = ? AND message = ?",
            *key * 4,
        )
        if row[0] is not None
    } & taken.contents
    blobs = {row[0] for row in tx.rows("SELECT blob FROM evidence WHERE month = ? AND message = ?", *key)}
    for content in contents:
        row = tx.row("SELECT spans FROM content WHERE month = ? AND id = ?", month, content)
        blobs |= {span[0] for span in json.loads(row[0])} if row else set()
    for blob in blobs & taken.blobs:
        tx.run("DELETE FROM blob_chunk WHERE month = ? AND blob = ?", month, blob)
        tx.run("DELETE FROM blob WHERE month = ? AND id = ?", month, blob)
    for content in contents:
        tx.run("DELETE FROM content WHERE month = ? AND id = ?", month, content)
    kept = "SELECT mailbox, sum(CASE WHEN kind = 'receipt' THEN 0 ELSE size END) FROM mail"
    for mailbox, octets in tx.rows(f"{kept} WHERE month = ? AND message = ? GROUP BY mailbox", *key):
        raise_modseq(tx, mailbox, octets)
    tx.run("DELETE FROM mail WHERE month = ? AND message = ?", *key)
    tx.run(
        "UPDATE message SET state = ?, content = NULL, sender = '', sender_name = '', subject = '', facts = '{}'"
        " WHERE month = ? AND id = ?",
        DELETED,
        *key,
    )
    tx.run(
        "DELETE FROM recipient WHERE month = ?"
        " AND dispatch IN (SELECT id FROM dispatch WHERE month = ? AND message = ?)",
        month,
        *key,
    )
    tx.run("UPDATE dispatch SET content = NULL, state = ? WHERE month = ? AND message = ?", DELETED, *key)
    tx.run("UPDATE evidence SET receipt = NULL WHERE month = ? AND message = ?", *key)
    tx.row("PRAGMA secure_delete = OFF")


def deletion_of(tx: Tx, month: int, message: int) -> int | None:
    """The number of the ledger record that says that a message was deleted, or None."""
    row = tx.row("SELECT seq FROM deletion WHERE month = ? AND message = ? ORDER BY seq LIMIT 1", month, message)
    return row[0] if row else None
