"""Taking connections: caps in all and per address hold before TLS, and before a proxy's client has a name.

Sockets are accepted here and then given to the loop with ``connect_accepted_socket``: so the caps hold before a
handshake costs anything, on asyncio and uvloop alike.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, Generic, TypeVar

from kepgw.accounts.guard import neighbourhood
from kepgw.accounts.rates import UNBOUNDED, Buckets, Rate
from kepgw.net import proxy

BACKLOG: Final = 512
ACCEPT_PAUSE: Final = 0.1  # seconds after accept has failed (no file descriptor is left)
HEADER_SECONDS: Final = 5.0  # for a proxy's header; a proxy sends it at once

Network = IPv4Network | IPv6Network
_Protocol = TypeVar("_Protocol", bound=asyncio.Protocol)


@dataclass(frozen=True, slots=True)
class Caps:
    """What all connections of a server, and those of one address (of one /64), may be. Counts and seconds."""

    connections: int
    per_address: int
    handshake: float
    rate: Rate = UNBOUNDED  # new connections of one address
    proxies: tuple[Network, ...] = ()  # who must tell the client's address by the PROXY protocol


@dataclass(frozen=True, slots=True)
class Door:
    """One listener: TLS from the first octet with ``tls``, later with ``starttls``.

    ``busy`` is said to whom there is no room for, where nothing is encrypted yet.
    """

    tls: ssl.SSLContext | None
    busy: bytes
    starttls: ssl.SSLContext | None = None


class Acceptor(Generic[_Protocol]):
    """The listeners of one server.

    ``protocol(remote)`` makes the protocol of a connection, ``serve(protocol, door)`` serves it and returns when it
    has ended; ``remote`` is the client's IP address. ``log`` gets stable event names, for tools that watch it.
    """

    def __init__(
        self,
        caps: Caps,
        protocol: Callable[[str], _Protocol],
        serve: Callable[[_Protocol, Door], Awaitable[None]],
        log: logging.Logger,
    ) -> None:
        self.caps = caps
        self._protocol = protocol
        self._serve = serve
        self._log = log
        self._accepting: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._arriving: set[asyncio.Task[None]] = set()  # those of the tasks that are before or in the handshake
        self._places: Counter[str] = Counter()  # connections of each address, of each /64 in IPv6
        self._arrivals = Buckets(caps.rate)

    def reconfigure(self, caps: Caps) -> None:
        """Other caps for who comes from now on."""
        if caps.rate != self.caps.rate:
            self._arrivals = Buckets(caps.rate)
        self.caps = caps

    @property
    def connections(self) -> int:
        """Connections at this moment."""
        return len(self._tasks)

    async def listen(self, host: str, port: int, door: Door) -> int:
        """Listen on every address of ``host``. Returns the port (useful when 0 was asked). Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listeners: list[socket.socket] = []
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                listeners.append(_listener(family, address))
        except OSError:
            for listener in listeners:
                listener.close()
            raise
        self._accepting += [loop.create_task(self._accept(listener, door)) for listener in listeners]
        return int(listeners[0].getsockname()[1])

    async def stop_listening(self) -> None:
        """Take no more connections; those that are served go on, those in the handshake end."""
        accepting, self._accepting = self._accepting, []
        ending = [*accepting, *self._arriving]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def ended(self, seconds: float) -> int:
        """Wait for the connections to end; how many are left after ``seconds``."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(seconds, 0.0))
        return len(self._tasks)

    async def cut_off(self, seconds: float) -> None:
        """Cancel what is left."""
        for task in list(self._tasks):
            task.cancel()
        await self.ended(seconds)

    async def until(self, most: int) -> None:
        """Wait until at most so many connections are served."""
        while len(self._tasks) > most:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def _accept(self, listener: socket.socket, door: Door) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    connection, address = await loop.sock_accept(listener)
                except OSError as error:
                    self._log.error("accept failed", extra={"why": str(error)})
                    await asyncio.sleep(ACCEPT_PAUSE)
                    continue
                remote = str(address[0])
                proxied = self._is_proxy(remote)
                if len(self._tasks) >= self.caps.connections or (not proxied and not self._enter(remote)):
                    self._turn_away(connection, remote, door)
                    continue
                task = loop.create_task(self._connect(connection, remote, door, proxied=proxied))
                self._tasks.add(task)
                task.add_done_callback(self._done)

    async def _connect(self, connection: socket.socket, remote: str, door: Door, *, proxied: bool) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._arriving.add(task)
        entered = "" if proxied else remote
        try:
            try:
                if proxied:
                    async with asyncio.timeout(HEADER_SECONDS):
                        remote = await _behind(connection) or remote
                    if not self._enter(remote):
                        self._turn_away(connection, remote, door)
                        return
                    entered = remote
                made = await self._hand_over(connection, remote, door)
            except (OSError, proxy.ProxyInvalid) as error:  # TimeoutError and ssl.SSLError are among them
                self._log.info("connection failed", extra={"remote": remote, "why": str(error)})
                connection.close()
                return
            except asyncio.CancelledError:
                connection.close()
                raise
            finally:
                self._arriving.discard(task)
            await self._serve(made, door)
        finally:
            if entered:
                self._leave(entered)

    async def _hand_over(self, connection: socket.socket, remote: str, door: Door) -> _Protocol:
        made = self._protocol(remote)
        with contextlib.suppress(OSError):  # ends with the connection, or was never TCP
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: made,
            connection,
            ssl=door.tls,
            ssl_handshake_timeout=self.caps.handshake if door.tls is not None else None,
        )
        return made

    def _is_proxy(self, remote: str) -> bool:
        if not self.caps.proxies:
            return False
        address = ip_address(remote.partition("%")[0])
        return any(address in network for network in self.caps.proxies)

    def _enter(self, remote: str) -> bool:
        """Count a connection of an address, unless it has too many or they come too fast."""
        now = asyncio.get_running_loop().time()
        place = neighbourhood(remote)
        if self._places[place] >= self.caps.per_address or self._arrivals.wait(place, now):
            if not self._places[place]:
                del self._places[place]
            return False
        self._arrivals.take(place, now)
        self._places[place] += 1
        return True

    def _leave(self, remote: str) -> None:
        place = neighbourhood(remote)
        self._places[place] -= 1
        if self._places[place] <= 0:
            del self._places[place]

    def _turn_away(self, connection: socket.socket, remote: str, door: Door) -> None:
        self._log.info("connection refused", extra={"rule": "too-many-connections", "remote": remote})
        with connection, contextlib.suppress(OSError):
            connection.setblocking(False)
            if door.tls is None:
                connection.send(door.busy)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._log.error("session broke", exc_info=task.exception())


async def _behind(connection: socket.socket) -> str | None:
    """Read a PROXY header and not an octet more. Raises ProxyInvalid, OSError."""
    start = await _exactly(connection, proxy.START)
    if proxy.version(start) == 2:
        header = start + await _exactly(connection, 4)
        return proxy.read_v2(header, await _exactly(connection, proxy.length_v2(header)))
    while not start.endswith(b"\r\n"):
        if len(start) >= proxy.LONGEST_V1:
            raise proxy.ProxyInvalid("a PROXY line without end")
        start += await _exactly(connection, 1)
    return proxy.read_v1(start)


async def _exactly(connection: socket.socket, size: int) -> bytes:
    loop, octets = asyncio.get_running_loop(), b""
    while len(octets) < size:
        more = await loop.sock_recv(connection, size - len(octets))
        if not more:
            raise proxy.ProxyInvalid("the proxy hung up in its header")
        octets += more
    return octets


def _listener(family: int, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
