"""The IMAP server on its sockets: listeners, caps on connections, an orderly end."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from kepgw.imap.connection import Connection
from kepgw.imap.hub import Hub
from kepgw.imap.responses import status
from kepgw.imap.session import Context, Limits, OnRead
from kepgw.imap.wire import Wire
from kepgw.store.accounts import Operator
from kepgw.store.engine import Store
from kepgw.store.login import Logins
from kepgw.store.reading import MailRow

BACKLOG: Final = 512
ACCEPT_PAUSE: Final = 0.1  # seconds

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
        self._listening: dict[asyncio.Task[None], socket.socket] = {}
        self._tasks: dict[asyncio.Task[None], Wire] = {}
        self._by_address: Counter[str] = Counter()

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
        family, kind, protocol, _, address = (
            await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        self._listening[asyncio.create_task(self._accept(listener, context, tls))] = listener
        return int(listener.getsockname()[1])

    async def _accept(self, listener: socket.socket, context: Context, tls: ssl.SSLContext | None) -> None:
        """Take connections. Caps are held before TLS: a handshake is the dearest thing a stranger can ask for."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(listener)
            except OSError as error:  # no file descriptors left, most often: those in use will be closed
                _log.error("no connection can be taken: %s", error)
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            peer = str(address[0])
            if len(self._tasks) >= self._limits.connections or (
                self._by_address[peer] >= self._limits.connections_per_address
            ):
                _log.warning("connection of %s refused: too many", peer)
                self._refuse(client, speak=tls is None)
                continue
            self._by_address[peer] += 1
            wire = Wire(peer)
            task = loop.create_task(self._serve(client, context, wire, tls))
            self._tasks[task] = wire
            task.add_done_callback(self._ended)

    @staticmethod
    def _refuse(client: socket.socket, *, speak: bool) -> None:
        with client, contextlib.suppress(OSError):
            if speak:
                client.send(status(b"*", b"BYE", "too-many-connections", "LIMIT"))

    async def _serve(self, client: socket.socket, context: Context, wire: Wire, tls: ssl.SSLContext | None) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: wire, client, ssl=tls, ssl_handshake_timeout=self._limits.handshake_seconds if tls else None
            )
        except (OSError, ssl.SSLError) as error:
            _log.info("no connection with %s: %s", wire.peer, error)
            client.close()
            return
        await Connection(context, wire).serve()

    def _ended(self, task: asyncio.Task[None]) -> None:
        wire = self._tasks.pop(task)
        self._by_address[wire.peer] -= 1
        if self._by_address[wire.peer] <= 0:
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
        for accepting, listener in self._listening.items():
            accepting.cancel()
            await asyncio.wait([accepting])
            listener.close()
        self._listening.clear()
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
        if self._hub is not None:
            self._hub.close()
            self._hub = None
