"""The form of an original that a profile seals, as spans over the octets as they were submitted.

The stored original is never changed or stored twice; a form says which octets of it, and which few of our own, stand in
the dispatch and under the digest (EN 319 532-4 C.22).
"""

from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

from kepgw.message.headers import field, fields, first
from kepgw.refusals import Refusal

_CHUNK = 1 << 18


class Span(NamedTuple):
    """Octets ``[start, end)`` of the original."""

    start: int
    end: int


Piece = Span | bytes


class Form(tuple[Piece, ...]):
    """The pieces of a form in order."""

    __slots__ = ()

    @property
    def size(self) -> int:
        """Octets of the form."""
        return sum(piece.end - piece.start if isinstance(piece, Span) else len(piece) for piece in self)

    def chunks(self, original: bytes | memoryview | mmap, size: int = _CHUNK) -> Iterator[bytes]:
        """The octets of the form over ``original``, at most ``size`` at a time."""
        for piece in self:
            if isinstance(piece, Span):
                for at in range(piece.start, piece.end, size):
                    yield bytes(original[at : min(at + size, piece.end)])
            else:
                yield piece

    def octets(self, original: bytes | memoryview | mmap) -> bytes:
        """The whole form in memory."""
        return b"".join(self.chunks(original))


def tr_kep(size: int) -> Form:
    """The original of ``size`` octets as it is."""
    return Form((Span(0, size),))


def rem_baseline(header: bytes, size: int, new_message_id: str) -> Form:
    """The original with its Message-ID replaced and kept in REM-UAMessageIdentifier (EN 319 532-4 C.22).

    ``header`` is the header block of the original, ``size`` the octets of all of it, ``new_message_id`` with brackets.
    Every other octet stays. Raises Refusal ``message-id`` when there is not exactly one to replace.
    """
    entries = fields(header)
    entry = first(entries, "message-id")
    if entry is None or sum(one.name.lower() == "message-id" for one in entries) != 1:
        raise Refusal("message-id", "not exactly one Message-ID to replace")
    # The old value keeps its octets: only a value without folds and of ASCII passes inspection
    lines = field("Message-ID", new_message_id) + b"REM-UAMessageIdentifier: " + entry.value + b"\r\n"
    return Form((Span(0, entry.start), lines, Span(entry.end, size)))
