import time

import pytest

from kepgw.accounts.address import KepAddress, ascii_lower, is_provider_domain, parse, provider_domain
from kepgw.refusals import Refusal


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("ad.soyad@hs01.kep.tr", "ad.soyad", "hs01.kep.tr"),
        ("ad.soyad.1@hs01.kep.tr", "ad.soyad.1", "hs01.kep.tr"),
        ("kayseriuni@hs01.kep.tr", "kayseriuni", "hs01.kep.tr"),
        ("egeuniversitesi@egeuniversitesi.hs03.kep.tr", "egeuniversitesi", "egeuniversitesi.hs03.kep.tr"),
        ("0123456789012345@hs10.kep.tr", "0123456789012345", "hs10.kep.tr"),
        ("0123456789012345.x9@a-b.hs10.kep.tr", "0123456789012345.x9", "a-b.hs10.kep.tr"),
        ("_-_@hs09.kep.tr", "_-_", "hs09.kep.tr"),
        ("a@1.hs90.kep.tr", "a", "1.hs90.kep.tr"),
    ],
)
def test_real_forms_are_taken(text, local, domain):
    assert parse(text) == KepAddress(local, domain)
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a",
        "@hs01.kep.tr",
        "a@",
        "a@kep.tr",
        "a@hs1.kep.tr",
        "a@hs001.kep.tr",
        "a@hsxx.kep.tr",
        "a@hs01.kep.tr.",
        "a@hs01.kep.tr.evil.com",
        "a@xhs01.kep.tr",
        "a@evil.com",
        "a@hs01xkep.tr",
        "a@x.y.hs01.kep.tr",
        "a@.hs01.kep.tr",
        "a@-x.hs01.kep.tr",
        "a@x-.hs01.kep.tr",
        "a@x_y.hs01.kep.tr",
        ".a@hs01.kep.tr",
        "a.@hs01.kep.tr",
        "a..b@hs01.kep.tr",
        "a b@hs01.kep.tr",
        '"a"@hs01.kep.tr',
        "a+b@hs01.kep.tr",
        "a@b@hs01.kep.tr",
        "<a@hs01.kep.tr>",
        "a@hs01.kep.tr\r\n",
        "a@hs01.kep.tr\n",
        "a\0@hs01.kep.tr",
        "a@hs01.kep.tr ",
        "a@[127.0.0.1]",
    ],
)
def test_what_is_not_an_address_is_refused(text):
    with pytest.raises(Refusal) as caught:
        parse(text)
    assert caught.value.key == "not-kep-address"


@pytest.mark.parametrize(
    "text",
    [
        "İstanbul@hs01.kep.tr",  # lower() gives i and a combining dot
        "ıstanbul@hs01.kep.tr",  # upper() gives I
        "şirket@hs01.kep.tr",
        "a@şirket.hs01.kep.tr",
        "a@hs01.\u212aep.tr",  # the Kelvin sign: lower() gives k
        "\uff41@hs01.kep.tr",
        "a@hs\u0660\u0661.kep.tr",  # Arabic digits: \d would take them
        "a@hs01\u3002kep.tr",
        "\ud800@hs01.kep.tr",
    ],
)
def test_letters_outside_ascii_are_refused_never_folded(text):
    with pytest.raises(Refusal) as caught:
        parse(text)
    assert caught.value.reply.isascii()


def test_case_is_folded_for_ascii_only():
    assert parse("Ad.SOYAD@Sirket.HS01.KEP.TR") == KepAddress("ad.soyad", "sirket.hs01.kep.tr")
    assert parse("ISIK@hs01.kep.tr").local == "isik"
    assert ascii_lower("AZİIıK\u212a") == "azİiık\u212a"


def test_lengths():
    assert parse("a" * 64 + "@hs01.kep.tr")
    assert parse("a@" + "b" * 63 + ".hs01.kep.tr")
    for text in ("a" * 65 + "@hs01.kep.tr", "a@" + "b" * 64 + ".hs01.kep.tr", "a" * 300):
        with pytest.raises(Refusal):
            parse(text)


def test_the_provider_of_an_address_or_a_domain():
    assert provider_domain("x@kurum.hs90.kep.tr") == "hs90.kep.tr"
    assert provider_domain("kurum.HS90.kep.tr") == "hs90.kep.tr"
    assert provider_domain("hs90.kep.tr") == "hs90.kep.tr"
    assert parse("x@kurum.hs90.kep.tr").provider == "hs90.kep.tr"
    for text in ("hs90.kep.tr.example", "x@", "", "a.b.hs90.kep.tr", "x@hs90.kep.tr\n"):
        with pytest.raises(Refusal):
            provider_domain(text)


def test_exactly_a_provider_domain():
    assert is_provider_domain("hs90.kep.tr")
    assert not any(map(is_provider_domain, ("x.hs90.kep.tr", "HS90.kep.tr", "hs9.kep.tr", "hs90.kep.tr\n", "")))


def test_the_reply_cannot_carry_a_line_of_its_own_and_stays_short():
    with pytest.raises(Refusal) as caught:
        parse("x\r\n250 ok\x1b[2J" + "y" * 10_000)
    reply = caught.value.reply
    assert "\r" not in reply
    assert "\n" not in reply
    assert "\x1b" not in reply
    assert len(reply) < 512


def test_hostile_input_costs_no_time():
    start = time.process_time()
    for text in ("a." * 10_000_000, "a@" + "-" * 10_000_000, "a@" * 5_000_000):
        with pytest.raises(Refusal):
            parse(text)
        with pytest.raises(Refusal):
            provider_domain(text)
    assert time.process_time() - start < 5
