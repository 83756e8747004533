"""Writing DER (X.690), just what CMS and RFC 3161 need. Reading is left to asn1crypto.

Each function returns one complete encoding, so that constant parts are joined once per key and not for each message.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

NULL = b"\x05\x00"


def tlv(tag: int, content: bytes) -> bytes:
    """Tag, definite length, content (X.690 8.1.3, 10.1)."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def as_given(value: Any) -> bytes:
    """The octets of a SEQUENCE that asn1crypto has read.

    Its own ``dump`` encodes the whole anew when the last octet of the length happens to be 80, which takes it for the
    mark of an indefinite one: what was signed or stamped could change on the way.
    """
    return tlv(0x30, bytes(value.contents))


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE of encoded parts."""
    return tlv(0x30, b"".join(parts))


def set_of(parts: Iterable[bytes], tag: int = 0x31) -> bytes:
    """SET OF, its elements in ascending order as DER demands (X.690 11.6); ``tag`` for an implicit one."""
    return tlv(tag, b"".join(sorted(parts)))


def tagged(number: int, content: bytes, *, constructed: bool = True) -> bytes:
    """A context-specific tag: around an encoding (explicit), or in place of its tag (implicit)."""
    return tlv((0xA0 if constructed else 0x80) | number, content)


def integer(value: int) -> bytes:
    """INTEGER, two's complement in as few octets as it takes (X.690 8.3)."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def octet_string(content: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(0x04, content)


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER from its dotted form (X.690 8.19)."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(0x80 | (arc & 0x7F))
        content += bytes(reversed(septets))
    return tlv(0x06, bytes(content))


def signing_time(at: datetime) -> bytes:
    """Time of a CMS signing-time attribute: UTCTime through 2049, then GeneralizedTime (RFC 5652 11.3)."""
    moment = at.astimezone(UTC)
    if moment.year < 2050:
        return tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode())


def generalized_time(at: datetime) -> bytes:
    """GeneralizedTime with a fraction without trailing zeros, none for whole seconds (RFC 3161 2.4.2)."""
    moment = at.astimezone(UTC)
    fraction = f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""
    return tlv(0x18, f"{moment:%Y%m%d%H%M%S}{fraction}Z".encode())


def attribute(dotted: str, value: bytes) -> bytes:
    """A CMS Attribute with exactly one value (RFC 5652 5.3)."""
    return sequence(oid(dotted), tlv(0x31, value))
