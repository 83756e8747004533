"""What trusted lists and capability files have in common: their elements, and who may have signed them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from lxml import etree

from kepgw.errors import ConfigurationError, FormatError, ListRefused, SignatureInvalid
from kepgw.evidence import xades
from kepgw.evidence.markup import read_base64, read_time
from kepgw.trust.keys import describe

TSL: Final = "http://uri.etsi.org/02231/v2#"
MAX_LIST: Final = 8 << 20  # octets; a list of some dozen providers has some hundred KB
MAX_WORDS: Final = 300  # characters of a name or address that are kept


def signed_by(octets: bytes, signers: Sequence[bytes]) -> bytes:
    """The certificate (DER) of an enveloped XAdES signature that is one of ``signers`` (TS 119 612 5.7, Annex B).

    The certificate itself is what is trusted: its own chain is not asked for. Raises ListRefused.
    """
    try:
        reading = xades.verify(octets, MAX_LIST)
    except (SignatureInvalid, FormatError) as error:
        raise ListRefused(f"its signature does not hold: {error}") from error
    if reading.signer not in signers:
        raise ListRefused(f"signed by {named(reading.signer)}, which nobody has called a signer of it")
    return reading.signer


def only(parent: etree._Element, tag: str) -> etree._Element:
    """The one child with this tag. Raises FormatError."""
    found = parent.findall(tag)
    if len(found) != 1:
        raise FormatError(f"{tag.rpartition('}')[2]} stands {len(found)} times")
    return found[0]


def words(element: etree._Element) -> str:
    """The text of an element, its blanks made single, cut at MAX_WORDS."""
    return " ".join((element.text or "").split())[:MAX_WORDS]


def number(element: etree._Element) -> int:
    """A sequence number. Raises FormatError."""
    written = words(element)
    if not (written.isascii() and written.isdecimal() and len(written) <= 15):
        raise FormatError(f"not a sequence number: {written[:40]!r}")
    return int(written)


def moment(element: etree._Element) -> datetime:
    """A time, UTC where no zone is written. Raises FormatError."""
    return read_time(words(element), UTC)


def next_update(element: etree._Element) -> datetime | None:
    """The time of the next edition; None when there will be none (TS 119 612 5.3.15). Raises FormatError."""
    written = element.find(f"{{{TSL}}}dateTime")
    return None if written is None else moment(written)


def certificate(element: etree._Element) -> bytes:
    """A certificate in DER that can be read. Raises FormatError."""
    der = read_base64(element.text or "")
    try:
        describe(der)
    except ConfigurationError as error:
        raise FormatError(f"{element.tag.rpartition('}')[2]}: {error}") from error
    return der


def named(certificate: bytes) -> str:
    """A certificate (DER) in words, for the log."""
    try:
        told = describe(certificate)
    except ConfigurationError:
        return "an unreadable certificate"
    return f"{told.subject} (SHA-256 {told.fingerprint})"
