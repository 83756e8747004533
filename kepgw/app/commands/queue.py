"""``kepgw queue``: the work that waits."""

from typing import Annotated

import typer

from kepgw.app.commands.access import Folder, Json, ask, note, out, out_json, table, when

app = typer.Typer(no_args_is_help=True, help="The queue: list, retry, hold, release, drop.")


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
            f"HELD: {each['held']}" if each["held"] else each["last_error"],
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


Task = Annotated[int | None, typer.Argument(metavar="[TASK]", help="A task of kepgw queue list.")]
Peer = Annotated[str | None, typer.Option("--peer", metavar="hsNN.kep.tr", help="Everything for this peer.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded.", show_default=False)]


@app.command()
def hold(directory: Folder, reason: Reason, task: Task = None, peer: Peer = None) -> None:
    """Give nothing to a peer, or not this dispatch or receipt, until it is released. Windows keep their time."""
    note(f"{ask(directory, 'queue_hold', reason=reason, task=task, peer=peer)['held']} is held")


@app.command()
def release(directory: Folder, task: Task = None, peer: Peer = None) -> None:
    """Go on with what was held, now."""
    note(f"{ask(directory, 'queue_release', task=task, peer=peer)['released']} goes on")


@app.command()
def drop(
    directory: Folder,
    task: Annotated[int, typer.Argument(metavar="TASK", help="A dispatch of kepgw queue list.", show_default=False)],
    reason: Reason,
) -> None:
    """Give a dispatch up: its sender gets evidence 31 with the reason for each recipient who still waits."""
    note(f"message {ask(directory, 'queue_drop', task=task, reason=reason)['message']}: evidence 31 is ordered")
