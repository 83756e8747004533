"""What ``kepgw doctor`` says of one thing that it looked at."""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from kepgw.app.expirywatch import SOON, URGENT, stage

Level = Literal["ok", "warning", "problem"]


class Finding(NamedTuple):
    """What was looked at, how it is, and what to do when it is not well."""

    level: Level
    what: str
    detail: str
    remedy: str = ""


def lifetime(what: str, days: int, until: datetime, remedy: str) -> Finding:
    """How long a certificate still holds."""
    near = stage(until, until - timedelta(days=days))
    if days < 0:
        return Finding("problem", what, f"ended {until:%Y-%m-%d}", remedy)
    level: Level = "ok" if near is None else "problem" if near <= URGENT else "warning"
    haste = "" if near is None else "now: " if near <= URGENT else "soon: " if near <= SOON else ""
    return Finding(level, what, f"until {until:%Y-%m-%d}, {days} days left", "" if level == "ok" else haste + remedy)
