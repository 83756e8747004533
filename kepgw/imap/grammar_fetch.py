"""What FETCH asks for (RFC 3501 6.4.5, 9 fetch-att)."""

import re
from dataclasses import dataclass
from typing import Final, Self

from kepgw.imap.grammar import AString, Buffer, ParseError, at, number, space

MAX_LEVELS: Final = 32  # of a part number; deeper parts are never made by kepgw.message.structure
MAX_ITEMS: Final = 50
MAX_FIELDS: Final = 200

_NAME = re.compile(rb"[A-Za-z0-9.]+")
_TEXT = re.compile(rb"(?:HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME)(?=[] ])", re.IGNORECASE)

PLAIN: Final = frozenset(
    (
        b"ENVELOPE",
        b"FLAGS",
        b"INTERNALDATE",
        b"UID",
        b"BODY",
        b"BODYSTRUCTURE",
        b"RFC822",
        b"RFC822.HEADER",
        b"RFC822.SIZE",
        b"RFC822.TEXT",
    )
)
_FAST: Final = (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE")
MACROS: Final = {b"FAST": _FAST, b"ALL": (*_FAST, b"ENVELOPE"), b"FULL": (*_FAST, b"ENVELOPE", b"BODY")}


@dataclass(frozen=True, slots=True)
class Section:
    """``[1.2.HEADER.FIELDS (From To)]``: what of which part."""

    path: tuple[int, ...] = ()
    what: bytes = b""  # HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT, MIME or all
    fields: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """With its brackets."""
        rest = memoryview(buf)
        if not at(rest, b"["):
            raise ParseError("expected a section")
        rest = rest[1:]
        path: list[int] = []
        what = b""
        names: tuple[bytes, ...] = ()
        while not at(rest, b"]"):
            if match := _TEXT.match(rest):
                what, rest = match[0].upper(), rest[match.end() :]
                break
            part, rest = number(rest)
            path.append(part)
            if part == 0 or len(path) > MAX_LEVELS:
                raise ParseError("no such part number")
            if at(rest, b"."):
                rest = rest[1:]
            elif not at(rest, b"]"):
                raise ParseError("expected the end of a section")
            if at(rest, b"]") and bytes(buf[len(buf) - len(rest) - 1 : len(buf) - len(rest)]) == b".":
                raise ParseError("a part number ends with a dot")
        if what.startswith(b"HEADER.FIELDS"):
            names, rest = _header_list(space(rest))
        if what == b"MIME" and not path:
            raise ParseError("MIME needs a part number")
        if not at(rest, b"]"):
            raise ParseError("expected the end of a section")
        return cls(tuple(path), what, names), rest[1:]

    def __bytes__(self) -> bytes:
        spec = b".".join([*(b"%d" % part for part in self.path), *([self.what] if self.what else [])])
        if self.what.startswith(b"HEADER.FIELDS"):
            spec += b" (" + b" ".join(bytes(AString(name)) for name in self.fields) + b")"
        return b"[" + spec + b"]"

    @property
    def is_body(self) -> bool:
        """Whether it gives body content: anything but headers. A single part of a dispatch counts as well, even the
        provider's own introduction, since a client that takes parts one by one must not escape the evidence.
        """
        return self.what in {b"", b"TEXT"}


def _header_list(buf: Buffer) -> tuple[tuple[bytes, ...], memoryview]:
    rest = memoryview(buf)
    if not at(rest, b"("):
        raise ParseError("expected a list of header names")
    names: list[bytes] = []
    rest = rest[1:]
    while True:
        name, rest = AString.parse(rest)
        names.append(name.value)
        if len(names) > MAX_FIELDS:
            raise ParseError("too many header names")
        if at(rest, b")"):
            return tuple(names), rest[1:]
        rest = space(rest)


@dataclass(frozen=True, slots=True)
class FetchItem:
    """One item: a name, or a section of the body."""

    name: bytes  # one of PLAIN, or BODY with a section
    section: Section | None = None
    peek: bool = False
    partial: tuple[int, int] | None = None  # first octet, number of octets

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """A fetch-att."""
        match = _NAME.match(buf)
        name = match[0].upper() if match else b""
        rest = memoryview(buf)[len(name) :]
        if not at(rest, b"["):
            if name not in PLAIN:
                raise ParseError("unknown item to fetch")
            return cls(name), rest
        if name not in {b"BODY", b"BODY.PEEK"}:
            raise ParseError("unknown item to fetch")
        section, rest = Section.parse(rest)
        partial = None
        if at(rest, b"<"):
            first, rest = number(rest[1:])
            if not at(rest, b"."):
                raise ParseError("expected <first.count>")
            count, rest = number(rest[1:])
            if count == 0 or not at(rest, b">"):
                raise ParseError("expected <first.count>")
            partial, rest = (first, count), rest[1:]
        return cls(b"BODY", section, name == b"BODY.PEEK", partial), rest

    def __bytes__(self) -> bytes:
        name = b"BODY.PEEK" if self.peek else self.name
        section = bytes(self.section) if self.section is not None else b""
        return name + section + (b"<%d.%d>" % self.partial if self.partial else b"")

    @property
    def label(self) -> bytes:
        """As the response names it (RFC 3501 7.4.2): no PEEK, the first octet only."""
        section = bytes(self.section) if self.section is not None else b""
        return self.name + section + (b"<%d>" % self.partial[0] if self.partial else b"")

    @property
    def is_body(self) -> bool:
        """Whether body content leaves with it."""
        if self.section is not None:
            return self.section.is_body
        return self.name in {b"RFC822", b"RFC822.TEXT"}

    @property
    def marks_seen(self) -> bool:
        r"""Whether it sets \Seen (RFC 3501 6.4.5)."""
        if self.section is not None:
            return not self.peek
        return self.name in {b"RFC822", b"RFC822.TEXT"}


@dataclass(frozen=True, slots=True)
class FetchItems:
    """All items of a FETCH; a macro stands for what it means."""

    items: tuple[FetchItem, ...]

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """A macro, one item, or a list."""
        rest = memoryview(buf)
        match = _NAME.match(rest)
        if match and match[0].upper() in MACROS:
            return cls(tuple(FetchItem(name) for name in MACROS[match[0].upper()])), rest[match.end() :]
        if not at(rest, b"("):
            item, rest = FetchItem.parse(rest)
            return cls((item,)), rest
        rest = rest[1:]
        items: dict[FetchItem, None] = {}
        while True:
            item, rest = FetchItem.parse(rest)
            items[item] = None  # asked for twice, given once
            if len(items) > MAX_ITEMS:
                raise ParseError("too many items to fetch")
            if at(rest, b")"):
                return cls(tuple(items)), rest[1:]
            rest = space(rest)

    def __bytes__(self) -> bytes:
        return b"(" + b" ".join(map(bytes, self.items)) + b")"
