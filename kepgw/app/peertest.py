"""``kepgw peer test``: a peer's card held against its relay as it is now, one finding a line."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kepgw.app.config import Config
from kepgw.app.finding import Finding, lifetime
from kepgw.app.profiles import profiles_of
from kepgw.app.wiring import client_limits, exchangers, peer_contexts, relay_settings
from kepgw.errors import ConfigurationError
from kepgw.interop.card import Card
from kepgw.interop.desk import Route
from kepgw.interop.peers import route_of
from kepgw.smtp.client import SmtpRelayClient
from kepgw.smtp.probe import Met, look
from kepgw.trust.keys import describe

_ASK: Final = "ask the peer's administrator"
_CARD: Final = "send the peer your card again (kepgw peer card); it must take it in"
_FRESH: Final = "ask the peer for a fresh card over a way that you both trust, compare, then kepgw peer add"
_STAGES: Final = {"dns": "address", "connect": "connection", "tls": "TLS", "mail": "MAIL", "rcpt": "RCPT"}


async def meet(config: Config, card: Card) -> tuple[Route, Met]:
    """Go to the peer and look. Raises ConfigurationError for settings of ours that cannot be used."""
    contexts, limits = peer_contexts(config), client_limits(config)
    route = relay_settings(config).route(route_of(card))
    client = SmtpRelayClient(config.hostname, contexts, limits, exchangers(config))
    context = contexts.toward(() if route.tls_sha256 else route.tls_authorities)
    addresses = (config.provider.service_address, card.service_address)
    return route, await look(client, route, context, config.hostname, limits, addresses)


def findings(
    config: Config, card: Card, peer: dict[str, Any], route: Route, met: Met, at: datetime
) -> Iterator[Finding]:
    """What differs and what does not. ``peer`` is what ``peer_test`` of the provider told about this peer."""
    yield from _known(config, card, peer, at)
    yield from _way(route, met)
    yield from _tls(route, met, at)
    yield from _offers(config, route, met)
    yield from _answers(config, card, met)
    if met.stage:
        what = _STAGES.get(met.stage, met.stage)
        yield Finding("problem", what, met.reason, f"{_ASK}; until then everything for this peer waits, then gets 31")


def _known(config: Config, card: Card, peer: dict[str, Any], at: datetime) -> Iterator[Finding]:
    """What needs no connection: standing, certificates of the card, profile, clock, lists."""
    standing = peer["standing"]
    if standing is not None:
        yield Finding("problem", "standing", f"{standing['state']}: {standing['detail']}", _ASK)
    newest = max((describe(each, at) for each in card.signers), key=lambda each: each.not_after)
    yield lifetime("process certificate", newest.days_left, newest.not_after, _FRESH)
    toward = profiles_of(config).shown(card)
    level, remedy = ("ok", "") if toward in card.profiles else ("warning", "see profile of its [[peer]] in kepgw.toml")
    detail = f"written in {toward}; its card takes {', '.join(card.profiles)}"
    yield Finding("ok" if level == "ok" else "warning", "profile", detail, remedy)
    clock = peer["clock"]
    if clock is None:
        yield Finding("ok", "clock", "not known: no time-stamped evidence of this peer is here yet")
    else:
        seconds = clock["seconds"]
        told = f"its evidence of {clock['time']} is {abs(seconds):.0f} s {'later' if seconds > 0 else 'earlier'}"
        wrong = seconds > config.stamping.clock_bound
        remedy = f"{_ASK}: events later than their own time stamp mean that its clock is ahead" if wrong else ""
        yield Finding("warning" if wrong else "ok", "clock", f"{told} than its time stamp", remedy)
    listed = peer["tls_certificates"]
    if listed and card.tls_certificate and hashlib.sha256(card.tls_certificate).hexdigest() not in listed:
        detail = f"the card pins another TLS certificate than the capability file in the list: {', '.join(listed)}"
        yield Finding("warning", "capability file", detail, _FRESH)


def _way(route: Route, met: Met) -> Iterator[Finding]:
    if not met.places:
        return
    shown = ", ".join(f"{each.name} ({each.address}:{each.port})" for each in met.places)
    yield Finding("ok", "address", f"{shown}{'' if route.host else ', by MX'}")
    for each in met.unreached:
        if met.place is not None:
            yield Finding("warning", "connection", each, f"{_ASK}: one of its addresses does not answer")
    if met.place is not None:
        yield Finding("ok", "connection", f"{met.place.address}:{met.place.port}")
    if met.greeting:
        yield Finding("ok" if met.greeting.startswith("220") else "problem", "greeting", met.greeting)


def _tls(route: Route, met: Met, at: datetime) -> Iterator[Finding]:
    if not met.tls_version:
        return
    yield Finding("ok", "TLS", f"{met.tls_version}, {met.cipher}")
    shown = hashlib.sha256(met.certificate).hexdigest() if met.certificate else "none"
    if not route.tls_sha256:
        yield Finding("ok", "TLS certificate", f"{shown}, for its host name below an authority of the card")
    elif shown == route.tls_sha256.replace(":", "").lower():
        yield Finding("ok", "TLS certificate", f"{shown}, as the card has it")
    else:
        detail = f"the relay shows {shown}, the card says {route.tls_sha256}"
        try:
            told = describe(met.certificate, at)
            detail += f"; shown is {told.subject}, issued by {told.issuer}, from {told.not_before:%Y-%m-%d}"
        except ConfigurationError:
            detail += "; what is shown cannot be read"
        yield Finding("problem", "TLS certificate", detail, f"{_FRESH}; if it did not change its own, beware")
        return
    try:
        told = describe(met.certificate, at)
    except ConfigurationError as error:
        yield Finding("warning", "TLS certificate", str(error), _ASK)
        return
    yield lifetime("TLS certificate", told.days_left, told.not_after, _FRESH)
    if told.not_before > at + timedelta(days=1):
        yield Finding("warning", "TLS certificate", f"begins {told.not_before:%Y-%m-%d}", "compare both clocks")


def _offers(config: Config, route: Route, met: Met) -> Iterator[Finding]:
    """The extensions under TLS (RFC 5321 4.1.1.1)."""
    if not met.extensions:
        return
    if "8BITMIME" in met.extensions:
        yield Finding("ok", "8BITMIME", "offered")
    else:
        what = "a message with octets over 127 gets evidence 31: nothing that was signed is converted"
        yield Finding("problem", "8BITMIME", f"not offered; {what}", f"{_ASK} to offer it (RFC 6152)")
    ours = config.limits.message_octets + config.limits.relay_extra_octets
    size = met.extensions.get("SIZE", "").strip()
    if "SIZE" not in met.extensions:
        yield Finding("warning", "SIZE", "not offered; what is too large is refused after it was sent", _ASK)
    elif not size.isdecimal() or int(size[:15]) == 0:
        yield Finding("ok", "SIZE", "offered without a limit")
    elif int(size[:15]) < ours:
        detail = f"{size} octets, we take {ours}; a larger dispatch gets evidence 31 at once"
        yield Finding("warning", "SIZE", detail, "agree on a size, or tell your users the smaller one")
    else:
        yield Finding("ok", "SIZE", f"{size} octets, we take {ours}")
    for name in ("PIPELINING", "CHUNKING"):
        there = name in met.extensions
        slow = "not offered: each message takes more round trips"
        yield Finding("ok" if there else "warning", name, "offered" if there else slow, "" if there else _ASK)


def _answers(config: Config, card: Card, met: Met) -> Iterator[Finding]:
    """Whether it would take mail from us."""
    if met.mail is not None:
        what = f"MAIL FROM:<{config.provider.service_address}>"
        yield Finding("ok" if met.mail.good else "problem", what, str(met.mail), "" if met.mail.good else _CARD)
    if met.rcpt is not None:
        what, good = f"RCPT TO:<{card.service_address}>", met.rcpt.good
        yield Finding("ok" if good else "problem", what, str(met.rcpt), "" if good else f"{_FRESH}: receipts go there")


def now() -> datetime:
    """The clock of the command."""
    return datetime.now(UTC)
