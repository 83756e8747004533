"""Identifiers and times of the store."""

import itertools
import secrets
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_sequence = itertools.count(secrets.randbits(20))  # begins anywhere, so that nodes need not ask each other


def new_id(at: datetime) -> int:
    """A 62-bit identifier that grows with time: neighbours in time are neighbours on disk.

    Milliseconds, then 20 bits of a sequence: one process never makes the same twice in a millisecond, however many
    rows a group of works stores in it.
    """
    return (micros(at) // 1000 << 20 | next(_sequence) & 0xFFFFF) & 0x3FFFFFFFFFFFFFFF


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
