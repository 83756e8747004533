"""``kepgw doctor``: each ill is found, named, and comes with what to do."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from softhsm import MODULE, SoftHsm

from kepgw.app import doctor_archive
from kepgw.app.commands.access import ask
from kepgw.app.config import load
from kepgw.app.doctor import _expiring, examine, lifetime
from kepgw.app.doctor_ports import examine_ports
from kepgw.app.doctor_stamps import _clocks
from kepgw.app.initialise import PORTS, initialise
from kepgw.errors import ConfigurationError
from kepgw.trust import devpki, pkcs11session
from kepgw.trust.keys import describe


def rewrite(folder, **changes):
    """Change settings of kepgw.toml; those of [[tsa]] come before others of the same name."""
    path = folder / "kepgw.toml"
    lines = path.read_text("utf-8").splitlines()
    for key, value in changes.items():
        number = next(number for number, line in enumerate(lines) if line.startswith(f"{key} = "))
        lines[number] = f"{key} = {value}"
    path.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture
def well(folder):
    """A provider that lacks nothing; the system would choose its ports."""
    rewrite(folder, **dict.fromkeys(PORTS, 0))
    return folder


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def ills(folder, now=None):
    """what -> finding, of all that is not well; development is always told."""
    found = [finding for finding in examine(folder, now) if finding.level != "ok"]
    assert all(finding.remedy for finding in found)
    return {finding.what: finding for finding in found if finding.what != "development"}


def test_a_fresh_provider_is_well(kepgw, well):
    done = kepgw("doctor", well)
    assert done.status == 0
    assert "problem" not in done.out
    assert "warning  development: " in done.out
    for what in ("process certificate", "TLS certificate", "time stamp", "store", "queue", "disk", "spool", "peers"):
        assert f"ok       {what}" in done.out
    data = json.loads(kepgw("doctor", well, "--json").out)
    assert {finding["level"] for finding in data} == {"ok", "warning"}


def test_a_missing_key(kepgw, well):
    (well / "keys" / "process.key").unlink()
    done = kepgw("doctor", well)
    assert done.status == 1
    assert "problem  keys.process.0.key" in done.out
    assert "problem  process certificate" in done.out
    assert "ok       TLS certificate" in done.out  # the rest is looked at all the same


def test_a_key_of_another_certificate(well, peer_folder):
    for name in ("process.key", "tls.key"):
        (well / "keys" / name).write_bytes((peer_folder / "keys" / name).read_bytes())
    found = ills(well)
    assert "belongs to this key" in found["process certificate"].detail
    assert "belong together" in found["TLS certificate"].detail


def test_open_rights(well):
    (well / "keys" / "process.key").chmod(0o640)
    finding = ills(well)["rights"]
    assert finding.level == "problem"
    assert finding.remedy == f"chmod go= {well}/keys/process.key"


def test_another_service_address_than_the_certificates(well):
    rewrite(well, service_address='"kayit@hs90.kep.tr"')
    finding = ills(well)["process certificate"]
    assert "rfc822Name is kep@hs90.kep.tr, not kayit@hs90.kep.tr" in finding.detail


def test_a_chain_to_nowhere(well, peer_folder):
    (well / "keys" / "root.pem").write_bytes((peer_folder / "keys" / "root.pem").read_bytes())
    found = ills(well)
    assert "no trusted root" in found["process certificate"].detail
    assert "does not verify" in found["time stamp development"].detail


@pytest.mark.parametrize(
    ("days", "level", "says"),
    [
        (61, "ok", ""),
        (60, "warning", "renew"),
        (30, "warning", "soon: renew"),
        (7, "problem", "now: renew"),
        (-1, "problem", "renew"),
    ],
)
def test_expiry_is_told_in_time(days, level, says):
    finding = lifetime("x", days, datetime(2026, 1, 1, tzinfo=UTC), "renew")
    assert (finding.level, finding.remedy) == (level, says)


def test_certificates_that_end(well):
    ends = describe((well / "keys" / "process.pem").read_bytes()).not_after
    assert "days left" in ills(well, ends - timedelta(days=20))["process certificate"].detail
    assert ills(well, ends + timedelta(days=1))["process certificate"].detail.startswith("ended")
    begins = describe((well / "keys" / "process.pem").read_bytes()).not_before
    assert "not valid before" in ills(well, begins - timedelta(days=1))["process certificate"].detail


def test_an_authority_that_does_not_answer(well):
    (port,) = free_ports(1)
    rewrite(well, kind='"http"', url=f'"http://127.0.0.1:{port}/"', timeout=1.0)
    finding = ills(well)[f"time stamp http://127.0.0.1:{port}/"]
    assert finding.level == "problem"
    assert "gives none" in finding.detail


def test_one_authority_that_serves_is_enough(well):
    (port,) = free_ports(1)
    with (well / "kepgw.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[[tsa]]\nkind = "http"\nurl = "http://127.0.0.1:{port}/"\ntimeout = 1.0\n')
    assert ills(well)[f"time stamp http://127.0.0.1:{port}/"].level == "warning"


@pytest.mark.parametrize(
    ("offsets", "levels", "says"),
    [
        ({"a": 0, "b": 9}, [], ""),
        ({"a": 11, "b": 0}, ["warning"], "if ours is right, tell the authority"),
        ({"a": 61}, ["problem"], "11.* behind|61 s behind"),
        ({"a": -61, "b": -62}, ["problem", "problem"], "all authorities agree that ours is wrong"),
    ],
)
def test_whose_clock_is_wrong(offsets, levels, says):
    found = list(_clocks({name: timedelta(seconds=each) for name, each in offsets.items()}, timedelta(seconds=60)))
    assert [level for level, *_ in found] == levels
    assert re.search(says, " ".join(part for each in found for part in each))


def test_secrets_of_an_authority_are_closed_to_others(well):
    secret = well / "keys" / "tsa.password"
    secret.write_text("gizli\n", "ascii")
    secret.chmod(0o644)
    with (well / "kepgw.toml").open("a", encoding="utf-8") as file:
        file.write(
            '\n[[tsa]]\nkind = "http"\nurl = "http://127.0.0.1:1/"\nuser = "k"\npassword_file = "keys/tsa.password"\n'
        )
    assert "tsa.password is open to other users" in ills(well)["rights"].detail


def test_a_store_that_is_none(well):
    (well / "kepgw.sqlite").write_bytes(b"no database" * 5000)
    assert ills(well)["store"].level == "problem"
    (well / "kepgw.sqlite").unlink()
    assert "there is no store" in ills(well)["store"].detail


def test_what_waits_too_long(filled):
    rewrite(filled.folder, **dict.fromkeys(PORTS, 0))
    assert "queue" not in ills(filled.folder)  # nothing of it is due
    ask(filled.folder, "queue_retry")
    finding = ills(filled.folder)["queue"]
    assert finding.level == "warning"
    assert "connection refused" in finding.remedy


def test_a_spool_that_cannot_be_written(well):
    (well / "spool").write_bytes(b"")
    assert "cannot write" in ills(well)["spool"].detail


def test_a_full_disk(well, monkeypatch):
    usage = type("Usage", (), {"free": 100 << 20})
    monkeypatch.setattr("kepgw.app.doctor.shutil.disk_usage", lambda path: usage)
    assert ills(well)["disk"].level == "problem"


def test_peers_whose_certificates_end(well, tmp_path, kepgw):
    at = datetime.now(UTC) - timedelta(days=3 * 365 - 20)
    initialise(tmp_path / "hs93", "hs93.kep.tr", 3000, True, "p-256", at=at)
    card = kepgw("peer", "card", tmp_path / "hs93").octets
    assert kepgw("peer", "add", well, "-", stdin=card).status == 0
    found = [finding for finding in examine(well) if finding.what == "peer hs93.kep.tr"]
    assert any(finding.detail.startswith("process certificate: ") for finding in found)
    assert all("new card" in finding.remedy for finding in found)


def test_a_peer_that_has_ended(well, tmp_path, kepgw):
    ended = next(each.domain for each in load(well).known_providers.values() if each.state == "ended")
    initialise(tmp_path / "e", ended, 3000, True, "p-256")
    assert kepgw("peer", "add", well, "-", stdin=kepgw("peer", "card", tmp_path / "e").octets).status == 0
    assert "has ended" in ills(well)[f"peer {ended}"].detail


def test_a_port_that_another_program_has(well):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        rewrite(well, imap=port)
        finding = ills(well)[f"port {port} (imap)"]
    assert finding.level == "problem"
    assert "cannot be had" in finding.detail


@pytest.mark.parametrize(
    ("listener", "says"),
    [
        ("relay", b"554 go away\r\n"),
        ("submission", b"220 hello\r\n250-hello\r\n250 PIPELINING\r\n"),
        ("submissions", b"220 no TLS here\r\n"),
        ("imap", b"* OK hello\r\n* CAPABILITY IMAP4rev1\r\nd1 OK done\r\n"),
        ("imaps", b""),
        ("http", b"HTTP/1.1 503 Service Unavailable\r\n\r\n" + b'{"status": "degraded", "problem": "try-later"}'),
    ],
)
def test_a_listener_that_answers_wrongly(well, listener, says):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(says)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        port = server.getsockname()[1]
        rewrite(well, **{listener: port})
        (result,) = [each for each in examine_ports(load(well), running=True) if str(port) in each[0]]
        thread.join()
    assert result[0] == f"port {port} ({listener})"
    assert result[1].startswith("does not answer as it should")
    assert result[2]


def test_a_running_provider_is_well_and_ends_when_told(well, kepgw):
    rewrite(well, **dict(zip(PORTS, free_ports(len(PORTS)), strict=True)))
    command = [sys.executable, "-m", "kepgw.app.cli", "serve", str(well)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as provider:
        try:
            assert any("event=ready" in line for line in provider.stderr)
            done = kepgw("doctor", well)
            second = kepgw("serve", well)
        finally:
            provider.send_signal(signal.SIGTERM)
            provider.communicate(timeout=15)
    assert done.status == 0, done.out
    for words in (
        "SMTP with STARTTLS",
        "SMTP inside TLS",
        "IMAP with STARTTLS",
        "IMAP inside TLS",
        "health page says ok",
    ):
        assert words in done.out
    assert second.status == 2
    assert "another kepgw process" in second.err
    assert provider.returncode == 0


def test_settings_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigurationError):
        list(examine(tmp_path))


def test_development_keys_in_earnest(well):
    """Without the mark of development nothing may be made with its keys."""
    rewrite(well, development="false", policies='["urn:test:policy"]', kind='"http"', url='"http://127.0.0.1:1/"')
    told = [each for each in examine(well) if each.what == "development"]
    assert {each.level for each in told} == {"problem"}
    named = " ".join(each.detail for each in told)
    assert all(f"keys/{name}.pem" in named for name in ("process", "intermediate", "tls", "root"))
    assert all(each.remedy for each in told)


def test_user_signatures(well):
    (finding,) = [each for each in examine(well) if each.what == "user signatures"]
    assert (finding.level, finding.detail) == ("ok", "not looked at")
    rewrite(well, require_signature='"require"')
    assert ills(well)["user signatures"].level == "problem"
    (well / "user-anchors" / "eshs.pem").write_bytes((well / "keys" / "root.pem").read_bytes())
    (well / "user-anchors" / "broken.crl").write_bytes(b"")
    finding = ills(well)["user signatures"]
    assert (finding.level, "broken.crl" in finding.detail) == ("warning", True)
    assert any("1 authorities" in each.detail for each in examine(well) if each.what == "user signatures")


def with_second_key(folder):
    table = '[[keys.process]]\ncertificates = ["new/keys/process.pem", "new/keys/intermediate.pem"]\n'
    table += 'key = "new/keys/process.key"\n'
    path = folder / "kepgw.toml"
    path.write_text(path.read_text("utf-8").replace("[trust]\n", f"{table}\n[trust]\n", 1), "utf-8")
    rewrite(folder, anchors='["keys/root.pem", "new/keys/root.pem"]')


def test_each_process_key_is_told_with_its_time(well):
    old = describe((well / "keys" / "process.pem").read_bytes())
    begins = old.not_after - timedelta(days=100)
    devpki.create(well / "new", "hs90.kep.tr", "kep@hs90.kep.tr", algorithm="p-256", at=begins)
    with_second_key(well)

    def told(at):
        found = [finding for finding in examine(well, at) if finding.what.startswith("process certificate")]
        assert {finding.level for finding in found} <= {"ok"}
        return " | ".join(f"{finding.what[-1]} {finding.detail}" for finding in found)

    before = told(begins - timedelta(days=30))
    assert "1 may sign with ecdsa-sha256; signs now" in before
    assert "1 until" in before
    assert "130 days left; another goes on" in before
    assert "2 is not valid before" in before
    both = told(old.not_after - timedelta(days=5))
    assert "2 may sign with ecdsa-sha256; signs now" in both
    assert "1 ended" in told(old.not_after + timedelta(days=5))


def test_a_gap_between_two_certificates_is_warned_of(well):
    old = describe((well / "keys" / "process.pem").read_bytes())
    begins = old.not_after + timedelta(days=9)
    devpki.create(well / "new", "hs90.kep.tr", "kep@hs90.kep.tr", algorithm="p-256", at=begins)
    with_second_key(well)
    assert "20 days left" in ills(well, old.not_after - timedelta(days=20))["process certificate 1"].detail
    assert "no other is now" in ills(well, old.not_after + timedelta(days=5))["process certificate 2"].detail


def test_a_key_on_a_token(well, tmp_path, monkeypatch):
    hsm = SoftHsm(tmp_path / "hsm")
    monkeypatch.setenv("SOFTHSM2_CONF", hsm.environment["SOFTHSM2_CONF"])
    monkeypatch.setattr(pkcs11session, "_modules", {})
    path = well / "kepgw.toml"
    text = path.read_text("utf-8")
    begin, end = text.index("[[keys.process]]"), text.index("[trust]")
    table = hsm.settings('["keys/process.pem", "keys/intermediate.pem"]')
    path.write_text(text[:begin] + table + text[end:], "utf-8")
    assert "no EC key 'process'" in ills(well)["process certificate"].detail
    hsm.take(well / "keys" / "process.key")
    assert ills(well) == {}
    assert any("fits its key on the token kepgw" in finding.detail for finding in examine(well))
    hsm.pin_file.chmod(0o644)
    assert ills(well)["rights"].remedy == f"chmod go= {hsm.pin_file}"
    monkeypatch.setattr(pkcs11session, "_modules", {})
    hsm.pull()
    pkcs11session.module_of(MODULE).forget()
    assert "NoSuchToken" in ills(well)["process certificate"].detail
    pkcs11session.module_of(MODULE).forget()


def test_the_archive_and_the_places_for_heads(well, tmp_path):
    assert ills(well) == {}
    asked = {"groups": 3, "waiting": 2, "last": "2026-11-01T00:00:00+00:00", "sinks": []}
    config = load(well)

    def found(places=(), at=datetime(2026, 11, 10, tzinfo=UTC), **changes):
        status = asked | {"protected_until": "2030-01-01T00:00:00+00:00", "sinks": list(places)} | changes
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(doctor_archive, "ask", lambda *_: status)
            return [each for each in doctor_archive.examine_archive(config, at) if each.level != "ok"]

    (late,) = found()
    assert "2 records wait" in late.detail
    assert found(at=datetime(2026, 11, 2, tzinfo=UTC)) == []
    (near,) = found(waiting=0, protected_until="2026-12-01T00:00:00+00:00")
    assert (near.level, "next certificate" in near.remedy) == ("warning", True)
    (over,) = found(waiting=0, protected_until="2026-11-01T00:00:00+00:00")
    assert over.level == "problem"
    rewrite(well, head_folders=json.dumps([str(tmp_path)]))
    config = load(well)
    place = {"name": f"folder {tmp_path}", "error": "No space left on device"}
    (full,) = found([place, {"name": "folder /old", "error": "gone"}], waiting=0)
    assert (full.what, "No space" in full.detail) == ("tree heads", True)


def test_a_tls_certificate_that_is_not_known_before_it_is_met():
    assert _expiring(400, None) == []
    assert _expiring(1, None) == ["process"]
    assert _expiring(400, 1) == ["tls"]
