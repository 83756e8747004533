r"""Who watches which mailbox: one subscription to the store for all sessions, and who is first to see new mail."""

from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

from kepgw.store.engine import Change, Store


class Watcher(Protocol):
    """A session that watches."""

    def mailbox_changed(self) -> None:
        """Its selected mailbox has news."""

    def account_changed(self) -> None:
        """Its account or operator was changed: rights or state may differ."""


class Hub:
    """Passes committed changes of the store on to sessions."""

    def __init__(self, store: Store) -> None:
        self._mailboxes: defaultdict[int, set[Watcher]] = defaultdict(set)
        self._accounts: defaultdict[int, set[Watcher]] = defaultdict(set)
        self._claimed: dict[int, int] = {}
        self._end: Callable[[], None] | None = store.subscribe(self._on_change)

    def close(self) -> None:
        """Hear nothing more."""
        if self._end is not None:
            self._end()
            self._end = None

    def _on_change(self, change: Change) -> None:
        if change.topic == "mailbox":
            for watcher in tuple(self._mailboxes.get(change.key, ())):
                watcher.mailbox_changed()
        elif change.topic == "account":
            for watcher in tuple(self._accounts.get(change.key, ())):
                watcher.account_changed()

    def watch_mailbox(self, mailbox: int, watcher: Watcher) -> None:
        """Tell ``watcher`` of changes of a mailbox."""
        self._mailboxes[mailbox].add(watcher)

    def leave_mailbox(self, mailbox: int, watcher: Watcher) -> None:
        """No more."""
        _leave(self._mailboxes, mailbox, watcher)
        if mailbox not in self._mailboxes:
            self._claimed.pop(mailbox, None)

    def watch_account(self, account: int, watcher: Watcher) -> None:
        """Tell ``watcher`` of changes of an account."""
        self._accounts[account].add(watcher)

    def leave_account(self, account: int, watcher: Watcher) -> None:
        """No more."""
        _leave(self._accounts, account, watcher)

    def claim(self, mailbox: int, uids: list[int]) -> list[int]:
        r"""Those of the new ``uids`` that no other session was given as \Recent (RFC 3501 2.3.2)."""
        seen = self._claimed.get(mailbox, 0)
        fresh = [uid for uid in uids if uid > seen]
        if fresh:
            self._claimed[mailbox] = fresh[-1]
        return fresh


def _leave(where: defaultdict[int, set[Watcher]], key: int, watcher: Watcher) -> None:
    watchers = where.get(key)
    if watchers is not None:
        watchers.discard(watcher)
        if not watchers:
            del where[key]
