"""The octets of one connection: a buffer with back-pressure, deadlines, and TLS that may start in the middle.

Both sides of SMTP use it, on asyncio and uvloop alike. Reading hands out what is there in one piece; nothing is
split into lines unless a line is asked for.
"""

import asyncio
import ssl
from typing import Final, cast

HIGH_WATER: Final = 512 * 1024  # octets read and not yet taken; above this the transport is paused
CLOSE_WAIT: Final = 10.0  # seconds for the last octets to be taken by the other end
OUT_WATER: Final = 16 * 1024  # octets of replies gathered before they are written


class Gone(Exception):  # an event, not an error of ours
    """The other end closed the connection, or it broke."""


class TooSlow(Exception):
    """The other end let a deadline pass."""


class Interrupted(Exception):
    """Waiting was ended from our side (the server stops)."""


class LineTooLong(Exception):
    """A line is longer than it may be; it has been thrown away up to its end."""


class Channel(asyncio.Protocol):
    """One connection. A single task reads and writes it; ``interrupt`` may be called from outside."""

    def __init__(self, remote: str = "local") -> None:
        self.remote = remote  # IP address of the other end; behind a named proxy the client's
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._out = bytearray()
        self._piece = b""  # octets that came while ``some`` waited, before those in the buffer
        self._want_piece = False
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._reading_paused = False
        self._writing_paused = False
        self._ended = False
        self._closing: asyncio.TimerHandle | None = None
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.tls = False

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once by the loop."""
        self._transport = cast(asyncio.Transport, transport)
        self.tls = transport.get_extra_info("ssl_object") is not None

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._want_piece and not self._buffer and not self._piece:
            self._piece = data  # the way of a message's octets: no copy is made of them
        else:
            self._buffer += data
        if len(self._buffer) > HIGH_WATER and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake(self._waiter)

    def eof_received(self) -> bool:
        """Called by the loop; without TLS the reply to the last command can still be sent."""
        self._ended = True
        self._wake(self._waiter)
        return not self.tls

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once by the loop."""
        self._ended = True
        self._transport = None
        if self._closing is not None:
            self._closing.cancel()
        self._wake(self._waiter)
        self._wake(self._drained)
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """Called by the loop."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Called by the loop."""
        self._writing_paused = False
        self._wake(self._drained)

    # what a session calls

    @property
    def alive(self) -> bool:
        """Whether something can still be read or written."""
        return self._transport is not None and not self._transport.is_closing() and not self._ended

    @property
    def pending(self) -> int:
        """Octets that have arrived and were not taken."""
        return len(self._buffer)

    def now(self) -> float:
        """The loop's clock, in seconds."""
        return self._loop.time()

    def about(self, name: str) -> object:
        """Information of the transport, as ``get_extra_info``."""
        return self._transport.get_extra_info(name) if self._transport is not None else None

    async def some(self, seconds: float) -> bytes:
        """All octets that are there, waiting for the first. Raises Gone, TooSlow, Interrupted."""
        if not self._buffer:
            self._want_piece = True
            try:
                await self._more(seconds)
            except BaseException:
                self.give_back(self._piece)
                self._piece = b""
                raise
            finally:
                self._want_piece = False
            piece, self._piece = self._piece, b""
            if piece:
                return piece
            return await self.some(seconds)  # woken without octets: the connection has ended
        octets = bytes(self._buffer)
        self._buffer.clear()
        self._resume()
        return octets

    async def at_most(self, size: int, seconds: float) -> bytes:
        """As ``some``, but no more than ``size`` octets."""
        while not self._buffer:
            await self._more(seconds)
        with memoryview(self._buffer) as view, view[:size] as first:
            octets = bytes(first)
        del self._buffer[: len(octets)]
        self._resume()
        return octets

    async def line(self, limit: int, seconds: float) -> bytes:
        """One line with its LF, of at most ``limit`` octets. Raises LineTooLong, Gone, TooSlow, Interrupted.

        Waits as long first while the other end does not take what was written: replies to lines that are here already
        would pile up else.
        """
        if self._writing_paused:
            await self.flush(seconds)
        end, scanned, too_long = -1, 0, False
        deadline = self._loop.time() + seconds  # of the whole line: dripping octets does not stretch it
        while (end := self._buffer.find(b"\n", scanned)) < 0:
            scanned = len(self._buffer)
            if scanned > limit:
                too_long = True
                self._buffer.clear()
                scanned = 0
                self._resume()
            await self._more(deadline - self._loop.time())
        octets = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self._resume()
        if too_long or len(octets) > limit:
            raise LineTooLong
        return octets

    def give_back(self, octets: bytes) -> None:
        """Put octets that were read too far before those still to come."""
        if octets:
            self._buffer[:0] = octets

    def leftover(self) -> bytes:
        """What has arrived and was not read; for looking back at a connection that broke."""
        octets = bytes(self._buffer)
        self._buffer.clear()
        return octets

    def drop(self) -> int:
        """Throw away what has arrived and was not read; returns how much that was."""
        size = len(self._buffer)
        self._buffer.clear()
        return size

    def write(self, octets: bytes) -> None:
        """Queue octets; they leave with ``flush``, or when reading must wait."""
        self._out += octets
        if len(self._out) > OUT_WATER:
            self._push()

    async def flush(self, seconds: float) -> None:
        """Send what is queued, and wait while the other end is slow to take it. Raises Gone, TooSlow."""
        self._push()
        while self._writing_paused:
            if self._transport is None:
                raise Gone
            self._drained = self._loop.create_future()
            await self._wait(self._drained, seconds)
        if self._transport is None:
            raise Gone

    async def start_tls(
        self, context: ssl.SSLContext, seconds: float, *, server: bool, name: str | None = None
    ) -> None:
        """Turn to TLS. Octets that came before in the clear are dropped (RFC 3207 4.2). Raises Gone, TooSlow."""
        if self._transport is None or self._ended:
            raise Gone
        self._push()
        self.drop()
        self._reading_paused = False
        try:
            new = await self._loop.start_tls(
                self._transport, self, context, server_side=server, server_hostname=name, ssl_handshake_timeout=seconds
            )
        except TimeoutError as error:
            raise TooSlow from error
        except (OSError, ssl.SSLError) as error:
            raise Gone(f"TLS: {error}") from error
        if new is None:  # the connection was lost in the middle
            raise Gone
        self._transport = new
        self.tls = True

    def interrupt(self) -> None:
        """End the wait for input, if there is one, with Interrupted."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(Interrupted())

    def close(self) -> None:
        """Send what is queued and close; who does not take the last octets in time loses them."""
        if self._transport is not None:
            self._push()
            self._transport.close()
            self._closing = self._loop.call_later(CLOSE_WAIT, self.abort)

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # within

    def _push(self) -> None:
        if self._out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(bytes(self._out))
        self._out.clear()

    def _resume(self) -> None:
        if self._reading_paused and len(self._buffer) <= HIGH_WATER and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    async def _more(self, seconds: float) -> None:
        """Wait until octets arrive that were not there."""
        if self._out:
            there = len(self._buffer) + len(self._piece)
            await self.flush(seconds)
            if len(self._buffer) + len(self._piece) > there:  # they came while the other end took ours
                return
        if self._ended:
            raise Gone
        self._waiter = self._loop.create_future()
        try:
            await self._wait(self._waiter, seconds)
        finally:
            self._waiter = None

    async def _wait(self, future: asyncio.Future[None], seconds: float) -> None:
        handle = self._loop.call_later(max(seconds, 0.0), _expire, future)
        try:
            await future
        finally:
            handle.cancel()

    @staticmethod
    def _wake(future: asyncio.Future[None] | None) -> None:
        if future is not None and not future.done():
            future.set_result(None)


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TooSlow())
