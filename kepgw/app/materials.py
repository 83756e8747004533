"""The keeper of long-term material as the configuration wants it, and what it knows as data."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from kepgw.app.config import Config
from kepgw.interop.materials import MaterialKeeper, MaterialSettings, Standing
from kepgw.interop.peers import Peers
from kepgw.store.engine import Store
from kepgw.trust.fetching import HttpFetcher
from kepgw.trust.keys import CertifiedKey, describe
from kepgw.trust.material import Good, Revoked
from kepgw.trust.paths import load_anchors
from kepgw.trust.useranchors import UserAnchors


def materials_of(
    config: Config,
    store: Store,
    peers: Peers,
    keys: Sequence[CertifiedKey],
    now: Callable[[], datetime],
    bar: Callable[[frozenset[str]], Awaitable[None]] | None = None,
) -> MaterialKeeper:
    """A keeper that has not begun; ``bar`` hears which certificates of ``keys`` are revoked."""
    settings = config.material
    fetcher = HttpFetcher(
        timeout=settings.timeout, largest=settings.largest_octets, private=settings.fetch_private, now=now
    )
    return MaterialKeeper(
        store,
        peers,
        keys,
        load_anchors(config.trust.anchors),
        UserAnchors(settings.folder),
        MaterialSettings(timedelta(seconds=settings.every), timedelta(seconds=settings.distance)),
        now,
        fetcher=fetcher if settings.fetch else None,
        bar=bar,
    )


def standing_data(standing: Standing, at: datetime) -> dict[str, Any]:
    """How a certificate stands, for JSON: ``status`` is good, revoked or unknown."""
    told, status = describe(standing.certificate, at), standing.status
    return {
        "subject": told.subject,
        "sha256": told.fingerprint,
        "own": standing.mine,
        "status": "good" if isinstance(status, Good) else "revoked" if isinstance(status, Revoked) else "unknown",
        "until": status.until.isoformat() if isinstance(status, Good) else None,
        "since": status.at.isoformat() if isinstance(status, Revoked) else None,
        "reason": status.reason if isinstance(status, Revoked) else "",
        "stale": standing.stale,
        "problem": standing.problem,
        "not_after": told.not_after.isoformat(),
        "days_left": told.days_left,
    }
