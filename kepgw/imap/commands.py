"""The table of commands: in which states each may be given, and who answers it (RFC 3501 6)."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from kepgw.errors import KepError, StoreFull
from kepgw.imap import append, changing, fetch, folders, login, search
from kepgw.imap.grammar_command import Command
from kepgw.imap.responses import BadCommand, Bye, Problem, status
from kepgw.imap.session import Session
from kepgw.imap.wire import Wire

_log = logging.getLogger("kepgw.imap")

ANY: Final = "any"
OUT: Final = "not authenticated"
IN: Final = "authenticated"
SELECTED: Final = "selected"


class Call(NamedTuple):
    """A command with what it may use to talk with the client."""

    session: Session
    command: Command
    wire: Wire
    ask: login.Ask


class Rule(NamedTuple):
    """How a command is treated. ``answer`` gives the response code of the tagged OK."""

    state: str
    answer: Callable[[Call], Awaitable[str]]
    tells_expunge: bool = True  # RFC 3501 7.4.1


async def _capability(call: Call) -> str:
    call.session.out.write(f"* CAPABILITY {call.session.capabilities()}\r\n".encode("ascii"))
    return ""


async def _look(call: Call) -> str:
    """NOOP and CHECK: a look at the store even if nobody told of news."""
    if call.session.view_or_none is not None:
        call.session.view_or_none.dirty = True
    return ""


async def _id(call: Call) -> str:
    call.session.out.write(b'* ID ("name" "kepgw")\r\n')
    return ""


async def _namespace(call: Call) -> str:
    call.session.out.write(b'* NAMESPACE (("" "/")) NIL NIL\r\n')  # RFC 2342 5
    return ""


def _arguments(call: Call) -> Any:
    return call.command.arguments  # of the class that COMMANDS names for it


async def _expunge(call: Call) -> str:
    return await changing.expunge(call.session, _arguments(call) if call.command.uid else None)


RULES: Final[dict[bytes, Rule]] = {
    b"CAPABILITY": Rule(ANY, _capability),
    b"NOOP": Rule(ANY, _look),
    b"ID": Rule(ANY, _id),
    b"LOGIN": Rule(OUT, lambda call: login.login(call.session, _arguments(call))),
    b"AUTHENTICATE": Rule(OUT, lambda call: login.authenticate(call.session, _arguments(call), call.ask)),
    b"NAMESPACE": Rule(IN, _namespace),
    b"SELECT": Rule(IN, lambda call: folders.select(call.session, _arguments(call), read_only=False)),
    b"EXAMINE": Rule(IN, lambda call: folders.select(call.session, _arguments(call), read_only=True)),
    b"CREATE": Rule(IN, lambda call: folders.create(call.session, _arguments(call))),
    b"DELETE": Rule(IN, lambda call: folders.delete(call.session, _arguments(call))),
    b"RENAME": Rule(IN, lambda call: folders.rename(call.session, _arguments(call))),
    b"SUBSCRIBE": Rule(IN, lambda call: folders.subscribe(call.session, _arguments(call), wanted=True)),
    b"UNSUBSCRIBE": Rule(IN, lambda call: folders.subscribe(call.session, _arguments(call), wanted=False)),
    b"LIST": Rule(IN, lambda call: folders.list_(call.session, _arguments(call))),
    b"LSUB": Rule(IN, lambda call: folders.lsub(call.session, _arguments(call))),
    b"STATUS": Rule(IN, lambda call: folders.status(call.session, _arguments(call))),
    b"APPEND": Rule(IN, lambda call: append.append(call.session, _arguments(call), call.wire)),
    b"CHECK": Rule(SELECTED, _look),
    b"CLOSE": Rule(SELECTED, lambda call: changing.close(call.session, expunging=True)),
    b"UNSELECT": Rule(SELECTED, lambda call: changing.close(call.session, expunging=False)),
    b"EXPUNGE": Rule(SELECTED, _expunge),
    b"SEARCH": Rule(
        SELECTED, lambda call: search.search(call.session, _arguments(call), uid=call.command.uid), tells_expunge=False
    ),
    b"FETCH": Rule(
        SELECTED, lambda call: fetch.fetch(call.session, _arguments(call), uid=call.command.uid), tells_expunge=False
    ),
    b"STORE": Rule(
        SELECTED, lambda call: changing.store(call.session, _arguments(call), uid=call.command.uid), tells_expunge=False
    ),
    b"COPY": Rule(
        SELECTED, lambda call: changing.copy(call.session, _arguments(call), uid=call.command.uid, move=False)
    ),
    b"MOVE": Rule(
        SELECTED, lambda call: changing.copy(call.session, _arguments(call), uid=call.command.uid, move=True)
    ),
}


async def perform(call: Call) -> bool:
    """Answer a command with untagged news and the tagged response; whether it was good.

    Raises Bye and Closed, which end the connection.
    """
    session, tag = call.session, call.command.tag
    rule = RULES[call.command.name]
    good = True
    try:
        await session.refresh_operator()
        if rule.state == OUT and session.operator_or_none is not None:
            raise BadCommand("wrong-state")
        if rule.state in {IN, SELECTED}:
            _ = session.operator if rule.state == IN else session.view
        code = await rule.answer(call)
        answer = status(tag, b"OK", "done", code, command=call.command.name.decode("ascii"))
    except Bye:
        raise
    except Problem as problem:
        answer, good = problem.response(tag), problem.condition != b"BAD"
    except StoreFull as error:
        _log.error("%s failed: %s", call.command.name, error)
        answer = status(tag, b"NO", "store-full", "UNAVAILABLE")
    except KepError as error:
        _log.error("%s failed: %s", call.command.name, error)
        answer = status(tag, b"NO", "unavailable", "UNAVAILABLE")
    await session.sync(expunge=rule.tells_expunge)
    session.out.write(answer)
    await session.out.drain()
    return good
