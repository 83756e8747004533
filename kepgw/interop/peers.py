"""The peers of this provider and the answer to "whose is this address"."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from kepgw.accounts.address import ascii_lower, provider_domain
from kepgw.errors import ConfigurationError, KepError, SignatureInvalid
from kepgw.interop.card import Card, read_card
from kepgw.interop.desk import Route
from kepgw.refusals import Refusal
from kepgw.store.engine import Change, Store, Tx
from kepgw.store.ids import micros

_log = logging.getLogger("kepgw.peers")


class KnownProvider(Protocol):
    """An entry of the table of providers."""

    @property
    def name(self) -> str:
        """As the provider calls itself."""

    @property
    def state(self) -> str:
        """``active`` or ``ended``."""


class Standing(NamedTuple):
    """Why a peer may not be dealt with: ``out``, or ``unknown`` while nobody can say (kepgw.interop.peerwatch).

    ``key`` names the sentence for people (``reason-<key>``), ``detail`` is the private reason.
    """

    state: Literal["out", "unknown"]
    key: str
    detail: str


class Peers:
    """Peers by domain, kept in step with the store; the known providers and our own domain beside them."""

    def __init__(
        self, store: Store, own_domain: str, own_service_address: str, providers: Mapping[str, KnownProvider]
    ) -> None:
        self.own_domain = own_domain
        self.own_service_address = own_service_address
        self._store = store
        self._providers = dict(providers)
        self._cards: dict[str, Card] = {}
        self._client_certificates: frozenset[bytes] = frozenset()
        self._held: dict[str, str] = {}
        self.standings: Mapping[str, Standing] = {}  # of those that are not good
        self._stale = False
        self._loading: asyncio.Task[None] | None = None

    def reconfigure(self, providers: Mapping[str, KnownProvider]) -> None:
        """Go on with another table of known providers."""
        self._providers = dict(providers)

    def judge(self, standings: Mapping[str, Standing]) -> None:
        """Go on with what is known of the peers now; who is not named is good."""
        self.standings = dict(standings)

    def ended(self) -> list[str]:
        """The domains that nothing may be given to, for good as far as is known."""
        gone = [domain for domain, each in self._providers.items() if each.state == "ended"]
        return [*gone, *(domain for domain, each in self.standings.items() if each.state == "out")]

    def ending(self, domain: str) -> Standing | None:
        """Why nothing may be given to a provider; None when something may, now or later."""
        provider = self._providers.get(domain)
        if provider is not None and provider.state == "ended":
            return Standing("out", "peer-ended", f"{domain} ended")
        standing = self.standings.get(domain)
        return standing if standing is not None and standing.state == "out" else None

    def trusted(self, card: Card) -> None:
        """Hold a peer against what is known of it now. Raises Refusal: peer-out or peer-unknown."""
        standing = self.ending(card.domain) or self.standings.get(card.domain)
        if standing is not None:
            raise Refusal(f"peer-{standing.state}", f"{card.domain}: {standing.detail}")

    async def start(self) -> None:
        """Load the peers and follow changes."""
        await self.load()
        self._store.subscribe(self._on_change)

    async def load(self) -> None:
        """Read all cards from the store."""
        cards, self._held = await self._store.read(lambda tx: (all_cards(tx), holds(tx)))
        self._take(cards)

    def _take(self, cards: list[str]) -> None:
        read: dict[str, Card] = {}
        for text in cards:
            try:
                card = read_card(text)
            except ConfigurationError as error:  # one peer less, and the others go on
                _log.error("a stored card cannot be read: %s", error)
            else:
                read[card.domain] = card
        self._cards = read
        self._client_certificates = frozenset(der for card in read.values() for der in card.client_certificates)

    def _on_change(self, change: Change) -> None:
        if change.topic == "peer":
            self._stale = True
            if self._loading is None:
                self._loading = asyncio.get_running_loop().create_task(self._reload(), name="peers")

    async def _reload(self) -> None:
        """Read again until nothing changed meanwhile."""
        try:
            while self._stale:
                self._stale = False
                await self.load()
        except KepError:
            _log.exception("the peers cannot be read again")
        finally:
            self._loading = None

    async def followed(self) -> None:
        """Wait until the changes that were announced so far are known here."""
        if self._loading is not None:
            await self._loading

    def cards(self) -> list[Card]:
        """Every card, by domain."""
        return [self._cards[domain] for domain in sorted(self._cards)]

    def card(self, domain: str) -> Card | None:
        """The card of a provider's domain. A provider that is out has none, whatever its card says."""
        return None if self.ending(domain) is not None else self._cards.get(domain)

    def by_service_address(self, address: str) -> Card:
        """The peer whose service address this is. Raises Refusal: unknown-peer, peer-out or peer-unknown."""
        wanted = ascii_lower(address)
        card = next((each for each in self._cards.values() if each.service_address == wanted), None)
        if card is None:
            raise Refusal("unknown-peer", f"MAIL FROM {address[:254]!r}")
        self.trusted(card)
        return card

    def owner(self, address: str) -> str:
        """The domain of the provider that an address belongs to; ours or a known one.

        Raises Refusal: not-kep-address, provider-ended, unknown-provider, no-peer or recipient-peer-out.
        """
        domain = provider_domain(address)  # sub-domains belong to hsNN.kep.tr: Tebliğ m.11(5)
        if domain == self.own_domain:
            return domain
        provider = self._providers.get(domain)
        if provider is not None and provider.state == "ended":  # ended wins over a card
            raise Refusal("provider-ended", f"{domain} ended", recipient=address, provider=provider.name)
        if domain in self._cards:
            standing = self.ending(domain)
            if standing is not None:
                raise Refusal("recipient-peer-out", f"{domain}: {standing.detail}", recipient=address)
            return domain
        if provider is not None:
            raise Refusal("no-peer", f"no card of {domain}", recipient=address)
        raise Refusal("unknown-provider", f"no provider {domain}", recipient=address)

    def held(self, domain: str) -> str:
        """Why nothing is given to a peer at present; ``""`` when nobody holds it back."""
        return self._held.get(domain, "")

    def route(self, domain: str) -> Route | None:
        """Where a peer takes mail, or None when it is no peer at present."""
        card = self.card(domain)
        return None if card is None or domain in self.standings else route_of(card)

    def client_certificates(self) -> frozenset[bytes]:
        """The certificates (DER) that peers show when their relays come to us."""
        return self._client_certificates


def route_of(card: Card) -> Route:
    """Where a peer takes mail, by its card."""
    pin = hashlib.sha256(card.tls_certificate).hexdigest() if card.tls_certificate else ""
    return Route(card.domain, card.relay_host, card.relay_port, pin, card.tls_authorities, card.supply_points)


def signed_by(card: Card, signer: bytes | None) -> None:
    """Hold a signer's certificate (DER) against a card. Raises SignatureInvalid(check="signer")."""
    if signer not in card.signers:
        raise SignatureInvalid(f"the signer is no process certificate of {card.domain}", check="signer")


def all_cards(tx: Tx) -> list[str]:
    """The cards of all peers as TOML text, by domain."""
    return [row[0] for row in tx.rows("SELECT card FROM peer ORDER BY domain")]


def add_peer(tx: Tx, text: str, own_domain: str, at: datetime) -> Card:
    """Take a peer's card in, or replace it. Raises ConfigurationError."""
    card = read_card(text)
    if own_domain in card.domains:
        raise ConfigurationError("this card names our own domain; a provider is not its own peer")
    tx.run("DELETE FROM peer WHERE domain = ?", card.domain)
    taken = tx.row("SELECT domain FROM peer WHERE service_address = ?", card.service_address)
    if taken:
        raise ConfigurationError(f"the service address {card.service_address} belongs to the peer {taken[0]}")
    tx.run(
        "INSERT INTO peer (domain, service_address, card, added) VALUES (?, ?, ?, ?)",
        card.domain,
        card.service_address,
        text,
        micros(at),
    )
    tx.announce("peer", 0)
    return card


def holds(tx: Tx) -> dict[str, str]:
    """The peers that are held back, each with the reason."""
    return {row[0]: row[1] for row in tx.rows("SELECT domain, reason FROM peer_hold")}


def hold_peer(tx: Tx, domain: str, reason: str, at: datetime) -> None:
    """Give nothing to a peer until it is released; the windows of what waits go on."""
    tx.run("DELETE FROM peer_hold WHERE domain = ?", domain)
    tx.run("INSERT INTO peer_hold (domain, reason, since) VALUES (?, ?, ?)", domain, reason, micros(at))
    tx.announce("peer", 0)


def release_peer(tx: Tx, domain: str) -> bool:
    """Go on with a peer; False when it was not held back."""
    tx.announce("peer", 0)
    return tx.run("DELETE FROM peer_hold WHERE domain = ?", domain) > 0


def remove_peer(tx: Tx, domain: str) -> bool:
    """Forget a peer; False when there is none of that domain."""
    tx.announce("peer", 0)
    return tx.run("DELETE FROM peer WHERE domain = ?", domain) > 0
