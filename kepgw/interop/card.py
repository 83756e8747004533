"""The provider card: what two providers exchange before they trust each other.

TOML, so that an administrator can read it. It pins what a peer is known by: the certificate that signs its
envelopes (identity) and the certificate its relay host shows (the way).
"""

import base64
import binascii
import tomllib
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from kepgw.errors import ConfigurationError

MAX_CARD: Final = 256 * 1024
PROFILES: Final = ("tr-kep",)


@dataclass(frozen=True, slots=True)
class Card:
    """A provider as it presents itself. Certificates are DER; ``process_chain`` is leaf, intermediates, root."""

    domain: str
    name: str
    service_address: str
    domains: tuple[str, ...]
    process_chain: tuple[bytes, ...]
    relay_host: str
    relay_port: int
    tls_certificate: bytes
    profile: str = "tr-kep"


def write_card(card: Card) -> str:
    """The card as TOML text. Values are checked names and numbers, so quoting cannot go wrong."""
    chain = ",\n".join(f'  """\n{_armour(der)}"""' for der in card.process_chain)
    domains = ", ".join(f'"{domain}"' for domain in card.domains)
    name = card.name.replace("\\", "\\\\").replace('"', '\\"')
    return (
        "# KEP provider card. Hand it to the administrator of the other provider over a channel that you both trust.\n"
        "kepgw_card = 1\n"
        f'domain = "{card.domain}"\n'
        f'name = "{name}"\n'
        f"domains = [{domains}]\n"
        f'service_address = "{card.service_address}"\n'
        f'profile = "{card.profile}"\n'
        f"process_certificates = [\n{chain},\n]\n"
        "\n[relay]\n"
        f'host = "{card.relay_host}"\n'
        f"port = {card.relay_port}\n"
        f'tls_certificate = """\n{_armour(card.tls_certificate)}"""\n'
    )


def read_card(text: str) -> Card:
    """Read a card. Raises ConfigurationError that says which key is wrong and what to do."""
    if len(text) > MAX_CARD:
        raise ConfigurationError("the card is larger than 256 KiB; ask the peer for a fresh one")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"the card is not TOML: {error}") from error
    relay = _take(document, "relay", dict)
    card = Card(
        domain=_take(document, "domain", str).lower(),
        name=_take(document, "name", str),
        service_address=_take(document, "service_address", str).lower(),
        domains=tuple(domain.lower() for domain in _take(document, "domains", list)),
        process_chain=tuple(
            _certificate(pem, "process_certificates") for pem in _take(document, "process_certificates", list)
        ),
        relay_host=_take(relay, "host", str),
        relay_port=_take(relay, "port", int),
        tls_certificate=_certificate(_take(relay, "tls_certificate", str), "relay.tls_certificate"),
        profile=document.get("profile", "tr-kep"),
    )
    if card.profile not in PROFILES:
        raise ConfigurationError(f"the card wants profile {card.profile!r}; known here: {', '.join(PROFILES)}")
    if not card.process_chain:
        raise ConfigurationError("the card has no process certificate; ask the peer for a fresh one")
    if not 0 < card.relay_port < 65536:
        raise ConfigurationError("the card's relay.port is not a port number")
    if card.domain not in card.domains:
        raise ConfigurationError("the card's domains do not name its own domain")
    if card.service_address.partition("@")[2] not in card.domains:
        raise ConfigurationError("the card's service_address is not in its domains")
    return card


def _take(document: dict[str, Any], key: str, kind: type[Any]) -> Any:
    value = document.get(key)
    if not isinstance(value, kind):
        raise ConfigurationError(f"the card's {key} is missing or not a {kind.__name__}; ask the peer for a fresh card")
    return value


def _armour(der: bytes) -> str:
    body = base64.encodebytes(der).decode("ascii").replace("\n", "")
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def _certificate(pem: object, key: str) -> bytes:
    text = pem if isinstance(pem, str) else ""
    body = "".join(line for line in text.splitlines() if line and not line.startswith("-----"))
    try:
        der = base64.b64decode(body, validate=True)
        x509.load_der_x509_certificate(der)
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError(f"the card's {key} does not hold a readable certificate: {error}") from error
    return der
