"""The door of our own users: RFC 6409 submission, login required, TLS required."""

import asyncio
import binascii
import ssl
from base64 import b64decode, b64encode
from math import ceil
from pathlib import Path
from typing import ClassVar, Final, NoReturn, Protocol

from kepgw.accounts.rates import Buckets
from kepgw.accounts.sasl import SaslRefused
from kepgw.interop.desk import Parameters, Submission, SubmissionDesk
from kepgw.net.link import link_of
from kepgw.refusals import Refusal
from kepgw.smtp import replies
from kepgw.smtp.channel import Channel, Gone, Interrupted, LineTooLong, TooSlow
from kepgw.smtp.grammar import Offered, SyntaxRefused
from kepgw.smtp.intake import Intake, Transaction
from kepgw.smtp.limits import Limits
from kepgw.smtp.server import Server
from kepgw.smtp.session import Session, Surroundings
from kepgw.store.accounts import Operator
from kepgw.store.login import Ask, Link, LoginFailed


class Authenticator(Protocol):
    """Checks a login; kepgw.store.login.Logins is one."""

    @staticmethod
    def mechanisms(link: Link) -> tuple[str, ...]:
        """What can be used on a connection, the best first."""

    async def converse(self, mechanism: str, initial: bytes | None, ask: Ask, link: Link) -> Operator:
        """A whole exchange. Raises LoginFailed, SaslRefused."""


class SubmissionSession(Session):
    """A session of one of our users."""

    door: ClassVar[str] = "submission"
    offered: ClassVar[Offered] = Offered(frozenset({"SIZE", "BODY", "AUTH", "RET", "ENVID", "NOTIFY", "ORCPT"}))

    def __init__(
        self,
        surroundings: Surroundings,
        channel: Channel,
        tls: ssl.SSLContext | None,
        desk: SubmissionDesk,
        logins: Authenticator,
        rates: "Rates",
    ) -> None:
        super().__init__(surroundings, channel, tls)
        self._desk = desk
        self._logins = logins
        self._rates = rates
        self._operator: Operator | None = None
        self._login_failures = 0
        self.verbs["AUTH"] = self.on_auth

    @property
    def size_limit(self) -> int:
        """Octets that a message may have."""
        return self.limits.message

    @property
    def operator(self) -> Operator:
        """Who logged in; the gate lets nobody else come so far."""
        assert self._operator is not None
        return self._operator

    def extensions(self) -> list[str]:
        """DSN (RFC 3461), and AUTH where it may be used (RFC 4954 4: not without TLS)."""
        return ["DSN", f"AUTH {' '.join(self._logins.mechanisms(self._link))}"] if self.channel.tls else ["DSN"]

    @property
    def _link(self) -> Link:
        return link_of(self.remote, self.channel.about("ssl_object"))

    def gate(self, verb: str) -> bytes | None:
        """TLS, then login, then mail."""
        if verb in self.free_verbs:
            return None
        if not self.channel.tls:
            if verb == "AUTH":
                return replies.fixed("smtp-encryption-needed")
            return replies.refused(Refusal("tls-required", verb))
        if self._operator is None and verb != "AUTH":
            return replies.refused(Refusal("auth-required", verb))
        return None

    async def take_sender(self, address: str) -> None:
        """The sender is the account that logged in; the desk judges."""
        self._desk.ready()
        self._rates.check_message(self.operator.address, self.channel.now())
        await self._desk.sender(self.operator, address)

    async def take_recipient(self, address: str) -> str:
        """The desk judges."""
        assert self.transaction is not None
        taken = len(self.transaction.recipients)
        self._rates.check_recipient(self.operator.address, taken, self.channel.now())
        return await self._desk.recipient(self.operator, address, self.remote)

    async def take_message(self, transaction: Transaction, intake: Intake, *, chunking: bool) -> bytes:
        """Hand the message to the desk; octets that break a rule too, for the evidence of rejection."""
        checked, problem = intake.finish(chunking=chunking)
        submission = Submission(
            operator=self.operator,
            recipients=tuple(transaction.recipients),
            refused=tuple(transaction.refused),
            spool=intake.spool,
            checked=checked,
            problem=problem,
            parameters=Parameters(transaction.mail.ret, transaction.mail.envid, transaction.notify, transaction.orcpt),
            remote=self.remote,
        )
        self._rates.count(self.operator.address, len(submission.recipients), self.channel.now())
        identifier = await self._desk.submit(submission)
        if problem is not None:
            raise problem
        return replies.reply("smtp-taken", identifier=identifier)

    # AUTH

    async def on_auth(self, argument: str) -> None:
        """RFC 4954 4."""
        if not self.extended:
            raise SyntaxRefused("smtp-hello-first")
        if self._operator is not None:
            raise SyntaxRefused("smtp-logged-in-already")
        name, _, initial = argument.partition(" ")
        link = self._link
        if name.upper() not in self._logins.mechanisms(link):
            raise SyntaxRefused("smtp-mechanism")
        try:
            first = _decoded(initial.strip(" ")) if initial.strip(" ") else None
            operator = await self._logins.converse(name.upper(), first, self._ask, link)
        except SaslRefused as refused:
            self.note("login malformed", rule="smtp-login-syntax", why=str(refused))
            raise SyntaxRefused("smtp-login-syntax") from refused
        except LoginFailed as failed:
            await self._login_failed(failed)
        except (SyntaxRefused, Gone, TooSlow, Interrupted):
            raise
        except Exception as error:
            raise self.translate(error) from error
        self._operator = operator
        self.note("logged in", login=operator.login, mechanism=name.upper())
        self.say("smtp-logged-in")

    async def _ask(self, challenge: bytes) -> bytes:
        self.channel.write(b"334 " + b64encode(challenge) + b"\r\n")
        try:
            line = await self.line()
        except LineTooLong as error:
            raise SyntaxRefused("smtp-line-too-long") from error
        if line == b"*\r\n":
            raise SyntaxRefused("smtp-login-cancelled")
        if not line.endswith(b"\r\n") or not line.isascii():
            raise SyntaxRefused("smtp-login-syntax")
        return _decoded(line[:-2].decode("ascii"))

    async def _login_failed(self, failed: LoginFailed) -> NoReturn:
        """Each failure costs more time, and the session ends after a few (RFC 4954 9)."""
        self._login_failures += 1
        rule = "login-locked" if failed.locked else "auth-failed"
        self.note("login failed", rule=rule, login=failed.login[:256], why=str(failed))
        await asyncio.sleep(failed.delay)
        if failed.locked:
            refusal = Refusal("login-locked", str(failed), minutes=ceil(failed.locked / 60))
        else:
            refusal = Refusal("auth-failed", str(failed))
        if self._login_failures >= self.limits.login_failures:
            self.refuse_by_rule(refusal, count=False)
            self.end("smtp-too-many-logins")
        raise refusal


class Rates:
    """How much one account may send in how long, over all of its sessions."""

    def __init__(self, limits: Limits) -> None:
        self.limits = (limits.messages, limits.account_recipients)
        self._messages = Buckets(limits.messages)
        self._recipients = Buckets(limits.account_recipients)

    def check_message(self, account: str, at: float) -> None:
        """Raise Refusal when another message is too much now."""
        self._check(max(self._messages.wait(account, at), self._recipients.wait(account, at)))

    def check_recipient(self, account: str, taken: int, at: float) -> None:
        """Raise Refusal when a recipient beside the ``taken`` ones of the message is too much now."""
        self._check(self._recipients.wait(account, at, taken + 1))

    def count(self, account: str, recipients: int, at: float) -> None:
        """A message with its recipients goes out."""
        self._messages.take(account, at)
        self._recipients.take(account, at, recipients)

    @staticmethod
    def _check(seconds: float) -> None:
        if seconds:
            raise Refusal("rate", f"{seconds:.0f} s too early", minutes=ceil(seconds / 60))


def _decoded(response: str) -> bytes:
    """Base64 of a response; ``=`` is an initial one of no octets (RFC 4954 4). Raises SaslRefused."""
    if response == "=":
        return b""
    try:
        return b64decode(response, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SaslRefused("not base64") from error


class SubmissionServer(Server):
    """Ports 587 (STARTTLS) and 465 (TLS): ``start`` it once for each."""

    def __init__(
        self,
        desk: SubmissionDesk,
        logins: Authenticator,
        *,
        hostname: str,
        spool_folder: Path,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(Surroundings(hostname, limits or Limits(), spool_folder))
        self._desk: Final = desk
        self._logins: Final = logins
        self._rates = Rates(self.surroundings.limits)

    def reconfigure(self, limits: Limits) -> None:
        """Other bounds, and rates counted anew where they differ."""
        super().reconfigure(limits)
        if (limits.messages, limits.account_recipients) != self._rates.limits:
            self._rates = Rates(limits)

    def session(self, channel: Channel, tls: ssl.SSLContext | None) -> Session:
        """A session on a new connection."""
        return SubmissionSession(self.surroundings, channel, tls, self._desk, self._logins, self._rates)
