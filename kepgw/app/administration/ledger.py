"""``kepgw ledger``: heads and proofs as files."""

from typing import Any

from kepgw.app import ledgers
from kepgw.app.administration.base import Commands, command


class LedgerCommands(Commands):
    """The signed tree over all evidence."""

    @command
    async def ledger_head(self, fresh: bool = False) -> dict[str, Any]:
        """The newest signed tree head as a file; ``fresh`` has the whole ledger signed first."""
        sign = self.surroundings.sign_head or ledgers.alone(self._store, self._config)
        return await ledgers.head(self._store, sign, fresh=fresh)

    @command
    async def ledger_inclusion(self, evidence: str) -> dict[str, Any]:
        """The proof, as a file, that an evidence is in the ledger under its newest head."""
        return await ledgers.inclusion(self._store, evidence)

    @command
    async def ledger_consistency(self, old: str) -> dict[str, Any]:
        """The proof, as a file, that the newest head continues an older one."""
        return await ledgers.consistency(self._store, old)
