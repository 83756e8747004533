"""What a running provider tells Prometheus. Every name is documented in docs/admin.md.

One registry a provider, never the library's global one. Labels are bounded: providers that are our peers, authorities
of the configuration, codes and reasons of our own tables. Counters begin with the process; what the store knows is
read when somebody asks.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from kepgw.interop.stamps import StampWatch
from kepgw.store import ledger, tasks
from kepgw.store.engine import Store, Tx
from kepgw.trust.stamping import Attempt

LAG_EVERY: Final = 0.25  # seconds between two looks at the event loop
_SIGNING: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_LAG: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)


class Readings(NamedTuple):
    """What the store knows at one moment."""

    depths: list[tasks.Depth]
    size: int
    head: tuple[int, datetime] | None
    evidence: Mapping[tuple[int, bool], int]  # since the last look, by code and whether it is our own
    last: int  # the newest evidence's number


class Metrics:
    """The registry of one provider. The methods count; ``page`` gives what ``/metrics`` answers."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.accepted = Counter(
            "kepgw_accepted", "Messages taken durably, by the door they came in.", ["door"], registry=registry
        )
        self.refused = Counter(
            "kepgw_refused", "Refusals of senders, recipients and messages, by rule.", ["door", "reason"],
            registry=registry,
        )  # fmt: skip
        self.evidence = Counter(
            "kepgw_evidence", "Evidence recorded in the ledger since the start, ours or a peer's.", ["code", "issuer"],
            registry=registry,
        )  # fmt: skip
        self.jobs = Histogram(
            "kepgw_signing_seconds", "Time of a job in a signing process, time stamps included.", ["job"],
            buckets=_SIGNING, registry=registry,
        )  # fmt: skip
        self.tsa_requests = Counter(
            "kepgw_tsa_requests", "Requests to a time-stamp authority, by outcome.", ["authority", "outcome"],
            registry=registry,
        )  # fmt: skip
        self.tsa_seconds = Histogram(
            "kepgw_tsa_request_seconds", "Time of a request to a time-stamp authority.", ["authority"],
            buckets=_SIGNING, registry=registry,
        )  # fmt: skip
        self.relays = Counter(
            "kepgw_relay_attempts", "Attempts to give a message or receipt to a peer.", ["peer", "outcome"],
            registry=registry,
        )  # fmt: skip
        self.lag = Histogram(
            "kepgw_event_loop_lag_seconds", "How late the event loop came to a timer.", buckets=_LAG, registry=registry
        )
        self._gauges = {name: Gauge(f"kepgw_{name}", text, labels, registry=registry) for name, text, labels in _GAUGES}
        self._last = 0  # number of the newest evidence that was counted
        self._page = asyncio.Lock()

    def attempted(self, attempt: Attempt) -> None:
        """A request to a time-stamp authority, as a signing process told."""
        self.tsa_requests.labels(attempt.authority, attempt.outcome).inc()
        self.tsa_seconds.labels(attempt.authority).observe(attempt.seconds)

    def signed(self, job: str, seconds: float) -> None:
        """A job of a signing process."""
        self.jobs.labels(job).observe(seconds)

    async def start(self, store: Store) -> None:
        """Count evidence from here on: what was there before is not this process's."""
        self._last = (await store.read(ledger.tree)).size

    async def watch_the_loop(self) -> None:
        """Measure the event loop until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY
            await asyncio.sleep(LAG_EVERY)
            self.lag.observe(max(loop.time() - due, 0.0))

    async def page(self, sources: "Sources", accept: str) -> tuple[str, bytes]:
        """Content type and octets for a scraper that takes ``accept``."""
        async with self._page:  # two scrapers must not count the same evidence twice
            after = self._last
            readings = await sources.store.read(lambda tx: _read(tx, after))
            self._last = readings.last
            self._from_store(readings, sources.now())
            self._from_stamps(sources.stamps)
            self._from_process(sources)
            encode, kind = choose_encoder(accept)
            octets: bytes = encode(self.registry)
        return kind, octets

    def _from_store(self, readings: Readings, at: datetime) -> None:
        gauges = self._gauges
        for name in ("queue_tasks", "queue_oldest_seconds"):
            gauges[name].clear()  # lanes that are empty now
        gauges["queue_tasks"].labels(tasks.SIGN).set(0)
        for depth in readings.depths:
            gauges["queue_tasks"].labels(depth.lane).set(depth.tasks)
            gauges["queue_oldest_seconds"].labels(depth.lane).set(max((at - depth.oldest).total_seconds(), 0.0))
        gauges["awaiting_time_stamp"].set(sum(each.awaiting_stamp for each in readings.depths))
        gauges["awaiting_signature"].set(sum(each.awaiting_signature for each in readings.depths))
        gauges["ledger_records"].set(readings.size)
        gauges["ledger_head_records"].set(readings.head[0] if readings.head else 0)
        gauges["ledger_head_timestamp_seconds"].set(readings.head[1].timestamp() if readings.head else 0)
        for (code, own), count in readings.evidence.items():
            self.evidence.labels(str(code), "own" if own else "peer").inc(count)

    def _from_stamps(self, stamps: StampWatch) -> None:
        for authority in stamps.authorities:
            self._gauges["tsa_left_alone"].labels(authority).set(stamps.open(authority))
            if authority in stamps.offsets:
                self._gauges["tsa_clock_offset_seconds"].labels(authority).set(stamps.offsets[authority])
        self._gauges["clock_alarm"].set(bool(stamps.clocks()))

    def _from_process(self, sources: "Sources") -> None:
        gauges = self._gauges
        for door, count in sources.connections().items():
            gauges["connections"].labels(door).set(count)
        gauges["certificate_not_after_timestamp_seconds"].clear()  # peers that are gone
        for (use, holder), until in sources.certificates().items():
            gauges["certificate_not_after_timestamp_seconds"].labels(use, holder).set(until.timestamp())
        gauges["signing_processes"].set(len(sources.pids()))
        gauges["signing_resident_memory_bytes"].set(sum(map(_resident, sources.pids())))
        gauges["disk_free_bytes"].set(shutil.disk_usage(sources.folder).free)
        gauges["taking"].set(sources.taking())


class Sources(NamedTuple):
    """Where a page comes from beside the counters."""

    store: Store
    stamps: StampWatch
    now: Callable[[], datetime]
    folder: Path
    connections: Callable[[], Mapping[str, int]]  # by door
    certificates: Callable[[], Mapping[tuple[str, str], datetime]]  # by use and holder, when they end
    pids: Callable[[], tuple[int, ...]]  # of the signing processes
    taking: Callable[[], bool]  # whether a message would be taken now


_GAUGES: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("queue_tasks", "Work that waits or is in hand, by lane: sign, timer, or a peer.", ("lane",)),
    ("queue_oldest_seconds", "Age of the oldest work of a lane.", ("lane",)),
    ("awaiting_time_stamp", "Work that was put off because no authority gave a time stamp.", ()),
    ("awaiting_signature", "Work that was put off because nothing could be signed.", ()),
    ("ledger_records", "Records in the ledger.", ()),
    ("ledger_head_records", "Records under the newest signed tree head.", ()),
    ("ledger_head_timestamp_seconds", "When the newest tree head was signed; 0: there is none.", ()),
    ("tsa_left_alone", "Signing processes that leave an authority alone after a failure.", ("authority",)),
    ("tsa_clock_offset_seconds", "How far an authority's clock was ahead of ours when it last told.", ("authority",)),
    ("clock_alarm", "1 when an authority's clock and ours differ by more than stamping.clock_bound.", ()),
    ("connections", "Connections that are open now, by door.", ("door",)),
    ("certificate_not_after_timestamp_seconds", "When a certificate ends.", ("use", "holder")),
    ("signing_processes", "Signing processes that run.", ()),
    ("signing_resident_memory_bytes", "Resident memory of all signing processes together.", ()),
    ("disk_free_bytes", "Room that is left where the store lies.", ()),
    ("taking", "1 when a message would be taken now, as /health says.", ()),
)


def _read(tx: Tx, after: int) -> Readings:
    size = ledger.tree(tx).size
    head = ledger.newest_head(tx)
    return Readings(tasks.depths(tx), size, head[:2] if head else None, ledger.counts(tx, after), size)


def _resident(pid: int) -> int:
    """Resident octets of a process (proc(5), statm); 0 where that is not told."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
