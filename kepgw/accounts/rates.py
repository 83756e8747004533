"""How much in how long: token buckets, bounded in number. Pure: the time is an argument, in seconds."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

ENTRIES: Final = 20_000  # buckets that are kept; a full one says nothing and is let go first


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` in ``seconds``; so many at once too. A count of 0 sets no bound."""

    count: int
    seconds: float


UNBOUNDED: Final = Rate(0, 60.0)


class Buckets:
    """One bucket for each key that has lately taken something."""

    def __init__(self, rate: Rate, entries: int = ENTRIES) -> None:
        self.rate = rate
        self._entries = entries
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens at a time

    def wait(self, key: str, at: float, amount: int = 1) -> float:
        """Seconds until ``amount`` can be taken; 0 when it can be now."""
        if self.rate.count <= 0:
            return 0.0
        # more at once than the bucket holds can be taken when it is full
        missing = min(amount, self.rate.count) - self._tokens(key, at)
        return max(missing * self.rate.seconds / self.rate.count, 0.0)

    def take(self, key: str, at: float, amount: int = 1) -> None:
        """Take; what is not there is owed."""
        if self.rate.count <= 0:
            return
        tokens = self._tokens(key, at) - amount
        self._left.pop(key, None)
        self._left[key] = (max(tokens, -float(self.rate.count)), at)
        if len(self._left) > self._entries:
            self._let_go(at)

    def _tokens(self, key: str, at: float) -> float:
        left = self._left.get(key)
        if left is None:
            return float(self.rate.count)
        tokens, since = left
        return min(tokens + (at - since) * self.rate.count / self.rate.seconds, float(self.rate.count))

    def _let_go(self, at: float) -> None:
        key, _ = next(iter(self._left.items()))
        for each in list(self._left)[:64]:  # the oldest: most of them are full again
            if self._tokens(each, at) >= self.rate.count:
                del self._left[each]
        if len(self._left) > self._entries:
            self._left.pop(key, None)
