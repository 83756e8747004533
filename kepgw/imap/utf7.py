"""Mailbox names on the wire: modified UTF-7 (RFC 3501 5.1.3)."""

import re
from binascii import Error, a2b_base64, b2a_base64

from kepgw.errors import FormatError

_UNSAFE = re.compile("[^ -~]+|&")
_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)(-?)")


def encode(name: str) -> bytes:
    """The name in modified UTF-7. Raises FormatError for lone surrogates."""

    def shift(match: re.Match[str]) -> str:
        if match[0] == "&":
            return "&-"
        try:
            octets = match[0].encode("utf-16-be")
        except UnicodeEncodeError:
            raise FormatError("a mailbox name has a lone surrogate") from None
        return "&" + b2a_base64(octets, newline=False).rstrip(b"=").replace(b"/", b",").decode() + "-"

    return _UNSAFE.sub(shift, name).encode("ascii")


def decode(octets: bytes) -> str:
    """The name behind modified UTF-7; octets over 127 are read as UTF-8, which some clients send.

    Raises FormatError unless ``octets`` is the one right spelling of the name: two spellings of a name would be two
    mailboxes to a client and one to us.
    """
    if not octets.isascii():
        try:
            return octets.decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError("a mailbox name is neither modified UTF-7 nor UTF-8") from None
    name = _SHIFTED.sub(_unshift, octets).decode("utf-8")
    if encode(name) != octets:
        raise FormatError("a mailbox name is not in modified UTF-7")
    return name


def _unshift(match: re.Match[bytes]) -> bytes:
    text, end = match[1], match[2]
    if not end:
        raise FormatError("a shift in a mailbox name does not end")
    if not text:
        return b"&"
    try:
        octets = a2b_base64(text.replace(b",", b"/") + b"=" * (-len(text) % 4))
        return octets.decode("utf-16-be").encode("utf-8")
    except (Error, UnicodeError):
        raise FormatError("a shift in a mailbox name is not base64 of UTF-16") from None
