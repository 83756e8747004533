"""SMTP replies, without I/O: every reply of the server in one table, and a reader for those of a peer.

The sentences stand in the text catalogue under the same key, in Turkish too, as everything that a person reads; the
wire carries the English one (replies are ASCII, RFC 5321 4.2).
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from kepgw.refusals import Refusal
from kepgw.texts import text

REPLIES: Final[dict[str, tuple[int, str]]] = {
    # key: code (RFC 5321 4.2.3), enhanced code (RFC 3463; greetings, 354 and 334 have none by RFC 2034 3)
    "smtp-ready": (220, ""),
    "smtp-start-tls": (220, "2.0.0"),
    "smtp-bye": (221, "2.0.0"),
    "smtp-logged-in": (235, "2.7.0"),
    "smtp-hello": (250, ""),
    "smtp-ok": (250, "2.0.0"),
    "smtp-sender-ok": (250, "2.1.0"),
    "smtp-recipient-ok": (250, "2.1.5"),
    "smtp-chunk-ok": (250, "2.0.0"),
    "smtp-taken": (250, "2.0.0"),
    "smtp-relayed": (250, "2.0.0"),
    "smtp-cannot-verify": (252, "2.5.0"),
    "smtp-help": (214, "2.0.0"),
    "smtp-go-ahead": (354, ""),
    "smtp-stopping": (421, "4.3.2"),
    "smtp-idle": (421, "4.4.2"),
    "smtp-too-many-connections": (421, "4.7.0"),
    "smtp-too-many-errors": (421, "4.7.0"),
    "smtp-too-many-commands": (421, "4.7.0"),
    "smtp-too-many-logins": (421, "4.7.0"),
    "smtp-not-smtp": (421, "4.7.0"),
    "smtp-line": (500, "5.5.2"),
    "smtp-line-too-long": (500, "5.5.2"),
    "smtp-unknown-verb": (500, "5.5.1"),
    "smtp-login-cancelled": (501, "5.5.2"),
    "smtp-login-syntax": (501, "5.5.2"),
    "smtp-no-argument": (501, "5.5.4"),
    "smtp-greeting": (501, "5.5.4"),
    "smtp-path-syntax": (501, "5.5.4"),
    "smtp-path": (501, "5.1.7"),
    "smtp-chunk": (501, "5.5.4"),
    "smtp-parameter-syntax": (501, "5.5.4"),
    "smtp-parameter-value": (501, "5.5.4"),
    "smtp-parameter-twice": (501, "5.5.4"),
    "smtp-not-offered": (502, "5.5.1"),
    "smtp-hello-first": (503, "5.5.1"),
    "smtp-mail-first": (503, "5.5.1"),
    "smtp-mail-twice": (503, "5.5.1"),
    "smtp-finish-chunks": (503, "5.5.1"),
    "smtp-too-many-chunks": (503, "5.5.1"),
    "smtp-logged-in-already": (503, "5.5.1"),
    "smtp-tls-already": (503, "5.5.1"),
    "smtp-wait-for-354": (503, "5.5.0"),
    "smtp-mechanism": (504, "5.5.4"),
    "smtp-encryption-needed": (538, "5.7.11"),  # RFC 4954 6
    "smtp-loop": (554, "5.4.6"),
    "smtp-parameter-unknown": (555, "5.5.4"),
}

_LINE: Final = 500  # octets of text on one reply line; the line is at most 512, RFC 5321 4.5.3.1.5
_UNSAFE = re.compile(r"[^\x20-\x7e]")
_PEER_LINE: Final = 2048  # octets; what we bear from a peer, more than RFC 5321 4.5.3.1.5 asks
_PEER_LINES: Final = 128
_PEER_REPLY = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\r\n]*))?\r?\n")


@cache
def fixed(key: str) -> bytes:
    """A reply of the table that needs no values."""
    return reply(key)


def reply(key: str, **values: object) -> bytes:
    """A reply of the table as octets with CRLF."""
    code, enhanced = REPLIES[key]
    return lines(code, enhanced, text(key, "en", **values))


def refused(refusal: Refusal) -> bytes:
    """The reply that a refusal deserves; nothing private is in it."""
    return lines(refusal.rule.code, refusal.rule.enhanced, refusal.sentence("en"))


def lines(code: int, enhanced: str, *sentences: str) -> bytes:
    """A reply of one or more lines. What is not printable ASCII becomes ``?``: no text can break out of its line."""
    prefix = f"{enhanced} " if enhanced else ""
    pieces: list[str] = []
    for sentence in sentences:
        safe = _UNSAFE.sub("?", sentence)
        while len(safe) > _LINE:
            cut = safe.rfind(" ", 1, _LINE)
            cut = cut if cut > 0 else _LINE
            pieces.append(safe[:cut])
            safe = safe[cut:].lstrip(" ")
        pieces.append(safe)
    shown = [f"{code}-{prefix}{piece}" for piece in pieces[:-1]]
    shown.append(f"{code} {prefix}{pieces[-1]}".rstrip(" "))
    return ("\r\n".join(shown) + "\r\n").encode("ascii")


class ReplyInvalid(ValueError):
    """What a peer sent is not an SMTP reply."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of a peer: its code and the text of each line."""

    code: int
    lines: tuple[str, ...]

    @property
    def good(self) -> bool:
        """2xx or 3xx."""
        return self.code < 400

    @property
    def permanent(self) -> bool:
        """5xx."""
        return self.code >= 500

    def __str__(self) -> str:
        return f"{self.code} {' / '.join(self.lines)}".rstrip()


class ReplyReader:
    """Puts the replies of a peer together; bounded in the length and number of lines."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lines: list[str] = []
        self._code = 0

    @property
    def clean(self) -> bool:
        """Nothing has been read that does not belong to a finished reply."""
        return not self._buffer and not self._lines

    def feed(self, octets: bytes) -> None:
        """Add octets of the peer."""
        self._buffer += octets

    def next(self) -> Reply | None:
        """The next whole reply, or None. Raises ReplyInvalid."""
        while (end := self._buffer.find(b"\n", 0, _PEER_LINE)) >= 0:
            line = bytes(self._buffer[: end + 1])
            del self._buffer[: end + 1]
            match = _PEER_REPLY.fullmatch(line)
            code = int(match[1]) if match else 0
            if match is None or (self._lines and code != self._code) or len(self._lines) >= _PEER_LINES:
                raise ReplyInvalid("the peer's reply has no reply code, two codes or too many lines")
            self._code = code
            self._lines.append(_UNSAFE.sub("?", (match[3] or b"").decode("ascii", "replace")))
            if match[2] != b"-":
                done = Reply(code, tuple(self._lines))
                self._lines = []
                return done
        if len(self._buffer) >= _PEER_LINE:
            raise ReplyInvalid("the peer's reply has a line without end")
        return None
