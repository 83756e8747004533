"""Authorities in order: the first that may be asked and gives a token serves; one that fails is left alone a while.

Each signing process has an order of its own with circuits of its own (ADR 18). They are not shared: a process learns
of an outage by one failed request, which costs less than a lock or a message for every stamp, and one that starts
again begins with a clean sheet. Jitter keeps their probes apart.
"""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

from kepgw.errors import FormatError, SignatureInvalid, StampUnavailable
from kepgw.trust.circuit import Circuit, Waits
from kepgw.trust.tokens import read_token
from kepgw.trust.tsaclient import WRONG_OUTCOMES, Authority, Outcome

WAITS: Final = Waits(5, 300)  # seconds; no text fixes them
WRONG_WAITS: Final = Waits(600, 3600)

_log = logging.getLogger("kepgw.stamping")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to an authority: its outcome, how long it took, and how far its clock was ahead of ours if told."""

    authority: str
    outcome: str
    seconds: float
    offset: float | None = None


class Standing(NamedTuple):
    """How an authority stands with this process: ``left`` seconds until it is asked again, 0 when it may be."""

    authority: str
    closed: bool
    left: float


class TsaOrder:
    """It satisfies ``kepgw.evidence.xades.Stamp``; ``digest`` names the digest that it wants to be called with.

    ``attempted`` is told each request, for the metrics.
    """

    def __init__(
        self,
        authorities: Sequence[Authority],
        attempted: Callable[[Attempt], None] | None = None,
        *,
        digest: str = "sha256",
        waits: Waits = WAITS,
        wrong_waits: Waits = WRONG_WAITS,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.digest = digest
        self._authorities = tuple((each, Circuit(waits, wrong_waits, clock)) for each in authorities)
        self._attempted = attempted
        self._clock = clock
        self._now = now or partial(datetime.now, UTC)

    def __call__(self, digest: bytes) -> bytes:
        """The token (DER) over ``digest``. Raises StampUnavailable, with every reason, when none serves."""
        reasons = []
        for authority, circuit in self._authorities:
            if not circuit.enter():
                reasons.append(f"{authority.name}: left alone for {circuit.left:.0f} s more")
                continue
            try:
                return self._ask(authority, circuit, digest)
            except StampUnavailable as error:
                reasons.append(str(error))
        raise StampUnavailable("; ".join(reasons) or "no time-stamp authority is configured")

    def check(self) -> None:
        """Raise StampUnavailable when no authority may be asked now, before anything is signed in vain."""
        if self._authorities and all(not circuit.closed and circuit.left for _, circuit in self._authorities):
            left = min(circuit.left for _, circuit in self._authorities)
            raise StampUnavailable(f"every time-stamp authority failed; the next is asked in {left:.0f} s")

    def standings(self) -> tuple[Standing, ...]:
        """All authorities in order."""
        return tuple(Standing(each.name, circuit.closed, circuit.left) for each, circuit in self._authorities)

    def _ask(self, authority: Authority, circuit: Circuit, digest: bytes) -> bytes:
        begun, outcome, offset = self._clock(), str(Outcome.UNAVAILABLE), None
        probed = not circuit.closed
        try:
            token = authority.token(digest, secrets.randbits(64))
            outcome, offset = Outcome.GOOD, self._offset(token)
        except StampUnavailable as error:
            outcome, offset = error.outcome, error.offset
            wrong = outcome in WRONG_OUTCOMES
            circuit.failed(wrong=wrong)
            level = logging.ERROR if wrong else logging.WARNING
            _log.log(level, "no time stamp: outcome=%s wait=%.0f reason=%s", outcome, circuit.left, error)
            raise
        except BaseException:
            circuit.failed()
            raise
        finally:
            if self._attempted is not None:
                self._attempted(Attempt(authority.name, outcome, self._clock() - begun, offset))
        circuit.good()
        if probed:
            _log.info("time stamps again: authority=%s", authority.name)
        return token

    def _offset(self, token: bytes) -> float | None:
        try:
            return (read_token(token).time - self._now()).total_seconds()
        except (FormatError, SignatureInvalid):  # an authority in this process is not verified
            return None
