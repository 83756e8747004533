"""The report as one HTML file: no script, nothing from outside, every value escaped by the template engine."""

from functools import cache
from typing import Any

import segno
from jinja2 import Environment, PackageLoader, StrictUndefined

from kepgw.app.report import wording
from kepgw.app.report.model import Report


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("kepgw.app.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals.update(
        both=wording.both,
        verdict=wording.verdict,
        local=wording.local,
        universal=wording.universal,
        octets=wording.size,
        ranges=wording.ranges,
        party=wording.party,
    )
    return made


def write(report: Report) -> bytes:
    """Render a report, UTF-8."""
    said: dict[str, Any] = {
        "report": report,
        "facts": wording.facts(report),
        "outcome": wording.outcome(report),
        "proofs": wording.proofs(report),
        "limits": wording.LIMITS,
        "laws": wording.LAWS,
        "steps": wording.STEPS,
        # our own drawing, of a short id and a digest: nothing of a stranger is in it
        "code": segno.make(report.code_text, error="m", micro=False).svg_inline(border=2, scale=3, omitsize=True),
    }
    return _environment().get_template("report.html.j2").render(said).encode("utf-8")
