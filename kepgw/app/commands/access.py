"""What all commands share: reaching a provider, printing, and the folder argument.

Machine output is plain octets on stdout and never styled; what goes wrong is one sentence on stderr.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kepgw.app.config import Config

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The provider's folder.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
]


def ask(directory: Path, method: str, **arguments: Any) -> Any:
    """Do an administrator's command on the provider of ``directory``, running or stopped.

    Raises Refused, ConfigurationError or StoreError.
    """
    from kepgw.app import control

    path = directory / control.SOCKET
    try:
        return control.call(path, method, arguments)
    except control.Unanswered:
        pass
    from kepgw.app.config import load
    from kepgw.app.lock import Lock

    config = load(directory)
    lock = Lock(directory)
    if not control.wait_for_lock(lock, path):
        return control.call(path, method, arguments)  # it has just started
    try:
        return asyncio.run(_stopped(config, method, arguments))
    finally:
        lock.release()


async def _stopped(config: "Config", method: str, arguments: dict[str, Any]) -> Any:
    import os

    from kepgw.app.admin import Admin
    from kepgw.app.administration.base import Surroundings
    from kepgw.app.control import user_name
    from kepgw.errors import ConfigurationError
    from kepgw.store.engine import Store

    if not config.store_path.is_file():
        raise ConfigurationError(f"there is no store at {config.store_path}; correct store.url or restore a backup")
    store = await asyncio.to_thread(Store.open, config.store_path)
    try:
        return await Admin(Surroundings(store, config)).call(method, arguments, user_name(os.geteuid()))
    finally:
        await asyncio.to_thread(store.close)


def out(text: str) -> None:
    """Text on stdout as it is, UTF-8 whatever the terminal says."""
    out_octets(text.encode("utf-8", "replace"))


def out_octets(octets: bytes) -> None:
    """Octets on stdout as they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(octets)
    sys.stdout.buffer.flush()


def out_json(data: Any) -> None:
    """Data as one JSON document."""
    out(json.dumps(data, ensure_ascii=False, indent=2) + "\n")


def note(text: str) -> None:
    """A line for the person at the terminal, on stderr."""
    sys.stderr.write(text + "\n")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns for people. Values are made flat: a stranger's subject cannot command the terminal."""
    lines = [[plain(str(cell)) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def plain(value: str, longest: int = 120) -> str:
    """One line without control characters, cut at ``longest``."""
    flat = "".join(c if c.isprintable() else " " for c in value)
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


def when(iso: str) -> str:
    """A time of the data for people, +03:00."""
    from kepgw.evidence.render import show_time

    return show_time(datetime.fromisoformat(iso))


def password_credentials(given: bool) -> dict[str, str]:
    """The hashes of the password on standard input's first line: the password itself never leaves this process.

    Raises Refused when none is given or it cannot be a password.
    """
    from kepgw.accounts.passwords import PasswordError, make
    from kepgw.app.control import Refused

    if not given:
        raise Refused("give --password-stdin and the password as the first line of standard input")
    line = sys.stdin.buffer.readline(4096)
    try:
        credentials = make(line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8"))
    except UnicodeDecodeError:
        raise Refused("the password is not UTF-8") from None
    except PasswordError as error:
        raise Refused(str(error)) from None
    return {"argon2": credentials.argon2, "scram_sha256": credentials.scram_sha256}


def moment_of(text: str | None) -> datetime | None:
    """A time given with ``--at``, UTC. Raises typer.BadParameter."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            "give an ISO 8601 time, for example 2026-03-01T12:00:00+03:00", param_hint="--at"
        ) from None
    return (at.replace(tzinfo=UTC) if at.tzinfo is None else at).astimezone(UTC)
