"""Trusted lists (TS 119 612): which providers a scheme operator lists, by which certificates, and since when.

A list is taken only when one of the certificates that the configuration names has signed it (XAdES, enveloped), and
only instead of an older one. Of its services those of registered e-mail are read, the others are passed over.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from lxml import etree

from kepgw.errors import FormatError, ListRefused
from kepgw.evidence.markup import parse
from kepgw.trust.keys import describe
from kepgw.trust.listxml import MAX_LIST, TSL, certificate, moment, next_update, number, only, signed_by, words

ROOT: Final = f"{{{TSL}}}TrustServiceStatusList"
_TYPE: Final = "http://uri.etsi.org/TrstSvc/Svctype/"
REM_TYPES: Final = (f"{_TYPE}REM", f"{_TYPE}EDS/REM", f"{_TYPE}EDS/REM/Q")  # TS 102 640-2 7, EN 319 532-4 C.2
_STATUS: Final = "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/"
GRANTED: Final = f"{_STATUS}granted"
# the two that let a service work (TS 119 612 5.5.4): of qualified services and of those that a state knows by its law
GOOD: Final = frozenset({GRANTED, f"{_STATUS}recognisedatnationallevel"})
WITHDRAWN: Final = f"{_STATUS}withdrawn"

MAX_SERVICES: Final = 2000
MAX_STATES: Final = 500  # of one service
MAX_CERTIFICATES: Final = 50  # of one service; the REM baseline has exactly one (EN 319 532-4 C.2)
SKEW: Final = timedelta(minutes=10)  # a list of the future is none, but clocks differ


@dataclass(frozen=True, slots=True)
class State:
    """What a list says of a service from ``since`` on; ``status`` and ``type`` are URIs."""

    since: datetime
    status: str
    type: str

    @property
    def granted(self) -> bool:
        """Whether the service may be relied on as a service of registered e-mail (EN 319 532-4 C.2.3.3.3)."""
        return self.status in GOOD and self.type in REM_TYPES


@dataclass(frozen=True, slots=True)
class Service:
    """A service of registered e-mail: its provider's and its own name, its certificates (DER), newest state first."""

    provider: str
    name: str
    certificates: tuple[bytes, ...]
    supply_points: tuple[str, ...]
    states: tuple[State, ...]

    def at(self, at: datetime) -> State | None:
        """Its state at a time; None before its first."""
        return max((each for each in self.states if each.since <= at), key=lambda each: each.since, default=None)


@dataclass(frozen=True, slots=True)
class TrustedList:
    """One edition of a list. ``next_update`` is None for a list that is closed (TS 119 612 5.3.15)."""

    operator: str
    territory: str
    sequence: int
    issued: datetime
    next_update: datetime | None
    services: tuple[Service, ...]

    def naming(self, certificate: bytes) -> list[Service]:
        """The services that have this certificate (DER) as their digital identity."""
        return [each for each in self.services if certificate in each.certificates]


def open_list(octets: bytes, signers: Sequence[bytes]) -> TrustedList:
    """A list that one of ``signers`` (DER) has signed. Raises ListRefused."""
    signer = describe(signed_by(octets, signers))
    read = read_list(octets)
    if not signer.not_before <= read.issued <= signer.not_after:
        raise ListRefused(f"issued {read.issued:%Y-%m-%d %H:%M}Z, when the certificate of its signer did not hold")
    return read


def read_list(octets: bytes) -> TrustedList:
    """What a list says, its signature not looked at. Raises ListRefused for anything but a trusted list."""
    try:
        root = parse(octets, MAX_LIST).getroot()
        if root.tag != ROOT:
            raise FormatError(f"not a trusted list but {str(root.tag)[:100]}")
        scheme = _one(root, "SchemeInformation")
        return TrustedList(
            operator=_name(scheme, "SchemeOperatorName"),
            territory=words(_one(scheme, "SchemeTerritory")),
            sequence=number(_one(scheme, "TSLSequenceNumber")),
            issued=moment(_one(scheme, "ListIssueDateTime")),
            next_update=next_update(_one(scheme, "NextUpdate")),
            services=tuple(_services(root)),
        )
    except FormatError as error:
        raise ListRefused(str(error)) from error


def check_current(issued: datetime, next_update: datetime | None, at: datetime) -> None:
    """Hold a list against the clock: not of the future, and not after its end. Raises ListRefused."""
    if issued > at + SKEW:
        raise ListRefused(f"an edition of the future, {issued:%Y-%m-%d %H:%M}Z")
    if next_update is not None and next_update < at:
        raise ListRefused(f"an old edition: the next was due {next_update:%Y-%m-%d %H:%M}Z")


def check_successor(kept: tuple[int, datetime], new: tuple[int, datetime]) -> None:
    """Hold a list, as its sequence number and issue time, against the one that is kept. Raises ListRefused.

    Neither goes back: an old edition that was good once would bring a withdrawn provider back (TS 119 612 5.3.2).
    """
    if new[0] <= kept[0]:
        raise ListRefused(f"rollback: number {new[0]}, and number {kept[0]} is kept")
    if new[1] < kept[1]:
        raise ListRefused(f"rollback: issued {new[1]:%Y-%m-%d %H:%M}Z, and one of {kept[1]:%Y-%m-%d %H:%M}Z is kept")


def _services(root: etree._Element) -> Iterator[Service]:
    count = 0
    for provider in root.iterfind(f"{_tsl('TrustServiceProviderList')}/{_tsl('TrustServiceProvider')}"):
        name = _name(_one(provider, "TSPInformation"), "TSPName")
        for entry in provider.iterfind(f"{_tsl('TSPServices')}/{_tsl('TSPService')}"):
            information = _one(entry, "ServiceInformation")
            history = entry.findall(f"{_tsl('ServiceHistory')}/{_tsl('ServiceHistoryInstance')}")
            if len(history) > MAX_STATES:
                raise FormatError(f"a service with more than {MAX_STATES} states")
            states = [_state(each) for each in (information, *history)]
            if not any(each.type in REM_TYPES for each in states):
                continue
            count += 1
            if count > MAX_SERVICES:
                raise FormatError(f"more than {MAX_SERVICES} services of registered e-mail")
            yield Service(
                provider=name,
                name=_name(information, "ServiceName"),
                certificates=_certificates(information),
                supply_points=_supply_points(information),
                states=tuple(sorted(states, key=lambda each: each.since, reverse=True)),
            )


def _state(element: etree._Element) -> State:
    return State(
        since=moment(_one(element, "StatusStartingTime")),
        status=words(_one(element, "ServiceStatus")),
        type=words(_one(element, "ServiceTypeIdentifier")),
    )


def _certificates(information: etree._Element) -> tuple[bytes, ...]:
    path = f"{_tsl('ServiceDigitalIdentity')}/{_tsl('DigitalId')}/{_tsl('X509Certificate')}"
    found = information.findall(path)
    if len(found) > MAX_CERTIFICATES:
        raise FormatError(f"a service with more than {MAX_CERTIFICATES} certificates")
    return tuple(certificate(each) for each in found)


def _supply_points(information: etree._Element) -> tuple[str, ...]:
    found = information.iterfind(f"{_tsl('ServiceSupplyPoints')}/{_tsl('ServiceSupplyPoint')}")
    return tuple(words(each) for each, _ in zip(found, range(MAX_CERTIFICATES), strict=False))


def _name(parent: etree._Element, tag: str) -> str:
    """A name in English when there is one, else the first (TS 119 612 5.1.4)."""
    names = _one(parent, tag).findall(_tsl("Name"))
    english = [each for each in names if each.get("{http://www.w3.org/XML/1998/namespace}lang") == "en"]
    chosen = (english or names)[:1]
    return words(chosen[0]) if chosen else ""


def _one(parent: etree._Element, tag: str) -> etree._Element:
    return only(parent, _tsl(tag))


def _tsl(tag: str) -> str:
    return f"{{{TSL}}}{tag}"
