"""``kepgw trust update`` and ``show``: trusted lists and what they say of whom."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from kepgw.app.administration.base import Commands, command
from kepgw.app.trustlists import list_data, listing_data, lists_of
from kepgw.interop.trustlists import ListKeeper

MOST_SIGNERS = 64


class TrustListCommands(Commands):
    """Trusted lists."""

    @command
    async def trust_update(self) -> dict[str, Any]:
        """Look for newer editions now. Returns when what was taken is in force."""
        async with self._keeper() as keeper:
            taken = await keeper.update()
            if self.surroundings.followed is not None:
                await self.surroundings.followed()
            return {"taken": taken, "lists": self._all(keeper, None)}

    @command
    async def trust_show(self, at: str | None = None) -> list[dict[str, Any]]:
        """Every list with its services as they stood ``at`` (ISO 8601), or now."""
        async with self._keeper() as keeper:
            return self._all(keeper, None if at is None else datetime.fromisoformat(at))

    @command
    async def trust_listings(self, signers: list[dict[str, str]]) -> list[dict[str, Any]]:
        """What lists that name them say of ``signers``: ``certificate`` (DER, base64) and ``at`` (ISO 8601)."""
        async with self._keeper() as keeper:
            return [
                {**each, **listing_data(said)}
                for each in signers[:MOST_SIGNERS]
                for said in keeper.listings(base64.b64decode(each["certificate"]), datetime.fromisoformat(each["at"]))
            ]

    def _all(self, keeper: ListKeeper, at: datetime | None) -> list[dict[str, Any]]:
        return [list_data(keeper, each, at, self._now()) for each in keeper.sources]

    @asynccontextmanager
    async def _keeper(self) -> AsyncIterator[ListKeeper]:
        """That of the running provider, or one that only lives for the command."""
        if self.surroundings.lists is not None:
            yield self.surroundings.lists
            return
        keeper = lists_of(self._config, self._store, self._now)
        try:
            await keeper.load()
            yield keeper
        finally:
            await keeper.stop()
