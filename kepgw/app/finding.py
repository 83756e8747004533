"""What ``kepgw doctor`` says of one thing that it looked at."""

from datetime import datetime
from typing import Literal, NamedTuple

Level = Literal["ok", "warning", "problem"]

URGENT, SOON, EARLY = 7, 30, 60  # days before a certificate ends; no text fixes them


class Finding(NamedTuple):
    """What was looked at, how it is, and what to do when it is not well."""

    level: Level
    what: str
    detail: str
    remedy: str = ""


def lifetime(what: str, days: int, until: datetime, remedy: str) -> Finding:
    """How long a certificate still holds."""
    end = f"until {until:%Y-%m-%d}"
    if days < 0:
        return Finding("problem", what, f"ended {until:%Y-%m-%d}", remedy)
    level: Level = "problem" if days <= URGENT else "warning" if days <= EARLY else "ok"
    haste = "now: " if days <= URGENT else "soon: " if days <= SOON else ""
    return Finding(level, what, f"{end}, {days} days left", "" if level == "ok" else haste + remedy)
