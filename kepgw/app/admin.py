"""What an administrator can ask of a provider: one method a command, JSON-able data in and out.

The same methods serve the control socket of a running provider and commands that open a stopped one; the command
line only prints. Whatever changes something leaves a line in the audit trail with the name of who asked.
"""

from typing import Any, Final

from kepgw.app.administration.accounts import AccountCommands
from kepgw.app.administration.archive import ArchiveCommands
from kepgw.app.administration.base import Commands, Surroundings, commands_of
from kepgw.app.administration.cases import CaseCommands
from kepgw.app.administration.ledger import LedgerCommands
from kepgw.app.administration.materials import MaterialCommands
from kepgw.app.administration.messages import MessageCommands
from kepgw.app.administration.peers import PeerCommands
from kepgw.app.administration.queue import QueueCommands
from kepgw.app.administration.trust import TrustCommands
from kepgw.app.administration.trustlists import TrustListCommands
from kepgw.app.control import Refused

GROUPS: Final[tuple[type[Commands], ...]] = (
    AccountCommands,
    PeerCommands,
    MessageCommands,
    CaseCommands,
    QueueCommands,
    LedgerCommands,
    ArchiveCommands,
    TrustCommands,
    TrustListCommands,
    MaterialCommands,
)
_WHERE: Final = {name: group for group in GROUPS for name in commands_of(group)}


class Admin:
    """Every command over one open store."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    async def call(self, method: str, arguments: dict[str, Any], actor: str) -> Any:
        """Do the command ``method`` for ``actor``. Raises Refused, or what the command raises."""
        group = _WHERE.get(method)
        if group is None:
            raise Refused("this provider does not know that command; are command and provider of the same version?")
        try:
            return await getattr(group(self._surroundings, actor), method)(**arguments)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                raise
            raise Refused(f"{method} does not take these arguments") from error
