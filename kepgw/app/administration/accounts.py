"""``kepgw account``: accounts and their passwords."""

from typing import Any, Final

from kepgw.accounts.address import parse
from kepgw.accounts.passwords import Credentials
from kepgw.app.administration.base import Commands, command, no_account
from kepgw.app.control import Refused
from kepgw.refusals import Refusal
from kepgw.store import accounts
from kepgw.store.engine import Tx
from kepgw.trust.keys import describe

MOST_QUOTA: Final = 1 << 50  # octets
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

        def work(tx: Tx) -> list[dict[str, Any]]:
            return [
                {
                    "address": each.address,
                    "name": each.name,
                    "state": each.state,
                    "used_octets": accounts.room(tx, each.id)[1],
                    "quota_octets": self._config.mailbox.quota_octets if each.quota is None else each.quota,
                }
                for each in accounts.accounts(tx)
            ]

        return await self._store.read(work)

    @command
    async def account_quota(self, address: str, octets: int | None) -> dict[str, Any]:
        """Set what an account may keep: octets, 0 for no bound, None for the quota of the configuration."""
        canonical = self._own_address(address)
        if octets is not None and not 0 <= octets <= MOST_QUOTA:
            raise Refused("the quota must be from 0 (no bound) to 1 PB")

        def work(tx: Tx) -> None:
            if not accounts.set_quota(tx, canonical, octets):
                raise no_account(canonical)
            accounts.audit(tx, self._now(), self.actor, "quota-set", canonical, str(octets))

        await self._store.write(work)
        return {"address": canonical, "quota_octets": octets}

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
        canonical = self._own_login(login)
        credentials = _credentials(argon2, scram_sha256)

        def work(tx: Tx) -> None:
            if not accounts.set_password(tx, canonical, credentials):
                raise no_account(canonical)
            found = accounts.operator_by_login(tx, canonical)
            tx.announce("account", found.account if found else 0)
            accounts.audit(tx, self._now(), self.actor, "password-set", canonical)

        await self._store.write(work)
        return {"login": canonical}

    @command
    async def certificate_add(self, login: str, pem: str) -> dict[str, Any]:
        """Let a login come in with a TLS client certificate (SASL EXTERNAL)."""
        canonical = self._own_login(login)
        told = describe(pem.encode("utf-8", "replace"), self._now())
        if told.days_left < 0:
            raise Refused(f"the certificate ended on {told.not_after:%Y-%m-%d}")
        certificate = accounts.ClientCertificate(told.fingerprint, canonical, told.subject, told.not_after)

        def work(tx: Tx) -> None:
            if not accounts.add_certificate(tx, canonical, certificate, self._now()):
                raise no_account(canonical)
            accounts.audit(tx, self._now(), self.actor, "certificate-added", canonical, told.fingerprint)

        await self._store.write(work)
        return _certificate(certificate)

    @command
    async def certificate_list(self, login: str) -> list[dict[str, Any]]:
        """The client certificates of a login."""
        canonical = self._own_login(login)
        return [_certificate(each) for each in await self._store.read(lambda tx: accounts.certificates(tx, canonical))]

    @command
    async def certificate_remove(self, login: str, sha256: str) -> dict[str, Any]:
        """Forget a client certificate of a login."""
        canonical, digest = self._own_login(login), sha256.lower().replace(":", "")

        def work(tx: Tx) -> None:
            if not accounts.remove_certificate(tx, canonical, digest):
                raise Refused(f"{canonical} has no such certificate; see kepgw account certificate list")
            accounts.audit(tx, self._now(), self.actor, "certificate-removed", canonical, digest)

        await self._store.write(work)
        return {"login": canonical, "sha256": digest}

    def _own_login(self, login: str) -> str:
        address, slash, operator = login.partition("/")
        return self._own_address(address) + slash + operator.lower()

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


def _certificate(certificate: accounts.ClientCertificate) -> dict[str, Any]:
    return {
        "login": certificate.login,
        "sha256": certificate.sha256,
        "subject": certificate.subject,
        "not_after": certificate.not_after.isoformat(),
    }


def _credentials(argon2: str, scram_sha256: str) -> Credentials:
    if not argon2.startswith("$argon2id$") or not scram_sha256.startswith("SCRAM-SHA-256$"):
        raise Refused("the password was not hashed as this provider needs it; use kepgw of the same version")
    return Credentials(argon2, scram_sha256)
