"""Accounts and their operators in the store."""

from dataclasses import dataclass
from datetime import datetime

from kepgw.accounts.passwords import Credentials
from kepgw.accounts.rights import Right
from kepgw.store.engine import Tx
from kepgw.store.ids import micros, moment
from kepgw.store.mailboxes import create_standard

_OPERATOR = (
    "SELECT o.id, o.account, a.address, a.name, o.login, o.name, o.rights,"
    " o.state = 'active' AND a.state = 'active', o.argon2, o.scram_sha256"
    " FROM operator o JOIN account a ON a.id = o.account "
)


@dataclass(frozen=True, slots=True)
class Operator:
    """Who acts for an account: an işlem yetkilisi, with the rights that were given one by one."""

    id: int
    account: int
    address: str  # of the account
    account_name: str
    login: str
    name: str
    rights: Right
    active: bool
    argon2: str
    scram_sha256: str

    def may(self, right: Right) -> bool:
        """Whether every right in ``right`` was given."""
        return right in self.rights


@dataclass(frozen=True, slots=True)
class Account:
    """A KEP account."""

    id: int
    address: str
    name: str
    state: str  # active | disabled | closed
    quota: int | None  # octets; None: that of the configuration

    @property
    def receives(self) -> bool:
        """A disabled account sends nothing and nobody logs in, but it goes on receiving."""
        return self.state != "closed"


def operator_by_login(tx: Tx, login: str) -> Operator | None:
    """The operator behind a login name, ``address`` or ``address/operator``."""
    row = tx.row(_OPERATOR + "WHERE o.login = ?", login)
    return Operator(*(*row[:6], Right(row[6]), bool(row[7]), *row[8:])) if row else None


def operator_by_certificate(tx: Tx, sha256: str) -> Operator | None:
    """The operator who comes with the TLS client certificate of this fingerprint (hex)."""
    row = tx.row(
        _OPERATOR + "JOIN operator_certificate c ON c.operator = o.id WHERE c.sha256 = ?",
        sha256,
    )
    return Operator(*(*row[:6], Right(row[6]), bool(row[7]), *row[8:])) if row else None


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate that logs an operator in; ``sha256`` in hex."""

    sha256: str
    login: str
    subject: str
    not_after: datetime


def add_certificate(tx: Tx, login: str, certificate: ClientCertificate, at: datetime) -> bool:
    """Let an operator log in with a certificate, which then is nobody else's; False when there is no such login."""
    tx.run("DELETE FROM operator_certificate WHERE sha256 = ?", certificate.sha256)
    return (
        tx.run(
            "INSERT INTO operator_certificate (sha256, operator, subject, not_after, created)"
            " SELECT ?, id, ?, ?, ? FROM operator WHERE login = ?",
            certificate.sha256,
            certificate.subject,
            micros(certificate.not_after),
            micros(at),
            login,
        )
        > 0
    )


def remove_certificate(tx: Tx, login: str, sha256: str) -> bool:
    """Forget a certificate of a login; False when it has none of that fingerprint."""
    removed = tx.run(
        "DELETE FROM operator_certificate WHERE sha256 = ? AND operator IN (SELECT id FROM operator WHERE login = ?)",
        sha256,
        login,
    )
    return removed > 0


def certificates(tx: Tx, login: str) -> list[ClientCertificate]:
    """The certificates of a login, the last to end first."""
    rows = tx.rows(
        "SELECT c.sha256, o.login, c.subject, c.not_after FROM operator_certificate c"
        " JOIN operator o ON o.id = c.operator WHERE o.login = ? ORDER BY c.not_after DESC, c.sha256",
        login,
    )
    return [ClientCertificate(row[0], row[1], row[2], moment(row[3])) for row in rows]


def account_by_address(tx: Tx, address: str) -> Account | None:
    """The account of an address in its canonical (ASCII lower-case) form."""
    row = tx.row("SELECT id, address, name, state, quota FROM account WHERE address = ?", address)
    return Account(*row) if row else None


def accounts(tx: Tx) -> list[Account]:
    """All accounts by address."""
    return [Account(*row) for row in tx.rows("SELECT id, address, name, state, quota FROM account ORDER BY address")]


def add_account(tx: Tx, address: str, name: str, credentials: Credentials, at: datetime) -> int:
    """Make an account with its main operator (all rights) and its folders. Returns the account's id.

    Raises sqlite3.IntegrityError (as StoreError from the store) when the address exists: an address is never given
    twice.
    """
    tx.run("INSERT INTO account (address, name, state, created) VALUES (?, ?, 'active', ?)", address, name, micros(at))
    row = tx.row("SELECT id FROM account WHERE address = ?", address)
    assert row is not None
    account = int(row[0])
    tx.run(
        "INSERT INTO operator (account, login, name, rights, state, argon2, scram_sha256, created)"
        " VALUES (?, ?, ?, ?, 'active', ?, ?, ?)",
        account,
        address,
        name,
        int(Right.READ | Right.SEND | Right.DELETE | Right.ARCHIVE),
        credentials.argon2,
        credentials.scram_sha256,
        micros(at),
    )
    create_standard(tx, account, at)
    return account


def set_account_state(tx: Tx, address: str, state: str) -> bool:
    """Set ``active`` or ``disabled``; False when there is no such account."""
    changed = tx.run("UPDATE account SET state = ? WHERE address = ? AND state <> 'closed'", state, address)
    found = account_by_address(tx, address)
    if found:
        tx.announce("account", found.id)
    return changed > 0


def room(tx: Tx, account_id: int) -> tuple[int | None, int]:
    """The quota of an account (octets, None for that of the configuration), and what it keeps without evidence."""
    row = tx.row(
        "SELECT a.quota, (SELECT coalesce(sum(m.octets), 0) FROM mailbox m WHERE m.account = a.id)"
        " FROM account a WHERE a.id = ?",
        account_id,
    )
    return (row[0], int(row[1])) if row else (None, 0)


def set_quota(tx: Tx, address: str, octets: int | None) -> bool:
    """Set what an account may keep, None for the quota of the configuration; False when there is no such account."""
    return tx.run("UPDATE account SET quota = ? WHERE address = ?", octets, address) > 0


def set_password(tx: Tx, login: str, credentials: Credentials) -> bool:
    """Replace the password of an operator; False when there is no such login."""
    changed = tx.run(
        "UPDATE operator SET argon2 = ?, scram_sha256 = ? WHERE login = ?",
        credentials.argon2,
        credentials.scram_sha256,
        login,
    )
    return changed > 0


def audit(tx: Tx, at: datetime, actor: str, act: str, subject: str, detail: str = "") -> None:
    """Write a line of the audit trail."""
    tx.run(
        "INSERT INTO audit (time, actor, act, subject, detail) VALUES (?, ?, ?, ?, ?)",
        micros(at),
        actor,
        act,
        subject,
        detail,
    )
