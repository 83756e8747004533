"""The carrier: takes the durable tasks when they are due and does them, each step one commit.

A task that fails waits and is tried again; nothing is ever dropped. A killed process finds its tasks where they
were, with the identifiers and times that were fixed before.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from kepgw.errors import KepError, SigningUnavailable, StampUnavailable
from kepgw.interop.duties import Duties
from kepgw.store.engine import Change, Store
from kepgw.store.tasks import (
    AWAITING_SIGNATURE,
    AWAITING_STAMP,
    SIGN,
    TIMER,
    Kind,
    Task,
    due_lanes,
    look,
    postpone,
    wake,
)
from kepgw.trust.circuit import Waits

LONGEST_SLEEP: Final = timedelta(seconds=60)
SIGN_AT_ONCE: Final = 16  # tasks for each signing process: enough to keep it busy while commits are awaited
TIMERS_AT_ONCE: Final = 16

_log = logging.getLogger("kepgw.carrier")


class Carrier:
    """Runs the duties of a provider until it is stopped."""

    def __init__(
        self,
        store: Store,
        duties: Duties,
        now: Callable[[], datetime],
        workers: int,
        waits: Waits = Waits(5, 300),  # noqa: B008  (immutable)
    ) -> None:
        self._store = store
        self._duties = duties
        self._now = now
        self._sign_at_once = SIGN_AT_ONCE * workers
        self._wake = asyncio.Event()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._in_lane: dict[str, int] = {}
        self._ended: set[int] = set()  # since the queue was last looked at
        self._loop: asyncio.Task[None] | None = None
        self._stopping = False
        self._unsubscribe: Callable[[], None] | None = None
        self._waits = waits  # of work that awaits a signature or time stamp
        self._held_up = True  # whether such work may wait for its time; it may have before we started
        self.debt = 0  # signing tasks that wait
        self._do: dict[Kind, Callable[[Task], Awaitable[None]]] = {
            Kind.ISSUE: duties.issue,
            Kind.EVIDENCE: duties.evidence,
            Kind.RELAY: duties.relay,
            Kind.RECEIPT: duties.receipt,
            Kind.ANSWER_WINDOW: duties.answer_window,
            Kind.DELIVERY_WINDOW: duties.delivery_window,
            Kind.RETRIEVAL_WINDOW: duties.retrieval_window,
        }

    async def start(self) -> None:
        """Begin with what was left from before."""
        self._unsubscribe = self._store.subscribe(self._on_change)
        self._loop = asyncio.create_task(self._run(), name="carrier")

    async def stop(self, grace: float) -> None:
        """Take no new work, and finish what is in hand within ``grace`` seconds; the rest stays in the queue."""
        self._stopping = True
        self._wake.set()
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._loop is not None:
            await self._loop
        if self._running:
            _, late = await asyncio.wait(self._running.values(), timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def settled(self, *, relay: bool = True) -> None:
        """Wait until nothing is due and nothing is in hand (for tests and the demonstration)."""
        while True:
            lanes = await self._store.read(lambda tx: due_lanes(tx, self._now()))
            if not self._running and not [lane for lane in lanes if relay or lane in {SIGN, TIMER}]:
                return
            await asyncio.wait(list(self._running.values()) or [asyncio.create_task(asyncio.sleep(0.01))])

    def _on_change(self, change: Change) -> None:
        if change.topic in {"retry", "peer"}:  # asked for, or perhaps with another way
            self._duties.try_all()
        if change.topic == "task":
            self._wake.set()

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                pause = await self._start_due()
            except Exception:  # the carrier never ends by itself
                _log.exception("the queue cannot be read; trying again")
                pause = 1.0
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def _start_due(self) -> float:
        """Start what is due and has room; the seconds until something falls due that is not due yet."""
        now = self._now()
        busy = dict(self._in_lane)  # a snapshot for the reading thread

        def most(lane: str) -> int:
            # those in hand stand in the queue too, so a lane with room is read as far as it may run at once
            return self._at_once(lane) if busy.get(lane, 0) < self._at_once(lane) else 0

        self._ended.clear()
        found = await self._store.read(lambda tx: look(tx, now, most))
        self.debt = found.waiting
        if self._stopping:
            return 0.0
        # one that ended while we read is still in what we read
        known = self._running.keys() | self._ended
        for task in found.due:
            if task.id not in known and self._in_lane.get(task.lane, 0) < self._at_once(task.lane):
                self._in_lane[task.lane] = self._in_lane.get(task.lane, 0) + 1
                self._running[task.id] = asyncio.create_task(self._carry(task), name=f"{task.kind}-{task.id}")
        # counted from the same look at the clock: what fell due since then would be seen by neither
        until = LONGEST_SLEEP if found.next_due is None else min(found.next_due - self._now(), LONGEST_SLEEP)
        return max(until.total_seconds(), 0.0)

    def _at_once(self, lane: str) -> int:
        """How many tasks of a lane may run at once: a dead peer holds up nobody but itself."""
        ours = {SIGN: self._sign_at_once, TIMER: TIMERS_AT_ONCE}
        return ours.get(lane) or self._duties.at_once(lane)

    async def _carry(self, task: Task) -> None:
        try:
            await self._do[task.kind](task)
            if task.lane == SIGN and self._held_up:
                await self._go_on()
        except asyncio.CancelledError:
            raise
        except (StampUnavailable, SigningUnavailable) as error:
            what = AWAITING_STAMP if isinstance(error, StampUnavailable) else AWAITING_SIGNATURE
            _log.warning("waiting: task=%s id=%d reason=%s: %s", task.kind, task.id, what, error)
            self._held_up = True
            due = self._now() + timedelta(seconds=self._waits.seconds(task.attempts, random.random()))  # noqa: S311
            await self._later(task, due, f"{what}: {error}")
        except Exception as error:
            _log.exception("task failed: task=%s id=%d message=%d/%d", task.kind, task.id, task.month, task.message)
            due = self._now() + self._duties.settings.wait(task.attempts, random.random())  # noqa: S311  (jitter)
            await self._later(task, due, f"{type(error).__name__}: {error}")
        finally:
            self._running.pop(task.id, None)
            self._ended.add(task.id)
            self._in_lane[task.lane] -= 1
            if not self._in_lane[task.lane]:
                del self._in_lane[task.lane]
            self._wake.set()

    async def _go_on(self) -> None:
        """Signatures and stamps can be had again: what waits for its next attempt need not."""
        self._held_up = False
        await self._store.write(lambda tx: wake(tx, SIGN, self._now()))

    async def _later(self, task: Task, due: datetime, reason: str) -> None:
        with suppress(KepError):  # a full disk: the task stays as it is and comes again at the next look
            await self._store.write(lambda tx: postpone(tx, task, due, reason))
            return
        await asyncio.sleep(1.0)
