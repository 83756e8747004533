"""Digest and signature algorithms of XML signatures, one table each. SHA-1 and MD5 stand in none of them."""

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

# RFC 9231 2.1, XML Encryption 5.7
DIGESTS: Mapping[str, str] = MappingProxyType(
    {
        "sha256": "http://www.w3.org/2001/04/xmlenc#sha256",
        "sha384": "http://www.w3.org/2001/04/xmldsig-more#sha384",
        "sha512": "http://www.w3.org/2001/04/xmlenc#sha512",
    }
)
DIGEST_NAMES: Mapping[str, str] = MappingProxyType({uri: name for name, uri in DIGESTS.items()})


class Algorithm(NamedTuple):
    """A signature algorithm: its URI in XML, its family (``rsa``, ``rsa-pss``, ``ecdsa``) and its digest."""

    uri: str
    family: str
    digest: str


_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
_MGF1 = "http://www.w3.org/2007/05/xmldsig-more#"
# RFC 9231 2.3.2 to 2.3.6, 2.3.10 (salt as long as the digest)
SIGNATURES: Mapping[str, Algorithm] = MappingProxyType(
    {
        "rsa-sha256": Algorithm(_MORE + "rsa-sha256", "rsa", "sha256"),
        "rsa-sha384": Algorithm(_MORE + "rsa-sha384", "rsa", "sha384"),
        "rsa-sha512": Algorithm(_MORE + "rsa-sha512", "rsa", "sha512"),
        "rsa-pss-sha256": Algorithm(_MGF1 + "sha256-rsa-MGF1", "rsa-pss", "sha256"),
        "rsa-pss-sha384": Algorithm(_MGF1 + "sha384-rsa-MGF1", "rsa-pss", "sha384"),
        "rsa-pss-sha512": Algorithm(_MGF1 + "sha512-rsa-MGF1", "rsa-pss", "sha512"),
        "ecdsa-sha256": Algorithm(_MORE + "ecdsa-sha256", "ecdsa", "sha256"),
        "ecdsa-sha384": Algorithm(_MORE + "ecdsa-sha384", "ecdsa", "sha384"),
        "ecdsa-sha512": Algorithm(_MORE + "ecdsa-sha512", "ecdsa", "sha512"),
    }
)
SIGNATURE_NAMES: Mapping[str, str] = MappingProxyType({entry.uri: name for name, entry in SIGNATURES.items()})

Stamp = Callable[[bytes], bytes]
"""Takes a digest, gives an RFC 3161 TimeStampToken in DER; raises StampUnavailable.

The digest is the one that its attribute ``digest`` names, SHA-256 where it has none.
"""


def stamp_over(octets: bytes, stamp: Stamp) -> bytes:
    """The token (DER) over ``octets``, with the digest that ``stamp`` wants. Raises StampUnavailable."""
    return stamp(hashlib.new(getattr(stamp, "digest", "sha256"), octets).digest())
