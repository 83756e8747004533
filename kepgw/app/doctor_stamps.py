"""What ``kepgw doctor`` finds out about time stamps: each authority is asked for one, and clocks are compared."""

import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kepgw.app.config import Config
from kepgw.app.stamping import stamping_of
from kepgw.errors import ConfigurationError, KepError, StampUnavailable
from kepgw.trust.keys import describe, load_key
from kepgw.trust.paths import load_anchors
from kepgw.trust.stamping import HttpTsa, Outcome, verify_token
from kepgw.trust.tsaclient import WRONG_OUTCOMES

CLOCK: Final = timedelta(seconds=10)  # difference to an authority's clock that deserves a look

Found = tuple[Any, ...]  # level, what, detail, remedy
_REMEDIES: Final = {
    Outcome.UNTRUSTED: "put the root of the authority in trust.anchors",
    Outcome.POLICY: "correct tsa.policy, or ask the authority which policy your account has",
    Outcome.ACCURACY: "correct tsa.accuracy, or take a better authority",
    Outcome.HTTP: "check tsa.url, and the account: user and password_file, token_file or client_certificate",
    Outcome.REFUSED: "ask the authority: your account, its quota, or the digest and policy that it takes",
}


def examine_stamps(config: Config, at: datetime, lifetime: Callable[..., Found]) -> Iterator[Found]:
    """Level, what, detail and remedy of each finding; ``lifetime`` words that of a certificate."""
    stamping = stamping_of(config)
    try:
        anchors: Sequence[bytes] = load_anchors(config.trust.anchors)
    except ConfigurationError:
        anchors = ()  # told as a missing file
    findings: list[Found] = []
    offsets: dict[str, timedelta] = {}
    digest = hashlib.new(stamping.digest, secrets.token_bytes(32)).digest()
    for authority in stamping.authorities:
        what = f"time stamp {authority.url or authority.kind}"
        lax = replace(authority, demands=replace(authority.demands, clock=None))  # clocks are compared here
        try:
            if authority.kind == "development":
                key = load_key(stamping.tsa_key, *stamping.tsa_certificates, purpose="tsa")
                findings.append(lifetime(f"{what} certificate", key.days_left(at), key.not_after, "make new keys"))
            token = _token(stamping.authority(lax, anchors), digest)
            stamped = verify_token(token, digest, anchors)
            if authority.kind != "development":
                told = describe(stamped.tsa_certificate, at)
                remedy = "ask the authority which root its next certificate leads to, and trust that in trust.anchors"
                findings.append(lifetime(f"{what} certificate", told.days_left, told.not_after, remedy))
        except KepError as error:
            findings.append(("problem", what, *_why(error)))
            continue
        offsets[what] = stamped.time - datetime.now(UTC)
        if abs(offsets[what]) <= CLOCK:
            findings.append(("ok", what, f"given and verified, {stamped.time:%Y-%m-%d %H:%M:%S}Z", ""))
    findings += _clocks(offsets, timedelta(seconds=config.stamping.clock_bound))
    # one authority that serves is enough; the others are only missed
    enough = any(found[0] != "problem" and "certificate" not in found[1] for found in findings)
    for found in findings:
        yield ("warning", *found[1:]) if enough and found[0] == "problem" else found


def _token(authority: Any, digest: bytes) -> bytes:
    try:
        token: bytes = authority.token(digest, secrets.randbits(64))
        return token
    finally:
        if isinstance(authority, HttpTsa):
            authority.close()


def _why(error: KepError) -> tuple[str, str]:
    outcome = error.outcome if isinstance(error, StampUnavailable) else Outcome.WRONG
    if outcome in WRONG_OUTCOMES:
        remedy = _REMEDIES.get(Outcome(outcome), "do not use this authority before you know why")
        return f"comes, but does not verify: {error}", remedy
    known = Outcome(outcome) if outcome in set(Outcome) else Outcome.CONNECT
    return f"gives none: {error}", _REMEDIES.get(known, "check [[tsa]] and the way to the authority")


def _clocks(offsets: dict[str, timedelta], bound: timedelta) -> Iterator[Found]:
    """Which clock is wrong: ours, when at least two authorities agree; else nobody can tell from here."""
    differing = {what: offset for what, offset in offsets.items() if abs(offset) > CLOCK}
    ours = len(differing) > 1 and len(differing) == len(offsets)
    for what, offset in differing.items():
        way = "behind" if offset > timedelta(0) else "ahead of"
        detail = f"our clock is {abs(offset).total_seconds():.0f} s {way} its clock"
        if ours:
            detail += ", and all authorities agree that ours is wrong"
        remedy = "let NTP set the clock of this machine" + ("" if ours else "; if ours is right, tell the authority")
        yield "problem" if abs(offset) > bound else "warning", what, detail, remedy
