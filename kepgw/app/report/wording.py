"""Words that both renderings share: labels and sentences in two languages, times, verdicts, ranges of numbers."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from kepgw.app.report.model import Report
from kepgw.evidence.markup import ISTANBUL
from kepgw.texts import LANGUAGES, Text, catalogue, text
from kepgw.trust.judgement import Verdict

LIMITS: Final = ("content", "sender", "time", "service", "authorised")
LAWS: Final = ("kep", "message", "merchants", "weight", "retention")
STEPS: Final = ("1", "2", "3", "4", "5")


def both(key: str, **values: object) -> Text:
    """The text ``report-<key>`` in both languages."""
    return Text(*(text(f"report-{key}", language, **values) for language in LANGUAGES))


def verdict(found: Verdict) -> Text:
    """A verdict in words."""
    return catalogue()[f"verdict-{found.replace(' ', '-')}"]


def local(at: datetime) -> str:
    """A time in Turkey: ``01.03.2026 12:30:15 +03:00``."""
    return f"{at.astimezone(ISTANBUL):%d.%m.%Y %H:%M:%S} +03:00"


def universal(at: datetime) -> str:
    """The same in UTC: ``2026-03-01 09:30:15 UTC``."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def size(octets: int) -> Text:
    """A size in octets, digits in groups as each language writes them."""
    return Text(
        text("report-octets", "tr", size=f"{octets:,}".replace(",", ".")),
        text("report-octets", "en", size=f"{octets:,}"),
    )


def ranges(numbers: Sequence[int]) -> str:
    """Numbers in order with neighbours joined: ``1-3, 7``. At most forty pieces are written out."""
    pieces: list[list[int]] = []
    for number in sorted(numbers):
        if pieces and pieces[-1][1] == number - 1:
            pieces[-1][1] = number
        else:
            pieces.append([number, number])
    shown = [f"{a}" if a == b else f"{a}-{b}" for a, b in pieces[:40]]
    return ", ".join(shown) + (", …" if len(pieces) > 40 else "")


def proofs(report: Report) -> list[tuple[str, Text]]:
    """(code, what it proves) for each kind of evidence that there is."""
    known = catalogue()
    return [
        (str(code), both(f"proves-{code}") if f"report-proves-{code}" in known else both("proves-other"))
        for code in report.codes
    ]


def outcome(report: Report) -> Text:
    """What the checks say together, in a sentence."""
    if not report.sound:
        return both("unsound")
    return both("sound" if report.complete else "sound-partly")


def facts(report: Report) -> list[tuple[Text, Text]]:
    """The lines of section 1: (label, value); a value that is the same in both languages stands in both."""
    message = report.message
    lines = [
        (both("number"), _same(message.number)),
        (both("direction"), both("outgoing") if message.outgoing else both("incoming", peer=message.peer)),
        (both("status"), both("refused" if message.refused else "accepted")),
        (both("sender"), _same(party(message.sender_name, message.sender))),
    ]
    if message.authentication is not None:
        lines.append((both("authentication"), message.authentication))
    if message.signed_by:
        lines.append((both("signed-by"), _same(message.signed_by)))
    lines += [
        (both("subject"), _same(message.subject) if message.subject else both("no-subject")),
        (both("message-id"), _same(message.message_id)),
        (both("t0" if message.outgoing else "arrival"), _same(f"{local(message.t0)}  ({universal(message.t0)})")),
        (both("size"), size(message.size)),
        (both("digest"), _same(message.digest)),
    ]
    if not message.kept:
        lines.append((both("attachments"), both("no-original")))
    elif not message.attachments:
        lines.append((both("attachments"), both("no-attachments")))
    return lines


def party(name: str, address: str) -> str:
    """``Name <address>``, or the address alone."""
    return f"{name} <{address}>" if name else address


def _same(value: str) -> Text:
    return Text(value, value)
