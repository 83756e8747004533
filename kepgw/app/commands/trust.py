"""``kepgw trust``: certificates that sign what is kept, and what says whether they are revoked."""

from typing import Any

import typer

from kepgw.app.commands.access import Folder, Json, ask, note, out, out_json, table, when

app = typer.Typer(no_args_is_help=True, help="Revocation of certificates: list, refresh.")


@app.command("list")
def list_(directory: Folder, as_json: Json = False) -> None:
    """Show every certificate that signs what is kept: good until when, revoked since when, or unknown."""
    _show(ask(directory, "trust_list"), as_json)


@app.command()
def refresh(directory: Folder, as_json: Json = False) -> None:
    """Look at the folder of lists and ask the authorities now; what came is in force when this ends."""
    found = ask(directory, "trust_refresh")
    if not as_json:
        note(f"new lists and responses: {found['new']}")
    _show(found["certificates"], as_json)


def _show(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        out_json(found)
        return
    rows = [
        (
            each["status"] + (" (own)" if each["own"] else ""),
            when(each["until"] or each["since"]) if each["until"] or each["since"] else "-",
            each["reason"] or "-",
            each["subject"],
            each["problem"],
        )
        for each in found
    ]
    out(table(("STATUS", "UNTIL / SINCE", "REASON", "CERTIFICATE", "LAST FAILURE"), rows))
