"""The provider card: what two providers exchange before they trust each other.

TOML, so that an administrator can read it. It pins what a peer is known by: the certificates that sign its envelopes
(identity; several while one is renewed), and the way: the certificate its relay host shows, or the authorities of such
certificates; and, when it has one, the certificate that its own relay shows to us.
"""

import base64
import binascii
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kepgw.accounts.address import is_provider_domain, parse
from kepgw.errors import ConfigurationError
from kepgw.evidence.certificates import UNREADABLE, load
from kepgw.refusals import Refusal

VERSION: Final = 2
ONE_CERTIFICATE: Final = 1  # the version before: one chain, at the top of the document
MAX_CARD: Final = 256 * 1024  # characters
MAX_LINE: Final = 4096  # characters; lines of certificates have 64
MAX_NAME: Final = 200  # characters
MAX_CHAINS: Final = 16
MAX_CHAIN: Final = 10  # certificates
PROFILES: Final = ("tr-kep", "rem-baseline")
MAX_POINTS: Final = 10  # service supply points
MAX_TLS: Final = 8  # certificates of each kind for TLS
SMTP_PORT: Final = 25
MAX_PROFILES: Final = 16  # names on a card; those that we do not know are passed over

_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:_-]{0,251}[A-Za-z0-9])?|::1")  # a name or an IP address

_POINT: Final = re.compile(
    r"(?:smtp:(?://)?)?(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(?::(?P<port>[0-9]{1,5}))?/?"
)


@dataclass(frozen=True, slots=True)
class Card:
    """A provider as it presents itself. Certificates are DER; each of ``process_chains`` is leaf, intermediates, root.

    There is a chain for every process certificate that signs now, signed lately or will sign.
    ``profiles`` are those that it takes and that we know, the one that it prefers first.

    ``relay_host`` ``""``: mail goes to the mail exchangers (MX) of ``domain``, and only to those among
    ``supply_points`` (host and port) when there are any. Its server shows ``tls_certificate``, or, when that is empty,
    one for its host name below one of ``tls_authorities``. ``client_certificates``: what its relay shows to us, one of
    them; none: we do not ask.
    """

    domain: str
    name: str
    service_address: str
    domains: tuple[str, ...]
    process_chains: tuple[tuple[bytes, ...], ...]
    relay_host: str
    relay_port: int
    tls_certificate: bytes
    profiles: tuple[str, ...] = ("tr-kep",)
    tls_authorities: tuple[bytes, ...] = ()
    supply_points: tuple[tuple[str, int], ...] = ()
    client_certificates: tuple[bytes, ...] = ()

    @property
    def signers(self) -> tuple[bytes, ...]:
        """The process certificates: whoever signs with one of them is this provider."""
        return tuple(chain[0] for chain in self.process_chains)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """Where their chains end, each once."""
        return tuple(dict.fromkeys(chain[-1] for chain in self.process_chains))


def write_card(card: Card) -> str:
    """The card as TOML text."""
    processes = "".join(f"\n[[process]]\ncertificates = [\n{_list(chain)},\n]\n" for chain in card.process_chains)
    domains = ", ".join(f'"{domain}"' for domain in card.domains)
    profiles = ", ".join(f'"{profile}"' for profile in card.profiles)
    name = json.dumps(card.name, ensure_ascii=False).replace("\x7f", "\\u007f")  # as in a basic string of TOML
    return (
        "# KEP provider card. Hand it to the administrator of the other provider over a channel that you both trust.\n"
        f"kepgw_card = {VERSION}\n"
        f'domain = "{card.domain}"\n'
        f"name = {name}\n"
        f"domains = [{domains}]\n"
        f'service_address = "{card.service_address}"\n'
        f"profiles = [{profiles}]\n"
        f"\n[relay]\n{_relay(card)}"
        f"{processes}"
    )


def _relay(card: Card) -> str:
    lines = [f'host = "{card.relay_host}"'] if card.relay_host else []
    lines.append(f"port = {card.relay_port}")
    if card.supply_points:
        points = ", ".join(f'"{host}:{port}"' for host, port in card.supply_points)
        lines.append(f"supply_points = [{points}]")
    if card.tls_certificate:
        lines.append(f'tls_certificate = """\n{_armour(card.tls_certificate)}"""')
    if card.tls_authorities:
        lines.append(f"tls_authorities = [\n{_list(card.tls_authorities)},\n]")
    if card.client_certificates:
        lines.append(f"client_certificates = [\n{_list(card.client_certificates)},\n]")
    return "".join(f"{line}\n" for line in lines)


def read_card(text: str) -> Card:
    """Read a card, which may be a hostile one. Raises ConfigurationError: which key is wrong and what to do."""
    if len(text) > MAX_CARD:
        raise ConfigurationError("the card is larger than 256 KiB; ask the peer for a fresh one")
    if max(map(len, text.splitlines()), default=0) > MAX_LINE:  # a dotted key takes the square of its parts
        raise ConfigurationError("the card has a line that is too long; ask the peer for a fresh one")
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"the card is not TOML: {error}") from error
    if document.get("kepgw_card") not in (VERSION, ONE_CERTIFICATE):
        raise ConfigurationError(f"this is no provider card of version {VERSION}; ask the peer for a fresh one")
    relay = _take(document, "relay", dict)
    card = Card(
        domain=_take(document, "domain", str).lower(),
        name=_take(document, "name", str),
        service_address=_take(document, "service_address", str).lower(),
        domains=tuple(str(domain).lower() for domain in _take(document, "domains", list)),
        process_chains=_chains(document),
        relay_host=_take({"host": "", **relay}, "host", str),
        relay_port=_take({"port": SMTP_PORT, **relay}, "port", int),
        tls_certificate=_pin(relay),
        profiles=_profiles(document),
        tls_authorities=_several(relay, "tls_authorities"),
        supply_points=_supply_points(relay),
        client_certificates=_several(relay, "client_certificates"),
    )
    _check(card)
    return card


def _chains(document: dict[str, Any]) -> tuple[tuple[bytes, ...], ...]:
    if document["kepgw_card"] == ONE_CERTIFICATE:
        tables, key = [document], "process_certificates"
    else:
        tables, key = _take(document, "process", list), "certificates"
    if len(tables) > MAX_CHAINS or not all(isinstance(table, dict) for table in tables):
        raise ConfigurationError(f"the card's process is not a list of at most {MAX_CHAINS} tables")
    chains = [_take(table, key, list) for table in tables]
    if any(len(chain) > MAX_CHAIN for chain in chains):
        raise ConfigurationError(f"the card has a chain of more than {MAX_CHAIN} certificates")
    return tuple(tuple(_certificate(pem, key) for pem in chain) for chain in chains)


def _pin(relay: dict[str, Any]) -> bytes:
    """The certificate that the server shows, or none where authorities say which it may show."""
    if "tls_certificate" not in relay and "tls_authorities" in relay:
        return b""
    return _certificate(_take(relay, "tls_certificate", str), "relay.tls_certificate")


def _several(relay: dict[str, Any], key: str) -> tuple[bytes, ...]:
    given = relay.get(key, [])
    if not isinstance(given, list) or len(given) > MAX_TLS:
        raise ConfigurationError(f"the card's relay.{key} is not a list of at most {MAX_TLS} certificates")
    return tuple(_certificate(pem, f"relay.{key}") for pem in given)


def _supply_points(relay: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    """Hosts with their ports, as ``host``, ``host:port`` or ``smtp://host:port``."""
    given = relay.get("supply_points", [])
    if not isinstance(given, list) or len(given) > MAX_POINTS:
        raise ConfigurationError(f"the card's relay.supply_points are not a list of at most {MAX_POINTS} hosts")
    return tuple(supply_point(each) for each in given)


def supply_point(text: object) -> tuple[str, int]:
    """Host and port of a service supply point, which is written in several ways. Raises ConfigurationError.

    EN 319 532-4 C.3 has ``smtp://host:25``, its published examples ``smtp:host:25``.
    """
    found = _POINT.fullmatch(text) if isinstance(text, str) else None
    if found is None or not 0 < int(found["port"] or SMTP_PORT) < 65536:
        raise ConfigurationError(f"{str(text)[:80]!r} is no service supply point; write host:port")
    return found["host"].lower(), int(found["port"] or SMTP_PORT)


def _check(card: Card) -> None:
    """Hold the values of a card to what they may be. Raises ConfigurationError."""
    if not card.process_chains or not all(card.process_chains):
        raise ConfigurationError("the card has no process certificate; ask the peer for a fresh one")
    if not 0 < card.relay_port < 65536:
        raise ConfigurationError("the card's relay.port is not a port number")
    if not card.relay_host and card.tls_authorities and not card.supply_points:
        # whoever can answer for the DNS could name a host of his own, with a certificate of that authority
        raise ConfigurationError("the card has tls_authorities, but neither a host nor supply_points to hold them to")
    if not card.tls_certificate and not card.tls_authorities:
        raise ConfigurationError("the card's relay has neither a certificate nor an authority; ask for a fresh card")
    if card.tls_certificate and card.tls_authorities:
        raise ConfigurationError("the card has tls_certificate and tls_authorities; one of them says what is met")
    if card.relay_host and card.supply_points:
        raise ConfigurationError("the card has a host and supply_points; one of them says where mail goes")
    if card.relay_host and not _HOST.fullmatch(card.relay_host):
        raise ConfigurationError("the card's relay.host is neither a host name nor an IP address")
    if not 0 < len(card.name) <= MAX_NAME or not card.name.isprintable():
        raise ConfigurationError("the card's name is empty, too long or has control characters")
    if not is_provider_domain(card.domain):
        raise ConfigurationError("the card's domain is not that of a provider (hsNN.kep.tr)")
    if card.domain not in card.domains:
        raise ConfigurationError("the card's domains do not name its own domain")
    if any(domain != card.domain and not domain.endswith(f".{card.domain}") for domain in card.domains):
        raise ConfigurationError("the card's domains name one that is not under its own domain")
    try:
        service = parse(card.service_address)
    except Refusal as refusal:
        raise ConfigurationError("the card's service_address is not a KEP address") from refusal
    if service.domain not in card.domains:
        raise ConfigurationError("the card's service_address is not in its domains")


def _profiles(document: dict[str, Any]) -> tuple[str, ...]:
    """The profiles that a card names, those known here. Raises ConfigurationError when there is none."""
    named = document.get("profiles", ["tr-kep"])
    if not isinstance(named, list) or len(named) > MAX_PROFILES:
        raise ConfigurationError("the card's profiles are no list of a few names; ask the peer for a fresh card")
    known = tuple(dict.fromkeys(name for name in named if isinstance(name, str) and name in PROFILES))
    if not known:
        raise ConfigurationError(f"the card names no profile that is known here: {', '.join(PROFILES)}")
    return known


def _take(document: dict[str, Any], key: str, kind: type[Any]) -> Any:
    value = document.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ConfigurationError(f"the card's {key} is missing or not a {kind.__name__}; ask the peer for a fresh card")
    return value


def _list(chain: Sequence[bytes]) -> str:
    return ",\n".join(f'  """\n{_armour(der)}"""' for der in chain)


def _armour(der: bytes) -> str:
    body = base64.encodebytes(der).decode("ascii").replace("\n", "")
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def _certificate(pem: object, key: str) -> bytes:
    text = pem if isinstance(pem, str) else ""
    body = "".join(line for line in text.splitlines() if line and not line.startswith("-----"))
    try:
        der = base64.b64decode(body, validate=True)
        read = load(der)
        _ = read.subject, read.issuer, read.not_valid_before_utc, read.not_valid_after_utc  # read late, and raised late
    except (binascii.Error, *UNREADABLE) as error:
        raise ConfigurationError(f"the card's {key} does not hold a readable certificate: {error}") from error
    return der
