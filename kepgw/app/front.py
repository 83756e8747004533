"""What talks to the outside: the servers of SMTP, IMAP and HTTP, their desks, and settings that change under them."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog

from kepgw.accounts.guard import LoginGuard
from kepgw.app.config import Config
from kepgw.app.metrics import Metrics, Sources
from kepgw.app.profiles import profiles_of
from kepgw.app.watching import WatchedRelay, WatchedSubmission
from kepgw.app.wiring import guard_settings, imap_limits, malware_desk, policy_of, relay_settings, smtp_limits
from kepgw.errors import ConfigurationError
from kepgw.imap.server import ImapServer
from kepgw.imap.session import OnRead
from kepgw.interop.materials import MaterialKeeper
from kepgw.interop.peers import Peers
from kepgw.interop.reception import ReceptionCounter
from kepgw.interop.submission import SubmissionCounter
from kepgw.interop.trustlists import ListKeeper
from kepgw.smtp.relay_in import RelayServer
from kepgw.smtp.submission import SubmissionServer
from kepgw.store.engine import Store
from kepgw.store.login import Logins
from kepgw.trust.paths import load_anchors
from kepgw.trust.tls import ServerContext, server_context
from kepgw.trust.useranchors import UserAnchors
from kepgw.web.health import HealthServer

GRACE = 10.0  # seconds that a stop may take

_log = structlog.get_logger("kepgw.provider")


class Front:
    """The servers of a provider. ``start`` raises ConfigurationError when one of them cannot listen."""

    def __init__(
        self,
        config: Config,
        store: Store,
        peers: Peers,
        materials: MaterialKeeper,
        lists: ListKeeper,
        *,
        now: Callable[[], Any],
        ready: Callable[[], None],
        on_read: OnRead,
        metrics: Metrics,
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._malware = malware_desk(config)
        self._submission = SubmissionCounter(
            store,
            peers,
            policy_of(config),
            now,
            ready,
            profiles_of(config),
            UserAnchors(config.submission.trust_anchors),
            self._malware,
        )
        self._reception = ReceptionCounter(
            store,
            peers,
            load_anchors(config.trust.anchors),
            relay_settings(config),
            now,
            ready,
            profiles_of(config),
            materials.revoked,
            self._malware,
            lists.word,
        )
        spool = config.directory / config.store.spool
        self._logins = Logins(store, config.limits.login_checks, LoginGuard(guard_settings(config)))
        shared: dict[str, Any] = {
            "hostname": config.hostname,
            "spool_folder": spool,
            "limits": smtp_limits(config),
        }
        self._submissions = SubmissionServer(WatchedSubmission(self._submission, metrics), self._logins, **shared)
        watched = WatchedRelay(self._reception, metrics)
        self._relay = RelayServer(watched, clients=peers.client_certificates, **shared)
        self._imap = ImapServer(
            store,
            self._logins,
            now=now,
            spool=spool,
            provider=config.provider.name,
            limits=imap_limits(config),
            read_evidence=config.mailbox.read_evidence,
            on_read=on_read,
        )
        self._stops: list[Callable[[], Awaitable[None]]] = []
        self._tls: ServerContext
        self._users_tls: ServerContext

    def connections(self) -> dict[str, int]:
        """Connections at this moment, by door."""
        return {
            "submission": self._submissions.connections,
            "relay": self._relay.connections,
            "imap": self._imap.connections,
        }

    async def start(self, status: Callable[[], dict[str, Any]], sources: Sources) -> None:
        """Listen on every port."""
        config, listen = self._config, self._config.listen
        self._tls, self._users_tls = _contexts(config)
        page = partial(self._metrics.page, sources)
        health = HealthServer(status, listen.host, listen.http, page, config.metrics.clients)
        watch = asyncio.create_task(self._metrics.watch_the_loop(), name="loop-lag")
        submissions, relay, imap = self._submissions, self._relay, self._imap
        self._stops = [
            partial(_cancel, watch),
            partial(submissions.stop, GRACE / 3),
            partial(relay.stop, GRACE / 3),
            partial(imap.stop, 1.0),
            health.stop,
        ]
        await _listen("relay", relay.start(listen.host, listen.relay, self._tls, False))
        await _listen("submission", submissions.start(listen.host, listen.submission, self._users_tls, False))
        await _listen("submissions", submissions.start(listen.host, listen.submissions, self._users_tls, True))
        await _listen("imap", imap.start(listen.host, listen.imap, None, self._users_tls))
        await _listen("imaps", imap.start(listen.host, listen.imaps, self._users_tls, None))
        await _listen("http", health.start())

    def reconfigure(self, config: Config) -> None:
        """Go on with other settings: sessions that begin from now on see them, those that are open keep theirs.

        Raises ConfigurationError, before anything has changed, when the TLS files do not fit.
        """
        _contexts(config)
        leaf, *chain = config.keys.tls_certificates
        for context in (self._tls, self._users_tls):
            context.renew(leaf, config.keys.tls_key, chain)
        self._config = config
        self._malware = malware_desk(config)
        self._submission.reconfigure(policy_of(config), self._malware)
        self._reception.reconfigure(relay_settings(config), self._malware)
        self._logins.reconfigure(guard_settings(config), config.limits.login_checks)
        limits = smtp_limits(config)
        self._submissions.reconfigure(limits)
        self._relay.reconfigure(limits)
        self._imap.reconfigure(imap_limits(config), config.mailbox.read_evidence)

    @property
    def stops(self) -> list[Callable[[], Awaitable[None]]]:
        """What ends the servers; they may be stopped side by side."""
        return list(self._stops)


def _contexts(config: Config) -> tuple[ServerContext, ServerContext]:
    """For peers, and for users: their clients may come with a certificate; a peer is known by its envelopes."""
    leaf, *chain = config.keys.tls_certificates
    key = config.keys.tls_key
    return server_context(leaf, key, chain), server_context(leaf, key, chain, config.listen.client_anchors)


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
