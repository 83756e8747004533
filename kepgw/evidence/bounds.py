"""Bounds on the BER of strangers, held before asn1crypto reads it (X.690 8).

asn1crypto makes an object of every element, takes the square of an identifier's length, of a number's and of a
fraction's, and recurses. One pass over tags and lengths keeps all of that small; it makes no object and no copy.
"""

from collections.abc import Mapping
from typing import Any, Final

from kepgw.errors import FormatError

DEEPEST: Final = 32  # elements one inside the other; a token inside a signature goes to 16
MOST_ELEMENTS: Final = 4096  # a signature has about 80 outside its certificates
PIECES: Final = 256  # octets of content for which one more element may stand: Java sends content in pieces of 1,000

_LONGEST: Final[Mapping[int, int]] = {
    0x01: 1,  # BOOLEAN
    0x02: 1024,  # INTEGER: serial numbers have 20 octets, nonces some more
    0x03: 1 << 14,  # BIT STRING
    0x06: 64,  # OBJECT IDENTIFIER
    0x0A: 8,  # ENUMERATED
    0x0D: 64,  # RELATIVE-OID
    0x17: 32,  # UTCTime
    0x18: 64,  # GeneralizedTime
}

Closed = Mapping[int, Any] | None
"""What is not entered, for another reader takes it whole: by tag the same for what stands inside, None to stay out."""

SIGNATURE: Final[Closed] = {
    # ContentInfo, its [0], SignedData: each certificate, all revocation lists, each value of unsigned attributes
    0x30: {0xA0: {0x30: {0xA0: {0x30: None}, 0xA1: None, 0x31: {0x30: {0xA1: {0x30: {0x31: {0x30: None}}}}}}}}
}


def check(octets: bytes, closed: Closed = None, most: int = MOST_ELEMENTS) -> None:
    """Raise FormatError unless ``octets`` are one element of BER within the bounds, up to ``most`` elements in all.

    ``closed`` names what has definite length and is passed over unseen: who reads it holds bounds of its own.
    """
    size = len(octets)
    at, end = 0, size
    inside = closed or {}
    around: list[tuple[int, Mapping[int, Any]]] = []  # where the elements around end, -1 for an indefinite one
    left = most + size // PIECES
    try:
        while True:
            tag, length = octets[at], octets[at + 1]
            at += 2
            left -= 1
            if left < 0 or tag & 0x1F == 0x1F:
                raise FormatError("too many elements, or a long tag")
            if length > 0x80:
                width = length & 0x7F
                if width > 4:
                    raise FormatError("a length of more than four octets")
                length = int.from_bytes(octets[at : at + width], "big")
                at += width
            elif length == 0x80:
                length = -1
            if at + length > (size if end < 0 else end):
                raise FormatError("an element that is longer than what it stands in")
            if tag == 0 and length == 0 and end < 0:  # end of contents (X.690 8.1.5)
                end, inside = around.pop()
            elif tag & 0x20:
                below = inside.get(tag, {})
                if length < 0 or (below is not None and length):
                    if len(around) == DEEPEST:
                        raise FormatError("elements too deep inside each other")
                    around.append((end, inside))
                    end, inside = at + length if length >= 0 else -1, below or {}
                else:
                    at += length
            elif length < 0 or length > _LONGEST.get(tag, size):
                raise FormatError(f"a value of tag {tag:02x} that is too long")
            else:
                at += length
            while at == end and around:
                end, inside = around.pop()
            if not around:
                break
    except IndexError:
        raise FormatError("an element that is cut off") from None
    if at != size:
        raise FormatError(f"{size - at} octets behind the element")
