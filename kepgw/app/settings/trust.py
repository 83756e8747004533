"""Settings of trust and time: anchors, trusted lists, revocation, time stamps, the ledger and the archive."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo
from pydantic import model_validator as whole
from pydantic_core import PydanticCustomError

from kepgw.app.settings.kinds import Count, File, Octets, OptionalFile, ProviderDomain, Seconds, Section, _resolve


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
