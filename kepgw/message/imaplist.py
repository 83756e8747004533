"""Strings and lists as IMAP writes them, and the ENVELOPE (RFC 3501 7.4.2 and 9)."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from kepgw.message.addresses import Address, parse, unquote
from kepgw.message.headers import Field, fields
from kepgw.message.words import unfold

NIL = b"NIL"

_QUOTABLE = re.compile(rb"[ -~]{0,1000}")
_ESCAPED = re.compile(rb'(["\\])')
_FORBIDDEN = bytes((0, 10, 13))


def string(value: bytes) -> bytes:
    """A quoted string, or a literal where RFC 3501 allows no quoted one (8-bit, control characters, very long).

    NUL, CR and LF are dropped: no header value has them, and NUL may stand in neither form.
    """
    return _short(value) if len(value) <= 100 else _string(value)


def _string(value: bytes) -> bytes:
    if not _QUOTABLE.fullmatch(value):
        value = value.translate(None, _FORBIDDEN)
        if not _QUOTABLE.fullmatch(value):
            return b"{%d}\r\n%b" % (len(value), value)
    return b'"' + (_ESCAPED.sub(rb"\\\1", value) if b'"' in value or b"\\" in value else value) + b'"'


_short = lru_cache(4096)(_string)  # types, encodings, parameter names: the same few in all mail


def nstring(value: bytes | None) -> bytes:
    """A string, or NIL for None."""
    return NIL if value is None else string(value)


def parameters(pairs: Sequence[tuple[str, str]]) -> bytes:
    """A parameter list, names and values in turn; NIL when there are none."""
    if not pairs:
        return NIL
    return b"(" + b" ".join(string(text.encode("latin-1")) for pair in pairs for text in pair) + b")"


def envelope(header: bytes) -> bytes:
    """The ENVELOPE of a header block (RFC 3501 7.4.2): ten fields, raw as they stand, unfolded."""
    return envelope_of(fields(header))


def envelope_of(entries: Iterable[Field]) -> bytes:
    """The ENVELOPE of header fields already listed."""
    raw: dict[str, bytes] = {}
    for entry in entries:
        name = entry.name.lower()
        if name in raw and name in ("to", "cc", "bcc"):
            raw[name] += b", " + entry.raw  # some write a field a recipient
        else:
            raw.setdefault(name, entry.raw)

    def text(name: str) -> bytes:
        return nstring(unfold(raw[name]) if name in raw else None)

    def people(name: str) -> bytes:
        return _address_list(parse(raw[name])) if name in raw else NIL

    author = people("from")
    sender, reply_to = people("sender"), people("reply-to")
    return b"(%b)" % b" ".join(
        (
            text("date"),
            text("subject"),
            author,
            # RFC 3501 7.4.2: a missing or empty Sender or Reply-To is the From
            author if sender == NIL else sender,
            author if reply_to == NIL else reply_to,
            people("to"),
            people("cc"),
            people("bcc"),
            text("in-reply-to"),
            text("message-id"),
        )
    )


def _address_list(entries: list[Address]) -> bytes:
    if not entries:
        return NIL
    return b"(%b)" % b"".join(map(_address, entries))


def _address(entry: Address) -> bytes:
    if entry.group == "start":  # RFC 3501 7.4.2: host NIL is the mark of a group, with its name as mailbox
        return b"(NIL NIL %b NIL)" % string(unfold(entry.name))
    if entry.group:
        return b"(NIL NIL NIL NIL)"
    name = unfold(entry.name)
    return b"(%b NIL %b %b)" % (
        string(name) if name else NIL,
        string(unfold(unquote(entry.local))),
        string(unfold(entry.domain)),  # "" where there is none: NIL would make it a group
    )
