"""Commands: what is read and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kepgw.smtp import grammar
from kepgw.smtp.grammar import Command, MailFrom, Offered, RcptTo, SyntaxRefused

ALL = Offered(frozenset({"SIZE", "BODY", "AUTH", "RET", "ENVID", "NOTIFY", "ORCPT"}))


def key(call, *args):
    with pytest.raises(SyntaxRefused) as caught:
        call(*args)
    return caught.value.key


def test_command():
    assert grammar.command(b"noop\r\n") == Command("NOOP", "")
    assert grammar.command(b"MAIL  FROM:<a@b> \r\n") == Command("MAIL", "FROM:<a@b>")


@pytest.mark.parametrize(
    "line", [b"NOOP\n", b"NOOP\r", b"NO\0OP\r\n", b"NOOP \xc3\xa7\r\n", b"NOOP\r\r\n", b"NOOP\rX\r\n", b"NOOP\tX\r\n"]
)
def test_lines_that_are_none(line):
    assert key(grammar.command, line) == "smtp-line"


@pytest.mark.parametrize("line", [b"\r\n", b" NOOP\r\n", b"12\r\n", b"A" * 13 + b"\r\n", b"X-Y\r\n"])
def test_verbs_that_are_none(line):
    assert key(grammar.command, line) == "smtp-unknown-verb"


def test_mail():
    assert grammar.mail("FROM:<>", ALL) == MailFrom("")
    argument = "from: <ali@hs90.kep.tr> size=00012 body=8bitmime RET=full ENVID=QQ+2B AUTH=a+3Db"
    assert grammar.mail(argument, ALL) == MailFrom("ali@hs90.kep.tr", 12, "8BITMIME", "FULL", "QQ+2B")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("TO:<a@b.c>", "smtp-path-syntax"),
        ("FROM:", "smtp-path"),
        ("FROM:<a>", "smtp-path"),
        ("FROM:<@b.c>", "smtp-path"),
        ("FROM:<a..b@b.c>", "smtp-path"),
        ("FROM:<a@b..c>", "smtp-path"),
        ("FROM:<a@b.c>>", "smtp-path"),
        ("FROM:<a b@b.c>", "smtp-path"),
        ('FROM:<"a@b.c>', "smtp-path"),
        ('FROM:<"a"b@b.c>', "smtp-path"),
        ("FROM:<" + "a" * 65 + "@b.c>", "smtp-path"),
        ("FROM:<a@" + "b" * 64 + ".c>", "smtp-path"),
        ("FROM:<a@" + "b." * 130 + "c>", "smtp-path"),
        ("FROM:<@x:>", "smtp-path"),
        ("FROM:<a@b.c> =1", "smtp-parameter-syntax"),
        ("FROM:<a@b.c> SIZE=", "smtp-parameter-syntax"),
        ("FROM:<a@b.c> SIZE", "smtp-parameter-value"),
        ("FROM:<a@b.c> SIZE=" + "1" * 21, "smtp-parameter-value"),
        ("FROM:<a@b.c> BODY", "smtp-parameter-value"),
        ("FROM:<a@b.c> ENVID", "smtp-parameter-value"),
        ("FROM:<a@b.c> ENVID=" + "a" * 101, "smtp-parameter-value"),
        ("FROM:<a@b.c> ENVID=a+0D+0AX:", "smtp-parameter-value"),
        ("FROM:<a@b.c> ENVID=+C4+B1", "smtp-parameter-value"),
        ("FROM:<a@b.c> AUTH", "smtp-parameter-value"),
        ("FROM:<a@b.c> AUTH=a+b", "smtp-parameter-value"),
        ("FROM:<a@b.c> FOO=1", "smtp-parameter-unknown"),
        ("FROM:<a@b.c> size=1 SIZE=1", "smtp-parameter-twice"),
    ],
)
def test_mail_refused(argument, expected):
    assert key(grammar.mail, argument, ALL) == expected


def test_parameters_that_were_not_offered():
    assert key(grammar.mail, "FROM:<a@b.c> SIZE=1", Offered()) == "smtp-parameter-unknown"


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("<veli@hs91.kep.tr>", "veli@hs91.kep.tr"),
        ("<Veli@HS91.kep.tr.>", "Veli@HS91.kep.tr"),
        ("<@a.tr,@b.tr:veli@hs91.kep.tr>", "veli@hs91.kep.tr"),
        ('<"veli"@hs91.kep.tr>', "veli@hs91.kep.tr"),
        ('<"ve\\li"@hs91.kep.tr>', "veli@hs91.kep.tr"),
        ('<"a>b c"@hs91.kep.tr>', '"a>b c"@hs91.kep.tr'),
        ("<a@[127.0.0.1]>", "a@[127.0.0.1]"),
        ("<a@[IPv6:::1]>", "a@[IPv6:::1]"),
        ("<Postmaster>", "Postmaster"),
    ],
)
def test_rcpt(path, address):
    assert grammar.rcpt(f"TO:{path}", ALL) == RcptTo(address)


def test_rcpt_parameters():
    argument = "TO:<a@b.c> NOTIFY=success,delay ORCPT=rfc822;a+2Bx@b.c"
    assert grammar.rcpt(argument, ALL) == RcptTo("a@b.c", "SUCCESS,DELAY", "rfc822;a+2Bx@b.c")
    for bad in (
        "NOTIFY",
        "NOTIFY=NEVER,DELAY",
        "NOTIFY=DELAY,DELAY",
        "NOTIFY=,",
        "ORCPT=x",
        "ORCPT=;x",
        "ORCPT=a;",
        "ORCPT=rfc822;+0Aa",
    ):
        assert key(grammar.rcpt, f"TO:<a@b.c> {bad}", ALL) == "smtp-parameter-value"
    assert key(grammar.rcpt, "TO:<a@b.c> ORCPT=rfc822;" + "a" * 500, ALL) == "smtp-parameter-value"


def test_bdat():
    assert grammar.bdat("0 last") == (0, True)
    assert grammar.bdat("12") == (12, False)
    for bad in ("", "-1", "1 2", "LAST", "1 LAST 2", "9" * 20):
        assert key(grammar.bdat, bad) == "smtp-chunk"


def test_greeting():
    for good in ("localhost", "a_b.local", "[127.0.0.1]", "[IPv6:fe80::1]"):
        assert grammar.greeting(good) == good
    for bad in ("", "a b", "-a", "a" * 256, "[x]", "a;b", "(x)"):
        assert key(grammar.greeting, bad) == "smtp-greeting"


@given(st.binary(max_size=80))
def test_any_octets_are_read_or_refused(line):
    try:
        command = grammar.command(line + b"\r\n")
        grammar.mail(command.argument, ALL)
        grammar.rcpt(command.argument, ALL)
    except SyntaxRefused:
        pass


@given(st.text(alphabet='<>"\\@.,:ab [] =', max_size=60))
def test_an_address_never_leaves_its_brackets(path):
    try:
        address = grammar.rcpt(f"TO:<{path}>", ALL).address
    except SyntaxRefused:
        return
    assert "\r" not in address
    assert ">" not in address or address.startswith('"')
