"""Keys on a token: SoftHSM signs, openssl judges."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pkcs11
import pytest
from cryptography import x509
from pkcs11 import exceptions as ck
from pkcs11.constants import TokenFlag
from pkcs11.mechanisms import Mechanism
from softhsm import MODULE, PIN, SoftHsm

from kepgw.errors import ConfigurationError, SigningUnavailable
from kepgw.trust import pkcs11key, pkcs11session
from kepgw.trust.pkcs11key import TokenKey
from kepgw.trust.pkcs11session import Module, PinRefused, TokenPlace, module_of
from kepgw.trust.processkeys import KeyPlace

HOW = {
    "rsa-sha256": ("rsa-2048", ["-sha256"]),
    "rsa-sha384": ("rsa-2048", ["-sha384"]),
    "rsa-sha512": ("rsa-2048", ["-sha512"]),
    **{
        f"rsa-pss-sha{bits}": (
            "rsa-2048",
            [f"-sha{bits}", "-sigopt", "rsa_padding_mode:pss", "-sigopt", f"rsa_pss_saltlen:{bits // 8}"],
        )
        for bits in (256, 384, 512)
    },
    "ecdsa-sha256": ("p-256", ["-sha256"]),
    "ecdsa-sha384": ("p-384", ["-sha384"]),
    "ecdsa-sha512": ("p-384", ["-sha512"]),
}


@pytest.fixture
def hsm(tmp_path, monkeypatch):
    """A token in a module that begins and ends with the test."""
    made = SoftHsm(tmp_path / "hsm")
    monkeypatch.setenv("SOFTHSM2_CONF", made.environment["SOFTHSM2_CONF"])
    monkeypatch.setattr(pkcs11session, "_modules", {})
    yield made
    Module(MODULE).forget()


@pytest.fixture
def place(hsm):
    return TokenPlace(MODULE, "kepgw", "process", None, hsm.pin_file)


@pytest.fixture
def token_key(hsm, place, pki):
    """token_key("p-256", "ecdsa-sha256", ...) -> the key of the PKI on the token."""

    def get(kind="p-256", algorithm="", **changes):
        hsm.take(pki(kind) / "process.key")
        certificates = (pki(kind) / "process.pem", pki(kind) / "intermediate.pem")
        return KeyPlace(certificates, replace(place, **changes), algorithm).key()

    return get


def counted(monkeypatch, name):
    """Count the calls of a method of the session module."""
    calls = []
    before = getattr(pkcs11session.Module, name)
    monkeypatch.setattr(pkcs11session.Module, name, lambda self, *a, **k: (calls.append(a), before(self, *a, **k))[1])
    return calls


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("algorithm", "hashes"),
    # SoftHSM 2.6 does not hash for ECDSA
    [(name, hashes) for name in HOW for hashes in (True, False) if not (hashes and name.startswith("ecdsa"))],
)
def test_openssl_verifies_every_algorithm(token_key, pki, tmp_path, openssl, monkeypatch, algorithm, hashes):
    kind, options = HOW[algorithm]
    if not hashes:
        found = pkcs11key._way
        bare = frozenset({Mechanism.RSA_PKCS, Mechanism.RSA_PKCS_PSS, Mechanism.ECDSA})
        monkeypatch.setattr(pkcs11key, "_way", lambda algorithm, offered: found(algorithm, offered & bare))
    key = token_key(kind, algorithm)
    assert isinstance(key, TokenKey)
    value = tmp_path / "signature"
    value.write_bytes(key.sign(b"delil"))
    assert key._opened[2].hashes is hashes
    public = tmp_path / "public.pem"
    public.write_bytes(openssl("x509", "-in", pki(kind) / "process.pem", "-noout", "-pubkey").stdout)
    good = openssl("dgst", *options, "-verify", public, "-signature", value, octets=b"delil")
    assert good.returncode == 0, good.stderr
    assert openssl("dgst", *options, "-verify", public, "-signature", value, octets=b"delik").returncode != 0


def test_a_digest_longer_than_the_curve(token_key):
    key = token_key("p-256", "ecdsa-sha512")
    key.check()  # verified against the certificate
    assert key.sign(b"x")


def test_what_a_token_offers_decides_how():
    for algorithm in ("rsa-sha256", "rsa-pss-sha256", "ecdsa-sha256"):
        with pytest.raises(ConfigurationError, match="no mechanism"):
            pkcs11key._way(algorithm, frozenset({Mechanism.AES_CBC}))
    assert pkcs11key._way("ecdsa-sha384", frozenset({Mechanism.ECDSA, Mechanism.ECDSA_SHA384})).hashes


def test_one_login_serves_all(token_key, monkeypatch):
    opened = counted(monkeypatch, "_open")
    key = token_key()
    assert opened == []  # nothing is asked before it is needed
    for _ in range(3):
        key.sign(b"x")
    assert len(opened) == 1


def test_jobs_of_many_threads(token_key):
    key = token_key("rsa-2048")
    with ThreadPoolExecutor(8) as threads:
        signatures = set(threads.map(key.sign, [b"the same"] * 64))
    assert len(signatures) == 1  # PKCS #1 signatures of the same octets are the same


def test_a_session_that_was_lost(token_key, monkeypatch):
    opened = counted(monkeypatch, "_open")
    key = token_key()
    key.sign(b"x")
    pkcs11.lib(str(MODULE)).finalize()  # as C_CloseAllSessions would: no handle is good any more
    pkcs11.lib(str(MODULE))
    assert key.sign(b"y")
    key._opened[0].close()
    assert key.sign(b"z")
    assert len(opened) == 3


def test_a_token_that_is_pulled_and_put_back(hsm, token_key, monkeypatch):
    key = token_key()
    key.sign(b"x")
    hsm.pull()
    pkcs11.lib(str(MODULE)).finalize()
    opened = counted(monkeypatch, "_open")
    with pytest.raises(SigningUnavailable, match="NoSuchToken"):
        key.sign(b"y")
    hsm.put_back()
    with pytest.raises(SigningUnavailable, match="a moment ago"):
        key.sign(b"y")  # a thousand messages that wait do not storm the token
    monkeypatch.setattr(pkcs11session, "monotonic", lambda: float("inf"))
    assert key.sign(b"y")
    assert len(opened) == 3


def test_a_wrong_pin_is_given_once(hsm, token_key, monkeypatch):
    key = token_key()
    hsm.pin_file.write_text("wrong-1234")
    tries = []
    monkeypatch.setattr(TokenPlace, "pin", lambda self: tries.append(self) or "wrong-1234")
    with pytest.raises(PinRefused, match="PinIncorrect"):
        key.sign(b"x")
    for _ in range(5):
        with pytest.raises(PinRefused, match="until a restart"):
            key.sign(b"x")
    assert len(tries) == 1
    token = pkcs11.lib(str(MODULE)).get_token(token_label="kepgw")
    assert token.flags & TokenFlag.USER_PIN_COUNT_LOW


def test_after_a_wrong_pin_a_careful_check_gives_none(hsm, token_key, monkeypatch):
    key = token_key()
    hsm.pin_file.write_text("wrong-1234")
    with pytest.raises(PinRefused):
        key.check()
    hsm.pin_file.write_text(PIN)
    monkeypatch.setattr(pkcs11session, "_modules", {})  # as another program
    with pytest.raises(PinRefused, match="none is tried"):
        anew(key).check(careful=True)
    monkeypatch.setattr(pkcs11session, "_modules", {})
    anew(key).check()  # a restart gives it, and the token is content again
    monkeypatch.setattr(pkcs11session, "_modules", {})
    module_of(MODULE).forget()
    anew(key).check(careful=True)


def anew(key):
    """The same key in a program that begins."""
    return TokenKey(key.place, x509.load_der_x509_certificate(key.certificate), (), key.algorithm)


@pytest.mark.parametrize("flag", [TokenFlag.USER_PIN_FINAL_TRY, TokenFlag.USER_PIN_LOCKED])
def test_the_last_try_is_left_to_people(token_key, monkeypatch, flag):
    class Token:
        flags = TokenFlag.TOKEN_INITIALIZED | flag

        def open(self, **_):
            raise AssertionError("no login")

    class Library:
        def get_token(self, **_):
            return Token()

    key = token_key()
    monkeypatch.setattr(pkcs11session.pkcs11, "lib", lambda path: Library())
    with pytest.raises(PinRefused, match="locked, or one wrong try away"):
        key.sign(b"x")


def test_a_login_that_another_process_found_refused(token_key, monkeypatch):
    opened = counted(monkeypatch, "_open")
    key = token_key()
    key.stop_logins("PinIncorrect")
    with pytest.raises(PinRefused, match="PinIncorrect"):
        key.sign(b"x")
    assert len(opened) == 1


def test_the_pin_from_the_environment(token_key, monkeypatch):
    monkeypatch.setenv("KEPGW_PIN", PIN)
    key = token_key(pin_file=None, pin_variable="KEPGW_PIN")
    assert key.sign(b"x")
    monkeypatch.delenv("KEPGW_PIN")
    module_of(MODULE).forget()
    with pytest.raises(SigningUnavailable, match="KEPGW_PIN: holds no PIN"):
        key.sign(b"x")
    with pytest.raises(ConfigurationError, match="KEPGW_PIN"):
        key.check()


def test_a_pin_file_that_is_none(hsm, token_key):
    key = token_key()
    for octets in (b"\n", b"\xff\xfe", b"1" * 300):
        hsm.pin_file.write_bytes(octets)
        with pytest.raises(ConfigurationError, match="PIN"):
            key.check()
    hsm.pin_file.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        key.check()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"label": "other"}, "no EC key 'other'"),
        ({"label": None, "identifier": b"\x02"}, "no EC key id 02"),
        ({"module": MODULE.with_name("none.so")}, "there is no PKCS#11 module"),
    ],
)
def test_what_is_not_there_is_named(token_key, changes, says):
    with pytest.raises(ConfigurationError, match=says):
        token_key(**changes).check()


def test_a_key_is_found_by_its_id(token_key):
    assert token_key(label=None, identifier=b"\x01").sign(b"x")


def test_two_keys_of_one_label(hsm, token_key, pki):
    hsm.take(pki("p-384") / "process.key", identifier="02")
    key = token_key()
    with pytest.raises(ConfigurationError, match="give their id too"):
        key.check()
    key.place = replace(key.place, identifier=b"\x01")
    key.check()
    key.place = replace(key.place, identifier=b"\x03")
    module_of(MODULE).forget()
    with pytest.raises(ConfigurationError, match="no EC key 'process' id 03"):
        key.check()


def test_a_key_of_another_certificate(hsm, place, pki):
    hsm.take(pki("p-256") / "process.key")
    for kind, says in (("p-384", "does not belong"), ("rsa-2048", "no RSA key")):
        with pytest.raises(ConfigurationError, match=says):
            KeyPlace((pki(kind) / "process.pem",), place).key().check()


def test_certificates_are_read_leaf_first(pki, place):
    with pytest.raises(ConfigurationError, match="authority's certificate"):
        KeyPlace((pki() / "intermediate.pem", pki() / "process.pem"), place).certified()
    with pytest.raises(ConfigurationError, match="Usage"):
        KeyPlace((pki() / "tls.pem",), place).certified()
    both = KeyPlace((pki() / "process.pem", pki() / "intermediate.pem"), place).certified()
    file = KeyPlace((pki() / "process.pem", pki() / "intermediate.pem"), pki() / "process.key").certified()
    assert (both.certificate, both.chain, both.algorithm) == (file.certificate, file.chain, file.algorithm)
    assert not hasattr(file, "sign")  # who only wants to know who signs when holds no key


def test_without_the_extra(place, pki, monkeypatch):
    monkeypatch.setattr(pkcs11session, "HAVE_PKCS11", False)
    with pytest.raises(ConfigurationError, match=r"kepgw\[hsm\]"):
        KeyPlace((pki() / "process.pem",), place).key()


def test_a_token_that_fails_for_a_moment(token_key, monkeypatch):
    key = token_key()
    key.sign(b"x")
    signature, troubles = TokenKey._signature, [ck.DeviceError(), None]

    def sign(self, *arguments):
        if troubles and (trouble := troubles.pop(0)) is not None:
            raise trouble
        return signature(self, *arguments)

    monkeypatch.setattr(TokenKey, "_signature", sign)
    assert key.sign(b"x")
    troubles[:] = [ck.DeviceRemoved(), ck.DeviceRemoved()]
    with pytest.raises(SigningUnavailable, match="DeviceRemoved"):
        key.sign(b"x")
