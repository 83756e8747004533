"""Listening: connections in all and per address are capped before TLS, and a stop loses nothing."""

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections import Counter
from typing import Final

from kepgw.smtp import replies
from kepgw.smtp.channel import Channel
from kepgw.smtp.session import Session, Surroundings, log

_BACKLOG: Final = 512
_ABORT_WAIT: Final = 1.0  # seconds for the last replies to leave after the grace is over


class Server(ABC):
    """The listeners of one door and their sessions."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self._listeners: list[asyncio.Server] = []
        self._sessions: dict[asyncio.Task[None], Session] = {}
        self._addresses: Counter[str] = Counter()
        self._stopping = False

    @abstractmethod
    def session(self, channel: Channel, tls: ssl.SSLContext | None) -> Session:
        """A session on a new connection."""

    @property
    def connections(self) -> int:
        """Sessions at this moment."""
        return len(self._sessions)

    async def start(self, host: str, port: int, tls_context: ssl.SSLContext | None, implicit_tls: bool) -> int:
        """Listen; may be called for several ports. Returns the port (useful when 0 was asked). Raises OSError."""
        if implicit_tls and tls_context is None:
            raise ValueError("a port with implicit TLS needs a TLS context")

        def connected(channel: Channel) -> None:
            self._connected(channel, tls_context, implicit_tls)

        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: Channel(connected), host, port, backlog=_BACKLOG)
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    async def stop(self, grace: float) -> None:
        """Take no more connections; messages in hand have ``grace`` seconds, all others are told 421 at once."""
        self._stopping = True
        for listener in self._listeners:
            listener.close()
        for session in self._sessions.values():
            session.stop()
        if self._sessions:
            await asyncio.wait(self._sessions, timeout=grace)
        late = list(self._sessions)
        for task in late:
            task.cancel()
        if late:
            log.warning("sessions cut off", extra={"sessions": len(late)})
            await asyncio.wait(late, timeout=_ABORT_WAIT)
        self._listeners.clear()

    def _connected(self, channel: Channel, tls: ssl.SSLContext | None, implicit_tls: bool) -> None:
        session = self.session(channel, tls)
        limits = self.surroundings.limits
        full = len(self._sessions) >= limits.connections
        crowded = self._addresses[session.remote] >= limits.connections_per_address
        if full or crowded or self._stopping:
            session.note("connection refused", rule="smtp-too-many-connections")
            if implicit_tls:
                channel.abort()  # no word can be said before TLS
            else:
                channel.write(replies.fixed("smtp-stopping" if self._stopping else "smtp-too-many-connections"))
                channel.close()
            return
        if implicit_tls:
            channel.pause()
        self._addresses[session.remote] += 1
        task = asyncio.get_running_loop().create_task(self._serve(session, channel, implicit_tls))
        self._sessions[task] = session
        task.add_done_callback(self._ended)

    async def _serve(self, session: Session, channel: Channel, implicit_tls: bool) -> None:
        try:
            await session.run(implicit_tls=implicit_tls)
        except asyncio.CancelledError:
            channel.abort()
            raise

    def _ended(self, task: asyncio.Task[None]) -> None:
        session = self._sessions.pop(task)
        self._addresses[session.remote] -= 1
        if self._addresses[session.remote] <= 0:
            del self._addresses[session.remote]
