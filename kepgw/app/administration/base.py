"""What every command of the administrator stands on: the open store, the configuration, the clock, who asks."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from kepgw.app import ledgers
from kepgw.app.config import Config
from kepgw.app.control import Refused
from kepgw.interop.archiving import Archivist
from kepgw.interop.materials import MaterialKeeper
from kepgw.interop.peers import Standing
from kepgw.interop.trustlists import ListKeeper
from kepgw.store.engine import Store

if TYPE_CHECKING:
    from kepgw.app.reporting import Sealer

MAX_LISTED = 1000  # rows of one list

_Method = TypeVar("_Method", bound=Callable[..., Awaitable[Any]])


def now() -> datetime:
    """The clock of a stopped provider."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Surroundings:
    """What a command may use. ``now`` gives aware UTC.

    ``sign_head`` has the ledger signed by its keeper, ``followed`` waits until a running provider knows its changed
    peers, ``archivist`` keeps the archive, ``materials`` what says who is revoked, ``sealer`` signs reports, ``reload``
    reads the configuration again, ``lists`` keeps trusted lists, ``standings`` tells which peers are not good; they are
    None where no provider runs.
    """

    store: Store
    config: Config
    now: Callable[[], datetime] = now
    sign_head: ledgers.SignNow | None = None
    followed: Callable[[], Awaitable[None]] | None = None
    archivist: Archivist | None = None
    materials: MaterialKeeper | None = None
    sealer: "Sealer | None" = None
    reload: Callable[[], Awaitable[dict[str, list[str]]]] | None = None
    lists: ListKeeper | None = None
    standings: Callable[[], Mapping[str, Standing]] | None = None


class Commands:
    """Some commands; ``actor`` is the name of who asks, for the audit trail."""

    def __init__(self, surroundings: Surroundings, actor: str = "admin") -> None:
        self.surroundings = surroundings
        self.actor = actor
        self._store = surroundings.store
        self._config = surroundings.config
        self._now = surroundings.now


def command(method: _Method) -> _Method:
    """Mark a method of Commands as one that can be asked for by its name."""
    method.__dict__["is_command"] = True
    return method


def commands_of(group: type[Commands]) -> list[str]:
    """The names that a group answers to."""
    return [name for name, value in vars(group).items() if getattr(value, "is_command", False)]


def no_account(login: str) -> Refused:
    """The answer about a login that is not there."""
    return Refused(f"there is no account {login}; see kepgw account list")
