"""One connection from greeting to end: commands are read whole, literals and all, and performed one by one."""

import asyncio
import logging
import re
from typing import Final, NamedTuple

from kepgw.errors import KepError
from kepgw.imap.commands import Call, perform
from kepgw.imap.grammar import ParseError
from kepgw.imap.grammar_command import Command, CommandError, name_of
from kepgw.imap.responses import BadCommand, Bye, status
from kepgw.imap.session import Context, Session
from kepgw.imap.wire import Closed, Wire

_log = logging.getLogger("kepgw.imap")

_LITERAL = re.compile(rb"\{([0-9]{1,20})(\+?)\}\r\n\Z")
CONTINUE: Final = b"+ OK\r\n"


class _Literal(NamedTuple):
    size: int
    waits: bool


class Connection:
    """Serves one client."""

    def __init__(self, context: Context, wire: Wire) -> None:
        self._context = context
        self._wire = wire
        self.session = Session(context, wire, wire.link, secure=wire.secure)
        self._bad = 0
        self._login_by = asyncio.get_running_loop().time() + context.limits.login_seconds

    async def serve(self) -> None:
        """Greet and answer until one side ends it. Raises nothing but what ends a program."""
        session, wire = self.session, self._wire
        try:
            code = f"CAPABILITY {session.capabilities()}"
            wire.write(status(b"*", b"OK", "greeting", code, provider=self._context.provider))
            while await self._turn():
                pass
        except Bye as bye:
            wire.write(bye.response(b"*"))
        except Closed:
            pass
        except KepError:
            _log.exception("session of %s ended", wire.peer)
            wire.write(status(b"*", b"BYE", "unavailable"))
        except Exception:
            _log.exception("session of %s ended by a mistake of ours", wire.peer)
            wire.write(status(b"*", b"BYE", "unavailable"))
        finally:
            self.session.close()
            wire.close()

    @property
    def _seconds(self) -> float:
        if self.session.operator_or_none is None:  # NOOP and failed logins do not buy more time
            return max(self._login_by - asyncio.get_running_loop().time(), 0.0)
        return self._context.limits.idle_seconds

    async def _turn(self) -> bool:
        """One command; False when it was the last."""
        try:
            command = await self._command()
            if command is None:
                good = True
            elif command.name == b"LOGOUT":
                self._wire.write(status(b"*", b"BYE", "bye"))
                self._wire.write(status(command.tag, b"OK", "done", command="LOGOUT"))
                return False
            elif command.name == b"STARTTLS":
                good = await self._starttls(command)
            elif command.name == b"IDLE":
                good = await self._idle(command)
            else:
                good = await perform(Call(self.session, command, self._wire, self._ask))
        except ParseError as error:
            tag = error.tag if isinstance(error, CommandError) else b"*"
            self._wire.write(status(tag, b"BAD", "bad-command", reason=str(error)))
            await self._wire.drain()
            good = False
        self._bad = 0 if good else self._bad + 1
        if self._bad >= self._context.limits.bad_commands:
            raise Bye("too-many-commands")
        return True

    # reading

    async def _line(self, limit: int) -> bytes:
        line = await self._wire.line(limit, self._seconds)
        assert line is not None  # nothing interrupts it
        return line

    async def _ask(self, prompt: bytes) -> bytes:
        self._wire.write(prompt)
        await self._wire.drain()
        return (await self._line(self._limit)).rstrip(b"\r\n")

    @property
    def _limit(self) -> int:
        limits = self._context.limits
        return limits.line_before_login if self.session.operator_or_none is None else limits.line

    async def _command(self) -> Command | None:
        """The next command with its literals in place; None when it was answered already.

        Raises ParseError, and Bye for what cannot be read past.
        """
        limit = self._limit
        buffer = await self._line(limit)
        while match := _LITERAL.search(buffer[-26:]):
            literal = _Literal(int(match[1]), waits=not match[2])
            if name_of(buffer) == b"APPEND" and self.session.operator_or_none is not None:
                try:
                    return Command.parse(buffer)[0]  # the message itself is read by its command
                except ParseError:
                    pass  # an earlier literal of it: the mailbox name
            if len(buffer) + literal.size > limit:
                if not literal.waits:
                    raise Bye("literal-too-large", "TOOBIG")
                raise self._refused(buffer)
            if literal.waits:
                self._wire.write(CONTINUE)
                await self._wire.drain()
            left = literal.size
            pieces = [buffer]
            while left:
                pieces.append(await self._wire.octets(left, self._context.limits.literal_seconds))
                left -= len(pieces[-1])
            buffer = b"".join(pieces)
            buffer += await self._line(limit - len(buffer) + 2)
        text = buffer.removesuffix(b"\n").removesuffix(b"\r")
        if not text:
            return None  # an empty line does no harm
        return Command.parse(text)[0]

    @staticmethod
    def _refused(buffer: bytes) -> ParseError:
        tag = buffer.split(b" ", 1)[0]
        reason = "the literal is too large"
        return CommandError(reason, tag) if re.fullmatch(rb"[A-Za-z0-9.]{1,128}", tag) else ParseError(reason)

    # commands that take over the connection

    async def _starttls(self, command: Command) -> bool:
        session, context = self.session, self._context
        if session.secure or context.starttls is None or session.operator_or_none is not None:
            self._wire.write(BadCommand("no-tls").response(command.tag))
            await self._wire.drain()
            return False
        answer = status(command.tag, b"OK", "begin-tls")
        await self._wire.start_tls(context.starttls, answer, context.limits.handshake_seconds)
        self.session = Session(context, self._wire, self._wire.link, secure=True)  # RFC 3501 6.2.1: forget all
        return True

    async def _idle(self, command: Command) -> bool:
        """IDLE (RFC 2177): news go out as they come, until DONE."""
        session, wire = self.session, self._wire
        if session.operator_or_none is None:
            wire.write(BadCommand("wrong-state").response(command.tag))
            await wire.drain()
            return False
        wire.write(b"+ idling\r\n")
        await wire.drain()
        while True:
            line = await wire.line(self._limit, self._seconds, until=lambda: session.has_news)
            if line is not None:
                break
            await session.refresh_operator()
            await session.sync(expunge=True)
        if line.strip().upper() != b"DONE":
            wire.write(status(command.tag, b"BAD", "bad-command", reason="expected DONE"))
            await wire.drain()
            return False
        await session.sync(expunge=True)
        wire.write(status(command.tag, b"OK", "done", command="IDLE"))
        await wire.drain()
        return True
