"""Evidence that nobody has looked at yet for who signed it, in the order of the ledger."""

from typing import Final, NamedTuple

from kepgw.store.engine import Tx
from kepgw.store.octets import ContentRef, read_blob, read_content, size_of

PAGE: Final = 100  # evidence of one look
LARGEST: Final = 1 << 20  # octets of an evidence that is looked at

_COUNTER: Final = "material"  # the number of the last evidence looked at


class Page(NamedTuple):
    """Some evidence, the ends of the dispatches that carry them, and the number of the last one."""

    evidence: list[bytes]
    tails: list[bytes]
    last: int


def unseen(tx: Tx, tail: int, after: int | None = None) -> Page | None:
    """The next page after the number ``after`` (None: where ``seen`` says); None when there is none.

    Of each dispatch come the last ``tail`` octets.
    """
    if after is None:
        row = tx.row("SELECT value FROM counter WHERE name = ?", _COUNTER)
        after = 0 if row is None else int(row[0])
    rows = tx.rows(
        "SELECT e.seq, e.month, e.blob, b.size, d.content FROM evidence e"
        " JOIN blob b ON b.month = e.month AND b.id = e.blob"
        " LEFT JOIN dispatch d ON d.month = e.month AND d.id = e.dispatch AND e.code = 10"
        " WHERE e.seq > ? ORDER BY e.seq LIMIT ?",
        after,
        PAGE,
    )
    if not rows:
        return None
    evidence = [b"".join(read_blob(tx, month, blob)) for _, month, blob, size, _ in rows if size <= LARGEST]
    tails = []
    for _, month, _, _, content in rows:
        if content is not None:
            ref = ContentRef(month, content)
            tails.append(b"".join(read_content(tx, ref, max(size_of(tx, ref) - tail, 0), tail)))
    return Page(evidence, tails, rows[-1][0])


def seen(tx: Tx, last: int) -> None:
    """All evidence up to the number ``last`` has been looked at, and what it showed is stored."""
    tx.run(
        "INSERT INTO counter (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        _COUNTER,
        last,
    )
