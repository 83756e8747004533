"""Reading BER (X.690 8) as spans of the octets, just what CMS needs in the hot path; nothing is made that is not used.

The octets have passed ``kepgw.evidence.bounds``: here they are whole and neither deep nor wide. asn1crypto reads what
is rare; it takes ten times as long for a signature.
"""

from functools import lru_cache
from typing import NamedTuple

from kepgw.errors import FormatError

INTEGER, BIT_STRING, OCTET_STRING, OID, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x06, 0x30, 0x31
_PIECES = 0x24  # an octet string in pieces (X.690 8.7.3)


class Element(NamedTuple):
    """One element: its tag octet, where it begins, its content, and where it ends with its end-of-contents."""

    tag: int
    at: int
    begin: int
    end: int
    after: int


def element(octets: bytes, at: int, limit: int) -> Element:
    """The element at ``at``, which ends at ``limit`` or before. Raises FormatError."""
    try:
        tag, length = octets[at], octets[at + 1]
        begin = at + 2
        if length == 0x80:
            end = _end_of_contents(octets, begin, limit)
            return Element(tag, at, begin, end, end + 2)
        if length > 0x80:
            width = length & 0x7F
            length = int.from_bytes(octets[begin : begin + width], "big")
            begin += width
    except IndexError:
        raise FormatError("an element that is cut off") from None
    end = begin + length
    if end > limit:
        raise FormatError("an element that is longer than what it stands in")
    return Element(tag, at, begin, end, end)


def _end_of_contents(octets: bytes, at: int, limit: int) -> int:
    """Where the end-of-contents of an indefinite element whose content begins at ``at`` stands."""
    open_ones = 1
    while True:
        if at + 2 > limit:
            raise FormatError("an element without end")
        if octets[at + 1] == 0x80:
            open_ones += 1
            at += 2
        elif octets[at] == 0 and octets[at + 1] == 0:
            open_ones -= 1
            if not open_ones:
                return at
            at += 2
        else:
            at = element(octets, at, limit).after


def inside(octets: bytes, outer: Element) -> list[Element]:
    """The elements inside one."""
    found = []
    at = outer.begin
    while at < outer.end:
        one = element(octets, at, outer.end)
        found.append(one)
        at = one.after
    return found


def whole(octets: bytes, tag: int) -> Element:
    """The one element of this tag that the octets are. Raises FormatError."""
    one = element(octets, 0, len(octets))
    if one.after != len(octets):
        raise FormatError("octets behind the element")
    return expected(one, tag)


def expected(one: Element, tag: int) -> Element:
    """The same, if it has this tag. Raises FormatError."""
    if one.tag != tag:
        raise FormatError(f"tag {one.tag:02x} in place of {tag:02x}")
    return one


def as_given(octets: bytes, one: Element) -> bytes:
    """The element's own octets."""
    return octets[one.at : one.after]


def content(octets: bytes, one: Element) -> bytes:
    """The octets inside an element."""
    return octets[one.begin : one.end]


def integer(octets: bytes, one: Element) -> int:
    """An INTEGER. Raises FormatError."""
    expected(one, INTEGER)
    if one.begin == one.end:
        raise FormatError("a number without octets")
    return int.from_bytes(octets[one.begin : one.end], "big", signed=True)


def octet_string(octets: bytes, one: Element) -> bytes:
    """An OCTET STRING, its pieces joined; as deep as the bounds let pieces stand in pieces. Raises FormatError."""
    if one.tag == OCTET_STRING:
        return octets[one.begin : one.end]
    expected(one, _PIECES)
    return b"".join(octet_string(octets, each) for each in inside(octets, one))


def identifier(octets: bytes, one: Element) -> str:
    """An OBJECT IDENTIFIER in its dotted form. Raises FormatError."""
    expected(one, OID)
    return _dotted(octets[one.begin : one.end])


@lru_cache(maxsize=256)
def _dotted(octets: bytes) -> str:
    if not octets or octets[-1] & 0x80 or len(octets) > 64:
        raise FormatError("an identifier that is cut off or too long")
    arcs = [0]
    for octet in octets:
        arcs[-1] = arcs[-1] << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(0)
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:-1])))
