"""The IMAP server on its sockets: listeners, caps on connections, an orderly end."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from kepgw.imap.connection import Connection
from kepgw.imap.hub import Hub
from kepgw.imap.responses import status
from kepgw.imap.session import Context, Limits, OnRead
from kepgw.imap.wire import Wire
from kepgw.net.acceptor import Acceptor, Caps, Door
from kepgw.store.accounts import Operator
from kepgw.store.engine import Store
from kepgw.store.login import Logins
from kepgw.store.reading import MailRow

_log = logging.getLogger("kepgw.imap")


async def _ignored(mail: MailRow, operator: Operator) -> None:
    """Nobody wants to know who reads."""


class ImapServer:
    """Serves mailboxes of a store over IMAP4rev1.

    ``spool``: folder for APPENDed messages on their way. ``on_read`` is awaited before the body of a dispatch leaves
    (``read_evidence``: "seen" when it is read, "fetch" also when it is only peeked at) and must return when the event
    is durable; it may be called more than once for one dispatch.
    """

    def __init__(
        self,
        store: Store,
        logins: Logins,
        *,
        now: Callable[[], datetime],
        spool: Path,
        provider: str = "kepgw",
        limits: Limits | None = None,
        read_evidence: Literal["seen", "fetch"] = "seen",
        on_read: OnRead = _ignored,
    ) -> None:
        self._store = store
        self._logins = logins
        self._now = now
        self._spool = spool
        self._provider = provider
        self._limits = limits or Limits()
        self._read_evidence = read_evidence
        self._on_read = on_read
        self._hub: Hub | None = None
        self._contexts: dict[Door, Context] = {}
        self._wires: set[Wire] = set()
        self._acceptor = Acceptor(_caps(self._limits), Wire, self._serve, _log)

    def reconfigure(self, limits: Limits, read_evidence: Literal["seen", "fetch"]) -> None:
        """Other settings for sessions that begin from now on."""
        self._limits, self._read_evidence = limits, read_evidence
        self._acceptor.reconfigure(_caps(limits))
        for door, context in self._contexts.items():
            self._contexts[door] = replace(context, limits=limits, read_evidence=read_evidence)

    async def start(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        starttls_context: ssl.SSLContext | None = None,
    ) -> int:
        """Listen, over TLS at once with ``tls``, else with STARTTLS when there is ``starttls_context``.

        May be called for several ports. Returns the port (useful with 0). Raises OSError.
        """
        if self._hub is None:
            self._hub = Hub(self._store)
        context = Context(
            store=self._store,
            logins=self._logins,
            hub=self._hub,
            now=self._now,
            spool=self._spool,
            limits=self._limits,
            provider=self._provider,
            read_evidence=self._read_evidence,
            on_read=self._on_read,
            starttls=None if tls else starttls_context,
        )
        door = Door(tls, status(b"*", b"BYE", "too-many-connections", "LIMIT"), starttls_context)
        self._contexts[door] = context
        return await self._acceptor.listen(host, port, door)

    async def _serve(self, wire: Wire, door: Door) -> None:
        self._wires.add(wire)
        try:
            await Connection(self._contexts[door], wire).serve()
        except asyncio.CancelledError:
            wire.abort()
            raise
        finally:
            self._wires.discard(wire)

    @property
    def connections(self) -> int:
        """Connections that are served now."""
        return self._acceptor.connections

    async def until(self, most: int) -> None:
        """Wait until at most so many connections are served."""
        await self._acceptor.until(most)

    async def stop(self, grace: float = 5.0) -> None:
        """Take no more connections, say BYE to clients, wait up to ``grace`` seconds, then close what is left."""
        await self._acceptor.stop_listening()
        for wire in self._wires:
            wire.end()
        if await self._acceptor.ended(grace):
            await self._acceptor.cut_off(1.0)
        if self._hub is not None:
            self._hub.close()
            self._hub = None


def _caps(limits: Limits) -> Caps:
    return Caps(
        connections=limits.connections,
        per_address=limits.connections_per_address,
        handshake=limits.handshake_seconds,
        rate=limits.arrivals,
        proxies=limits.proxies,
    )
