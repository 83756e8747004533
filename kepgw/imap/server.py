"""The IMAP server on its sockets: listeners, caps on connections, an orderly end."""

import asyncio
import contextlib
import logging
import ssl
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal

from kepgw.imap.connection import Connection
from kepgw.imap.hub import Hub
from kepgw.imap.responses import status
from kepgw.imap.session import Context, Limits, OnRead
from kepgw.imap.wire import Wire
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
        self._servers: list[asyncio.Server] = []
        self._tasks: dict[asyncio.Task[None], Wire] = {}
        self._by_address: Counter[str] = Counter()
        self._stopping = False

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
        server = await asyncio.get_running_loop().create_server(
            lambda: Wire(lambda wire: self._connected(context, wire)),
            host,
            port,
            backlog=512,
            ssl=tls,
            ssl_handshake_timeout=self._limits.handshake_seconds if tls else None,
        )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def _connected(self, context: Context, wire: Wire) -> None:
        limits = self._limits
        crowded = len(self._tasks) >= limits.connections
        if crowded or self._stopping or self._by_address[wire.peer] >= limits.connections_per_address:
            _log.warning("connection of %s refused: too many", wire.peer)
            wire.write(status(b"*", b"BYE", "too-many-connections", "LIMIT"))
            wire.close()
            return
        self._by_address[wire.peer] += 1
        task = asyncio.get_running_loop().create_task(Connection(context, wire).serve())
        self._tasks[task] = wire
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        wire = self._tasks.pop(task)
        self._by_address[wire.peer] -= 1
        if not self._by_address[wire.peer]:
            del self._by_address[wire.peer]

    @property
    def connections(self) -> int:
        """Connections that are served now."""
        return len(self._tasks)

    async def until(self, most: int) -> None:
        """Wait until at most so many connections are served."""
        while len(self._tasks) > most:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self, grace: float = 5.0) -> None:
        """Take no more connections, say BYE to clients, wait up to ``grace`` seconds, then close what is left."""
        self._stopping = True
        for server in self._servers:
            server.close()
        tasks = dict(self._tasks)
        for wire in tasks.values():
            wire.end()
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for task, wire in tasks.items():
            if not task.done():
                task.cancel()
                wire.abort()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        self._servers.clear()
        if self._hub is not None:
            self._hub.close()
            self._hub = None
