"""Which settings a running provider takes over, and which wait for a restart."""

from typing import Any, Final

from kepgw.app.config import Config

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


def _flat(tables: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for peer in tables["peer"]:
        flat |= {f"peer.{peer['domain']}.{name}": each for name, each in peer.items() if each is not None}
    for table, value in tables.items():
        if table == "peer":
            continue
        if isinstance(value, dict):
            flat |= {f"{table}.{name}": each for name, each in value.items()}
        else:
            flat[table] = value
    return flat
