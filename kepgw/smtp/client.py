"""Giving messages to peers: where a peer is reached, and connections kept for the next message."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from kepgw.interop.desk import Outcome, Outgoing, RelayProblem, Route
from kepgw.smtp.connection import AllRefused, Connection, Place
from kepgw.smtp.exchangers import Exchangers, LookupFailed
from kepgw.smtp.limits import ClientLimits
from kepgw.trust.tls import PeerContexts

MAX_PLACES: Final = 8  # addresses of a peer that are tried for one connection


class SmtpRelayClient:
    """The relay client of kepgw.interop.desk over SMTP, with a pool of connections for each route."""

    def __init__(
        self,
        hostname: str,
        contexts: PeerContexts,
        limits: ClientLimits | None = None,
        exchangers: Exchangers | None = None,
    ) -> None:
        """``hostname`` is our EHLO name."""
        self._hostname = hostname
        self._contexts = contexts
        self._limits = limits or ClientLimits()
        self._exchangers = exchangers or Exchangers()
        self._resting: dict[Route, list[Connection]] = {}
        self._rooms: dict[Route, asyncio.Semaphore] = {}
        self._closed = False

    def reconfigure(self, contexts: PeerContexts, limits: ClientLimits, exchangers: Exchangers) -> None:
        """Go on with other settings: connections that are made from now on see them; those that rest are closed."""
        self._contexts, self._limits, self._exchangers = contexts, limits, exchangers
        self._leave_resting()

    async def send(self, route: Route, outgoing: Outgoing) -> Outcome:
        """Give a message to the peer. Raises RelayProblem."""
        if not outgoing.recipients:
            raise AllRefused({}, permanent=True)
        async with self._connection(route) as connection:
            return await connection.send(outgoing)

    async def close(self) -> None:
        """Close idle connections; those in use close after their message."""
        self._closed = True
        self._leave_resting()

    @property
    def resting(self) -> int:
        """Connections that wait for another message."""
        return sum(len(resting) for resting in self._resting.values())

    @asynccontextmanager
    async def _connection(self, route: Route) -> AsyncIterator[Connection]:
        room = self._rooms.setdefault(route, asyncio.Semaphore(route.connections))
        async with room:
            connection = await self._rested(route) or await self._opened(route)
            try:
                yield connection
            except RelayProblem:
                self._rest(connection)
                raise
            except BaseException:
                connection.channel.abort()  # replies may be under way that nobody waits for any more
                raise
            self._rest(connection)

    async def _opened(self, route: Route) -> Connection:
        """A new connection to the first place that can be had. Raises RelayProblem."""
        context = self._contexts.toward(route.tls_authorities)
        problem: RelayProblem | None = None
        for place in (await self.places(route))[:MAX_PLACES]:
            connection = Connection(route, self._hostname, self._limits)
            try:
                await connection.open(place, context)
            except RelayProblem as error:  # RFC 5321 5.1: the next one, in their order
                problem = error
            else:
                return connection
        raise problem or RelayProblem(f"{route.provider} has no address", permanent=False, stage="connect")

    async def places(self, route: Route) -> list[Place]:
        """Where a peer may be reached, in the order in which it is tried. Raises RelayProblem, never for good.

        What the DNS says is not signed for us: no message is given up because of it.
        """
        try:
            if route.host:
                return await _addresses(route.host, route.port)
            found = await self._exchangers.of(route.provider, implicit=not route.supply_points)
        except LookupFailed as error:
            raise RelayProblem(str(error), permanent=False, stage="dns") from error
        points = dict(route.supply_points)
        if points:  # EN 319 532-4 C.1, C.2.3.3.3: the exchanger is a service supply point of the peer
            allowed = [each for each in found if each.host in points]
            if not allowed:
                named = ", ".join(each.host for each in found)
                reason = f"no mail exchanger of {route.provider} ({named}) is a service supply point of its card"
                raise RelayProblem(reason, permanent=False, stage="dns")
            found = allowed
        places: list[Place] = []
        problem: LookupFailed | None = None
        for each in found:
            try:
                addresses = await self._exchangers.addresses(each.host)
            except LookupFailed as error:
                problem = error
                continue
            places += [Place(each.host, address, points.get(each.host, route.port)) for address in addresses]
            if len(places) >= MAX_PLACES:
                break
        if not places and problem is not None:
            raise RelayProblem(str(problem), permanent=False, stage="dns") from problem
        return places

    async def _rested(self, route: Route) -> Connection | None:
        resting = self._resting.get(route, [])
        while resting:
            connection = resting.pop()
            if connection.reaper is not None:
                connection.reaper.cancel()
            if await connection.check():
                return connection
            connection.channel.abort()
        return None

    def _rest(self, connection: Connection) -> None:
        if self._closed or not connection.usable:
            connection.quit()
            return
        resting = self._resting.setdefault(connection.route, [])
        resting.append(connection)
        connection.reaper = asyncio.get_running_loop().call_later(self._limits.idle, self._retire, connection)

    def _retire(self, connection: Connection) -> None:
        resting = self._resting.get(connection.route, [])
        if connection in resting:
            resting.remove(connection)
            connection.quit()
        if not resting:
            self._resting.pop(connection.route, None)

    def _leave_resting(self) -> None:
        for resting in self._resting.values():
            for connection in resting:
                if connection.reaper is not None:
                    connection.reaper.cancel()
                connection.quit()
        self._resting.clear()


async def _addresses(host: str, port: int) -> list[Place]:
    """The addresses of a host in the order of the system (RFC 6724). Raises LookupFailed."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise LookupFailed(f"{host}: {error}") from error
    return [Place(host, str(each[4][0]), port) for each in found]
