"""Identity attributes of EN 319 522 evidence: names of the eIDAS SAML attribute profile, and the hashed identifier."""

import hashlib

from kepgw.evidence.model import IdentityAttribute

NATURAL = "http://eidas.europa.eu/attributes/naturalperson"
LEGAL = "http://eidas.europa.eu/attributes/legalperson"
NAME_FORMAT = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
PERSON_IDENTIFIER = f"{NATURAL}/PersonIdentifier"
LEGAL_NAME = f"{LEGAL}/LegalName"
# what makes a name that a person reads, in the order of reading
NAMES = (LEGAL_NAME, f"{NATURAL}/CurrentGivenName", f"{NATURAL}/CurrentFamilyName")


def person_identifier(address: str, user_country: str, provider_country: str) -> IdentityAttribute:
    """PersonIdentifier: both countries (ISO 3166-1 alpha-2) and the SHA-256 of the address in lower case.

    EN 319 532-4 table C.18. Addresses are ASCII: lower case has no other meaning there.
    """
    hashed = hashlib.sha256(address.lower().encode()).hexdigest().upper()
    return IdentityAttribute(PERSON_IDENTIFIER, f"{user_country.upper()}/{provider_country.upper()}/{hashed}")


def shown_name(identity: tuple[IdentityAttribute, ...]) -> str:
    """The name in an identity as people write it, empty when there is none."""
    return " ".join(each.value for name in NAMES for each in identity if each.name == name and each.value)
