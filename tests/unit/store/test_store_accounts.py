"""Accounts, operators and logging in."""

import asyncio
import hashlib
import time
from datetime import UTC, datetime

import pytest
import scramp

from kepgw.accounts import passwords
from kepgw.accounts.guard import GuardSettings, LoginGuard
from kepgw.accounts.rights import Right
from kepgw.errors import StoreError
from kepgw.store import accounts, login
from kepgw.store.login import Logins

AT = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)
ALI = "ali@hs90.kep.tr"


@pytest.fixture
def verify(monkeypatch):
    """Passwords without their cost: the stored string is the password; counts what was hashed."""
    asked = []

    def verify(stored, password):
        asked.append(stored)
        return stored == password

    monkeypatch.setattr(login.passwords, "verify", verify)
    return asked


@pytest.fixture
def ali(store):
    credentials = passwords.Credentials("secret", "s")
    return store.write_now(lambda tx: accounts.add_account(tx, ALI, "Ali", credentials, AT))


def test_an_account_has_an_operator_with_all_rights(store, ali):
    operator = store.read_now(lambda tx: accounts.operator_by_login(tx, ALI))
    assert (operator.account, operator.address, operator.account_name, operator.active) == (ali, ALI, "Ali", True)
    assert all(operator.may(right) for right in Right)


def test_an_address_is_given_once_for_ever(store, ali):
    credentials = passwords.Credentials("x", "s")
    with pytest.raises(StoreError, match="UNIQUE"):
        store.write_now(lambda tx: accounts.add_account(tx, ALI, "Other", credentials, AT))
    assert len(store.read_now(accounts.accounts)) == 1


def test_a_disabled_account_receives_but_does_not_log_in(store, ali):
    assert store.write_now(lambda tx: accounts.set_account_state(tx, ALI, "disabled"))
    assert store.read_now(lambda tx: accounts.account_by_address(tx, ALI)).receives
    assert not store.read_now(lambda tx: accounts.operator_by_login(tx, ALI)).active
    assert not store.write_now(lambda tx: accounts.set_account_state(tx, "nobody@hs90.kep.tr", "active"))


def test_a_closed_account_stays_closed(store, ali):
    store.write_now(lambda tx: accounts.set_account_state(tx, ALI, "closed"))
    assert not store.write_now(lambda tx: accounts.set_account_state(tx, ALI, "active"))
    assert not store.read_now(lambda tx: accounts.account_by_address(tx, ALI)).receives


def test_the_audit_trail(store):
    store.write_now(lambda tx: accounts.audit(tx, AT, ALI, "submitted", "remmd.1", "127.0.0.1"))
    assert store.read_now(lambda tx: tx.rows("SELECT actor, act, subject, detail FROM audit")) == [
        (ALI, "submitted", "remmd.1", "127.0.0.1")
    ]


HERE = "192.0.2.1"


async def refused(logins, name, password, remote=HERE):
    with pytest.raises(login.LoginFailed) as caught:
        await logins.authenticate(name, password, remote)
    return caught.value


async def test_the_right_password_is_remembered_for_a_while(store, ali, verify):
    logins = Logins(store)
    for name in (ALI, " ALI@HS90.kep.tr "):
        operator = await logins.authenticate(name, "secret", HERE)
        assert operator.account == ali
    assert verify == ["secret"]


async def test_a_wrong_password_is_never_remembered_and_a_wrong_name_costs_the_same(store, ali, verify):
    logins = Logins(store)
    await refused(logins, ALI, "wrong")
    await refused(logins, ALI, "wrong")
    await refused(logins, "nobody@hs90.kep.tr", "secret")
    await refused(logins, "nobody@hs90.kep.tr", "secret")
    assert verify == ["secret", "secret", None, None]


async def test_what_is_remembered_ends_with_the_password_and_with_the_account(store, ali, verify):
    logins = Logins(store)
    assert await logins.authenticate(ALI, "secret", HERE)
    await store.write(lambda tx: accounts.set_password(tx, ALI, passwords.Credentials("new", "s")))
    await refused(logins, ALI, "secret")
    assert await logins.authenticate(ALI, "new", HERE)
    await store.write(lambda tx: accounts.set_account_state(tx, ALI, "disabled"))
    await refused(logins, ALI, "new")


async def test_time_ends_it(store, ali, verify, monkeypatch):
    now = [1000.0]
    logins = Logins(store, clock=lambda: now[0])
    await logins.authenticate(ALI, "secret", HERE)
    now[0] += login.REMEMBERED_SECONDS + 1
    await logins.authenticate(ALI, "secret", HERE)
    assert len(verify) == 2


async def test_memory_has_a_bound(store, ali, verify, monkeypatch):
    monkeypatch.setattr(login, "REMEMBERED", 3)
    logins = Logins(store)
    for number in range(20):
        await store.write(lambda tx, n=number: accounts.set_password(tx, ALI, passwords.Credentials(f"p{n}", "s")))
        assert await logins.authenticate(ALI, f"p{number}", HERE)
        assert len(logins._remembered) <= 3


async def test_few_passwords_are_hashed_at_a_time(store, ali, monkeypatch):
    at_once, most = [0], [0]
    loop = asyncio.get_running_loop()
    full = asyncio.Event()
    go = asyncio.Event()

    async def to_thread(function, *arguments):
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        if at_once[0] == login.CHECKS_AT_ONCE:
            loop.call_soon(full.set)
        await go.wait()
        at_once[0] -= 1
        return False

    monkeypatch.setattr(login.asyncio, "to_thread", to_thread)
    logins = Logins(store)
    tries = [asyncio.create_task(logins.authenticate(ALI, f"{n}", HERE)) for n in range(8)]
    await full.wait()
    go.set()
    found = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(each) for each in found] == [login.LoginFailed] * 8
    assert most[0] == login.CHECKS_AT_ONCE


async def test_what_no_password_can_be_is_only_wrong(store, ali):
    logins = Logins(store)
    await refused(logins, "şükrü@hs90.kep.tr", "x")
    await refused(logins, ALI, "\udce9")
    await refused(logins, ALI, "a\0b")


def test_setting_a_password_of_nobody(store):
    assert not store.write_now(lambda tx: accounts.set_password(tx, ALI, passwords.Credentials("a", "b")))


# -- certificates and SCRAM ----------------------------------------------------------------------------------------

CERTIFICATE = b"a certificate that the handshake has verified"


async def nothing(challenge):
    return b""


async def external(logins, certificate=CERTIFICATE):
    link = login.Link(HERE, client_certificate=certificate)
    return await logins.converse("EXTERNAL", b"", nothing, link)


async def test_a_certificate_does_not_wash_an_address_clean(store, ali, verify):
    """Whoever has one good certificate guesses at the passwords of others no longer than anybody else."""
    digest = hashlib.sha256(CERTIFICATE).hexdigest()
    made = accounts.ClientCertificate(digest, ALI, "CN=ebys", AT)
    assert await store.write(lambda tx: accounts.add_certificate(tx, ALI, made, AT))
    logins = Logins(store, guard=LoginGuard(GuardSettings(address_failures=4)))
    for number in range(4):
        await refused(logins, f"{number}@hs90.kep.tr", "wrong")
        assert (await external(logins)).login == ALI
    assert (await refused(logins, "5@hs90.kep.tr", "wrong")).locked


async def test_a_certificate_of_nobody_locks_only_itself(store, ali, verify):
    logins = Logins(store, guard=LoginGuard(GuardSettings(failures=3)))
    for _ in range(3):
        with pytest.raises(login.LoginFailed):
            await external(logins)
    with pytest.raises(login.LoginFailed) as caught:
        await external(logins)
    assert caught.value.locked
    assert await logins.authenticate(ALI, "secret", HERE)


async def test_guesses_that_began_before_the_lock_are_not_looked_at(store, ali):
    """SCRAM exchanges opened side by side, each proof sent when another login is locked already."""
    credentials = passwords.make("secret")
    await store.write(lambda tx: accounts.set_password(tx, ALI, credentials))
    guard = LoginGuard(GuardSettings(failures=1))
    logins = Logins(store, guard=guard)
    client = scramp.ScramClient(["SCRAM-SHA-256"], ALI, "secret")

    async def ask(challenge):
        guard.failed(ALI, HERE, time.monotonic())  # another exchange has failed meanwhile
        client.set_server_first(challenge.decode())
        return client.get_client_final().encode()

    with pytest.raises(login.LoginFailed) as caught:
        await logins.converse("SCRAM-SHA-256", client.get_client_first().encode(), ask, login.Link(HERE))
    assert caught.value.locked
