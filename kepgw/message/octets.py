"""The octets of a message as they stream in: size, digest, and the rules that every octet must keep.

Each chunk is passed over a few times at C speed (memchr and the like); Python runs once per kilobyte, not per line.
"""

import hashlib
import re
from dataclasses import dataclass

from kepgw.refusals import Refusal

MAX_LINE = 998  # octets without CRLF, RFC 5322 2.1.1
_WINDOW = MAX_LINE + 2

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known about octets that have passed by: size in octets, any octet over 127, SHA-256."""

    size: int
    eight_bit: bool
    sha256: bytes


class OctetCheck:
    """Watches a message go by in chunks of any size; the verdict does not depend on where chunks are cut.

    `feed` never raises: a refused message is still read to its end and its digest named in the rejection evidence.
    ``refusal`` is set as soon as the first breach, in order of the octets, is known.
    """

    def __init__(self) -> None:
        self.size = 0
        self.eight_bit = False
        self.refusal: Refusal | None = None
        self._hash = hashlib.sha256()
        self._open = 0  # octets since the last LF
        self._after_cr = False

    def feed(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next octets."""
        if not isinstance(chunk, (bytes, bytearray)):
            chunk = bytes(chunk)
        if not chunk:
            return
        self._hash.update(chunk)
        if not self.eight_bit and not chunk.isascii():
            self.eight_bit = True
        if self.refusal is None:
            self._check(chunk)
        self.size += len(chunk)

    def finish(self, *, chunking: bool = False) -> Checked:
        """The result, once all octets have passed. Raises the first Refusal.

        Octets that do not end in CRLF are refused as well: as ``last-chunk`` where BDAT carried them (RFC 3030 2),
        else as ``bare-line-end``.
        """
        if self.refusal is None and (self._after_cr or self._open or not self.size):
            key = "last-chunk" if chunking else "bare-line-end"
            self.refusal = Refusal(key, f"the {self.size} octets do not end in CRLF")
        if self.refusal is not None:
            raise self.refusal
        return self.result()

    def result(self) -> Checked:
        """Size, eight_bit and digest of what has passed, refused or not."""
        return Checked(self.size, self.eight_bit, self._hash.digest())

    def _check(self, chunk: bytes | bytearray) -> None:
        breaches: list[tuple[int, int, str]] = []  # offset in the chunk, rank among equals, key
        if (nul := chunk.find(b"\0")) >= 0:
            breaches.append((nul, 0, "nul-octet"))
        if (late := self._long_line(chunk)) is not None:
            breaches.append((late, 1, "line-too-long"))
        if (bare := self._bare(chunk)) is not None:
            breaches.append((bare, 2, "bare-line-end"))
        if breaches:
            offset, _, key = min(breaches)
            self.refusal = Refusal(key, f"at octet {self.size + offset}")
        self._after_cr = chunk.endswith(b"\r")

    def _long_line(self, chunk: bytes | bytearray) -> int | None:
        """Where a line grows too long. Jumps to the last LF of each window: all lines within it are short enough."""
        size, start = len(chunk), -self._open
        while start + _WINDOW <= size:
            last = chunk.rfind(b"\n", max(start, 0), start + _WINDOW)
            if last < 0:
                return max(start + _WINDOW - 1, 0)
            start = last + 1
        last = chunk.rfind(b"\n", max(start, 0))
        self._open = size - last - 1 if last >= 0 else size - start
        return None

    def _bare(self, chunk: bytes | bytearray) -> int | None:
        """Where a CR or LF stands alone (RFC 5321 2.3.8); a CR at the end of a chunk is judged with the next."""
        if self._after_cr and not chunk.startswith(b"\n"):
            return -1
        pairs = chunk.count(b"\r\n")
        if chunk.count(b"\n") == pairs + self._after_cr and chunk.count(b"\r") == pairs + chunk.endswith(b"\r"):
            return None
        at = 1 if self._after_cr else 0
        for bare in _BARE.finditer(chunk, at):
            if not (bare[0] == b"\r" and bare.end() == len(chunk)):
                return bare.start()
        return None
