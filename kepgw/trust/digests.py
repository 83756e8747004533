"""Digests of spans of large messages, in pieces: a message may be a mapped file larger than we care to copy."""

import hashlib
from collections.abc import Iterator
from mmap import mmap

Octets = bytes | memoryview | mmap
_PIECE = 1 << 20


def digest_span(octets: Octets, span: tuple[int, int], algorithm: str = "sha256") -> bytes:
    """The digest of ``octets[start:end]`` as they stand; ``algorithm`` is a hashlib name."""
    hasher = hashlib.new(algorithm)
    with memoryview(octets) as view:
        for start in range(span[0], span[1], _PIECE):
            with view[start : min(start + _PIECE, span[1])] as piece:
                hasher.update(piece)
    return hasher.digest()


def digest_canonical(octets: Octets, span: tuple[int, int], algorithm: str = "sha256") -> bytes | None:
    """The digest with every bare LF read as CRLF (RFC 8551 3.1.1), None when there is none.

    Mail clients on Unix save messages with LF; what was signed had CRLF.
    """
    hasher = hashlib.new(algorithm)
    changed = False
    for piece in _pieces(octets, span):
        plain = piece.replace(b"\r\n", b"\n")
        canonical = plain.replace(b"\n", b"\r\n")
        changed = changed or canonical != piece
        hasher.update(canonical)
    return hasher.digest() if changed else None


def _pieces(octets: Octets, span: tuple[int, int]) -> Iterator[bytes]:
    """Pieces of a span that never end between CR and LF."""
    start, end = span
    with memoryview(octets) as view:
        while start < end:
            stop = min(start + _PIECE, end)
            while stop < end and view[stop - 1] == 0x0D:
                stop += 1
            yield bytes(view[start:stop])
            start = stop
