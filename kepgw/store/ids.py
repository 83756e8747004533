"""Identifiers and times of the store."""

import secrets
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id(at: datetime) -> int:
    """A 62-bit identifier that grows with time (milliseconds, then 20 random bits): neighbours in time are
    neighbours on disk, and any number of nodes may make them without asking each other.
    """
    return (micros(at) // 1000 << 20 | secrets.randbits(20)) & 0x3FFFFFFFFFFFFFFF


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(value: int) -> datetime:
    """The time that ``micros`` made the number of."""
    return _EPOCH + timedelta(microseconds=value)


def month_of(at: datetime) -> int:
    """The month of a time as ``yyyymm``, UTC: part of every primary key of a message's rows."""
    utc = at.astimezone(UTC)
    return utc.year * 100 + utc.month
