"""``kepgw trust``: whether the certificates that sign what is kept are revoked, and asking about them now."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kepgw.app.administration.base import Commands, command
from kepgw.app.materials import materials_of, standing_data
from kepgw.interop.materials import MaterialKeeper
from kepgw.interop.peers import Peers


class TrustCommands(Commands):
    """Material and what it says."""

    @command
    async def trust_list(self) -> list[dict[str, Any]]:
        """Every certificate that signs what is kept, and how it stands by what is known."""
        async with self._keeper() as keeper:
            return [standing_data(each, self._now()) for each in keeper.standings]

    @command
    async def trust_refresh(self) -> dict[str, Any]:
        """Look at the folder and ask the authorities now. Returns when what came is in force."""
        async with self._keeper() as keeper:
            new = await keeper.refresh()
            if self.surroundings.followed is not None:
                await self.surroundings.followed()  # a peer may be out by what came
            return {"new": new, "certificates": [standing_data(each, self._now()) for each in keeper.standings]}

    @asynccontextmanager
    async def _keeper(self) -> AsyncIterator[MaterialKeeper]:
        """That of the running provider, or one that only lives for the command."""
        if self.surroundings.materials is not None:
            yield self.surroundings.materials
            return
        config, provider = self._config, self._config.provider
        peers = Peers(self._store, provider.domain, provider.service_address, config.known_providers)
        await peers.load()
        keys = [each.place.certified() for each in config.keys.process]
        keeper = materials_of(config, self._store, peers, keys, self._now)
        try:
            await keeper.look()
            yield keeper
        finally:
            await keeper.stop()
