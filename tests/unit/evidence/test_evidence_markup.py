"""XML at the edge: what is refused, what is made safe."""

import datetime as dt

import pytest

from kepgw.errors import FormatError
from kepgw.evidence import markup

BOMB = b'<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;">]><a>&y;</a>'


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"text",
        b"<a><b></a>",
        b"<!DOCTYPE a><a/>",
        BOMB,
        BOMB.decode().encode("utf-16"),
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b"<a>\x00</a>",
        b"<a>" * 5000 + b"</a>" * 5000,
        b"<a>" + b" " * markup.MAX_XML + b"</a>",
        b"<a><b" + b"".join(b' c%d=""' % i for i in range(markup.MAX_ATTRIBUTES + 1)) + b"/></a>",
        b"<a"
        + b"".join(b' xmlns:c%d="u:"' % i for i in range(20))
        + b">"
        + b"<b"
        + b"".join(b' xmlns:d%d="u:"' % i for i in range(20))
        + b"/></a>",
        ("<a" + "".join(f' xmlns:c{i}="u:"' for i in range(markup.MAX_NAMESPACES + 1)) + "/>").encode("utf-16"),
    ],
    ids=lambda octets: repr(octets[:30]),
)
def test_refused(octets):
    with pytest.raises(FormatError):
        markup.parse(octets)


def test_many_namespaces_beside_each_other_are_no_harm():
    # every attribute value of an EN 319 522 evidence declares xsi
    markup.parse(b"<a>" + b'<b xmlns:c="u:"/>' * 1000 + b"</a>")


def test_text_split_by_a_comment_reads_whole():
    assert markup.parse("<a>kötü<!-- x -->@hs90.kep.tr</a>".encode()).getroot().text == "kötü@hs90.kep.tr"


@pytest.mark.parametrize("value", ["\x00", "\x1b[31m", "\ud800", "\ufffe", "\x0b"])
def test_characters_that_xml_cannot_carry(value):
    written = markup.escape(f"a{value}b")
    assert "\ufffd" in written
    assert markup.parse(f"<a>{written}</a>".encode()).getroot().text.startswith("a\ufffd")


def test_escaping_round_trips():
    value = "a&b<c>\"d'\r\n\te ]]> 😀 İ"
    parsed = markup.parse(f'<a b="{markup.escape_attribute(value)}">{markup.escape(value)}</a>'.encode()).getroot()
    assert (parsed.text, parsed.get("b")) == (value, value)


def test_times_are_written_in_utc_where_the_standard_says_so():
    at = dt.datetime(2026, 3, 2, 1, 30, 15, 999999, tzinfo=markup.ISTANBUL)
    assert markup.write_utc(at) == "2026-03-01T22:30:15Z"
    with pytest.raises(ValueError, match="zone"):
        markup.write_utc(at.replace(tzinfo=None))


def test_no_canonical_form():
    assert markup.canonical_form(markup.parse(b"<a b='1'/>")) == b'<a b="1"></a>'
    with pytest.raises(FormatError, match="canonical"):
        markup.canonical_form(markup.parse(b'<a xmlns="relative"/>'))


def test_times_are_written_in_turkish_civil_time():
    at = dt.datetime(2026, 3, 1, 22, 30, 15, 999999, tzinfo=dt.UTC)
    assert markup.write_time(at) == "2026-03-02T01:30:15+03:00"
    with pytest.raises(ValueError, match="zone"):
        markup.write_time(at.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("value", "hour"),
    [
        ("2026-03-01T12:30:15+03:00", 9),
        (" 2026-03-01T09:30:15.123Z ", 9),
        ("2026-03-01T12:30:15", 9),
        ("2026-03-01T04:30:15-05:00", 9),
    ],
)
def test_times_are_read_in_any_zone(value, hour):
    assert markup.read_time(value).replace(microsecond=0) == dt.datetime(2026, 3, 1, hour, 30, 15, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "value",
    ["", "2026-03-01", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "now"],
)
def test_no_times(value):
    with pytest.raises(FormatError):
        markup.read_time(value)


@pytest.mark.parametrize("value", ["YQ", "YR==", "Y Q = =!", "é"])
def test_base64_that_is_not_canonical(value):
    with pytest.raises(FormatError):
        markup.read_base64(value)


def test_base64_may_be_folded():
    assert markup.read_base64("\n YWJj\r\n\tZGVm ") == b"abcdef"
