"""The PROXY protocol, versions 1 and 2, receiver's side, without I/O (haproxy.org/download/2.9/doc/proxy-protocol.txt).

A proxy in front hides the client's address; this header in front of all other octets tells it. It is believed from
named proxies only, and from them it is required: an address that anybody may claim would be no address.
"""

import re
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"  # version 2, section 2.2
START: Final = len(SIGNATURE)  # octets that tell the versions apart; both headers are longer
LONGEST_V1: Final = 107  # octets with CRLF, section 2.1
LONGEST_V2: Final = 2048  # octets after the first 16; addresses take 216 at most, the rest is additions

_V1 = re.compile(
    rb"PROXY (?:UNKNOWN(?: [\x20-\x7e]*)?"
    rb"|TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (\d{1,5}) (\d{1,5}))\r\n"
)


class ProxyInvalid(ValueError):
    """What a proxy sent first is no PROXY header."""


def version(start: bytes) -> int:
    """1 or 2 by the first START octets. Raises ProxyInvalid."""
    if start == SIGNATURE:
        return 2
    if start.startswith(b"PROXY "):
        return 1
    raise ProxyInvalid("no PROXY header from a named proxy")


def read_v1(line: bytes) -> str | None:
    """The client's address of a whole line with CRLF; None for the proxy's own. Raises ProxyInvalid."""
    match = _V1.fullmatch(line)
    if match is None or len(line) > LONGEST_V1:
        raise ProxyInvalid("a PROXY line that is not one")
    if match[1] is None:
        return None
    try:
        address = ip_address(match[2].decode())
        ip_address(match[3].decode())
    except ValueError as error:
        raise ProxyInvalid("a PROXY line without an address") from error
    if address.version != int(match[1]) or max(int(match[4]), int(match[5])) > 65_535:
        raise ProxyInvalid("a PROXY line that contradicts itself")
    return str(address)


def length_v2(header: bytes) -> int:
    """How many octets follow the first 16. Raises ProxyInvalid."""
    length: int = struct.unpack(">H", header[14:16])[0]
    if header[12] >> 4 != 2 or header[12] & 15 > 1 or length > LONGEST_V2:
        raise ProxyInvalid("a PROXY header of an unknown version, or too long")
    return length


def read_v2(header: bytes, rest: bytes) -> str | None:
    """The client's address; None for LOCAL and for what is no TCP, the proxy's own checks. Raises ProxyInvalid."""
    if header[12] & 15 == 0:
        return None  # LOCAL: whatever follows is skipped
    family = header[13]
    if family == 0x11 and len(rest) >= 12:
        return str(IPv4Address(rest[:4]))
    if family == 0x21 and len(rest) >= 36:
        address = IPv6Address(rest[:16])
        return str(address.ipv4_mapped or address)
    if family in {0x11, 0x21}:
        raise ProxyInvalid("a PROXY header shorter than its addresses")
    return None
