"""Who may try to log in now: failures cost time, per login and address together.

A guesser is locked out from where it guesses; the owner, who comes from elsewhere, notices nothing. An address that
fails with many logins is locked for all of them, but for those that got in from there before: an office or a mobile
operator is one address, and one guesser in it must not lock its people out. Pure: the time is an argument, in seconds
of any steady clock.
"""

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

ENTRIES: Final = 20_000  # pairs and addresses that are remembered; the oldest give way


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """Counts and seconds; no standard gives them."""

    failures: int = 5  # of one login from one address, before it is locked there
    address_failures: int = 50  # of one address with any logins
    delay: float = 1.0  # seconds before the first failure is answered, doubled with each
    delay_most: float = 8.0
    lock: float = 60.0  # seconds of the first lock, doubled with each further failure
    lock_most: float = 3600.0
    forget: float = 3600.0  # after so long without a failure all is forgotten


@dataclass(slots=True)
class _Record:
    failures: int
    last: float
    locked_until: float


class LoginGuard:
    """Remembers failures, bounded in number. Not shared between threads."""

    def __init__(self, settings: GuardSettings | None = None, entries: int = ENTRIES) -> None:
        self.settings = settings or GuardSettings()
        self._entries = entries
        self._records: OrderedDict[tuple[str | None, str], _Record] = OrderedDict()  # None: all logins of an address
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()  # who got in from where

    def locked(self, login: str, remote: str, at: float) -> float:
        """Seconds for which this login may not be tried from there; 0 when it may."""
        place = neighbourhood(remote)
        until = 0.0
        for key in ((login, place), (None, place)):
            record = None if key[0] is None and (login, place) in self._known else self._records.get(key)
            if record is not None:
                until = max(until, record.locked_until)
        return max(until - at, 0.0)

    def failed(self, login: str, remote: str, at: float) -> float:
        """Count a failure; gives the seconds to wait before it is answered."""
        place, settings = neighbourhood(remote), self.settings
        self._count((None, place), settings.address_failures, at)
        failures = self._count((login, place), settings.failures, at)
        return float(min(settings.delay * 2.0 ** min(failures - 1, 32), settings.delay_most))

    def succeeded(self, login: str, remote: str) -> None:
        """Forget the failures of this login from there; those of the address with other logins stay."""
        key = (login, neighbourhood(remote))
        self._records.pop(key, None)
        self._known.pop(key, None)
        self._known[key] = None
        if len(self._known) > self._entries:
            self._known.popitem(last=False)

    def _count(self, key: tuple[str | None, str], most: int, at: float) -> int:
        settings = self.settings
        record = self._records.pop(key, None)
        if record is None or at - record.last > settings.forget:
            record = _Record(0, at, 0.0)
        record.failures += 1
        record.last = at
        if record.failures >= most:
            lock = settings.lock * 2.0 ** min(record.failures - most, 32)
            record.locked_until = at + min(lock, settings.lock_most)
        self._records[key] = record
        while len(self._records) > self._entries:
            self._records.popitem(last=False)
        return record.failures


def neighbourhood(remote: str) -> str:
    """What counts as one place: an IPv4 address, or the /64 of an IPv6 address, all of which one client commands."""
    try:
        address = ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"
