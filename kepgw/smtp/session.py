"""One SMTP session, server side: the verbs that both doors share.

A door (submission, relay-in) says who may do what and where a message goes; it knows nothing of lines and octets.
"""

import ssl
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from kepgw.refusals import Refusal
from kepgw.smtp import grammar, replies
from kepgw.smtp.channel import Channel
from kepgw.smtp.data import DataReader
from kepgw.smtp.dialogue import Dialogue, Ended
from kepgw.smtp.grammar import Offered, SyntaxRefused
from kepgw.smtp.intake import Intake, Transaction
from kepgw.smtp.limits import Limits
from kepgw.store.spool import Spool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every session of a server shares."""

    hostname: str
    limits: Limits
    spool_folder: Path
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


class Session(Dialogue):
    """A session; a door fills in the abstract parts."""

    offered: ClassVar[Offered]
    free_verbs: ClassVar[frozenset[str]] = frozenset({"EHLO", "HELO", "NOOP", "RSET", "QUIT", "HELP", "STARTTLS"})

    def __init__(self, surroundings: Surroundings, channel: Channel, tls: ssl.SSLContext | None) -> None:
        super().__init__(surroundings.hostname, surroundings.limits, channel)
        self.surroundings = surroundings
        self.tls_context = tls
        self.greeted = ""
        self.extended = False
        self.transaction: Transaction | None = None
        self.verbs |= {
            "EHLO": self.on_ehlo,
            "HELO": self.on_helo,
            "STARTTLS": self.on_starttls,
            "MAIL": self.on_mail,
            "RCPT": self.on_rcpt,
            "DATA": self.on_data,
            "BDAT": self.on_bdat,
            "RSET": self.on_rset,
            "NOOP": self.on_noop,
            "HELP": self.on_help,
            "VRFY": self.on_vrfy,
            "QUIT": self.on_quit,
        }

    @property
    def busy(self) -> bool:
        """Between two chunks of a message."""
        return self.transaction is not None and self.transaction.intake is not None

    # what a door decides

    @property
    @abstractmethod
    def size_limit(self) -> int:
        """Octets that a message may have."""

    @abstractmethod
    def extensions(self) -> list[str]:
        """EHLO keywords beyond those of every session, all of them usable now."""

    @abstractmethod
    async def take_sender(self, address: str) -> None:
        """Raise Refusal for a sender that may not send."""

    @abstractmethod
    async def take_recipient(self, address: str) -> str:
        """The canonical address of a recipient. Raises Refusal."""

    @abstractmethod
    async def take_message(self, transaction: Transaction, intake: Intake, *, chunking: bool) -> bytes:
        """Hand a whole message over; the reply, once it is durable. Raises Refusal, StoreError."""

    def opening(self) -> bytes:
        """Octets that stand before the message in the spool."""
        return b""

    # the verbs

    async def on_ehlo(self, argument: str) -> None:
        """RFC 5321 4.1.1.1."""
        self.greeted = grammar.greeting(argument)
        self.extended = True
        self.reset()
        shared = ["PIPELINING", f"SIZE {self.size_limit}", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING"]
        if self.tls_context is not None and not self.channel.tls:
            shared.append("STARTTLS")
        self.channel.write(replies.lines(250, "", self.hostname, *shared, *self.extensions()))

    async def on_helo(self, argument: str) -> None:
        """RFC 5321 4.1.1.1."""
        self.greeted = grammar.greeting(argument)
        self.extended = False
        self.reset()
        self.say("smtp-hello", hostname=self.hostname)

    async def on_starttls(self, argument: str) -> None:
        """RFC 3207 4; what was sent before is forgotten, and what came behind in the clear never counts."""
        if argument:
            raise SyntaxRefused("smtp-no-argument")
        if self.channel.tls:
            raise SyntaxRefused("smtp-tls-already")
        if self.tls_context is None:
            raise SyntaxRefused("smtp-not-offered")
        if self.channel.pending:
            self.note("octets behind STARTTLS dropped", octets=self.channel.pending)
        self.say("smtp-start-tls")
        self.reset()
        self.greeted, self.extended = "", False
        await self.channel.start_tls(self.tls_context, self.limits.handshake, server=True)

    async def on_mail(self, argument: str) -> None:
        """RFC 5321 4.1.1.2."""
        if not self.greeted:
            raise SyntaxRefused("smtp-hello-first")
        if self.transaction is not None:
            raise SyntaxRefused("smtp-mail-twice")
        mail = grammar.mail(argument, self.offered if self.extended else Offered())
        if mail.size is not None and mail.size > self.size_limit:  # RFC 1870 6.1
            raise Refusal("too-large", f"SIZE={mail.size}", limit=self.size_limit)
        try:
            await self.take_sender(mail.address)
        except Exception as error:
            raise self.translate(error) from error
        self.transaction = Transaction(mail)
        self.say("smtp-sender-ok")

    async def on_rcpt(self, argument: str) -> None:
        """RFC 5321 4.1.1.3; a recipient refused for good is remembered for the evidence of rejection."""
        transaction = self.transaction
        if transaction is None:
            raise SyntaxRefused("smtp-mail-first")
        if transaction.intake is not None:
            raise SyntaxRefused("smtp-finish-chunks")
        rcpt = grammar.rcpt(argument, self.offered if self.extended else Offered())
        transaction.asked += 1
        if transaction.asked > self.limits.recipients:
            raise Refusal("too-many-recipients", f"RCPT number {transaction.asked}", limit=self.limits.recipients)
        try:
            address = await self.take_recipient(rcpt.address)
        except Exception as error:
            refusal = self.translate(error)
            if refusal.rule.code >= 500:
                transaction.refused.append((rcpt.address, refusal))
            self.refuse_by_rule(refusal, count=False)  # counted by the limit of recipients
            return
        if address not in transaction.recipients:
            transaction.recipients.append(address)
        if rcpt.notify:
            transaction.notify[address] = rcpt.notify
        if rcpt.orcpt:
            transaction.orcpt[address] = rcpt.orcpt
        self.say("smtp-recipient-ok")

    async def on_data(self, argument: str) -> None:
        """RFC 5321 4.1.1.4."""
        if argument:
            raise SyntaxRefused("smtp-no-argument")
        transaction = self.transaction
        if transaction is None:
            raise SyntaxRefused("smtp-mail-first")
        if transaction.intake is not None:  # RFC 3030 2: not mixed
            raise SyntaxRefused("smtp-finish-chunks")
        if self.channel.pending:
            # RFC 2920 3.1: DATA is the last of its group. Were it refused, the text behind it would run as commands
            self.end("smtp-wait-for-354")
        if not transaction.recipients:
            self.reset()
            raise Refusal("no-recipients", "DATA without a recipient")
        intake = self._begin(transaction)
        self.say("smtp-go-ahead")
        reader = DataReader()
        deadline = self._deadline()
        while not reader.done:
            content = reader.feed(await self.channel.some(self._block(deadline)))
            if content:
                intake.take(content)
            if intake.endless and not reader.done:
                self._give_up(intake)
        self.channel.give_back(reader.rest)
        await self._finish(chunking=False)

    async def on_bdat(self, argument: str) -> None:
        """RFC 3030 2; the octets of a chunk are read even when it is refused: they are never commands."""
        try:
            size, last = grammar.bdat(argument)
        except SyntaxRefused as refused:
            self.refuse(refused.key)
            raise Ended from refused  # nobody knows where the next command begins
        transaction = self.transaction
        closed = self.gate("BDAT")
        if closed is None and transaction is not None and transaction.recipients:
            intake = transaction.intake or self._begin(transaction)
            transaction.chunks += 1
        else:
            intake = None
        await self._chunk(size, intake)
        if closed is not None:
            self.refuse_with(closed)
        elif transaction is None:
            raise SyntaxRefused("smtp-mail-first")
        elif intake is None:
            self.reset()
            raise Refusal("no-recipients", "BDAT without a recipient")
        elif transaction.chunks > self.limits.chunks:
            self.reset()
            raise SyntaxRefused("smtp-too-many-chunks")
        elif last:
            await self._finish(chunking=True)
        elif intake.failure is not None:
            failure = intake.failure
            self.reset()  # RFC 3030 2: the chunks that follow are refused
            raise failure
        else:
            self.say("smtp-chunk-ok", octets=size)

    async def on_rset(self, argument: str) -> None:
        """RFC 5321 4.1.1.5."""
        if argument:
            raise SyntaxRefused("smtp-no-argument")
        self.reset()
        self.say("smtp-ok")

    async def on_noop(self, argument: str) -> None:
        """RFC 5321 4.1.1.9."""
        del argument
        self.say("smtp-ok")

    async def on_help(self, argument: str) -> None:
        """RFC 5321 4.1.1.8."""
        del argument
        self.say("smtp-help")

    async def on_vrfy(self, argument: str) -> None:
        """RFC 5321 7.3: nothing is told about who has an account."""
        del argument
        self.say("smtp-cannot-verify")

    async def on_quit(self, argument: str) -> None:
        """RFC 5321 4.1.1.10."""
        if argument:
            raise SyntaxRefused("smtp-no-argument")
        self.say("smtp-bye", hostname=self.hostname)
        raise Ended

    # the message

    def reset(self) -> None:
        """Forget the transaction (RFC 5321 4.1.1.5)."""
        if self.transaction is not None:
            self.transaction.close()
            self.transaction = None

    def _begin(self, transaction: Transaction) -> Intake:
        spool = Spool(self.surroundings.spool_folder)
        transaction.intake = Intake(spool, self.size_limit, self.opening())
        return transaction.intake

    async def _chunk(self, size: int, intake: Intake | None) -> None:
        if intake is None and size > self.size_limit:
            self.end("smtp-too-many-errors")
        deadline = self._deadline()
        while size:
            octets = await self.channel.at_most(size, self._block(deadline))
            size -= len(octets)
            if intake is not None:
                intake.take(octets)
                if intake.endless:
                    self._give_up(intake)

    def _deadline(self) -> float:
        return self.channel.now() + self.limits.data_total

    def _block(self, deadline: float) -> float:
        return min(self.limits.data_block, deadline - self.channel.now())

    def _give_up(self, intake: Intake) -> None:
        """Answer before the end of data and hang up: the client sends more than four times what it may."""
        if intake.failure is not None:
            self.refuse_by_rule(intake.failure, count=False)
        raise Ended

    async def _finish(self, *, chunking: bool) -> None:
        transaction, self.transaction = self.transaction, None
        assert transaction is not None
        assert transaction.intake is not None
        intake = transaction.intake
        try:
            reply = await self.take_message(transaction, intake, chunking=chunking)
        except SyntaxRefused:
            raise
        except Exception as error:
            raise self.translate(error) from error
        finally:
            transaction.close()
        self.note("message taken", octets=intake.received, recipients=len(transaction.recipients))
        self.channel.write(reply)
