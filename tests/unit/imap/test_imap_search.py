"""SEARCH: every key of RFC 3501 6.4.4, and text as a Turkish reader means it."""

from datetime import UTC, datetime

import pytest

from kepgw.imap.search import fold

QP = (
    b"From: Veli <veli@x>\r\n"
    b"Cc: ali@x\r\n"
    b"Bcc: gizli@x\r\n"
    b"Date: Thu, 1 Jan 2026 23:59:00 -0500\r\n"
    b"Content-Type: text/html; charset=iso-8859-9\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n"
    b"\r\n"
    b"<p>=DEirket Kararlar=FD</p>\r\n"  # Şirket Kararları
)


@pytest.fixture
async def client(served):
    await served.deliver()  # 1
    await served.deliver(QP, kind="mail", flags=["\\Seen", "$Label"], at=datetime(2026, 3, 4, 21, 30, tzinfo=UTC))  # 2
    await served.deliver(b"Subject: empty\r\n\r\n", kind="mail", flags=["\\Deleted", "\\Answered", "\\Draft"])  # 3
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    return client


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ("ALL", "1 2 3"),
        ("SEEN", "2"),
        ("UNSEEN", "1 3"),
        ("ANSWERED", "3"),
        ("UNANSWERED", "1 2"),
        ("DELETED", "3"),
        ("UNDELETED", "1 2"),
        ("DRAFT", "3"),
        ("UNDRAFT UNFLAGGED", "1 2"),
        ("FLAGGED", ""),
        ("NEW", "1 3"),
        ("OLD", ""),
        ("RECENT", "1 2 3"),
        ("KEYWORD $label", "2"),
        ("UNKEYWORD $Label", "1 3"),
        ("LARGER 300", "1"),
        ("SMALLER 30", "3"),
        ("ON 5-Mar-2026", "1 2 3"),  # 21:30 UTC is the next day in Türkiye
        ("BEFORE 5-Mar-2026", ""),
        ("SINCE 6-Mar-2026", ""),
        ("SENTON 1-Jan-2026", "2"),  # RFC 3501: disregarding the time zone
        ("SENTBEFORE 2-Jan-2026", "2"),
        ("SENTSINCE 2-Jan-2026", "1"),
        ("1:2", "1 2"),
        ("UID 2:*", "2 3"),
        ("7:*", "3"),
        ("2,9", "2"),
        ("NOT 1", "2 3"),
        ("OR SEEN DELETED", "2 3"),
        ("(SEEN) NOT (DELETED)", "2"),
        ("FROM veli", "2"),
        ("TO ayse@hs90", "1"),
        ("CC ALI", "2"),
        ("BCC GİZLİ", "2"),
        ("SUBJECT IŞIĞI", "1"),
        ("SUBJECT ışığı", "1"),
        ("SUBJECT ihale", "1"),
        ('HEADER X-Folded "one two"', "1"),
        ('HEADER Date ""', "1 2"),
        ('HEADER X-None ""', ""),
        ("BODY giriş", "1"),
        ("BODY inner", "1"),  # the subject of the original inside
        ("BODY ihale", ""),
        ("TEXT ihale", "1"),
        ('BODY "şirket kararları"', "2"),
        ('TEXT "ŞİRKET KARARLARI"', "2"),
        ("BODY none", ""),
    ],
)
async def test_keys(client, keys, found):
    lines = await client.ok(b"SEARCH CHARSET UTF-8 " + quoted(keys))
    assert lines == [b"* SEARCH" + (b" " + found.encode() if found else b"") + b"\r\n"]


def quoted(keys):
    """Words over 127 as non-waiting literals."""
    words = []
    for word in keys.split(" "):
        octets = word.encode()
        words.append(
            octets if octets.isascii() or word[0] == '"' or word[-1] == '"' else b"{%d+}\r\n%b" % (len(octets), octets)
        )
    return b" ".join(words)


async def test_search_answers_with_uids(client):
    await client.ok(b"STORE 1 +FLAGS (\\Deleted)")
    await client.ok(b"UID EXPUNGE 1")
    assert await client.ok(b"UID SEARCH ALL") == [b"* SEARCH 2 3\r\n"]
    assert await client.ok(b"SEARCH ALL") == [b"* SEARCH 1 2\r\n"]


async def test_unknown_charsets_are_named(client):
    assert b"[BADCHARSET (US-ASCII UTF-8)]" in await client.no(b"SEARCH CHARSET x ALL")
    await client.no(b"SEARCH SUBJECT {2+}\r\n\xff\xfe", b"BAD")


async def test_a_search_that_is_too_much_work_ends(served, monkeypatch):
    monkeypatch.setattr("kepgw.imap.search.WORK", 20)
    await served.deliver()
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    assert b"[LIMIT]" in await client.no(b"SEARCH BODY x")
    assert await client.ok(b"SEARCH SUBJECT ihale") == [b"* SEARCH 1\r\n"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("İSTANBUL", "istanbul"), ("ISPARTA", "ısparta"), ("I\u0307", "i"), ("ÇÖP", "çöp"), ("Straße", "STRASSE")],
)
def test_letters_that_compare_alike(one, other):
    assert fold(one) == fold(other)
