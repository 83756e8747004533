"""``kepgw trust``: certificates that sign what is kept and whether they are revoked; trusted lists of providers."""

from typing import Annotated, Any

import typer

from kepgw.app.commands.access import Folder, Json, ask, moment_of, note, out, out_json, plain, table, when

app = typer.Typer(no_args_is_help=True, help="Revocation of certificates: list, refresh. Trusted lists: update, show.")


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


@app.command()
def update(directory: Folder, as_json: Json = False) -> None:
    """Look for newer editions of the trusted lists now; what was taken is in force when this ends."""
    found = ask(directory, "trust_update")
    if as_json:
        out_json(found)
    else:
        note(f"new editions: {found['taken']}")
        _show_lists(found["lists"])
    if any(each["problem"] for each in found["lists"]):
        raise typer.Exit(1)


@app.command()
def show(
    directory: Folder,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="ISO 8601; as it stood then. UTC without offset.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show every trusted list and whom it lists."""
    moment = moment_of(at)
    found = ask(directory, "trust_show", at=None if moment is None else moment.isoformat())
    if as_json:
        out_json(found)
        return
    _show_lists(found)


def _show_lists(found: list[dict[str, Any]]) -> None:
    for each in found:
        number = "-" if each["sequence"] is None else each["sequence"]
        issued = "-" if each["issued"] is None else when(each["issued"])
        following = "never" if each["next_update"] is None else when(each["next_update"])
        line = f"{each['name']} ({each['state']}): number {number} of {issued}, next {following}; {each['operator']}\n"
        out(plain(line, 1000) + "\n")
        if each["problem"]:
            out(plain(f"  {each['problem']}", 1000) + "\n")
        rows = [
            (
                one["status"].rpartition("/")[2] or "-",
                when(one["since"]) if one["since"] else "-",
                one["type"].rpartition("Svctype/")[2],
                f"{one['provider']}: {one['service']}",
                " ".join(one["certificates"]),
            )
            for one in each["services"]
        ]
        out(table(("STATUS", "SINCE", "TYPE", "SERVICE", "CERTIFICATE SHA-256"), rows))


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
