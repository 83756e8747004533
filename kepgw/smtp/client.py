"""Giving messages to peers: TLS always, the peer's certificate pinned, connections kept for the next message.

Raw octets over kepgw.smtp.channel with our own grammar: a library that wants the message in one piece and mends its
line ends cannot carry what was signed byte for byte (ADR 3). A message is sent as it streams; a connection that
breaks after the final dot is a temporary problem, since the peer takes the same message twice for one.
"""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from kepgw.interop.desk import Outcome, Outgoing, RelayProblem, Route
from kepgw.smtp.channel import Channel, Gone, Interrupted, TooSlow
from kepgw.smtp.data import DataWriter
from kepgw.smtp.limits import ClientLimits
from kepgw.smtp.replies import Reply, ReplyInvalid, ReplyReader

_GATHER: Final = 64 * 1024  # octets of the message written at once


class AllRefused(RelayProblem):
    """The peer refused every recipient; ``refused`` maps each to the reply. Permanent when each was 5xx."""

    def __init__(self, refused: dict[str, str], *, permanent: bool) -> None:
        first = next(iter(refused.values()), "no recipients")
        super().__init__(first, permanent=permanent, stage="rcpt", refused=refused)


class Connection:
    """One connection to a peer, greeted and under TLS once ``open`` has returned."""

    def __init__(self, route: Route, hostname: str, limits: ClientLimits) -> None:
        self.route = route
        self.messages = 0
        self.channel: Channel
        self.reaper: asyncio.TimerHandle | None = None
        self._hostname = hostname
        self._limits = limits
        self._reader = ReplyReader()
        self._extensions: dict[str, str] = {}

    async def open(self, context: ssl.SSLContext) -> None:
        """Connect, STARTTLS, compare the certificate with the pin. Raises RelayProblem."""
        route, limits = self.route, self._limits
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limits.connect):
                _, self.channel = await loop.create_connection(Channel, route.host, route.port)
        except (OSError, TimeoutError) as error:
            raise RelayProblem(f"{route.host}:{route.port}: {error!r}", permanent=False, stage="connect") from error
        try:
            await self._greet(context)
        except BaseException:
            self.channel.abort()
            raise

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Give one message. Raises RelayProblem; afterwards ``usable`` tells whether to keep the connection."""
        mail = self._mail_command(outgoing)
        group = [f"RCPT TO:<{_path(recipient)}>" for recipient in outgoing.recipients]
        self.messages += 1
        if "PIPELINING" in self._extensions:  # RFC 2920 3.1: DATA ends the group
            outcome = await self._begin_pipelined(mail, group, outgoing.recipients)
        else:
            outcome = await self._begin_stepwise(mail, group, outgoing.recipients)
        return Outcome(str(await self._stream(outgoing)), outcome)

    @property
    def usable(self) -> bool:
        """Whether another message may be sent."""
        return self.channel.alive and self._reader.clean and self.messages < self._limits.messages_per_connection

    async def check(self) -> bool:
        """Whether a connection that has rested still answers (RSET, which also clears a broken transaction)."""
        try:
            if not self.usable or self.channel.pending:
                return False
            reply = await self._ask("RSET", self._limits.greeting, "mail")
        except RelayProblem:
            return False
        return reply.code == 250

    def quit(self) -> None:
        """Say goodbye without waiting for the answer."""
        if self.channel.alive:
            self.channel.write(b"QUIT\r\n")
        self.channel.close()

    # steps

    async def _greet(self, context: ssl.SSLContext) -> None:
        limits = self._limits
        _expect(await self._reply(limits.greeting, "connect"), 220, "connect")
        await self._ehlo("connect")
        if "STARTTLS" not in self._extensions:
            raise RelayProblem("the peer does not offer STARTTLS", permanent=False, stage="tls")
        _expect(await self._ask("STARTTLS", limits.greeting, "tls"), 220, "tls")
        if not self._reader.clean or self.channel.pending:
            # RFC 3207 4.2: somebody put words into the peer's mouth before TLS
            raise RelayProblem("octets behind the reply to STARTTLS", permanent=False, stage="tls")
        try:
            await self.channel.start_tls(context, limits.greeting, server=False, name=self.route.host)
        except (Gone, TooSlow) as error:
            raise RelayProblem(f"TLS handshake failed: {error}", permanent=False, stage="tls") from error
        self._check_pin()
        await self._ehlo("tls")

    def _check_pin(self) -> None:
        """The certificate of the card and no other, whoever signed it."""
        session = self.channel.about("ssl_object")
        der = getattr(session, "getpeercert", lambda _: None)(True)
        met = hashlib.sha256(der).hexdigest() if der else "none"
        if met != self.route.tls_sha256.replace(":", "").lower():
            raise RelayProblem(
                f"the peer's TLS certificate is {met}, its card says {self.route.tls_sha256}",
                permanent=False,
                stage="tls",
            )

    async def _ehlo(self, stage: str) -> None:
        reply = await self._ask(f"EHLO {self._hostname}", self._limits.greeting, stage)
        _expect(reply, 250, stage)
        pairs = (line.partition(" ") for line in reply.lines[1:])
        self._extensions = {keyword.upper(): values for keyword, _, values in pairs}

    def _mail_command(self, outgoing: Outgoing) -> str:
        command = f"MAIL FROM:<{_path(outgoing.sender)}>"
        if outgoing.eight_bit:
            if "8BITMIME" not in self._extensions:  # nothing that was signed is converted
                raise RelayProblem("the peer does not offer 8BITMIME", permanent=True, stage="mail")
            command += " BODY=8BITMIME"
        if "SIZE" in self._extensions:
            limit = self._extensions["SIZE"].strip()
            if limit.isdecimal() and 0 < int(limit) < outgoing.size:
                reason = f"the message has {outgoing.size} octets, the peer takes {limit}"
                raise RelayProblem(reason, permanent=True, stage="mail")
            command += f" SIZE={outgoing.size}"
        return command

    async def _begin_pipelined(self, mail: str, group: list[str], recipients: tuple[str, ...]) -> dict[str, str]:
        limits = self._limits
        self.channel.write("".join(f"{command}\r\n" for command in (mail, *group, "DATA")).encode("ascii"))
        first = await self._reply(limits.mail, "mail")
        replies = [await self._reply(limits.rcpt, "rcpt") for _ in group]
        data = await self._reply(limits.data_start, "data")
        try:
            _expect(first, 250, "mail")
            refused = _refused(recipients, replies)
        except RelayProblem:
            if data.code == 354:  # RFC 2920 3.1: a server that goes on without recipients gets an empty end
                self.channel.write(b".\r\n")
                await self._reply(limits.data_end, "data")
            raise
        _expect(data, 354, "data")
        return refused

    async def _begin_stepwise(self, mail: str, group: list[str], recipients: tuple[str, ...]) -> dict[str, str]:
        limits = self._limits
        _expect(await self._ask(mail, limits.mail, "mail"), 250, "mail")
        replies = [await self._ask(command, limits.rcpt, "rcpt") for command in group]
        refused = _refused(recipients, replies)
        _expect(await self._ask("DATA", limits.data_start, "data"), 354, "data")
        return refused

    async def _stream(self, outgoing: Outgoing) -> Reply:
        writer = DataWriter()
        limits = self._limits
        waiting = 0
        try:
            async for octets in outgoing.octets():
                self.channel.write(writer.feed(octets))
                waiting += len(octets)
                if waiting >= _GATHER:
                    waiting = 0
                    await self.channel.flush(limits.data_block)
            self.channel.write(writer.finish())
            reply = await self._reply(limits.data_end, "data")
        except (Gone, TooSlow) as error:
            self.channel.abort()
            early = self._early_reply()  # a peer may say why before it hangs up
            if early is not None and not early.good:
                raise RelayProblem(str(early), permanent=early.permanent, stage="data") from error
            raise RelayProblem("the connection broke in the message", permanent=False, stage="data") from error
        except BaseException:
            self.channel.abort()  # half a message must never get its final dot
            raise
        if reply.code == 421:
            self.channel.close()
        _expect(reply, 250, "data")
        return reply

    def _early_reply(self) -> Reply | None:
        self._reader.feed(self.channel.leftover())
        try:
            return self._reader.next()
        except ReplyInvalid:
            return None

    async def _ask(self, command: str, seconds: float, stage: str) -> Reply:
        self.channel.write(f"{command}\r\n".encode("ascii"))
        return await self._reply(seconds, stage)

    async def _reply(self, seconds: float, stage: str) -> Reply:
        deadline = self.channel.now() + seconds
        try:
            while (reply := self._reader.next()) is None:
                self._reader.feed(await self.channel.some(deadline - self.channel.now()))
        except ReplyInvalid as error:
            self.channel.abort()
            raise RelayProblem(str(error), permanent=False, stage=stage) from error
        except (Gone, TooSlow, Interrupted) as error:
            self.channel.abort()
            why = "was too slow" if isinstance(error, TooSlow) else "closed the connection"
            raise RelayProblem(f"the peer {why}", permanent=False, stage=stage) from error
        if reply.code == 421:  # RFC 5321 3.8: the connection ends, whatever was asked
            self.channel.abort()
            raise RelayProblem(str(reply), permanent=False, stage=stage)
        return reply


class SmtpRelayClient:
    """The relay client of kepgw.interop.desk over SMTP, with a pool of connections for each route."""

    def __init__(self, hostname: str, tls_context: ssl.SSLContext, limits: ClientLimits | None = None) -> None:
        """``hostname`` is our EHLO name; ``tls_context`` a client context of TLS 1.2 or later.

        The context need not verify chains: the pin of the route does, and stricter.
        """
        if tls_context.minimum_version < ssl.TLSVersion.TLSv1_2:
            raise ValueError("relay needs TLS 1.2 or later")
        self._hostname = hostname
        self._context = tls_context
        self._limits = limits or ClientLimits()
        self._resting: dict[Route, list[Connection]] = {}
        self._places: dict[Route, asyncio.Semaphore] = {}
        self._closed = False

    async def send(self, route: Route, outgoing: Outgoing) -> Outcome:
        """Give a message to the peer. Raises RelayProblem."""
        if not outgoing.recipients:
            raise AllRefused({}, permanent=True)
        async with self._connection(route) as connection:
            return await connection.send(outgoing)

    async def close(self) -> None:
        """Close idle connections; those in use close after their message."""
        self._closed = True
        for resting in self._resting.values():
            for connection in resting:
                if connection.reaper is not None:
                    connection.reaper.cancel()
                connection.quit()
        self._resting.clear()

    @property
    def resting(self) -> int:
        """Connections that wait for another message."""
        return sum(len(resting) for resting in self._resting.values())

    @asynccontextmanager
    async def _connection(self, route: Route) -> AsyncIterator[Connection]:
        place = self._places.setdefault(route, asyncio.Semaphore(self._limits.connections_per_route))
        async with place:
            connection = await self._rested(route)
            if connection is None:
                connection = Connection(route, self._hostname, self._limits)
                await connection.open(self._context)
            try:
                yield connection
            except RelayProblem:
                self._rest(connection)
                raise
            except BaseException:
                connection.channel.abort()  # replies may be under way that nobody waits for any more
                raise
            self._rest(connection)

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


def _path(address: str) -> str:
    """An address for a command; one that could end its path or its line is never sent."""
    if not address.isascii() or any(character in "<>\r\n\0" for character in address):
        raise RelayProblem(f"{address!r} cannot stand in a command", permanent=True, stage="rcpt")
    return address


def _expect(reply: Reply, code: int, stage: str) -> None:
    if reply.code != code and not (code == 250 and 200 <= reply.code < 300):
        # a server that turns all of us away is misconfigured for now; only a message can be refused for good
        permanent = reply.permanent and stage not in {"connect", "tls"}
        raise RelayProblem(str(reply), permanent=permanent, stage=stage)


def _refused(recipients: tuple[str, ...], replies: list[Reply]) -> dict[str, str]:
    refused = {who: str(reply) for who, reply in zip(recipients, replies, strict=True) if not reply.good}
    if len(refused) == len(set(recipients)):
        raise AllRefused(refused, permanent=all(reply.permanent for reply in replies))
    return refused
