"""The press makes a report in a process of its own, since a long one takes seconds, and lays it out for signing."""

from typing import NamedTuple

from kepgw.app.report.gather import Material, gather
from kepgw.app.report.model import Report
from kepgw.texts import text
from kepgw.trust import pades


class Pressed(NamedTuple):
    """A report: HTML, the PDF with a place for its signature, and the certificates."""

    html: bytes
    pdf: pades.Prepared
    certificates: tuple[bytes, ...]
    development: bool
    short_id: str


class Press:
    """What a press process does; it holds no key."""

    def __init__(self, _: None = None) -> None:
        # what is slow to import is imported by the time that the first job comes
        from kepgw.app.report import html, pdf  # noqa: PLC0415

        self._html, self._pdf = html, pdf

    def press(self, material: Material, digest: str) -> Pressed:
        """Judge, render, lay out. ``digest`` is that of the signing key's algorithm. Raises KepError."""
        report, certificates = gather(material)
        drawn = self._pdf.draw(report)
        prepared = pades.prepare(
            drawn.octets,
            digest,
            material.made,
            name=report.provider_name,
            reason=_reason(report),
            box=drawn.box,
        )
        return Pressed(self._html.write(report), prepared, certificates, report.development, report.short_id)


def _reason(report: Report) -> str:
    reason = text("report-signing-reason", "tr", id=report.short_id)
    return f"{reason} – {text('report-development-short', 'tr')}" if report.development else reason
