"""Which message an administrator means: by number, KEP identifier or Message-ID."""

from typing import Any, NamedTuple

from kepgw.app.control import Refused
from kepgw.store import messages
from kepgw.store.engine import Tx
from kepgw.store.ids import moment, month_of


class Key(NamedTuple):
    """A message's primary key."""

    month: int
    id: int


def no_message(name: str) -> Refused:
    """The answer about a message that is not there."""
    return Refused(f"no message is known by {name[:200]!r}; give its number, KEP identifier or Message-ID")


def find(tx: Tx, name: str) -> Key:
    """The message that ``name`` means. Raises Refused when there is none, or more than one."""
    name = name.strip()
    keys: list[tuple[Any, ...]] = []
    if name.isascii() and name.isdigit() and len(name) < 20:
        number = int(name)
        # a number begins with its time, so the month need not be searched for
        month = month_of(moment((number >> 20) * 1000))
        keys = tx.rows("SELECT month, id FROM message WHERE month = ? AND id = ?", month, number) or tx.rows(
            "SELECT month, id FROM message WHERE id = ? LIMIT 2", number
        )
    if not keys:
        key = messages.dispatch_by_remmd(tx, name)
        if key is not None:
            keys = tx.rows("SELECT month, message FROM dispatch WHERE month = ? AND id = ?", *key)
    if not keys:
        keys = tx.rows("SELECT DISTINCT month, message FROM dispatch WHERE remmd_id = ? LIMIT 2", name)
    if not keys:
        bare = name.strip("<>")
        keys = tx.rows("SELECT month, id FROM message WHERE ua_message_id IN (?, ?) LIMIT 10", bare, f"<{bare}>")
    if not keys:
        raise no_message(name)
    if len(keys) > 1:
        numbers = ", ".join(str(key[1]) for key in keys)
        raise Refused(f"several messages have this identifier; name one by its number: {numbers}")
    return Key(*keys[0])
