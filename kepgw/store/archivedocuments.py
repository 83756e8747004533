"""The documents of the archive: which belong to a record of the ledger, and their octets as the store has them now.

A group is everything that came into the world with one record: the evidence, the mail that carried it, the dispatch
that an evidence 10 stands for, and with the first evidence of a message its original. Digests are always taken from
the octets, never remembered, so that archiving finds what has rotted.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from kepgw.errors import FormatError, StoreError
from kepgw.evidence.codes import KepCode
from kepgw.store import ledger
from kepgw.store.archive import HashedDocument, Volume
from kepgw.store.engine import Tx
from kepgw.store.octets import ContentRef, read_blob, read_content

PAGE_GROUPS: Final = 100  # groups of one look at the store
PAGE_OCTETS: Final = 16 << 20  # octets after which a look ends; a snapshot must not be held for long


class Kind(StrEnum):
    """What a document is."""

    EVIDENCE = "evidence"  # the signed XML
    RECEIPT = "receipt"  # the mail that carries it
    DISPATCH = "dispatch"  # the sealed envelope
    ORIGINAL = "original"  # as submitted
    DELETION = "deletion"  # the record of a deletion; ref is its number in the ledger
    STATEMENT = "head"  # a tree head's statement, signature and token; ref is its size
    SIGNATURE = "head-signature"
    TOKEN = "head-token"  # noqa: S105  (a time-stamp token)
    MATERIAL = "material"  # a certificate, CRL or OCSP response; ref is its number in archive_material


class Document(NamedTuple):
    """A document by where its octets are: ``ref`` is a blob, a content, a number or a size, by its kind."""

    kind: Kind
    month: int
    ref: int


_HEAD: Final = {Kind.STATEMENT: "statement", Kind.SIGNATURE: "signature", Kind.TOKEN: "token"}


def documents_of(tx: Tx, seq: int) -> list[Document]:
    """The group of a ledger record; empty when it was deleted. Raises StoreError when the record is not there."""
    row = tx.row(
        "SELECT e.month, e.code, e.blob, e.receipt, d.content, m.content,"
        " NOT EXISTS (SELECT 1 FROM evidence f WHERE f.month = e.month AND f.message = e.message AND f.seq < e.seq)"
        " FROM evidence e"
        " LEFT JOIN dispatch d ON d.month = e.month AND d.id = e.dispatch"
        " LEFT JOIN message m ON m.month = e.month AND m.id = e.message"
        " WHERE e.seq = ?",
        seq,
    )
    if row is None:
        if tx.row("SELECT 1 FROM deletion WHERE seq = ?", seq) is None:
            raise StoreError(f"record {seq} is missing; run kepgw ledger verify")
        return [Document(Kind.DELETION, 0, seq)]
    if tx.row("SELECT 1 FROM deleted_evidence WHERE seq = ?", seq) is not None:
        return []
    month, code, blob, receipt, dispatch, original, first = row
    found = [Document(Kind.EVIDENCE, month, blob)]
    if receipt is not None:
        found.append(Document(Kind.RECEIPT, month, receipt))
    if dispatch is not None and code == KepCode.KABUL:
        found.append(Document(Kind.DISPATCH, month, dispatch))
    if original is not None and first:
        found.append(Document(Kind.ORIGINAL, month, original))
    return found


def octets_of(tx: Tx, kind: str, month: int, ref: int) -> Iterator[bytes]:
    """The octets of a document in pieces. Raises StoreError when they are not there."""
    match kind:
        case Kind.EVIDENCE:
            yield from read_blob(tx, month, ref)
        case Kind.RECEIPT | Kind.DISPATCH | Kind.ORIGINAL:
            yield from read_content(tx, ContentRef(month, ref))
        case Kind.DELETION:
            row = tx.row("SELECT record FROM deletion WHERE seq = ?", ref)
            if row is None:
                raise StoreError(f"the record of deletion {ref} is missing")
            yield ledger.octets_of(row[0])
        case Kind.STATEMENT | Kind.SIGNATURE | Kind.TOKEN:
            row = tx.row(f"SELECT {_HEAD[Kind(kind)]} FROM ledger_head WHERE size = ?", ref)
            if row is None:
                raise StoreError(f"the head of {ref} records is missing")
            yield ledger.octets_of(row[0])
        case Kind.MATERIAL:
            row = tx.row(
                "SELECT m.octets FROM archive_material a JOIN material m ON m.id = a.id WHERE a.number = ?", ref
            )
            if row is None:
                raise StoreError(f"validation material {ref} is missing")
            yield ledger.octets_of(row[0])
        case _:
            raise StoreError(f"a document of an unknown kind: {str(kind)[:40]!r}")


def named(seq: int, document: "Document | HashedDocument") -> str:
    """A document in words, for findings; ``seq`` is its ledger record, 0 for what belongs to none."""
    if seq:
        return f"record {seq}: {document.kind}"
    return f"{document.kind} {document.ref}" if document.kind == Kind.MATERIAL else f"{document.kind} of {document.ref}"


class Digested(NamedTuple):
    """Digests of a document by algorithm, and its size."""

    digests: Mapping[str, bytes]
    size: int


def digest(tx: Tx, document: Document | HashedDocument, algorithms: Iterable[str]) -> Digested:
    """Read a document once and take its digests. Raises StoreError."""
    running = {name: hashlib.new(name) for name in algorithms}
    size = 0
    try:
        for piece in octets_of(tx, document.kind, document.month, document.ref):
            size += len(piece)
            for each in running.values():
                each.update(piece)
    except (TypeError, ValueError) as error:  # spoilt rows: no spans, a text for octets
        raise StoreError(f"{document.kind} {document.month}/{document.ref}: {error}") from error
    return Digested({name: each.digest() for name, each in running.items()}, size)


class Page(NamedTuple):
    """The groups up to ``end``, hashed; ``problems`` say what is not sound and so stays uncovered."""

    end: int
    rows: list[HashedDocument]
    problems: list[str]


def hash_page(tx: Tx, volume: Volume, begin: int, algorithm: str) -> Page:
    """Hash the groups of a volume from ``begin``, as many as a look may take."""
    rows: list[HashedDocument] = []
    problems: list[str] = []
    last = min(begin + PAGE_GROUPS, volume.groups)
    heads = _heads(tx, volume, begin) if volume.records < last else []
    octets, place = 0, begin
    while place < last and octets < PAGE_OCTETS:
        seq = 0
        if place < volume.records:
            seq = volume.first_seq + place
            group, problem = _group(tx, seq)
        elif place < volume.first_material:
            at = place - max(begin, volume.records)
            group, problem = _head(heads[at]) if at < len(heads) else ([], "a tree head is missing")
        else:
            number = volume.after_material + place - volume.first_material + 1
            group, problem = [Document(Kind.MATERIAL, 0, number)], ""
        if problem:
            problems.append(problem)
            rows.append(HashedDocument(place, 0, Kind.EVIDENCE, 0, 0, b""))
        for ordinal, document in enumerate(group):
            hashed, size, problem = _sound(tx, seq, document, algorithm)
            octets += size
            if problem:
                problems.append(problem)
            rows.append(HashedDocument(place, ordinal, document.kind, document.month, document.ref, hashed))
        place += 1
    return Page(place, rows, problems)


def _heads(tx: Tx, volume: Volume, begin: int) -> list[int]:
    """The sizes of the tree heads of a volume, from the first that stands at or after ``begin``."""
    rows = tx.rows(
        "SELECT size FROM ledger_head WHERE size > ? AND size <= ? ORDER BY size LIMIT ? OFFSET ?",
        volume.after_head,
        volume.last_head,
        PAGE_GROUPS,
        max(begin - volume.records, 0),
    )
    return [size for (size,) in rows]


def _group(tx: Tx, seq: int) -> tuple[list[Document], str]:
    try:
        return documents_of(tx, seq), ""
    except StoreError as error:
        return [], str(error)


def _head(size: int) -> tuple[list[Document], str]:
    return [Document(kind, 0, size) for kind in _HEAD], ""


def _sound(tx: Tx, seq: int, document: Document, algorithm: str) -> tuple[bytes, int, str]:
    """Digest and size of a document, or why it is not what the ledger and the message's row say."""
    try:
        found = digest(tx, document, {algorithm, "sha256"})
        if document.kind == Kind.EVIDENCE:
            (row,) = ledger.records(tx, seq - 1, seq)
            if row.record is None or row.record.leaf() != ledger.node(tx, 0, seq - 1):
                raise StoreError("it is not what was recorded")
        elif document.kind == Kind.ORIGINAL and _submitted(tx, seq) not in {None, found.digests["sha256"]}:
            raise StoreError("it is not what was submitted")
        elif document.kind == Kind.MATERIAL and _fingerprint(tx, document.ref) != found.digests["sha256"]:
            raise StoreError("it is not what was kept")
    except (StoreError, FormatError) as error:
        return b"", 0, f"{named(seq, document)}: {error}"
    return found.digests[algorithm], found.size, ""


def _submitted(tx: Tx, seq: int) -> bytes | None:
    """The digest of an original that was submitted here; of one from a peer we know what its evidence says."""
    row = tx.row(
        "SELECT m.digest FROM evidence e JOIN message m ON m.month = e.month AND m.id = e.message"
        " WHERE e.seq = ? AND m.direction = 'out'",
        seq,
    )
    return ledger.octets_of(row[0]) if row else None


def _fingerprint(tx: Tx, number: int) -> bytes | None:
    """The SHA-256 that a piece of material is kept under."""
    row = tx.row("SELECT id FROM archive_material WHERE number = ?", number)
    return ledger.octets_of(row[0]) if row else None
