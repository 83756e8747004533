"""Commands with their arguments (RFC 3501 6, 9)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, Self

from kepgw.imap.grammar import (
    AString,
    Buffer,
    DateTime,
    FlagList,
    ListPattern,
    MailboxName,
    ParseError,
    SequenceSet,
    Tag,
    at,
    end,
    expect,
    parse_string,
    space,
    string,
    word,
)
from kepgw.imap.grammar_fetch import FetchItems
from kepgw.imap.grammar_search import Search

STATUS_ITEMS: Final = frozenset((b"MESSAGES", b"RECENT", b"UIDNEXT", b"UIDVALIDITY", b"UNSEEN"))
SELECTIONS: Final = frozenset((b"SPECIAL-USE", b"SUBSCRIBED", b"REMOTE"))
RETURNS: Final = frozenset((b"SPECIAL-USE", b"SUBSCRIBED", b"CHILDREN"))
MAX_ID_FIELDS: Final = 30  # RFC 2971 3.3


class Arguments(Protocol):
    """What follows the name of a command; begins with the space, or is empty."""

    def __bytes__(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Nothing:
    """No arguments."""

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """Takes nothing."""
        return cls(), memoryview(buf)

    def __bytes__(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class Login:
    """LOGIN."""

    user: bytes
    password: bytes

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """Two astrings."""
        user, rest = AString.parse(space(buf))
        password, rest = AString.parse(space(rest))
        return cls(user.value, password.value), rest

    def __bytes__(self) -> bytes:
        return b" " + bytes(AString(self.user)) + b" " + bytes(AString(self.password))


@dataclass(frozen=True, slots=True)
class Authenticate:
    """AUTHENTICATE with the initial response of RFC 4959, base64 as given."""

    mechanism: bytes
    initial: bytes | None = None

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """The initial response is whatever stands up to the end of the line."""
        mechanism, rest = word(space(buf))
        if not at(rest, b" "):
            return cls(mechanism), rest
        return cls(mechanism, bytes(rest[1:])), rest[len(rest) :]

    def __bytes__(self) -> bytes:
        return b" " + self.mechanism + (b"" if self.initial is None else b" " + self.initial)


@dataclass(frozen=True, slots=True)
class Named:
    """One mailbox name: SELECT, EXAMINE, CREATE, DELETE, SUBSCRIBE, UNSUBSCRIBE."""

    mailbox: str

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """A mailbox name."""
        name, rest = MailboxName.parse(space(buf))
        return cls(name.name), rest

    def __bytes__(self) -> bytes:
        return b" " + bytes(MailboxName(self.mailbox))


@dataclass(frozen=True, slots=True)
class Rename:
    """RENAME."""

    old: str
    new: str

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """Two mailbox names."""
        old, rest = MailboxName.parse(space(buf))
        new, rest = MailboxName.parse(space(rest))
        return cls(old.name, new.name), rest

    def __bytes__(self) -> bytes:
        return b" " + bytes(MailboxName(self.old)) + b" " + bytes(MailboxName(self.new))


def _words(buf: Buffer, allowed: frozenset[bytes]) -> tuple[tuple[bytes, ...], memoryview]:
    rest = expect(buf, b"(")
    found: list[bytes] = []
    while not at(rest, b")"):
        if found:
            rest = space(rest)
        name, rest = word(rest)
        if name not in allowed:
            raise ParseError("unknown option")
        if name not in found:
            found.append(name)
    return tuple(found), rest[1:]


@dataclass(frozen=True, slots=True)
class List:
    """LIST and LSUB; the options are those of RFC 6154 and RFC 5258."""

    reference: str
    patterns: tuple[str, ...]
    selection: tuple[bytes, ...] = ()
    returns: tuple[bytes, ...] | None = None
    many: bool = False  # the patterns stand in parentheses

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """[(selection)] reference pattern|(patterns) [RETURN (options)]."""
        rest = space(buf)
        selection: tuple[bytes, ...] = ()
        if at(rest, b"("):
            selection, rest = _words(rest, SELECTIONS)
            rest = space(rest)
        reference, rest = MailboxName.parse(rest)
        rest = space(rest)
        patterns: list[str] = []
        many = at(rest, b"(")
        if many:
            rest = rest[1:]
        while True:
            pattern, rest = ListPattern.parse(rest)
            patterns.append(pattern.name)
            if not many or at(rest, b")"):
                break
            rest = space(rest)
            if len(patterns) > 100:
                raise ParseError("too many patterns")
        rest = rest[1:] if many else rest
        returns = None
        if at(rest, b" "):
            returns, rest = _words(expect(rest[1:], b"RETURN "), RETURNS)
        return cls(reference.name, tuple(patterns), selection, returns, many), rest

    def __bytes__(self) -> bytes:
        words = [b"(" + b" ".join(self.selection) + b")"] if self.selection else []
        patterns = b" ".join(bytes(ListPattern(pattern)) for pattern in self.patterns)
        words += [bytes(MailboxName(self.reference)), b"(" + patterns + b")" if self.many else patterns]
        if self.returns is not None:
            words.append(b"RETURN (" + b" ".join(self.returns) + b")")
        return b" " + b" ".join(words)


@dataclass(frozen=True, slots=True)
class Status:
    """STATUS."""

    mailbox: str
    items: tuple[bytes, ...]

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """A mailbox name and a list of items."""
        name, rest = MailboxName.parse(space(buf))
        items, rest = _words(space(rest), STATUS_ITEMS)
        if not items:
            raise ParseError("no status items")
        return cls(name.name, items), rest

    def __bytes__(self) -> bytes:
        return b" " + bytes(MailboxName(self.mailbox)) + b" (" + b" ".join(self.items) + b")"


@dataclass(frozen=True, slots=True)
class Append:
    """APPEND up to the literal with the message, which is never in the buffer: see ``kepgw.imap.append``."""

    mailbox: str
    flags: FlagList | None
    date: datetime | None
    size: int
    waits: bool  # the client waits for the continuation

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """Up to and with ``{size}CRLF``."""
        name, rest = MailboxName.parse(space(buf))
        rest = space(rest)
        flags = date = None
        if at(rest, b"("):
            flags, rest = FlagList.parse(rest)
            rest = space(rest)
        if at(rest, b'"'):
            moment, rest = DateTime.parse(rest)
            date, rest = moment.value, space(rest)
        text = bytes(rest)
        digits = text.removesuffix(b"}\r\n").removesuffix(b"+")
        if not digits.startswith(b"{") or not text.endswith(b"}\r\n") or not digits[1:].isdigit() or len(digits) > 11:
            raise ParseError("expected the message as a literal")
        return cls(name.name, flags, date, int(digits[1:]), b"+" not in text), rest[len(rest) :]

    def __bytes__(self) -> bytes:
        words = [bytes(MailboxName(self.mailbox))]
        if self.flags is not None:
            words.append(bytes(self.flags))
        if self.date is not None:
            words.append(bytes(DateTime(self.date)))
        return b" " + b" ".join([*words, b"{%d%b}\r\n" % (self.size, b"" if self.waits else b"+")])


@dataclass(frozen=True, slots=True)
class Find:
    """SEARCH."""

    search: Search

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """The program of a search."""
        search, rest = Search.parse(space(buf))
        return cls(search), rest

    def __bytes__(self) -> bytes:
        return b" " + bytes(self.search)


@dataclass(frozen=True, slots=True)
class Fetch:
    """FETCH."""

    numbers: SequenceSet
    items: FetchItems

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """A set and what to fetch of it."""
        numbers, rest = SequenceSet.parse(space(buf))
        items, rest = FetchItems.parse(space(rest))
        return cls(numbers, items), rest

    def __bytes__(self) -> bytes:
        return b" " + bytes(self.numbers) + b" " + bytes(self.items)


@dataclass(frozen=True, slots=True)
class Store:
    """STORE."""

    numbers: SequenceSet
    mode: str  # "" replaces, "+" adds, "-" removes
    silent: bool
    flags: FlagList

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """A set, [+-]FLAGS[.SILENT] and flags."""
        numbers, rest = SequenceSet.parse(space(buf))
        rest = space(rest)
        mode = bytes(rest[:1]).decode("latin-1") if at(rest, b"+") or at(rest, b"-") else ""
        name, rest = word(rest[len(mode) :])
        if name not in {b"FLAGS", b"FLAGS.SILENT"}:
            raise ParseError("expected FLAGS")
        flags, rest = FlagList.parse_bare(space(rest))
        return cls(numbers, mode, name == b"FLAGS.SILENT", flags), rest

    def __bytes__(self) -> bytes:
        name = self.mode.encode() + (b"FLAGS.SILENT" if self.silent else b"FLAGS")
        return b" " + b" ".join((bytes(self.numbers), name, bytes(self.flags)))


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY and MOVE."""

    numbers: SequenceSet
    mailbox: str

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """A set and where to."""
        numbers, rest = SequenceSet.parse(space(buf))
        name, rest = MailboxName.parse(space(rest))
        return cls(numbers, name.name), rest

    def __bytes__(self) -> bytes:
        return b" " + bytes(self.numbers) + b" " + bytes(MailboxName(self.mailbox))


@dataclass(frozen=True, slots=True)
class Numbers:
    """UID EXPUNGE (RFC 4315 2.1)."""

    numbers: SequenceSet

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """A set."""
        numbers, rest = SequenceSet.parse(space(buf))
        return cls(numbers), rest

    def __bytes__(self) -> bytes:
        return b" " + bytes(self.numbers)


@dataclass(frozen=True, slots=True)
class Id:
    """ID (RFC 2971): what the client says of itself; only its shape is looked at."""

    fields: tuple[tuple[bytes, bytes | None], ...] | None

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """NIL or pairs of strings."""
        rest = space(buf)
        if not at(rest, b"("):
            return cls(None), expect(rest, b"NIL")
        rest = rest[1:]
        fields: list[tuple[bytes, bytes | None]] = []
        while not at(rest, b")"):
            rest = space(rest) if fields else rest
            name, rest = parse_string(rest)
            rest = space(rest)
            value = None
            if bytes(rest[:3]).upper() == b"NIL":
                rest = rest[3:]
            else:
                value, rest = parse_string(rest)
            fields.append((name, value))
            if len(fields) > MAX_ID_FIELDS:
                raise ParseError("too many fields")
        return cls(tuple(fields)), rest[1:]

    def __bytes__(self) -> bytes:
        if self.fields is None:
            return b" NIL"
        pairs = (string(name) + b" " + (b"NIL" if value is None else string(value)) for name, value in self.fields)
        return b" (" + b" ".join(pairs) + b")"


class _Construct(Protocol):
    def parse(self, buf: Buffer, /) -> tuple[Arguments, memoryview]: ...


COMMANDS: Final[dict[bytes, _Construct]] = {
    **dict.fromkeys(
        (b"CAPABILITY", b"NOOP", b"LOGOUT", b"STARTTLS", b"CHECK", b"CLOSE", b"UNSELECT", b"EXPUNGE", b"IDLE"), Nothing
    ),
    b"NAMESPACE": Nothing,
    b"ID": Id,
    b"LOGIN": Login,
    b"AUTHENTICATE": Authenticate,
    **dict.fromkeys((b"SELECT", b"EXAMINE", b"CREATE", b"DELETE", b"SUBSCRIBE", b"UNSUBSCRIBE"), Named),
    b"RENAME": Rename,
    b"LIST": List,
    b"LSUB": List,
    b"STATUS": Status,
    b"APPEND": Append,
    b"SEARCH": Find,
    b"FETCH": Fetch,
    b"STORE": Store,
    b"COPY": Copy,
    b"MOVE": Copy,
}
UID_COMMANDS: Final[dict[bytes, _Construct]] = {
    b"SEARCH": Find,
    b"FETCH": Fetch,
    b"STORE": Store,
    b"COPY": Copy,
    b"MOVE": Copy,
    b"EXPUNGE": Numbers,
}


class CommandError(ParseError):
    """A command whose tag could be read: the answer is tagged BAD."""

    def __init__(self, reason: str, tag: bytes) -> None:
        super().__init__(reason)
        self.tag = tag


@dataclass(frozen=True, slots=True)
class Command:
    """A whole command without its last CRLF."""

    tag: bytes
    name: bytes
    arguments: Arguments
    uid: bool = False

    @classmethod
    def parse(cls, buf: Buffer) -> tuple[Self, memoryview]:
        """The rest is always empty. Raises CommandError once the tag is known, ParseError before."""
        tag, rest = Tag.parse(buf)
        try:
            name, rest = word(space(rest))
            uid = name == b"UID"
            if uid:
                name, rest = word(space(rest))
            arguments, rest = _construct(name, uid=uid).parse(rest)
            end(rest)
        except ParseError as error:
            raise CommandError(str(error), tag.value) from None
        return cls(tag.value, name, arguments, uid), rest

    def __bytes__(self) -> bytes:
        return self.tag + (b" UID " if self.uid else b" ") + self.name + bytes(self.arguments)


def _construct(name: bytes, *, uid: bool) -> _Construct:
    construct = (UID_COMMANDS if uid else COMMANDS).get(name)
    if construct is None:
        raise ParseError("unknown command")
    return construct


def name_of(buf: Buffer) -> bytes:
    """The name of the command that begins in ``buf``; empty when it cannot be told."""
    try:
        rest = Tag.parse(buf)[1]
        return word(space(rest))[0]
    except ParseError:
        return b""
