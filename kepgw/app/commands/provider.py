"""``kepgw init``, ``serve``, ``doctor`` and ``config check``: the provider itself."""

from pathlib import Path
from typing import Annotated

import typer

from kepgw.app.commands.access import Folder, Json, ask, note, out, out_json

config_app = typer.Typer(no_args_is_help=True, help="The configuration: check.")


def init(
    directory: Folder,
    provider: Annotated[str, typer.Option("--provider", metavar="hsNN.kep.tr", help="The provider's domain.")],
    base_port: Annotated[int, typer.Option("--base-port", help="Listeners get this plus the usual port.")] = 2000,
    development: Annotated[
        bool, typer.Option("--dev", help="Make development keys and time stamps, without legal effect.")
    ] = False,
    algorithm: Annotated[
        str, typer.Option("--algorithm", help="Key algorithm of --dev: rsa-3072, p-256.")
    ] = "rsa-3072",
) -> None:
    """Make a provider's folder: settings, keys (with --dev) and the store. Nothing is ever overwritten."""
    from kepgw.app.initialise import initialise

    for line in initialise(directory, provider, base_port, development, algorithm):
        out(line + "\n")


def serve(directory: Folder) -> None:
    """Run the provider until SIGTERM or Ctrl-C; what is in hand is finished within 10 seconds."""
    import asyncio

    from kepgw.app import logs
    from kepgw.app.config import load
    from kepgw.app.provider import serve as run

    config = load(directory)
    logs.set_up(config.log.format, config.log.level)
    try:
        import uvloop
    except ImportError:  # not on every platform
        status = asyncio.run(run(config))
    else:
        status = uvloop.run(run(config))
    raise typer.Exit(status)


def reload(directory: Folder, as_json: Json = False) -> None:
    """Have a running provider read its configuration again, as SIGHUP does; what is open stays open."""
    found = ask(directory, "reload")
    if as_json:
        out_json(found)
        return
    out(f"in force: {', '.join(found['changed']) or 'nothing new'}\n")
    if found["restart"]:
        out(f"after a restart: {', '.join(found['restart'])}\n")


def doctor(directory: Folder, as_json: Json = False) -> None:
    """Look at keys, certificates, ports, time stamps and store, and say what to do about each finding."""
    from kepgw.app.doctor import examine

    findings = list(examine(directory))
    if as_json:
        out_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            out(f"{finding.level:<8} {finding.what}: {finding.detail}{remedy}\n")
    raise typer.Exit(1 if any(finding.level == "problem" for finding in findings) else 0)


@config_app.command()
def check(directory: Folder) -> None:
    """Load the configuration and name every file that it lacks."""
    from kepgw.app.config import load, missing_files

    missing = missing_files(load(directory))
    for line in missing:
        out(line + "\n")
    if not missing:
        note(f"{Path(directory) / 'kepgw.toml'} is complete")
    raise typer.Exit(1 if missing else 0)
