"""The typeface of the PDF, Source Sans Pro: it has every Turkish letter, and its licence (SIL OFL 1.1) allows it.

The files come with the package font-source-sans-pro; reportlab embeds the letters that a report uses.
"""

from functools import cache
from importlib.resources import files
from typing import Final

REGULAR: Final = "SourceSansPro"
BOLD: Final = "SourceSansPro-Bold"
ITALIC: Final = "SourceSansPro-Italic"
_FILES: Final = {
    REGULAR: "SourceSansPro-Regular.ttf",
    BOLD: "SourceSansPro-Semibold.ttf",
    ITALIC: "SourceSansPro-It.ttf",
}


@cache
def letters() -> frozenset[int]:
    """Make the typeface known to reportlab. Returns the code points that all its faces have."""
    from reportlab.pdfbase.pdfmetrics import registerFont, registerFontFamily  # noqa: PLC0415
    from reportlab.pdfbase.ttfonts import TTFont  # noqa: PLC0415

    folder = files("font_source_sans_pro") / "files"
    found: frozenset[int] | None = None
    for name, file in _FILES.items():
        font = TTFont(name, str(folder / file))
        registerFont(font)
        has = frozenset(font.face.charToGlyph)
        found = has if found is None else found & has
    registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=ITALIC, boldItalic=BOLD)
    return found or frozenset()


def shown(value: str) -> str:
    """``value`` with what the typeface lacks named by its code point: an empty box would hide that it is there."""
    has = letters()
    if all(ord(letter) in has for letter in value):
        return value
    return "".join(letter if ord(letter) in has else f"[U+{ord(letter):04X}]" for letter in value)
