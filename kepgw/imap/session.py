"""The state of one session, without a socket: who is logged in, what is selected, what the client was told."""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, Protocol

from kepgw.accounts.rates import UNBOUNDED, Rate
from kepgw.accounts.rights import Right
from kepgw.imap.hub import Hub
from kepgw.imap.responses import BadCommand, Bye, Problem
from kepgw.imap.view import View
from kepgw.net.acceptor import Network
from kepgw.store.accounts import Operator, operator_by_login
from kepgw.store.engine import Store
from kepgw.store.login import Link, Logins
from kepgw.store.mailboxes import Mailbox, canonical, find
from kepgw.store.reading import MailRow, changes, uids_of

OnRead = Callable[[MailRow, Operator], Awaitable[None]]

ALWAYS: Final = "IMAP4rev1 LITERAL+ ID SASL-IR"
# what is whole; RFC 3348, 2177, 2342, 3691, 4315, 6851, 6154
ONCE_IN: Final = "CHILDREN IDLE MOVE NAMESPACE SPECIAL-USE UIDPLUS UNSELECT"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, and all of them, may take."""

    line: int = 64 * 1024  # octets of a command with its literals
    line_before_login: int = 8 * 1024
    message: int = 36 * 1024 * 1024  # octets of an APPEND
    handshake_seconds: float = 20.0  # for TLS
    login_seconds: float = 60.0  # from the connection to the login
    idle_seconds: float = 1800.0  # RFC 3501 5.4: at least 30 minutes
    literal_seconds: float = 300.0  # between two pieces of a literal
    connections: int = 10_000
    connections_per_address: int = 100
    arrivals: Rate = UNBOUNDED  # new connections of one address
    proxies: tuple[Network, ...] = ()  # who tells the client's address by the PROXY protocol
    auth_failures: int = 5
    bad_commands: int = 50  # in a row


@dataclass(frozen=True, slots=True)
class Context:
    """What all sessions share."""

    store: Store
    logins: Logins
    hub: Hub
    now: Callable[[], datetime]
    spool: Path
    limits: Limits
    provider: str
    read_evidence: Literal["seen", "fetch"]
    on_read: OnRead
    starttls: ssl.SSLContext | None = None


class Out(Protocol):
    """Where responses go."""

    def write(self, data: bytes) -> None:
        """Send soon."""

    async def drain(self) -> None:
        """Wait until little is waiting to be sent."""

    def wake(self) -> None:
        """Let whoever waits for the client look at the session again."""


class Session:
    """One client's session (RFC 3501 3)."""

    def __init__(self, context: Context, out: Out, link: Link, *, secure: bool) -> None:
        self.context = context
        self.out = out
        self.link = link
        self.secure = secure
        self.remote = link.remote
        self.operator_or_none: Operator | None = None
        self.view_or_none: View | None = None
        self.failures = 0
        self._stale = False  # the operator's row has changed

    # Watcher

    def mailbox_changed(self) -> None:
        """The store has news of the selected mailbox."""
        if self.view_or_none is not None:
            self.view_or_none.dirty = True
            self.out.wake()

    def account_changed(self) -> None:
        """The account was changed."""
        self._stale = True
        self.out.wake()

    # state

    @property
    def has_news(self) -> bool:
        """Whether an IDLE client should hear something."""
        return self._stale or (self.view_or_none is not None and self.view_or_none.dirty)

    @property
    def operator(self) -> Operator:
        """Who is logged in."""
        if self.operator_or_none is None:
            raise BadCommand("wrong-state")
        return self.operator_or_none

    @property
    def account(self) -> int:
        """Whose mailboxes these are."""
        return self.operator.account

    @property
    def view(self) -> View:
        """The selected mailbox."""
        if self.view_or_none is None:
            raise BadCommand("wrong-state")
        return self.view_or_none

    @property
    def writable(self) -> View:
        """The selected mailbox, if it may be changed."""
        if self.view.read_only:
            raise Problem("mailbox-read-only")
        return self.view

    def capabilities(self) -> str:
        """What can be done now."""
        if self.operator_or_none is not None:
            return f"{ALWAYS} {ONCE_IN}"
        if self.secure:
            return " ".join([ALWAYS, *(f"AUTH={each}" for each in self.context.logins.mechanisms(self.link))])
        return f"{ALWAYS} STARTTLS LOGINDISABLED" if self.context.starttls else f"{ALWAYS} LOGINDISABLED"

    def log_in(self, operator: Operator) -> None:
        """Enter the authenticated state."""
        self.operator_or_none = operator
        self.context.hub.watch_account(operator.account, self)

    def require(self, right: Right, key: str) -> None:
        """Raises Problem with NOPERM (RFC 5530 3) unless the operator has the right."""
        if not self.operator.may(right):
            raise Problem(key, "NOPERM")

    def select(self, view: View | None) -> None:
        """Enter or leave the selected state."""
        if self.view_or_none is not None:
            self.context.hub.leave_mailbox(self.view_or_none.id, self)
        self.view_or_none = view
        if view is not None:
            self.context.hub.watch_mailbox(view.id, self)

    def close(self) -> None:
        """Watch nothing any more."""
        self.select(None)
        if self.operator_or_none is not None:
            self.context.hub.leave_account(self.operator_or_none.account, self)

    async def mailbox(self, name: str, code: str = "NONEXISTENT") -> Mailbox:
        """The mailbox of a name. Raises Problem."""
        account, wanted = self.account, canonical(name)
        mailbox = await self.context.store.read(lambda tx: find(tx, account, wanted))
        if mailbox is None:
            raise Problem("mailbox-none", code)
        return mailbox

    async def refresh_operator(self) -> None:
        """Read the operator again when its row has changed. Raises Bye when it may not be here any more."""
        if not self._stale or self.operator_or_none is None:
            return
        self._stale = False
        login = self.operator_or_none.login
        operator = await self.context.store.read(lambda tx: operator_by_login(tx, login))
        if operator is None or not operator.active:
            raise Bye("account-disabled", "ALERT")
        self.operator_or_none = operator

    async def sync(self, *, expunge: bool) -> None:
        """Tell the client what other sessions and deliveries did to the selected mailbox.

        Removals are told only with ``expunge``: RFC 3501 7.4.1 forbids them while FETCH, STORE or SEARCH are answered.
        """
        view = self.view_or_none
        if view is None or not (view.dirty or (expunge and view.has_gone)):
            return
        store, mailbox = self.context.store, view.id
        view.dirty = False  # before reading: what comes after is news again
        found = await store.read(lambda tx: changes(tx, mailbox, view.modseq))
        if found is None:
            self.select(None)
            raise Bye("mailbox-gone")
        last = view.uids[-1] if view.uids else 0
        new = [uid for uid, _, _ in found.rows if uid > last]
        claimed = [] if view.read_only else self.context.hub.claim(mailbox, new)
        self.out.write(view.apply(found, claimed))
        if expunge and view.has_gone:
            self.out.write(view.remove(await store.read(lambda tx: uids_of(tx, mailbox))))
        await self.out.drain()
