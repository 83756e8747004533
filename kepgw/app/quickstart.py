"""``make run``: one development provider on loopback with two accounts, ready for a mail client.

``python -m kepgw.app.quickstart FOLDER`` makes FOLDER/hs90 and FOLDER/ACCOUNTS.txt where they are missing, prints how
to connect and becomes ``kepgw serve``. It uses the ``kepgw`` command as an administrator would.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from kepgw.app.config import FILE, Config, load
from kepgw.errors import KepError

PROVIDER: Final = "hs90.kep.tr"
ACCOUNTS: Final = {"ayse.yilmaz@hs90.kep.tr": "Ayşe Yılmaz", "mehmet.demir@hs90.kep.tr": "Mehmet Demir"}

Command = Callable[[Sequence[str], str], int]
"""Runs ``kepgw`` with arguments and standard input; returns its exit status."""


def command_path() -> str:
    """The ``kepgw`` command of this installation."""
    return str(Path(sys.executable).parent / "kepgw")


def run_command(arguments: Sequence[str], stdin: str) -> int:
    """Run ``kepgw`` and wait for it."""
    return subprocess.run([command_path(), *arguments], input=stdin, text=True, check=False).returncode  # noqa: S603 (our own command, no shell)


def prepare(folder: Path, command: Command = run_command) -> dict[str, str]:
    """Make provider and accounts below ``folder`` where they are missing; returns passwords by address.

    An interrupted run is taken up where it stopped: an account without a known password gets a new one.
    Raises KepError when the command fails.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = folder / "hs90"
    if not (directory / FILE).exists() and command(["init", str(directory), "--provider", PROVIDER, "--dev"], ""):
        raise KepError(f"kepgw init {directory} failed")
    listing = folder / "ACCOUNTS.txt"
    known = _read(listing)
    for address, name in ACCOUNTS.items():
        if address in known:
            continue
        password = secrets.token_hex(12)  # one that begins with "-" would be an option to swaks and others
        target = [str(directory), address]
        if command(["account", "add", *target, "--name", name, "--password-stdin"], f"{password}\n") and command(
            ["account", "password", *target, "--password-stdin"], f"{password}\n"
        ):
            raise KepError(f"kepgw account add {address} failed")
        known[address] = password
        _write(listing, known)
    return known


def connection_help(config: Config, passwords: dict[str, str], root: Path) -> str:
    """How to connect with a mail client, for the terminal."""
    listen = config.listen
    accounts = "\n".join(f"  {address:<28} {password}" for address, password in passwords.items())
    return f"""
{config.provider.domain}: a KEP provider for development, on this machine only. Its evidence has NO LEGAL EFFECT.

Accounts (kept in {root}/ACCOUNTS.txt)
{accounts}

In Thunderbird: the address, the password, "Configure manually":
  IMAP  {listen.host}  port {listen.imaps}  SSL/TLS   (or {listen.imap} STARTTLS)   Normal password
  SMTP  {listen.host}  port {listen.submissions}  SSL/TLS   (or {listen.submission} STARTTLS)   Normal password
  user name = the whole address; trust the certificate {config.trust.anchors[0]}
From a script:
  curl --cacert {config.trust.anchors[0]} --user ADDRESS:PASSWORD imaps://localhost:{listen.imaps}/INBOX
Ctrl-C ends it.
"""


def main(arguments: Sequence[str]) -> int:
    """Prepare, tell, and become ``kepgw serve``."""
    folder = Path(arguments[0] if arguments else "run").absolute()
    try:
        passwords = prepare(folder)
        config = load(folder / "hs90")
    except (KepError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(connection_help(config, passwords, folder))
    sys.stdout.flush()
    os.execv(command_path(), [command_path(), "serve", str(folder / "hs90")])  # noqa: S606 (our own command)
    return 0  # not reached: execv replaces this process


def _read(listing: Path) -> dict[str, str]:
    if not listing.exists():
        return {}
    lines = (line.split() for line in listing.read_text("utf-8").splitlines())
    return {words[0]: words[1] for words in lines if len(words) == 2}


def _write(listing: Path, passwords: dict[str, str]) -> None:
    descriptor = os.open(listing, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(f"{address} {password}\n" for address, password in passwords.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
