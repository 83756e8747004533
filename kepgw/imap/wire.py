"""One connection as lines, literals and TLS: the only place where octets meet a socket.

A protocol of our own and not streams: what a client sent before TLS must be dropped with certainty (RFC 3501 6.2.1),
waiting for a line must also wake for news of a mailbox, and an idle session must cost little memory.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

from kepgw.imap.responses import Bye
from kepgw.net.link import link_of
from kepgw.store.login import Link

HIGH: Final = 256 * 1024  # octets waiting to be sent before a command pauses
READ_AHEAD: Final = 256 * 1024  # octets received and not yet looked at before reading pauses
LINGER_SECONDS: Final = 30.0  # for the client to take what was sent before the end
WRITE_SECONDS: Final = 300.0  # a client that takes nothing for so long is gone


class Closed(Exception):
    """The client is gone."""


class Wire(asyncio.Protocol):
    """The connection of one client."""

    def __init__(self, peer: str) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._scanned = 0  # octets of the buffer known to hold no line end
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._reading = True
        self._ended = False
        self._stopping = False
        self.peer = peer
        self.secure = False

    @property
    def link(self) -> Link:
        """What the connection says about the client."""
        return link_of(self.peer, self._transport.get_extra_info("ssl_object") if self._transport else None)

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH)
        self.secure = transport.get_extra_info("ssl_object") is not None

    def data_received(self, data: bytes) -> None:
        """Octets of the client."""
        self._buffer += data
        if len(self._buffer) > READ_AHEAD and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()
        self.wake()

    def eof_received(self) -> bool:
        """The client sends no more; what it sent is still answered."""
        self._ended = True
        self.wake()
        return not self.secure

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._ended = True
        self._transport = None
        self.wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The client takes less than we send."""
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """The client has taken enough."""
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None

    # what a session calls

    @property
    def open(self) -> bool:
        """Whether anything can still be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def wake(self) -> None:
        """Let a waiting ``line`` look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _more(self, deadline: float) -> None:
        if self._ended:
            raise Closed
        if self._stopping:
            raise Bye("shutdown")
        if not self._reading and len(self._buffer) <= READ_AHEAD and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout_at(deadline):
                await self._waiter
        except TimeoutError:
            raise Bye("autologout") from None
        finally:
            self._waiter = None

    async def line(self, limit: int, seconds: float, until: Callable[[], bool] | None = None) -> bytes | None:
        """The next line with its LF; None when ``until`` says so before one is whole.

        Raises Closed, and Bye for a line over ``limit`` octets or none in ``seconds``.
        """
        deadline = asyncio.get_running_loop().time() + seconds  # for the whole line: one octet a minute is no line
        while True:
            end = self._buffer.find(b"\n", self._scanned)
            if end >= limit or (end < 0 and len(self._buffer) >= limit):
                raise Bye("line-too-long")
            if end >= 0:
                return self._take(end + 1)
            self._scanned = len(self._buffer)
            if until is not None and until():
                return None
            await self._more(deadline)

    async def octets(self, count: int, seconds: float) -> bytes:
        """Some octets of a literal, at least one and at most ``count``. Raises Closed or Bye."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not self._buffer:
            await self._more(deadline)
        return self._take(min(count, len(self._buffer)))

    def _take(self, count: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        self._scanned = 0
        return taken

    def write(self, data: bytes) -> None:
        """Send soon; ``drain`` after it."""
        if self._transport is not None and data:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written. Raises Closed."""
        if self._writable is not None:
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await asyncio.shield(self._writable)
            except TimeoutError:
                self.abort()
        if self._transport is None:
            raise Closed

    async def start_tls(self, context: ssl.SSLContext, answer: bytes, seconds: float) -> None:
        """Answer, drop what came before TLS, and turn to TLS. Raises Closed when that fails."""
        transport = self._transport
        if transport is None:
            raise Closed
        transport.pause_reading()
        self._buffer.clear()  # RFC 3501 6.2.1 and CVE-2011-0411: nothing sent in clear is taken for a command in TLS
        self._scanned = 0
        transport.write(answer)
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                transport, self, context, server_side=True, ssl_handshake_timeout=seconds
            )
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            self.abort()
            raise Closed from None
        if encrypted is None:
            raise Closed
        self._transport = encrypted
        self._transport.set_write_buffer_limits(high=HIGH)
        self._reading = True
        self.secure = True

    def end(self) -> None:
        """Say BYE as soon as the command in hand is done."""
        self._stopping = True
        self.wake()

    def close(self) -> None:
        """Send what is written, then close."""
        transport = self._transport
        if transport is not None:
            transport.close()
            asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()
