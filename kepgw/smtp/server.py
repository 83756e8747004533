"""The listeners of one door of SMTP, and a stop that loses nothing."""

import asyncio
import ssl
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Final

from kepgw.net.acceptor import Acceptor, Caps, Door
from kepgw.smtp import replies
from kepgw.smtp.channel import Channel
from kepgw.smtp.dialogue import log
from kepgw.smtp.limits import Limits
from kepgw.smtp.session import Session, Surroundings

_ABORT_WAIT: Final = 0.3  # seconds of the grace kept for what is cut off to end


class Server(ABC):
    """The listeners of one door and their sessions."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self._sessions: set[Session] = set()
        self._acceptor = Acceptor(_caps(surroundings.limits), Channel, self._serve, log)

    def reconfigure(self, limits: Limits) -> None:
        """Other bounds for sessions that begin from now on."""
        self.surroundings = replace(self.surroundings, limits=limits)
        self._acceptor.reconfigure(_caps(limits))

    @abstractmethod
    def session(self, channel: Channel, tls: ssl.SSLContext | None) -> Session:
        """A session on a new connection."""

    @property
    def connections(self) -> int:
        """Connections at this moment."""
        return self._acceptor.connections

    async def start(self, host: str, port: int, tls_context: ssl.SSLContext | None, implicit_tls: bool) -> int:
        """Listen; may be called for several ports. Returns the port (useful when 0 was asked). Raises OSError."""
        if implicit_tls and tls_context is None:
            raise ValueError("a port with implicit TLS needs a TLS context")
        busy = replies.fixed("smtp-too-many-connections")
        door = Door(tls_context, busy) if implicit_tls else Door(None, busy, starttls=tls_context)
        return await self._acceptor.listen(host, port, door)

    async def stop(self, grace: float) -> None:
        """Take no more connections; messages in hand have ``grace`` seconds, all others are told 421 at once."""
        await self._acceptor.stop_listening()
        for session in self._sessions:
            session.stop()
        late = await self._acceptor.ended(grace - _ABORT_WAIT)
        if late:
            log.warning("sessions cut off", extra={"sessions": late})
            await self._acceptor.cut_off(_ABORT_WAIT)

    async def _serve(self, channel: Channel, door: Door) -> None:
        session = self.session(channel, door.tls or door.starttls)
        self._sessions.add(session)
        try:
            await session.run()
        except asyncio.CancelledError:
            channel.abort()
            raise
        finally:
            self._sessions.discard(session)


def _caps(limits: Limits) -> Caps:
    return Caps(
        connections=limits.connections,
        per_address=limits.connections_per_address,
        handshake=limits.handshake,
        rate=limits.arrivals,
        proxies=limits.proxies,
    )
