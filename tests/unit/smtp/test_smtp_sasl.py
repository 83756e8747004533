"""PLAIN and LOGIN responses."""

from base64 import b64encode

import pytest

from kepgw.smtp.sasl import PASSWORD, USERNAME, Claim, Login, Plain, SaslRefused


def b64(octets):
    return b64encode(octets).decode()


def test_plain():
    plain = Plain()
    assert plain.step(None) == ""
    assert plain.step(b64("\0ali\0gizli şifre".encode())) is None
    assert plain.claim == Claim("ali", "gizli şifre")
    again = Plain()
    again.step(b64(b"ali\0ali\0x"))
    assert again.claim == Claim("ali", "x")


def test_login():
    login = Login()
    assert login.step(None) == USERNAME
    assert login.step(b64(b"ali")) == PASSWORD
    assert login.step(b64(b"gizli")) is None
    assert login.claim == Claim("ali", "gizli")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"ali",
        b"ali\0gizli",
        b"\0\0x",
        b"\0ali\0",
        b"veli\0ali\0x",
        b"\0a\0b\0c",
        b"\0ali\0\xff\xfe",
        b"\0a\0" + b"x" * 4000,
    ],
)
def test_plain_refused(octets):
    with pytest.raises(SaslRefused):
        Plain().step(b64(octets) or "=")


@pytest.mark.parametrize("response", ["", "=", "a", "a b", "YQ", b64(b"a\0b")])
def test_login_refused(response):
    with pytest.raises(SaslRefused):
        Login().step(response)
