"""The door to every evidence that we read: its root says which generation it is of."""

import re
from collections.abc import Callable
from typing import NamedTuple

from kepgw.errors import FormatError
from kepgw.evidence import en319522_reader, ts102640_reader
from kepgw.evidence.markup import parse
from kepgw.evidence.model import Evidence


class Generation(NamedTuple):
    """A generation of the standard: what its root elements are called, ``{namespace}name``, and its reader."""

    root: re.Pattern[str]
    read: Callable[[bytes], Evidence]


GENERATIONS = (
    Generation(re.compile(r"\{http:(//)?uri\.etsi\.org/02640/"), ts102640_reader.read),
    Generation(re.compile(r"\{https?://uri\.etsi\.org/19522/v1#?\}Evidence$"), en319522_reader.read),
)


def generation_of(octets: bytes) -> Generation | None:
    """The generation of an XML document, None when we do not read it. Raises FormatError when it is no XML."""
    tag = str(parse(octets).getroot().tag)
    return next((one for one in GENERATIONS if one.root.match(tag)), None)


def read(octets: bytes) -> Evidence:
    """The evidence in an XML document of any generation. Raises FormatError."""
    found = generation_of(octets)
    if found is None:
        raise FormatError("no evidence of TS 102 640 or EN 319 522")
    return found.read(octets)
