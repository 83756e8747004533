"""The introduction of a dispatch or receipt: what a person reads first, as text and as html, Turkish before English.

TS 102 640-2 4.4: both forms say the same, without active code. The html has no image, script, link or style sheet: only
inline styles, so that it looks alike in mail clients that show html without loading anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from zoneinfo import ZoneInfo

from kepgw.message.words import clean
from kepgw.texts import LANGUAGES, Language, text

MAX_SHOWN = 50  # recipients

_ISTANBUL = ZoneInfo("Europe/Istanbul")
_MONTHS: dict[Language, str] = {
    "tr": "Ocak Şubat Mart Nisan Mayıs Haziran Temmuz Ağustos Eylül Ekim Kasım Aralık",
    "en": "January February March April May June July August September October November December",
}

_PAGE = "margin:0;padding:16px;background:#f4f5f7;font-family:'Segoe UI',Helvetica,Arial,sans-serif;color:#1f2933"
_CARD = "max-width:680px;margin:0 auto;background:#ffffff;border:1px solid #d9dee4;border-top:4px solid #a4161a"
_TITLE = "margin:0;padding:16px 24px 0;font-size:20px;font-weight:600"
_LEAD = "margin:0;padding:8px 24px 12px;font-size:14px;line-height:1.5"
_TABLE = "width:100%;border-collapse:collapse;font-size:14px;line-height:1.45"
_LABEL = "padding:7px 8px 7px 24px;width:34%;vertical-align:top;text-align:left;font-weight:400;color:#5b6673"
_VALUE = "padding:7px 24px 7px 8px;vertical-align:top;overflow-wrap:anywhere"
_ROW = "border-top:1px solid #edf0f3"
_WARNING = "margin:0;padding:10px 24px;background:#fff3cd;color:#664d03;font-size:13px;font-weight:600"
_DIVIDER = "height:16px;border-top:1px solid #d9dee4;background:#f4f5f7"


@dataclass(frozen=True, slots=True)
class _Section:
    """One language of an introduction. A value of several lines holds line feeds of ours only."""

    language: Language
    title: str
    lead: str
    rows: tuple[tuple[str, str], ...]
    development: bool


def local_time(moment: datetime, language: Language) -> str:
    """A moment as people here read it, in Europe/Istanbul: ``24 Kasım 2026 11:05:09``. Naive times count as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    here = aware.astimezone(_ISTANBUL)
    month = _MONTHS[language].split()[here.month - 1]
    return f"{here.day} {month} {here.year} {here:%H:%M:%S}"


def dispatch_introduction(
    sender: str,
    recipients: Sequence[str],
    subject: str,
    submitted: datetime,
    remmd_id: str,
    provider_name: str,
    development: bool,
    signature: Mapping[Language, str] | None = None,
    *,
    changed: bool = False,
) -> tuple[str, str]:
    """Text and html for a dispatch. The first 50 recipients are shown, the rest counted; ``submitted`` is aware UTC.

    ``signature`` is what is known of the sender's own signature, in each language; without it there is no such line.
    ``changed`` tells that the Message-ID of the original is not the sender's (EN 319 532-3 6: it must be said).
    """
    shown = [clean(recipient) for recipient in recipients[:MAX_SHOWN]]
    more = len(recipients) - len(shown)
    sections = []
    for language in LANGUAGES:
        names = [*shown, text("introduction-more-recipients", language, count=more)] if more else shown
        time = text("introduction-time", language, time=local_time(submitted, language))
        rows = (
            ("introduction-sender", clean(sender)),
            ("introduction-recipients", "\n".join(names)),
            ("introduction-subject", clean(subject) or text("introduction-no-subject", language)),
            ("introduction-submitted", time),
            ("introduction-identifier", clean(remmd_id)),
            ("introduction-provider", clean(provider_name)),
            *((("introduction-signature", clean(signature[language])),) if signature else ()),
            *((("introduction-change", text("introduction-changed-message-id", language)),) if changed else ()),
        )
        sections.append(
            _Section(
                language,
                text("introduction-dispatch-title", language),
                text("introduction-dispatch-lead", language, provider=clean(provider_name)),
                tuple((text(key, language), value) for key, value in rows),
                development,
            )
        )
    return _written(sections)


def receipt_introduction(
    turkish: tuple[str, Sequence[tuple[str, str]]],
    english: tuple[str, Sequence[tuple[str, str]]],
    development: bool,
) -> tuple[str, str]:
    """Text and html for a receipt: for each language a title, and rows of label and value."""
    sections = [
        _Section(
            language,
            clean(title),
            text("introduction-receipt-lead", language),
            tuple((clean(label), _lines(value)) for label, value in rows),
            development,
        )
        for language, (title, rows) in zip(LANGUAGES, (turkish, english), strict=True)
    ]
    return _written(sections)


def _lines(value: str) -> str:
    return "\n".join(clean(line) for line in value.splitlines())


def _written(sections: Sequence[_Section]) -> tuple[str, str]:
    return "\n\n".join(map(_text, sections)) + "\n", _html(sections)


def _text(section: _Section) -> str:
    lines = [section.title, "=" * len(section.title), ""]
    if section.development:
        lines += [f"*** {text('introduction-development', section.language)} ***", ""]
    lines += [section.lead, ""]
    width = max((len(label) for label, _ in section.rows), default=0) + 2
    for label, value in section.rows:
        first, *rest = value.split("\n")
        lines.append(f"{label + ':':<{width}}{first}".rstrip())
        lines += [" " * width + line for line in rest]
    return "\n".join(lines)


def _html(sections: Sequence[_Section]) -> str:
    bodies = f'\n<div style="{_DIVIDER}"></div>\n'.join(map(_html_section, sections))
    return (
        '<!DOCTYPE html>\n<html lang="tr">\n'
        f'<head><meta charset="utf-8"><title>{escape(sections[0].title)}</title></head>\n'
        f'<body style="{_PAGE}">\n<div style="{_CARD}">\n{bodies}\n</div>\n</body>\n</html>\n'
    )


def _html_section(section: _Section) -> str:
    warning = ""
    if section.development:
        warning = f'<p style="{_WARNING}">{escape(text("introduction-development", section.language))}</p>\n'
    rows = "\n".join(
        f'<tr style="{_ROW}"><th scope="row" style="{_LABEL}">{escape(label)}</th>'
        f'<td style="{_VALUE}">{escape(value).replace(chr(10), "<br>")}</td></tr>'
        for label, value in section.rows
    )
    return (
        f'<div lang="{section.language}">\n{warning}<h1 style="{_TITLE}">{escape(section.title)}</h1>\n'
        f'<p style="{_LEAD}">{escape(section.lead)}</p>\n<table style="{_TABLE}">\n{rows}\n</table>\n</div>'
    )
