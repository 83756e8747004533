"""The commands on a stopped provider: what they print, where, and how they end."""

import json
import os
import ssl
import subprocess
import sys
import tomllib
from datetime import UTC, datetime

import pytest

from kepgw.app import control
from kepgw.app.config import load
from kepgw.app.initialise import initialise
from kepgw.app.lock import Lock
from kepgw.interop.card import read_card
from kepgw.store.accounts import operator_by_login
from kepgw.store.engine import Store
from kepgw.trust.paths import load_anchors

COMMAND = [sys.executable, "-m", "kepgw.app.cli"]


def rows(folder, sql):
    store = Store.open(load(folder).store_path)
    try:
        return store.read_now(lambda tx: tx.rows(sql))
    finally:
        store.close()


def operator(folder, login):
    store = Store.open(load(folder).store_path)
    try:
        return store.read_now(lambda tx: operator_by_login(tx, login))
    finally:
        store.close()


def test_help_is_quick_and_names_every_command():
    subprocess.run([*COMMAND, "--help"], capture_output=True, check=True)  # compiled now
    start = os.times()
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    used = os.times()
    # processor time of the child: the machine's other work does not count
    assert used.children_user + used.children_system - start.children_user - start.children_system < 0.5
    for name in ("init", "serve", "account", "peer", "message", "evidence", "queue", "verify", "doctor", "config"):
        assert f"  {name} " in done.stdout


@pytest.mark.parametrize("group", ["account", "peer", "message", "evidence", "queue", "config"])
def test_every_group_has_help(kepgw, group):
    done = kepgw(group, "--help")
    assert done.status == 0
    assert "Commands:" in done.out


def test_init_makes_a_folder_and_never_a_second_time(kepgw, tmp_path):
    arguments = ("init", tmp_path / "p", "--provider", "hs92.kep.tr", "--dev", "--algorithm", "p-256")
    done = kepgw(*arguments, "--base-port", "3000")
    assert done.status == 0
    assert "no legal effect" in done.out
    assert load(tmp_path / "p").listen.relay == 3025
    again = kepgw(*arguments)
    assert again.status == 2
    assert "already holds" in again.err


def test_a_wrong_provider_name_is_one_sentence(kepgw, tmp_path):
    done = kepgw("init", tmp_path / "p", "--provider", "kep.tr")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("kepgw: 'kep.tr' is not a provider's domain")
    assert "Traceback" not in done.err


def test_no_folder_no_settings_broken_settings(kepgw, folder, tmp_path):
    for directory in (tmp_path / "none", tmp_path):
        done = kepgw("account", "list", directory)
        assert done.status == 2
        assert "kepgw init" in done.err
    (folder / "kepgw.toml").write_text("[provider\n", "utf-8")
    for command in (("account", "list"), ("config", "check"), ("doctor",), ("serve",), ("peer", "card")):
        done = kepgw(*command, folder)
        assert done.status == 2, command
        assert done.err.count("\n") == 1
        assert "not valid TOML" in done.err


def test_a_missing_store_is_not_made_in_silence(kepgw, folder):
    (folder / "kepgw.sqlite").unlink()
    done = kepgw("account", "list", folder)
    assert done.status == 2
    assert "there is no store" in done.err
    assert not (folder / "kepgw.sqlite").exists()


def test_a_damaged_store_is_one_sentence(kepgw, folder):
    for name in ("kepgw.sqlite-wal", "kepgw.sqlite-shm"):
        (folder / name).unlink(missing_ok=True)
    (folder / "kepgw.sqlite").write_bytes(b"this is not a database" * 1000)
    done = kepgw("account", "list", folder)
    assert done.status == 2
    assert "Traceback" not in done.err


def test_config_check(kepgw, folder):
    assert kepgw("config", "check", folder).status == 0
    (folder / "keys" / "tls.key").unlink()
    done = kepgw("config", "check", folder)
    assert done.status == 1
    assert "keys.tls_key" in done.out


def test_usage_errors_end_with_2(kepgw, folder):
    assert kepgw("account", "add", folder).status == 2
    assert kepgw("no-such-command").status == 2
    assert kepgw("verify", "x.eml", "--at", "yesterday").status == 2


@pytest.mark.parametrize(
    "address", ["ayse@hs90.kep.tr", "basvuru@belediye.hs90.kep.tr", "Ayse.YILMAZ@hs90.kep.tr", "a_b-c@x-1.hs90.kep.tr"]
)
def test_any_address_under_the_own_domain_becomes_an_account(kepgw, folder, address):
    done = kepgw("account", "add", folder, address, "--name", "Ayşe Yılmaz", "--password-stdin", stdin=b"gizli-1\nx\n")
    assert (done.status, done.out) == (0, "")
    (entry,) = json.loads(kepgw("account", "list", folder, "--json").out)
    assert entry == {
        "address": address.lower(),
        "name": "Ayşe Yılmaz",
        "state": "active",
        "used_octets": 0,
        "quota_octets": 104_857_600,
    }


def test_the_quota_of_an_account(kepgw, folder):
    kepgw("account", "add", folder, "ayse@hs90.kep.tr", "--password-stdin", stdin=b"gizli-1\n")
    for given, octets, shown in (
        ("500", 500 << 20, "0 of 500 MB"),
        ("0", 0, "0 MB"),
        ("default", 100 << 20, "0 of 100 MB"),
    ):
        assert kepgw("account", "quota", folder, "ayse@hs90.kep.tr", given).status == 0
        (entry,) = json.loads(kepgw("account", "list", folder, "--json").out)
        assert entry["quota_octets"] == octets
        assert shown in kepgw("account", "list", folder).out
    assert kepgw("account", "quota", folder, "ayse@hs90.kep.tr", "çok").status == 2
    assert kepgw("account", "quota", folder, "yok@hs90.kep.tr", "1").status == 1


def test_the_password_is_the_first_line_and_stays_secret(kepgw, folder):
    from kepgw.accounts.passwords import verify

    done = kepgw(
        "account", "add", folder, "ayse@hs90.kep.tr", "--password-stdin", stdin="parola ğ\r\nnot this".encode()
    )
    assert verify(operator(folder, "ayse@hs90.kep.tr").argon2, "parola ğ")
    done2 = kepgw("account", "password", folder, "ayse@hs90.kep.tr", "--password-stdin", stdin=b"yeni-2\n")
    assert done2.status == 0
    assert verify(operator(folder, "ayse@hs90.kep.tr").argon2, "yeni-2")
    everything = done.out + done.err + done2.out + done2.err
    everything += "".join(kepgw("account", "list", folder, *extra).out for extra in ((), ("--json",)))
    for secret in ("parola", "yeni-2", "argon2", "SCRAM"):
        assert secret not in everything
    trail = rows(folder, "SELECT act, subject, detail, actor FROM audit ORDER BY id")
    assert [row[:3] for row in trail] == [
        ("account-added", "ayse@hs90.kep.tr", ""),
        ("password-set", "ayse@hs90.kep.tr", ""),
    ]
    assert all(row[3] for row in trail)


@pytest.mark.parametrize(
    ("address", "stdin", "says"),
    [
        ("ayse@hs91.kep.tr", b"pw\n", "belongs to hs91.kep.tr, not to this provider"),
        ("ayse@gmail.com", b"pw\n", "ayse@gmail.com"),
        ("ayşe@hs90.kep.tr", b"pw\n", "KEP"),
        ("kep@hs90.kep.tr", b"pw\n", "service address"),
        ("KEP@hs90.kep.tr", b"pw\n", "service address"),
        ("ayse@hs90.kep.tr", b"\n", "password is empty"),
        ("ayse@hs90.kep.tr", b"", "password is empty"),
        ("ayse@hs90.kep.tr", b"\xff\n", "not UTF-8"),
    ],
)
def test_what_cannot_be_an_account(kepgw, folder, address, stdin, says):
    done = kepgw("account", "add", folder, address, "--password-stdin", stdin=stdin)
    assert (done.status, done.out) == (1, "")
    assert says in done.err
    assert json.loads(kepgw("account", "list", folder, "--json").out) == []


def test_an_account_is_not_made_twice_or_without_a_password(kepgw, folder):
    add = ("account", "add", folder, "ayse@hs90.kep.tr")
    assert "--password-stdin" in kepgw(*add, stdin=b"pw\n").err
    assert kepgw(*add, "--password-stdin", stdin=b"pw\n").status == 0
    done = kepgw(*add[:-1], "AYSE@hs90.kep.tr", "--password-stdin", stdin=b"pw\n")
    assert done.status == 1
    assert "exists already" in done.err


def test_disable_and_enable(kepgw, folder):
    kepgw("account", "add", folder, "ayse@hs90.kep.tr", "--password-stdin", stdin=b"pw\n")
    assert kepgw("account", "disable", folder, "ayse@hs90.kep.tr").status == 0
    assert not operator(folder, "ayse@hs90.kep.tr").active
    assert "disabled" in kepgw("account", "list", folder).out
    assert kepgw("account", "enable", folder, "ayse@hs90.kep.tr").status == 0
    assert operator(folder, "ayse@hs90.kep.tr").active
    for command in ("disable", "enable"):
        done = kepgw("account", command, folder, "yok@hs90.kep.tr")
        assert done.status == 1
        assert "no account yok@hs90.kep.tr" in done.err
    done = kepgw("account", "password", folder, "yok@hs90.kep.tr", "--password-stdin", stdin=b"pw\n")
    assert done.status == 1


def test_the_card_of_one_is_the_peer_of_the_other(kepgw, folder, peer_folder, tmp_path):
    card = kepgw("peer", "card", peer_folder)
    read = read_card(card.out)
    assert card.octets == card.out.encode()
    assert tomllib.loads(card.out)["domains"] == ["hs91.kep.tr"]
    assert (read.service_address, read.relay_host, read.relay_port) == ("kep@hs91.kep.tr", "127.0.0.1", 43025)
    assert len(read.process_chains[0]) == 3  # leaf, intermediate, root
    root = peer_folder / "keys" / "root.pem"
    settings = (peer_folder / "kepgw.toml").read_text()
    named = settings.replace("relay_host_port = 0", "relay_host_port = 26")
    named = named.replace('relay_host_certificate = ""', 'relay_host_certificate = "keys/root.pem"')
    (peer_folder / "kepgw.toml").write_text(named)
    other = read_card(kepgw("peer", "card", peer_folder).out)
    assert (other.relay_port, other.tls_certificate) == (26, ssl.PEM_cert_to_DER_cert(root.read_text()))
    (peer_folder / "kepgw.toml").write_text(settings)
    path = tmp_path / "hs91.toml"
    path.write_bytes(card.octets)
    assert kepgw("peer", "add", folder, path).status == 0
    assert kepgw("peer", "add", folder, "-", stdin=card.octets).status == 0  # again: replaced
    (peer,) = json.loads(kepgw("peer", "list", folder, "--json").out)
    assert peer["domain"] == "hs91.kep.tr"
    assert "hs91.kep.tr" in kepgw("peer", "list", folder).out
    assert kepgw("peer", "remove", folder, "hs91.kep.tr").status == 0
    assert kepgw("peer", "remove", folder, "hs91.kep.tr").status == 1
    assert json.loads(kepgw("peer", "list", folder, "--json").out) == []


def test_cards_that_are_not(kepgw, folder, tmp_path):
    own = kepgw("peer", "card", folder).octets
    for octets, says in (
        (own, "own domain"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x = 1\n", "no provider card"),
        (b"#" * 300_000, "256"),
    ):
        done = kepgw("peer", "add", folder, "-", stdin=octets)
        assert done.status == 2
        assert says in done.err
    assert "cannot read the card" in kepgw("peer", "add", folder, tmp_path / "none").err


def test_a_card_whose_chain_does_not_hold(kepgw, folder, peer_folder, tmp_path):
    from dataclasses import replace

    from kepgw.interop.card import write_card

    theirs = read_card(kepgw("peer", "card", peer_folder).out)
    ours = read_card(kepgw("peer", "card", folder).out)
    initialise(tmp_path / "old", "hs91.kep.tr", 3000, True, "p-256", at=datetime(2015, 1, 1, tzinfo=UTC))
    old = load_anchors([tmp_path / "old" / "keys" / f"{name}.pem" for name in ("process", "intermediate", "root")])
    (chain,), (other,) = theirs.process_chains, ours.process_chains
    for chains, says in (
        (((*chain[:2], other[2]),), "valid chain"),
        ((chain[::2],), "valid chain"),
        ((chain, chain[::2]), "valid chain"),
        ((old,), "has ended"),
    ):
        done = kepgw("peer", "add", folder, "-", stdin=write_card(replace(theirs, process_chains=chains)).encode())
        assert done.status == 2
        assert says in done.err
    assert kepgw("peer", "card", tmp_path / "old").status == 2  # nor is such a card given out
    assert json.loads(kepgw("peer", "list", folder, "--json").out) == []


def test_message_list_and_show(kepgw, filled):
    listed = kepgw("message", "list", filled.folder)
    assert filled.number in listed.out
    assert "\x1b" not in listed.out  # a subject cannot command the terminal
    (entry,) = json.loads(kepgw("message", "list", filled.folder, "--json").out)
    assert entry["recipients"] == {"delivered": 1, "refused": 1, "relaying": 1}
    shown = {name: kepgw("message", "show", filled.folder, name) for name in (
        filled.number, "remmd.1@hs90.kep.tr", "remmd.2@hs90.kep.tr", "<1@ayse>", "1@ayse",
    )}  # fmt: skip
    assert {done.status for done in shown.values()} == {0}
    assert len({done.out for done in shown.values()}) == 1
    text = shown["<1@ayse>"].out
    for part in ("Gönderim zamanı (T0) / Submitted (T0): 01.03.2026 12:30:00 +03:00", "Teslim edildi / Delivered",
                 "Gizli alıcıya KEP iletisi", "Alıcı hesabı yok", "connection refused", "hs91.kep.tr"):  # fmt: skip
        assert part in text
    assert "\x1b" not in text


def test_message_show_as_data(kepgw, filled):
    data = json.loads(kepgw("message", "show", filled.folder, filled.number, "--json").out)
    named, blind = data["dispatches"]
    ali, yok = named["recipients"]
    assert [row["code"] for row in ali["evidence"]] == [10, 20, 40]  # by time, though 40 came in first
    assert [row["code"] for row in yok["evidence"]] == [10, 21]
    assert yok["evidence"][1]["reason"] == "UnknownRecipient"
    assert (ali["state"], yok["state"]) == ("delivered", "refused")
    assert blind["blind"]
    assert [task["kind"] for task in blind["waiting"]] == ["relay"]
    assert [task["kind"] for task in blind["recipients"][0]["waiting"]] == ["answer-window"]
    assert blind["waiting"][0]["attempts"] == 2
    assert data["t0"] == "2026-03-01T09:30:00.000Z"


def test_an_unknown_message(kepgw, filled):
    for command in (("message", "show", filled.folder, "yok"), ("evidence", "list", filled.folder, "--message", "7")):
        done = kepgw(*command)
        assert (done.status, done.out) == (1, "")
        assert "no message is known" in done.err


def test_queue_list_and_retry(kepgw, filled):
    relay, window = json.loads(kepgw("queue", "list", filled.folder, "--json").out)
    assert (relay["kind"], relay["peer"], relay["last_error"]) == ("relay", "hs91.kep.tr", "connection refused")
    assert (window["kind"], window["peer"]) == ("answer-window", "")
    assert "connection refused" in kepgw("queue", "list", filled.folder).out
    assert "1 task " in kepgw("queue", "retry", filled.folder, relay["task"]).err
    assert "0 tasks" in kepgw("queue", "retry", filled.folder).err  # windows keep their time
    done = kepgw("queue", "retry", filled.folder, 999)
    assert done.status == 1
    after = {task["kind"]: task["due"] for task in json.loads(kepgw("queue", "list", filled.folder, "--json").out)}
    assert after["answer-window"] == window["due"]
    assert after["relay"] < relay["due"]


def test_a_held_lock_without_an_answer_is_told(kepgw, folder, monkeypatch):
    monkeypatch.setattr(control.wait_for_lock, "__defaults__", (0.0,))
    holder = Lock(folder)
    holder.take()
    try:
        done = kepgw("account", "list", folder)
    finally:
        holder.release()
    assert done.status == 2
    assert "holds" in done.err
    assert "nothing answers" in done.err
    assert kepgw("account", "list", folder).status == 0


def test_a_command_waits_for_another_command(kepgw, folder, monkeypatch):
    holder = Lock(folder)
    holder.take()
    waited = []
    monkeypatch.setattr("kepgw.app.control.time.sleep", lambda seconds: (waited.append(seconds), holder.release()))
    assert kepgw("account", "list", folder).status == 0
    assert len(waited) == 1


def test_the_reader_of_our_output_may_go(folder):
    done = subprocess.run(
        ["/bin/sh", "-c", f"{' '.join(COMMAND)} peer card {folder} | true"], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
