"""Settings of the desks and the carrier, as numbers and times of their own."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

from kepgw.interop.desk import Route
from kepgw.trust.circuit import Waits


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """What is different for one peer; None: as for all. ``tls_sha256`` (hexadecimal) belongs to ``host``."""

    window: timedelta | None = None
    answer_window: timedelta | None = None
    delivery_window: timedelta | None = None
    connections: int | None = None
    largest_octets: int | None = None
    chunking: bool | None = None
    host: str | None = None
    port: int | None = None
    tls_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Windows and waits between two providers. None of these numbers has a source in law."""

    window: timedelta = timedelta(days=1)  # from evidence 10 until 31
    answer_window: timedelta = timedelta(days=1)  # from the peer's 250 until 31
    delivery_window: timedelta = timedelta(days=1)  # from 20 until our own 41
    retrieval_window: timedelta | None = None  # from the mailbox until 61; None: no such evidence
    retry_first: timedelta = timedelta(seconds=30)
    retry_factor: float = 2.0
    retry_max: timedelta = timedelta(minutes=30)
    retry_jitter: float = 0.2  # share of a wait, either way
    connections_per_peer: int = 4
    clock_bound: timedelta = timedelta(minutes=1)  # an event may lie so far in the future: clocks are set back a little
    largest_octets: int | None = None  # of a dispatch; None: what the peer announces
    peers: Mapping[str, PeerSettings] = field(default_factory=dict)  # by domain

    def toward(self, domain: str) -> "RelaySettings":
        """What holds for one provider."""
        own = self.peers.get(domain)
        if own is None:
            return self
        return replace(
            self,
            window=own.window or self.window,
            answer_window=own.answer_window or self.answer_window,
            delivery_window=own.delivery_window or self.delivery_window,
            connections_per_peer=own.connections or self.connections_per_peer,
            largest_octets=own.largest_octets,
        )

    def route(self, route: Route) -> Route:
        """A route as the settings have it: a static one comes before that of the card."""
        found = replace(route, connections=self.toward(route.provider).connections_per_peer)
        own = self.peers.get(route.provider)
        if own is None:
            return found
        if own.chunking is not None:
            found = replace(found, chunking=own.chunking)
        if own.host is not None:
            found = replace(found, host=own.host, port=own.port or route.port, supply_points=())
            if own.tls_sha256 is not None:
                found = replace(found, tls_sha256=own.tls_sha256, tls_authorities=())
        return found

    def wait(self, attempts: int, chance: float) -> timedelta:
        """How long to wait before the next attempt after ``attempts`` failed ones; ``chance`` is in 0..1."""
        return timedelta(seconds=self.waits.seconds(attempts, chance))

    @property
    def waits(self) -> Waits:
        """The waits between attempts."""
        first, most = self.retry_first.total_seconds(), self.retry_max.total_seconds()
        return Waits(first, most, self.retry_factor, self.retry_jitter)


@dataclass(frozen=True, slots=True)
class Policy:
    """What this provider takes."""

    content_octets: int = 26_214_400
    etebligat: bool = False
    quota_octets: int = 0  # of an account that has none of its own; 0: no bound
    # "off": senders' own signatures are not looked at; "warn": verified and told; "require": no message without one
    signature: Literal["off", "warn", "require"] = "off"
