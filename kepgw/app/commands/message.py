"""``kepgw message``: what became of a message, recipient by recipient."""

from typing import Annotated

import typer

from kepgw.app.commands.access import Folder, Json, ask, out, out_json, table, when

app = typer.Typer(no_args_is_help=True, help="Messages: list, show.")


@app.command("list")
def list_(
    directory: Folder,
    as_json: Json = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 50,
) -> None:
    """Show the newest messages."""
    found = ask(directory, "message_list", limit=limit)
    if as_json:
        out_json(found)
        return
    rows = [
        (
            each["number"],
            when(each["t0"]),
            each["direction"],
            each["sender"],
            ", ".join(f"{count} {state}" for state, count in each["recipients"].items()) or each["state"],
            each["subject"],
        )
        for each in found
    ]
    out(table(("NUMBER", "T0", "DIRECTION", "SENDER", "RECIPIENTS", "SUBJECT"), rows))


@app.command()
def show(
    directory: Folder,
    message: Annotated[
        str, typer.Argument(metavar="ID", help="Its number, KEP identifier or Message-ID.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Show the timeline of a message: every evidence and what is still awaited, per recipient."""
    found = ask(directory, "message_show", message=message)
    if as_json:
        out_json(found)
        return
    from kepgw.app.timeline import show as write

    out(write(found))
