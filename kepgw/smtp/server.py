"""Listening: connections in all and per address are capped before TLS, and a stop loses nothing.

Sockets are accepted here and then given to the loop with ``connect_accepted_socket``: so the caps hold before a
handshake costs anything, on asyncio and uvloop alike.
"""

import asyncio
import contextlib
import socket
import ssl
from abc import ABC, abstractmethod
from collections import Counter
from typing import Final

from kepgw.smtp import replies
from kepgw.smtp.channel import Channel
from kepgw.smtp.dialogue import log
from kepgw.smtp.session import Session, Surroundings

_BACKLOG: Final = 512
_ACCEPT_PAUSE: Final = 0.1  # seconds after accept has failed (no file descriptor is left)
_ABORT_WAIT: Final = 0.3  # seconds of the grace kept for what is cut off to end


class Server(ABC):
    """The listeners of one door and their sessions."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self._acceptors: list[asyncio.Task[None]] = []
        self._serving: dict[asyncio.Task[None], Session | None] = {}  # None until the connection is made
        self._addresses: Counter[str] = Counter()

    @abstractmethod
    def session(self, channel: Channel, tls: ssl.SSLContext | None) -> Session:
        """A session on a new connection."""

    @property
    def connections(self) -> int:
        """Connections at this moment."""
        return len(self._serving)

    async def start(self, host: str, port: int, tls_context: ssl.SSLContext | None, implicit_tls: bool) -> int:
        """Listen; may be called for several ports. Returns the port (useful when 0 was asked). Raises OSError."""
        if implicit_tls and tls_context is None:
            raise ValueError("a port with implicit TLS needs a TLS context")
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listeners: list[socket.socket] = []
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                listeners.append(_listen(family, address))
        except OSError:
            for listener in listeners:
                listener.close()
            raise
        for listener in listeners:
            self._acceptors.append(loop.create_task(self._accept(listener, tls_context, implicit_tls)))
        return int(listeners[0].getsockname()[1])

    async def stop(self, grace: float) -> None:
        """Take no more connections; messages in hand have ``grace`` seconds, all others are told 421 at once."""
        for acceptor in self._acceptors:
            acceptor.cancel()
        await asyncio.gather(*self._acceptors, return_exceptions=True)
        self._acceptors.clear()
        for task, session in self._serving.items():
            if session is None:
                task.cancel()
            else:
                session.stop()
        if self._serving:
            await asyncio.wait(self._serving, timeout=max(grace - _ABORT_WAIT, 0.0))
        late = list(self._serving)
        for task in late:
            task.cancel()
        if late:
            log.warning("sessions cut off", extra={"sessions": len(late)})
            await asyncio.wait(late, timeout=_ABORT_WAIT)

    async def _accept(self, listener: socket.socket, tls: ssl.SSLContext | None, implicit_tls: bool) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    connection, address = await loop.sock_accept(listener)
                except OSError as error:
                    log.error("accept failed", extra={"why": str(error)})
                    await asyncio.sleep(_ACCEPT_PAUSE)
                    continue
                remote = str(address[0])
                if self._full(remote):
                    log.info("connection refused", extra={"rule": "smtp-too-many-connections", "remote": remote})
                    _turn_away(connection, b"" if implicit_tls else replies.fixed("smtp-too-many-connections"))
                    continue
                self._addresses[remote] += 1
                task = loop.create_task(self._serve(connection, remote, tls, implicit_tls))
                self._serving[task] = None
                task.add_done_callback(self._ended)

    def _full(self, remote: str) -> bool:
        limits = self.surroundings.limits
        crowded = self._addresses[remote] >= limits.connections_per_address
        return crowded or len(self._serving) >= limits.connections

    async def _serve(
        self, connection: socket.socket, remote: str, tls: ssl.SSLContext | None, implicit_tls: bool
    ) -> None:
        loop, channel = asyncio.get_running_loop(), Channel()
        try:
            with contextlib.suppress(OSError):  # ends with the connection, or was never TCP
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if implicit_tls:
                handshake = self.surroundings.limits.handshake
                await loop.connect_accepted_socket(
                    lambda: channel, connection, ssl=tls, ssl_handshake_timeout=handshake
                )
                channel.tls = True
            else:
                await loop.connect_accepted_socket(lambda: channel, connection)
            session = self.session(channel, tls)
            task = asyncio.current_task()
            assert task is not None
            self._serving[task] = session
            await session.run()
        except OSError as error:  # TimeoutError and ssl.SSLError are among them
            log.info("connection failed", extra={"remote": remote, "why": str(error)})
            connection.close()
        except asyncio.CancelledError:
            channel.abort()
            raise
        finally:
            self._addresses[remote] -= 1
            if self._addresses[remote] <= 0:
                del self._addresses[remote]

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._serving[task]
        if not task.cancelled() and task.exception() is not None:
            log.error("session broke", exc_info=task.exception())


def _listen(family: int, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _turn_away(connection: socket.socket, word: bytes) -> None:
    with connection, contextlib.suppress(OSError):
        connection.setblocking(False)
        if word:
            connection.send(word)
