import stat
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from kepgw.errors import ConfigurationError
from kepgw.trust import devpki

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.oracle
@pytest.mark.parametrize("algorithm", ["p-256", "rsa-2048"])
def test_openssl_accepts_every_chain(tmp_path, algorithm):
    devpki.create(tmp_path, "hs90.kep.tr", "kep@hs90.kep.tr", ["127.0.0.1", "localhost"], algorithm, AT)
    keys = tmp_path / "keys"
    for name, purpose in (("process", "smimesign"), ("tls", "sslserver"), ("tsa", "timestampsign")):
        verified = subprocess.run(
            ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-attime", str(int(AT.timestamp())),
             "-CAfile", keys / "root.pem", "-untrusted", keys / "intermediate.pem", keys / f"{name}.pem"],
            capture_output=True, check=False,
        )  # fmt: skip
        assert verified.returncode == 0, verified.stderr


def test_the_certificates_are_what_the_standards_ask(tmp_path):
    devpki.create(tmp_path, "hs90.kep.tr", "kep@hs90.kep.tr", ["127.0.0.1"], "p-256", AT)

    def shown(name):
        command = ["openssl", "x509", "-in", tmp_path / "keys" / name, "-noout", "-subject", "-text"]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout

    assert "CA:TRUE" in shown("root.pem")
    process = shown("process.pem")
    assert "email:kep@hs90.kep.tr" in process
    assert "X509v3 Key Usage: critical\n                Digital Signature\n" in process
    assert "E-mail Protection" in process
    assert "X509v3 Extended Key Usage: critical\n                Time Stamping\n" in shown("tsa.pem")
    assert "IP Address:127.0.0.1" in shown("tls.pem")
    assert "DNS:hs90.kep.tr" in shown("tls.pem")
    assert all("DEVELOPMENT" in shown(f"{name}.pem") for name in devpki.CERTIFICATES)


def test_files_are_private_and_never_overwritten(tmp_path):
    devpki.create(tmp_path, "hs90.kep.tr", "kep@hs90.kep.tr", algorithm="p-256", at=AT)
    before = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    assert set(before) == set(devpki.NAMES)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()} == {0o600}
    with pytest.raises(ConfigurationError, match="already holds"):
        devpki.create(tmp_path, "hs90.kep.tr", "kep@hs90.kep.tr", algorithm="p-256", at=AT)
    assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before


def test_one_file_in_the_way_stops_everything(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "tsa.key").write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match=r"tsa\.key"):
        devpki.create(tmp_path, "hs90.kep.tr", "kep@hs90.kep.tr", algorithm="p-256", at=AT)
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["tsa.key"]


def test_unknown_algorithm(tmp_path):
    with pytest.raises(ConfigurationError, match="rsa-1024"):
        devpki.create(tmp_path, "hs90.kep.tr", "kep@hs90.kep.tr", algorithm="rsa-1024", at=AT)


def test_authorities_that_ended_are_left_alone(tmp_path):
    devpki.create(tmp_path, "hs90.kep.tr", "kep@hs90.kep.tr", algorithm="p-256", at=AT)
    assert [each.name for each in devpki.renew_lists(tmp_path, AT + timedelta(days=365 * 15))] == ["root.crl"]
    assert devpki.renew_lists(tmp_path, AT + timedelta(days=365 * 25)) == []
    (tmp_path / "keys" / "root.key").unlink()  # as in folders of before
    assert devpki.renew_lists(tmp_path, AT + timedelta(days=365 * 18)) == []
    with pytest.raises(ConfigurationError, match="no development authority"):
        devpki.revoke(tmp_path, x509.load_pem_x509_certificate((tmp_path / "keys" / "tsa.pem").read_bytes()), AT)
