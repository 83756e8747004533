"""The keeper of the ledger's tree heads: has the tree signed and stamped on a schedule, and never over a broken one.

What is due follows from the store alone: a killed process goes on where it was.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from kepgw.errors import SigningUnavailable, StampUnavailable, StoreError
from kepgw.evidence.ledger import Head
from kepgw.store import ledger
from kepgw.store.engine import Change, Store, Tx
from kepgw.trust.circuit import Waits

RETRY: Final = Waits(5, 300)  # seconds until the next attempt when nobody signs or stamps
LONGEST_SLEEP: Final = 3600.0

_log = logging.getLogger("kepgw.ledger")


class Workshop(Protocol):
    """Where heads are signed (kepgw.interop.workshop)."""

    async def head(self, size: int, root: bytes) -> Head:
        """The signed and stamped head of a tree. Raises SigningUnavailable or StampUnavailable."""


@dataclass(frozen=True, slots=True)
class HeadSettings:
    """When a tree head is due: ``every`` after the last one if there is a new record, or after ``leaves`` records."""

    every: timedelta = timedelta(hours=1)
    leaves: int = 1000


class HeadKeeper:
    """Signs tree heads until it is stopped."""

    def __init__(
        self,
        store: Store,
        workshop: Workshop,
        settings: HeadSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._workshop = workshop
        self._settings = settings
        self._now = now
        self._wake = asyncio.Event()
        self._wake_at: float = 0  # a tree of this size wakes us
        self._signing = asyncio.Lock()
        self._loop: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        """Begin to watch the ledger."""
        self._unsubscribe = self._store.subscribe(self._on_change)
        self._loop = asyncio.create_task(self._run(), name="heads")

    async def stop(self) -> None:
        """End; a head that is being made is made again after the next start."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def sign_now(self) -> int:
        """Have the whole tree signed, unless it is already. Returns its size.

        Raises StampUnavailable, SigningUnavailable, or StoreError when the tree does not continue the last head.
        """
        async with self._signing:
            size, root, signed = await self._store.read(checked)
            if size > signed:
                head = await self._workshop.head(size, root)
                await self._store.write(lambda tx: ledger.put_head(tx, head))
                _log.info("tree head signed: size=%d root=%s", size, root.hex())
            return size

    def _on_change(self, change: Change) -> None:
        if change.topic == ledger.TOPIC and change.key >= self._wake_at:
            self._wake.set()

    async def _run(self) -> None:
        pause = 0.0
        failures = 0
        while True:
            self._wake.clear()
            self._wake_at = 0  # what comes while we look is looked at again
            try:
                pause = await self._look()
                failures = 0
            except (StampUnavailable, SigningUnavailable) as error:
                _log.warning("tree head waits: %s", error)
                failures += 1
            except StoreError as error:
                _log.error("no tree head is signed: %s", error)
                failures += 1
            except Exception:  # the keeper never ends by itself
                _log.exception("tree head failed")
                failures += 1
            if failures:
                self._wake_at = math.inf
                pause = RETRY.seconds(failures - 1, random.random())  # noqa: S311  (jitter)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def _look(self) -> float:
        """Sign if a head is due. Returns the seconds until the next look, and sets what wakes us before."""
        size, newest = await self._store.read(lambda tx: (ledger.tree(tx).size, ledger.newest_head(tx)))
        signed, due = (newest[0], newest[1] + self._settings.every) if newest else (0, self._now())
        left = (due - self._now()).total_seconds()
        if size > signed and (left <= 0 or size - signed >= self._settings.leaves):
            signed = await self.sign_now()
            left = self._settings.every.total_seconds()
        # past its time the next record is signed at once
        self._wake_at = signed + (self._settings.leaves if left > 0 else 1)
        return min(left, LONGEST_SLEEP) if left > 0 else LONGEST_SLEEP


def checked(tx: Tx) -> tuple[int, bytes, int]:
    """Size and root of the tree, and the size of the last head, which the tree continues.

    Only the nodes of two edges are read. Raises StoreError when they do not fit: a signature never covers up damage.
    """
    tree = ledger.tree(tx)
    newest = ledger.newest_head(tx)
    if ledger.root_at(tx, tree.size) != tree.root:
        raise StoreError("the ledger's edge and its nodes differ; run kepgw ledger verify")
    if newest is None:
        return tree.size, tree.root, 0
    if newest[0] > tree.size:
        raise StoreError(f"a head was signed over {newest[0]} records, there are {tree.size}; run kepgw ledger verify")
    if ledger.root_at(tx, newest[0]) != newest[2].read().root:
        raise StoreError(f"the ledger does not continue its head of {newest[0]} records; run kepgw ledger verify")
    return tree.size, tree.root, newest[0]
