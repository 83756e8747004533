"""Logging in: one way for SMTP, IMAP and the web.

A wrong name costs the same time as a wrong password, and at most a few passwords are hashed at a time, since each
hash takes 19 MiB and 26 ms of one core. Failures are counted per login and address together, so that nobody can lock
another out.
"""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from kepgw.accounts import passwords, sasl
from kepgw.accounts.guard import GuardSettings, LoginGuard
from kepgw.accounts.scram import ScramServer, Verifier
from kepgw.store.accounts import Operator, operator_by_certificate, operator_by_login
from kepgw.store.engine import Change, Store

CHECKS_AT_ONCE: Final = 2
REMEMBERED: Final = 4096  # logins whose password was found right a short while ago
REMEMBERED_SECONDS: Final = 300.0  # mail clients log in many times a minute

Ask = Callable[[bytes], Awaitable[bytes]]
"""Sends a challenge, gives the response; both without base64. Raises what ends the exchange in its protocol."""


@dataclass(frozen=True, slots=True)
class Link:
    """What the connection itself says about the client."""

    remote: str  # IP address
    end_point: bytes | None = None  # digest of our certificate (RFC 5929 4), None without TLS
    client_certificate: bytes | None = None  # DER, verified in the handshake


class LoginFailed(Exception):  # an answer to a client, not an error of ours
    """Nobody is logged in. Wait ``delay`` seconds before saying so.

    ``locked`` is 0, or the seconds for which nothing is looked at that comes from this address for this login.
    ``login`` is what the client claimed, for the log.
    """

    def __init__(self, login: str, *, delay: float = 0.0, locked: float = 0.0) -> None:
        super().__init__(f"locked for {locked:.0f} s" if locked else "name or password is wrong")
        self.login = login
        self.delay = delay
        self.locked = locked


class Logins:
    """Checks what clients claim against the store."""

    def __init__(
        self,
        store: Store,
        checks_at_once: int = CHECKS_AT_ONCE,
        guard: LoginGuard | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._hashing = asyncio.Semaphore(checks_at_once)
        self._guard = guard or LoginGuard()
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._remembered: dict[bytes, float] = {}
        self._forget_all = store.subscribe(self._on_change)

    def reconfigure(self, settings: GuardSettings, checks_at_once: int) -> None:
        """Lock guessers out by other settings; who is locked stays so."""
        self._guard.settings = settings
        self._hashing = asyncio.Semaphore(checks_at_once)

    def _on_change(self, change: Change) -> None:
        if change.topic == "account":
            self._remembered.clear()

    async def authenticate(self, login: str, password: str, remote: str) -> Operator:
        """The operator behind a name and a password. Raises LoginFailed (also for one that may not log in)."""
        name = _canonical(login)
        self._check_lock(name, remote)
        operator = await self._store.read(lambda tx: operator_by_login(tx, name))
        stored = operator.argon2 if operator else None
        # the key is bound to the stored hash, so that a changed password is never remembered
        told = f"{name}\0{stored}\0{password}".encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(told, key=self._secret).digest()
        if operator is None or self._remembered.get(key, 0.0) < self._clock():
            async with self._hashing:
                self._check_lock(name, remote)  # others may have failed while this one waited
                good = await asyncio.to_thread(passwords.verify, stored, password)
            if not good or operator is None:
                raise self._failed(name, remote)
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = self._clock() + REMEMBERED_SECONDS
        return self._let_in(operator, name, remote)

    @staticmethod
    def mechanisms(link: Link) -> tuple[str, ...]:
        """The SASL mechanisms that can be used on a connection, the best first."""
        external = ("EXTERNAL",) if link.client_certificate is not None else ()
        bound = ("SCRAM-SHA-256-PLUS",) if link.end_point is not None else ()
        return (*external, *bound, "SCRAM-SHA-256", "PLAIN", "LOGIN")

    async def converse(self, mechanism: str, initial: bytes | None, ask: Ask, link: Link) -> Operator:
        """A whole SASL exchange in a mechanism of ``mechanisms``; ``initial`` is the initial response, if one came.

        Raises LoginFailed, sasl.SaslRefused for a response of the wrong form, and what ``ask`` raises.
        """
        if mechanism == "LOGIN":
            # RFC 4422 5: a mechanism where the server begins has no initial response; clients send the name there
            name = sasl.word(initial if initial is not None else await ask(sasl.USERNAME))
            return await self.authenticate(name, sasl.word(await ask(sasl.PASSWORD)), link.remote)
        first = initial if initial is not None else await ask(b"")
        if mechanism == "PLAIN":
            claim = sasl.plain(first)
            return await self.authenticate(claim.login, claim.password, link.remote)
        if mechanism == "EXTERNAL":
            return await self._external(sasl.external(first), link)
        exchange = ScramServer(plus=mechanism == "SCRAM-SHA-256-PLUS", end_point=link.end_point)
        return await self._scram(exchange, first, ask, link)

    async def _scram(self, exchange: ScramServer, first: bytes, ask: Ask, link: Link) -> Operator:
        name = _canonical(exchange.first(first))
        self._check_lock(name, link.remote)
        operator = await self._store.read(lambda tx: operator_by_login(tx, name))
        verifier = Verifier.parse(operator.scram_sha256) if operator is not None else None
        used = verifier or Verifier.nobodys(name, self._secret)
        proof = await ask(exchange.challenge(used))
        self._check_lock(name, link.remote)  # others may have failed while the client calculated
        signature = exchange.final(proof, used)
        if operator is None or verifier is None or signature is None:
            raise self._failed(name, link.remote)
        let_in = self._let_in(operator, name, link.remote)
        if await ask(signature):  # RFC 4954 4, RFC 3501 6.2.2: no room beside success, so the client answers nothing
            raise sasl.SaslRefused("an answer to the server's signature")
        return let_in

    async def _external(self, asked: str, link: Link) -> Operator:
        """RFC 4422 A: who the verified certificate belongs to, and if a name is asked for, that one and no other."""
        if link.client_certificate is None:
            raise sasl.SaslRefused("no client certificate")
        wanted = _canonical(asked)
        digest = hashlib.sha256(link.client_certificate).hexdigest()
        name = wanted or f"certificate {digest}"  # failures without a name are those of the certificate
        self._check_lock(name, link.remote)
        operator = await self._store.read(lambda tx: operator_by_certificate(tx, digest))
        if operator is None or (wanted and wanted != operator.login):
            raise self._failed(name, link.remote)
        return self._let_in(operator, name, link.remote)

    def _check_lock(self, name: str, remote: str) -> None:
        locked = self._guard.locked(name, remote, self._clock())
        if locked:
            raise LoginFailed(name, locked=locked)

    def _failed(self, name: str, remote: str) -> LoginFailed:
        return LoginFailed(name, delay=self._guard.failed(name, remote, self._clock()))

    def _let_in(self, operator: Operator, name: str, remote: str) -> Operator:
        if not operator.active:
            raise self._failed(name, remote)
        self._guard.succeeded(name, remote)
        return operator


def _canonical(login: str) -> str:
    """As logins are stored: lower-case ASCII; what cannot be one stays different from all of them."""
    return login.strip().encode("ascii", "replace").decode().lower()
