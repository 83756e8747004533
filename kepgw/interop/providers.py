"""Who owns which domain: the known providers, this provider, and the peers whose cards are here."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kepgw.accounts.address import provider_domain
from kepgw.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Provider:
    """A KEP provider (KEPHS) as the table of providers names it."""

    domain: str
    name: str
    state: Literal["active", "ended"]
    started: int | None = None
    ended: int | None = None


def load_providers(path: Path) -> dict[str, Provider]:
    """The table of known providers by domain. Raises ConfigurationError that names the file and the entry."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read as TOML: {error}") from error
    providers: dict[str, Provider] = {}
    for entry in document.get("provider", []):
        provider = _provider(entry, path)
        if provider.domain in providers:
            raise ConfigurationError(f"{path}: provider {provider.domain} stands twice; keep one entry")
        providers[provider.domain] = provider
    return providers


def _provider(entry: Mapping[str, Any], path: Path) -> Provider:
    try:
        provider = Provider(**entry)
    except TypeError as error:
        raise ConfigurationError(f"{path}: a [[provider]] has a missing or unknown key: {error}") from error
    if provider.state not in {"active", "ended"} or not isinstance(provider.domain, str):
        raise ConfigurationError(f'{path}: provider {provider.domain}: state must be "active" or "ended"')
    return provider


def owner_of(address: str) -> str:
    """The provider's domain of a canonical address: ``local@[sub.]hsNN.kep.tr`` belongs to ``hsNN.kep.tr``.

    Tebliğ m.11(5). Raises Refusal("not-kep-address").
    """
    return provider_domain(address)
