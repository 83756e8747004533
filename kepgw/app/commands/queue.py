"""``kepgw queue``: the work that waits."""

from typing import Annotated

import typer

from kepgw.app.commands.access import Folder, Json, ask, note, out, out_json, table, when

app = typer.Typer(no_args_is_help=True, help="The queue: list, retry.")


@app.command("list")
def list_(directory: Folder, as_json: Json = False) -> None:
    """Show what waits: for whom, until when, after how many attempts, and why."""
    found = ask(directory, "queue_list")
    if as_json:
        out_json(found)
        return
    rows = [
        (
            each["task"],
            each["kind"],
            each["peer"] or "-",
            each["message"],
            when(each["due"]),
            each["attempts"],
            f"{each['age_seconds']} s",
            each["last_error"],
        )
        for each in found
    ]
    out(table(("TASK", "WHAT", "PEER", "MESSAGE", "DUE", "ATTEMPTS", "AGE", "LAST ERROR"), rows))


@app.command()
def retry(
    directory: Folder,
    task: Annotated[int | None, typer.Argument(metavar="[ID]", help="One task; all when left out.")] = None,
) -> None:
    """Try waiting work now. Windows keep their time."""
    count = ask(directory, "queue_retry", task=task)["retried"]
    note(f"{count} task{'' if count == 1 else 's'} will be tried now")
