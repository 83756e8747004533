"""LOGIN and AUTHENTICATE (RFC 3501 6.2, RFC 4616, RFC 4959): passwords only over TLS, failures slow and few."""

import asyncio
import logging
from base64 import b64decode
from binascii import Error
from collections.abc import Awaitable, Callable

from kepgw.imap.grammar_command import Authenticate, Login
from kepgw.imap.responses import BadCommand, Bye, Problem
from kepgw.imap.session import Session

Ask = Callable[[bytes], Awaitable[bytes]]  # sends a continuation, gives the client's line without its end

_log = logging.getLogger("kepgw.imap")


async def login(session: Session, arguments: Login) -> str:
    """LOGIN."""
    _permitted(session)
    return await _check(session, _text(arguments.user), _text(arguments.password))


async def authenticate(session: Session, arguments: Authenticate, ask: Ask) -> str:
    """AUTHENTICATE PLAIN and LOGIN."""
    _permitted(session)
    if arguments.mechanism == b"PLAIN":
        return await _plain(session, arguments, ask)
    if arguments.mechanism == b"LOGIN":
        user = await _answer(arguments, ask, b"VXNlcm5hbWU6")
        password = await _answer(None, ask, b"UGFzc3dvcmQ6")
        return await _check(session, _text(user), _text(password))
    raise Problem("auth-mechanism")


async def _plain(session: Session, arguments: Authenticate, ask: Ask) -> str:
    parts = (await _answer(arguments, ask, b"")).split(b"\0")  # RFC 4616 2: [authzid] NUL authcid NUL passwd
    if len(parts) != 3:
        raise BadCommand("auth-base64")
    authorization, user, password = map(_text, parts)
    if authorization and authorization.lower() != user.lower():
        raise Problem("authorization", "AUTHORIZATIONFAILED")
    return await _check(session, user, password)


async def _answer(arguments: Authenticate | None, ask: Ask, prompt: bytes) -> bytes:
    given = arguments.initial if arguments is not None else None
    if given is None:
        given = await ask(b"+ " + prompt + b"\r\n")
        if given == b"*":  # RFC 3501 6.2.2
            raise BadCommand("auth-cancelled")
    elif given == b"=":  # RFC 4959 3: an empty initial response
        given = b""
    try:
        return b64decode(given, validate=True)
    except Error:
        raise BadCommand("auth-base64") from None


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _permitted(session: Session) -> None:
    if session.operator_or_none is not None:
        raise BadCommand("wrong-state")
    if not session.secure:
        raise Problem("tls-required", "PRIVACYREQUIRED")  # RFC 5530 3


async def _check(session: Session, user: str, password: str) -> str:
    context = session.context
    operator = await context.logins.authenticate(user, password)
    if operator is None:
        session.failures += 1
        shown = user[:100].encode("ascii", "backslashreplace").decode()
        _log.warning("login failed: user %r from %s, failure %d", shown, session.remote, session.failures)
        await asyncio.sleep(context.limits.auth_delay * session.failures)
        if session.failures >= context.limits.auth_failures:
            raise Bye("auth-too-often")
        raise Problem("auth-failed", "AUTHENTICATIONFAILED")
    session.log_in(operator)
    _log.info("login: %s from %s", operator.login, session.remote)
    return f"CAPABILITY {session.capabilities()}"
