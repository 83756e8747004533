"""Settings of the provider itself: who it is, where it listens, its keys, where it keeps things."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field
from pydantic import model_validator as whole
from pydantic_core import PydanticCustomError

from kepgw.accounts.address import parse, provider_domain
from kepgw.app.settings.kinds import File, Network, OptionalFile, Port, ProviderDomain, Section
from kepgw.errors import ConfigurationError
from kepgw.interop.card import MAX_POINTS, supply_point
from kepgw.refusals import Refusal
from kepgw.trust.algorithms import SIGNATURES
from kepgw.trust.pkcs11key import TokenPlace
from kepgw.trust.processkeys import KeyPlace


class Provider(Section):
    """Who we are."""

    domain: ProviderDomain
    name: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
    service_address: str
    development: bool

    @whole(mode="after")
    def _service_address_is_ours(self) -> Self:
        try:
            address = parse(self.service_address)
        except Refusal:
            raise PydanticCustomError("service", "service_address must be a KEP address") from None
        if provider_domain(address.domain) != self.domain:
            raise PydanticCustomError("service", "service_address must lie below domain")
        return self


class Listen(Section):
    """Where the servers listen; ports are TCP ports, 0 lets the system choose."""

    host: str = Field(min_length=1)
    hostname: str
    relay_host: str
    relay_supply_points: tuple[str, ...] = Field(strict=False, max_length=MAX_POINTS)
    relay_authorities: tuple[File, ...] = Field(strict=False)
    relay_host_port: Port  # 0: that of relay
    relay_host_certificate: OptionalFile  # None: the first of keys.tls_certificates
    relay: Port
    submission: Port
    submissions: Port
    imap: Port
    imaps: Port
    http: Port
    proxies: tuple[Network, ...] = Field(strict=False)
    client_anchors: tuple[File, ...] = Field(strict=False)

    @whole(mode="after")
    def _ports_differ(self) -> Self:
        ports = [port for port in self.ports.values() if port]
        if len(set(ports)) != len(ports):
            raise PydanticCustomError("ports", "two listeners have the same port")
        return self

    @whole(mode="after")
    def _one_way_to_us(self) -> Self:
        try:
            points = [supply_point(each) for each in self.relay_supply_points]
        except ConfigurationError as error:
            raise PydanticCustomError("points", "relay_supply_points: {why}", {"why": str(error)}) from None
        if self.relay_host and points:
            raise PydanticCustomError("points", "relay_supply_points go with an empty relay_host (MX)")
        if not self.relay_host and not points and self.relay_authorities:
            raise PydanticCustomError("points", "relay_authorities need relay_host or relay_supply_points")
        return self

    @property
    def ports(self) -> dict[str, int]:
        """The port of each listener by its name."""
        return {name: getattr(self, name) for name in ("relay", "submission", "submissions", "imap", "imaps", "http")}


class Pkcs11(Section):
    """A key on a token. ``id`` is the CKA_ID in hexadecimal; ``workers`` processes use the token at once, None: one."""

    module: File
    token: str = Field(min_length=1)
    label: str | None = None
    id: str | None = Field(None, pattern=r"^([0-9A-Fa-f]{2})+$")
    pin_file: File | None = None
    pin_env: str | None = Field(None, min_length=1)
    workers: int | None = Field(None, ge=1, le=256)

    @whole(mode="after")
    def _one_way_each(self) -> Self:
        if self.label is None and self.id is None:
            raise PydanticCustomError("pkcs11", "name the key by its label or its id")
        if (self.pin_file is None) == (self.pin_env is None):
            raise PydanticCustomError("pkcs11", "the PIN comes from pin_file or from pin_env: give one of them")
        return self


class ProcessKey(Section):
    """A key that signs, in a PEM file or on a token, and its certificates, leaf first."""

    certificates: tuple[File, ...] = Field(strict=False, min_length=1)
    key: File | None = None
    pkcs11: Pkcs11 | None = None
    algorithm: Annotated[str, Field(pattern=f"^(auto|{'|'.join(SIGNATURES)})$")]

    @whole(mode="after")
    def _one_key(self) -> Self:
        if (self.key is None) == (self.pkcs11 is None):
            raise PydanticCustomError("key", "the key is in a file or on a token: give key or the table pkcs11")
        return self

    @property
    def place(self) -> KeyPlace:
        """Where the key lies, for those who open it."""
        algorithm = "" if self.algorithm == "auto" else self.algorithm
        if self.pkcs11 is None:
            assert self.key is not None
            return KeyPlace(self.certificates, self.key, algorithm)
        on = self.pkcs11
        identifier = None if on.id is None else bytes.fromhex(on.id)
        where = TokenPlace(on.module, on.token, on.label, identifier, on.pin_file, on.pin_env, on.workers or 1)
        return KeyPlace(self.certificates, where, algorithm)


class Keys(Section):
    """Keys and their certificates, leaf first, PEM; a process key may lie on a token."""

    tls_key: File
    tls_certificates: tuple[File, ...] = Field(strict=False, min_length=1)
    tsa_key: File
    tsa_certificates: tuple[File, ...] = Field(strict=False)
    process: tuple[ProcessKey, ...] = Field(strict=False, min_length=1, max_length=8)

    @property
    def process_certificates(self) -> tuple[Path, ...]:
        """The certificate files of all process keys, each once."""
        return tuple(dict.fromkeys(path for each in self.process for path in each.certificates))


class Signing(Section):
    """How many processes sign."""

    workers: int = Field(ge=0, le=256)


class StoreSection(Section):
    """Where everything is kept."""

    url: str = Field(pattern=r"^sqlite:///[^?#\x00]+$")
    spool: File


class Log(Section):
    """What is told on stderr, and how."""

    format: Literal["text", "json"]
    level: Literal["debug", "info", "warning", "error"]


class Metrics(Section):
    """Who may read ``/metrics``: networks in CIDR notation."""

    clients: tuple[Network, ...] = Field(strict=False)


class KnownProvider(Section):
    """One line of the table of providers; ``started`` and ``ended`` are years."""

    domain: ProviderDomain
    name: str = Field(min_length=1)
    state: Literal["active", "ended"]
    started: int = Field(ge=2011)
    ended: int | None = None

    @whole(mode="after")
    def _ended_has_a_year(self) -> Self:
        if (self.state == "ended") != (self.ended is not None):
            raise PydanticCustomError("ended", 'ended must stand exactly where state = "ended"')
        return self


class ProviderTable(Section):
    """The whole of ``providers.toml``."""

    provider: tuple[KnownProvider, ...] = Field(strict=False)
