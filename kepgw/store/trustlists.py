"""Editions of trusted lists and capability files. Rows are only ever added: an old edition is the proof of its time."""

import hashlib
from datetime import datetime
from typing import Final, NamedTuple

from kepgw.store.engine import Tx
from kepgw.store.ids import micros, moment

MOST_EDITIONS: Final = 1000  # of one list that are read: years of daily ones; the newest


class EditionRow(NamedTuple):
    """A kept edition. ``subject`` is "" for the list itself, else the address of a capability file."""

    name: str
    subject: str
    sequence: int
    taken: datetime
    digest: bytes
    octets: bytes


def keep_edition(tx: Tx, name: str, subject: str, sequence: int, issued: datetime, octets: bytes, at: datetime) -> None:
    """Keep an edition that was judged good."""
    tx.run(
        "INSERT INTO trust_list (name, subject, sequence, issued, taken, digest, octets) VALUES (?, ?, ?, ?, ?, ?, ?)",
        name,
        subject,
        sequence,
        micros(issued),
        micros(at),
        hashlib.sha256(octets).digest(),
        octets,
    )


def editions(tx: Tx, name: str) -> list[EditionRow]:
    """The kept editions of a list, the oldest first."""
    return _read(tx, "name = ? AND subject = ''", name)


def capability_files(tx: Tx, name: str) -> list[EditionRow]:
    """The newest edition of each capability file of the services of a list."""
    newest = (
        "name = ? AND subject <> '' AND sequence = (SELECT MAX(sequence) FROM trust_list AS other"
        " WHERE other.name = trust_list.name AND other.subject = trust_list.subject)"
    )
    return _read(tx, newest, name)


def _read(tx: Tx, which: str, name: str) -> list[EditionRow]:
    rows = tx.rows(
        "SELECT name, subject, sequence, taken, digest, octets FROM trust_list"
        f" WHERE {which} ORDER BY sequence DESC LIMIT ?",
        name,
        MOST_EDITIONS,
    )
    return [EditionRow(row[0], row[1], row[2], moment(row[3]), bytes(row[4]), bytes(row[5])) for row in reversed(rows)]
