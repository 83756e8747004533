"""The report: one model, two renderings, whatever strangers wrote into it."""

import html.parser
import io
import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pyhanko.pdf_utils.reader import PdfFileReader

from kepgw.app.report import fonts, wording
from kepgw.app.report.attachments import attachments
from kepgw.app.report.gather import short_id
from kepgw.app.report.html import write
from kepgw.app.report.model import (
    Addressee,
    Attachment,
    Finding,
    Happening,
    LedgerFacts,
    Report,
    Sending,
    Subject,
    UsedCertificate,
    Verification,
)
from kepgw.app.report.pdf import draw
from kepgw.texts import Text

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
SUBJECT = "Fesih ihbarı: İŞĞÜÇÖ ığüşçö"


def report(recipients=2, *, development=True, subject=SUBJECT, **changes):
    people = [
        Addressee(
            f"alici{n}@hs91.kep.tr",
            f"Şükrü Öğüt {n}",
            "hs91.kep.tr",
            Text("Teslim edildi", "Delivered"),
            True,
            (10, 40),
        )
        for n in range(recipients)
    ]
    happenings = [
        Happening(
            seq=n + 1,
            code=40,
            title=Text("İleti, alıcının posta kutusuna teslim edildi", "The message was delivered"),
            identifier=f"delil.{n:032x}@hs91.kep.tr",
            time=AT + timedelta(seconds=n),
            stamped=AT + timedelta(seconds=n + 1),
            issuer="hs91.kep.tr",
            signer="Process hs91.kep.tr",
            about=f"alici{n}@hs91.kep.tr",
            reason=None,
            development=development,
        )
        for n in range(recipients)
    ]
    rows = [
        Verification(f"{n + 1:06}", n + 1, 40, "ok", "ok", "not checked", "ok", "ok", "ok") for n in range(recipients)
    ]
    made = Report(
        short_id="ABCD-EFGH-JKMN",
        provider="hs90.kep.tr",
        provider_name="Örnek Sağlayıcı A.Ş.",
        service_address="kep@hs90.kep.tr",
        made=AT,
        development=development,
        message=Subject(
            number="1882739297309958245",
            message_id="<1@ayse>",
            sender="ayse@hs90.kep.tr",
            sender_name="Ayşe Yılmaz",
            subject=subject,
            t0=AT,
            size=1234567,
            digest="ab" * 32,
            outgoing=True,
            peer="",
            refused=False,
            authentication=Text("Temel (parola)", "Basic (password)"),
            signed_by="",
            attachments=(Attachment("İhbarname.pdf", "application/pdf", 10, "cd" * 32),),
        ),
        sendings=(Sending("remmd.1@hs90.kep.tr", False, tuple(people)),),
        happenings=tuple(happenings),
        verifications=tuple(rows),
        findings=(),
        findings_left_out=0,
        certificates=(
            UsedCertificate(("process",), "CN=Process", "CN=Root", "1f", AT, AT, "ef" * 32, "RSA-3072", development),
        ),
        ledger=LedgerFacts("hs90.kep.tr", 9, "12" * 32, AT, "34" * 32, (1, 2, 5), "ok"),
    )
    return replace(made, **changes)


def text_of(pdf, tmp_path, *options):
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf)
    return subprocess.run(["pdftotext", *options, path, "-"], capture_output=True, check=True, text=True).stdout


class Elements(html.parser.HTMLParser):
    def __init__(self, octets):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(octets.decode())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.words.append(data)


@pytest.mark.oracle
def test_the_pdf_is_text_with_every_turkish_letter(tmp_path):
    said = text_of(draw(report()).octets, tmp_path)
    for words in (
        SUBJECT,
        "Ayşe Yılmaz",
        "Alıcılar ve son durum",
        "Örnek Sağlayıcı A.Ş.",
        "İhbarname.pdf",
        "Şükrü Öğüt 1",
    ):
        assert words in said
    assert "Sayfa 1 / " in said
    assert "01.03.2026 12:30:00 +03:00" in said
    assert "2026-03-01 09:30:00 UTC" in said
    assert "ab" * 32 in said.replace("\n", "")


def test_metadata_and_fonts(tmp_path):
    drawn = draw(report())
    reader = PdfFileReader(io.BytesIO(drawn.octets))
    assert reader.root["/Lang"] == "tr-TR"
    assert reader.root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert reader.trailer_view["/Info"]["/Title"] == "KEP Delil Raporu ABCD-EFGH-JKMN"
    (tmp_path / "a.pdf").write_bytes(drawn.octets)
    listed = subprocess.run(["pdffonts", tmp_path / "a.pdf"], capture_output=True, check=True, text=True).stdout
    # reportlab names Helvetica in every file, and no text here uses it
    used = [line for line in listed.splitlines()[2:] if "Helvetica" not in line]
    assert used
    assert all(re.search(r"TrueType\s+\S+\s+yes\s+yes\s+yes", line) for line in used), (
        listed
    )  # embedded, subset, Unicode
    x, y, right, top = drawn.box
    assert 0 < x < right < 600
    assert 0 < y < top < 842


@pytest.mark.parametrize("development", [True, False])
def test_every_page_of_development_says_so(tmp_path, development):
    made = report(60, development=development)
    pages = text_of(draw(made).octets, tmp_path, "-layout").split("\f")[:-1]
    assert len(pages) > 3
    marked = [page for page in pages if "GELİŞTİRME – HUKUKİ DEĞERİ YOKTUR" in page and "NO LEGAL EFFECT" in page]
    assert marked == (pages if development else [])
    assert (b'class="development"' in write(made)) is development


def test_five_hundred_recipients(tmp_path):
    made = report(500)
    said = text_of(draw(made).octets, tmp_path)
    for n in (0, 250, 499):
        assert f"alici{n}@hs91.kep.tr" in said
    last = re.findall(r"Sayfa (\d+) / (\d+)", said)[-1]
    assert last[0] == last[1]
    assert said.count("Son durum") > 5, "the head of a table comes again on every page"
    assert b"alici499@hs91.kep.tr" in write(made)


def test_long_values_break_and_stay_on_the_page(tmp_path):
    long = "UzunKonu" * 125
    made = report(1, subject=long)
    said = text_of(draw(made).octets, tmp_path, "-bbox")
    assert re.sub(r"<[^>]*>|\s", "", said).count("UzunKonu") >= 124, "a page may end inside of one"
    assert max(float(x) for x in re.findall(r'xMax="([\d.]+)"', said) if float(x) < 3000) <= 595.3 - 40


HOSTILE = "<script>alert(1)</script><img src=x onerror=y>&amp;{{ 7*7 }} \"'</bdi></table>"


def test_hostile_values_are_text(tmp_path):
    finding = Finding(HOSTILE, Text("Zarf imzası", "Envelope signature"), "bad", Text(HOSTILE, HOSTILE))
    happening = replace(report(1).happenings[0], identifier=HOSTILE, issuer=HOSTILE, about=HOSTILE, signer=HOSTILE)
    made = report(1, subject=HOSTILE, findings=(finding,), happenings=(happening,), provider_name=HOSTILE)
    found = Elements(write(made))
    assert not {"script", "img", "iframe", "link", "object", "form", "a"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert HOSTILE in "".join(found.words)
    for name, value in found.attributes:
        assert name not in ("src", "href"), value
    assert "alert(1)" in text_of(draw(made).octets, tmp_path)
    assert not made.sound


def test_html_is_alone(tmp_path):
    octets = write(report())
    assert b"http://" not in octets.replace(b"http://www.w3.org/2000/svg", b"")
    assert b"https://" not in octets
    assert b"@import" not in octets
    assert b"url(" not in octets
    found = Elements(octets)
    assert ("lang", "tr") in found.attributes
    assert found.tags.count("h2") == 9
    assert "svg" in found.tags


def test_letters_that_the_typeface_lacks_are_named():
    assert fonts.shown("İşçi ığüşöçÂâ") == "İşçi ığüşöçÂâ"
    assert fonts.shown("漢a") == "[U+6F22]a"


def test_the_code_holds_id_and_head():
    assert report().code_text == f"KEP:ABCD-EFGH-JKMN;HEAD-SHA256:{'34' * 32}"


def test_short_id():
    one = short_id("hs90.kep.tr", "1")
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){2}", one)
    assert one == short_id("hs90.kep.tr", "1") != short_id("hs91.kep.tr", "1")


def test_the_outcome_says_what_was_not_checked():
    (row, *_) = report(1).verifications
    whole = report(1, verifications=(replace(row, revocation="ok"),))
    spoilt = report(1, verifications=(replace(row, digest="bad"),))
    said = [wording.outcome(each).en for each in (whole, report(1), spoilt)]
    assert said[0] == "None of the checks found a fault."
    assert "some could not be made" in said[1]
    assert said[2].startswith("ATTENTION")
    for each, words in zip((whole, report(1), spoilt), said, strict=True):
        assert words in write(each).decode()


def test_the_report_does_not_say_that_service_took_place(tmp_path):
    for said in (write(report()).decode(), text_of(draw(report()).octets, tmp_path)):
        assert "tebliğ edilmiş sayıl" not in said
        assert "UETS" in said


def test_ranges():
    assert wording.ranges([3, 1, 2, 7]) == "1-3, 7"
    assert wording.ranges([]) == ""
    assert wording.ranges(range(0, 200, 2)).endswith("78, …")


def test_attachments():
    body = b"0123456789" * 50_000
    import base64
    import hashlib
    from email.message import EmailMessage

    message = EmailMessage()
    message["Subject"] = "x"
    message.set_content("Merhaba")
    message.add_attachment(body, maintype="application", subtype="pdf", filename="Sözleşme İŞĞ.pdf")
    message.add_attachment("ş" * 100, filename="not.txt")
    found, more = attachments(message.as_bytes(policy=message.policy.clone(linesep="\r\n")))
    assert more == 0
    assert [(each.name, each.type) for each in found] == [
        ("Sözleşme İŞĞ.pdf", "application/pdf"),
        ("not.txt", "text/plain"),
    ]
    assert (found[0].size, found[0].digest) == (len(body), hashlib.sha256(body).hexdigest())
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    part = b"--b\r\nContent-Type: a/b; name==?utf-8?q?=C3=96rnek?=\r\nContent-Transfer-Encoding: base64\r\n\r\n%b\r\n"
    whole = base64.encodebytes(body).replace(b"\n", b"\r\n")
    found, more = attachments(head + part % whole + part % b"A" + part % whole * 110 + b"--b--\r\n")
    assert (len(found), more) == (100, 12)
    assert found[0].digest == hashlib.sha256(body).hexdigest()
    assert found[1].digest == "", "a broken encoding has no digest"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"attachment; filename*=utf-8''S%C3%B6zle%C5%9Fme.pdf", "Sözleşme.pdf"),
        (b"attachment; filename*0=ab; filename*1*=%63", "abc"),
        (b"attachment; filename*=nosuch''%FF.pdf", "\ufffd.pdf"),
        (b'attachment; filename="a\x1b[31m\xe2\x80\xaegpj.exe"', None),
    ],
)
def test_names_of_attachments(header, name):
    octets = b"Content-Type: a/b\r\nContent-Disposition: " + header + b"\r\n\r\nx"
    (found,), _ = attachments(octets)
    if name is None:
        assert "\x1b" not in found.name
        assert "\u202e" not in found.name
    else:
        assert found.name == name
