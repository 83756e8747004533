"""``kepgw account``: the accounts of a provider."""

from typing import Annotated

import typer

from kepgw.app.commands.access import Folder, Json, PasswordStdin, ask, note, out, out_json, password_credentials, table

app = typer.Typer(no_args_is_help=True, help="Accounts: add, list, disable, enable, password.")
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
        out(table(("ADDRESS", "STATE", "NAME"), [(each["address"], each["state"], each["name"]) for each in found]))


@app.command()
def disable(directory: Folder, address: Address) -> None:
    """Close logins and sending; the account goes on receiving."""
    note(f"{ask(directory, 'account_state', address=address, state='disabled')['address']} is disabled")


@app.command()
def enable(directory: Folder, address: Address) -> None:
    """Open a disabled account again."""
    note(f"{ask(directory, 'account_state', address=address, state='active')['address']} is active")


@app.command()
def password(directory: Folder, address: Address, password_stdin: PasswordStdin = False) -> None:
    """Set a new password of an account, or of one operator (ADDRESS/OPERATOR)."""
    made = ask(directory, "account_password", login=address, **password_credentials(password_stdin))
    note(f"the password of {made['login']} is set")
