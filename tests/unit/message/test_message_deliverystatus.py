"""Bodies of message/delivery-status, read by the standard library."""

import email
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import pytest

from kepgw.message.deliverystatus import RecipientStatus, decode_xtext, printable_xtext, write

AT = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)


def blocks(body: bytes) -> list[email.message.Message]:
    whole = email.message_from_bytes(b"Content-Type: message/delivery-status\r\n\r\n" + body)
    payload = whole.get_payload()
    assert not any(each.defects for each in payload)
    return payload


def test_a_body_with_every_field() -> None:
    body = write(
        "hs90.kep.tr",
        "dosya+2B7+3Dx",
        AT.astimezone(timezone(timedelta(hours=3))),
        [
            RecipientStatus("a@hs91.kep.tr", "delivered", "2.0.0"),
            RecipientStatus(
                "b@hs91.kep.tr",
                "failed",
                "5.1.1",
                original="rfc822;B+2Bx@hs91.kep.tr",
                remote="posta.hs91.kep.tr",
                diagnostic="smtp; 550 5.1.1 no",
                last_attempt=AT + timedelta(minutes=1),
            ),
        ],
    )
    message, first, second = blocks(body)
    assert dict(message.items()) == {
        "Original-Envelope-Id": "dosya+7=x",
        "Reporting-MTA": "dns; hs90.kep.tr",
        "Arrival-Date": message["Arrival-Date"],
    }
    assert parsedate_to_datetime(message["Arrival-Date"]) == AT
    assert first.items() == [
        ("Final-Recipient", "rfc822; a@hs91.kep.tr"),
        ("Action", "delivered"),
        ("Status", "2.0.0"),
    ]
    assert second["Original-Recipient"] == "rfc822; B+x@hs91.kep.tr"
    assert second["Remote-MTA"] == "dns; posta.hs91.kep.tr"
    assert second["Diagnostic-Code"] == "smtp; 550 5.1.1 no"
    assert parsedate_to_datetime(second["Last-Attempt-Date"]) == AT + timedelta(minutes=1)


@pytest.mark.parametrize(
    "hostile", ["x\r\nAction: delivered", "x\n\nFinal-Recipient: rfc822; z", "\0ş" * 3, "y" * 5000]
)
def test_nothing_that_was_said_leaves_its_line(hostile: str) -> None:
    encoded = "".join(f"+{ord(each) & 255:02X}" for each in hostile[:200])
    told = RecipientStatus("a@b.c", "failed", "5.0.0", f"rfc822;{encoded}", hostile, f"smtp; {hostile}")
    body = write("hs90.kep.tr", encoded, AT, [told])
    assert body.isascii()
    assert all(len(line) <= 998 for line in body.split(b"\r\n"))
    assert b"\n" not in body.replace(b"\r\n", b"")
    message, only = blocks(body)
    assert only.get_all("Action") == ["failed"]
    assert len(message.keys()) == 3


def test_xtext() -> None:
    assert decode_xtext("a+2Bb+20c") == "a+b c"
    assert printable_xtext("a+20b")
    for bad in ("a+0D", "a+0A", "+00", "+7F", "+C3+A7"):
        assert not printable_xtext(bad)
