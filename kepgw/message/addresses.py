"""Address lists of RFC 5322 3.4, read in one pass: groups, comments, quoted names, routes, and what is broken.

The tokens come from one regular expression and comments are counted, not recursed into: linear on hostile input.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from kepgw.message.words import clean, decode_text, encode_text

# More addresses in one field than any honest message has; what follows is not read.
MAX_ADDRESSES = 10_000

_TOKEN = re.compile(
    rb'[ \t\r\n]+|"[^"\\]*(?:\\.[^"\\]*)*"?|[<>@,;:(]|\[[^\[\]]*\]?|[^ \t\r\n"<>@,;:(\[]+',
    re.DOTALL,
)
_PAREN = re.compile(rb"\\.|[()]", re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_UPPER = bytes(range(65, 91))
_LOWER = bytes.maketrans(_UPPER, _UPPER.lower())
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")


class Mailbox(NamedTuple):
    """One mailbox: display name decoded, address with ASCII letters in lower case.

    ``clean`` is False when the text was not well-formed, so that another reader could see another address.
    """

    name: str
    address: str
    clean: bool = True


class Address(NamedTuple):
    """One item of a list as raw octets. ``group`` is "start" or "end" for the marks of RFC 5322 group syntax."""

    name: bytes
    local: bytes
    domain: bytes
    clean: bool = True
    group: str = ""


def lower(octets: bytes) -> bytes:
    """ASCII letters in lower case, every other octet as it is (no locale, so no Turkish i)."""
    return octets.translate(_LOWER)


@dataclass(slots=True)
class _Item:
    """What has been read of the item in hand."""

    phrase: list[bytes] = field(default_factory=list)  # words as shown
    spec: list[bytes] = field(default_factory=list)  # the same words as written
    angle: list[bytes] | None = None  # the tokens in <...>
    open: bool = False
    comment: bytes = b""
    gap: bool = False
    clean: bool = True

    def word(self, shown: bytes, written: bytes) -> None:
        if self.open:
            assert self.angle is not None
            self.clean = self.clean and not (self.gap and self.angle and not _joins(self.angle[-1], written))
            self.angle.append(written)
        elif self.angle is not None:
            self.clean = False  # text after "<...>"
        else:
            if self.gap and self.phrase:
                self.phrase.append(b" ")
                if not _joins(self.spec[-1], written):
                    self.spec.append(b" ")
            self.phrase.append(shown)
            self.spec.append(written)
        self.gap = False

    def address(self) -> Address | None:
        if self.angle is not None:
            spec, name = b"".join(self.angle), b"".join(self.phrase) or self.comment
        elif self.spec:
            spec, name = b"".join(self.spec), self.comment
        else:
            return None
        local, at, domain = spec.rpartition(b"@")
        if not at:
            local, domain = spec, b""
        good = self.clean and not self.open and bool(local and domain) and b" " not in spec
        return Address(name, local, domain, good)


def _joins(before: bytes, after: bytes) -> bool:
    """White space between these is the obsolete kind that belongs to no word (RFC 5322 4.4)."""
    return before.endswith((b"@", b".")) or after.startswith((b"@", b"."))


def _comment_end(raw: bytes, at: int) -> int:
    """The offset after the comment that opens at ``at``; the end of ``raw`` when it is never closed."""
    depth = 0
    for mark in _PAREN.finditer(raw, at):
        depth += {b"(": 1, b")": -1}.get(mark[0], 0)
        if depth == 0:
            return mark.end()
    return len(raw)


def parse(raw: bytes) -> list[Address]:
    """The items of an address field in order, group marks included (RFC 5322 3.4, 4.4). Never raises."""
    found: list[Address] = []
    item, at, group = _Item(), 0, False
    while (token := _TOKEN.match(raw, at)) and len(found) < MAX_ADDRESSES:
        text, at = token[0], token.end()
        mark = text if len(text) == 1 else b""
        if mark == b"(":
            at = _comment_end(raw, token.start())
            item.comment = raw[token.end() : at - 1 if raw[at - 1 : at] == b")" else at]
            item.gap = True
        elif mark == b"<":
            item.clean = item.clean and item.angle is None
            if item.angle is None:
                item.angle, item.open, item.gap = [], True, False
        elif mark == b">":
            item.clean = item.clean and item.open
            item.open = False
        elif mark == b":" and item.open:
            route = item.angle is not None and item.angle[:1] == [b"@"]  # obs-route: <@a,@b:user@host>
            item.clean = item.clean and route
            item.angle = [] if route else item.angle
        elif mark == b":":
            if group or item.angle is not None:
                item.clean = False
            else:
                found.append(Address(b"".join(item.phrase), b"", b"", True, "start"))
                item, group = _Item(), True
        elif mark in (b",", b";") and mark:
            if item.open and mark == b"," and item.angle is not None and item.angle[:1] == [b"@"]:
                continue
            if address := item.address():
                found.append(address)
            item = _Item()
            if mark == b";" and group:
                found.append(Address(b"", b"", b"", True, "end"))
                group = False
        elif text[:1] in b" \t\r\n":
            item.gap = True
        elif text[:1] == b'"':
            closed = len(text) > 1 and text.endswith(b'"')
            item.clean = item.clean and closed
            item.word(unquote(text), text)
        else:
            item.word(text, text)
    if at < len(raw):
        item.clean = False
    if address := item.address():
        found.append(address)
    if group:
        found.append(Address(b"", b"", b"", True, "end"))
    return found


def unquote(text: bytes) -> bytes:
    """A quoted string without its quotes and quoted pairs (RFC 5322 3.2.4); anything else as it is."""
    if text[:1] != b'"':
        return text
    inner = text[1:-1] if len(text) > 1 and text.endswith(b'"') else text[1:]
    return _QUOTED_PAIR.sub(rb"\1", inner) if b"\\" in inner else inner


def addresses(raw: bytes) -> list[Mailbox]:
    """The mailboxes of an address field, those inside groups included, group names left out."""
    return [
        Mailbox(
            decode_text(entry.name) if entry.name else "",
            lower(entry.local + (b"@" if entry.domain else b"") + entry.domain).decode("utf-8", "replace"),
            entry.clean,
        )
        for entry in parse(raw)
        if not entry.group
    ]


def write_mailbox(name: str, address: str) -> str:
    """``name <address>`` as ASCII: the name quoted, or in encoded words when it is not ASCII."""
    address = clean(address).replace("<", "").replace(">", "").replace(",", "")
    name = clean(name)
    if not name:
        return f"<{address}>"
    if not name.isascii():
        return f"{encode_text(name)} <{address}>"
    if _ATOMS.fullmatch(name):
        return f"{name} <{address}>"
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}" <{address}>'
