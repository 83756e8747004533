"""``kepgw peer``: the other providers that we know."""

import asyncio
import hashlib
from typing import Any

from kepgw.app.administration.base import Commands, command
from kepgw.app.cards import check_chains
from kepgw.app.control import Refused
from kepgw.app.profiles import profiles_of
from kepgw.errors import ConfigurationError, FormatError, SignatureInvalid
from kepgw.evidence import reading, xades
from kepgw.interop.card import MAX_CARD, Card, read_card
from kepgw.interop.dropping import give_up_all
from kepgw.interop.peers import Standing, add_peer, all_cards, remove_peer
from kepgw.store import accounts
from kepgw.store.engine import Tx
from kepgw.store.messages import newest_of
from kepgw.trust.keys import describe
from kepgw.trust.tokens import read_token


class PeerCommands(Commands):
    """Cards of peers."""

    @command
    async def peer_add(self, card: str) -> dict[str, Any]:
        """Take a peer's card in, or replace it by a newer one."""
        if len(card) > MAX_CARD:
            raise ConfigurationError("the card is larger than 256 KiB; ask the peer for a fresh one")
        await asyncio.to_thread(check_chains, read_card(card), self._now())

        def work(tx: Tx) -> Card:
            added = add_peer(tx, card, self._config.provider.domain, self._now())
            prints = " ".join(describe(leaf).fingerprint for leaf in added.signers)
            accounts.audit(tx, self._now(), self.actor, "peer-added", added.domain, prints)
            return added

        added = await self._store.write(work)
        await self._settle()
        return self._peer(added)

    @command
    async def peer_list(self) -> list[dict[str, Any]]:
        """All peers with what their cards pin."""
        return [self._peer(read_card(text)) for text in await self.peer_cards()]

    @command
    async def peer_cards(self) -> list[str]:
        """The cards of all peers as they were taken in, TOML."""
        return await self._store.read(all_cards)

    @command
    async def peer_remove(self, domain: str) -> dict[str, Any]:
        """Forget a peer, at once: dispatches that wait for it get evidence 31, receipts wait until it is one again."""

        def work(tx: Tx) -> int:
            if not remove_peer(tx, domain):
                raise Refused(f"{domain} is not a peer; see kepgw peer list")
            removed = Standing("out", "peer-removed", "removed by an administrator")
            given = give_up_all(tx, domain, removed, self._config.provider.domain, self._now())
            accounts.audit(tx, self._now(), self.actor, "peer-removed", domain, f"{given} dispatches given up")
            return given

        given_up = await self._store.write(work)
        await self._settle()
        return {"domain": domain, "given_up": given_up}

    @command
    async def peer_test(self, domain: str) -> dict[str, Any]:
        """What ``kepgw peer test`` needs of the store: the card, the standing, and what the peer's evidence tells.

        ``clock``: by how many seconds the event of its newest stamped evidence was told to be later than the stamp.
        ``tls_certificates``: fingerprints in capability files of listed services that sign as this peer.
        """
        cards = [each for each in await self.peer_cards() if read_card(each).domain == domain]
        if not cards:
            raise Refused(f"{domain} is not a peer; see kepgw peer list")
        newest = await self._store.read(lambda tx: newest_of(tx, domain))
        return {
            "card": cards[0],
            "standing": self._peer(read_card(cards[0]))["standing"],
            "clock": None if newest is None else await asyncio.to_thread(_clock, newest),
            "tls_certificates": self._listed(read_card(cards[0])),
        }

    def _listed(self, card: Card) -> list[str]:
        keeper = self.surroundings.lists
        found: dict[str, None] = {}
        for kept in () if keeper is None else keeper.kept.values():
            for service in () if kept.newest is None else kept.newest.services:
                if set(service.certificates) & set(card.signers):
                    files = (kept.capabilities[each] for each in service.supply_points if each in kept.capabilities)
                    found |= {hashlib.sha256(each.tls_certificate).hexdigest(): None for each in files}
        return list(found)

    async def _settle(self) -> None:
        """Answer when what was changed is in force, not a moment before."""
        if self.surroundings.followed is not None:
            await self.surroundings.followed()

    def _peer(self, card: Card) -> dict[str, Any]:
        at = self._now()
        standings = {} if self.surroundings.standings is None else self.surroundings.standings()
        standing = standings.get(card.domain)
        signers = [describe(leaf, at) for leaf in card.signers]
        tls = describe(card.tls_certificate, at) if card.tls_certificate else None
        return {
            "domain": card.domain,
            "name": card.name,
            "domains": list(card.domains),
            "service_address": card.service_address,
            "judged": self.surroundings.standings is not None,  # only a running provider knows who is out
            "standing": None if standing is None else {"state": standing.state, "detail": standing.detail},
            "relay": f"{card.relay_host or 'MX'}:{card.relay_port}",
            "profiles": list(card.profiles),
            "profile": profiles_of(self._config).shown(card),
            "process_certificates": [
                {
                    "sha256": each.fingerprint,
                    "begins": each.not_before.isoformat(),
                    "ends": each.not_after.isoformat(),
                    "days_left": each.days_left,
                }
                for each in signers
            ],
            "process_days_left": max(each.days_left for each in signers),
            "supply_points": [f"{host}:{port}" for host, port in card.supply_points],
            "tls_certificate": tls.fingerprint if tls else None,
            "tls_days_left": tls.days_left if tls else None,
            "tls_authorities": [describe(each, at).fingerprint for each in card.tls_authorities],
            "client_certificates": [describe(each, at).fingerprint for each in card.client_certificates],
        }


def _clock(xml: bytes) -> dict[str, Any] | None:
    """How far the event of an evidence lies behind its own time stamp, None when that cannot be told."""
    try:
        said, token = reading.read(xml), xades.read(xml).token
        if token is None:
            return None
        stamped = read_token(token).time
    except (FormatError, SignatureInvalid):
        return None
    return {"time": stamped.isoformat(), "seconds": (said.event_time - stamped).total_seconds()}
