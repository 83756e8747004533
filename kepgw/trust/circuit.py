"""Leaving alone what fails: growing waits with jitter, and a circuit that opens, waits, and is tried by one probe.

No clock and no chance of its own: both are given, so that tests hold them.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waits:
    """Growing waits in seconds: ``first``, then ``factor`` times longer each, at most ``most``; ``jitter`` is the
    share of a wait, either way, that is left to chance so that many who wait do not come back in step.
    """

    first: float
    most: float
    factor: float = 2.0
    jitter: float = 0.2

    def seconds(self, failures: int, chance: float) -> float:
        """The wait after ``failures`` earlier failures (0: the first wait); ``chance`` is in 0..1."""
        try:
            grown = min(self.first * self.factor**failures, self.most)
        except OverflowError:  # something may fail for ever
            grown = self.most
        return grown * (1 + self.jitter * (2 * chance - 1))


class Circuit:
    """Whether something may be asked: closed (yes), open (no, until its wait ends), then one probe decides.

    ``waits`` follow a failure, ``wrong_waits`` an answer that must not be used. Safe to use from many threads.
    """

    def __init__(
        self,
        waits: Waits,
        wrong_waits: Waits,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._waits = waits
        self._wrong_waits = wrong_waits
        self._clock = clock
        self._chance = chance
        self._lock = threading.Lock()
        self._failures = 0
        self._wrongs = 0
        self._until = 0.0
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether the last answer was good, or nobody has asked yet."""
        return not self._failures

    @property
    def left(self) -> float:
        """Seconds until a probe may be made; 0 when one may be made now or the circuit is closed."""
        return max(self._until - self._clock(), 0.0) if self._failures else 0.0

    def enter(self, *, early: bool = False) -> bool:
        """Whether to ask now. Who gets True tells the outcome by ``good``, ``failed`` or ``undecided``.

        ``early``: a probe may be made before its time, though not beside another.
        """
        with self._lock:
            if not self._failures:
                return True
            if self._probing or (self._clock() < self._until and not early):
                return False
            self._probing = True
            return True

    def good(self) -> None:
        """It answered: everybody may ask."""
        with self._lock:
            self._failures = self._wrongs = 0
            self._probing = False

    def undecided(self) -> None:
        """Nothing was learned: another may probe."""
        with self._lock:
            self._probing = False

    def failed(self, *, wrong: bool = False) -> None:
        """It did not answer, or with something ``wrong``, which keeps it out by the longer waits."""
        with self._lock:
            waits, before = (self._wrong_waits, self._wrongs) if wrong else (self._waits, self._failures)
            wait = waits.seconds(before, self._chance())
            self._until = max(self._clock() + wait, self._until)  # a lesser failure shortens no longer wait
            self._failures += 1
            self._wrongs += wrong
            self._probing = False
