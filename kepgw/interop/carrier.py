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
from functools import partial
from typing import Final

from kepgw.errors import KepError, SigningUnavailable, StampUnavailable
from kepgw.interop.duties import Duties
from kepgw.store.engine import Change, Store
from kepgw.store.tasks import SIGN, TIMER, Kind, Task, due_lanes, due_tasks, next_due, postpone, waiting

LONGEST_SLEEP: Final = timedelta(seconds=60)
SIGN_AT_ONCE: Final = 4  # tasks for each signing process: enough to keep it busy while commits are awaited
TIMERS_AT_ONCE: Final = 16

_log = logging.getLogger("kepgw.carrier")


class Carrier:
    """Runs the duties of a provider until it is stopped."""

    def __init__(self, store: Store, duties: Duties, now: Callable[[], datetime], workers: int) -> None:
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
        if change.topic == "task":
            self._wake.set()

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                # one look at the clock: what falls due between two would be seen by neither
                now = self._now()
                await self._start_due(now)
                pause = await self._pause(now)
            except Exception:  # the carrier never ends by itself
                _log.exception("the queue cannot be read; trying again")
                pause = 1.0
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def _start_due(self, now: datetime) -> None:
        lanes, self.debt = await self._store.read(lambda tx: (due_lanes(tx, now), waiting(tx)))
        for lane in lanes:
            room = self._room(lane)
            if room <= 0:
                continue
            most = room + self._in_lane.get(lane, 0)
            self._ended.clear()
            found = await self._store.read(partial(due_tasks, lane=lane, at=now, limit=most))
            if self._stopping:
                return
            # one that ended while we read is still in what we read
            known = self._running.keys() | self._ended
            for task in [each for each in found if each.id not in known][:room]:
                self._in_lane[lane] = self._in_lane.get(lane, 0) + 1
                self._running[task.id] = asyncio.create_task(self._carry(task), name=f"{task.kind}-{task.id}")

    def _room(self, lane: str) -> int:
        """How many more tasks of a lane may run: a dead peer holds up nobody but itself."""
        most = {SIGN: self._sign_at_once, TIMER: TIMERS_AT_ONCE}.get(lane, self._duties.settings.connections_per_peer)
        return most - self._in_lane.get(lane, 0)

    async def _pause(self, looked: datetime) -> float:
        """Seconds until something falls due that was not due when the queue was looked at."""
        due = await self._store.read(lambda tx: next_due(tx, looked))
        until = LONGEST_SLEEP if due is None else min(due - self._now(), LONGEST_SLEEP)
        return max(until.total_seconds(), 0.0)

    async def _carry(self, task: Task) -> None:
        try:
            await self._do[task.kind](task)
        except asyncio.CancelledError:
            raise
        except (StampUnavailable, SigningUnavailable) as error:
            _log.warning("waiting: task=%s id=%d reason=%s", task.kind, task.id, error)
            await self._later(task, f"awaiting signature or time stamp: {error}")
        except Exception as error:
            _log.exception("task failed: task=%s id=%d message=%d/%d", task.kind, task.id, task.month, task.message)
            await self._later(task, f"{type(error).__name__}: {error}")
        finally:
            self._running.pop(task.id, None)
            self._ended.add(task.id)
            self._in_lane[task.lane] -= 1
            if not self._in_lane[task.lane]:
                del self._in_lane[task.lane]
            self._wake.set()

    async def _later(self, task: Task, reason: str) -> None:
        due = self._now() + self._duties.settings.wait(task.attempts, random.random())  # noqa: S311  (jitter)
        with suppress(KepError):  # a full disk: the task stays as it is and comes again at the next look
            await self._store.write(lambda tx: postpone(tx, task, due, reason))
            return
        await asyncio.sleep(1.0)
