"""Mail exchangers of a domain, from the DNS, within bounds (RFC 5321 5.1)."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver

from kepgw.net.nameserver import nameserver

MAX_EXCHANGERS: Final = 10  # of a domain, those that are preferred
MAX_ADDRESSES: Final = 8  # of an exchanger
_CACHED: Final = 1000  # answers that are kept for as long as they say


class LookupFailed(Exception):  # an event, not an error of ours
    """The DNS has no answer, or none that can be used; perhaps later."""


@dataclass(frozen=True, slots=True)
class Exchanger:
    """A host that takes the mail of a domain; the lowest ``preference`` comes first."""

    host: str
    preference: int


class Exchangers:
    """Asks ``nameservers`` ("address" or "address:port"), or those of the system; ``seconds`` for each question."""

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        seconds: float = 10.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._nameservers = tuple(nameservers)
        self._seconds = seconds
        self._chance = chance
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def of(self, domain: str, *, implicit: bool) -> list[Exchanger]:
        """Those of a domain in the order in which they are tried: equal ones by chance (RFC 5321 5.1).

        Without any the domain itself is one, when ``implicit``. Raises LookupFailed.
        """
        answer = await self._ask(domain, "MX")
        if answer is None:
            if implicit:
                return [Exchanger(domain, 0)]
            raise LookupFailed(f"{domain} has no mail exchanger")
        found = [Exchanger(_name(each.exchange), int(each.preference)) for each in answer]
        if all(not each.host for each in found):  # RFC 7505 3
            raise LookupFailed(f"{domain} says that it takes no mail")
        found = [each for each in found if each.host]
        return sorted(found, key=lambda each: (each.preference, self._chance()))[:MAX_EXCHANGERS]

    async def addresses(self, host: str) -> list[str]:
        """The addresses of an exchanger, IPv6 before IPv4 (RFC 6724 2.1). Raises LookupFailed when it has none."""
        found: list[str] = []
        problem: LookupFailed | None = None
        for kind in ("AAAA", "A"):
            try:
                answer = await self._ask(host, kind)
            except LookupFailed as error:
                problem = error
            else:
                found += [str(each.address) for each in answer or ()]
        if not found:
            raise problem or LookupFailed(f"{host} has no address")
        return found[:MAX_ADDRESSES]

    async def _ask(self, name: str, kind: str) -> dns.resolver.Answer | None:
        """The answer, None when there is no such record. Raises LookupFailed."""
        try:
            return await self._asked().resolve(f"{name}.", kind, search=False, lifetime=self._seconds)
        except dns.resolver.NoAnswer:
            return None
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise LookupFailed(f"{kind} of {name}: {error}") from error

    def _asked(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            made = dns.asyncresolver.Resolver(configure=not self._nameservers)
            if self._nameservers:
                made.nameservers = [_nameserver(each) for each in self._nameservers]
            made.cache = dns.resolver.LRUCache(_CACHED)
            self._resolver = made
        return self._resolver


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    return dns.nameserver.Do53Nameserver(*nameserver(text))


def _name(name: object) -> str:
    return str(name).rstrip(".").lower()
