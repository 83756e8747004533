"""SEARCH (RFC 3501 6.4.4): keys judged row by row in reader threads, from the cheap to the dear.

Text means substrings of what a person would read: encoded words, transfer encodings and charsets are undone, and
letters compare without case in the Turkish sense, where I, İ, ı and i are one.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from email.utils import parsedate_tz
from functools import partial
from typing import Final

from kepgw.accounts.rights import Right
from kepgw.imap import grammar_search as keys
from kepgw.imap.fetch import RENDERED, TURKEY
from kepgw.imap.grammar_command import Find
from kepgw.imap.responses import BadCommand, Problem
from kepgw.imap.session import Session
from kepgw.imap.view import View
from kepgw.message.headers import Field, decode_text, fields
from kepgw.message.mime import decode_body
from kepgw.message.structure import Part, load
from kepgw.message.words import decode_charset
from kepgw.store.engine import Row, Tx
from kepgw.store.ids import moment
from kepgw.store.octets import Span, cut, read_spans
from kepgw.store.reading import MailRow, fitting, select_rows

CHARSETS: Final = frozenset((b"US-ASCII", b"ASCII", b"UTF-8"))
PART: Final = 4 * 1024 * 1024  # octets of one text part that are looked at
WORK: Final = 256 * 1024 * 1024  # octets of bodies that one SEARCH reads
BATCH: Final = 250

_FOLDED: Final = str.maketrans({"İ": "i", "I": "i", "ı": "i"})


def fold(text: str) -> str:
    """Text for comparing: NFC, without case, the four letters of the Turkish i made one."""
    return unicodedata.normalize("NFC", text).translate(_FOLDED).casefold()


class Budget:
    """Octets of bodies that may still be read."""

    def __init__(self, octets: int) -> None:
        self.left = octets

    def take(self, octets: int) -> None:
        """Raises Problem when it is used up."""
        self.left -= octets
        if self.left < 0:
            raise Problem("search-limit", "LIMIT")


class Candidate:
    """One message under judgement; header and body are read when a key asks for them."""

    def __init__(self, tx: Tx, number: int, row: MailRow, extra: Row, recent: bool, budget: Budget) -> None:
        self.number = number
        self.row = row
        self.recent = recent
        self.flags = frozenset(row.flags.lower().split())
        self._tx = tx
        self._budget = budget
        self.block: bytes = extra[0] if extra else b""  # the header, when a key asks for it
        self._extra = extra
        self._body: list[str] | None = None
        self._spans: list[Span] = []
        self._header: str | None = None

    @property
    def header(self) -> str:
        """The whole header, folded for comparing."""
        if self._header is None:
            self._header = _readable(fields(self.block))
        return self._header

    @property
    def body(self) -> list[str]:
        """The texts of the body, folded for comparing."""
        if self._body is None:
            self._spans = [Span(*span) for span in json.loads(self._extra[2])]
            self._body = [fold(text) for text in self._texts(load(self._extra[1]))]
        return self._body

    def _texts(self, tree: Part) -> Iterator[str]:
        waiting = [tree]
        while waiting:
            part = waiting.pop()
            if part.is_message:
                message = part.children[0]  # the original inside a dispatch: its subject is what people search
                yield _readable(fields(self._octets(message.start, message.body)))
                waiting.append(message)
            elif part.is_multipart:
                waiting += reversed(part.children)
            elif part.type == "text":
                octets = decode_body(self._octets(part.body, part.end), part.encoding.encode("ascii"))
                yield _decoded(octets, dict(part.parameters).get("charset", "utf-8"))

    def _octets(self, start: int, end: int) -> bytes:
        size = min(end - start, PART)
        self._budget.take(size)
        return b"".join(read_spans(self._tx, self.row.month, cut(self._spans, start, size)))


def _readable(entries: list[Field]) -> str:
    return fold("\n".join(f"{entry.name}: {decode_text(entry.raw)}" for entry in entries))


def _decoded(octets: bytes, charset: str) -> str:
    try:
        return decode_charset(octets, charset)
    except (LookupError, ValueError):
        return octets.decode("cp1254", "replace")  # what unlabelled Turkish text most often is


Test = Callable[[Candidate], bool]

# what a key costs: rows are at hand, headers are read, bodies are read and decoded
_COST: Final = {keys.Header: 1, keys.Contains: 1, keys.OnDay: 1, keys.Or: 2, keys.And: 2, keys.Not: 2}


def _cost(key: keys.SearchKey) -> int:
    if isinstance(key, keys.Contains) and key.name in {b"BODY", b"TEXT"}:
        return 3
    if isinstance(key, keys.OnDay) and not key.name.startswith(b"SENT"):
        return 0
    return _COST.get(type(key), 0)


def reads_bodies(key: keys.SearchKey) -> bool:
    """Whether the content of bodies can be told from the answer."""
    if isinstance(key, keys.Contains):
        return key.name in {b"BODY", b"TEXT"}
    if isinstance(key, keys.Not):
        return reads_bodies(key.key)
    if isinstance(key, keys.Or):
        return reads_bodies(key.left) or reads_bodies(key.right)
    return isinstance(key, keys.And) and any(map(reads_bodies, key.keys))


def compile_all(several: Sequence[keys.SearchKey], view: View, text: Callable[[bytes], str]) -> Test:
    """The test that all keys pass, the cheap ones first."""
    tests = [_compile(key, view, text) for key in sorted(several, key=_cost)]
    return tests[0] if len(tests) == 1 else lambda candidate: all(test(candidate) for test in tests)


def _compile(key: keys.SearchKey, view: View, text: Callable[[bytes], str]) -> Test:
    match key:
        case keys.Plain(name):
            return _plain(name)
        case keys.Keyword(keyword, wanted):
            flag = keyword.decode("ascii").lower()
            return lambda candidate: (flag in candidate.flags) == wanted
        case keys.Contains(name, value):
            return _contains(name, text(value))
        case keys.Header(field, value):
            return _in_field(field, text(value))
        case keys.OnDay(name, day):
            return _on_day(name, day.value)
        case keys.Size(b"LARGER", size):
            return lambda candidate: candidate.row.size > size
        case keys.Size(_, size):
            return lambda candidate: candidate.row.size < size
        case keys.Numbers(numbers, uid):
            largest = (view.uids[-1] if view.uids else 0) if uid else len(view)
            spans = numbers.spans(largest)
            return lambda candidate: _within(spans, candidate.row.uid if uid else candidate.number)
        case keys.Not(inner):
            test = _compile(inner, view, text)
            return lambda candidate: not test(candidate)
        case keys.Or(one, other):
            left, right = (_compile(side, view, text) for side in sorted((one, other), key=_cost))
            return lambda candidate: left(candidate) or right(candidate)
        case keys.And(several):
            return compile_all(several, view, text)


def _within(spans: list[tuple[int, int]], number: int) -> bool:
    low, high = 0, len(spans)
    while low < high:
        middle = (low + high) // 2
        if spans[middle][1] < number:
            low = middle + 1
        else:
            high = middle
    return low < len(spans) and spans[low][0] <= number


def _plain(name: bytes) -> Test:
    if name in keys.FLAG_KEYS:
        flag, wanted = keys.FLAG_KEYS[name]
        lowered = flag.lower()
        return lambda candidate: (lowered in candidate.flags) == wanted
    return {
        b"ALL": lambda _: True,
        b"NEW": lambda candidate: candidate.recent and "\\seen" not in candidate.flags,
        b"OLD": lambda candidate: not candidate.recent,
        b"RECENT": lambda candidate: candidate.recent,
    }[name]


def _contains(name: bytes, wanted: str) -> Test:
    if name == b"BODY":
        return lambda candidate: any(wanted in text for text in candidate.body)
    if name == b"TEXT":
        return lambda candidate: wanted in candidate.header or any(wanted in text for text in candidate.body)
    return _in_field(name, wanted)


def _values(field: bytes) -> Callable[[bytes], list[bytes]]:
    # a line end first: see kepgw.imap.fetch.chooser
    lines = re.compile(rb"\n%b[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)" % re.escape(field), re.IGNORECASE)
    return lambda block: lines.findall(b"\n" + block)


def _in_field(field: bytes, wanted: str) -> Test:
    values = _values(field)
    if not wanted:
        return lambda candidate: bool(values(candidate.block))
    return lambda candidate: any(wanted in fold(decode_text(value)) for value in values(candidate.block))


def _on_day(name: bytes, day: date) -> Test:
    when = _sent if name.startswith(b"SENT") else _arrived
    compare: dict[bytes, Callable[[date], bool]] = {
        b"BEFORE": lambda value: value < day,
        b"ON": lambda value: value == day,
        b"SINCE": lambda value: value >= day,
    }
    judge = compare[name.removeprefix(b"SENT")]

    def test(candidate: Candidate) -> bool:
        value = when(candidate)
        return value is not None and judge(value)

    return test


def _arrived(candidate: Candidate) -> date | None:
    return moment(candidate.row.internal_date).astimezone(TURKEY).date()


_DATES: Final = _values(b"Date")


def _sent(candidate: Candidate) -> date | None:
    found = _DATES(candidate.block)
    parsed = parsedate_tz(found[0].decode("latin-1")[:200]) if found else None
    try:
        return date(*parsed[:3]) if parsed else None  # RFC 3501 6.4.4: disregarding time and timezone
    except ValueError:
        return None


async def search(session: Session, arguments: Find, *, uid: bool) -> str:
    """SEARCH and UID SEARCH."""
    view, wanted = session.view, arguments.search
    if wanted.charset is not None and wanted.charset.upper() not in CHARSETS:
        raise Problem("charset", "BADCHARSET (US-ASCII UTF-8)")
    test = compile_all(wanted.keys, view, _searched)
    budget = Budget(WORK)
    columns: tuple[str, ...] = ("c.header",) if any(map(_cost, wanted.keys)) else ()
    if any(map(reads_bodies, wanted.keys)):
        session.require(Right.READ, "no-read-right")
        columns = ("c.header", "c.tree", "c.spans")
    uids = view.uids.tolist()
    found: list[int] = []
    start = 0
    while start < len(uids):
        batch = uids[start : start + BATCH]
        work = partial(_search, view=view, uids=batch, columns=columns, test=test, budget=budget, uid=uid)
        taken, numbers = await session.context.store.read(work)
        start += taken
        found += numbers
    session.out.write(b"* SEARCH" + b"".join(b" %d" % number for number in found) + b"\r\n")
    return ""


def _searched(value: bytes) -> str:
    try:
        return fold(value.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadCommand("charset") from None


def _search(
    tx: Tx, view: View, uids: list[int], columns: Sequence[str], test: Test, budget: Budget, *, uid: bool
) -> tuple[int, list[int]]:
    found: list[int] = []
    taken = fitting(tx, view.id, uids, columns, RENDERED) if columns else len(uids)
    for row, extra in select_rows(tx, view.id, uids[:taken], columns):
        number = view.sequence(row.uid)
        if number is not None and test(Candidate(tx, number, row, extra, row.uid in view.recent, budget)):
            found.append(row.uid if uid else number)
    return taken, found
