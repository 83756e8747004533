"""Time stamps of a provider: which authorities the signing processes ask, and what they tell of it to their owner."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, NamedTuple

from kepgw.trust.circuit import Waits
from kepgw.trust.devtsa import DevelopmentTsa
from kepgw.trust.keys import load_key
from kepgw.trust.paths import load_anchors
from kepgw.trust.stamping import Access, Attempt, Demands, HttpTsa, Standing, TsaOrder
from kepgw.trust.tsaclient import Authority as Asked
from kepgw.trust.tsaorder import WAITS, WRONG_WAITS

MOST_NEWS: Final = 1000  # attempts kept until the next answer; a job makes a handful

_log = logging.getLogger("kepgw.stamps")


@dataclass(frozen=True, slots=True)
class Authority:
    """A time-stamp authority as configured; ``timeout`` in seconds."""

    kind: str  # development | http
    url: str
    timeout: float
    access: Access = field(default_factory=Access)
    demands: Demands = field(default_factory=Demands)

    @property
    def name(self) -> str:
        """What log and metrics call it."""
        return self.url or DevelopmentTsa.name


@dataclass(frozen=True, slots=True)
class Stamping:
    """How a provider has things stamped. ``clock``: the distance between two clocks from which one is wrong."""

    authorities: tuple[Authority, ...]
    tsa_key: Path  # of the development authority
    tsa_certificates: tuple[Path, ...]
    anchors: tuple[Path, ...] = ()  # what tokens of authorities over HTTP are verified to
    digest: str = "sha256"
    waits: Waits = WAITS
    wrong_waits: Waits = WRONG_WAITS
    clock: timedelta = timedelta(seconds=60)

    def authority(self, each: Authority, anchors: Sequence[bytes]) -> Asked:
        """The authority itself. Raises ConfigurationError when its key, certificate or access cannot be used."""
        if each.kind == "development":
            return DevelopmentTsa(load_key(self.tsa_key, *self.tsa_certificates, purpose="tsa"))
        return HttpTsa(each.url, anchors=anchors, access=each.access, demands=each.demands, timeout=each.timeout)

    def order(self, attempted: Callable[[Attempt], None] | None = None) -> TsaOrder:
        """The authorities in their order. Raises ConfigurationError."""
        over_http = any(each.kind == "http" for each in self.authorities)
        anchors = load_anchors(self.anchors) if over_http else ()
        asked = [self.authority(each, anchors) for each in self.authorities]
        return TsaOrder(asked, attempted, digest=self.digest, waits=self.waits, wrong_waits=self.wrong_waits)


class News(NamedTuple):
    """What a signing process tells with each answer: requests since the last one, and where authorities stand."""

    attempts: tuple[Attempt, ...]
    standings: tuple[Standing, ...]


class Reporter:
    """In a signing process: collects what becomes the next News."""

    def __init__(self) -> None:
        self._attempts: deque[Attempt] = deque(maxlen=MOST_NEWS)

    def attempted(self, attempt: Attempt) -> None:
        """For TsaOrder."""
        self._attempts.append(attempt)

    def news(self, order: TsaOrder) -> News:
        """Everything since the last call."""
        attempts = tuple(self._attempts)
        self._attempts.clear()
        return News(attempts, order.standings())


@dataclass
class StampWatch:
    """In the owner: what the signing processes know of the authorities, put together.

    ``open`` has for each authority the processes that leave it alone, ``offsets`` how many seconds its clock was
    ahead of ours when it last told.
    """

    authorities: tuple[str, ...]
    clock: timedelta
    attempted: Callable[[Attempt], None] = lambda _: None
    offsets: dict[str, float] = field(default_factory=dict)
    _standings: dict[int, tuple[Standing, ...]] = field(default_factory=dict)
    _alarmed: bool = False

    def heard(self, process: int, news: News | None) -> None:
        """News of a process; None when it ended."""
        if news is None:
            self._standings.pop(process, None)
            return
        self._standings[process] = news.standings
        for attempt in news.attempts:
            if attempt.offset is not None:
                self.offsets[attempt.authority] = attempt.offset
            self.attempted(attempt)
        self._look_at_the_clock()

    def open(self, authority: str) -> int:
        """How many processes leave an authority alone."""
        return sum(
            each.authority == authority and not each.closed for told in self._standings.values() for each in told
        )

    @property
    def none_serves(self) -> bool:
        """Whether every process that told leaves every authority alone."""
        return bool(self._standings) and not any(each.closed for told in self._standings.values() for each in told)

    def clocks(self) -> tuple[str, ...]:
        """The authorities whose clock and ours differ too much; every one of them and more than one: it is ours."""
        return tuple(name for name, offset in self.offsets.items() if abs(offset) > self.clock.total_seconds())

    @property
    def our_clock_is_wrong(self) -> bool:
        """Whether all authorities that told, at least two, say that our clock is off, in the same direction."""
        differing = [self.offsets[name] for name in self.clocks()]
        same = all(each > 0 for each in differing) or all(each < 0 for each in differing)
        return len(differing) > 1 and len(differing) == len(self.offsets) and same

    def _look_at_the_clock(self) -> None:
        differing = self.clocks()
        if differing and not self._alarmed:
            if self.our_clock_is_wrong:
                _log.error("the clock of this machine is wrong by %.0f s, say %s", *self._worst(differing))
            else:
                _log.error("clocks differ by %.0f s: ours and that of %s; see kepgw doctor", *self._worst(differing))
        self._alarmed = bool(differing)

    def _worst(self, names: Sequence[str]) -> tuple[float, str]:
        return max((self.offsets[name] for name in names), key=abs), ", ".join(names)
