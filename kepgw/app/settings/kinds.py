"""The kinds of values that settings have, and the table that all of them are."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from kepgw.accounts.address import is_provider_domain
from kepgw.net.nameserver import nameserver


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
