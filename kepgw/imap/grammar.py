r"""The lexical part of IMAP (RFC 3501 9): no I/O, one class a construct.

Each construct has ``parse(buf) -> (value, rest)`` and ``__bytes__``, inverse of each other. ``parse`` raises ParseError
and nothing else. A command is parsed with its literals in place: ``A1 LOGIN {5}\r\nalice secret``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final, Self

from kepgw.errors import FormatError
from kepgw.imap import utf7

Buffer = bytes | memoryview  # a memoryview inside, so that cutting what was read costs nothing

STAR: Final = 0  # "*" in a sequence set: 0 is no message number
MAX_NUMBER: Final = 0xFFFFFFFF

_TAG = re.compile(rb"[!#$&',-.0-\[\]^-z|}~/]+")  # ASTRING-CHAR without "+"
_ATOM = re.compile(rb"[!#$&'+-\[^-z|}~]+")  # ATOM-CHAR
_ASTRING = re.compile(rb"[!#$&'+-\[\]^-z|}~]+")
_LIST_ATOM = re.compile(rb"[!#-'*-\[\]^-z|}~]+")
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\0]|\\["\\])*)"')
_ESCAPED = re.compile(rb'\\(["\\])')
_SPECIAL = re.compile(rb'(["\\])')
_LITERAL = re.compile(rb"\{([0-9]{1,10})\+?\}\r\n")
_NUMBER = re.compile(rb"[0-9]{1,19}")
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*")


class ParseError(FormatError):
    """A command does not follow the grammar; the text is for the client and holds nothing that it sent."""


def expect(buf: Buffer, literal: bytes) -> memoryview:
    """What follows ``literal`` (case-insensitive). Raises ParseError."""
    view = memoryview(buf)
    if bytes(view[: len(literal)]).upper() != literal:
        raise ParseError(f"expected {literal.decode()!r}")
    return view[len(literal) :]


def at(buf: Buffer, octets: bytes) -> bool:
    """Whether ``octets`` come next."""
    return bytes(buf[: len(octets)]) == octets


def space(buf: Buffer) -> memoryview:
    """What follows one SP."""
    view = memoryview(buf)
    if not at(view, b" "):
        raise ParseError("expected a space")
    return view[1:]


def end(buf: Buffer) -> None:
    """Raises ParseError unless everything was read."""
    if len(buf):
        raise ParseError("unexpected text after the command")


def number(buf: Buffer, most: int = MAX_NUMBER) -> tuple[int, memoryview]:
    """A number up to ``most``."""
    match = _NUMBER.match(buf)
    if match is None or int(match[0]) > most:
        raise ParseError("expected a number")
    return int(match[0]), memoryview(buf)[match.end() :]


def word(buf: Buffer) -> tuple[bytes, memoryview]:
    """An atom in upper case, for keywords of the protocol."""
    value, rest = Atom.parse(buf)
    return value.value.upper(), rest


def string(value: bytes) -> bytes:
    """A string in its shortest safe form: quoted, or a literal (RFC 3501 4.3)."""
    if len(value) <= 1024 and _QUOTABLE.fullmatch(value):
        return b'"' + _SPECIAL.sub(rb"\\\1", value) + b'"'
    return b"{%d}\r\n%b" % (len(value), value)


def nstring(value: bytes | None) -> bytes:
    """A string, or NIL."""
    return b"NIL" if value is None else string(value)


def parse_string(buf: Buffer) -> tuple[bytes, memoryview]:
    """A quoted string or a literal."""
    view = memoryview(buf)
    if match := _QUOTED.match(view):
        return _ESCAPED.sub(rb"\1", match[1]), view[match.end() :]
    if match := _LITERAL.match(view):
        size = int(match[1])
        octets = bytes(view[match.end() : match.end() + size])
        if len(octets) < size:
            raise ParseError("a literal is cut short")
        if b"\0" in octets:  # RFC 3501 9: CHAR8 excludes NUL
            raise ParseError("NUL in a literal")
        return octets, view[match.end() + size :]
    raise ParseError("expected a string")


@dataclass(frozen=True, slots=True)
class Tag:
    """The tag of a command."""

    value: bytes

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """At most 128 octets: it is sent back."""
        match = _TAG.match(buf)
        if match is None or match.end() > 128:
            raise ParseError("expected a tag")
        return cls(match[0]), memoryview(buf)[match.end() :]

    def __bytes__(self) -> bytes:
        return self.value


@dataclass(frozen=True, slots=True)
class Atom:
    """A word of the protocol."""

    value: bytes

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """One or more ATOM-CHAR."""
        match = _ATOM.match(buf)
        if match is None:
            raise ParseError("expected a word")
        return cls(match[0]), memoryview(buf)[match.end() :]

    def __bytes__(self) -> bytes:
        return self.value


@dataclass(frozen=True, slots=True)
class AString:
    """An atom or a string. Octets over 127 in quotes are taken: clients send passwords so."""

    value: bytes

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """Atom, quoted string or literal."""
        view = memoryview(buf)
        if match := _ASTRING.match(view):
            return cls(match[0]), view[match.end() :]
        value, rest = parse_string(view)
        return cls(value), rest

    def __bytes__(self) -> bytes:
        plain = _ASTRING.fullmatch(self.value) and self.value.upper() != b"NIL"  # an atom that some read as nothing
        return self.value if plain else string(self.value)


@dataclass(frozen=True, slots=True)
class MailboxName:
    """A mailbox name: Unicode here, modified UTF-7 on the wire."""

    name: str

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """Raises ParseError also for what is not modified UTF-7."""
        value, rest = AString.parse(buf)
        try:
            return cls(utf7.decode(value.value)), rest
        except FormatError as error:
            raise ParseError(str(error)) from None

    def __bytes__(self) -> bytes:
        return bytes(AString(utf7.encode(self.name)))


@dataclass(frozen=True, slots=True)
class ListPattern:
    """A mailbox name with the wildcards ``*`` and ``%`` (list-mailbox)."""

    name: str

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """Like MailboxName, with wildcards in atoms too."""
        view = memoryview(buf)
        if match := _LIST_ATOM.match(view):
            value, rest = match[0], view[match.end() :]
        else:
            value, rest = parse_string(view)
        try:
            return cls(utf7.decode(value)), rest
        except FormatError as error:
            raise ParseError(str(error)) from None

    def __bytes__(self) -> bytes:
        octets = utf7.encode(self.name)
        return octets if _LIST_ATOM.fullmatch(octets) else string(octets)


@dataclass(frozen=True, slots=True)
class FlagList:
    r"""``(\Seen $Label)``: system flags in their one spelling, keywords as given."""

    flags: tuple[str, ...]

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """A parenthesised list."""
        rest = expect(buf, b"(")
        flags: list[str] = []
        while not at(rest, b")"):
            if flags:
                rest = space(rest)
            flag, rest = _flag(rest)
            flags.append(flag)
        return cls(tuple(flags)), rest[1:]

    @classmethod
    def parse_bare(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """With or without parentheses, as STORE takes them (RFC 3501 9 store-att-flags)."""
        view = memoryview(buf)
        if at(view, b"("):
            return cls.parse(view)
        flag, rest = _flag(view)
        flags = [flag]
        while at(rest, b" "):
            flag, rest = _flag(rest[1:])
            flags.append(flag)
        return cls(tuple(flags)), rest

    def __bytes__(self) -> bytes:
        return b"(" + " ".join(self.flags).encode("ascii") + b")"


SYSTEM_FLAGS: Final = {flag.lower(): flag for flag in ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")}


def _flag(buf: Buffer) -> tuple[str, memoryview]:
    view = memoryview(buf)
    mark = b"\\" if at(view, b"\\") else b""
    atom, rest = Atom.parse(view[len(mark) :])
    flag = (mark + atom.value).decode("ascii")
    if mark:
        # \Recent cannot be altered by clients, \* is no flag, others are reserved (RFC 3501 2.3.2)
        if flag.lower() not in SYSTEM_FLAGS:
            raise ParseError("unknown system flag")
        flag = SYSTEM_FLAGS[flag.lower()]
    return flag, rest


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """``1,3:5,7:*``: pairs (first, last); a single number has both alike; STAR is ``*``."""

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """Numbers from 1 to 2^32-1."""
        rest = memoryview(buf)
        ranges: list[tuple[int, int]] = []
        while True:
            first, rest = _set_number(rest)
            last = first
            if at(rest, b":"):
                last, rest = _set_number(rest[1:])
            ranges.append((first, last))
            if not at(rest, b","):
                return cls(tuple(ranges)), rest
            rest = rest[1:]

    def __bytes__(self) -> bytes:
        return b",".join(
            _set_text(first) if first == last else _set_text(first) + b":" + _set_text(last)
            for first, last in self.ranges
        )

    def spans(self, largest: int) -> list[tuple[int, int]]:
        """The numbers as ascending, disjoint (low, high), with ``*`` as ``largest`` (RFC 3501 6.4.8, 9)."""
        ends = sorted(
            (min(pair), max(pair)) for pair in ((first or largest, last or largest) for first, last in self.ranges)
        )
        merged: list[tuple[int, int]] = []
        for low, high in ends:
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = merged[-1][0], max(high, merged[-1][1])
            else:
                merged.append((low, high))
        return merged

    @classmethod
    def of(cls, numbers: Iterator[int] | list[int]) -> Self:
        """The shortest set of ascending numbers."""
        ranges: list[tuple[int, int]] = []
        for value in numbers:
            if ranges and ranges[-1][1] == value - 1:
                ranges[-1] = ranges[-1][0], value
            else:
                ranges.append((value, value))
        return cls(tuple(ranges))


def _set_number(buf: Buffer) -> tuple[int, memoryview]:
    view = memoryview(buf)
    if at(view, b"*"):
        return STAR, view[1:]
    value, rest = number(view)
    if value == 0:
        raise ParseError("message numbers start at 1")
    return value, rest


def _set_text(value: int) -> bytes:
    return b"*" if value == STAR else b"%d" % value


_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH_NUMBERS: Final = {name.upper(): index for index, name in enumerate(_MONTHS, 1)}
_DATE = re.compile(rb'(")?([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})(?(1)")')
_DATE_TIME = re.compile(
    rb'"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)


@dataclass(frozen=True, slots=True)
class Day:
    """A date as SEARCH takes it."""

    value: date

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """``1-Feb-1994``, quoted or not."""
        match = _DATE.match(buf)
        if match is None:
            raise ParseError("expected a date")
        try:
            value = date(int(match[4]), _MONTH_NUMBERS[match[3].upper()], int(match[2]))
        except (KeyError, ValueError):
            raise ParseError("no such date") from None
        return cls(value), memoryview(buf)[match.end() :]

    def __bytes__(self) -> bytes:
        return b"%d-%b-%04d" % (self.value.day, _MONTHS[self.value.month - 1], self.value.year)


@dataclass(frozen=True, slots=True)
class DateTime:
    """A time as APPEND takes it and INTERNALDATE gives it; precise to the second."""

    value: datetime

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """``"17-Jul-1996 02:44:25 -0700"``."""
        match = _DATE_TIME.match(buf)
        if match is None:
            raise ParseError("expected a date and time")
        day, month, year, hour, minute, second, sign, hours, minutes = match.groups()
        try:
            zone = timezone(timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == b"-" else 1))
            number_of_month = _MONTH_NUMBERS[month.upper()]
            value = datetime(int(year), number_of_month, int(day), int(hour), int(minute), int(second), tzinfo=zone)
            value.astimezone(UTC)
        except (KeyError, ValueError, OverflowError):
            raise ParseError("no such date and time") from None
        return cls(value), memoryview(buf)[match.end() :]

    def __bytes__(self) -> bytes:
        value = self.value
        minutes = (value.utcoffset() or timedelta()) // timedelta(minutes=1)
        sign = b"-" if minutes < 0 else b"+"
        return b'"%2d-%b-%04d %02d:%02d:%02d %b%02d%02d"' % (
            value.day,
            _MONTHS[value.month - 1],
            value.year,
            value.hour,
            value.minute,
            value.second,
            sign,
            *divmod(abs(minutes), 60),
        )
