"""The rows of the archive: volumes, chains and stamps (RFC 4998).

A volume is a run of ledger records and tree heads under one initial archive time stamp. It is opened, its groups are
hashed page by page, and one commit puts the stamp over all of them; a volume without a stamp goes on where it was.
Nothing of a stamped volume is ever changed; renewals add chains and stamps.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from kepgw.evidence.hashtree import hashed
from kepgw.store import ledger
from kepgw.store.engine import Row, Tx
from kepgw.store.ids import micros

MOST_GROUPS: Final = 8192  # of a volume: its tree is made in a few hundredths of a second
TOPIC: Final = "archive-stamp"  # announced with the number of the stamp
MOST_TOGETHER: Final = 8192  # chains or stamps under one renewal


class Volume(NamedTuple):
    """A volume; its groups are the records ``first_seq``..``last_seq``, the heads up to ``last_head``, and the
    validation material up to ``last_material``.
    """

    id: int
    first_seq: int
    last_seq: int
    after_head: int
    last_head: int
    after_material: int
    last_material: int
    groups: int
    opened: int
    stamp: int | None  # the stamp that protects it now; None: not stamped yet

    @property
    def records(self) -> int:
        """How many of the groups are ledger records."""
        return self.last_seq - self.first_seq + 1

    @property
    def first_material(self) -> int:
        """The place of the first group of material."""
        return self.groups - (self.last_material - self.after_material)


FIRST: Final = Volume(0, 1, 0, 0, 0, 0, 0, 0, 0, 0)  # what the first volume follows


class Chain(NamedTuple):
    """A chain of archive time stamps of a volume; ``ends`` is the stamp that the chain before ended with."""

    volume: int
    chain: int
    algorithm: str
    done: int
    ends: int | None
    root: bytes | None
    stamp: int | None
    place: int


class Stamp(NamedTuple):
    """A time stamp; ``next`` renewed it. Times in microseconds since 1970 UTC."""

    id: int
    time: int
    expires: int
    algorithm: str
    token: bytes
    hash: bytes  # of the token, by ``algorithm``: the leaf that a renewal stamps
    next: int | None
    place: int


class HashedDocument(NamedTuple):
    """A document of a group. ``kind`` is one of kepgw.store.archivedocuments; an empty ``hash`` is not covered."""

    place: int
    ordinal: int
    kind: str
    month: int
    ref: int
    hash: bytes


_VOLUME: Final = "id, first_seq, last_seq, after_head, last_head, after_material, last_material, groups, opened, stamp"
_CHAIN: Final = "volume, chain, algorithm, done, ends, root, stamp, place"
_STAMP: Final = "id, time, expires, algorithm, token, hash, next, place"


# -- volumes ------------------------------------------------------------------------------------------------------


def open_volume(tx: Tx, algorithm: str, at: datetime) -> Volume | None:
    """The volume that is not stamped yet, or a new one over what no volume holds; None when there is nothing new."""
    row = tx.row(f"SELECT {_VOLUME} FROM archive_volume ORDER BY id DESC LIMIT 1")
    last = Volume(*row) if row else FIRST
    if last.stamp is None:
        return last
    until = min(ledger.tree(tx).size, last.last_seq + MOST_GROUPS)
    room = MOST_GROUPS - (until - last.last_seq)
    found = tx.row(
        "SELECT count(*), max(size) FROM (SELECT size FROM ledger_head WHERE size > ? ORDER BY size LIMIT ?)",
        last.last_head,
        room,
    )
    heads, newest = (found[0], found[1]) if found and found[0] else (0, last.last_head)
    material = _take_material(tx, last.last_material, room - heads)
    groups = until - last.last_seq + heads + material
    if not groups:
        return None
    volume = Volume(
        last.id + 1, last.last_seq + 1, until, last.last_head, newest, last.last_material,
        last.last_material + material, groups, micros(at), None,
    )  # fmt: skip
    tx.run(f"INSERT INTO archive_volume ({_VOLUME}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *volume)
    _insert_chain(tx, Chain(volume.id, 0, algorithm, 0, None, None, None, 0))
    return volume


def _take_material(tx: Tx, after: int, room: int) -> int:
    """Number the validation material that no volume holds, the oldest first. Returns how much it is."""
    rows = tx.rows(
        "SELECT id FROM material m WHERE NOT EXISTS (SELECT 1 FROM archive_material a WHERE a.id = m.id)"
        " ORDER BY fetched, id LIMIT ?",
        max(room, 0),
    )
    tx.many(
        "INSERT INTO archive_material (number, id) VALUES (?, ?)",
        [(number, each[0]) for number, each in enumerate(rows, after + 1)],
    )
    return len(rows)


def volume_by_id(tx: Tx, volume: int) -> Volume | None:
    """A volume."""
    row = tx.row(f"SELECT {_VOLUME} FROM archive_volume WHERE id = ?", volume)
    return Volume(*row) if row else None


def volume_of(tx: Tx, seq: int) -> Volume | None:
    """The volume that holds a ledger record, stamped or not."""
    row = tx.row(f"SELECT {_VOLUME} FROM archive_volume WHERE last_seq >= ? ORDER BY last_seq, id LIMIT 1", seq)
    found = Volume(*row) if row else None
    return found if found is not None and found.first_seq <= seq else None


def volumes(tx: Tx, after: int, limit: int = 100) -> list[Volume]:
    """Volumes by number, above ``after``."""
    rows = tx.rows(f"SELECT {_VOLUME} FROM archive_volume WHERE id > ? ORDER BY id LIMIT ?", after, limit)
    return [Volume(*row) for row in rows]


def last_stamped(tx: Tx) -> int | None:
    """When the newest initial archive time stamp was made (microseconds), or None."""
    row = tx.row(
        "SELECT max(s.time) FROM archive_chain c JOIN archive_stamp s ON s.id = c.stamp WHERE c.chain = 0"
        " AND c.volume >= (SELECT max(id) - 1 FROM archive_volume)"
    )
    return row[0] if row else None


# -- chains -------------------------------------------------------------------------------------------------------


def chains(tx: Tx, volume: int) -> list[Chain]:
    """The chains of a volume in order; the last one may not be stamped yet."""
    return [
        Chain(*row) for row in tx.rows(f"SELECT {_CHAIN} FROM archive_chain WHERE volume = ? ORDER BY chain", volume)
    ]


def chain_of(tx: Tx, volume: int, chain: int) -> Chain | None:
    """One chain as it is now."""
    row = tx.row(f"SELECT {_CHAIN} FROM archive_chain WHERE volume = ? AND chain = ?", volume, chain)
    return Chain(*row) if row else None


def _insert_chain(tx: Tx, chain: Chain) -> None:
    tx.run(f"INSERT INTO archive_chain ({_CHAIN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *chain)


def begin_chain(tx: Tx, volume: Volume, algorithm: str) -> Chain:
    """The chain of a hash-tree renewal that is not stamped yet; begun anew when the one before got a stamp since."""
    known = chains(tx, volume.id)
    last = known[-1]
    if last.stamp is None and last.chain:
        if (last.ends, last.algorithm) == (volume.stamp, algorithm):
            return last
        tx.run("DELETE FROM archive_hash WHERE volume = ? AND chain = ?", volume.id, last.chain)
        tx.run("DELETE FROM archive_chain WHERE volume = ? AND chain = ?", volume.id, last.chain)
        known.pop()
    chain = Chain(volume.id, len(known), algorithm, 0, volume.stamp, None, None, 0)
    _insert_chain(tx, chain)
    return chain


def add_documents(tx: Tx, chain: Chain, end: int, rows: Sequence[HashedDocument]) -> bool:
    """Write the digests of the groups ``chain.done``..``end``; False when somebody else was faster."""
    if not tx.run(
        "UPDATE archive_chain SET done = ? WHERE volume = ? AND chain = ? AND done = ? AND stamp IS NULL",
        end,
        chain.volume,
        chain.chain,
        chain.done,
    ):
        return False
    if chain.chain == 0:
        tx.many(
            "INSERT INTO archive_document (volume, place, ordinal, kind, month, ref, hash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(chain.volume, *each) for each in rows],
        )
    else:
        tx.many(
            "INSERT INTO archive_hash (volume, chain, place, ordinal, hash) VALUES (?, ?, ?, ?, ?)",
            [(chain.volume, chain.chain, each.place, each.ordinal, each.hash) for each in rows],
        )
    return True


def documents(tx: Tx, volume: int, begin: int = 0, end: int = MOST_GROUPS) -> list[HashedDocument]:
    """The documents of the groups ``begin``..``end`` with their digests in the first chain."""
    rows = tx.rows(
        "SELECT place, ordinal, kind, month, ref, hash FROM archive_document"
        " WHERE volume = ? AND place >= ? AND place < ? ORDER BY place, ordinal",
        volume,
        begin,
        end,
    )
    return [HashedDocument._make((*row[:5], ledger.octets_of(row[5]))) for row in rows]


def hashes(tx: Tx, volume: int, chain: int) -> list[tuple[int, int, bytes]]:
    """Place, ordinal and digest of every document that a chain covers."""
    table, which = ("archive_document", "") if chain == 0 else ("archive_hash", f" AND chain = {int(chain)}")
    rows = tx.rows(f"SELECT place, ordinal, hash FROM {table} WHERE volume = ?{which} ORDER BY place, ordinal", volume)
    return [(place, ordinal, octets) for place, ordinal, value in rows if (octets := ledger.octets_of(value))]


# -- stamps -------------------------------------------------------------------------------------------------------


def stamp_by_id(tx: Tx, stamp: int) -> Stamp | None:
    """A stamp."""
    row = tx.row(f"SELECT {_STAMP} FROM archive_stamp WHERE id = ?", stamp)
    return _stamp(row) if row else None


def _stamp(row: Row) -> Stamp:
    return Stamp._make((*row[:4], ledger.octets_of(row[4]), ledger.octets_of(row[5]), *row[6:]))


def renewed_by(tx: Tx, stamp: int) -> list[tuple[int, bytes]]:
    """Number and token digest of the stamps that a stamp renewed, in the order of its tree."""
    rows = tx.rows("SELECT id, hash FROM archive_stamp WHERE next = ? ORDER BY place", stamp)
    return [(number, ledger.octets_of(value)) for number, value in rows]


def roots_under(tx: Tx, stamp: int) -> list[Chain]:
    """The chains that begin under a stamp, in the order of its tree."""
    return [Chain(*row) for row in tx.rows(f"SELECT {_CHAIN} FROM archive_chain WHERE stamp = ? ORDER BY place", stamp)]


def _insert_stamp(tx: Tx, algorithm: str, token: bytes, time: datetime, expires: datetime) -> int:
    row = tx.row(
        "INSERT INTO archive_stamp (time, expires, algorithm, token, hash, next, place) VALUES (?, ?, ?, ?, ?, NULL, 0)"
        " RETURNING id",
        micros(time),
        micros(expires),
        algorithm,
        token,
        hashed(algorithm, token),
    )
    assert row is not None
    return int(row[0])


class Rooted(NamedTuple):
    """A chain whose groups are all hashed, and the root of their tree."""

    chain: Chain
    root: bytes


def put_stamp(tx: Tx, rooted: Sequence[Rooted], token: bytes, time: datetime, expires: datetime) -> bool:
    """Begin chains under one stamp, in the order of its tree. False, and nothing written, when one is under way no
    more as it was when the stamp was asked for.
    """
    for chain, _ in rooted:
        if tx.row(
            "SELECT 1 FROM archive_chain c JOIN archive_volume v ON v.id = c.volume WHERE c.volume = ? AND c.chain = ?"
            " AND c.stamp IS NULL AND c.done = v.groups AND c.done = ? AND c.ends IS v.stamp",
            chain.volume,
            chain.chain,
            chain.done,
        ) is None:  # fmt: skip
            return False
    stamp = _insert_stamp(tx, rooted[0].chain.algorithm, token, time, expires)
    for place, (chain, root) in enumerate(rooted):
        tx.run(
            "UPDATE archive_chain SET root = ?, stamp = ?, place = ? WHERE volume = ? AND chain = ?",
            root,
            stamp,
            place,
            chain.volume,
            chain.chain,
        )
        tx.run("UPDATE archive_volume SET stamp = ? WHERE id = ?", stamp, chain.volume)
    tx.announce(TOPIC, stamp)
    return True


def protecting(tx: Tx, until: int | None = None) -> list[Stamp]:
    """The last stamps of volumes; with ``until`` (microseconds) those whose authority ends before."""
    rows = tx.rows(
        f"SELECT {_STAMP} FROM archive_stamp WHERE id IN (SELECT DISTINCT stamp FROM archive_volume)"
        " AND (? IS NULL OR expires < ?) ORDER BY algorithm, id LIMIT ?",
        until,
        until,
        MOST_TOGETHER,
    )
    return [_stamp(row) for row in rows]


def renew(tx: Tx, old: Iterable[Stamp], token: bytes, time: datetime, expires: datetime) -> bool:
    """Put one stamp over the tokens of ``old``, in this order (RFC 4998 5.2). False when one was renewed since."""
    listed = list(old)
    for each in listed:
        if tx.row("SELECT 1 FROM archive_stamp WHERE id = ? AND next IS NULL", each.id) is None:
            return False
    stamp = _insert_stamp(tx, listed[0].algorithm, token, time, expires)
    for place, each in enumerate(listed):
        tx.run("UPDATE archive_stamp SET next = ?, place = ? WHERE id = ?", stamp, place, each.id)
        tx.run("UPDATE archive_volume SET stamp = ? WHERE stamp = ?", stamp, each.id)
    tx.announce(TOPIC, stamp)
    return True


# -- renewal of hash trees ----------------------------------------------------------------------------------------


def to_rehash(tx: Tx, algorithm: str, after: int = 0) -> Volume | None:
    """The first stamped volume after a number whose last chain is of another algorithm, or hashed but for a part."""
    row = tx.row(
        f"SELECT {', '.join('v.' + name for name in _VOLUME.split(', '))} FROM archive_volume v"
        " JOIN archive_chain c ON c.volume = v.id"
        " AND c.chain = (SELECT max(chain) FROM archive_chain WHERE volume = v.id)"
        " WHERE v.id > ? AND v.stamp IS NOT NULL AND (c.algorithm <> ? OR (c.stamp IS NULL AND"
        " (c.done < v.groups OR c.ends IS NOT v.stamp)))"
        " ORDER BY v.id LIMIT 1",
        after,
        algorithm,
    )
    return Volume(*row) if row else None


def hashed_chains(tx: Tx) -> list[Chain]:
    """The chains of a hash-tree renewal that wait for their stamp, at most MOST_TOGETHER."""
    rows = tx.rows(
        f"SELECT {', '.join('c.' + name for name in _CHAIN.split(', '))} FROM archive_chain c"
        " JOIN archive_volume v ON v.id = c.volume"
        " WHERE c.stamp IS NULL AND c.chain > 0 AND c.done = v.groups AND c.ends IS v.stamp"
        " ORDER BY c.volume LIMIT ?",
        MOST_TOGETHER,
    )
    return [Chain(*row) for row in rows]


class Progress(NamedTuple):
    """How far the archive is: groups under a stamp, groups in all volumes, the newest number that is covered."""

    volumes: int
    covered: int
    waiting: int
    newest_seq: int
    expires: int | None  # the first of the protecting stamps to end, microseconds


def progress(tx: Tx) -> Progress:
    """Counts for an administrator."""
    row = tx.row(
        "SELECT count(*), coalesce(sum(groups), 0), coalesce(max(last_seq), 0) FROM archive_volume"
        " WHERE stamp IS NOT NULL"
    )
    first = tx.row("SELECT min(expires) FROM archive_stamp WHERE id IN (SELECT DISTINCT stamp FROM archive_volume)")
    assert row is not None
    return Progress(row[0], row[1], ledger.tree(tx).size - row[2], row[2], first[0] if first else None)
