"""The ledger in the store: a leaf for every evidence, in the commit that records it, and the signed tree heads."""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from kepgw.errors import FormatError, StoreError
from kepgw.evidence import merkle
from kepgw.evidence.ledger import Deletion, Head, Record, read_deletion
from kepgw.store.engine import Tx
from kepgw.store.ids import micros, moment
from kepgw.store.octets import CHUNK, read_blob

PAGE: Final = 200  # records of one look; each holds at most CHUNK octets of XML
TOPIC: Final = "ledger"  # announced with the new size

_ROW: Final = (
    "e.seq, e.id, e.code, e.issuer, e.own, e.event_time, e.month, e.message, e.dispatch, e.ordinal, e.reason, e.blob"
)


class Tree(NamedTuple):
    """Size and right edge of the tree."""

    size: int
    edge: list[bytes]

    @property
    def root(self) -> bytes:
        """The root of the whole tree."""
        return merkle.edge_root(self.edge)


class Found(NamedTuple):
    """A row as the ledger's record: an evidence, or the deletion of a message (then ``identifier`` is "deletion").

    ``record`` is None when its octets are not there, ``problem`` why. ``gone``: the evidence was deleted, the record
    rests on the digest that its deletion names.
    """

    seq: int
    identifier: str
    record: Record | Deletion | None
    problem: str = ""
    gone: bool = False


def next_seq(tx: Tx) -> int:
    """The next number of the ledger, without gaps: whoever takes it appends a record in the same transaction."""
    found = tx.row(
        "INSERT INTO counter (name, value) VALUES ('evidence', 1)"
        " ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"
    )
    assert found is not None
    return int(found[0])


def append(tx: Tx, record: Record | Deletion) -> None:
    """Add the leaf of a record, in O(log n). Raises StoreError when the tree does not end just before it.

    A ledger from which something is missing is never continued: that would hide what is missing.
    """
    size, edge = tree(tx)
    if size != record.seq - 1:
        raise StoreError(
            f"the ledger ends with record {size}, yet {record.seq} is to follow: something was removed. Run"
            " kepgw ledger verify, and restore a backup"
        )
    grown, made = merkle.grow(size, edge, record.leaf())
    first = merkle.number(0, size)
    rows = ", ".join(["(?, ?)"] * len(made))
    values = [value for row in enumerate(made, first) for value in row]
    tx.run(f"INSERT INTO ledger_node (id, hash) VALUES {rows}", *values)
    tx.run(
        "INSERT INTO ledger_tree (id, size, edge) VALUES (1, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET size = excluded.size, edge = excluded.edge",
        size + 1,
        b"".join(grown),
    )
    tx.announce(TOPIC, size + 1)


def tree(tx: Tx) -> Tree:
    """Size and edge as they are now."""
    row = tx.row("SELECT size, edge FROM ledger_tree WHERE id = 1")
    if row is None:
        return Tree(0, [])
    size, octets = row
    step = merkle.HASH_SIZE
    edge = [octets[at : at + step] for at in range(0, len(octets), step)]
    if len(edge) != size.bit_count() or len(octets) % step:
        raise StoreError("the edge of the ledger does not fit its size; run kepgw ledger verify")
    return Tree(size, edge)


def node(tx: Tx, level: int, index: int) -> bytes:
    """The hash of a node. Raises StoreError when it is not there."""
    row = tx.row("SELECT hash FROM ledger_node WHERE id = ?", merkle.number(level, index))
    if row is None:
        raise StoreError(f"node {level}/{index} of the ledger is missing; run kepgw ledger verify")
    found: bytes = row[0]
    return found


def root_at(tx: Tx, size: int) -> bytes:
    """The root of the first ``size`` leaves, from the stored nodes."""
    return merkle.root(size, lambda level, index: node(tx, level, index))


def inclusion(tx: Tx, seq: int, size: int) -> list[bytes]:
    """The audit path of record ``seq`` in the tree of ``size`` leaves."""
    return merkle.inclusion(seq - 1, size, lambda level, index: node(tx, level, index))


def consistency(tx: Tx, old: int, new: int) -> list[bytes]:
    """The proof that the tree of ``new`` leaves continues that of ``old``."""
    return merkle.consistency(old, new, lambda level, index: node(tx, level, index))


def nodes(tx: Tx, begin: int, end: int) -> dict[int, bytes]:
    """The nodes that leaves ``begin``..``end`` (by index) brought with them, by number."""
    rows = tx.rows(
        "SELECT id, hash FROM ledger_node WHERE id >= ? AND id < ? ORDER BY id", merkle.count(begin), merkle.count(end)
    )
    return {place: hashed for place, hashed in rows if isinstance(hashed, bytes) and len(hashed) == merkle.HASH_SIZE}


def record_of(tx: Tx, seq: int, row: Any, digest: bytes | None = None) -> Record:
    """The record of an evidence that is about to be stored under ``seq`` (a kepgw.store.messages.EvidenceRow).

    ``digest`` is the SHA-256 of its octets when the same transaction has just written them; else they are read.
    Raises StoreError when they are not in the store.
    """
    return Record(
        seq=seq,
        identifier=row.id,
        digest=_digest(tx, row.month, row.blob) if digest is None else digest,
        code=row.code,
        issuer=row.issuer,
        own=row.own,
        event_time=row.event_time,
        month=row.month,
        message=row.message,
        dispatch=row.dispatch,
        ordinal=row.ordinal,
        reason=row.reason,
    )


def seq_of(tx: Tx, identifier: str) -> list[tuple[int, str]]:
    """Number and issuer of each evidence with an identifier; a stranger may have used one that is ours."""
    return [
        (row[0], row[1])
        for row in tx.rows("SELECT seq, issuer FROM evidence WHERE id = ? ORDER BY seq LIMIT 20", identifier)
    ]


def records(tx: Tx, after: int, until: int, limit: int = PAGE) -> list[Found]:
    """The records with numbers above ``after`` and up to ``until`` as they lie in the store, in order."""
    rows = tx.rows(
        f"SELECT {_ROW}, b.size, c.data, x.digest,"
        " x.deletion > e.seq AND EXISTS (SELECT 1 FROM deletion d WHERE d.seq = x.deletion) FROM evidence e"
        " LEFT JOIN blob b ON b.month = e.month AND b.id = e.blob"
        " LEFT JOIN blob_chunk c ON c.month = e.month AND c.blob = e.blob AND c.seq = 0"
        " LEFT JOIN deleted_evidence x ON x.seq = e.seq"
        " WHERE e.seq > ? AND e.seq <= ? ORDER BY e.seq LIMIT ?",
        after,
        until,
        limit,
    )
    found = [_found(tx, row) for row in rows]
    deletions = tx.rows(
        "SELECT seq, record FROM deletion WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?", after, until, limit
    )
    if deletions:
        found += [_deletion(tx, seq, octets_of(octets)) for seq, octets in deletions]
        found.sort(key=lambda each: each.seq)
    return found[:limit]


def _found(tx: Tx, row: tuple[Any, ...]) -> Found:
    seq, identifier, code, issuer, own, event_time, month, message, dispatch, ordinal, reason, blob = row[:12]
    size, data, deleted, named = row[12:]
    try:
        if deleted is not None:
            if not named:
                raise StoreError("it is said to be deleted, yet no later record says so")
            digest = octets_of(deleted)
        elif size is not None and data is not None and size == len(data) <= CHUNK:
            digest = hashlib.sha256(data).digest()
        else:
            digest = _digest(tx, month, blob)
        when = moment(event_time)
    except (StoreError, TypeError, ValueError, OverflowError) as error:
        return Found(seq, str(identifier), None, str(error))
    record = Record(
        seq, identifier, digest, code, issuer, bool(own), when, month, message, dispatch, ordinal, reason
    )  # fmt: skip
    return Found(seq, str(identifier), record, gone=deleted is not None)


def _deletion(tx: Tx, seq: int, octets: bytes) -> Found:
    """The record of a deletion, if it names exactly the evidence that is gone because of it."""
    try:
        record = read_deletion(octets)
        if record.seq != seq:
            raise FormatError(f"it is the record of number {record.seq}")
        rows = tx.rows("SELECT seq, digest FROM deleted_evidence WHERE deletion = ? ORDER BY seq", seq)
        named = sorted((each.seq, each.digest) for each in record.documents if each.kind == "evidence")
        if named != [(number, octets_of(digest)) for number, digest in rows]:
            raise FormatError("it does not name the evidence that is gone because of it")
    except FormatError as error:
        return Found(seq, "deletion", None, str(error))
    return Found(seq, "deletion", record)


def _digest(tx: Tx, month: int, blob: int) -> bytes:
    digest = hashlib.sha256()
    for chunk in read_blob(tx, month, blob):
        digest.update(chunk)
    return digest.digest()


# -- tree heads ---------------------------------------------------------------------------------------------------


def put_head(tx: Tx, head: Head) -> None:
    """Store a signed head. One for the same size stays as it was."""
    said = head.read()
    tx.run(
        "INSERT INTO ledger_head (size, time, statement, signature, token) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (size) DO NOTHING",
        said.size,
        micros(said.time),
        head.statement,
        head.signature,
        head.token,
    )
    tx.announce("ledger-head", said.size)


def counts(tx: Tx, after: int) -> dict[tuple[int, bool], int]:
    """How many records there are behind number ``after``, by code and whether they are our own."""
    rows = tx.rows("SELECT code, own, count(*) FROM evidence WHERE seq > ? GROUP BY code, own", after)
    return {(row[0], bool(row[1])): row[2] for row in rows}


def newest_head(tx: Tx) -> tuple[int, datetime, Head] | None:
    """Size, time and octets of the newest head."""
    row = tx.row("SELECT size, time, statement, signature, token FROM ledger_head ORDER BY size DESC LIMIT 1")
    return (row[0], moment(row[1]), Head(*row[2:])) if row else None


def head_of(tx: Tx, size: int) -> Head | None:
    """The head of the tree of ``size`` records."""
    row = tx.row("SELECT statement, signature, token FROM ledger_head WHERE size = ?", size)
    return Head(*row) if row else None


def heads(tx: Tx, after: int, limit: int = PAGE) -> list[tuple[int, Head]]:
    """The heads of trees larger than ``after``, the smallest first."""
    rows = tx.rows(
        "SELECT size, statement, signature, token FROM ledger_head WHERE size > ? ORDER BY size LIMIT ?", after, limit
    )
    return [(row[0], Head(*map(octets_of, row[1:]))) for row in rows]


def octets_of(value: object) -> bytes:
    """A column as octets, whatever somebody has put there."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def counted(tx: Tx) -> tuple[int, int]:
    """How many rows there are, of evidence and deletions, and the number that was given last."""
    given = tx.row("SELECT value FROM counter WHERE name = 'evidence'")
    there = tx.row("SELECT (SELECT count(*) FROM evidence) + (SELECT count(*) FROM deletion)")
    return (int(there[0]) if there else 0), (int(given[0]) if given else 0)


def strays(tx: Tx, until: int) -> Iterator[tuple[int, str]]:
    """Rows whose number the tree does not reach: they were put in past the ledger."""
    for seq, identifier in tx.rows(
        "SELECT seq, id FROM evidence WHERE seq > ? OR seq < 1"
        " UNION ALL SELECT seq, 'deletion' FROM deletion WHERE seq > ? OR seq < 1 ORDER BY 1 LIMIT 100",
        until,
        until,
    ):
        yield seq, str(identifier)
