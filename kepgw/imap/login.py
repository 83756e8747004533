"""LOGIN and AUTHENTICATE (RFC 3501 6.2, RFC 4422, RFC 4959): passwords only over TLS, failures slow and few."""

import asyncio
import logging
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Awaitable, Callable
from math import ceil
from typing import NoReturn

from kepgw.accounts.sasl import ActsForAnother, SaslRefused
from kepgw.imap.grammar_command import Authenticate, Login
from kepgw.imap.responses import BadCommand, Bye, Problem
from kepgw.imap.session import Session
from kepgw.store.accounts import Operator
from kepgw.store.login import LoginFailed

Ask = Callable[[bytes], Awaitable[bytes]]  # sends a continuation, gives the client's line without its end

_log = logging.getLogger("kepgw.imap")


async def login(session: Session, arguments: Login) -> str:
    """LOGIN."""
    _permitted(session)
    user, password = _text(arguments.user), _text(arguments.password)
    try:
        operator = await session.context.logins.authenticate(user, password, session.remote)
    except LoginFailed as failed:
        await _failed(session, failed)
    return _entered(session, operator, "LOGIN")


async def authenticate(session: Session, arguments: Authenticate, ask: Ask) -> str:
    """AUTHENTICATE with one of the mechanisms that CAPABILITY names."""
    _permitted(session)
    mechanism = arguments.mechanism.decode("ascii", "replace").upper()
    link, logins = session.link, session.context.logins
    if mechanism not in logins.mechanisms(link):
        raise Problem("auth-mechanism")

    async def answer(challenge: bytes) -> bytes:
        line = await ask(b"+ " + b64encode(challenge) + b"\r\n")
        if line == b"*":  # RFC 3501 6.2.2
            raise BadCommand("auth-cancelled")
        return _decoded(line)

    try:
        initial = arguments.initial
        # RFC 4959 3: "=" is an initial response of no octets
        first = None if initial is None else b"" if initial == b"=" else _decoded(initial)
        operator = await logins.converse(mechanism, first, answer, link)
    except ActsForAnother:
        raise Problem("authorization", "AUTHORIZATIONFAILED") from None  # RFC 5530 3
    except SaslRefused as refused:
        _log.info("login malformed", extra={"door": "imap", "remote": session.remote, "why": str(refused)})
        raise BadCommand("auth-form") from None
    except LoginFailed as failed:
        await _failed(session, failed)
    return _entered(session, operator, mechanism)


def _decoded(line: bytes) -> bytes:
    try:
        return b64decode(line, validate=True)
    except Error:
        raise BadCommand("auth-base64") from None


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _permitted(session: Session) -> None:
    if session.operator_or_none is not None:
        raise BadCommand("wrong-state")
    if not session.secure:
        raise Problem("tls-required", "PRIVACYREQUIRED")  # RFC 5530 3


async def _failed(session: Session, failed: LoginFailed) -> NoReturn:
    session.failures += 1
    facts = {"door": "imap", "login": failed.login[:256], "remote": session.remote, "why": str(failed)}
    _log.info("login failed", extra={**facts, "rule": "login-locked" if failed.locked else "auth-failed"})
    await asyncio.sleep(failed.delay)
    if session.failures >= session.context.limits.auth_failures:
        raise Bye("auth-too-often")
    if failed.locked:
        raise Problem("auth-locked", "UNAVAILABLE", str(ceil(failed.locked / 60)))  # RFC 5530 3
    raise Problem("auth-failed", "AUTHENTICATIONFAILED")


def _entered(session: Session, operator: Operator, mechanism: str) -> str:
    session.log_in(operator)
    facts = {"door": "imap", "login": operator.login, "remote": session.remote, "mechanism": mechanism}
    _log.info("logged in", extra=facts)
    return f"CAPABILITY {session.capabilities()}"
