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

from kepgw.accounts.guard import GuardSettings, LoginGuard
from kepgw.accounts.rates import Rate
from kepgw.app import archives
from kepgw.app.admin import Admin
from kepgw.app.administration.base import Surroundings
from kepgw.app.config import Config
from kepgw.app.control import ControlServer
from kepgw.app.doctor_malware import scanners_of
from kepgw.app.expiry import ends_of
from kepgw.app.expirywatch import ExpiryWatch
from kepgw.app.lock import Lock
from kepgw.app.materials import materials_of
from kepgw.app.metrics import Metrics, Sources
from kepgw.app.profiles import identity_of, profiles_of
from kepgw.app.stamping import stamping_of
from kepgw.app.watching import WatchedClient, WatchedRelay, WatchedSubmission
from kepgw.errors import ConfigurationError, SigningUnavailable
from kepgw.imap.server import ImapServer
from kepgw.imap.session import Limits as ImapLimits
from kepgw.interop.archiving import Archivist
from kepgw.interop.carrier import Carrier
from kepgw.interop.duties import Duties
from kepgw.interop.heads import HeadKeeper, HeadSettings
from kepgw.interop.malware import MalwareDesk
from kepgw.interop.materials import MaterialKeeper
from kepgw.interop.peers import Peers
from kepgw.interop.reception import ReceptionCounter
from kepgw.interop.settings import Policy, RelaySettings
from kepgw.interop.submission import SubmissionCounter
from kepgw.interop.workshop import Tools, Workshop
from kepgw.refusals import Refusal
from kepgw.smtp.client import SmtpRelayClient
from kepgw.smtp.limits import ClientLimits, Limits
from kepgw.smtp.relay_in import RelayServer
from kepgw.smtp.submission import SubmissionServer
from kepgw.store import tasks
from kepgw.store.accounts import Operator
from kepgw.store.engine import Store
from kepgw.store.login import Logins
from kepgw.store.reading import MailRow
from kepgw.trust import devpki
from kepgw.trust.circuit import Waits
from kepgw.trust.paths import load_anchors
from kepgw.trust.tls import client_context, server_context
from kepgw.trust.useranchors import UserAnchors
from kepgw.web.health import HealthServer

GRACE = 10.0  # seconds that a stop may take
LOCK_WAIT = 3.0  # seconds
# The writer of the store and the event loop hand the interpreter to each other a hundred times a message; at the
# default of 5 ms each hand-over may wait that long. Measured: 120 messages a second at 5 ms, 170 at 1 ms.
SWITCH_SECONDS = 0.001

_log = structlog.get_logger("kepgw.provider")


def now() -> datetime:
    """The clock of the provider."""
    return datetime.now(UTC)


def tools_of(config: Config) -> Tools:
    """What the signing processes need, from the configuration."""
    return Tools(
        identity=identity_of(config),
        profiles=profiles_of(config),
        process_keys=tuple(each.place for each in config.keys.process),
        stamping=stamping_of(config),
    )


def malware_desk(config: Config) -> MalwareDesk:
    """Who looks for malware, from the configuration."""
    malware = config.malware
    return MalwareDesk(scanners_of(config), seconds=malware.timeout, at_once=malware.at_once)


def relay_settings(config: Config) -> RelaySettings:
    """Windows and waits from the configuration."""
    relay = config.relay
    return RelaySettings(
        window=timedelta(seconds=relay.window),
        answer_window=timedelta(seconds=relay.answer_window),
        delivery_window=timedelta(seconds=relay.delivery_window),
        retrieval_window=(
            timedelta(seconds=config.mailbox.retrieval_expiration_after)
            if config.mailbox.retrieval_expiration
            else None
        ),
        retry_first=timedelta(seconds=relay.retry_first),
        retry_factor=relay.retry_factor,
        retry_max=timedelta(seconds=relay.retry_max),
        retry_jitter=relay.retry_jitter,
        connections_per_peer=relay.connections_per_peer,
        clock_bound=timedelta(seconds=config.stamping.clock_bound),
    )


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
        self.materials: MaterialKeeper
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
        client = WatchedClient(SmtpRelayClient(config.hostname, client_context(), _client_limits(config)), self.metrics)
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
        config, listen = self.config, self.config.listen
        leaf, *chain = config.keys.tls_certificates
        tls = server_context(leaf, config.keys.tls_key, chain)
        # users' clients may come with a certificate; a peer is known by the signature of its envelopes
        users_tls = server_context(leaf, config.keys.tls_key, chain, listen.client_anchors)
        policy = Policy(
            content_octets=config.limits.content_octets,
            etebligat=config.policy.etebligat == "accept",
            signature=config.submission.require_signature,
        )
        users = UserAnchors(config.submission.trust_anchors)
        malware = malware_desk(config)
        submission = SubmissionCounter(
            self.store, self.peers, policy, now, self.ready, profiles_of(config), users, malware
        )
        anchors = load_anchors(config.trust.anchors)
        reception = ReceptionCounter(
            self.store,
            self.peers,
            anchors,
            relay_settings(config),
            now,
            self.ready,
            profiles_of(config),
            self.materials.revoked,
            malware,
        )
        logins = Logins(self.store, config.limits.login_checks, LoginGuard(_guard_settings(config)))
        shared: dict[str, Any] = {
            "hostname": config.hostname,
            "spool_folder": self._spool,
            "limits": _limits(config),
        }
        submissions = SubmissionServer(WatchedSubmission(submission, self.metrics), logins, **shared)
        relay = RelayServer(WatchedRelay(reception, self.metrics), **shared)
        imap = ImapServer(
            self.store,
            logins,
            now=now,
            spool=self._spool,
            provider=config.provider.name,
            limits=_imap_limits(config),
            read_evidence=config.mailbox.read_evidence,
            on_read=self._on_read,
        )
        sources = self._sources(
            lambda: {
                "submission": submissions.connections,
                "relay": relay.connections,
                "imap": imap.connections,
            }
        )
        page = partial(self.metrics.page, sources)
        health = HealthServer(self.status, listen.host, listen.http, page, config.metrics.clients)
        watch = asyncio.create_task(self.metrics.watch_the_loop(), name="loop-lag")
        self._front.append(partial(_cancel, watch))
        self._front += [partial(submissions.stop, GRACE / 3), partial(relay.stop, GRACE / 3)]
        self._front += [partial(imap.stop, 1.0), health.stop]
        await _listen("relay", relay.start(listen.host, listen.relay, tls, False))
        await _listen("submission", submissions.start(listen.host, listen.submission, users_tls, False))
        await _listen("submissions", submissions.start(listen.host, listen.submissions, users_tls, True))
        await _listen("imap", imap.start(listen.host, listen.imap, None, users_tls))
        await _listen("imaps", imap.start(listen.host, listen.imaps, users_tls, None))
        await _listen("http", health.start())

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


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _listen(name: str, starting: Any) -> None:
    try:
        await starting
    except OSError as error:
        raise ConfigurationError(
            f"[listen] {name}: {error.strerror or error}; is another program on that port?"
        ) from error


def _guard_settings(config: Config) -> GuardSettings:
    limits = config.limits
    return GuardSettings(
        failures=limits.login_lock_failures, address_failures=limits.login_lock_address, lock=limits.login_lock
    )


def _limits(config: Config) -> Limits:
    limits = config.limits
    return Limits(
        message=limits.message_octets,
        relay_extra=limits.relay_extra_octets,
        command_with_parameters=limits.command_octets,
        authentication=limits.auth_octets,
        recipients=limits.recipients,
        errors=limits.errors_per_session,
        login_failures=limits.login_failures,
        idle=limits.command_timeout,
        data_block=limits.data_timeout,
        connections=limits.connections,
        connections_per_address=limits.connections_per_address,
        arrivals=Rate(limits.connections_per_minute, 60.0),
        messages=Rate(limits.messages_per_hour, 3600.0),
        account_recipients=Rate(limits.recipients_per_hour, 3600.0),
        proxies=config.listen.proxies,
    )


def _imap_limits(config: Config) -> ImapLimits:
    limits = config.limits
    return ImapLimits(
        line=limits.imap_command_octets,
        message=limits.message_octets,
        idle_seconds=limits.idle_timeout,
        connections=limits.connections,
        connections_per_address=limits.connections_per_address,
        arrivals=Rate(limits.connections_per_minute, 60.0),
        proxies=config.listen.proxies,
        auth_failures=limits.login_failures,
        bad_commands=limits.errors_per_session,
    )


def _client_limits(config: Config) -> ClientLimits:
    relay = config.relay
    return ClientLimits(
        connect=relay.connect_timeout,
        mail=relay.command_timeout,
        rcpt=relay.command_timeout,
        data_end=relay.data_timeout,
        connections_per_route=relay.connections_per_peer,
    )


async def serve(config: Config) -> int:
    """Run a provider until SIGTERM or SIGINT. Returns the exit status."""
    provider = Provider(config)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await provider.start()
    surroundings = Surroundings(
        provider.store,
        config,
        now,
        provider.heads.sign_now,
        provider.peers.followed,
        provider.archivist,
        provider.materials,
        provider.workshop,
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
