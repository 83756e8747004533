"""``kepgw account``: the accounts of a provider."""

from pathlib import Path
from typing import Annotated

import typer

from kepgw.app.commands.access import (
    Folder,
    Json,
    PasswordStdin,
    ask,
    note,
    out,
    out_json,
    password_credentials,
    table,
    when,
)

app = typer.Typer(no_args_is_help=True, help="Accounts: add, list, disable, enable, password.")


certificate = typer.Typer(no_args_is_help=True, help="TLS client certificates that log in: add, list, remove.")
app.add_typer(certificate, name="certificate")
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="local@[sub.]hsNN.kep.tr", show_default=False)]


@app.command()
def add(
    directory: Folder,
    address: Address,
    name: Annotated[str, typer.Option("--name", help="The holder's name, shown in evidence.")] = "",
    password_stdin: PasswordStdin = False,
) -> None:
    """Make an account of any address under the provider's domain, sub-domains included."""
    made = ask(directory, "account_add", address=address, name=name, **password_credentials(password_stdin))
    note(f"{made['address']} is ready")


@app.command("list")
def list_(directory: Folder, as_json: Json = False) -> None:
    """Show all accounts."""
    found = ask(directory, "account_list")
    if as_json:
        out_json(found)
    else:
        rows = [
            (
                each["address"],
                each["state"],
                _room(each["used_octets"], each["quota_octets"]),
                each["name"],
            )
            for each in found
        ]
        out(table(("ADDRESS", "STATE", "KEEPS", "NAME"), rows))


def _room(used: int, quota: int) -> str:
    return f"{used >> 20} of {quota >> 20} MB" if quota else f"{used >> 20} MB"


@app.command()
def disable(directory: Folder, address: Address) -> None:
    """Close logins and sending; the account goes on receiving."""
    note(f"{ask(directory, 'account_state', address=address, state='disabled')['address']} is disabled")


@app.command()
def enable(directory: Folder, address: Address) -> None:
    """Open a disabled account again."""
    note(f"{ask(directory, 'account_state', address=address, state='active')['address']} is active")


@app.command()
def quota(
    directory: Folder,
    address: Address,
    megabytes: Annotated[
        str, typer.Argument(metavar="MB|default", help="0: no bound; default: as configured.", show_default=False)
    ],
) -> None:
    """Set how much an account may keep before it cannot send; evidence is not counted."""
    if megabytes != "default" and not megabytes.isdecimal():
        raise typer.BadParameter("give a number of MB, or default", param_hint="MB")
    octets = None if megabytes == "default" else int(megabytes) << 20
    note(f"{ask(directory, 'account_quota', address=address, octets=octets)['address']}: the quota is set")


@app.command()
def password(directory: Folder, address: Address, password_stdin: PasswordStdin = False) -> None:
    """Set a new password of an account, or of one operator (ADDRESS/OPERATOR)."""
    made = ask(directory, "account_password", login=address, **password_credentials(password_stdin))
    note(f"the password of {made['login']} is set")


Login = Annotated[str, typer.Argument(metavar="LOGIN", help="ADDRESS or ADDRESS/OPERATOR", show_default=False)]


@certificate.command("add")
def certificate_add(
    directory: Folder,
    login: Login,
    pem: Annotated[Path, typer.Argument(metavar="PEM", help="The certificate, without its key.", show_default=False)],
) -> None:
    """Let LOGIN come in with this certificate instead of a password, by SMTP and IMAP (SASL EXTERNAL)."""
    try:
        text = pem.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        from kepgw.errors import ConfigurationError

        raise ConfigurationError(f"cannot read {pem} as PEM ({error})") from error
    made = ask(directory, "certificate_add", login=login, pem=text)
    note(f"{made['login']} may log in with {made['subject']}")


@certificate.command("list")
def certificate_list(directory: Folder, login: Login, as_json: Json = False) -> None:
    """Show the certificates of LOGIN."""
    found = ask(directory, "certificate_list", login=login)
    if as_json:
        out_json(found)
    else:
        rows = [(each["sha256"], when(each["not_after"]), each["subject"]) for each in found]
        out(table(("SHA-256", "ENDS", "SUBJECT"), rows))


@certificate.command("remove")
def certificate_remove(
    directory: Folder,
    login: Login,
    sha256: Annotated[str, typer.Argument(metavar="SHA256", help="Its fingerprint.", show_default=False)],
) -> None:
    """Forget a certificate of LOGIN."""
    note(f"{ask(directory, 'certificate_remove', login=login, sha256=sha256)['login']}: the certificate is forgotten")
