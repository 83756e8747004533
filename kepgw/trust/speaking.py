"""For which provider a certificate speaks: that of its rfc822Name (TS 102 640-2 4.1), never what an evidence claims.

A root that is trusted stands above users, companies and other providers as well; each may sign, for itself alone.
"""

from functools import lru_cache

from kepgw.errors import ConfigurationError, SignatureInvalid
from kepgw.trust.keys import describe
from kepgw.trust.usersignature import qualified


@lru_cache(maxsize=256)
def addresses(certificate: bytes) -> tuple[str, ...]:
    """The rfc822Names of a DER certificate in lower case, none when something in it is unreadable."""
    try:
        return tuple(each.lower() for each in describe(certificate).addresses)
    except ConfigurationError:
        return ()


def providers(certificate: bytes) -> tuple[str, ...]:
    """The domains that a DER certificate speaks for; none for the qualified certificate of a person (NES), whatever
    KEP address stands in it: a provider signs with its process certificate (2012/DK-15/259).
    """
    return () if is_persons(certificate) else tuple(each.rpartition("@")[2] for each in addresses(certificate))


def is_persons(certificate: bytes) -> bool:
    """Whether a DER certificate is a qualified one of a person."""
    try:
        return qualified(certificate)
    except SignatureInvalid:  # unreadable: nobody's
        return False


def owns(provider: str, address: str) -> bool:
    """Whether an address is one of a provider: ``local@[sub.]provider`` (Tebliğ m.11(5))."""
    domain = address.lower().rpartition("@")[2]
    return bool(provider) and (domain == provider or domain.endswith(f".{provider}"))
