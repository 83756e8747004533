"""Settings of the traffic: bounds, relay, peers, profiles and evidence, and what users may send."""

from typing import Annotated, Literal, Self

from pydantic import Field
from pydantic import model_validator as whole
from pydantic_core import PydanticCustomError

from kepgw.app.settings.kinds import (
    Bound,
    Count,
    File,
    NameServer,
    Octets,
    OptionalFile,
    ProviderDomain,
    Seconds,
    Section,
)
from kepgw.interop.card import MAX_TLS


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
