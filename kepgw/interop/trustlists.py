"""The keeper of trusted lists: brings new editions in, in the background, and answers what they say of a peer.

An edition is taken when its signature, number and time hold; else the last good one stays (ADR 30). All that were
taken are kept, so that an old message is judged by what was listed in its time.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from kepgw.errors import ListRefused, MaterialUnavailable
from kepgw.store import trustlists as rows
from kepgw.store.accounts import audit
from kepgw.store.engine import Store, Tx
from kepgw.trust.capabilities import MAX_CSI, Capabilities, open_capabilities, read_capabilities
from kepgw.trust.capabilities import ROOT as CSI_ROOT
from kepgw.trust.listing import Listing, listing
from kepgw.trust.listxml import MAX_LIST
from kepgw.trust.trustedlist import TrustedList, check_current, check_successor, open_list, read_list

MOST_FILES: Final = 200  # of a folder, and services whose capability files are asked for
AT_ONCE: Final = 4
RETRY_FIRST: Final = timedelta(minutes=1)
LOOK: Final = 60.0  # seconds between two looks at folders and at what is due
MAX_PROBLEM: Final = 500  # characters

_log = logging.getLogger("kepgw.trustlists")


class Fetcher(Protocol):
    """Who fetches over the network (kepgw.trust.fetching)."""

    async def get(self, url: str, largest: int, *, plain: bool = False) -> bytes:
        """What stands at an address. Raises MaterialUnavailable."""

    async def close(self) -> None:
        """Fetch no more."""


@dataclass(frozen=True, slots=True)
class ListSource:
    """Where a list comes from and whom it binds.

    ``source`` is a URL, a file or a folder of files; ``signers`` are DER. ``peers`` are the domains of the peers that
    must be listed, None for every peer. ``every``: between two fetches; ``grace``: how long an edition serves after its
    own end when no newer one can be had.
    """

    name: str
    source: str | Path
    signers: tuple[bytes, ...]
    peers: frozenset[str] | None = None
    every: timedelta = timedelta(hours=1)
    grace: timedelta = timedelta(days=7)
    plain: bool = False
    fetcher: Fetcher | None = None

    def binds(self, domain: str) -> bool:
        """Whether the peer of this domain must be listed."""
        return self.peers is None or domain in self.peers


class Word(NamedTuple):
    """What the lists that bind a peer say of it: ``granted`` None when they cannot be asked at present."""

    granted: bool | None
    detail: str


@dataclass(slots=True)
class Kept:
    """What is known of one list. ``problem`` is the last failure, "" when none."""

    editions: list[TrustedList]
    digests: dict[int, bytes]
    capabilities: dict[str, Capabilities]
    problem: str = ""
    failures: int = 0
    due: datetime | None = None
    looked: datetime | None = None

    @property
    def newest(self) -> TrustedList | None:
        """The edition in force now."""
        return self.editions[-1] if self.editions else None


class _News(NamedTuple):
    """Editions that may be taken, each with its octets, oldest first; and what was wrong with others."""

    lists: list[tuple[TrustedList, bytes]]
    capabilities: list[tuple[str, Capabilities, bytes]]
    problems: list[str]


class ListKeeper:
    """Keeps the lists until it is stopped. ``changed`` hears that an edition was taken, or that one grew too old."""

    def __init__(
        self,
        store: Store,
        sources: Sequence[ListSource],
        now: Callable[[], datetime],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.sources = tuple(sources)
        self.kept = {each.name: Kept([], {}, {}) for each in sources}
        self.changed = changed
        self._store = store
        self._now = now
        self._updating = asyncio.Lock()
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take what the store has, then look for newer editions in the background."""
        await self.load()
        if self.sources:
            self._loop = asyncio.create_task(self._run(), name="trust-lists")

    async def stop(self) -> None:
        """End."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        for each in self.sources:
            if each.fetcher is not None:
                await each.fetcher.close()

    async def load(self) -> None:
        """Read the kept editions."""
        for source in self.sources:
            found = await self._store.read(
                lambda tx, name=source.name: (rows.editions(tx, name), rows.capability_files(tx, name))  # type: ignore[misc]
            )
            self.kept[source.name] = await asyncio.to_thread(_kept, *found)

    async def update(self, *, everything: bool = True) -> int:
        """Look for newer editions of all lists, or of those whose time has come. Returns how many were taken."""
        async with self._updating:
            taken = 0
            for source in self.sources:
                due = self.kept[source.name].due
                if everything or due is None or due <= self._now():
                    taken += await self._update(source)
        if taken:
            self.changed()
        return taken

    def word(self, domain: str, certificate: bytes, at: datetime) -> Word | None:
        """What is listed of a peer's ``certificate`` (DER) at ``at``; None when no list binds the peer.

        Of several lists that bind it one that grants is enough.
        """
        said = [self._word(each, certificate, at) for each in self.sources if each.binds(domain)]
        if not said:
            return None
        rank = {True: 2, None: 1, False: 0}
        return max(said, key=lambda each: rank[each.granted])

    def listings(self, certificate: bytes, at: datetime) -> list[Listing]:
        """What every list that has ever named the certificate says of it at a time."""
        found = []
        for source in self.sources:
            editions = self.kept[source.name].editions
            if any(each.naming(certificate) for each in editions):
                said = listing(source.name, editions, certificate, at)
                assert said is not None
                found.append(said)
        return found

    def stale(self, source: ListSource) -> bool:
        """Whether the newest edition has outlived its end and its grace, or there is none."""
        newest = self.kept[source.name].newest
        if newest is None:
            return True
        return newest.next_update is not None and newest.next_update + source.grace < self._now()

    def boundaries(self) -> list[datetime]:
        """The times to come at which what is listed changes by itself."""
        found = []
        for source in self.sources:
            newest = self.kept[source.name].newest
            if newest is not None:
                found += [state.since for service in newest.services for state in service.states]
                found += [] if newest.next_update is None else [newest.next_update + source.grace]
        return [each for each in found if each > self._now()]

    def _word(self, source: ListSource, certificate: bytes, at: datetime) -> Word:
        if self.stale(source):
            newest = self.kept[source.name].newest
            why = "no edition is there" if newest is None else f"its next edition was due {newest.next_update}"
            return Word(None, f"list {source.name}: {why}")
        said = listing(source.name, self.kept[source.name].editions, certificate, at)
        assert said is not None
        status = said.status.rpartition("/")[2] or "not listed"
        since = "" if said.since is None else f" since {said.since:%Y-%m-%d %H:%M}Z"
        return Word(said.granted, f"list {source.name} number {said.sequence}: {status}{since}")

    async def _run(self) -> None:
        while True:
            try:
                await self.update(everything=False)
            except Exception:  # the keeper never ends by itself
                _log.exception("trusted lists cannot be brought up to date; trying again")
            await asyncio.sleep(LOOK)

    async def _update(self, source: ListSource) -> int:
        kept, at = self.kept[source.name], self._now()
        kept.looked = at
        try:
            offered = await self._offered(source)
        except (MaterialUnavailable, OSError) as error:
            self._failed(source, str(error), at)
            return 0
        news = await asyncio.to_thread(_judge, source, kept, offered, at)
        taken = await self._take(source, news, at)
        problems = list(news.problems)
        if not isinstance(source.source, Path):
            fetched, unavailable = await self._capability_files(source)
            more = await asyncio.to_thread(_judge, source, kept, fetched, at)
            taken += await self._take(source, more, at)
            problems += [*unavailable, *more.problems]
        if problems:
            self._failed(source, "; ".join(problems), at)
        else:
            kept.problem, kept.failures = "", 0
            kept.due = at + (timedelta(0) if isinstance(source.source, Path) else source.every)
        return taken

    def _failed(self, source: ListSource, problem: str, at: datetime) -> None:
        kept = self.kept[source.name]
        if problem[:MAX_PROBLEM] != kept.problem:
            _log.warning("trust-list-problem: list=%s %s", source.name, problem[:MAX_PROBLEM])
        kept.problem = problem[:MAX_PROBLEM]
        kept.failures += 1
        kept.due = at + min(RETRY_FIRST * 2 ** min(kept.failures - 1, 10), source.every)

    async def _offered(self, source: ListSource) -> list[tuple[str, bytes]]:
        """What stands at the source now, each with its name."""
        if isinstance(source.source, Path):
            return await asyncio.to_thread(_files, source.source)
        if source.fetcher is None:
            raise MaterialUnavailable("nobody fetches over the network")
        return [("", await source.fetcher.get(source.source, MAX_LIST, plain=source.plain))]

    async def _capability_files(self, source: ListSource) -> tuple[list[tuple[str, bytes]], list[str]]:
        """The files at the https supply points of granted services, and what could not be had (EN 319 532-4 C.2)."""
        newest, room, fetcher = self.kept[source.name].newest, asyncio.Semaphore(AT_ONCE), source.fetcher
        if newest is None or fetcher is None:
            return [], []
        at = self._now()
        granted = [each for each in newest.services if (state := each.at(at)) is not None and state.granted]
        schemes = ("https://", "http://") if source.plain else ("https://",)
        addresses = [point for each in granted for point in each.supply_points if point.startswith(schemes)]

        async def one(address: str) -> tuple[str, bytes] | str:
            async with room:
                try:
                    return address, await fetcher.get(address, MAX_CSI, plain=source.plain)
                except MaterialUnavailable as error:
                    return f"{address}: {error}"

        answers = await asyncio.gather(*(one(each) for each in list(dict.fromkeys(addresses))[:MOST_FILES]))
        return [each for each in answers if not isinstance(each, str)], [e for e in answers if isinstance(e, str)]

    async def _take(self, source: ListSource, news: _News, at: datetime) -> int:
        if not news.lists and not news.capabilities:
            return 0
        name = source.name

        def work(tx: Tx) -> None:
            for read, octets in news.lists:
                rows.keep_edition(tx, name, "", read.sequence, read.issued, octets, at)
                detail = f"number {read.sequence}, SHA-256 {hashlib.sha256(octets).hexdigest()}"
                audit(tx, at, "trust-lists", "trust-list-taken", name, detail)
            for subject, capabilities, octets in news.capabilities:
                rows.keep_edition(tx, name, subject, capabilities.sequence, capabilities.issued, octets, at)

        await self._store.write(work)
        kept = self.kept[name]
        for read, octets in news.lists:
            kept.editions.append(read)
            kept.digests[read.sequence] = hashlib.sha256(octets).digest()
            _log.info("trust-list-taken: list=%s number=%d next=%s", name, read.sequence, read.next_update)
        for subject, capabilities, _ in news.capabilities:
            kept.capabilities[subject] = capabilities
        return len(news.lists) + len(news.capabilities)


def _judge(source: ListSource, kept: Kept, offered: Sequence[tuple[str, bytes]], at: datetime) -> _News:
    """What of the offered may be taken, in the order of its numbers."""
    lists: list[tuple[TrustedList, bytes]] = []
    capabilities: list[tuple[str, Capabilities, bytes]] = []
    problems: list[str] = []
    signed: list[tuple[str, TrustedList, bytes]] = []
    files: list[tuple[str, bytes]] = []
    for name, octets in offered:
        if CSI_ROOT.rpartition("}")[2].encode() in octets[:8192]:
            files.append((name, octets))
            continue
        digest = hashlib.sha256(octets).digest()
        if digest in kept.digests.values():
            last = max(kept.digests)
            if not isinstance(source.source, Path) and digest != kept.digests[last]:  # in a folder they just lie there
                problems.append(f"rollback: an edition from before number {last} is served again")
            continue
        try:
            signed.append((name, open_list(octets, source.signers), octets))
        except ListRefused as error:
            problems.append(f"{name} {error}".strip())
    for name, read, octets in sorted(signed, key=lambda each: each[1].sequence):
        before = lists[-1][0] if lists else kept.newest
        try:
            # one that follows is news, however late; the first must be current
            ends = read.next_update if before is None and read is max((e[1] for e in signed), key=_number) else None
            check_current(read.issued, ends, at)
            if before is not None:
                check_successor((before.sequence, before.issued), (read.sequence, read.issued))
            lists.append((read, octets))
        except ListRefused as error:
            problems.append(f"{name} {error}".strip())
    newest = lists[-1][0] if lists else kept.newest
    for name, octets in files:
        try:
            told = _capabilities(source, newest, kept.capabilities.get(name), octets, at)
        except ListRefused as error:
            problems.append(f"{name} {error}".strip())
        else:
            capabilities += [] if told is None else [(name, told, octets)]
    return _News(lists, capabilities, problems)


def _number(each: TrustedList) -> int:
    return each.sequence


def _capabilities(
    source: ListSource, newest: TrustedList | None, before: Capabilities | None, octets: bytes, at: datetime
) -> Capabilities | None:
    """A capability file that may be taken; None when it is the one that is kept. Raises ListRefused."""
    services = newest.services if newest else ()
    listed = [c for each in services if (s := each.at(at)) is not None and s.granted for c in each.certificates]
    read = open_capabilities(octets, (*source.signers, *listed))
    if read == before:
        return None
    check_current(read.issued, read.next_update, at)  # one that has ended is discarded (EN 319 532-4 C.8)
    if before is not None:
        check_successor((before.sequence, before.issued), (read.sequence, read.issued))
    return read


def _kept(editions: Iterable[rows.EditionRow], files: Iterable[rows.EditionRow]) -> Kept:
    kept = Kept([], {}, {})
    for row in editions:
        with suppress(ListRefused):  # it was read before it was kept
            kept.editions.append(read_list(row.octets))
            kept.digests[row.sequence] = row.digest
    for row in files:
        with suppress(ListRefused):
            kept.capabilities[row.subject] = read_capabilities(row.octets)
    return kept


def _files(place: Path) -> list[tuple[str, bytes]]:
    """The XML files of a folder, or the one file. Raises OSError."""
    paths = sorted(each for each in place.iterdir() if each.suffix == ".xml") if place.is_dir() else [place]
    found = []
    for path in paths[:MOST_FILES]:
        with path.open("rb") as file:
            found.append((path.name, file.read(MAX_LIST + 1)))
    return found
