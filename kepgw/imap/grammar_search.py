"""What SEARCH asks for (RFC 3501 6.4.4), as a tree of keys."""

from dataclasses import dataclass
from typing import Final, Self

from kepgw.imap.grammar import AString, Atom, Buffer, Day, ParseError, SequenceSet, at, number, space, word

MAX_DEPTH: Final = 32
MAX_KEYS: Final = 500

# key -> (flag, whether it must be set)
FLAG_KEYS: Final[dict[bytes, tuple[str, bool]]] = {
    b"ANSWERED": ("\\Answered", True),
    b"DELETED": ("\\Deleted", True),
    b"DRAFT": ("\\Draft", True),
    b"FLAGGED": ("\\Flagged", True),
    b"SEEN": ("\\Seen", True),
    b"UNANSWERED": ("\\Answered", False),
    b"UNDELETED": ("\\Deleted", False),
    b"UNDRAFT": ("\\Draft", False),
    b"UNFLAGGED": ("\\Flagged", False),
    b"UNSEEN": ("\\Seen", False),
}
_PLAIN: Final = frozenset((*FLAG_KEYS, b"ALL", b"NEW", b"OLD", b"RECENT"))
_TEXTS: Final = frozenset((b"BCC", b"BODY", b"CC", b"FROM", b"SUBJECT", b"TEXT", b"TO"))
_DAYS: Final = frozenset((b"BEFORE", b"ON", b"SINCE", b"SENTBEFORE", b"SENTON", b"SENTSINCE"))
_SIZES: Final = frozenset((b"LARGER", b"SMALLER"))


@dataclass(frozen=True, slots=True)
class Plain:
    """A key without argument: ALL, SEEN, NEW ..."""

    name: bytes

    def __bytes__(self) -> bytes:
        return self.name


@dataclass(frozen=True, slots=True)
class Keyword:
    """KEYWORD or UNKEYWORD."""

    keyword: bytes
    wanted: bool

    def __bytes__(self) -> bytes:
        return (b"KEYWORD " if self.wanted else b"UNKEYWORD ") + self.keyword


@dataclass(frozen=True, slots=True)
class Contains:
    """A substring of a part of the message: BCC, BODY, CC, FROM, SUBJECT, TEXT, TO."""

    name: bytes
    value: bytes

    def __bytes__(self) -> bytes:
        return self.name + b" " + bytes(AString(self.value))


@dataclass(frozen=True, slots=True)
class Header:
    """A substring of a header field; empty: the field is there."""

    field: bytes
    value: bytes

    def __bytes__(self) -> bytes:
        return b"HEADER " + bytes(AString(self.field)) + b" " + bytes(AString(self.value))


@dataclass(frozen=True, slots=True)
class OnDay:
    """BEFORE, ON, SINCE (internal date) and SENTBEFORE, SENTON, SENTSINCE (Date field)."""

    name: bytes
    day: Day

    def __bytes__(self) -> bytes:
        return self.name + b" " + bytes(self.day)


@dataclass(frozen=True, slots=True)
class Size:
    """LARGER or SMALLER, octets."""

    name: bytes
    size: int

    def __bytes__(self) -> bytes:
        return b"%b %d" % (self.name, self.size)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Messages by sequence number or, with ``uid``, by UID."""

    numbers: SequenceSet
    uid: bool

    def __bytes__(self) -> bytes:
        return (b"UID " if self.uid else b"") + bytes(self.numbers)


@dataclass(frozen=True, slots=True)
class Not:
    """What does not match."""

    key: "SearchKey"

    def __bytes__(self) -> bytes:
        return b"NOT " + bytes(self.key)


@dataclass(frozen=True, slots=True)
class Or:
    """What matches one or the other."""

    left: "SearchKey"
    right: "SearchKey"

    def __bytes__(self) -> bytes:
        return b"OR " + bytes(self.left) + b" " + bytes(self.right)


@dataclass(frozen=True, slots=True)
class And:
    """What matches all, in parentheses."""

    keys: tuple["SearchKey", ...]

    def __bytes__(self) -> bytes:
        return b"(" + b" ".join(map(bytes, self.keys)) + b")"


SearchKey = Plain | Keyword | Contains | Header | OnDay | Size | Numbers | Not | Or | And


@dataclass(frozen=True, slots=True)
class Search:
    """The arguments of SEARCH: the charset as named by the client, and the keys, all of which must match."""

    keys: tuple[SearchKey, ...]
    charset: bytes | None = None

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """At most MAX_KEYS keys, nested at most MAX_DEPTH deep."""
        rest = memoryview(buf)
        charset = None
        if bytes(rest[:8]).upper() == b"CHARSET ":
            value, rest = AString.parse(rest[8:])
            charset, rest = value.value, space(rest)
        keys, rest = _Reader().keys(rest, 0)
        return cls(keys, charset), rest

    def __bytes__(self) -> bytes:
        charset = b"" if self.charset is None else b"CHARSET " + bytes(AString(self.charset)) + b" "
        return charset + b" ".join(map(bytes, self.keys))


class _Reader:
    """Counts what it reads, so that neither depth nor number can be driven up."""

    def __init__(self) -> None:
        self._left = MAX_KEYS

    def keys(self, buf: Buffer, depth: int) -> tuple[tuple[SearchKey, ...], memoryview]:
        key, rest = self.key(buf, depth)
        keys = [key]
        while at(rest, b" "):
            key, rest = self.key(rest[1:], depth)
            keys.append(key)
        return tuple(keys), rest

    def key(self, buf: Buffer, depth: int) -> tuple[SearchKey, memoryview]:
        view = memoryview(buf)
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise ParseError("the search is too large")
        if at(view, b"("):
            keys, rest = self.keys(view[1:], depth + 1)
            if not at(rest, b")"):
                raise ParseError("expected a closing parenthesis")
            return And(keys), rest[1:]
        if at(view, b"*") or bytes(view[:1]).isdigit():
            numbers, rest = SequenceSet.parse(view)
            return Numbers(numbers, uid=False), rest
        name, rest = word(view)
        if name in _PLAIN:
            return Plain(name), rest
        return self._with_argument(name, space(rest), depth)

    def _with_argument(self, name: bytes, rest: memoryview, depth: int) -> tuple[SearchKey, memoryview]:
        if name in _TEXTS:
            text, rest = AString.parse(rest)
            return Contains(name, text.value), rest
        if name in _DAYS:
            day, rest = Day.parse(rest)
            return OnDay(name, day), rest
        if name in _SIZES:
            size, rest = number(rest)
            return Size(name, size), rest
        if name in {b"KEYWORD", b"UNKEYWORD"}:
            atom, rest = Atom.parse(rest)
            return Keyword(atom.value, name == b"KEYWORD"), rest
        if name == b"HEADER":
            field, rest = AString.parse(rest)
            text, rest = AString.parse(space(rest))
            return Header(field.value, text.value), rest
        if name == b"UID":
            numbers, rest = SequenceSet.parse(rest)
            return Numbers(numbers, uid=True), rest
        if name == b"NOT":
            key, rest = self.key(rest, depth + 1)
            return Not(key), rest
        if name == b"OR":
            left, rest = self.key(rest, depth + 1)
            right, rest = self.key(space(rest), depth + 1)
            return Or(left, right), rest
        raise ParseError("unknown search key")
