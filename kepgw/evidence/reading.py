"""The door to every evidence that we read: its root says which generation it is of."""

import re
from collections.abc import Callable
from typing import NamedTuple

from lxml import etree

from kepgw.errors import FormatError
from kepgw.evidence import en319522_reader, ts102640_reader
from kepgw.evidence.markup import parse
from kepgw.evidence.model import Evidence


class Generation(NamedTuple):
    """A generation of the standard: what its root elements are called, ``{namespace}name``, and its reader."""

    root: re.Pattern[str]
    read: Callable[[etree._Element], Evidence]


GENERATIONS = (
    Generation(re.compile(r"\{http:(//)?uri\.etsi\.org/02640/"), ts102640_reader.read_root),
    Generation(re.compile(r"\{https?://uri\.etsi\.org/19522/v1#?\}Evidence$"), en319522_reader.read_root),
)


def _generation(root: etree._Element) -> Generation | None:
    return next((one for one in GENERATIONS if one.root.match(str(root.tag))), None)


def generation_of(octets: bytes) -> Generation | None:
    """The generation of an XML document, None when we do not read it. Raises FormatError when it is no XML."""
    return _generation(parse(octets).getroot())


def read(octets: bytes) -> Evidence:
    """The evidence in an XML document of any generation. Raises FormatError."""
    root = parse(octets).getroot()
    found = _generation(root)
    if found is None:
        raise FormatError("no evidence of TS 102 640 or EN 319 522")
    return found.read(root)
