"""Addresses of name servers as settings have them."""

import ipaddress


def nameserver(text: str) -> tuple[str, int]:
    """Address and port of a name server as settings have it: ``192.0.2.1``, ``192.0.2.1:5353``, ``[2001:db8::1]:53``.

    Raises ValueError.
    """
    address, _, port = text.rpartition(":") if text.count(":") == 1 or text.startswith("[") else (text, "", "53")
    if text.startswith("[") and text.endswith("]"):
        address, port = text, "53"
    found = ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
    if not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{port!r} is no port")
    return str(found), int(port)
