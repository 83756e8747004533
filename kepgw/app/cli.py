"""The ``kepgw`` command. Exit status: 0 good, 1 bad (a check failed, or it was refused), 2 unusable.

Errors are one clear sentence on stderr, never a traceback.
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from kepgw.app.commands import account, archive, evidence, ledger, message, peer, provider, queue, trust
from kepgw.app.commands.verify import verify
from kepgw.errors import ConfigurationError, FormatError, KepError, SigningUnavailable, StoreError

GOOD, BAD, UNUSABLE = 0, 1, 2

# plain text from typer itself too: no rich, and help in a few hundredths of a second
app = typer.Typer(
    name="kepgw",
    help="A self-hosted KEP (registered e-mail) gateway. Not an authorised provider: see the README.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(provider.init)
app.command()(provider.serve)
app.command()(provider.reload)
app.add_typer(account.app, name="account")
app.add_typer(peer.app, name="peer")
app.add_typer(message.app, name="message")
app.add_typer(evidence.app, name="evidence")
app.add_typer(ledger.app, name="ledger")
app.add_typer(archive.app, name="archive")
app.add_typer(queue.app, name="queue")
app.add_typer(trust.app, name="trust")
app.command()(verify)
app.command()(provider.doctor)
app.add_typer(provider.config_app, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415  (only here)

        sys.stdout.write(f"kepgw {version('kepgw')}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    try:
        app(None if arguments is None else list(arguments), prog_name="kepgw")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else BAD
    except (ConfigurationError, StoreError, FormatError, SigningUnavailable) as error:
        return _tell(error, UNUSABLE)
    except KepError as error:
        return _tell(error, BAD)
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BAD
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return _tell(f"{error.filename or 'input or output'}: {error.strerror or error}", UNUSABLE)
    return GOOD


def _tell(problem: Exception | str, status: int) -> int:
    from kepgw.refusals import Refusal  # noqa: PLC0415  (reads the catalogue of texts)

    sentence = problem.sentence() if isinstance(problem, Refusal) else str(problem)
    sys.stderr.write(f"kepgw: {sentence}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
