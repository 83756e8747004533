"""The door of our own users: RFC 6409 submission, login required, TLS required."""

import asyncio
import ssl
from pathlib import Path
from typing import ClassVar, Final, NoReturn, Protocol

from kepgw.interop.desk import Parameters, Submission, SubmissionDesk
from kepgw.refusals import Refusal
from kepgw.smtp import replies
from kepgw.smtp.channel import Channel, LineTooLong
from kepgw.smtp.grammar import Offered, SyntaxRefused
from kepgw.smtp.intake import Intake, Transaction
from kepgw.smtp.limits import Limits
from kepgw.smtp.sasl import MECHANISMS, Claim, Mechanism, SaslRefused
from kepgw.smtp.server import Server
from kepgw.smtp.session import Session, Surroundings
from kepgw.store.accounts import Operator


class Authenticator(Protocol):
    """Checks a login; kepgw.store.login.Logins is one."""

    async def authenticate(self, login: str, password: str) -> Operator | None:
        """The operator, or None when name or password is wrong."""


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
    ) -> None:
        super().__init__(surroundings, channel, tls)
        self._desk = desk
        self._logins = logins
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
        return ["DSN", f"AUTH {' '.join(MECHANISMS)}"] if self.channel.tls else ["DSN"]

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
        await self._desk.sender(self.operator, address)

    async def take_recipient(self, address: str) -> str:
        """The desk judges."""
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
        mechanism = MECHANISMS.get(name.upper())
        if mechanism is None:
            raise SyntaxRefused("smtp-mechanism")
        claim = await self._exchange(mechanism(), initial.strip(" ") or None)
        try:
            operator = await self._logins.authenticate(claim.login, claim.password)
        except Exception as error:
            raise self.translate(error) from error
        if operator is None:
            await self._login_failed(claim.login)
        self._operator = operator
        self.note("logged in", login=operator.login)
        self.say("smtp-logged-in")

    async def _exchange(self, mechanism: Mechanism, response: str | None) -> Claim:
        try:
            challenge = mechanism.step(response)
            while challenge is not None:
                self.channel.write(f"334 {challenge}\r\n".encode("ascii"))
                challenge = mechanism.step(await self._response())
        except SaslRefused as refused:
            raise SyntaxRefused("smtp-login-syntax") from refused
        assert mechanism.claim is not None
        return mechanism.claim

    async def _response(self) -> str:
        try:
            line = await self.line()
        except LineTooLong as error:
            raise SyntaxRefused("smtp-line-too-long") from error
        if line == b"*\r\n":
            raise SyntaxRefused("smtp-login-cancelled")
        if not line.endswith(b"\r\n") or not line.isascii():
            raise SyntaxRefused("smtp-login-syntax")
        return line[:-2].decode("ascii")

    async def _login_failed(self, login: str) -> NoReturn:
        """Each failure costs more time, and the session ends after a few (RFC 4954 9)."""
        self._login_failures += 1
        self.note("login failed", rule="auth-failed", login=login[:256])
        await asyncio.sleep(self.limits.login_delay * 2 ** (self._login_failures - 1))
        refusal = Refusal("auth-failed", "name or password is wrong")
        if self._login_failures >= self.limits.login_failures:
            self.refuse_by_rule(refusal, count=False)
            self.end("smtp-too-many-logins")
        raise refusal


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

    def session(self, channel: Channel, tls: ssl.SSLContext | None) -> Session:
        """A session on a new connection."""
        return SubmissionSession(self.surroundings, channel, tls, self._desk, self._logins)
