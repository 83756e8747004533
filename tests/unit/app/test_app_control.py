"""The control socket, and the commands on a running provider."""

import asyncio
import contextlib
import json
import os
import socket
import stat

import pytest

from kepgw.app import control
from kepgw.app.admin import Admin
from kepgw.app.administration.accounts import AccountCommands
from kepgw.app.administration.base import Surroundings
from kepgw.app.config import load
from kepgw.app.control import SOCKET, ControlServer, Refused, Unanswered, call
from kepgw.app.lock import Lock
from kepgw.errors import ConfigurationError, KepError, StoreError
from kepgw.store.engine import Store


@contextlib.asynccontextmanager
async def running(folder):
    """What ``kepgw serve`` does for commands: the lock, the store, the socket."""
    config = load(folder)
    lock = Lock(folder)
    lock.take()
    store = await asyncio.to_thread(Store.open, config.store_path)
    server = ControlServer(Admin(Surroundings(store, config)), folder / SOCKET)
    try:
        await server.start()
        yield store
    finally:
        await server.stop()
        store.close()
        lock.release()


async def raw(path, octets):
    """Send octets as they are; the reply, or b"" when the connection was closed."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(octets)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
        return await reader.read()
    return b""


async def test_the_socket_is_for_its_user_only(folder):
    async with running(folder):
        mode = (folder / SOCKET).stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not (folder / SOCKET).exists()


async def test_commands_reach_the_running_provider(folder, peer_folder, kepgw):
    async with running(folder) as store:
        card = kepgw("peer", "card", peer_folder).octets
        changes = []
        store.subscribe(changes.append)

        async def run(*arguments, stdin=b""):
            return await asyncio.to_thread(lambda: kepgw(*arguments, stdin=stdin))

        add = ("account", "add", folder, "ayse@hs90.kep.tr", "--name", "Ayşe", "--password-stdin")
        assert (await run(*add, stdin=b"pw\n")).status == 0
        done = await run(*add, stdin=b"pw\n")
        assert (done.status, done.out) == (1, "")
        assert "exists already" in done.err
        (listed,) = json.loads((await run("account", "list", folder, "--json")).out)
        assert listed.items() >= {"address": "ayse@hs90.kep.tr", "name": "Ayşe", "state": "active"}.items()
        for command in ("disable", "enable"):
            assert (await run("account", command, folder, "ayse@hs90.kep.tr")).status == 0
        assert (
            await run("account", "password", folder, "ayse@hs90.kep.tr", "--password-stdin", stdin=b"x\n")
        ).status == 0
        assert (await run("peer", "add", folder, "-", stdin=card)).status == 0
        assert "hs91.kep.tr" in (await run("peer", "list", folder)).out
        assert (await run("peer", "add", folder, "-", stdin=b"x = 1")).status == 2
        assert (await run("queue", "retry", folder)).status == 0
        assert (await run("message", "show", folder, "1")).status == 1
        # the provider itself hears of what was changed: its caches are told
        assert {change.topic for change in changes} >= {"account", "peer"}


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_evidence_comes_whole_through_the_socket(filled, kepgw, tmp_path):
    arguments = ("evidence", "export", filled.folder, "--message", filled.number, "--out", tmp_path / "running")
    async with running(filled.folder):
        assert (await asyncio.to_thread(kepgw, *arguments)).status == 0
        shown = await asyncio.to_thread(kepgw, "message", "show", filled.folder, filled.number)
    assert (await asyncio.to_thread(kepgw, *arguments[:-1], tmp_path / "stopped")).status == 0
    once, twice = (files(tmp_path / name) for name in ("running", "stopped"))
    assert once.keys() == twice.keys()
    # the report says when it was made, and the manifest lists it
    changing = {"case.json", "report/report.html", "report/report.pdf"}
    assert {name for name in once if once[name] != twice[name]} == changing
    assert set(filled.octets.values()) <= set(once.values())
    again = await asyncio.to_thread(kepgw, "message", "show", filled.folder, filled.number)
    assert shown.out == again.out


async def test_errors_keep_their_kind(folder):
    path = folder / SOCKET
    async with running(folder) as store:

        async def ask(method, **arguments):
            return await asyncio.to_thread(call, path, method, arguments)

        with pytest.raises(Refused, match="no account"):
            await ask("account_state", address="yok@hs90.kep.tr", state="active")
        with pytest.raises(ConfigurationError, match="TOML"):
            await ask("peer_add", card="][")
        with pytest.raises(Refused, match="same version"):
            await ask("account_add", address="a@hs90.kep.tr", name="", argon2="secret", scram_sha256="")
        for name in ("call", "_own_address", "__init__", "nothing", "x" * 10_000):
            with pytest.raises(Refused, match="does not know that command"):
                await ask(name)
        with pytest.raises(Refused, match="does not take these arguments"):
            await ask("account_list", nonsense=1)
        store.close()
        with pytest.raises((StoreError, KepError)):
            await ask(
                "account_add", address="a@hs90.kep.tr", name="", argon2="$argon2id$", scram_sha256="SCRAM-SHA-256$"
            )


async def test_what_is_not_a_request(folder, caplog):
    path = folder / SOCKET
    async with running(folder):
        for octets in (
            b"\n",
            b"[]\n",
            b"hello\n",
            b'{"method": 1, "arguments": {}}\n',
            b'{"method": "x"}\n',
            b"[" * 9000 + b"\n",
        ):
            reply = json.loads(await raw(path, octets))
            assert reply["kind"] == "refused"
        assert await raw(path, b"x" * (control.MAX_REQUEST * 2 + 2)) == b""  # bounded, then closed
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b"half a li")
        writer.close()
        assert await asyncio.to_thread(call, path, "account_list", {}) == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_fault_inside_is_told_without_its_inside(folder, monkeypatch, caplog):
    async def broken(self):
        raise ZeroDivisionError("the secret inside")

    monkeypatch.setattr(AccountCommands, "account_list", broken)
    async with running(folder):
        with pytest.raises(KepError, match="its log has the reason") as caught:
            await asyncio.to_thread(call, folder / SOCKET, "account_list", {})
    assert "secret" not in str(caught.value)
    assert "secret" in caplog.text


async def test_a_dead_socket_is_replaced_and_a_living_one_is_not(folder):
    dead = socket.socket(socket.AF_UNIX)
    with control._reachable(folder / SOCKET) as name:
        dead.bind(name)
    dead.close()
    assert not control.answers(folder / SOCKET)
    async with running(folder) as store:
        second = ControlServer(Admin(Surroundings(store, load(folder))), folder / SOCKET)
        with pytest.raises(ConfigurationError, match="already listens"):
            await second.start()
        assert control.answers(folder / SOCKET)


async def test_a_deep_folder(folder, tmp_path):
    deep = tmp_path / ("d" * 90) / ("e" * 90)
    deep.parent.mkdir()
    folder.rename(deep)
    async with running(deep):
        assert await asyncio.to_thread(call, deep / SOCKET, "account_list", {}) == []


def test_a_stopped_provider_does_not_answer(folder):
    with pytest.raises(Unanswered):
        call(folder / SOCKET, "account_list", {})


def test_other_users_are_not_served(monkeypatch):
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert control.peer_user(ours) == control.user_name(os.geteuid())
        if os.geteuid() == 0:  # root is always served: look from the eyes of another
            monkeypatch.setattr(control, "_served", lambda: {4711})
        else:
            monkeypatch.setattr(os, "geteuid", lambda: 4711)
        assert control.peer_user(ours) is None


async def test_the_audit_trail_names_who_asked(folder, kepgw):
    async with running(folder) as store:
        add = ("account", "add", folder, "ayse@hs90.kep.tr", "--password-stdin")
        await asyncio.to_thread(lambda: kepgw(*add, stdin=b"pw\n"))
        (row,) = await store.read(lambda tx: tx.rows("SELECT actor, act, subject FROM audit"))
    assert row == (control.user_name(os.geteuid()), "account-added", "ayse@hs90.kep.tr")
