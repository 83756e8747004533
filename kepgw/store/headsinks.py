"""How far each place outside has the ledger's signed heads: kept in the store, so that none is ever skipped."""

from datetime import datetime
from typing import Final, NamedTuple

from kepgw.evidence.ledger import Head
from kepgw.store import ledger
from kepgw.store.engine import Tx
from kepgw.store.ids import micros

MOST_ERROR: Final = 500  # characters
TOPIC: Final = "head-sink"  # announced with the size that arrived, 0 for a failure


class SinkState(NamedTuple):
    """A place: the size of the newest head that arrived, when that or the last attempt was, and why it failed."""

    name: str
    size: int
    changed: int
    error: str


def enter(tx: Tx, name: str, at: datetime) -> None:
    """A new place begins with the newest head there is: it holds all that is under the older ones."""
    newest = ledger.newest_head(tx)
    tx.run(
        "INSERT INTO head_sink (name, size, changed, error) VALUES (?, ?, ?, '') ON CONFLICT (name) DO NOTHING",
        name,
        0 if newest is None else newest[0] - 1,
        micros(at),
    )


def next_head(tx: Tx, name: str) -> tuple[int, Head] | None:
    """The first head that a place does not have."""
    row = tx.row("SELECT size FROM head_sink WHERE name = ?", name)
    page = ledger.heads(tx, row[0] if row else 0, 1)
    return page[0] if page else None


def arrived(tx: Tx, name: str, size: int, at: datetime) -> None:
    """A head is there."""
    tx.run("UPDATE head_sink SET size = ?, changed = ?, error = '' WHERE name = ?", size, micros(at), name)
    tx.announce(TOPIC, size)


def failed(tx: Tx, name: str, error: str, at: datetime) -> None:
    """An attempt failed."""
    tx.run("UPDATE head_sink SET changed = ?, error = ? WHERE name = ?", micros(at), error[:MOST_ERROR], name)
    tx.announce(TOPIC, 0)


def states(tx: Tx) -> list[SinkState]:
    """All places that there ever were."""
    return [SinkState(*row) for row in tx.rows("SELECT name, size, changed, error FROM head_sink ORDER BY name")]
