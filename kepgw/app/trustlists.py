"""The keeper of trusted lists as the configuration wants it, and what it knows as data."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from kepgw.app.config import Config
from kepgw.interop.trustlists import ListKeeper, ListSource
from kepgw.store.engine import Store
from kepgw.trust.capabilities import Capabilities
from kepgw.trust.fetching import HttpFetcher
from kepgw.trust.listing import Listing, in_force
from kepgw.trust.paths import load_anchors
from kepgw.trust.trustedlist import Service


def lists_of(config: Config, store: Store, now: Callable[[], datetime]) -> ListKeeper:
    """A keeper that has not begun. Raises ConfigurationError for a signer that cannot be read."""
    sources = []
    for each in config.trust_list:
        fetcher = None
        if isinstance(each.place, str):
            fetcher = HttpFetcher(timeout=each.timeout, private=each.fetch_private, now=now)
        sources.append(
            ListSource(
                name=each.name,
                source=each.place,
                signers=load_anchors(each.signers),
                peers=None if "*" in each.peers else frozenset(each.peers),
                every=timedelta(seconds=each.every),
                grace=timedelta(seconds=each.grace),
                plain=each.plain_http,
                fetcher=fetcher,
            )
        )
    return ListKeeper(store, sources, now)


def list_data(keeper: ListKeeper, source: ListSource, at: datetime | None, now: datetime) -> dict[str, Any]:
    """A list for JSON, as it was in force ``at``; None: now.

    ``state`` is current, late (past its end, serving on in its grace), stale (its peers wait) or none.
    """
    kept = keeper.kept[source.name]
    edition, newest = in_force(kept.editions, at or now), kept.newest
    if newest is None:
        state = "none"
    elif keeper.stale(source):
        state = "stale"
    else:
        state = "late" if newest.next_update is not None and newest.next_update < now else "current"
    return {
        "name": source.name,
        "source": str(source.source),
        "peers": ["*"] if source.peers is None else sorted(source.peers),
        "state": state,
        "problem": kept.problem,
        "looked": _iso(kept.looked),
        "editions": len(kept.editions),
        "operator": "" if edition is None else edition.operator,
        "territory": "" if edition is None else edition.territory,
        "sequence": None if edition is None else edition.sequence,
        "issued": None if edition is None else _iso(edition.issued),
        "next_update": None if edition is None else _iso(edition.next_update),
        "services": []
        if edition is None
        else [_service_data(each, at or now, kept.capabilities) for each in edition.services],
    }


def listing_data(said: Listing) -> dict[str, Any]:
    """What a list says of a certificate, for JSON."""
    return {
        "list": said.name,
        "sequence": said.sequence,
        "provider": said.provider,
        "granted": said.granted,
        "status": said.status,
        "since": _iso(said.since),
    }


def _service_data(service: Service, at: datetime, files: Mapping[str, Capabilities]) -> dict[str, Any]:
    state = service.at(at)
    told = next((files[point] for point in service.supply_points if point in files), None)
    return {
        "provider": service.provider,
        "service": service.name,
        "granted": state is not None and state.granted,
        "status": "" if state is None else state.status,
        "type": "" if state is None else state.type,
        "since": None if state is None else _iso(state.since),
        "certificates": [hashlib.sha256(each).hexdigest() for each in service.certificates],
        "supply_points": list(service.supply_points),
        "capabilities": None
        if told is None
        else {
            "sequence": told.sequence,
            "next_update": _iso(told.next_update),
            "host": told.host,
            "profiles": list(told.profiles),
            "tls_certificate": hashlib.sha256(told.tls_certificate).hexdigest(),
        },
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
