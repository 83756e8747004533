"""PLAIN, LOGIN and EXTERNAL responses."""

import pytest

from kepgw.accounts import sasl
from kepgw.accounts.sasl import ActsForAnother, Claim, SaslRefused


def test_plain():
    assert sasl.plain("\0ali\0gizli şifre".encode()) == Claim("ali", "gizli şifre")
    assert sasl.plain(b"ali\0ali\0x") == Claim("ali", "x")
    assert sasl.plain(b"ALI@hs90.kep.tr\0ali@hs90.kep.tr\0x").login == "ali@hs90.kep.tr"


@pytest.mark.parametrize(
    "octets",
    [b"", b"ali", b"ali\0gizli", b"\0\0x", b"\0ali\0", b"\0a\0b\0c", b"\0ali\0\xff\xfe", b"\0a\0" + b"x" * 4000],
)
def test_plain_refused(octets):
    with pytest.raises(SaslRefused):
        sasl.plain(octets)


def test_nobody_acts_for_another():
    with pytest.raises(ActsForAnother):
        sasl.plain(b"veli\0ali\0x")


@pytest.mark.parametrize("octets", [b"", b"a\0b", b"\xff", b"x" * 1025])
def test_word_refused(octets):
    with pytest.raises(SaslRefused):
        sasl.word(octets)


def test_words():
    assert sasl.word("şükrü".encode()) == "şükrü"
    assert sasl.external(b"") == ""
    assert sasl.external(b"ali@hs90.kep.tr") == "ali@hs90.kep.tr"
    with pytest.raises(SaslRefused):
        sasl.external(b"ali\0veli")
