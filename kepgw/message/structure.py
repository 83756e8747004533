"""The structure of a message as a tree of offsets: what stands where, nothing decoded, nothing copied.

Multiparts are split from the outside in: a delimiter of the outer one always wins, so an unclosed inner multipart ends
where its parent's part ends. That makes the tree of an embedded message the same as that of the message alone, and
lets `graft` put a known tree into an envelope without reading the original again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Any

from kepgw.message.headers import MAX_HEADER, Field, Octets, fields, split
from kepgw.message.imaplist import envelope_of
from kepgw.message.mime import MAX_BOUNDARY, ContentType, content_type, regions, structured
from kepgw.message.words import unfold

# Deeper or wider than honest mail; what is beyond is shown as one opaque part, or not at all.
MAX_DEPTH = 24
MAX_PARTS = 1_000
_ORIGINAL_DEPTH = 2  # signed > mixed > original, TS 102 640-2 4
_MAX_TEXT = 4_096  # octets of a Content-ID and the like

_DEFAULT = ContentType(b"text", b"plain", ((b"charset", b"us-ascii"),))  # RFC 2045 5.2
_DIGEST_DEFAULT = ContentType(b"message", b"rfc822")  # RFC 2046 5.1.5
_OPAQUE = ContentType(b"application", b"octet-stream")
_IDENTITY = ("7bit", "8bit", "binary")

Pairs = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Part:
    """A message or a body part. Offsets are octets from the start of what was scanned.

    ``start`` header, ``body`` its body, ``end`` one past the body (the line end before a delimiter left out).
    Texts are header octets as Latin-1 so that each can be written back; types and encoding are in lower case.
    ``children``: the parts of a multipart, or the one message inside a message/rfc822. Only the root of a message has
    an ``envelope`` (its IMAP form) and ``total``, the line ends in all of it. ``lines`` counts those in the body
    of text and message/rfc822.
    """

    start: int
    body: int
    end: int
    type: str
    subtype: str
    parameters: Pairs = ()
    encoding: str = "7bit"
    id: str | None = None
    description: str | None = None
    md5: str | None = None
    disposition: tuple[str, Pairs] | None = None
    language: tuple[str, ...] = ()
    location: str | None = None
    lines: int = 0
    total: int = 0
    envelope: bytes | None = None
    children: tuple["Part", ...] = ()

    @property
    def size(self) -> int:
        """Octets of the body in its transfer encoding (RFC 3501 7.4.2)."""
        return self.end - self.body

    @property
    def is_multipart(self) -> bool:
        """A multipart with at least one part."""
        return self.type == "multipart"

    @property
    def is_message(self) -> bool:
        """A message/rfc822 whose message was read."""
        return self.type == "message" and self.subtype == "rfc822"


class _Scanner:
    """One reading of one message; ``left`` parts may still be taken.

    In a REM envelope the first original has limits of its own (``spare``): its sender decides how complex it is, and
    must not hide our evidence behind it.
    """

    def __init__(self, data: bytes | mmap, *, outermost: bool = False) -> None:
        self.data = data
        self.left = MAX_PARTS
        self.outermost = outermost
        self.spare = False

    def message(self, start: int, end: int, depth: int) -> Part:
        """The message in ``[start, end)``."""
        part, entries = self._part(start, end, depth, _DEFAULT)
        part.envelope = envelope_of(entries)
        part.total = _line_ends(self.data, start, end)
        return part

    def _part(self, start: int, end: int, depth: int, default: ContentType) -> tuple[Part, list[Field]]:
        self.left -= 1
        header_end, body = split(self.data, start, end)
        entries = fields(self.data[start : min(header_end, start + MAX_HEADER)])
        raw: dict[str, bytes] = {}
        for entry in entries:
            raw.setdefault(entry.name.lower(), entry.raw)
        if self.outermost and depth == 0:
            self.spare = "x-rem-msg-type" in raw or "rem-messagetype" in raw
        kind = (content_type(raw["content-type"]) if "content-type" in raw else None) or default
        part = Part(start, body, end, "", "", encoding=_encoding(raw.get("content-transfer-encoding")))
        _describe(part, raw)
        if kind.type == b"multipart" or kind[:2] == (b"message", b"rfc822"):
            kind = self._composite(part, kind, depth)
        part.type, part.subtype = kind.type.decode("ascii"), kind.subtype.decode("ascii")
        part.parameters = _pairs(kind.parameters)
        if part.type == "text":
            part.lines = _line_ends(self.data, body, end)
        return part, entries

    def _composite(self, part: Part, kind: ContentType, depth: int) -> ContentType:
        """Read what is inside; the type to show, which is another one where it cannot be taken apart."""
        if kind.type == b"message":
            # RFC 2046 5.2.1: never encoded. One that is can only be downloaded and decoded
            if depth >= MAX_DEPTH or self.left <= 0 or part.encoding not in _IDENTITY:
                return _OPAQUE
            if self.spare and depth == _ORIGINAL_DEPTH:
                self.spare = False
                inner = _Scanner(self.data).message(part.body, part.end, 0)
            else:
                inner = self.message(part.body, part.end, depth + 1)
            part.children, part.lines = (inner,), inner.total
            return kind
        boundary = kind.get(b"boundary")
        if depth >= MAX_DEPTH:
            return _OPAQUE
        default = _DIGEST_DEFAULT if kind.subtype == b"digest" else _DEFAULT
        children: list[Part] = []
        if boundary and len(boundary) <= MAX_BOUNDARY:
            for region in regions(self.data, part.body, part.end, boundary):
                if self.left <= 0:
                    break
                children.append(self._part(region.start, region.end, depth + 1, default)[0])
        part.children = tuple(children)
        # IMAP has no way to write a multipart without parts
        return kind if children else _DEFAULT


def scan(octets: Octets) -> Part:
    """The tree of a message. Never raises: malformed MIME gives the nearest tree that IMAP can write."""
    data = bytes(octets) if isinstance(octets, memoryview) else octets
    return _Scanner(data, outermost=True).message(0, len(data), 0)


def _line_ends(data: bytes | mmap, start: int, end: int) -> int:
    if isinstance(data, bytes):
        return data.count(b"\n", start, end)
    step = 1 << 20
    return sum(data[at : min(at + step, end)].count(b"\n") for at in range(start, end, step))


def _encoding(raw: bytes | None) -> str:
    return (structured(raw).token.decode("ascii") if raw is not None else "") or "7bit"  # RFC 2045 6.1


def _pairs(pairs: Sequence[tuple[bytes, bytes]]) -> Pairs:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs)


def _describe(part: Part, raw: dict[str, bytes]) -> None:
    """The fields of a part that clients see but that change nothing here."""

    def text(name: str) -> str | None:
        return unfold(raw[name][:_MAX_TEXT]).decode("latin-1") if name in raw else None

    part.id, part.description = text("content-id"), text("content-description")
    part.md5, part.location = text("content-md5"), text("content-location")
    if "content-disposition" in raw:
        value = structured(raw["content-disposition"])
        if value.token:
            part.disposition = (value.token.decode("ascii"), _pairs(value.parameters))
    if language := text("content-language"):
        part.language = tuple(tag for one in language.split(",") if (tag := one.strip()))


def graft(skeleton: Part, path: tuple[int, ...], original: Part, size: int, lines: int) -> Part:
    """The tree of an envelope with its original in place. Both trees are used up: the result is made of their parts.

    ``skeleton`` is the tree of head and tail alone, with an empty message/rfc822 at ``path`` (IMAP part numbers);
    ``original`` the tree of the form that goes there, of ``size`` octets with ``lines`` line ends.
    Raises ValueError when no empty message/rfc822 stands there (our own mistake).
    """
    node, around = skeleton, []
    for number in path:
        if not 0 < number <= len(node.children):
            raise ValueError(f"no part {path}")
        around.append((node, number))
        node = node.children[number - 1]
    if not node.is_message or node.size:
        raise ValueError(f"part {path} is no empty message/rfc822")
    _shift(original, node.body)
    node.children, node.lines, node.end = (original,), lines, node.end + size
    for parent, number in around:
        parent.end += size
        if parent.envelope is not None:
            parent.total += lines
        for later in parent.children[number:]:
            _shift(later, size)
    return skeleton


def rehead(part: Part, old: bytes, header: bytes) -> Part:
    """The tree of a message with ``header`` for its ``old`` header block, whose MIME fields are the same.

    Both with their blank line. ``part`` is used up; nothing of the body is read again.
    """
    part.total += header.count(b"\n") - old.count(b"\n")
    _shift(part, len(header) - part.body)
    part.start = 0
    part.envelope = envelope_of(fields(header[:MAX_HEADER]))
    return part


def _shift(part: Part, by: int) -> None:
    part.start += by
    part.body += by
    part.end += by
    for child in part.children:
        _shift(child, by)


def dump(part: Part) -> bytes:
    """A tree as compact JSON, for the store."""
    return json.dumps(_plain(part), separators=(",", ":")).encode("ascii")


def load(octets: bytes) -> Part:
    """The tree that `dump` wrote."""
    return _built(json.loads(octets))


def _plain(part: Part) -> list[Any]:
    return [
        part.start,
        part.body,
        part.end,
        part.type,
        part.subtype,
        part.parameters,
        part.encoding,
        part.id,
        part.description,
        part.md5,
        part.disposition,
        part.language,
        part.location,
        part.lines,
        part.total,
        None if part.envelope is None else part.envelope.decode("latin-1"),
        [_plain(child) for child in part.children],
    ]


def _built(plain: list[Any]) -> Part:
    part = Part(*plain)
    part.parameters = tuple(map(tuple, plain[5]))
    if plain[10] is not None:
        part.disposition = (plain[10][0], tuple(map(tuple, plain[10][1])))
    part.language = tuple(plain[11])
    part.envelope = None if plain[15] is None else plain[15].encode("latin-1")
    part.children = tuple(_built(child) for child in plain[16])
    return part


def section(part: Part, path: tuple[int, ...], what: str = "") -> tuple[int, int] | None:
    """The octets of an IMAP section (RFC 3501 6.4.5), None where there is no such part.

    ``path`` are the part numbers, ``what`` one of "", HEADER, TEXT, MIME. HEADER and TEXT need a message: the whole or
    a message/rfc822 part; MIME needs a part number. A header ends after its blank line.
    """
    holder: Part | None = part  # the message whose parts are numbered, None once inside a multipart
    node = part
    for number in path:
        if holder is None and node.is_message:
            holder = node.children[0]
        parent = node if holder is None else holder
        if parent.is_multipart:
            if not 0 < number <= len(parent.children):
                return None
            node, holder = parent.children[number - 1], None
        elif holder is not None and number == 1:  # part 1 of a message that is no multipart is its body
            node, holder = holder, None
        else:
            return None
    if not path:
        message: Part | None = part
    else:
        message = node.children[0] if node.is_message else None
    if what in ("HEADER", "TEXT"):
        if message is None:
            return None
        return (message.start, message.body) if what == "HEADER" else (message.body, message.end)
    if what == "MIME":
        return (node.start, node.body) if path else None
    return (node.body, node.end) if path else (node.start, node.end)
