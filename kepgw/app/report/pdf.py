"""The report as PDF: A4, text as text, every page numbered and, for development keys, loudly marked."""

import io
from typing import Any, NamedTuple

from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

from kepgw.app.report import fonts, sections, wording
from kepgw.app.report.model import Report
from kepgw.app.report.pieces import WIDTH, Seal
from kepgw.app.report.style import ALARM, GREY, MARGIN, RULE
from kepgw.trust.pades import Box

TOP = 26 * mm
BOTTOM = 18 * mm


class Drawn(NamedTuple):
    """A PDF and the place on its first page where the signature is to be found."""

    octets: bytes
    box: Box


def draw(report: Report) -> Drawn:
    """Render a report; nothing is signed yet."""
    fonts.letters()
    seal = Seal(report)
    written = io.BytesIO()
    document = BaseDocTemplate(
        written,
        pagesize=A4,
        title=f"{wording.both('title').tr} {report.short_id}",
        author=fonts.shown(f"{report.provider_name} ({report.provider})"),
        subject=wording.both("title").en,
        creator="kepgw",
        lang="tr-TR",
        displayDocTitle=True,
    )
    frame = Frame(MARGIN, BOTTOM, WIDTH, A4[1] - TOP - BOTTOM, 0, 0, 0, 0)
    document.addPageTemplates([PageTemplate("page", [frame])])
    document.build(sections.story(report, seal), canvasmaker=lambda *args, **kw: _Pages(report, *args, **kw))
    return Drawn(written.getvalue(), seal.box)


class _Pages(Canvas):  # type: ignore[misc]
    """A canvas that knows the number of its pages when it is saved, and writes head and foot then."""

    def __init__(self, report: Report, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self._report = report
        self._kept: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 - reportlab's name
        self._kept.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        for page in self._kept:
            self.__dict__.update(page)
            self._frame(len(self._kept))
            super().showPage()
        super().save()

    def _frame(self, pages: int) -> None:
        report, (width, height) = self._report, A4
        self.saveState()
        if report.development:
            words = wording.both("development-short")
            self.setFillColor(ALARM)
            self.rect(0, height - 11 * mm, width, 11 * mm, stroke=0, fill=1)
            self.setFillColor("white")
            self.setFont(fonts.BOLD, 11)
            self.drawCentredString(width / 2, height - 7.2 * mm, f"{words.tr}   ·   {words.en}")
            self.setFillColor(ALARM, alpha=0.07)
            self.setFont(fonts.BOLD, 76)
            self.translate(width / 2, height / 2)
            self.rotate(54)
            self.drawCentredString(0, 10, "GELİŞTİRME")
            self.drawCentredString(0, -75, "DEVELOPMENT")
            self.rotate(-54)
            self.translate(-width / 2, -height / 2)
            self.setFillAlpha(1)
        self.setFillColor(GREY)
        self.setFont(fonts.REGULAR, 8)
        line = height - 18 * mm
        title = wording.both("title")
        self.drawString(MARGIN, line, fonts.shown(f"{title.tr} / {title.en}"))
        self.drawRightString(width - MARGIN, line, f"{report.provider}   ·   {report.short_id}")
        self.setStrokeColor(RULE)
        self.setLineWidth(0.6)
        self.line(MARGIN, line - 2.2 * mm, width - MARGIN, line - 2.2 * mm)
        self.line(MARGIN, 14 * mm, width - MARGIN, 14 * mm)
        number = wording.both("page", page=self.getPageNumber(), pages=pages)
        self.drawString(MARGIN, 10 * mm, f"{wording.local(report.made)}  ({wording.universal(report.made)})")
        self.drawRightString(width - MARGIN, 10 * mm, f"{number.tr}   ·   {number.en}")
        self.restoreState()
