from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from kepgw.message.introduction import dispatch_introduction, local_time, receipt_introduction

WHEN = datetime(2026, 11, 24, 21, 5, 9, tzinfo=UTC)
ALLOWED = {"html", "head", "meta", "title", "body", "div", "p", "h1", "table", "tr", "th", "td", "br"}


class Page(HTMLParser):
    """What a mail client makes of the html: tags, attributes, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def dispatch(recipients: int = 2, subject: str = "Şartname", development: bool = False) -> tuple[str, str]:
    names = [f"kisi{n}@hs91.kep.tr" for n in range(recipients)]
    return dispatch_introduction("a@hs90.kep.tr", names, subject, WHEN, "<1@hs90.kep.tr>", "Örnek KEPHS", development)


def test_turkish_first_then_english_with_the_local_time() -> None:
    text, html = dispatch()
    for form in (text, " ".join(Page(html).text)):
        assert form.index("KEP iletisi") < form.index("Registered e-mail")
        assert "25 Kasım 2026 00:05:09" in form  # past midnight in Istanbul
        assert "25 November 2026 00:05:09" in form
        for value in ("a@hs90.kep.tr", "kisi1@hs91.kep.tr", "Şartname", "<1@hs90.kep.tr>", "Örnek KEPHS"):
            assert form.count(value) >= 2


def test_many_recipients_are_counted() -> None:
    text, html = dispatch(recipients=53)
    for form in (text, html):
        assert "kisi49@" in form
        assert "kisi50@" not in form
        assert "ve 3 alıcı daha" in form
        assert "and 3 more" in form
    assert "alıcı daha" not in dispatch(recipients=50)[0]


@pytest.mark.parametrize(
    "evil", ["<script>alert(1)</script>", '"><img src="http://x/y.png">', "a\r\nb\0\x1b[31m", "&amp;", "{provider}"]
)
def test_values_are_text_and_nothing_else(evil: str) -> None:
    for text, html in (
        dispatch(subject=evil),
        receipt_introduction((evil, [(evil, evil)]), (evil, [(evil, evil)]), True),
    ):
        page = Page(html)
        assert page.tags <= ALLOWED
        assert page.attributes <= {"style", "lang", "charset", "scope"}
        assert "url(" not in html
        assert "\r" not in text
        assert "\0" not in text
        assert "\x1b" not in text
        if evil.isprintable():
            assert evil in text
            assert evil in "".join(page.text)


def test_development_is_marked_in_both_languages_and_forms() -> None:
    for form in (*dispatch(development=True), *receipt_introduction(("Teslim", []), ("Delivery", []), True)):
        assert "GELİŞTİRME" in form
        assert "DEVELOPMENT" in form
    for form in (*dispatch(), *receipt_introduction(("Teslim", []), ("Delivery", []), False)):
        assert "GELİŞTİRME" not in form


def test_an_empty_subject_is_said_to_be_empty() -> None:
    assert "(konu yok)" in dispatch(subject="")[0]


def test_a_receipt_shows_its_rows() -> None:
    text, html = receipt_introduction(
        ("Teslim delili", [("Alıcı", "b@x\nc@x")]), ("Delivery", [("Recipient", "b@x\nc@x")]), False
    )
    assert "Alıcı: b@x\n       c@x" in text
    assert "Recipient: b@x" in text
    assert "b@x<br>c@x" in html


def test_naive_times_count_as_utc() -> None:
    assert local_time(WHEN.replace(tzinfo=None), "en") == local_time(WHEN, "en") == "25 November 2026 00:05:09"
