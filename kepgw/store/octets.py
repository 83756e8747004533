"""Octets in the store: blobs in chunks, and contents as spans over them.

A message is never rebuilt and never stored twice: a dispatch is its small head, the original's octets where they
already lie, and its small tail.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from kepgw.errors import StoreError
from kepgw.message.rendering import Rendered
from kepgw.store.engine import Tx

CHUNK: Final = 256 * 1024


class Span(NamedTuple):
    """``length`` octets of ``blob`` from ``offset``."""

    blob: int
    offset: int
    length: int


class ContentRef(NamedTuple):
    """A content by its key."""

    month: int
    id: int


def put_blob(tx: Tx, month: int, blob: int, chunks: Iterable[bytes]) -> int:
    """Store octets as ``blob``; ``chunks`` may have any sizes. Returns the size."""
    size = 0
    for seq, chunk in enumerate(_even(chunks)):
        tx.run("INSERT INTO blob_chunk (month, blob, seq, data) VALUES (?, ?, ?, ?)", month, blob, seq, chunk)
        size += len(chunk)
    tx.run("INSERT INTO blob (month, id, size) VALUES (?, ?, ?)", month, blob, size)
    return size


def put_blobs(tx: Tx, month: int, blobs: Mapping[int, bytes]) -> None:
    """Store several octet strings that are at hand; the small ones in one statement together.

    Each statement is a hand-over of the interpreter and so a wait: what is made together is written together.
    """
    small = {blob: octets for blob, octets in blobs.items() if 0 < len(octets) <= CHUNK}
    for blob, octets in blobs.items():
        if blob not in small:
            put_blob(tx, month, blob, [octets])
    if small:
        rows = ", ".join(["(?, ?, 0, ?)"] * len(small))
        values = [value for blob, octets in small.items() for value in (month, blob, octets)]
        tx.run(f"INSERT INTO blob_chunk (month, blob, seq, data) VALUES {rows}", *values)
        rows = ", ".join(["(?, ?, ?)"] * len(small))
        values = [value for blob, octets in small.items() for value in (month, blob, len(octets))]
        tx.run(f"INSERT INTO blob (month, id, size) VALUES {rows}", *values)


def _even(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same octets in pieces of CHUNK, the last one shorter."""
    rest = bytearray()
    for chunk in chunks:
        rest += chunk
        while len(rest) >= CHUNK:
            yield bytes(rest[:CHUNK])
            del rest[:CHUNK]
    if rest:
        yield bytes(rest)


def read_blob(tx: Tx, month: int, blob: int, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
    """The octets of a blob from ``offset``, chunk by chunk. Raises StoreError if a chunk is missing."""
    if length is None:
        row = tx.row("SELECT size FROM blob WHERE month = ? AND id = ?", month, blob)
        if row is None:
            raise StoreError(f"blob {month}/{blob} is missing")
        length = row[0] - offset
    while length > 0:
        seq, skip = divmod(offset, CHUNK)
        row = tx.row("SELECT data FROM blob_chunk WHERE month = ? AND blob = ? AND seq = ?", month, blob, seq)
        piece = row[0][skip : skip + length] if row else b""
        if not piece:
            raise StoreError(f"chunk {seq} of blob {month}/{blob} is missing")
        yield piece
        offset += len(piece)
        length -= len(piece)


def put_content(tx: Tx, ref: ContentRef, spans: Iterable[Span], rendered: Rendered) -> int:
    """Store a content over blobs that are there. Returns its size."""
    listed = [span for span in spans if span.length]
    size = sum(span.length for span in listed)
    tx.run(
        "INSERT INTO content (month, id, size, spans, header, envelope, body, bodystructure, tree)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ref.month,
        ref.id,
        size,
        json.dumps(listed),
        rendered.header,
        rendered.envelope,
        rendered.body,
        rendered.bodystructure,
        rendered.tree,
    )
    return size


def spans_of(tx: Tx, ref: ContentRef) -> list[Span]:
    """The spans of a content. Raises StoreError if it is not there."""
    row = tx.row("SELECT spans FROM content WHERE month = ? AND id = ?", *ref)
    if row is None:
        raise StoreError(f"content {ref.month}/{ref.id} is missing")
    return [Span(*span) for span in json.loads(row[0])]


def size_of(tx: Tx, ref: ContentRef) -> int:
    """Octets of a content. Raises StoreError if it is not there."""
    return sum(span.length for span in spans_of(tx, ref))


def rendered_of(tx: Tx, ref: ContentRef) -> Rendered:
    """What IMAP shows of a content."""
    row = tx.row("SELECT header, envelope, body, bodystructure, tree FROM content WHERE month = ? AND id = ?", *ref)
    if row is None:
        raise StoreError(f"content {ref.month}/{ref.id} is missing")
    return Rendered(*row)


def cut(spans: Iterable[Span], offset: int, length: int) -> list[Span]:
    """The part ``offset``..``offset + length`` of a sequence of spans."""
    parts: list[Span] = []
    for span in spans:
        if length <= 0:
            break
        if offset >= span.length:
            offset -= span.length
            continue
        taken = min(span.length - offset, length)
        parts.append(Span(span.blob, span.offset + offset, taken))
        length -= taken
        offset = 0
    return parts


def read_spans(tx: Tx, month: int, spans: Iterable[Span]) -> Iterator[bytes]:
    """The octets of spans in order, chunk by chunk."""
    for span in spans:
        yield from read_blob(tx, month, span.blob, span.offset, span.length)


def read_content(tx: Tx, ref: ContentRef, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
    """The octets of a content (or a part of them), chunk by chunk."""
    spans = spans_of(tx, ref)
    if offset or length is not None:
        total = sum(span.length for span in spans)
        spans = cut(spans, offset, total - offset if length is None else length)
    return read_spans(tx, ref.month, spans)
