"""How the PDF looks: colours, paragraph and table styles."""

from typing import Any

from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import Paragraph, Table, TableStyle

from kepgw.app.report.fonts import BOLD, REGULAR

MARGIN = 20 * mm
ACCENT = "#1f3a5f"
GREY = "#5b6570"
RULE = "#c3cad2"
FILL = "#eef1f5"
GOOD = "#1b6b3a"
OPEN = "#8a5a00"
ALARM = "#b00020"
ALARM_FILL = "#fdecee"

BODY = ParagraphStyle(
    "body",
    fontName=REGULAR,
    fontSize=9.5,
    leading=12.4,
    spaceAfter=4,
    textColor="#1a1d21",
    bulletIndent=0,
    leftIndent=0,
)
BODY.bulletFontName = REGULAR
BULLET = ParagraphStyle("bullet", BODY, leftIndent=12, bulletIndent=2)
TITLE = ParagraphStyle("title", fontName=BOLD, fontSize=25, leading=29, textColor=ACCENT)
SUBTITLE = ParagraphStyle("subtitle", fontName=REGULAR, fontSize=13, leading=17, textColor=GREY)
SHORT_ID = ParagraphStyle("short-id", fontName=BOLD, fontSize=17, leading=22, textColor="#1a1d21")
HEAD = ParagraphStyle("head", fontName=BOLD, fontSize=13, leading=16, textColor=ACCENT, spaceBefore=12, spaceAfter=5)
LABEL = ParagraphStyle("label", fontName=BOLD, fontSize=8.5, leading=10.6, textColor="#1a1d21")
CELL = ParagraphStyle("cell", fontName=REGULAR, fontSize=9, leading=11.2, textColor="#1a1d21")
SMALL = ParagraphStyle("small", fontName=REGULAR, fontSize=8, leading=10, textColor="#1a1d21")
NOTE = ParagraphStyle("note", fontName=REGULAR, fontSize=8.2, leading=10.4, textColor="#3a424b", spaceAfter=5)
HEAD_CELL = ParagraphStyle("head-cell", fontName=BOLD, fontSize=8.5, leading=10.2, textColor=ACCENT)

_PADDING = [
    ("LEFTPADDING", (0, 0), (-1, -1), 4),
    ("RIGHTPADDING", (0, 0), (-1, -1), 4),
    ("TOPPADDING", (0, 0), (-1, -1), 3),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 3.5),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
]
PLAIN = TableStyle(
    [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 0),
    ]
)
FACTS = TableStyle([*_PADDING, ("LINEBELOW", (0, 0), (-1, -1), 0.4, RULE), ("LEFTPADDING", (0, 0), (0, -1), 0)])
GRID = TableStyle(
    [
        *_PADDING,
        ("BACKGROUND", (0, 0), (-1, 0), FILL),
        ("LINEABOVE", (0, 0), (-1, 0), 0.8, ACCENT),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, ACCENT),
        ("LINEBELOW", (0, 1), (-1, -1), 0.4, RULE),
    ]
)


def boxed(cells: list[Paragraph], widths: tuple[float, ...], colour: str, fill: str | None = None) -> Any:
    """Paragraphs side by side in a frame with a strong left edge."""
    rules: list[Any] = [
        *_PADDING,
        ("BOX", (0, 0), (-1, -1), 0.6, colour),
        ("LINEBEFORE", (0, 0), (0, -1), 3, colour),
        ("LEFTPADDING", (0, 0), (0, -1), 9),
        ("TOPPADDING", (0, 0), (-1, -1), 5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 6),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
    ]
    if fill:
        rules.append(("BACKGROUND", (0, 0), (-1, -1), fill))
    return Table([cells], colWidths=widths, style=TableStyle(rules))
