"""The MIME of RFC 2045 and 2046 that structure and envelopes share: parameters, content types, delimiter lines."""

import re
from binascii import Error, a2b_base64, a2b_qp
from collections.abc import Iterator
from functools import lru_cache
from mmap import mmap
from typing import NamedTuple

from kepgw.message.addresses import unquote
from kepgw.message.words import unfold

MAX_VALUE = 1 << 14  # octets of one Content-* value that are read
MAX_PARAMETERS = 64
MAX_BOUNDARY = 200  # RFC 2046 5.1.1 allows 70
_MISSES = 64
_CACHED = 200  # octets of a value worth remembering: mail has the same few everywhere

_TYPE = re.compile(rb"[ \t]*([!#-'*+.0-9A-Z^-~-]+)[ \t]*/[ \t]*([!#-'*+.0-9A-Z^-~-]+)")
_TOKEN = re.compile(rb"[!#-'*+.0-9A-Z^-~/-]+")
_PARAMETER = re.compile(rb';[ \t]*([^=;"\s]+)[ \t]*=[ \t]*("[^"\\]*(?:\\.[^"\\]*)*"|[^;\s]*)', re.DOTALL)
_AFTER = re.compile(rb"(--)?[ \t]*\r?(?:\n|\Z)")


class Value(NamedTuple):
    """A structured value: the token in lower case (empty when there is none) and its parameters, as raw octets."""

    token: bytes
    parameters: tuple[tuple[bytes, bytes], ...] = ()

    def get(self, name: bytes) -> bytes | None:
        """The first parameter of that name, given in lower case."""
        return next((value for key, value in self.parameters if key.lower() == name), None)


class ContentType(NamedTuple):
    """A media type in lower case with its parameters."""

    type: bytes
    subtype: bytes
    parameters: tuple[tuple[bytes, bytes], ...] = ()

    def get(self, name: bytes) -> bytes | None:
        """The first parameter of that name, given in lower case."""
        return next((value for key, value in self.parameters if key.lower() == name), None)


def _parameters(value: bytes, at: int) -> tuple[tuple[bytes, bytes], ...]:
    found = []
    for match in _PARAMETER.finditer(value, at):
        found.append((match[1], unquote(match[2])))
        if len(found) == MAX_PARAMETERS:
            break
    return tuple(found)


def content_type(raw: bytes) -> ContentType | None:
    """The value of a Content-Type field; None when it names no type/subtype (RFC 2045 5.2 then has the default)."""
    return _content_type(raw) if len(raw) <= _CACHED else _content_type.__wrapped__(raw)


@lru_cache(512)
def _content_type(raw: bytes) -> ContentType | None:
    value = unfold(raw[:MAX_VALUE])
    match = _TYPE.match(value)
    if not match:
        return None
    return ContentType(match[1].lower(), match[2].lower(), _parameters(value, match.end()))


def structured(raw: bytes) -> Value:
    """A value of the form ``token; name=value`` (Content-Disposition, Content-Transfer-Encoding)."""
    return _structured(raw) if len(raw) <= _CACHED else _structured.__wrapped__(raw)


@lru_cache(512)
def _structured(raw: bytes) -> Value:
    value = unfold(raw[:MAX_VALUE])
    match = _TOKEN.match(value)
    if not match:
        return Value(b"")
    return Value(match[0].lower(), _parameters(value, match.end()))


class Region(NamedTuple):
    """Offsets of one body part, the line end that belongs to the next delimiter left out (RFC 2046 5.1.1)."""

    start: int
    end: int
    closed: bool  # a delimiter line follows, so the part is whole


def regions(octets: bytes | mmap, start: int, end: int, boundary: bytes) -> Iterator[Region]:
    """The body parts between the delimiter lines of ``boundary`` in ``[start, end)``, preamble and epilogue left out.

    A delimiter is a whole line: the boundary of an inner multipart may begin like this one. What follows the last
    delimiter when no close delimiter comes is a part that is not ``closed``; the caller decides.
    """
    opened = -1
    for at, after, close in _delimiters(octets, start, end, boundary):
        if opened >= 0:
            yield Region(opened, max(opened, _before(octets, opened, at)), True)
        if close:
            return
        opened = after
    if opened >= 0:
        yield Region(opened, end, False)


def _delimiters(octets: bytes | mmap, start: int, end: int, boundary: bytes) -> Iterator[tuple[int, int, bool]]:
    """Start, end and kind (True: close) of each delimiter line."""
    needle, at, misses = b"--" + boundary, start, 0
    while misses < _MISSES:
        at = octets.find(needle, at, end)
        if at < 0:
            return
        after = _AFTER.match(octets, at + len(needle), end) if at == start or octets[at - 1] == 10 else None
        if after is None:
            misses += 1
            at += len(needle)
            continue
        yield at, after.end(), bool(after[1])
        at = after.end()
    # Lines that only begin like a delimiter stand in thousands where someone wants us to be slow: all in C from here
    line = re.compile(b"\n" + re.escape(needle) + rb"(--)?[ \t]*\r?(?=\n|\Z)")
    for match in line.finditer(octets, max(at - 1, start), end):
        yield match.start() + 1, min(match.end() + 1, end), bool(match[1])


def _before(octets: bytes | mmap, opened: int, at: int) -> int:
    """The offset of the line end that belongs to the delimiter at ``at``."""
    return at - 2 if at - 2 >= opened and octets[at - 2] == 13 else at - 1


def decode_body(octets: bytes, encoding: bytes) -> bytes:
    """A body by its transfer encoding (lower case); unknown encodings as they are. Raises ValueError for bad base64."""
    if encoding == b"base64":
        try:
            return a2b_base64(octets)  # passes over line ends and the like (RFC 2045 6.8)
        except Error as error:
            raise ValueError(str(error)) from error
    if encoding == b"quoted-printable":
        return a2b_qp(octets)
    return octets
