"""KEP addresses: ``local@[sub.]hsNN.kep.tr`` (Tebliğ RG 28294 m.11 as amended; RFC 5321 4.5.3.1).

Syntax only: whether an address exists is the directory's word. What m.11 leaves open (letters of the local part,
lengths) follows practice: ASCII, because real addresses are transliterated, and the lengths of RFC 5321. Addresses
are case-insensitive and kept in lower case. Only A-Z are folded: ``str.lower`` would turn the Turkish İ into ``i``
and a combining dot, and the Kelvin sign into ``k``, so that two people could own what looks like one address.
"""

import re
from typing import Final, NamedTuple

from kepgw.refusals import Refusal

MAX_LOCAL: Final = 64  # octets, RFC 5321 4.5.3.1.1
MAX_ADDRESS: Final = 254  # octets, RFC 5321 4.5.3.1.3 without the angle brackets
MAX_LABEL: Final = 63  # octets, RFC 1035 2.3.4

# Tebliğ m.11(4): atoms joined by single dots. No nested repetition: linear on any input.
_LOCAL: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.ASCII)
_PROVIDER: Final = re.compile(r"hs[0-9]{2}\.kep\.tr", re.ASCII)
# Tebliğ m.11(5)(b): at most one label, TüzelKişiAdı, before hsY.kep.tr; a label of RFC 1035 2.3.1.
_DOMAIN: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)?(hs[0-9]{2}\.kep\.tr)", re.ASCII)
_FOLD: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class KepAddress(NamedTuple):
    """An address in its one spelling, lower case. ``str()`` gives ``local@domain``."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def provider(self) -> str:
        """The provider that the address belongs to: ``hsNN.kep.tr``, never with the sub-domain."""
        return provider_domain(self.domain)


def parse(text: str) -> KepAddress:
    """The address ``text`` says, without brackets or display name. Raises Refusal("not-kep-address")."""
    if len(text) > MAX_ADDRESS:
        raise _refuse(text, f"longer than {MAX_ADDRESS} octets")
    if not text.isascii():
        raise _refuse(text, "an address has ASCII letters only")
    local, at, domain = ascii_lower(text).rpartition("@")
    if not at or len(local) > MAX_LOCAL or not _LOCAL.fullmatch(local):
        raise _refuse(text, "the part before @ has a form that no KEP address has")
    if not _DOMAIN.fullmatch(domain):
        raise _refuse(text, "the part after @ is not [sub.]hsNN.kep.tr")
    return KepAddress(local, domain)


def provider_domain(text: str) -> str:
    """``hsNN.kep.tr`` of an address or of a domain. Raises Refusal("not-kep-address")."""
    match = _DOMAIN.fullmatch(ascii_lower(text.rpartition("@")[2])) if len(text) <= MAX_ADDRESS else None
    if match is None:
        raise _refuse(text, "not below a domain hsNN.kep.tr")
    return match[1]


def is_provider_domain(text: str) -> bool:
    """Whether ``text`` is exactly ``hsNN.kep.tr`` in lower case."""
    return _PROVIDER.fullmatch(text) is not None


def ascii_lower(text: str) -> str:
    """A-Z to a-z and nothing else (RFC 4343 2.1)."""
    return text.translate(_FOLD)


def _refuse(text: str, reason: str) -> Refusal:
    # What is shown back must fit an SMTP reply and cannot smuggle a line into it (RFC 5321 4.5.3.1.5).
    shown = "".join(c if c.isprintable() and c.isascii() else "?" for c in text[:80])
    return Refusal("not-kep-address", f"{text[:MAX_ADDRESS]!r}: {reason}", recipient=shown or "<>")
