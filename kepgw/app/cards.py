"""Provider cards: making our own from the configuration, and holding a peer's against its own certificates."""

import contextlib
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from kepgw.app.config import Config
from kepgw.errors import ConfigurationError, SignatureInvalid
from kepgw.interop.card import Card, supply_point
from kepgw.trust.keys import CertifiedKey, Description, describe, load_certificates
from kepgw.trust.paths import load_anchors, validate


def own_card(config: Config, at: datetime) -> Card:
    """The card of this provider, with every process certificate of its settings, the oldest first.

    An ended one stays on it as long as it stands there: what it signed may still be under way.
    Raises ConfigurationError when keys, chains or port are not usable for a card.
    """
    keys = sorted((place.place.certified() for place in config.keys.process), key=lambda key: key.not_before)
    if all(key.not_after < at for key in keys):
        raise ConfigurationError("every process certificate has ended; run kepgw doctor")
    anchors = load_anchors(config.trust.anchors)
    try:
        chains = tuple(validate(key.certificate, key.chain, anchors, _within(key, at)) for key in keys)
    except SignatureInvalid as error:
        raise ConfigurationError(
            f"a process certificate does not lead to one of trust.anchors ({error}); run kepgw doctor"
        ) from error
    port = config.listen.relay_host_port or config.listen.relay
    if not port:
        raise ConfigurationError("listen.relay is 0, so the relay has no fixed port that a card could name; set one")
    shown = config.listen.relay_host_certificate or config.keys.tls_certificates[0]
    return Card(
        domain=config.provider.domain,
        name=config.provider.name,
        service_address=config.provider.service_address,
        domains=(config.provider.domain,),
        process_chains=chains,
        relay_host=config.listen.relay_host,
        relay_port=port,
        tls_certificate=b"" if config.listen.relay_authorities else first_certificate(shown),
        profiles=config.profiles.takes,
        tls_authorities=load_anchors(config.listen.relay_authorities),
        supply_points=tuple(supply_point(each) for each in config.listen.relay_supply_points),
        client_certificates=_client_certificates(config),
    )


def _client_certificates(config: Config) -> tuple[bytes, ...]:
    """Those that our relay shows to peers, checked to be fit for it. Raises ConfigurationError."""
    found = []
    for path in config.relay.client_certificates:
        certificates = load_certificates(path)
        if not certificates:
            raise ConfigurationError(f"relay.client_certificates: {path} holds no certificate")
        leaf = certificates[0]
        with contextlib.suppress(x509.ExtensionNotFound):
            usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
                raise ConfigurationError(f"relay.client_certificates: {path} is not for TLS clients (EKU clientAuth)")
        found.append(leaf.public_bytes(Encoding.DER))
    return tuple(found)


def first_certificate(file: Path) -> bytes:
    """The first certificate of a PEM file, as DER. Raises ConfigurationError."""
    found = load_certificates(file)
    if not found:
        raise ConfigurationError(f"{file} holds no certificate")
    return found[0].public_bytes(Encoding.DER)


def check_chains(card: Card, at: datetime) -> None:
    """Raise ConfigurationError for a card with a chain that does not hold, or with none that has not ended."""
    leaves = [describe(leaf, at) for leaf in card.signers]
    if all(leaf.not_after < at for leaf in leaves):
        raise ConfigurationError("every process certificate of the card has ended; ask the peer for a fresh card")
    for chain, leaf in zip(card.process_chains, leaves, strict=True):
        try:
            validate(chain[0], chain[1:], chain[-1:], _within(leaf, at))
        except SignatureInvalid as error:
            raise ConfigurationError(
                f"process certificates of the card do not form a valid chain ({error}); ask the peer for a fresh card"
            ) from error


def _within(certificate: CertifiedKey | Description, at: datetime) -> datetime:
    """The moment nearest to ``at`` at which the certificate is valid, for one that is to come or has ended."""
    return min(max(at, certificate.not_before), certificate.not_after)
