"""What can be set: one model a table of ``kepgw.toml``, without any default (see ``kepgw/conf/kepgw.toml``)."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationInfo
from pydantic import model_validator as whole
from pydantic_core import PydanticCustomError

from kepgw.accounts.address import is_provider_domain, parse, provider_domain
from kepgw.errors import ConfigurationError
from kepgw.evidence.codes import DEVELOPMENT_POLICY
from kepgw.evidence.ts102640 import Spelling
from kepgw.interop.card import MAX_POINTS, MAX_TLS, supply_point
from kepgw.net.nameserver import nameserver
from kepgw.refusals import Refusal
from kepgw.trust.algorithms import SIGNATURES
from kepgw.trust.pkcs11key import TokenPlace
from kepgw.trust.processkeys import KeyPlace


def _resolve(path: Path, info: ValidationInfo) -> Path:
    base: Path = info.context["directory"] if info.context else Path()
    return base / path


def _resolve_some(path: Path | None, info: ValidationInfo) -> Path | None:
    return None if path is None else _resolve(path, info)


def _a_provider_domain(domain: str) -> str:
    if not is_provider_domain(domain):
        raise PydanticCustomError("domain", "must be a provider's domain of the form hsNN.kep.tr, lower case")
    return domain


File = Annotated[Path, Field(strict=False), AfterValidator(_resolve)]
OptionalFile = Annotated[  # "" is none
    Path | None, Field(strict=False), BeforeValidator(lambda path: path or None), AfterValidator(_resolve_some)
]
ProviderDomain = Annotated[str, AfterValidator(_a_provider_domain)]
Network = Annotated[IPv4Network, Field(strict=False)] | Annotated[IPv6Network, Field(strict=False)]
Port = Annotated[int, Field(ge=0, le=65535)]  # 0: the system chooses, for tests
Octets = Annotated[int, Field(ge=512, le=2**31)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Bound = Annotated[int, Field(ge=0, le=1_000_000)]  # 0: none
Seconds = Annotated[float, Field(gt=0, le=366 * 86_400)]


def _a_name_server(text: str) -> str:
    try:
        nameserver(text)
    except ValueError:
        raise PydanticCustomError("nameserver", "must be an IP address, with a port if need be") from None
    return text


NameServer = Annotated[str, AfterValidator(_a_name_server)]


class Section(BaseModel):
    """A table of the file: nothing unknown passes, nothing changes after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


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


class Trust(Section):
    """What we believe without asking."""

    anchors: tuple[File, ...] = Field(strict=False, min_length=1)
    providers: File


class TrustListSection(Section):
    """A trusted list (TS 119 612) and the peers that must be granted in it; times in seconds, ``peers`` may be "*"."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    source: str = Field(min_length=1)
    signers: tuple[File, ...] = Field(strict=False, min_length=1, max_length=16)
    peers: tuple[Literal["*"] | ProviderDomain, ...] = Field(("*",), strict=False, min_length=1)
    every: Seconds = 3600.0
    grace: float = Field(604_800.0, ge=0, le=366 * 86_400)
    timeout: Seconds = 60.0
    plain_http: bool = False
    fetch_private: bool = False

    _place: Path | str = PrivateAttr(default="")

    @whole(mode="after")
    def _where(self, info: ValidationInfo) -> Self:
        if self.source.startswith("http://") and not self.plain_http:
            raise PydanticCustomError("source", "source is not https; plain_http = true would allow it")
        self._place = self.source if "://" in self.source else _resolve(Path(self.source), info)
        if isinstance(self._place, str) and not self._place.startswith(("https://", "http://")):
            raise PydanticCustomError("source", "source must be an https address, a file or a folder")
        return self

    @property
    def place(self) -> Path | str:
        """The address, or the file or folder."""
        return self._place


class MaterialSection(Section):
    """How lists and responses are gathered that keep signatures verifiable; times in seconds."""

    folder: File
    fetch: bool
    fetch_private: bool
    every: Seconds
    distance: float = Field(ge=0, le=366 * 86_400)
    timeout: Seconds
    largest_octets: Octets


class Tsa(Section):
    """One time-stamp authority (RFC 3161); ``timeout`` and ``accuracy`` in seconds, ``policy`` a dotted OID."""

    kind: Literal["development", "http"]
    url: str
    timeout: Seconds
    policy: str = Field(pattern=r"^([0-2](\.(0|[1-9][0-9]{0,38})){1,32})?$")
    accuracy: float = Field(ge=0, le=86_400)
    user: str = Field(max_length=200, pattern=r"^[^:\x00-\x1f\x7f]*$")  # RFC 7617 2
    password_file: OptionalFile
    token_file: OptionalFile
    client_certificate: OptionalFile
    client_key: OptionalFile
    tls_anchors: OptionalFile

    @whole(mode="after")
    def _http_has_a_url(self) -> Self:
        if self.kind == "http" and not self.url.startswith(("http://", "https://")):
            raise PydanticCustomError("url", 'url must be the http(s) address of the authority when kind = "http"')
        if "@" in self.url.partition("://")[2].partition("/")[0]:
            raise PydanticCustomError("url", "url must not hold a password; name user and password_file")
        return self

    @whole(mode="after")
    def _access_is_whole(self) -> Self:
        if bool(self.user) != (self.password_file is not None):
            raise PydanticCustomError("user", "user and password_file belong together")
        if self.user and self.token_file is not None:
            raise PydanticCustomError("user", "user and token_file exclude each other")
        if (self.client_certificate is None) != (self.client_key is None):
            raise PydanticCustomError("client", "client_certificate and client_key belong together")
        if self.client_key is not None and not self.url.startswith("https://"):
            raise PydanticCustomError("client", "a client_certificate needs an https url")
        return self

    @property
    def files(self) -> dict[str, Path]:
        """The files that it names, by setting."""
        names = ("password_file", "token_file", "client_certificate", "client_key", "tls_anchors")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def secrets(self) -> tuple[Path, ...]:
        """Those that nobody else may read."""
        return tuple(path for name, path in self.files.items() if name in {"password_file", "token_file", "client_key"})


class StampingSection(Section):
    """How time stamps are asked for; all times in seconds."""

    digest: Literal["sha256", "sha384", "sha512"]
    clock_bound: Seconds
    retry_first: Seconds
    retry_max: Seconds
    wrong_first: Seconds
    wrong_max: Seconds


class Limits(Section):
    """Bounds against hostile or broken clients; octets, counts and seconds."""

    content_octets: Octets
    message_octets: Octets
    relay_extra_octets: Octets
    recipients: Count
    command_octets: Octets
    auth_octets: Octets
    imap_command_octets: Octets
    connections: Count
    connections_per_address: Count
    errors_per_session: Count
    login_failures: Count
    login_lock_failures: Count
    login_lock_address: Count
    login_lock: Seconds
    connections_per_minute: Bound
    messages_per_hour: Bound
    recipients_per_hour: Bound
    command_timeout: Seconds
    data_timeout: Seconds
    idle_timeout: float = Field(ge=1800, le=366 * 86_400)  # RFC 3501 5.4: at least 30 minutes
    login_checks: Count
    waiting_messages: Count


class Relay(Section):
    """Sending to peers; all times in seconds."""

    window: Seconds
    answer_window: Seconds
    delivery_window: Seconds
    retry_first: Seconds
    retry_factor: float = Field(ge=1, le=100)
    retry_max: Seconds
    retry_jitter: float = Field(ge=0, lt=1)
    connections_per_peer: Count
    connect_timeout: Seconds
    command_timeout: Seconds
    data_timeout: Seconds
    client_certificates: tuple[File, ...] = Field(strict=False, max_length=MAX_TLS)
    client_key: OptionalFile
    nameservers: tuple[NameServer, ...] = Field(strict=False, max_length=8)
    dns_timeout: Seconds

    @whole(mode="after")
    def _client_is_whole(self) -> Self:
        if bool(self.client_certificates) != (self.client_key is not None):
            raise PydanticCustomError("client", "client_certificates and client_key belong together")
        return self


class EvidenceSection(Section):
    """How evidence is written (TS 102 640-2)."""

    namespace: str = Field(min_length=1)
    version: str = Field(min_length=1)
    decision_events: str = Field(min_length=1)
    other_events: str = Field(min_length=1)
    retrieval_expiration: str = Field(min_length=1)
    reasons: str = Field(min_length=1)
    methods: str = Field(min_length=1)
    type_header: Literal["element", "code"]
    delivery_status: Literal["off", "asked", "always"]
    policies: tuple[str, ...] = Field(strict=False)


ProfileName = Literal["tr-kep", "rem-baseline"]


class ProfilesSection(Section):
    """In which profile we write; we read all of them from anybody."""

    takes: tuple[ProfileName, ...] = Field(strict=False, min_length=1)
    local: ProfileName


class PeerSpelling(Section):
    """How evidence is spelled for one peer; what is None is as in ``evidence``."""

    namespace: str | None = Field(None, min_length=1)
    version: str | None = Field(None, min_length=1)
    decision_events: str | None = Field(None, min_length=1)
    other_events: str | None = Field(None, min_length=1)
    retrieval_expiration: str | None = Field(None, min_length=1)
    reasons: str | None = Field(None, min_length=1)
    methods: str | None = Field(None, min_length=1)
    type_header: Literal["element", "code"] | None = None


class PeerSection(Section):
    """What holds for one peer alone: what is None is as for all. Times in seconds, sizes in octets."""

    domain: ProviderDomain
    window: Seconds | None = None
    answer_window: Seconds | None = None
    delivery_window: Seconds | None = None
    connections: Count | None = None
    largest_octets: Octets | None = None
    chunking: bool | None = None
    host: str | None = Field(None, min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+$")
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    tls_certificate: File | None = None
    profile: ProfileName | None = None
    evidence: PeerSpelling | None = None

    @whole(mode="after")
    def _a_way_has_a_host(self) -> Self:
        if self.host is None and (self.port is not None or self.tls_certificate is not None):
            raise PydanticCustomError("host", "port and tls_certificate say how host is reached: name it too")
        return self


class RemBaselineSection(Section):
    """What evidence of EN 319 532-4 says of our users."""

    country: str = Field(pattern=r"^[A-Z]{2}$")
    assurance_level: str = Field(min_length=1)
    assurance_policy: str


class Mailbox(Section):
    """When evidence about reading is made; ``retrieval_expiration_after`` in seconds."""

    read_evidence: Literal["seen", "fetch"]
    quota_octets: int = Field(ge=0)
    retrieval_expiration: bool
    retrieval_expiration_after: Seconds


class Policy(Section):
    """What we take."""

    etebligat: Literal["refuse", "accept"]


class Malware(Section):
    """Who looks for malware; ``timeout`` in seconds."""

    clamd: str
    program: tuple[str, ...] = Field(strict=False)
    timeout: Seconds
    at_once: Count


class Submission(Section):
    """What a message of our own users must carry."""

    require_signature: Literal["off", "warn", "require"]
    trust_anchors: File


class StoreSection(Section):
    """Where everything is kept."""

    url: str = Field(pattern=r"^sqlite:///[^?#\x00]+$")
    spool: File


class Signing(Section):
    """How many processes sign."""

    workers: int = Field(ge=0, le=256)


class Ledger(Section):
    """When the ledger's tree is signed and stamped; ``head_every`` in seconds, ``head_leaves`` in records.

    ``head_folders`` and ``head_commands`` get each new head; ``head_command_timeout`` in seconds.
    """

    head_every: Seconds
    head_leaves: Count
    head_folders: tuple[File, ...] = Field(strict=False)
    head_commands: tuple[tuple[str, ...], ...] = Field(strict=False)
    head_command_timeout: Seconds

    @whole(mode="after")
    def _commands_name_a_program(self) -> Self:
        if any(not command or not command[0] for command in self.head_commands):
            raise PydanticCustomError("head_commands", "every head command must name a program")
        return self


class Archive(Section):
    """Archive time stamps (RFC 4998); ``every`` in seconds, ``renew_days`` in days, ``retention_years`` in years."""

    every: Seconds
    algorithm: Literal["sha256", "sha384", "sha512"]
    renew_days: int = Field(ge=1, le=3650)
    retention_years: int = Field(ge=1, le=1000)


class Metrics(Section):
    """Who may read ``/metrics``: networks in CIDR notation."""

    clients: tuple[Network, ...] = Field(strict=False)


class Log(Section):
    """What is told on stderr, and how."""

    format: Literal["text", "json"]
    level: Literal["debug", "info", "warning", "error"]


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


class Config(Section):
    """Everything that one provider is told, immutable. Attributes are the tables of the file."""

    provider: Provider
    listen: Listen
    keys: Keys
    trust: Trust
    trust_list: tuple[TrustListSection, ...] = Field((), strict=False, max_length=8)
    material: MaterialSection
    tsa: tuple[Tsa, ...] = Field(strict=False, min_length=1, max_length=16)
    stamping: StampingSection
    limits: Limits
    relay: Relay
    peer: tuple[PeerSection, ...] = Field((), strict=False, max_length=100)
    evidence: EvidenceSection
    profiles: ProfilesSection
    rem_baseline: RemBaselineSection
    mailbox: Mailbox
    policy: Policy
    malware: Malware
    submission: Submission
    store: StoreSection
    signing: Signing
    ledger: Ledger
    archive: Archive
    log: Log
    metrics: Metrics

    _directory: Path = PrivateAttr(default=Path())
    _known: dict[str, KnownProvider] = PrivateAttr(default_factory=dict)

    @whole(mode="after")
    def _honest(self) -> Self:
        # What is made without authorisation must say so inside itself.
        if not self.provider.development:
            if any(tsa.kind == "development" for tsa in self.tsa):
                raise PydanticCustomError(
                    "tsa", 'a [[tsa]] of kind "development" needs provider.development = true; name a real authority'
                )
            if not self.evidence.policies:
                raise PydanticCustomError(
                    "policies", "evidence.policies is empty; name the URI of your practice statement (KEPUE)"
                )
        if self.limits.message_octets < self.limits.content_octets:
            raise PydanticCustomError("limits", "limits.message_octets must not be below limits.content_octets")
        stamping = self.stamping
        if stamping.retry_max < stamping.retry_first or stamping.wrong_max < stamping.wrong_first:
            raise PydanticCustomError("stamping", "stamping.retry_max and wrong_max must not be below their first")
        if len({tsa.url or tsa.kind for tsa in self.tsa}) != len(self.tsa):
            raise PydanticCustomError("tsa", "a [[tsa]] stands twice; keep one table an authority")
        if len({peer.domain for peer in self.peer}) != len(self.peer):
            raise PydanticCustomError("peer", "a [[peer]] stands twice; keep one table a domain")
        if len({each.name for each in self.trust_list}) != len(self.trust_list):
            raise PydanticCustomError("trust_list", "two [[trust_list]] have the same name")
        if self.relay.retry_max < self.relay.retry_first:
            raise PydanticCustomError("relay", "relay.retry_max must not be below relay.retry_first")
        return self

    @property
    def directory(self) -> Path:
        """The provider's folder."""
        return self._directory

    @property
    def hostname(self) -> str:
        """The name in greetings and EHLO (RFC 5321 4.1.1.1)."""
        return self.listen.hostname or self.provider.domain

    @property
    def store_path(self) -> Path:
        """The SQLite file of the store."""
        return self._directory / self.store.url.removeprefix("sqlite:///")

    @property
    def spelling(self) -> Spelling:
        """How evidence XML is spelled."""
        names = (
            "namespace",
            "version",
            "decision_events",
            "other_events",
            "retrieval_expiration",
            "reasons",
            "methods",
        )
        return Spelling(**{name: getattr(self.evidence, name) for name in names})

    def spelling_of(self, peer: PeerSection) -> tuple[Spelling, str]:
        """How evidence is spelled for a peer, and what its type header names."""
        own = {} if peer.evidence is None else peer.evidence.model_dump(exclude_none=True)
        type_header = own.pop("type_header", self.evidence.type_header)
        return replace(self.spelling, **own), type_header

    @property
    def policies(self) -> tuple[str, ...]:
        """The policy URIs of all evidence; under development the one that denies legal effect is always first."""
        return ((DEVELOPMENT_POLICY,) if self.provider.development else ()) + self.evidence.policies

    @property
    def known_providers(self) -> dict[str, KnownProvider]:
        """The table of providers by domain (``conf/providers.toml``)."""
        return self._known
