"""The configuration of one provider: ``DIR/kepgw.toml`` laid over the commented file that kepgw ships.

The shipped ``kepgw/conf/kepgw.toml`` is the only place of default values; the models of kepgw.app.settings have none.
What one provider must say for itself (NO_DEFAULT) is never taken from the shipped file.
"""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kepgw.app.settings import Config, KnownProvider, ProcessKey, ProviderTable
from kepgw.errors import ConfigurationError

__all__ = ["FILE", "NO_DEFAULT", "PROVIDERS_FILE", "Config", "load", "load_providers", "missing_files", "shipped"]

FILE: Final = "kepgw.toml"
PROVIDERS_FILE: Final = "providers.toml"
MAX_FILE: Final = 1024 * 1024  # octets; a configuration is a few KB, more is a mistake

NO_DEFAULT: Final = (
    "provider.domain",
    "provider.name",
    "provider.service_address",
    "provider.development",
    "keys.process",
    "keys.tls_key",
    "keys.tls_certificates",
    "trust.anchors",
    "tsa",
)

NEVER_FILLED: Final = ("certificates", "key")  # of a [[keys.process]]: whose they are cannot be guessed


def shipped(name: str) -> str:
    """The text of a file of ``kepgw/conf``, the example that is also the source of all defaults."""
    return (files("kepgw") / "conf" / name).read_text("utf-8")


def load(directory: Path) -> Config:
    """The configuration in ``directory``. Raises ConfigurationError that names file, setting and remedy."""
    directory = directory.absolute()
    if not directory.is_dir():
        raise ConfigurationError(f"{directory} is not a folder; make a provider with: kepgw init {directory}")
    path = directory / FILE
    given = _read(path, f"make one with: kepgw init {directory}")
    _refuse_missing(given, path)
    merged = _merge(tomllib.loads(shipped(FILE)), given)
    try:
        config = Config.model_validate(merged, context={"directory": directory})
    except ValidationError as error:
        raise ConfigurationError(_sentences(error, path)) from None
    config._directory = directory
    config._known = load_providers(config.trust.providers)
    return config


def load_providers(path: Path) -> dict[str, KnownProvider]:
    """The table of known providers by domain. Raises ConfigurationError."""
    data = _read(path, "copy conf/providers.toml of kepgw there, or name another file in trust.providers")
    try:
        table = ProviderTable.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(_sentences(error, path)) from None
    known = {entry.domain: entry for entry in table.provider}
    if len(known) != len(table.provider):
        raise ConfigurationError(f"{path}: a provider stands twice; keep one line a domain")
    return known


def missing_files(config: Config) -> list[str]:
    """A sentence for each file that the configuration names and that is not there or not readable."""
    named: list[tuple[str, Path]] = [
        *(named for number, key in enumerate(config.keys.process) for named in _process_files(number, key)),
        ("keys.tls_key", config.keys.tls_key),
        *(("keys.tls_certificates", path) for path in config.keys.tls_certificates),
        *(("trust.anchors", path) for path in config.trust.anchors),
        *(("trust_list.signers", path) for each in config.trust_list for path in each.signers),
        *(("listen.client_anchors", path) for path in config.listen.client_anchors),
        *(("listen.relay_authorities", path) for path in config.listen.relay_authorities),
        *(("relay.client_certificates", path) for path in config.relay.client_certificates),
        *(("relay.client_key", path) for path in (config.relay.client_key,) if path is not None),
        *(("peer.tls_certificate", peer.tls_certificate) for peer in config.peer if peer.tls_certificate is not None),
    ]
    if any(tsa.kind == "development" for tsa in config.tsa):
        named.append(("keys.tsa_key", config.keys.tsa_key))
        named += [("keys.tsa_certificates", path) for path in config.keys.tsa_certificates]
    named += [
        (f"tsa.{number}.{name}", path) for number, tsa in enumerate(config.tsa) for name, path in tsa.files.items()
    ]
    findings = []
    for setting, path in named:
        try:
            with path.open("rb") as file:
                file.read(1)
        except OSError as error:
            findings.append(f"{setting}: cannot read {path} ({error.strerror}); put the file there or correct {FILE}")
    return findings


def _process_files(number: int, key: ProcessKey) -> list[tuple[str, Path]]:
    before = f"keys.process.{number}"
    named = [(f"{before}.certificates", path) for path in key.certificates]
    if key.key is not None:
        named.append((f"{before}.key", key.key))
    if key.pkcs11 is not None:
        named.append((f"{before}.pkcs11.module", key.pkcs11.module))
        if key.pkcs11.pin_file is not None:
            named.append((f"{before}.pkcs11.pin_file", key.pkcs11.pin_file))
    return named


def _read(path: Path, remedy: str) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path} ({error.strerror}); {remedy}") from None
    if len(octets) > MAX_FILE:
        raise ConfigurationError(f"{path} is larger than {MAX_FILE} octets; this is not a configuration of kepgw")
    try:
        return tomllib.loads(octets.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}; correct that place") from None


def _refuse_missing(given: dict[str, Any], path: Path) -> None:
    missing = []
    for setting in NO_DEFAULT:
        table, _, key = setting.partition(".")
        value = given.get(table)
        if value is None or (key and isinstance(value, dict) and key not in value):
            missing.append(setting)
    for number, tsa in enumerate(given.get("tsa", ()) if isinstance(given.get("tsa"), list) else ()):
        if isinstance(tsa, dict) and "kind" not in tsa:
            missing.append(f"tsa.{number}.kind")
    if missing:
        raise ConfigurationError(
            f"{path}: {', '.join(missing)} missing and without a default; see the commented conf/{FILE} of kepgw"
        )


def _merge(default: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Given tables over the default ones; each of a [[list]] fills up from the shipped one. Unknown names stay."""
    merged = dict(default)
    for name, value in given.items():
        base = default.get(name)
        if isinstance(value, dict) and isinstance(base, dict):
            merged[name] = _merge(base, value)
        elif isinstance(value, list) and isinstance(base, list) and base and isinstance(base[0], dict):
            fill = {key: filling for key, filling in base[0].items() if key not in NEVER_FILLED}
            merged[name] = [{**fill, **entry} if isinstance(entry, dict) else entry for entry in value]
        else:
            merged[name] = value
    return merged


def _sentences(error: ValidationError, path: Path) -> str:
    details = error.errors(include_url=False)
    places = [detail["loc"] for detail in details]
    # A list with a bad entry is also reported as a whole; only the entry helps.
    return "\n".join(
        f"{path}: {_sentence(detail)}"
        for detail in details
        if not any(len(other) > len(detail["loc"]) and other[: len(detail["loc"])] == detail["loc"] for other in places)
    )


def _sentence(detail: ErrorDetails) -> str:
    setting = ".".join(str(part) for part in detail["loc"])
    match detail["type"]:
        case "extra_forbidden":
            return f"{setting} is not a setting of kepgw; correct the name or remove it"
        case "missing":
            return f"{setting} is missing; see the commented conf files of kepgw"
    message = detail["msg"]
    if not setting:
        return message
    given = detail["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float) else ""
    return f"{setting}: {message[0].lower()}{message[1:]}{shown}"
