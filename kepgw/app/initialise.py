"""Making a new provider's folder: settings, table of providers, keys (for development) and the store."""

import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from kepgw.accounts.address import is_provider_domain
from kepgw.app.config import FILE, PROVIDERS_FILE, shipped
from kepgw.errors import ConfigurationError
from kepgw.store.engine import Store
from kepgw.texts import Language, text
from kepgw.trust import devpki

# What each listener adds to the base port: the well-known ports, so that base 0 gives exactly those.
PORTS: Final = {"relay": 25, "submission": 587, "submissions": 465, "imap": 143, "imaps": 993, "http": 80}
STORE_FILE: Final = "kepgw.sqlite"
USER_ANCHORS: Final = "user-anchors"
PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600

_ASSIGNMENT: Final = re.compile(r"(?P<key>[a-z_0-9]+) = (?P<value>[^#]*?)(?P<comment> *#.*)?")


def create_store(path: Path) -> None:
    """Make an empty store at ``path``. Raises StoreError."""
    Store.open(path).close()


def initialise(
    directory: Path,
    provider: str,
    base_port: int = 2000,
    development: bool = False,
    algorithm: str = "rsa-3072",
    *,
    language: Language = "en",
    at: datetime | None = None,
    create_store: Callable[[Path], None] = create_store,
) -> list[str]:
    """Make ``directory`` the folder of ``provider`` (``hsNN.kep.tr``) and return what to tell the administrator.

    Listeners get the ports ``base_port`` + PORTS on loopback. With ``development`` a whole PKI of ``algorithm``
    (see trust.devpki), valid from ``at``, and the development time stamp come along; without, the notes say which
    keys to put where. Nothing that is there is overwritten: raises ConfigurationError before anything is written.
    """
    if not is_provider_domain(provider):
        raise ConfigurationError(f"{provider!r} is not a provider's domain; give hsNN.kep.tr, lower case")
    if not 0 <= base_port <= 65535 - max(PORTS.values()):
        raise ConfigurationError(f"base port {base_port} is out of range; give 0 to {65535 - max(PORTS.values())}")
    if algorithm not in devpki.ALGORITHMS:
        raise ConfigurationError(f"unknown key algorithm {algorithm!r}; one of {', '.join(devpki.ALGORITHMS)}")
    _refuse_overwriting(directory, development=development)

    address = f"kep@{provider}"
    try:
        directory.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        directory.chmod(PRIVATE_FOLDER)
        keys = directory / "keys"
        keys.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        keys.chmod(PRIVATE_FOLDER)
        for folder in (USER_ANCHORS, devpki.LISTS):
            (directory / folder).mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        if development:
            devpki.create(directory, provider, address, algorithm=algorithm, at=at)
        _write_new(directory / PROVIDERS_FILE, shipped(PROVIDERS_FILE))
        create_store(directory / STORE_FILE)
        # The settings come last: a folder that has them is complete.
        settings = _settings(provider, address, base_port, development=development)
        _write_new(directory / FILE, fill(shipped(FILE), settings))
    except OSError as error:
        raise ConfigurationError(f"cannot write below {directory} ({error.strerror}); check owner and space") from error
    return _notes(directory, provider, address, language, development=development)


def fill(template: str, values: Mapping[str, object]) -> str:
    """``template`` with the values of ``table.key`` replaced and every comment kept.

    Raises ConfigurationError when a key does not stand in the template exactly once.
    """
    left = dict(values)
    lines = []
    table = ""
    for line in template.split("\n"):
        if line.startswith("["):
            table = line.partition("#")[0].strip().strip("[]")
        match = _ASSIGNMENT.fullmatch(line)
        name = f"{table}.{match['key']}" if match else ""
        if match and name in left:
            lines.append(f"{match['key']} = {toml_value(left.pop(name))}{match['comment'] or ''}")
        else:
            lines.append(line)
    if left:
        raise ConfigurationError(f"{', '.join(left)} not found in the template of {FILE}")
    return "\n".join(lines)


def toml_value(value: object) -> str:
    """A string, number, truth value or list of them as TOML."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(entry) for entry in value)}]"
    # JSON's literals are TOML's, except that TOML wants DEL escaped too (TOML 1.0, String).
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _settings(provider: str, address: str, base_port: int, *, development: bool) -> dict[str, object]:
    values: dict[str, object] = {
        "provider.domain": provider,
        "provider.name": provider.partition(".")[0],
        "provider.service_address": address,
        "provider.development": development,
        "tsa.kind": "development" if development else "http",
        "submission.require_signature": "off" if development else "require",  # no NES on a developer's desk
    }
    return values | {f"listen.{name}": base_port + offset for name, offset in PORTS.items()}


def _refuse_overwriting(directory: Path, *, development: bool) -> None:
    present = [name for name in (FILE, PROVIDERS_FILE, STORE_FILE) if os.path.lexists(directory / name)]
    keys = directory / "keys"
    # Real keys may lie there already: they are used, never touched.
    if development and keys.is_dir() and any(keys.iterdir()):
        present.append("keys")
    if present:
        raise ConfigurationError(
            f"{directory} already holds {', '.join(present)}; nothing was written. Give another folder, "
            "or move these away if you really want to start anew"
        )
    if directory.exists() and not directory.is_dir():
        raise ConfigurationError(f"{directory} is not a folder; give another name")


def _write_new(path: Path, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(content)


def _notes(directory: Path, provider: str, address: str, language: Language, *, development: bool) -> list[str]:
    keys = ["app-init-done"]
    if development:
        keys.append("app-init-development")
    else:
        keys += ["process-key", "tls-key", "anchors", "tsa", "policies", "user-anchors"]
        keys[1:] = [f"app-init-{key}" for key in keys[1:]]
    keys.append("app-init-next")
    notes = [text(key, language, directory=directory, domain=provider, address=address) for key in keys]
    # What kepgw is not is said in both languages, whatever the administrator reads.
    return [*notes, text("app-not-authorised", "tr"), text("app-not-authorised", "en")]
