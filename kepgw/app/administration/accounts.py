"""``kepgw account``: accounts and their passwords."""

from typing import Any, Final

from kepgw.accounts.address import parse
from kepgw.accounts.passwords import Credentials
from kepgw.app.administration.base import Commands, command, no_account
from kepgw.app.control import Refused
from kepgw.refusals import Refusal
from kepgw.store import accounts
from kepgw.store.engine import Tx

MAX_NAME: Final = 200  # characters of an account's name


class AccountCommands(Commands):
    """Accounts and operators."""

    @command
    async def account_add(self, address: str, name: str, argon2: str, scram_sha256: str) -> dict[str, Any]:
        """Make an account. The password itself never comes here, only what the store keeps of it."""
        canonical = self._own_address(address)
        if canonical == self._config.provider.service_address:
            raise Refused(f"{canonical} is the service address of the provider; it cannot be an account")
        if len(name) > MAX_NAME or not name.isprintable():
            raise Refused(f"the name must be at most {MAX_NAME} printable characters")
        credentials = _credentials(argon2, scram_sha256)
        at = self._now()

        def work(tx: Tx) -> int:
            if accounts.account_by_address(tx, canonical):
                raise Refused(f"{canonical} exists already; an address is never given twice")
            account = accounts.add_account(tx, canonical, name, credentials, at)
            accounts.audit(tx, at, self.actor, "account-added", canonical)
            return account

        await self._store.write(work)
        return {"address": canonical, "name": name, "state": "active"}

    @command
    async def account_list(self) -> list[dict[str, Any]]:
        """All accounts by address."""
        found = await self._store.read(accounts.accounts)
        return [{"address": each.address, "name": each.name, "state": each.state} for each in found]

    @command
    async def account_state(self, address: str, state: str) -> dict[str, Any]:
        """Disable an account (it still receives) or enable it again."""
        if state not in {"active", "disabled"}:
            raise Refused("the state must be active or disabled")
        canonical = self._own_address(address)

        def work(tx: Tx) -> None:
            if not accounts.set_account_state(tx, canonical, state):
                raise no_account(canonical)
            accounts.audit(tx, self._now(), self.actor, f"account-{state}", canonical)

        await self._store.write(work)
        return {"address": canonical, "state": state}

    @command
    async def account_password(self, login: str, argon2: str, scram_sha256: str) -> dict[str, Any]:
        """Give a login (``address`` or ``address/operator``) a new password."""
        address, slash, operator = login.partition("/")
        canonical = self._own_address(address) + slash + operator
        credentials = _credentials(argon2, scram_sha256)

        def work(tx: Tx) -> None:
            if not accounts.set_password(tx, canonical, credentials):
                raise no_account(canonical)
            found = accounts.operator_by_login(tx, canonical)
            tx.announce("account", found.account if found else 0)
            accounts.audit(tx, self._now(), self.actor, "password-set", canonical)

        await self._store.write(work)
        return {"login": canonical}

    def _own_address(self, address: str) -> str:
        try:
            parsed = parse(address)
        except Refusal as refusal:
            raise Refused(refusal.sentence()) from refusal
        if parsed.provider != self._config.provider.domain:
            raise Refused(
                f"{parsed} belongs to {parsed.provider}, not to this provider, {self._config.provider.domain}"
            )
        return str(parsed)


def _credentials(argon2: str, scram_sha256: str) -> Credentials:
    if not argon2.startswith("$argon2id$") or not scram_sha256.startswith("SCRAM-SHA-256$"):
        raise Refused("the password was not hashed as this provider needs it; use kepgw of the same version")
    return Credentials(argon2, scram_sha256)
