"""One SMTP dialogue, server side: lines in, replies out, and the ends that it can come to.

- A reply is queued and leaves when the session waits for input, so pipelined commands are answered in one write
  (RFC 2920 3.2).
- A session is never cancelled because its client went away: what a desk has begun it finishes.
- Whatever goes wrong inside is 451 or 452 on the wire, and its reason a line in the log.
"""

import asyncio
import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import ClassVar, Final

from kepgw.refusals import Refusal
from kepgw.smtp import grammar, replies
from kepgw.smtp.channel import Channel, Gone, Interrupted, LineTooLong, TooSlow
from kepgw.smtp.grammar import Command, SyntaxRefused
from kepgw.smtp.intake import as_refusal
from kepgw.smtp.limits import Limits

log = logging.getLogger("kepgw.smtp")

# another protocol's opening words: a browser made to talk to us must not get a second line in
_OTHER_PROTOCOLS: Final = frozenset({"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE"})

# known, and not done here: RFC 5321 4.2.4 answers 502, not 500
_NOT_DONE: Final = frozenset({"EXPN", "TURN", "ETRN", "ATRN", "SEND", "SOML", "SAML"})

_TURN: Final = 32  # commands that one session may have answered in a row


class Ended(Exception):
    """The session is over; its last reply has been queued."""


class Dialogue(ABC):
    """The command loop; a session fills in ``verbs``."""

    door: ClassVar[str]

    def __init__(self, hostname: str, limits: Limits, channel: Channel) -> None:
        self.hostname = hostname
        self.limits = limits
        self.channel = channel
        self.remote = channel.remote
        self.id = secrets.token_hex(6)
        self.verbs: dict[str, Callable[[str], Awaitable[None]]] = {}
        self._errors = 0
        self._commands = 0
        self._waiting = False
        self._stopping = False

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Part of a message is in hand, between two commands."""

    @abstractmethod
    def gate(self, verb: str) -> bytes | None:
        """The reply for a verb that may not be used yet, or None."""

    @abstractmethod
    def reset(self) -> None:
        """Forget the transaction (RFC 5321 4.1.1.5)."""

    async def run(self) -> None:
        """Serve the client until it leaves. Never raises but for cancellation."""
        try:
            self.say("smtp-ready", hostname=self.hostname)
            while True:
                await self._command()
        except Ended:
            pass
        except Gone as gone:
            self.note("connection ended", why=str(gone))
        except TooSlow:
            self.note("timeout")
            self.say("smtp-idle")
        except Interrupted:
            self.say("smtp-stopping")
        except Exception as error:
            # where in a message this happened is unknown: what follows must not be read as commands
            log.exception("session failed", extra=self._facts())
            self.channel.write(replies.refused(as_refusal(error)))
        finally:
            self.reset()
            self.channel.close()

    def stop(self) -> None:
        """Say 421 as soon as no message is in hand."""
        self._stopping = True
        if self._waiting:
            self.channel.interrupt()

    async def _command(self) -> None:
        busy = self.busy
        if self._stopping and not busy:
            raise Interrupted
        try:
            line = await self.line(may_stop=not busy)
        except LineTooLong:
            self.refuse("smtp-line-too-long")
            return
        self._commands += 1
        if self._commands % _TURN == 0:
            await asyncio.sleep(0)  # a long pipeline does not hold up the others
        if self._commands > self.limits.commands:
            self.end("smtp-too-many-commands")
        try:
            await self._dispatch(line)
        except SyntaxRefused as refused:
            self.refuse(refused.key, **refused.values)
        except Refusal as refusal:
            self.refuse_by_rule(refusal)

    async def line(self, *, may_stop: bool = True) -> bytes:
        """The next line of the client; unless ``may_stop`` is false, ``stop`` ends the wait. Raises LineTooLong."""
        self._waiting = may_stop
        try:
            return await self.channel.line(self.limits.authentication, self.limits.idle)
        finally:
            self._waiting = False

    async def _dispatch(self, line: bytes) -> None:
        command: Command = grammar.command(line)
        verb = self.verbs.get(command.verb)
        if verb is None:
            if command.verb in _OTHER_PROTOCOLS:
                self.end("smtp-not-smtp")
            if command.verb in _NOT_DONE:
                raise SyntaxRefused("smtp-not-offered")
            raise SyntaxRefused("smtp-unknown-verb")
        if len(line) > self._line_limit(command.verb):
            raise SyntaxRefused("smtp-line-too-long")
        if command.verb != "BDAT" and (closed := self.gate(command.verb)) is not None:
            self.refuse_with(closed)
            return
        await verb(command.argument)

    def _line_limit(self, verb: str) -> int:
        if verb == "AUTH":
            return self.limits.authentication
        return self.limits.command_with_parameters if verb in {"MAIL", "RCPT"} else self.limits.command

    # answers

    def say(self, key: str, **values: object) -> None:
        """Queue a reply of the table."""
        self.channel.write(replies.reply(key, **values) if values else replies.fixed(key))

    def refuse(self, key: str, **values: object) -> None:
        """Queue a refusal of the table and count it."""
        self.note("command refused", rule=key)
        self.refuse_with(replies.reply(key, **values))

    def refuse_by_rule(self, refusal: Refusal, *, count: bool = True) -> None:
        """Queue the reply of a rule; its private reason goes to the log."""
        self.note("refused", rule=refusal.key, why=str(refusal))
        self.refuse_with(replies.refused(refusal), count=count)
        if refusal.rule.code == 421:  # RFC 5321 3.8: whoever says 421 hangs up
            raise Ended

    def refuse_with(self, reply: bytes, *, count: bool = True) -> None:
        """Queue a refusal; after too many with 5xx the session ends."""
        self.channel.write(reply)
        if count and reply.startswith(b"5"):
            self._errors += 1
            if self._errors > self.limits.errors:
                self.end("smtp-too-many-errors")

    def end(self, key: str) -> None:
        """Queue a last reply and end the session."""
        self.note("session ended", rule=key)
        self.say(key)
        raise Ended

    def note(self, event: str, **facts: object) -> None:
        """A log line with what identifies the session."""
        log.info(event, extra={**self._facts(), **facts})

    def _facts(self) -> dict[str, object]:
        return {"door": self.door, "session": self.id, "remote": self.remote}

    def translate(self, error: Exception) -> Refusal:
        """The refusal for a failure of a desk, with a trace in the log when it is a fault of ours."""
        refusal = as_refusal(error)
        if refusal.key == "try-later" and error is not refusal:
            log.error("desk failed", exc_info=error, extra=self._facts())
        return refusal
