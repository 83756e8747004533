import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from kepgw.errors import ConfigurationError, SigningUnavailable
from kepgw.trust import devpki
from kepgw.trust.keys import describe, load_key
from kepgw.trust.processkeys import ProcessKeys

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def openssl(*arguments, octets=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=octets, capture_output=True, check=False)


def test_key_with_its_chain(pki):
    keys = pki()
    key = load_key(keys / "process.key", keys / "process.pem", keys / "intermediate.pem", keys / "root.pem")
    assert key.service_address == "kep@hs90.kep.tr"
    assert key.algorithm == "ecdsa-sha256"
    assert len(key.chain) == 1  # the root never travels
    shown = openssl("x509", "-in", keys / "process.pem", "-noout", "-fingerprint", "-sha256").stdout.decode()
    assert shown.split("=")[1].strip().replace(":", "").lower() == key.fingerprint


def test_concatenated_files_in_any_order(pki, tmp_path):
    keys = pki()
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"".join((keys / f"{name}.pem").read_bytes() for name in ("root", "intermediate", "process")))
    apart = load_key(keys / "process.key", keys / "process.pem", keys / "intermediate.pem")
    together = load_key(keys / "process.key", bundle)
    assert (together.certificate, together.chain) == (apart.certificate, apart.chain)


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("kind", "signature", "options"),
    [
        ("rsa-2048", "rsa-sha256", ["-sha256"]),
        ("rsa-2048", "rsa-sha512", ["-sha512"]),
        ("rsa-2048", "rsa-pss-sha256", ["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]),
        ("rsa-2048", "rsa-pss-sha384", ["-sha384", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:48"]),
        ("rsa-2048", "rsa-pss-sha512", ["-sha512", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:64"]),
        ("p-256", "ecdsa-sha256", ["-sha256"]),
        ("p-256", "ecdsa-sha512", ["-sha512"]),
        ("p-384", "ecdsa-sha384", ["-sha384"]),
        ("p-384", "ecdsa-sha512", ["-sha512"]),
    ],
)
def test_openssl_verifies_bare_signatures(pki, process_key, tmp_path, kind, signature, options):
    public = tmp_path / "public.pem"
    public.write_bytes(openssl("x509", "-in", pki(kind) / "process.pem", "-noout", "-pubkey").stdout)
    value = tmp_path / "signature"
    value.write_bytes(process_key(kind, signature).sign(b"delil"))
    good = openssl("dgst", *options, "-verify", public, "-signature", value, octets=b"delil")
    assert good.returncode == 0, good.stderr
    assert openssl("dgst", *options, "-verify", public, "-signature", value, octets=b"delik").returncode != 0


def test_key_of_another_certificate(pki):
    keys = pki()
    with pytest.raises(ConfigurationError, match="belongs to this key"):
        load_key(keys / "process.key", keys / "tls.pem", keys / "intermediate.pem")


@pytest.mark.parametrize("name", ["tls", "tsa", "root"])
def test_certificate_for_another_purpose_does_not_sign(pki, name):
    keys = pki()
    with pytest.raises(ConfigurationError, match="Usage"):
        load_key(keys / f"{name}.key", keys / f"{name}.pem")


def test_tsa_key_wants_its_purpose(pki):
    keys = pki()
    assert load_key(keys / "tsa.key", keys / "tsa.pem", purpose="tsa").service_address == ""
    with pytest.raises(ConfigurationError, match="timeStamping"):
        load_key(keys / "process.key", keys / "process.pem", purpose="tsa")


def test_unreadable_files_name_themselves(pki, tmp_path):
    keys = pki()
    (tmp_path / "broken.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (tmp_path / "weak.key").write_bytes(openssl("genrsa", "1024").stdout)
    for key, certificate, told in (
        (keys / "missing.key", keys / "process.pem", r"missing\.key: cannot be read"),
        (keys / "process.pem", keys / "process.pem", r"process\.pem: holds no readable PEM private key"),
        (keys / "process.key", tmp_path / "broken.pem", r"broken\.pem: holds no readable PEM certificate"),
        (tmp_path / "weak.key", keys / "process.pem", r"weak\.key: RSA key of 1024 bits"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            load_key(key, certificate)


def test_algorithm_must_fit_the_key(process_key):
    with pytest.raises(ConfigurationError, match="does not fit"):
        process_key("p-256", "rsa-sha256")


def test_choose_refuses_what_is_expired_or_too_early(process_key):
    key = process_key()
    keys = ProcessKeys([key])
    assert keys.choose(AT) is key
    for moment in (key.not_after + timedelta(seconds=1), key.not_before - timedelta(seconds=1)):
        with pytest.raises(SigningUnavailable, match="no process certificate is valid"):
            keys.choose(moment)
    with pytest.raises(SigningUnavailable, match="configured"):
        ProcessKeys([]).choose(AT)


def test_the_newer_key_signs_during_a_change_over(process_key, tmp_path):
    old = process_key()
    devpki.create(tmp_path, "hs90.kep.tr", "kep@hs90.kep.tr", algorithm="p-256", at=AT + timedelta(days=300))
    new = load_key(tmp_path / "keys" / "process.key", tmp_path / "keys" / "process.pem")
    keys = ProcessKeys([new, old])
    assert keys.choose(AT) is old
    assert keys.choose(AT + timedelta(days=301)) is new
    assert keys.days_left(AT) == new.days_left(AT)


def test_a_barred_certificate_is_passed_over(process_key, tmp_path):
    old = process_key()
    devpki.create(tmp_path, "hs90.kep.tr", "kep@hs90.kep.tr", algorithm="p-256", at=AT + timedelta(days=300))
    new = load_key(tmp_path / "keys" / "process.key", tmp_path / "keys" / "process.pem")
    keys, later = ProcessKeys([old, new]), AT + timedelta(days=301)
    keys.bar(frozenset({new.fingerprint}))
    assert keys.choose(later) is old
    assert keys.days_left(AT) == old.days_left(AT)
    keys.bar(frozenset({old.fingerprint, new.fingerprint}))
    with pytest.raises(SigningUnavailable, match="revoked"):
        keys.choose(later)
    keys.bar(frozenset())
    assert keys.choose(later) is new


def test_days_that_are_left(process_key):
    keys = ProcessKeys([process_key()])
    end = keys.keys[0].not_after
    assert keys.days_left(end - timedelta(days=10)) == 10
    assert keys.days_left(end + timedelta(hours=1)) < 0


def test_describe(pki):
    shown = describe((pki() / "process.pem").read_bytes(), AT)
    assert "CN=Process hs90.kep.tr" in shown.subject
    assert "CN=Intermediate hs90.kep.tr" in shown.issuer
    assert shown.addresses == ("kep@hs90.kep.tr",)
    assert shown.key == "secp256r1"
    assert shown.days_left == 1094
    with pytest.raises(ConfigurationError):
        describe(b"nothing")
