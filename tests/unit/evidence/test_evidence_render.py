"""Evidence for people."""

from dataclasses import replace

import pytest
from evidence_samples import make_evidence
from lxml import html
from test_evidence_ts102640 import ALL

from kepgw.evidence import render
from kepgw.evidence.codes import DEVELOPMENT_POLICY, KepCode, Reason
from kepgw.evidence.model import Entity, GivenReason


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("language", ["tr", "en"])
def test_every_evidence_has_a_title_and_its_facts(name, language):
    evidence = ALL[name]
    title, lines = render.render(evidence, language)
    shown = "\n".join(value for _, value in lines)
    assert title
    assert all("\n" not in value and value for _, value in lines)
    assert evidence.identifier in shown
    assert "01.03.2026 12:30:15 +03:00" in shown
    assert (evidence.message or evidence.notification).digest.hex() in shown
    for entity in (evidence.sender, *evidence.recipients):
        assert entity.address in shown


def test_every_reason_has_words_in_both_languages():
    for reason in Reason:
        evidence = make_evidence(KepCode.RED, reasons=(GivenReason(reason),))
        tr, en = (dict(render.render(evidence, language)[1]) for language in ("tr", "en"))
        assert tr["Gerekçe"] != en["Reason"]


def test_turkish_stands_first():
    written = render.to_text(make_evidence(KepCode.TESLIM))
    assert (
        0 <= written.index("posta kutusuna teslim edildi") < written.index("was delivered to the recipient's mailbox")
    )
    page = html.document_fromstring(render.to_html(make_evidence(KepCode.TESLIM)))
    assert page.xpath("//section/@lang") == ["tr", "en"]


def test_a_message_accepted_is_not_called_sent():
    # a message does not count as sent before evidence 40
    assert "gönderildi" not in render.to_text(make_evidence(KepCode.KABUL))
    assert "gönderildi" not in render.to_text(make_evidence(KepCode.ILETILDI))


def test_development_evidence_says_so_loudly_in_every_form():
    evidence = make_evidence(policies=(DEVELOPMENT_POLICY, "urn:oid:1.2.3"))
    for language, words in (("tr", "hiçbir hukuki sonucu yoktur"), ("en", "it has no legal effect")):
        assert words in render.render(evidence, language)[1][0][1]
        assert words in render.to_text(evidence)
        assert words in render.to_html(evidence)
    assert "DEVELOPMENT" not in render.to_text(make_evidence())


def test_hostile_values_stay_on_their_line_and_out_of_the_markup():
    hostile = "<script>alert(1)</script>\r\nOlay zamanı: hiç\u202eters\x1b[31m\u2028son"
    evidence = make_evidence(
        message=replace(make_evidence().message, subject=hostile), sender=Entity("a@hs90.kep.tr", '"><img src=x>')
    )
    written = render.to_text(evidence)
    assert not any(line.startswith("Olay zamanı: hiç") for line in written.splitlines())
    assert not set("\u202e\x1b\u2028") & set(written)
    page = html.document_fromstring(render.to_html(evidence))
    assert not page.xpath("//script | //img | //*[@src] | //*[@href]")


def test_long_lists_and_values_are_cut():
    evidence = make_evidence(
        recipients=tuple(Entity(f"alici{number}@hs91.kep.tr") for number in range(500)),
        message=replace(make_evidence().message, subject="ş" * 9000),
    )
    assert all(len(value) < 10_000 for _, value in render.render(evidence, "tr")[1])
    assert "(+400)" in render.to_text(evidence)
