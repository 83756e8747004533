"""Dot transparency of DATA (RFC 5321 4.5.2), both ways, at the speed of ``bytes.find`` and ``bytes.replace``.

The one end of data is CRLF "." CRLF. A dot between line ends of any other make (LF . LF, CR . CR and mixtures) is
content: software that ends there can be made to take the rest of a message for commands ("SMTP smuggling"). The
octet check refuses such a message afterwards, once its true end has been seen.
"""

from typing import Final

_END: Final = b"\r\n.\r\n"
_STARTS: Final = tuple(_END[:length] for length in (4, 3, 2, 1))


class DataReader:
    """Takes the octets that follow the 354 reply, in chunks of any size.

    ``done`` becomes true at the end of data; ``rest`` are the octets behind it (pipelined commands).
    """

    def __init__(self) -> None:
        # the message begins at the start of a line: as though a CRLF had gone before, which is not given out
        self._held = b"\r\n"
        self._unborn = 2
        self.done = False
        self.rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """The content in ``chunk`` with its dots unstuffed; octets that may belong to the end are held back."""
        if self.done:
            raise ValueError("the data has ended")
        octets = self._held + chunk if self._held else chunk
        # base64 has no dots: memchr answers for most of a large message what the searches below would
        dots = b"." in octets
        end = octets.find(_END) if dots else -1
        if end >= 0:
            self.done = True
            self.rest = octets[end + 5 :]
            self._held = b""
            body = octets[: end + 2]
        else:
            held = next((len(start) for start in _STARTS if octets.endswith(start)), 0)
            self._held = octets[len(octets) - held :] if held else b""
            body = octets[:-held] if held else octets
        content = body.replace(b"\r\n.", b"\r\n") if dots else body
        if self._unborn and content:
            content, self._unborn = content[2:], 0
        return content


class DataWriter:
    """Makes content fit to follow a 354 reply."""

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def feed(self, chunk: bytes) -> bytes:
        """The chunk with a dot before each dot that begins a line."""
        if not chunk:
            return b""
        stuffed = chunk.replace(b"\r\n.", b"\r\n..") if b"." in chunk else chunk
        if self._tail == b"\r\n" and chunk.startswith(b"."):
            stuffed = b"." + stuffed
        elif self._tail.endswith(b"\r") and chunk.startswith(b"\n."):
            stuffed = b"\n.." + stuffed[2:]
        self._tail = (self._tail + chunk[-2:])[-2:]
        return stuffed

    def finish(self) -> bytes:
        """The end of data; DATA cannot carry content that does not end in CRLF, so one is added to such."""
        return b".\r\n" if self._tail == b"\r\n" else _END
