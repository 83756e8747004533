"""One connection to a peer: TLS always, the peer's certificate as its card has it, and messages one after another.

Raw octets over kepgw.smtp.channel with our own grammar: a library that wants the message in one piece and mends its
line ends cannot carry what was signed byte for byte (ADR 3). A message is sent as it streams; a connection that
breaks after its end is a temporary problem, since the peer takes the same message twice for one.
"""

import asyncio
import hashlib
import socket
import ssl
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Final, NamedTuple

from kepgw.interop.desk import Outcome, Outgoing, RelayProblem, Route
from kepgw.smtp.channel import Channel, Gone, Interrupted, TooSlow
from kepgw.smtp.data import DataWriter
from kepgw.smtp.limits import ClientLimits
from kepgw.smtp.replies import Reply, ReplyInvalid, ReplyReader

_GATHER: Final = 64 * 1024  # octets of the message written at once
_CHUNK: Final = 512 * 1024  # octets of one BDAT command


class AllRefused(RelayProblem):
    """The peer refused every recipient; ``refused`` maps each to the reply. Permanent when each was 5xx."""

    def __init__(self, refused: dict[str, str], *, permanent: bool) -> None:
        first = next(iter(refused.values()), "no recipients")
        super().__init__(first, permanent=permanent, stage="rcpt", refused=refused)


class Place(NamedTuple):
    """One address at which a peer may take mail. ``name`` is what it is called there, for its certificate."""

    name: str
    address: str
    port: int


class Connection:
    """One connection to a peer, greeted and under TLS once ``open`` has returned."""

    def __init__(self, route: Route, hostname: str, limits: ClientLimits) -> None:
        self.route = route
        self.place: Place
        self.messages = 0
        self.channel: Channel
        self.reaper: asyncio.TimerHandle | None = None
        self._hostname = hostname
        self._limits = limits
        self._reader = ReplyReader()
        self._extensions: dict[str, str] = {}
        self._spoiled = False  # nobody can tell any more which reply belongs to which command

    async def open(self, place: Place, context: ssl.SSLContext) -> None:
        """Connect, STARTTLS, and hold the certificate against the route. Raises RelayProblem."""
        self.place = place
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.connect):
                _, self.channel = await loop.create_connection(
                    Channel, place.address, place.port, flags=socket.AI_NUMERICHOST
                )
        except (OSError, TimeoutError) as error:
            raise RelayProblem(f"{_told(place)}: {error!r}", permanent=False, stage="connect") from error
        try:
            await self._greet(context)
        except BaseException:
            self.channel.abort()
            raise

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Give one message. Raises RelayProblem; afterwards ``usable`` tells whether to keep the connection."""
        mail = self._mail_command(outgoing)
        commands = [mail, *(f"RCPT TO:<{_path(recipient)}>" for recipient in outgoing.recipients)]
        self.messages += 1
        # RFC 3030 2: octets as they are, counted and not searched; of no use where the peer has no such thing
        chunking = self.route.chunking and "CHUNKING" in self._extensions
        if "PIPELINING" not in self._extensions:
            refused = await self._begin_stepwise(commands, outgoing.recipients, data=not chunking)
        elif not chunking:
            refused = await self._begin_pipelined(commands, outgoing.recipients)
        elif outgoing.size <= _GATHER:
            return await self._all_at_once(commands, outgoing)
        else:
            refused = await self._begin_together(commands, outgoing.recipients)
        with self._in_the_message():
            reply = await (self._stream_chunks(outgoing) if chunking else self._stream(outgoing))
        _expect(reply, 250, "data")
        return Outcome(str(reply), refused)

    @property
    def usable(self) -> bool:
        """Whether another message may be sent."""
        sound = self.channel.alive and self._reader.clean and not self._spoiled
        return sound and self.messages < self._limits.messages_per_connection

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
            await self.channel.start_tls(context, limits.greeting, server=False, name=self.place.name)
        except (Gone, TooSlow) as error:
            raise RelayProblem(f"TLS handshake failed: {error}", permanent=False, stage="tls") from error
        if self.route.tls_sha256:  # else the context has held the chain and the host name against the authorities
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

    async def _begin_pipelined(self, commands: list[str], recipients: tuple[str, ...]) -> dict[str, str]:
        """MAIL, RCPT and DATA in one group (RFC 2920 3.1: DATA ends it)."""
        self._write(*commands, "DATA")
        first, replies = await self._replies(recipients)
        data = await self._reply(self._limits.data_start, "data")
        try:
            _expect(first, 250, "mail")
            refused = _refused(recipients, replies)
        except RelayProblem:
            if data.code == 354:  # RFC 2920 3.1: a server that goes on without recipients gets an empty end
                self.channel.write(b".\r\n")
                await self._reply(self._limits.data_end, "data")
            raise
        _expect(data, 354, "data")
        return refused

    async def _begin_together(self, commands: list[str], recipients: tuple[str, ...]) -> dict[str, str]:
        """MAIL and RCPT in one group; the chunks follow when somebody takes them."""
        self._write(*commands)
        first, replies = await self._replies(recipients)
        _expect(first, 250, "mail")
        return _refused(recipients, replies)

    async def _begin_stepwise(self, commands: list[str], recipients: tuple[str, ...], *, data: bool) -> dict[str, str]:
        limits = self._limits
        mail, *group = commands
        _expect(await self._ask(mail, limits.mail, "mail"), 250, "mail")
        replies = [await self._ask(command, limits.rcpt, "rcpt") for command in group]
        refused = _refused(recipients, replies)
        if data:
            _expect(await self._ask("DATA", limits.data_start, "data"), 354, "data")
        return refused

    async def _all_at_once(self, commands: list[str], outgoing: Outgoing) -> Outcome:
        """A small message with its commands, one way there and one back (RFC 3030 4.2)."""
        octets = b"".join([piece async for piece in outgoing.octets()])
        self._spoiled = True  # unless every reply is there at the end
        self._write(*commands, f"BDAT {len(octets)} LAST")
        self.channel.write(octets)
        try:
            await self.channel.flush(self._limits.data_block)
        except Gone:
            pass  # the replies that are there are of commands: each is read for what it is
        except TooSlow as error:
            self.channel.abort()
            raise RelayProblem("the peer does not take the message", permanent=False, stage="data") from error
        first, replies = await self._replies(outgoing.recipients)
        reply = await self._reply(self._limits.data_end, "data")
        _expect(first, 250, "mail")
        refused = _refused(outgoing.recipients, replies)
        _expect(reply, 250, "data")
        # a server that refuses a chunk may yet read its octets as commands: then this connection is not used again
        self._spoiled = False
        return Outcome(str(reply), refused)

    async def _stream(self, outgoing: Outgoing) -> Reply:
        """The message behind a 354 (RFC 5321 4.1.1.4)."""
        writer = DataWriter()
        waiting = 0
        async for octets in outgoing.octets():
            self.channel.write(writer.feed(octets))
            waiting += len(octets)
            if waiting >= _GATHER:
                waiting = 0
                await self.channel.flush(self._limits.data_block)
        self.channel.write(writer.finish())
        return await self._reply(self._limits.data_end, "data")

    async def _stream_chunks(self, outgoing: Outgoing) -> Reply:
        """The message in chunks (RFC 3030 2), one of which is under way while the reply to the one before is awaited.

        The first refusal ends it: what follows a refused chunk would be refused as well.
        """
        ahead = 1 if "PIPELINING" in self._extensions else 0  # RFC 3030 4.2
        awaited = 0
        self._spoiled = True
        async with aclosing(_chunks(outgoing)) as chunks:
            async for octets, last in chunks:
                self._write(f"BDAT {len(octets)}{' LAST' if last else ''}")
                for start in range(0, len(octets), _GATHER):
                    self.channel.write(octets[start : start + _GATHER])
                    await self.channel.flush(self._limits.data_block)
                awaited += 1
                while awaited > (0 if last else ahead):
                    awaited -= 1
                    seconds = self._limits.data_end if last and not awaited else self._limits.data_block
                    reply = await self._reply(seconds, "data")
                    taken = reply.code // 100 == 2
                    if not taken or (last and not awaited):
                        self._spoiled = not taken
                        return reply
        raise AssertionError("the chunks have no last one")

    @contextmanager
    def _in_the_message(self) -> Iterator[None]:
        """Half a message must never be taken for a whole one; a peer may say why before it hangs up."""
        try:
            yield
        except (Gone, TooSlow) as error:
            self.channel.abort()
            early = self._early_reply()
            if early is not None:
                raise RelayProblem(str(early), permanent=early.permanent, stage="data") from error
            raise RelayProblem("the connection broke in the message", permanent=False, stage="data") from error
        except BaseException:
            self.channel.abort()
            raise

    async def _replies(self, recipients: tuple[str, ...]) -> tuple[Reply, list[Reply]]:
        """Those to MAIL and to each RCPT of a group."""
        first = await self._reply(self._limits.mail, "mail")
        return first, [await self._reply(self._limits.rcpt, "rcpt") for _ in recipients]

    def _early_reply(self) -> Reply | None:
        """The first refusal among what the peer has said."""
        self._reader.feed(self.channel.leftover())
        try:
            while (reply := self._reader.next()) is not None and reply.good:
                pass
        except ReplyInvalid:
            return None
        return reply

    def _write(self, *commands: str) -> None:
        self.channel.write("".join(f"{command}\r\n" for command in commands).encode("ascii"))

    async def _ask(self, command: str, seconds: float, stage: str) -> Reply:
        self._write(command)
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


async def _chunks(outgoing: Outgoing) -> AsyncGenerator[tuple[bytes, bool], None]:
    """The octets of a message in pieces for BDAT, each with whether it is the last."""
    held = bytearray()
    async for octets in outgoing.octets():
        if len(held) >= _CHUNK:
            yield bytes(held), False
            held.clear()
        held += octets
    yield bytes(held), True


def _told(place: Place) -> str:
    """A place for logs and queue."""
    at = f"[{place.address}]" if ":" in place.address else place.address
    return f"{at}:{place.port}" if place.name == place.address else f"{place.name} ({at}:{place.port})"
