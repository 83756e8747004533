from datetime import UTC, datetime

import pytest

from kepgw.message.original import glance, inspect
from kepgw.refusals import Refusal

GOOD = (
    b"From: =?utf-8?q?=C3=87a=C4=9Fr=C4=B1?= <A.Sahin@HS90.kep.tr>\r\n"
    b"To: kurum@hs01.kep.tr, Kurul: x@hs02.kep.tr, y@hs02.kep.tr;\r\n"
    b"Cc: (not) <c@hs90.kep.tr>\r\n"
    b"Subject: =?utf-8?q?=C4=B0hale?=\r\n =?utf-8?q?_say=C4=B1_7?=\r\n"
    b"Date: Wed, 01 Dec 2021 22:04:39 +0300\r\n"
    b"Message-ID: <EYWS1.2.pttkepMimeyap>\r\n"
    b"References: <a@b>\r\n <c@d>\r\n"
    b"X-TR-REM-iletiTip: EYAZISMA\r\n"
    b"X-TR-REM-iletiID: 42\r\n"
    b"X-TR-REM-iletiDetay:\r\n"
    b"\r\n"
)


def test_a_good_header() -> None:
    original = inspect(GOOD)
    assert original.message_id == "<EYWS1.2.pttkepMimeyap>"
    assert (original.from_address, original.from_name) == ("a.sahin@hs90.kep.tr", "Çağrı")
    assert original.to == ("kurum@hs01.kep.tr", "x@hs02.kep.tr", "y@hs02.kep.tr")
    assert original.cc == ("c@hs90.kep.tr",)
    assert original.subject == "İhale sayı 7"
    assert original.date == datetime(2021, 12, 1, 19, 4, 39, tzinfo=UTC)
    assert (original.ileti_tip, original.ileti_id) == ("eYazisma", "42")
    assert original.references == "<a@b> <c@d>"
    assert original.tr_headers == (
        ("X-TR-REM-iletiTip", "EYAZISMA"),
        ("X-TR-REM-iletiID", "42"),
        ("X-TR-REM-iletiDetay", ""),
    )


def test_an_unknown_ileti_tip_reads_as_standart() -> None:
    assert inspect(GOOD.replace(b"EYAZISMA", b"eFatura")).ileti_tip == "standart"


@pytest.mark.parametrize("date", [b"", b"yesterday", b"Wed, 01 Dec 99999 25:00:00 +9999", b"1" * 900])
def test_an_unreadable_date_is_none(date: bytes) -> None:
    assert inspect(GOOD.replace(b"Wed, 01 Dec 2021 22:04:39 +0300", date)).date is None


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        (b"From:", b"X-From:", "from-header"),
        (b"From:", b"From: b@hs90.kep.tr\r\nfrom:", "from-header"),
        (b"From:", b"From : b@hs90.kep.tr\r\nFrom:", "from-header"),
        (b"A.Sahin@HS90.kep.tr>", b"A.Sahin@HS90.kep.tr>, b@hs90.kep.tr", "from-header"),
        (b"<A.Sahin@HS90.kep.tr>", b"undisclosed:;", "from-header"),
        (b"<A.Sahin@HS90.kep.tr>", b"", "from-header"),
        (b"<A.Sahin@HS90.kep.tr>", b"<A.Sahin@HS90.kep.tr> <b@hs90.kep.tr>", "from-header"),
        (b"A.Sahin@HS90", b"\xc5\x9eahin@HS90", "from-header"),
        (b"Cc:", b"bCC: x@y.tr\r\nCc:", "bcc-header"),
        (b"Cc:", b"Resent-Bcc:\r\nCc:", "bcc-header"),
        (b"Cc:", b"Bcc :\r\nCc:", "bcc-header"),
        (b"Message-ID:", b"X-Id:", "message-id"),
        (b"Message-ID:", b"Message-Id: <b@c>\r\nMessage-ID:", "message-id"),
        (b"<EYWS1", b"<EYWS 1", "message-id"),
        (b"<EYWS1", b"<EYWS\r\n 1", "message-id"),
        (b"<EYWS1", b"<EYWS\x011", "message-id"),
        (b"<EYWS1", b"<EYWS\xc5\x9f", "message-id"),
        (b"<EYWS1", b"<" + b"x" * 999, "message-id"),
        (b"<EYWS1.2.pttkepMimeyap>", b"", "message-id"),
        (b"Cc:", b"no field\r\nCc:", "bad-header"),
        (b"From:", b" leading fold\r\nFrom:", "bad-header"),
        (b"Cc:", b"SUBJECT: two\r\nCc:", "bad-header"),
        (b"Cc:", b"X: " + b"y" * (1 << 20) + b"\r\nCc:", "bad-header"),
        (b"Cc:", b"X:\r\n" * 6000 + b"Cc:", "bad-header"),
        (b"Cc:", b"X-TR-REM-a: b\r\n" * 40 + b"Cc:", "bad-header"),
    ],
)
def test_refusals(old: bytes, new: bytes, key: str) -> None:
    assert GOOD.count(old) >= 1
    with pytest.raises(Refusal) as caught:
        inspect(GOOD.replace(old, new, 1))
    assert caught.value.key == key


def test_no_header_at_all() -> None:
    with pytest.raises(Refusal, match="bad-header"):
        inspect(b"\r\nbody\r\n")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"", b"", ("<EYWS1.2.pttkepMimeyap>", "İhale sayı 7")),
        (b"From:", b"X-From:", ("<EYWS1.2.pttkepMimeyap>", "İhale sayı 7")),
        (b"Cc:", b"Bcc: x@y.tr\r\nCc:", ("<EYWS1.2.pttkepMimeyap>", "İhale sayı 7")),
        (b"Message-ID:", b"Message-Id: <b@c>\r\nMessage-ID:", ("", "İhale sayı 7")),
        (b"<EYWS1", b"<EYWS\x011", ("", "İhale sayı 7")),
        (b"Cc:", b"SUBJECT: two\r\nCc:", ("<EYWS1.2.pttkepMimeyap>", "")),
    ],
)
def test_what_a_refused_header_still_tells(old: bytes, new: bytes, told: tuple[str, str]) -> None:
    assert glance(GOOD.replace(old, new, 1)) == told


def test_no_header_tells_nothing() -> None:
    assert glance(b"") == ("", "")
