"""Which settings a running provider takes over, and which wait for a restart."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from kepgw.app.config import Config
from kepgw.app.settings import PeerSection

# tables, and single settings, that are read again; all others were built into something that only a restart builds anew
LIVE: Final = frozenset(
    {
        "keys.tls_key",
        "keys.tls_certificates",
        "limits",
        "log",
        "listen.relay_authorities",  # for the card, which is made anew each time
        "listen.relay_host",
        "listen.relay_supply_points",
        "mailbox.quota_octets",
        "mailbox.read_evidence",
        "mailbox.retrieval_expiration",
        "mailbox.retrieval_expiration_after",
        "malware",
        "peer",
        "policy",
        "relay",
        "submission.require_signature",
        "trust.providers",
    }
)


def compare(old: Config, new: Config) -> tuple[list[str], list[str]]:
    """The names of settings that differ: those that take effect now, and those that wait for a restart."""
    before, after = _flat(old.model_dump()), _flat(new.model_dump())
    differing = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    live = [name for name in differing if (name in LIVE or name.split(".")[0] in LIVE) and not _spells(name)]
    return live, [name for name in differing if name not in live]


def _spells(name: str) -> bool:
    """Whether it is how messages to one peer are written: the signing processes have that from their start."""
    return name.startswith("peer.") and name.endswith((".profile", ".evidence"))


def in_force(old: Config, new: Config) -> Config:
    """``new`` with the settings of ``old`` where they wait for a restart: no room runs by half of a change."""
    tables: dict[str, Any] = {}
    for table in type(new).model_fields:
        before, after = getattr(old, table), getattr(new, table)
        tables[table] = after if table in LIVE else before
        if isinstance(after, BaseModel) and table not in LIVE:
            taken = {name: getattr(after, name) for name in type(after).model_fields if f"{table}.{name}" in LIVE}
            tables[table] = before.model_copy(update=taken)
    tables["peer"] = tuple(_peers(old, new))
    return new.model_copy(update=tables)


def _peers(old: Config, new: Config) -> Iterator[PeerSection]:
    """The tables of peers as they are now, with the spelling that the signing processes began with."""
    before, after = ({each.domain: each for each in config.peer} for config in (old, new))
    for domain in dict.fromkeys((*after, *before)):
        bare = PeerSection.model_validate({"domain": domain})
        spelled = before.get(domain, bare)
        kept = after.get(domain, bare).model_copy(update={"profile": spelled.profile, "evidence": spelled.evidence})
        if domain in after or kept != bare:
            yield kept


def _flat(tables: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for peer in tables["peer"]:
        said = {name: each for name, each in peer.items() if each is not None and name != "domain"}
        flat |= {f"peer.{peer['domain']}.{name}": each for name, each in said.items()}
    for table, value in tables.items():
        if table == "peer":
            continue
        if isinstance(value, dict):
            flat |= {f"{table}.{name}": each for name, each in value.items()}
        else:
            flat[table] = value
    return flat
