"""Finding what stands in an evidence: child elements by local name in any case, one where one may stand.

Both readers look only at direct children of what they know, so that nothing inside a signature or an extension can
speak as evidence. Every function raises FormatError for what could be read in two ways.
"""

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from lxml import etree

from kepgw.errors import FormatError
from kepgw.evidence.algorithms import DIGEST_NAMES
from kepgw.evidence.markup import canonical_form, escape, read_base64
from kepgw.evidence.model import Extension

T = TypeVar("T")
DS = "http://www.w3.org/2000/09/xmldsig#"
_INTEGER = re.compile(r"\s*\+?\d{1,9}\s*")
_string = etree.XPath("string()")


class Children(dict[str, list[etree._Element]]):
    """Child elements by lower-case local name, in document order."""


def children_of(parent: etree._Element) -> Children:
    """The children of ``parent``; comments and processing instructions are none."""
    found = Children()
    for child in parent.iterchildren(etree.Element):
        found.setdefault(etree.QName(child).localname.lower(), []).append(child)
    return found


def single(children: Children, name: str) -> etree._Element | None:
    """The one child of that name, None when there is none."""
    found = children.get(name.lower(), [])
    if len(found) > 1:
        raise FormatError(f"{name} stands {len(found)} times")
    return found[0] if found else None


def node(children: Children, name: str) -> etree._Element:
    """The one child of that name, which must stand."""
    found = single(children, name)
    if found is None:
        raise FormatError(f"{name} is missing")
    return found


def maybe(children: Children, name: str, reader: Callable[[etree._Element], T]) -> T | None:
    """What ``reader`` makes of the one child of that name, None when there is none."""
    found = single(children, name)
    return None if found is None else reader(found)


def listed(children: Children, parent: str, name: str) -> Iterable[etree._Element]:
    """The elements called ``name`` in the one child called ``parent``."""
    found = single(children, parent)
    return [] if found is None else children_of(found).get(name.lower(), [])


def text_of(element: etree._Element) -> str:
    """All character data in the element; the first piece alone would let a processing instruction cut it."""
    return str(_string(element)) if len(element) else element.text or ""


def stripped(element: etree._Element) -> str:
    """``text_of`` without white space around it."""
    return text_of(element).strip()


def required(children: Children, name: str) -> str:
    """The text of the one child of that name, which must not be empty."""
    value = stripped(node(children, name))
    if not value:
        raise FormatError(f"{name} is empty")
    return value


def index(value: str, recipients: int) -> int:
    """A 1-based index into so many recipients."""
    if not _INTEGER.fullmatch(value) or not 1 <= int(value) <= recipients:
        raise FormatError(f"no recipient number {value[:20]!r}")
    return int(value)


def digest_of(children: Children) -> tuple[str, bytes]:
    """(hashlib name, octets) of ds:DigestMethod and ds:DigestValue; both empty where one of them is not there.

    A digest by an algorithm that is not ours (SHA-1 for one) is no proof: its URI is kept as its name, so it shows.
    """
    method, value = single(children, "DigestMethod"), single(children, "DigestValue")
    if method is None or value is None:
        return "", b""
    if any(etree.QName(each).namespace != DS for each in (method, value)):
        raise FormatError("a digest outside the namespace of XML Signature")
    uri = method.get("Algorithm", "")
    return DIGEST_NAMES.get(uri, uri), read_base64(text_of(value))


def is_critical(element: etree._Element) -> bool:
    """Whether an Extension says that who does not know it must not read on."""
    return element.get("isCritical", "false").strip().lower() in ("true", "1")


def unknown_extension(element: etree._Element) -> Extension:
    """An extension that we do not know, kept as it is. A critical one is refused (TS 102 640-2 B.1.18)."""
    if is_critical(element):
        raise FormatError("an unknown critical extension")
    # canonical form of each child by itself: every namespace in it is declared in it
    content = escape(element.text or "")
    for child in element:
        # lxml crashes when it canonicalises a processing instruction by itself; they say nothing here
        if isinstance(child.tag, str):
            content += canonical_form(child).decode()
        content += escape(child.tail or "")
    return Extension(content.encode())
