"""The pieces that the PDF is put together from: bilingual texts, tables, headings, the QR code, the seal."""

from typing import Any
from xml.sax.saxutils import escape

import segno
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, LongTable, Paragraph, Table

from kepgw.app.report import fonts, wording
from kepgw.app.report.model import Report
from kepgw.app.report.style import (
    ACCENT,
    ALARM,
    CELL,
    FACTS,
    GOOD,
    GREY,
    GRID,
    HEAD,
    HEAD_CELL,
    LABEL,
    MARGIN,
    OPEN,
    SMALL,
    boxed,
)
from kepgw.texts import Text
from kepgw.trust.judgement import Verdict
from kepgw.trust.pades import Box

WIDTH = A4[0] - 2 * MARGIN
COLOURS: dict[Verdict, str] = {"ok": GOOD, "bad": ALARM, "warning": OPEN, "not checked": GREY}


def text(value: str) -> str:
    """A value as the markup of paragraphs."""
    return escape(fonts.shown(value))


def slanted(value: str) -> str:
    """Text in the italic face, whatever stands around it."""
    return f'<font name="{fonts.ITALIC}">{text(value)}</font>'


def english(value: str) -> str:
    """English beside Turkish: italic and grey."""
    return f'<font color="{GREY}">{slanted(value)}</font>'


def short(value: str) -> str:
    """A value for a narrow column: a row has to fit on a page, the XML has the rest."""
    return text(value if len(value) <= 200 else value[:199] + "…")


def pair(value: Text, *, apart: str = "<br/>") -> str:
    """Turkish, and English in grey beneath; once when both are the same."""
    if value.tr == value.en:
        return text(value.tr)
    return f"{text(value.tr)}{apart}{english(value.en)}"


def cell(value: Text | str, style: Any = CELL) -> Paragraph:
    """A table cell."""
    return Paragraph(text(value) if isinstance(value, str) else pair(value), style)


def heads(*labels: Text) -> list[Paragraph]:
    """The head of a table."""
    return [
        Paragraph(text(each.tr) if each.tr == each.en else f"{text(each.tr)}<br/>{english(each.en)}", HEAD_CELL)
        for each in labels
    ]


def heading(key: str) -> list[Flowable]:
    """The heading of a section, and its entry in the outline."""
    title = wording.both(f"section-{key}")
    said = f'{text(title.tr)}   <font size="10">{english(title.en)}</font>'
    return [CondPageBreak(40 * mm), Outline(title.tr, key), Paragraph(said, HEAD)]


class Outline(Flowable):  # type: ignore[misc]
    """An entry of the reader's table of contents."""

    width = height = 0

    def __init__(self, title: str, key: str) -> None:
        super().__init__()
        self._title, self._key = title, f"section-{key}"

    def wrap(self, *_: float) -> tuple[float, float]:
        """It takes no room."""
        return 0, 0

    def draw(self) -> None:
        """Mark the place."""
        self.canv.bookmarkHorizontal(self._key, 0, 20)
        self.canv.addOutlineEntry(self._title, self._key, 0)


def facts(rows: list[tuple[Text, Text]]) -> Table:
    """Labels and values."""
    cells = [[Paragraph(pair(label), LABEL), cell(value)] for label, value in rows]
    return LongTable(cells, colWidths=(48 * mm, WIDTH - 48 * mm), style=FACTS, splitInRow=1)


def table(head: list[Paragraph], rows: list[list[Any]], widths: tuple[float, ...]) -> Table:
    """A table with a head that comes again on every page."""
    return LongTable([head, *rows], colWidths=widths, style=GRID, repeatRows=1)


class Seal(Flowable):  # type: ignore[misc]
    """A box that says that the file is signed; viewers find the signature itself behind it."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.box: Box = (0, 0, 0, 0)
        self._size = (0.0, 0.0)
        said = wording.both("seal")
        note = wording.both("seal-note", name=report.provider_name)
        self._inner = boxed(
            [
                Paragraph(f"<b>{text(said.tr)}</b><br/>{slanted(said.en)}", CELL),
                Paragraph(f"{text(note.tr)}<br/>{slanted(note.en)}", SMALL),
            ],
            (62 * mm, WIDTH - 62 * mm),
            ACCENT,
        )

    def wrap(self, width: float, height: float) -> tuple[float, float]:
        """As wide as the page lets it be."""
        self._size = (width, self._inner.wrap(width, height)[1])
        return self._size

    def draw(self) -> None:
        """Draw, and remember where."""
        x, y = self.canv.absolutePosition(0, 0)
        self.box = (int(x), int(y), int(x + self._size[0]), int(y + self._size[1]))
        self._inner.drawOn(self.canv, 0, 0)


class Code(Flowable):  # type: ignore[misc]
    """The QR code, drawn as squares (ISO/IEC 18004), with the quiet zone around it."""

    def __init__(self, content: str, side: float) -> None:
        super().__init__()
        self._rows = [list(row) for row in segno.make(content, error="m", micro=False).matrix_iter(border=2)]
        self.width = self.height = side

    def draw(self) -> None:
        """Draw row by row."""
        step = self.width / len(self._rows)
        self.canv.setFillColor("black")
        for number, row in enumerate(self._rows):
            y = self.height - (number + 1) * step
            start = 0
            while start < len(row):  # neighbours in one stroke: no hair lines between them
                end = start
                while end < len(row) and row[end]:
                    end += 1
                if end > start:
                    self.canv.rect(start * step, y, (end - start) * step, step + 0.05, stroke=0, fill=1)
                start = end + 1


def mark(found: Verdict | None) -> Paragraph:
    """A verdict in its colour; a dash where there is nothing to judge."""
    if found is None:
        return Paragraph("–", SMALL)
    words = wording.verdict(found)
    bold = f"<b>{text(words.tr)}</b>" if found == "bad" else text(words.tr)
    return Paragraph(f'<font color="{COLOURS[found]}">{bold}<br/>{slanted(words.en)}</font>', SMALL)
