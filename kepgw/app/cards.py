"""Provider cards: making our own from the configuration, and holding a peer's against its own certificates."""

from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding

from kepgw.app.config import Config
from kepgw.errors import ConfigurationError, SignatureInvalid
from kepgw.interop.card import Card
from kepgw.trust.keys import load_certificates, load_key
from kepgw.trust.paths import load_anchors, validate


def own_card(config: Config, at: datetime) -> Card:
    """The card of this provider. Raises ConfigurationError when keys, chain or port are not usable for one."""
    key = load_key(config.keys.process_key, *config.keys.process_certificates)
    try:
        chain = validate(key.certificate, key.chain, load_anchors(config.trust.anchors), at)
    except SignatureInvalid as error:
        raise ConfigurationError(
            f"the process certificate does not lead to one of trust.anchors ({error}); run kepgw doctor"
        ) from error
    if not config.listen.relay:
        raise ConfigurationError("listen.relay is 0, so the relay has no fixed port that a card could name; set one")
    return Card(
        domain=config.provider.domain,
        name=config.provider.name,
        service_address=config.provider.service_address,
        domains=(config.provider.domain,),
        process_chain=chain,
        relay_host=config.listen.relay_host,
        relay_port=config.listen.relay,
        tls_certificate=leaf_der(config),
    )


def leaf_der(config: Config) -> bytes:
    """The certificate (DER) that our listeners show."""
    found = load_certificates(config.keys.tls_certificates[0])
    if not found:
        raise ConfigurationError(f"{config.keys.tls_certificates[0]} holds no certificate")
    return found[0].public_bytes(Encoding.DER)


def check_chain(card: Card, at: datetime) -> None:
    """Raise ConfigurationError for a card whose chain does not hold: nothing could be taken from such a peer."""
    leaf, *others = card.process_chain
    try:
        validate(leaf, others, card.process_chain[-1:], at)
    except SignatureInvalid as error:
        raise ConfigurationError(
            f"the process certificates of the card do not form a valid chain ({error}); ask the peer for a fresh card"
        ) from error
