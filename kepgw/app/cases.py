"""The case of one message as files: what belongs to it, in what order, and where the octets of each lie.

A case is fixed by the tree head that it stands under: evidence that comes while it is written is left out. A page is
asked for by file and offset, so that nothing is kept between two pages and no large message is ever held whole.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kepgw.errors import StoreError
from kepgw.evidence import ledger as documents
from kepgw.evidence.ledger import Head
from kepgw.message import structure
from kepgw.store import ledger, messages
from kepgw.store.archiverecords import archive_records
from kepgw.store.engine import Tx
from kepgw.store.octets import ContentRef, Span, cut, read_blob, read_spans, rendered_of, spans_of

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._@-]+|\.{2,}")
PAGE: Final = 4 * 1024 * 1024  # octets of files in one reply


@dataclass(frozen=True)
class Case:
    """A message with everything of it that is under one tree head (of ``size`` records)."""

    message: messages.Message
    dispatches: tuple[messages.Dispatch, ...]
    evidence: tuple[messages.EvidenceRow, ...]
    size: int
    head: Head

    @property
    def month(self) -> int:
        """The month of every row of the message."""
        return self.message.month


@dataclass(frozen=True)
class File:
    """One file of a case. ``read`` gives its octets from an offset, at most so many; ``about`` goes to the manifest.

    An ``optional`` file without octets is none.
    """

    path: str
    kind: str
    read: Callable[[Tx, int, int], bytes]
    about: dict[str, Any]
    optional: bool = False


def load(tx: Tx, month: int, number: int, size: int) -> Case:
    """The case under the head of ``size`` records. Raises StoreError when message or head are not there."""
    message = messages.message_by_id(tx, month, number)
    head = ledger.head_of(tx, size)
    if message is None or head is None:
        raise StoreError(f"message {month}/{number} or the tree head of {size} records is missing")
    rows = tuple(row for row in messages.evidence_of(tx, month, number) if row.seq <= size)
    return Case(message, tuple(messages.dispatches_of(tx, month, number)), rows, size, head)


def original_spans(tx: Tx, case: Case) -> list[Span]:
    """Where the submitted octets lie; empty when the archive does not have them."""
    if case.message.content is not None:
        return spans_of(tx, ContentRef(case.month, case.message.content))
    for dispatch in case.dispatches:  # of a peer: its octets lie inside the dispatch
        if dispatch.content is not None:
            ref = ContentRef(case.month, dispatch.content)
            tree = structure.load(rendered_of(tx, ref).tree)
            mixed = tree.children[0] if tree.is_multipart and tree.children else tree
            for part in mixed.children:
                if part.is_message:
                    return cut(spans_of(tx, ref), part.body, part.size)
    return []


def files(tx: Tx, case: Case) -> Iterator[File]:
    """The files that come from the store, in their order."""
    spans = original_spans(tx, case)
    if spans:
        yield _spans("original/original.eml", "original", case.month, spans, {})
    sealed = [each for each in case.dispatches if each.content is not None]
    for number, dispatch in enumerate(sealed, 1):
        ref = ContentRef(case.month, dispatch.content or 0)
        about = {"message_id": dispatch.remmd_id, "blind": dispatch.blind}
        yield _spans(f"dispatch/{number}.eml", "dispatch", case.month, spans_of(tx, ref), about)
    for row in case.evidence:
        about = {"seq": row.seq, "code": row.code, "id": row.id, "issuer": row.issuer, "own": row.own}
        yield File(evidence_path(row), "evidence", _evidence(row), about)
    receipts = [row for row in case.evidence if row.receipt is not None]
    for number, row in enumerate(receipts, 1):
        ref = ContentRef(case.month, row.receipt or 0)
        yield _spans(f"receipt/{number}.eml", "receipt", case.month, spans_of(tx, ref), {"seq": row.seq})
    head = case.head
    yield _made("ledger/head.json", "head", lambda _: documents.write_head(head), {"records": case.size})
    # the same in three pieces, as openssl takes them
    yield _made("ledger/head.statement", "head", lambda _: head.statement, {"records": case.size})
    yield _made("ledger/head.p7s", "head", lambda _: head.signature, {"records": case.size})
    yield _made("ledger/head.tst", "head", lambda _: head.token, {"records": case.size})
    for row in case.evidence:
        yield _made(f"ledger/proof-{row.seq}.json", "proof", _proof(case, row), {"seq": row.seq})
    yield from _records(case)


def evidence_path(row: messages.EvidenceRow) -> str:
    """The place of an evidence: number, code and identifier; of the identifier, a stranger's, only safe letters."""
    safe = _UNSAFE.sub("_", row.id)[:80].lstrip(".") or "evidence"
    return f"evidence/{row.seq:06}-{row.code}-{safe}.xml"


def page(tx: Tx, case: Case, number: int, offset: int) -> tuple[list[tuple[File, bytes, bool]], int, int] | None:
    """Pieces of files from ``offset`` of file ``number`` on, with PAGE octets at most, and where the next page begins.

    Each piece tells whether its file ends with it. None when there is nothing left.
    """
    pieces: list[tuple[File, bytes, bool]] = []
    room = PAGE
    for at, file in enumerate(files(tx, case)):
        if at < number:
            continue
        octets = file.read(tx, offset, room)
        ended = len(octets) < room
        if file.optional and ended and not octets and not offset:
            continue
        pieces.append((file, octets, ended))
        if not ended:
            return pieces, at, offset + len(octets)
        room -= len(octets)
        offset = 0
        number = at + 1
    return (pieces, number, 0) if pieces else None


def inclusion(tx: Tx, case: Case, row: messages.EvidenceRow) -> tuple[bytes, list[bytes]]:
    """The record of an evidence and its path to the head. Raises StoreError when it is not what was recorded."""
    (found,) = ledger.records(tx, row.seq - 1, row.seq)
    if found.record is None or found.record.leaf() != ledger.node(tx, 0, row.seq - 1):
        raise StoreError(f"evidence {row.seq} is not what was recorded; run kepgw ledger verify")
    return found.record.octets(), ledger.inclusion(tx, row.seq, case.size)


def _records(case: Case) -> Iterator[File]:
    """RFC 4998 records, last: the archive may get its stamp while the case is written."""
    found: dict[int, bytes] = {}

    def record(tx: Tx, seq: int) -> bytes:
        if not found:  # volumes are looked at once a page
            found.update(dict.fromkeys((row.seq for row in case.evidence), b""))
            found.update(archive_records(tx, found))
        return found[seq]

    for row in case.evidence:

        def read(tx: Tx, offset: int, length: int, seq: int = row.seq) -> bytes:
            return record(tx, seq)[offset : offset + length]

        yield File(f"archive/{row.seq}.ers", "record", read, {"seq": row.seq}, optional=True)


def _spans(path: str, kind: str, month: int, spans: Sequence[Span], about: dict[str, Any]) -> File:
    def read(tx: Tx, offset: int, length: int) -> bytes:
        return b"".join(read_spans(tx, month, cut(spans, offset, length)))

    return File(path, kind, read, about)


def _made(path: str, kind: str, make: Callable[[Tx], bytes], about: dict[str, Any]) -> File:
    return File(path, kind, lambda tx, offset, length: make(tx)[offset : offset + length], about)


def _evidence(row: messages.EvidenceRow) -> Callable[[Tx, int, int], bytes]:
    def read(tx: Tx, offset: int, length: int) -> bytes:
        return b"".join(read_blob(tx, row.month, row.blob))[offset : offset + length]

    return read


def _proof(case: Case, row: messages.EvidenceRow) -> Callable[[Tx], bytes]:
    def make(tx: Tx) -> bytes:
        record, path = inclusion(tx, case, row)
        return documents.write_inclusion(record, row.seq - 1, path, case.head)

    return make
