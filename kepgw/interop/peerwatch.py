"""The watch over peers: who may be dealt with now, by lists, certificates and the table of providers.

A peer that may not be is out at once: nothing of it is taken, nothing is given to it, and what waits for it gets
evidence 31. Its receipts wait (ADR 10). Where nobody can say at present, everything waits.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from typing import Final

from kepgw.errors import ConfigurationError, KepError
from kepgw.interop.card import Card
from kepgw.interop.dropping import give_up_all
from kepgw.interop.peers import Peers, Standing
from kepgw.interop.trustlists import ListKeeper
from kepgw.store import accounts, tasks
from kepgw.store.engine import Change, Store, Tx
from kepgw.trust.keys import describe
from kepgw.trust.material import Revoked

LOOK: Final = 60.0  # seconds between two looks when nothing is known to change

_log = logging.getLogger("kepgw.peerwatch")


class PeerWatch:
    """Looks when something changed, and when a certificate or an edition ends. ``revoked`` as of MaterialKeeper."""

    def __init__(
        self,
        store: Store,
        peers: Peers,
        lists: ListKeeper,
        revoked: Callable[[Iterable[bytes], datetime], Revoked | None],
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._peers = peers
        self._lists = lists
        self._revoked = revoked
        self._now = now
        self._looking = asyncio.Lock()
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        """Look once, before anything is taken or given; then follow changes."""
        self._unsubscribe = self._store.subscribe(self._on_change)
        await self.look()
        self._loop = asyncio.create_task(self._run(), name="peer-watch")

    async def stop(self) -> None:
        """End."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    def wake(self) -> None:
        """Look soon: something is known that was not."""
        self._wake.set()

    async def look(self) -> dict[str, Standing]:
        """Judge every peer, put it in force, and give up what waits for those that are out. Those not good."""
        async with self._looking:
            return await self._look(self._now())

    async def _look(self, at: datetime) -> dict[str, Standing]:
        cards = self._peers.cards()
        found = await asyncio.to_thread(lambda: {card.domain: self._standing(card, at) for card in cards})
        standings = {domain: each for domain, each in found.items() if each is not None}
        before = self._peers.standings
        self._peers.judge(standings)
        changed = [each for each in {*before, *standings} if before.get(each) != standings.get(each)]
        out = self._peers.ended()
        waiting = await self._store.read(lambda tx: [each for each in out if tasks.in_lane(tx, each, tasks.Kind.RELAY)])
        if changed or waiting:
            await self._store.write(lambda tx: self._put(tx, changed, waiting, at))
        return standings

    def _put(self, tx: Tx, changed: Iterable[str], waiting: Iterable[str], at: datetime) -> None:
        for domain in sorted(changed):
            standing = self._peers.standings.get(domain)
            state, why = ("good", "") if standing is None else (standing.state, standing.detail)
            _log.log(logging.INFO if standing is None else logging.ERROR, "peer-%s: %s %s", state, domain, why)
            accounts.audit(tx, at, "peer-watch", f"peer-{state}", domain, why)
            tasks.wake(tx, domain, at)
        for domain in waiting:
            ending = self._peers.ending(domain)
            if ending is not None:
                number = give_up_all(tx, domain, ending, self._peers.own_domain, at)
                accounts.audit(tx, at, "peer-watch", "dispatches-given-up", domain, str(number))

    def _standing(self, card: Card, at: datetime) -> Standing | None:
        """How a peer with this card stands; None when it is good."""
        usable = [chain for chain in card.process_chains if _holds(chain[0], at)]
        if not usable:
            return Standing("out", "peer-expired", "every process certificate of its card has ended")
        usable = [chain for chain in usable if self._revoked(chain, at) is None]
        if not usable:
            return Standing("out", "peer-revoked", "every process certificate of its card is revoked")
        words = [word for chain in usable if (word := self._lists.word(card.domain, chain[0], at)) is not None]
        if not words or any(each.granted for each in words):
            return None
        unknown = [each for each in words if each.granted is None]
        if unknown:
            return Standing("unknown", "peer-unknown", unknown[0].detail)
        return Standing("out", "peer-not-listed", words[0].detail)

    def _pause(self) -> float:
        """Seconds until a certificate or a listed state begins or ends."""
        at = self._now()
        moments = self._lists.boundaries()
        for card in self._peers.cards():
            for leaf in card.signers:
                with suppress(ConfigurationError):
                    told = describe(leaf)
                    moments += [each for each in (told.not_before, told.not_after) if each >= at]
        return min([LOOK, *((each - at).total_seconds() + 1.0 for each in moments)])

    def _on_change(self, change: Change) -> None:
        if change.topic == "peer":
            self._wake.set()

    async def _run(self) -> None:
        while True:
            pause = await asyncio.to_thread(self._pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
            self._wake.clear()
            try:
                await self._peers.followed()
                await self.look()
            except KepError:
                _log.exception("the peers cannot be judged; trying again")
            except Exception:  # the watch never ends by itself
                _log.exception("the peers cannot be judged; trying again")


def _holds(certificate: bytes, at: datetime) -> bool:
    """Whether it has not ended; one that is still to begin may be the next."""
    try:
        return describe(certificate, at).not_after >= at
    except ConfigurationError:
        return False
