"""One provider in one process: everything wired, started in order and stopped without loss."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from kepgw.app import archives, logs
from kepgw.app.admin import Admin
from kepgw.app.administration.base import Surroundings
from kepgw.app.config import Config, load
from kepgw.app.control import ControlServer
from kepgw.app.expiry import ends_of
from kepgw.app.expirywatch import ExpiryWatch
from kepgw.app.front import GRACE, Front
from kepgw.app.lock import Lock
from kepgw.app.materials import materials_of
from kepgw.app.metrics import Metrics, Sources
from kepgw.app.reloading import compare, in_force
from kepgw.app.trustlists import lists_of
from kepgw.app.watching import WatchedClient
from kepgw.app.wiring import client_limits, exchangers, peer_contexts, relay_settings, tools_of
from kepgw.errors import KepError, SigningUnavailable
from kepgw.interop.archiving import Archivist
from kepgw.interop.carrier import Carrier
from kepgw.interop.duties import Duties
from kepgw.interop.heads import HeadKeeper, HeadSettings
from kepgw.interop.materials import MaterialKeeper
from kepgw.interop.peers import Peers
from kepgw.interop.peerwatch import PeerWatch
from kepgw.interop.trustlists import ListKeeper
from kepgw.interop.workshop import Workshop
from kepgw.refusals import Refusal
from kepgw.smtp.client import SmtpRelayClient
from kepgw.store import tasks
from kepgw.store.accounts import Operator
from kepgw.store.engine import Store
from kepgw.store.reading import MailRow
from kepgw.trust import devpki
from kepgw.trust.circuit import Waits

LOCK_WAIT = 3.0  # seconds
# The writer of the store and the event loop hand the interpreter to each other a hundred times a message; at the
# default of 5 ms each hand-over may wait that long. Measured: 120 messages a second at 5 ms, 170 at 1 ms.
SWITCH_SECONDS = 0.001

_log = structlog.get_logger("kepgw.provider")


def now() -> datetime:
    """The clock of the provider."""
    return datetime.now(UTC)


class Provider:
    """A running provider. ``start`` raises ConfigurationError or StoreError when something it needs is not there."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.store: Store
        self.peers: Peers
        self.carrier: Carrier
        self.heads: HeadKeeper
        self.archivist: Archivist
        self.workshop: Workshop
        self._client: SmtpRelayClient
        self.materials: MaterialKeeper
        self.lists: ListKeeper
        self.watch: PeerWatch
        self.metrics = Metrics()
        self._lock = Lock(config.directory)
        self._front: list[Callable[[], Awaitable[None]]] = []  # what talks to the outside
        self._back: list[Callable[[], Awaitable[None]]] = []  # what they stand on, in the order of starting

    async def start(self) -> None:
        """Open the store, start the signing processes, then listen."""
        sys.setswitchinterval(SWITCH_SECONDS)
        await asyncio.to_thread(self._lock.take, LOCK_WAIT)  # a command may be at work for a moment
        try:
            await self._start_back()
            await self._start_front()
        except BaseException:
            await self.stop(0.0)
            raise
        _log.info("listening", domain=self.config.provider.domain, host=self.config.listen.host, **self._ports)

    async def stop(self, grace: float = GRACE) -> None:
        """Stop listening, finish what is in hand within ``grace`` seconds, close the store. Safe to call twice."""
        front, self._front = self._front, []
        back, self._back = self._back, []
        await asyncio.gather(*(_stop(each, grace / 2) for each in front))
        for each in reversed(back):
            await _stop(each, grace / 2)
        self._lock.release()

    @property
    def _ports(self) -> dict[str, int]:
        return dict(self.config.listen.ports)

    @property
    def _spool(self) -> Path:
        return self.config.directory / self.config.store.spool

    async def _start_back(self) -> None:
        config = self.config
        self._spool.mkdir(mode=0o700, exist_ok=True)
        self.store = store = await asyncio.to_thread(Store.open, config.store_path)
        self._back.append(partial(asyncio.to_thread, store.close))
        provider = config.provider
        self.peers = Peers(store, provider.domain, provider.service_address, config.known_providers)
        await self.peers.start()
        await self.metrics.start(store)
        self.workshop = workshop = Workshop(tools_of(config), config.signing.workers)
        self._back.append(workshop.close)
        workshop.stamps.attempted, workshop.signed = self.metrics.attempted, self.metrics.signed
        await workshop.start()
        if config.provider.development:
            await asyncio.to_thread(devpki.renew_lists, config.directory, now())
        self.materials = materials_of(config, store, self.peers, workshop.certificates.keys, now, self._revoked)
        await self.materials.start()  # before anything is signed: what is revoked is barred first
        self._back.append(self.materials.stop)
        self.lists = lists_of(config, store, now)
        self.watch = PeerWatch(store, self.peers, self.lists, self.materials.revoked, now)
        self.lists.changed = self.materials.changed = self.watch.wake
        await self.lists.start()
        self._back.append(self.lists.stop)
        await self.watch.start()  # before anything is given or taken
        self._back.append(self.watch.stop)
        self._client = SmtpRelayClient(
            config.hostname, peer_contexts(config), client_limits(config), exchangers(config)
        )
        client = WatchedClient(self._client, self.metrics)
        self._back.append(client.close)
        self._duties = Duties(store, self.peers, workshop, client, relay_settings(config), now)
        stamping = config.stamping
        waits = Waits(stamping.retry_first, stamping.retry_max)
        self.carrier = Carrier(store, self._duties, now, workshop.workers, waits)
        await self.carrier.start()
        self._back.append(partial(self.carrier.stop, GRACE / 3))
        every = timedelta(seconds=config.ledger.head_every)
        self.heads = HeadKeeper(store, workshop, HeadSettings(every, config.ledger.head_leaves), now)
        await self.heads.start()
        self._back.append(self.heads.stop)
        expiry = ExpiryWatch(store, config, ends_of(config, self.workshop, self.peers), now)
        await expiry.start()
        self._back.append(expiry.stop)
        sender = archives.head_sender(store, config, now)
        await sender.start()
        self._back.append(sender.stop)
        self.archivist = archives.archivist(store, workshop, config, now)
        await self.archivist.start()
        self._back.append(self.archivist.stop)

    async def _start_front(self) -> None:
        self._servers = Front(
            self.config,
            self.store,
            self.peers,
            self.materials,
            self.lists,
            now=now,
            ready=self.ready,
            on_read=self._on_read,
            metrics=self.metrics,
        )
        try:
            await self._servers.start(self.status, self._sources(self._servers.connections))
        finally:
            self._front += self._servers.stops

    async def reload(self) -> dict[str, list[str]]:
        """Read the configuration again and go on with it: ``changed`` settings are in force for new sessions and work.

        ``restart`` names those that wait for a restart. Raises ConfigurationError, and nothing has changed then.
        """
        fresh = await asyncio.to_thread(load, self.config.directory)
        changed, restart = compare(self.config, fresh)
        fresh = in_force(self.config, fresh)
        relaying, toward_peers = relay_settings(fresh), (peer_contexts(fresh), client_limits(fresh), exchangers(fresh))
        self._servers.reconfigure(fresh)
        self._client.reconfigure(*toward_peers)
        self.peers.reconfigure(fresh.known_providers)
        self._duties.reconfigure(relaying)
        logs.set_up(fresh.log.format, fresh.log.level)
        await self.peers.load()
        await self.watch.look()
        self.config = fresh
        _log.info("reloaded", changed=changed, restart=restart)
        return {"changed": changed, "restart": restart}

    async def followed(self) -> None:
        """Wait until what changed about the peers is in force."""
        await self.peers.followed()
        await self.watch.look()

    def _sources(self, connections: Callable[[], dict[str, int]]) -> Sources:
        return Sources(
            store=self.store,
            stamps=self.workshop.stamps,
            now=now,
            folder=self.config.store_path.parent,
            connections=connections,
            certificates=ends_of(self.config, self.workshop, self.peers),
            pids=lambda: self.workshop.pids,
            taking=lambda: self.status()["status"] == "ok",
        )

    async def _revoked(self, fingerprints: frozenset[str]) -> None:
        """Sign nothing with these certificates; what waited for one that may sign again is tried at once."""
        await self.workshop.bar(fingerprints)
        with suppress(SigningUnavailable):
            self.workshop.certificates.choose(now())
            await self.store.write(lambda tx: tasks.retry_now(tx, now()))

    async def _on_read(self, mail: MailRow, operator: Operator) -> None:
        _log.info("opened", login=operator.login, month=mail.month, message=mail.message)
        await self._duties.opened(mail)

    def ready(self) -> None:
        """Whether a message may be taken now. Raises Refusal."""
        try:
            self.workshop.certificates.choose(now())
        except SigningUnavailable as error:
            raise Refusal("signing-unavailable", str(error)) from error
        if self.carrier.debt >= self.config.limits.waiting_messages:
            raise Refusal("try-later", f"{self.carrier.debt} messages await signature or time stamp")

    def status(self) -> dict[str, Any]:
        """For the health page: nothing that an outsider may not know."""
        try:
            self.ready()
        except Refusal as refusal:
            return {"status": "degraded", "problem": refusal.key}
        stamps = self.workshop.stamps
        warnings = {"time-stamp": stamps.none_serves, "clock": bool(stamps.clocks())}
        told = [name for name, is_so in warnings.items() if is_so]
        return {"status": "ok"} | ({"warnings": told} if told else {})


async def _stop(stop: Callable[[], Awaitable[None]], grace: float) -> None:
    """One part must not keep the others from stopping."""
    try:
        async with asyncio.timeout(max(grace, 1.0)):
            await stop()
    except Exception as error:
        _log.warning("stopping failed", error=f"{type(error).__name__}: {error}")


class _Reloading:
    """SIGHUP: one reload after the other, and a faulty configuration only tells what is wrong with it."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def ask(self) -> None:
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._reload(), name="reload")

    async def _reload(self) -> None:
        while self._again:
            self._again = False
            try:
                await self._provider.reload()
            except KepError as error:
                _log.error("not reloaded", why=str(error))


async def serve(config: Config) -> int:
    """Run a provider until SIGTERM or SIGINT. Returns the exit status."""
    provider = Provider(config)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await provider.start()
    loop.add_signal_handler(signal.SIGHUP, _Reloading(provider).ask)
    surroundings = Surroundings(
        provider.store,
        config,
        now,
        provider.heads.sign_now,
        provider.followed,
        provider.archivist,
        provider.materials,
        provider.workshop,
        provider.reload,
        lists=provider.lists,
        standings=lambda: provider.peers.standings,
    )
    admin = Admin(surroundings)
    control = ControlServer(admin, config.directory / "control.sock")
    try:
        await control.start()
        _log.info("ready", domain=config.provider.domain)
        await ended.wait()
        _log.info("stopping")
    finally:
        await control.stop()
        await provider.stop()
    return 0
