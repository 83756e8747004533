"""XML at the edge: a parser that trusts nothing, escaping that never fails, and time as evidence writes it."""

import base64
import binascii
import re
import threading
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from lxml import etree

from kepgw.errors import FormatError

MAX_XML = 1 << 20  # octets; evidence in the field has 3 to 20 KB
DECLARATION = b'<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
MAX_ATTRIBUTES = 64  # of one element; evidence has at most 4, canonical form takes the square of their number
MAX_NAMESPACES = 32  # in scope at once; evidence has about ten, canonical form looks at each pair for every element
_CROWDED = etree.XPath(f"boolean(//*[count(@*) > {MAX_ATTRIBUTES}])")
# Turkey's civil time all year since 8 September 2016 (Bakanlar Kurulu Kararı 2016/9154).
ISTANBUL = timezone(timedelta(hours=3))

_own = threading.local()
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 2.2 Char
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")  # XML Schema 2 3.2.7


def parse(octets: bytes, largest: int = MAX_XML) -> etree._ElementTree:
    """Parse a document from outside; comments are dropped. Raises FormatError for anything but plain XML.

    No DTD, no entities, no network, libxml2's own bounds on depth and text, ``largest`` octets; MAX_ATTRIBUTES and
    MAX_NAMESPACES, because a signature by any key may ask for a canonical form that takes their square. Comments go
    because canonical form has none: text split by one must read as what was signed, not as its first piece.
    """
    if len(octets) > largest:
        raise FormatError(f"XML of {len(octets)} octets, more than {largest}")
    if b"<!DOCTYPE" in octets:
        raise FormatError("XML with a document type declaration")
    try:
        tree = etree.ElementTree(etree.fromstring(octets, _parser()))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise FormatError(f"not well-formed XML: {error}") from None
    # an encoding other than ASCII's hides the declaration from the search above
    if tree.docinfo.internalDTD is not None or tree.docinfo.externalDTD is not None:
        raise FormatError("XML with a document type declaration")
    if _CROWDED(tree):
        raise FormatError(f"an element with more than {MAX_ATTRIBUTES} attributes")
    # an encoding that is told by its first octets alone (UTF-16) does not show in docinfo
    plain = (tree.docinfo.encoding or "UTF-8").upper() == "UTF-8" and b"\x00" not in octets
    if (not plain or octets.count(b"xmlns") > MAX_NAMESPACES) and _too_many_namespaces(tree):
        raise FormatError(f"more than {MAX_NAMESPACES} namespaces in scope")
    return tree


def _parser() -> etree.XMLParser:
    """The parser of this thread: to make one takes as long as to parse an evidence."""
    try:
        parser: etree.XMLParser = _own.parser
    except AttributeError:
        parser = _own.parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            dtd_validation=False,
            huge_tree=False,
            remove_comments=True,
            remove_blank_text=False,
            strip_cdata=True,
        )
    return parser


def _too_many_namespaces(tree: etree._ElementTree) -> bool:
    scope = 0
    for event, _ in etree.iterwalk(tree, events=("start-ns", "end-ns")):
        scope += 1 if event == "start-ns" else -1
        if scope > MAX_NAMESPACES:
            return True
    return False


def canonical_form(node: etree._Element | etree._ElementTree, *, exclusive: bool = True) -> bytes:
    """A document or element in canonical form, without comments and what follows it.

    Raises FormatError where there is none: a relative namespace URI has no canonical form (Canonical XML 1.0 1.3).
    """
    try:
        return etree.tostring(node, method="c14n", exclusive=exclusive, with_comments=False, with_tail=False)
    except etree.C14NError as error:
        raise FormatError(f"no canonical form: {error}") from None


def safe(value: str) -> str:
    """``value`` with every character that XML cannot carry replaced by U+FFFD."""
    return _NOT_XML.sub("\ufffd", value)


def escape(value: str) -> str:
    """``value`` as canonical character data (Canonical XML 1.0 2.3)."""
    value = safe(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return value.replace("\r", "&#xD;")


def escape_attribute(value: str) -> str:
    """``value`` as a canonical attribute value, without its quotes (Canonical XML 1.0 2.3)."""
    value = safe(value).replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return value.replace("\t", "&#x9;").replace("\n", "&#xA;").replace("\r", "&#xD;")


def write_time(at: datetime) -> str:
    """``at`` in Turkish civil time with its offset, whole seconds: ``2026-03-01T12:00:00+03:00``."""
    if at.tzinfo is None:
        raise ValueError("a time without zone")
    return at.astimezone(ISTANBUL).isoformat(timespec="seconds")


def write_utc(at: datetime) -> str:
    """``at`` in UTC, whole seconds: ``2026-03-01T09:00:00Z`` (EN 319 522-3 5.2.2.5)."""
    if at.tzinfo is None:
        raise ValueError("a time without zone")
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def read_time(value: str, zone: tzinfo = ISTANBUL) -> datetime:
    """An xs:dateTime in UTC; one without zone is taken as of ``zone``. Raises FormatError."""
    value = value.strip()
    if not _DATE_TIME.fullmatch(value):
        raise FormatError(f"not a date and time: {value[:40]!r}")
    try:
        at = datetime.fromisoformat(value)
        read = (at.replace(tzinfo=zone) if at.tzinfo is None else at).astimezone(UTC)
        read.astimezone(ISTANBUL)  # it will be shown there: the last hours of the year 9999 cannot be
    except (ValueError, OverflowError):
        raise FormatError(f"not a date and time: {value[:40]!r}") from None
    return read


def read_base64(value: str) -> bytes:
    """The octets of base64 text that may be folded. Raises FormatError unless the encoding is the canonical one.

    Canonical, so that two texts never mean the same octets: no altered character may go unseen (RFC 4648 3.5).
    """
    packed = "".join(value.split())
    try:
        octets = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError(f"not base64: {error}") from None
    if base64.b64encode(octets).decode() != packed:
        raise FormatError("base64 with stray bits")
    return octets
