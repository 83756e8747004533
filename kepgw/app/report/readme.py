"""README.txt of a case: what it is and how to check it, in Turkish and English, with commands that fit its files."""

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template


@cache
def _template() -> Template:
    environment = Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - plain text
    return environment.from_string((files("kepgw.app.report") / "readme.txt.j2").read_text("utf-8"))


def readme(case: dict[str, Any], report: dict[str, Any]) -> bytes:
    """The text for a case as ``case_open`` and ``case_report`` describe it, UTF-8."""
    return _template().render(case=case, report=report).encode("utf-8")
