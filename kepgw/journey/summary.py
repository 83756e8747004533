"""What a whole message looks like to its sender: the keywords on the message in Gönderilmiş."""

from collections.abc import Iterable
from typing import Final

ACCEPTED: Final = "$KepKabul"
REFUSED: Final = "$KepRed"
RELAYED: Final = "$KepIletildi"
NOT_DELIVERED: Final = "$KepTeslimEdilemedi"
DELIVERED: Final = "$KepTeslim"
READ: Final = "$KepOkundu"
KEYWORDS: Final = (ACCEPTED, REFUSED, RELAYED, NOT_DELIVERED, DELIVERED, READ)

# one evidence is enough
_ON_FIRST: Final = {
    "10": ACCEPTED,
    "11": REFUSED,
    "20": RELAYED,
    "21": NOT_DELIVERED,
    "31": NOT_DELIVERED,
    "41": NOT_DELIVERED,
}


def keywords(proofs: Iterable[frozenset[str]]) -> frozenset[str]:
    """Keywords for a message whose recipients have these proofs (a set of KEP codes a recipient).

    "Delivered" and "read" are said only when all recipients have it: a message does not count as sent before its
    delivery evidence has come.
    """
    recipients = list(proofs)
    found = {_ON_FIRST[code] for codes in recipients for code in codes if code in _ON_FIRST}
    if recipients and all("40" in codes or "60" in codes for codes in recipients):
        found.add(DELIVERED)
    if recipients and all("60" in codes for codes in recipients):
        found.add(READ)
    return frozenset(found)
