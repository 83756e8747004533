"""Warnings before a certificate ends: one line a day in the log for each, whatever restarts there are.

How near an end is follows from the date alone (``stage``); that today's lines were written stands in the store.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog

from kepgw.app.config import Config
from kepgw.errors import KepError
from kepgw.store import ledger
from kepgw.store.engine import Store, Tx
from kepgw.trust.keys import describe
from kepgw.trust.paths import load_anchors
from kepgw.trust.tokens import read_token

URGENT, SOON, EARLY = 7, 30, 60  # days before a certificate ends; no text fixes them
AGAIN: Final = 3600.0  # seconds between two looks at the date
EVENT: Final = "certificate-expires"  # what an administrator's alarm looks for

_COUNTER: Final = "expiry-told"  # the day of the last lines, as a proleptic ordinal, UTC

_log = structlog.get_logger("kepgw.expiry")


class Ending(NamedTuple):
    """The end of a certificate, by use (process, tls, tsa, trust-anchor) and holder.

    ``vital``: nothing of ours works without it.
    """

    use: str
    holder: str
    ends: datetime
    vital: bool = False


def stage(ends: datetime, at: datetime) -> int | None:
    """How near an end is: EARLY, SOON or URGENT days at most, 0 when it has come, None when it is far."""
    if at > ends:
        return 0
    days = (ends - at).days
    return next((each for each in (URGENT, SOON, EARLY) if days <= each), None)


def due(endings: Iterable[Ending], at: datetime) -> list[tuple[Ending, int]]:
    """The endings to tell of today, each with its stage.

    What ended more than URGENT days ago is told no more unless it is vital: an old root is kept to verify old evidence.
    """
    found = []
    for ending in endings:
        near = stage(ending.ends, at)
        if near is not None and (near or ending.vital or (at - ending.ends).days <= URGENT):
            found.append((ending, near))
    return found


def anchor_endings(config: Config) -> list[Ending]:
    """The roots that we trust. Raises ConfigurationError."""
    told = [describe(each) for each in load_anchors(config.trust.anchors)]
    return [Ending("trust-anchor", each.subject, each.not_after) for each in told]


def stamp_endings(tx: Tx) -> list[Ending]:
    """The time-stamp authority's certificate as it stands in the token of the newest tree head."""
    newest = ledger.newest_head(tx)
    if newest is None:
        return []
    told = describe(read_token(newest[2].token).cms.signer)
    return [Ending("tsa", told.subject, told.not_after)]


class ExpiryWatch:
    """Writes the lines. ``ends`` gives the ends of the certificates in use (kepgw.app.expiry)."""

    def __init__(
        self,
        store: Store,
        config: Config,
        ends: Callable[[], Mapping[tuple[str, str], datetime]],
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._config = config
        self._ends = ends
        self._now = now
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look at the date."""
        self._loop = asyncio.create_task(self._run(), name="expiry")

    async def stop(self) -> None:
        """End."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def look(self) -> int:
        """Write today's lines unless they are written. Returns how many."""
        at = self._now()
        today = at.astimezone(UTC).date().toordinal()
        if await self._store.read(_told) >= today:
            return 0
        own = self._config.provider.domain
        found = [Ending(use, holder, ends, holder == own) for (use, holder), ends in self._ends().items()]
        found += await asyncio.to_thread(anchor_endings, self._config)
        if not any(each.use == "tsa" for each in found):
            found += await self._store.read(stamp_endings)
        lines = due(found, at)
        # first the mark: a store that cannot be written must not make a line every hour
        await self._store.write(lambda tx: _tell(tx, today))
        for ending, near in lines:
            log = _log.error if near <= URGENT else _log.warning
            days = (ending.ends - at).days
            log(EVENT, use=ending.use, holder=ending.holder, ends=ending.ends.isoformat(), days=days, stage=near)
        return len(lines)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except KepError as error:
                _log.error("certificate-dates-unreadable", error=str(error))
            except Exception:  # the watch never ends by itself
                _log.exception("certificate-dates-unreadable")
            await asyncio.sleep(AGAIN)


def _told(tx: Tx) -> int:
    row = tx.row("SELECT value FROM counter WHERE name = ?", _COUNTER)
    return 0 if row is None else int(row[0])


def _tell(tx: Tx, day: int) -> None:
    tx.run(
        "INSERT INTO counter (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        _COUNTER,
        day,
    )
