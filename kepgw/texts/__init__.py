"""The catalogue of every text that a person reads, Turkish and English side by side.

One TOML file a room stands in this folder; together they are one catalogue with unique keys. Placeholders are
named (``{recipient}``): no text is built by gluing strings.
"""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

Language = Literal["tr", "en"]
LANGUAGES: tuple[Language, ...] = ("tr", "en")


class Text(NamedTuple):
    """One text in both languages of the product."""

    tr: str
    en: str


@cache
def catalogue() -> dict[str, Text]:
    """Every text by its key. Raises ValueError when a key stands twice or lacks a language."""
    texts: dict[str, Text] = {}
    for file in sorted(files(__package__).iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".toml"):
            continue
        for key, entry in tomllib.loads(file.read_text("utf-8")).items():
            if key in texts or set(entry) != {"tr", "en"}:
                raise ValueError(f"text {key!r} in {file.name} stands twice or lacks a language")
            texts[key] = Text(entry["tr"], entry["en"])
    return texts


def text(key: str, language: Language, **values: object) -> str:
    """The text ``key`` in ``language`` with its placeholders filled. Raises KeyError for an unknown key."""
    return getattr(catalogue()[key], language).format_map(values)  # type: ignore[no-any-return]
