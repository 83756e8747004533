"""The archivist: puts everything new under one archive time stamp on a schedule, and renews stamps before they age.

RFC 4998. What is due follows from the store alone: a killed process goes on where it was, and what is under a stamp is
never hashed again. Pages are small; between two of them everybody else has their turn.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

from kepgw.errors import FormatError, SignatureInvalid, SigningUnavailable, StampUnavailable, StoreError
from kepgw.evidence.hashtree import HashTree
from kepgw.store import archive
from kepgw.store.archive import Chain, Rooted, Stamp, Volume
from kepgw.store.archivecheck import check_page, judged
from kepgw.store.archivedocuments import Page, hash_page
from kepgw.store.archiverecords import VolumeRecords, volume_tree
from kepgw.store.engine import Store, Tx
from kepgw.store.ids import micros, moment
from kepgw.trust.archivestamps import StampJudge, stamped

RETRY_FIRST: Final = 60.0  # seconds until the second attempt when nobody stamps
RETRY_MAX: Final = 3600.0
SHORTEST_SLEEP: Final = 1.0
LONGEST_SLEEP: Final = 3600.0
PROBE: Final = timedelta(days=1)  # between two attempts to get a stamp that lives longer
MOST_PROBLEMS: Final = 100  # told of one run; all are counted and logged

PageOf = Callable[..., Page]
"""A look at the store that hashes the groups from ``begin``."""

_log = logging.getLogger("kepgw.archive")


class Workshop(Protocol):
    """Where time stamps come from (kepgw.interop.workshop)."""

    async def time_stamp(self, digest: bytes) -> bytes:
        """An RFC 3161 token (DER) over a digest. Raises StampUnavailable."""


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """When the archive is stamped: ``every`` after the last time if there is something new. ``renew_before``: how long
    before the certificate of a stamp's authority ends that stamp is renewed.
    """

    every: timedelta = timedelta(days=1)
    algorithm: str = "sha256"
    renew_before: timedelta = timedelta(days=90)


@dataclass
class Done:
    """What a run did. ``more``: it ran out of its time; call again, after volume ``after``.

    ``problems`` name documents that are not sound, ``unsound`` counts all of them.
    """

    groups: int = 0
    stamps: int = 0
    more: bool = False
    after: int = 0
    unsound: int = 0
    problems: list[str] = field(default_factory=list)


class Archivist:
    """Archives and renews until it is stopped."""

    def __init__(
        self,
        store: Store,
        workshop: Workshop,
        settings: ArchiveSettings,
        anchors: Sequence[bytes],
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._workshop = workshop
        self._settings = settings
        self._anchors = tuple(anchors)
        self._now = now
        self._working = asyncio.Lock()
        self._probed: datetime | None = None
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look at the clock."""
        self._loop = asyncio.create_task(self._run(), name="archive")

    async def stop(self) -> None:
        """End; what was hashed is kept, what was not stamped is stamped after the next start."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    # -- initial archive time stamps ------------------------------------------------------------------------------

    async def archive(self, seconds: float = math.inf) -> Done:
        """Put everything that no stamp covers under archive time stamps, for about so many seconds.

        Raises StampUnavailable or StoreError; what was hashed until then is kept.
        """
        done = Done()
        end = time.monotonic() + seconds
        begin = partial(archive.open_volume, algorithm=self._settings.algorithm, at=self._now())
        async with self._working:
            while not done.more and (volume := await self._store.write(begin)) is not None:
                (chain,) = await self._store.read(partial(archive.chains, volume=volume.id))
                page = partial(hash_page, volume=volume, algorithm=chain.algorithm)
                if await self._hash(volume, chain, page, done, end):
                    await self._stamp_roots([chain._replace(done=volume.groups)], done)
                    _log.info("archived: volume=%d groups=%d", volume.id, volume.groups)
        return done

    async def _hash(self, volume: Volume, chain: Chain, look: PageOf, done: Done, end: float) -> bool:
        """Hash the rest of a volume page by page, each durable before the next is read. False when time ran out."""
        while chain.done < volume.groups:
            if time.monotonic() > end:
                done.more = True
                return False
            page = await self._store.read(partial(look, begin=chain.done))
            self._tell(page.problems, done)
            kept = partial(archive.add_documents, chain=chain, end=page.end, rows=page.rows)
            if not await self._store.write(kept):
                raise StoreError(f"volume {volume.id} of the archive was changed while it was hashed")
            done.groups += page.end - chain.done
            chain = chain._replace(done=page.end)
        return True

    async def _stamp_roots(self, chains: Sequence[Chain], done: Done) -> None:
        """One stamp over the roots of hashed chains, in one commit."""
        rooted = [Rooted(each, (await self._store.read(partial(volume_tree, chain=each))).tree.root) for each in chains]
        token, made, expires = await self._stamp([each.root for each in rooted], rooted[0].chain.algorithm)
        if not await self._store.write(lambda tx: archive.put_stamp(tx, rooted, token, made, expires)):
            raise StoreError("the archive was changed while its stamp was made")
        done.stamps += 1

    async def _stamp(self, leaves: Sequence[bytes], algorithm: str) -> tuple[bytes, datetime, datetime]:
        """A token over the root of a tree of single digests, its time, and when its authority's certificate ends."""
        tree = await asyncio.to_thread(HashTree, [[each] for each in leaves], algorithm)
        token = await self._workshop.time_stamp(tree.root)
        return token, *await asyncio.to_thread(stamped, token)

    # -- renewal (RFC 4998 5.2) -----------------------------------------------------------------------------------

    async def renew_stamps(self, until: datetime | None = None, *, force: bool = False) -> Done:
        """Time-stamp renewal of all stamps that protect and whose authority ends before ``until``, or of all.

        Without ``force`` a stamp that does not live longer than what it would renew is thrown away.
        Raises StampUnavailable or StoreError.
        """
        done = Done()
        async with self._working:
            limit = None if until is None else micros(until)
            due = await self._store.read(partial(archive.protecting, until=limit))
            for algorithm in sorted({each.algorithm for each in due}):
                await self._renew([each for each in due if each.algorithm == algorithm], done, force=force)
        return done

    async def _renew(self, old: list[Stamp], done: Done, *, force: bool) -> None:
        token, made, expires = await self._stamp([each.hash for each in old], old[0].algorithm)
        ends = moment(min(each.expires for each in old))
        if not force and expires <= ends:
            _log.warning("the archive needs a stamp that holds beyond %s; the authority has none yet", ends.date())
            return
        if not await self._store.write(partial(archive.renew, old=old, token=token, time=made, expires=expires)):
            raise StoreError("the stamps were renewed by somebody else")
        done.stamps += 1
        done.groups += len(old)
        _log.info("archive time stamps renewed: %d under one", len(old))

    async def renew_trees(self, algorithm: str, seconds: float = math.inf, after: int = 0) -> Done:
        """Hash-tree renewal: every object is read and held against its old chains, then hashed anew; at the end one
        stamp over all. Goes on where it was; volumes up to ``after`` are done or were told of before.

        A volume whose old stamps do not hold gets no new chain. Raises StampUnavailable or StoreError.
        """
        done = Done(after=after)
        end = time.monotonic() + seconds
        async with self._working:
            while not done.more:
                look = partial(archive.to_rehash, algorithm=algorithm, after=done.after)
                volume = await self._store.read(look)
                if volume is None:
                    break
                try:
                    records = await self._store.read(partial(judged, volume=volume, judge=self._judge()))
                except (StoreError, SignatureInvalid, FormatError) as error:
                    self._tell([f"volume {volume.id}: {error}"], done)
                    done.after = volume.id
                    continue
                chain = await self._store.write(partial(archive.begin_chain, volume=volume, algorithm=algorithm))
                page = partial(_rehash, records=records, algorithm=algorithm)
                if await self._hash(volume, chain, page, done, end):
                    done.after = volume.id
            while not done.more and (chains := await self._store.read(archive.hashed_chains)):
                await self._stamp_roots(chains, done)
        return done

    @staticmethod
    def _tell(problems: list[str], done: Done) -> None:
        for problem in problems:
            _log.error("not archived: %s", problem)
        done.unsound += len(problems)
        done.problems += problems[: MOST_PROBLEMS - len(done.problems)]

    def _judge(self) -> StampJudge:
        return StampJudge(self._anchors, self._now())

    # -- the schedule ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                pause = await self._look()
                failures = 0
            except (StampUnavailable, SigningUnavailable) as error:
                _log.warning("the archive waits: %s", error)
                failures += 1
            except StoreError as error:
                _log.error("the archive waits: %s", error)
                failures += 1
            except Exception:  # the archivist never ends by itself
                _log.exception("archiving failed")
                failures += 1
            if failures:
                pause = min(RETRY_FIRST * 2 ** min(failures - 1, 10), RETRY_MAX)
            await asyncio.sleep(pause)

    async def _look(self) -> float:
        """Do what is due. Returns the seconds until the next look."""
        last = await self._store.read(archive.last_stamped)
        due = self._now() if last is None else moment(last) + self._settings.every
        if due <= self._now():
            await self.archive()
            due = self._now() + self._settings.every
        if self._probed is None or self._probed + PROBE <= self._now():
            await self.renew_stamps(self._now() + self._settings.renew_before)
            self._probed = self._now()
        return max(SHORTEST_SLEEP, min((due - self._now()).total_seconds(), LONGEST_SLEEP))


def _rehash(tx: Tx, records: VolumeRecords, algorithm: str, begin: int) -> Page:
    return check_page(tx, records, begin, algorithm).page
