"""The settings as each room takes them: one function a room, from the configuration and nothing else."""

from datetime import timedelta

from kepgw.accounts.guard import GuardSettings
from kepgw.accounts.rates import Rate
from kepgw.app.config import Config
from kepgw.app.doctor_malware import scanners_of
from kepgw.app.profiles import identity_of, profiles_of
from kepgw.app.settings import PeerSection
from kepgw.app.stamping import stamping_of
from kepgw.imap.session import Limits as ImapLimits
from kepgw.interop.malware import MalwareDesk
from kepgw.interop.settings import PeerSettings, Policy, RelaySettings
from kepgw.interop.workshop import Tools
from kepgw.smtp.exchangers import Exchangers
from kepgw.smtp.limits import ClientLimits, Limits
from kepgw.trust.paths import load_anchors
from kepgw.trust.tls import PeerContexts, fingerprint


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
        peers={peer.domain: _peer_settings(peer) for peer in config.peer},
    )


def _peer_settings(peer: PeerSection) -> PeerSettings:
    pin = None if peer.tls_certificate is None else fingerprint(load_anchors([peer.tls_certificate])[0])
    return PeerSettings(
        window=_span(peer.window),
        answer_window=_span(peer.answer_window),
        delivery_window=_span(peer.delivery_window),
        connections=peer.connections,
        largest_octets=peer.largest_octets,
        chunking=peer.chunking,
        host=peer.host,
        port=peer.port,
        tls_sha256=pin,
    )


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def policy_of(config: Config) -> Policy:
    """What is taken from our own users."""
    return Policy(
        content_octets=config.limits.content_octets,
        etebligat=config.policy.etebligat == "accept",
        quota_octets=config.mailbox.quota_octets,
        signature=config.submission.require_signature,
    )


def guard_settings(config: Config) -> GuardSettings:
    """When a guesser is locked out."""
    limits = config.limits
    return GuardSettings(
        failures=limits.login_lock_failures, address_failures=limits.login_lock_address, lock=limits.login_lock
    )


def smtp_limits(config: Config) -> Limits:
    """Bounds of an SMTP session."""
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


def imap_limits(config: Config) -> ImapLimits:
    """Bounds of an IMAP session."""
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


def client_limits(config: Config) -> ClientLimits:
    """Waits and bounds of the relay client."""
    relay = config.relay
    return ClientLimits(
        connect=relay.connect_timeout,
        mail=relay.command_timeout,
        rcpt=relay.command_timeout,
        data_end=relay.data_timeout,
    )


def peer_contexts(config: Config) -> PeerContexts:
    """TLS towards peers. Raises ConfigurationError."""
    certificates = config.relay.client_certificates
    return PeerContexts(certificates[0] if certificates else None, config.relay.client_key)


def exchangers(config: Config) -> Exchangers:
    """Who is asked where a peer without a relay host takes mail."""
    return Exchangers(config.relay.nameservers, config.relay.dns_timeout)
