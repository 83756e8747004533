"""A header block as offsets: find its end, list its fields, write fields of our own.

Reading keeps every octet: a `Field` knows where it stands. Writing takes text and gives folded ASCII lines into which
no value can put a line of its own.
"""

import re
from collections.abc import Iterable
from mmap import mmap
from typing import NamedTuple

from kepgw.message.addresses import Mailbox, addresses, write_mailbox
from kepgw.message.words import clean, decode_text, encode_text, unfold

__all__ = [
    "MAX_FIELDS",
    "MAX_HEADER",
    "Field",
    "Mailbox",
    "Octets",
    "addresses",
    "block",
    "decode_text",
    "encode_text",
    "every",
    "field",
    "fields",
    "first",
    "split",
    "unfold",
    "write_mailbox",
]

Octets = bytes | memoryview | mmap

# No honest header block is larger: 10,000 recipients of 60 octets in To make 600 KB. What is beyond is not read.
MAX_HEADER = 1 << 20
MAX_FIELDS = 5_000

_BLANK = re.compile(rb"\n\r?\n")
# a field with its folds (name and value in groups), any other line with its folds, the blank line
_LINES = re.compile(
    rb"([!-9;-~]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)\n?|(?!\r?\n)[^\n]+(?:\n[ \t][^\n]*)*\n?",
)
_OWN_NAME = re.compile(r"[!-9;-~]{1,76}")
_FOLDING = re.compile(r"[ \t]+[^ \t]+|[^ \t]+")

_ADDRESS_FIELDS = frozenset(
    ("from", "to", "cc", "reply-to", "sender", "resent-from", "resent-to", "resent-cc", "resent-sender", "rem-md08")
)
_FOLD_AT = 76  # RFC 2047 2 and RFC 5322 2.1.1 (78)
_HARD_LIMIT = 998  # RFC 5322 2.1.1


class Field(NamedTuple):
    """One field of a header block.

    ``name`` is as received, empty when the line is no field at all; ``start`` and ``end`` are offsets in the block, the
    line end included; ``raw`` is the value after the colon, folds kept, the last line end not.
    """

    name: str
    start: int
    end: int
    raw: bytes

    @property
    def value(self) -> bytes:
        """The value unfolded and stripped."""
        return unfold(self.raw)

    @property
    def text(self) -> str:
        """The value decoded for display."""
        return decode_text(self.raw)


def split(octets: Octets, start: int = 0, end: int | None = None) -> tuple[int, int]:
    """Where the header block of the message or part in ``[start, end)`` ends and where its body starts.

    The first offset is after the last field's line end, the second after the blank line. Without a blank line all is
    header and both are ``end`` (RFC 5322 3.5). Lone LF line ends are understood.
    """
    stop = len(octets) if end is None else end
    opening = bytes(octets[start : min(start + 2, stop)])
    if opening[:1] == b"\n":
        return start, start + 1
    if opening == b"\r\n":
        return start, start + 2
    blank = _BLANK.search(octets, start, stop)
    return (blank.start() + 1, blank.end()) if blank else (stop, stop)


def fields(header: bytes) -> list[Field]:
    """The fields of a header block in order, at most MAX_FIELDS of its first MAX_HEADER octets. Never raises."""
    found: list[Field] = []
    at, end = 0, min(len(header), MAX_HEADER)
    while len(found) < MAX_FIELDS and (line := _LINES.match(header, at, end)):
        at = line.end()
        if (name := line[1]) is not None:
            found.append(Field(name.decode("ascii"), line.start(), at, line[2].rstrip(b"\r\n")))
        else:
            found.append(Field("", line.start(), at, line[0].rstrip(b"\r\n")))
    return found


def first(entries: Iterable[Field], name: str) -> Field | None:
    """The first field of that name (case-insensitive, RFC 5322 1.2.2), or None."""
    wanted = name.lower()
    return next((entry for entry in entries if entry.name.lower() == wanted), None)


def every(entries: Iterable[Field], name: str) -> list[Field]:
    """All fields of that name, in order."""
    wanted = name.lower()
    return [entry for entry in entries if entry.name.lower() == wanted]


def field(name: str, value: str) -> bytes:
    """One header line of our own with its CRLF: ASCII, folded at 76, injection-safe.

    Control characters in ``value`` become spaces. In an address field only names are encoded, elsewhere the whole
    value (RFC 2047). Raises ValueError for a name that is not one (our own mistake, never input).
    """
    if not _OWN_NAME.fullmatch(name):
        raise ValueError(f"not a header name: {name!r}")
    value = clean(value)
    if not value.isascii():
        if name.lower() in _ADDRESS_FIELDS:
            value = ", ".join(
                write_mailbox(entry.name, entry.address) for entry in addresses(value.encode("utf-8", "replace"))
            )
            value = value if value.isascii() else value.encode("ascii", "replace").decode("ascii")
        else:
            value = encode_text(value)
    pieces = _FOLDING.findall(value)
    if any(len(piece) >= _HARD_LIMIT for piece in pieces):
        pieces = _FOLDING.findall(encode_text(value, always=True))
    lines = [f"{name}:"]
    for index, piece in enumerate(pieces):
        text = f" {piece}" if index == 0 else piece
        # a first piece moves to a line of its own only where the line would be longer than any may be
        limit = _FOLD_AT if index else _HARD_LIMIT
        if len(lines[-1]) + len(text) > limit:
            lines.append(text)
        else:
            lines[-1] += text
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def block(entries: Iterable[tuple[str, str]]) -> bytes:
    """Header lines of our own, one after another, without the blank line."""
    return b"".join(field(name, value) for name, value in entries)
