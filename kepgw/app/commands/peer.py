"""``kepgw peer``: provider cards, ours and those of the peers."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kepgw.app.commands.access import Folder, Json, ask, note, out, out_json, plain, table

app = typer.Typer(no_args_is_help=True, help="Peers: card, add, list, remove, test.")


@app.command()
def card(directory: Folder) -> None:
    """Print this provider's card (TOML), to hand to the administrator of a peer."""
    from datetime import UTC, datetime

    from kepgw.app.cards import own_card
    from kepgw.app.config import load
    from kepgw.interop.card import write_card

    out(write_card(own_card(load(directory), datetime.now(UTC))))


@app.command()
def add(
    directory: Folder,
    card: Annotated[Path, typer.Argument(metavar="CARD", help="The card's file; - is standard input.")],
) -> None:
    """Trust a peer by its card; a newer card replaces the older."""
    made = ask(directory, "peer_add", card=_read(card))
    for each in made["process_certificates"]:
        span = f"{each['begins'][:10]} to {each['ends'][:10]}"
        note(f"{made['domain']} is a peer, known by the process certificate with SHA-256 {each['sha256']} ({span})")


@app.command("list")
def list_(directory: Folder, as_json: Json = False) -> None:
    """Show all peers."""
    found = ask(directory, "peer_list")
    if as_json:
        out_json(found)
        return
    rows = [
        (
            *(each[name] for name in ("domain", "service_address", "relay", "process_days_left")),
            _left(each),
            _standing(each),
        )
        for each in found
    ]
    out(table(("DOMAIN", "SERVICE ADDRESS", "RELAY", "PROCESS DAYS LEFT", "TLS DAYS LEFT", "STANDING"), rows))


@app.command()
def remove(
    directory: Folder, domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="hsNN.kep.tr", show_default=False)]
) -> None:
    """Forget a peer, at once: dispatches that wait for it get evidence 31, receipts wait until it is one again."""
    gone = ask(directory, "peer_remove", domain=domain)
    note(f"{gone['domain']} is no longer a peer; dispatches given up with evidence 31: {gone['given_up']}")


@app.command("test")
def handshake(
    directory: Folder,
    domain: Annotated[str, typer.Argument(metavar="PEER", help="hsNN.kep.tr", show_default=False)],
    as_json: Json = False,
) -> None:
    """Go to a peer's relay as for a message, give it none, and say what is not as its card and ours have it.

    Exit status 1 when there is a problem.
    """
    import asyncio

    from kepgw.app import peertest
    from kepgw.app.config import load
    from kepgw.interop.card import read_card

    config, told = load(directory), ask(directory, "peer_test", domain=domain)
    card = read_card(told["card"])
    route, met = asyncio.run(peertest.meet(config, card))
    findings = list(peertest.findings(config, card, told, route, met, peertest.now()))
    if as_json:
        out_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            out(plain(f"{finding.level:<8} {finding.what}: {finding.detail}{remedy}", 1000) + "\n")
    raise typer.Exit(1 if any(finding.level == "problem" for finding in findings) else 0)


def _standing(peer: dict[str, Any]) -> str:
    """Whether a peer may be dealt with; a stopped provider does not know."""
    if peer["standing"] is None:
        return "good" if peer["judged"] else "-"
    return f"{peer['standing']['state']}: {peer['standing']['detail']}"


def _left(peer: dict[str, Any]) -> str:
    """Days until the TLS certificate ends; one below an authority is not known before it is met."""
    return "-" if peer["tls_days_left"] is None else str(peer["tls_days_left"])


def _read(path: Path) -> str:
    import sys

    from kepgw.errors import ConfigurationError
    from kepgw.interop.card import MAX_CARD

    try:
        if str(path) == "-":
            octets = sys.stdin.buffer.read(MAX_CARD + 1)
        else:
            with path.open("rb") as file:
                octets = file.read(MAX_CARD + 1)
        return octets.decode("utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot read the card {path} ({error.strerror})") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not a provider card: it is not UTF-8 text") from None
