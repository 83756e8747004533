"""Whether there is a way to a peer: after a failure one attempt at a time, and everything else waits for its outcome.

Without it every message that waits for a dead peer would make connections of its own, each until its time-out.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kepgw.interop.desk import RelayProblem
from kepgw.interop.settings import RelaySettings
from kepgw.trust.circuit import Circuit

# stages of a RelayProblem at which the peer has said nothing about the message: it is the same for all
NO_WAY: Final = frozenset({"dns", "connect", "tls"})


@dataclass(slots=True)
class _Way:
    circuit: Circuit
    failed: datetime | None = None  # when the last attempt ended
    reason: RelayProblem | None = None


class Ways:
    """The ways to all peers. ``chance`` is in 0..1."""

    def __init__(
        self, settings: RelaySettings, now: Callable[[], datetime], chance: Callable[[], float] = random.random
    ) -> None:
        self._settings = settings
        self._now = now
        self._chance = chance
        self._ways: dict[str, _Way] = {}

    def reconfigure(self, settings: RelaySettings) -> None:
        """Wait by other settings, from a new beginning."""
        self._settings = settings
        self.forget()

    def forget(self) -> None:
        """Every peer may be tried at once."""
        self._ways = {}

    def open(self, peer: str) -> bool:
        """Whether nothing is known against an attempt."""
        way = self._ways.get(peer)
        return way is None or way.circuit.closed

    def left(self, peer: str) -> timedelta:
        """How long the others wait: until the next attempt, or for one that is being made."""
        way = self._ways.get(peer)
        if way is None or way.circuit.closed:
            return timedelta()
        return timedelta(seconds=way.circuit.left) or self._settings.retry_first

    @contextmanager
    def attempt(self, peer: str, *, last: bool) -> Iterator[None]:
        """What is done inside tells whether there is a way: a RelayProblem of a stage of NO_WAY says no.

        Raises RelayProblem as before when nothing is to be tried now. ``last``: the caller has no later time to wait
        for, so it is tried once more, unless that was done a moment ago.
        """
        way = self._ways.setdefault(peer, self._new())
        before = way.circuit.closed
        lately = way.failed is not None and self._now() - way.failed < self._settings.retry_first
        if not way.circuit.enter(early=last and not lately):
            raise way.reason or RelayProblem(f"{peer} is being tried", permanent=False, stage="connect")
        try:
            yield
        except RelayProblem as problem:
            if problem.stage not in NO_WAY:
                way.circuit.good()
                raise
            way.failed, way.reason = self._now(), problem
            if not before or way.circuit.closed:  # those that began beside one another fail as one
                way.circuit.failed()
            raise
        except BaseException:
            way.circuit.undecided()
            raise
        way.circuit.good()

    def _new(self) -> _Way:
        settings = self._settings
        return _Way(Circuit(settings.waits, settings.waits, lambda: self._now().timestamp(), self._chance))
