"""What keeps a signature verifiable for long: certificates, CRLs and OCSP responses, and what follows from them.

Pure: the octets come from the store, a folder or the network, the time is an argument. A word that was said after a
moment proves more about it than one said before: between the two a revocation may have come.
"""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, NamedTuple, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AuthorityInformationAccessOID

from kepgw.errors import SignatureInvalid, Sub
from kepgw.evidence.certificates import UNREADABLE
from kepgw.trust.revocation import CHECK, HOLD, Word, crl_word, load_crl, load_response, responders, response_word

Kind = Literal["certificate", "crl", "ocsp"]
MOST_ADDRESSES = 4  # of one certificate, each for CRLs and for OCSP: a stranger may have written the list


class Material(NamedTuple):
    """One thing that a later verification needs; ``octets`` in DER."""

    kind: Kind
    octets: bytes


@dataclass(frozen=True, slots=True)
class Good:
    """Not revoked, which was said to hold until ``until``."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Revoked:
    """Revoked since ``at``; ``reason`` as in RFC 5280 5.3.1, "" when unsaid. "certificateHold" may end."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody said anything that holds for the time."""


Status = Good | Revoked | Unknown


class Sources(NamedTuple):
    """Where word of a certificate can be had: http(s) URLs of responders (AIA) and of lists (CDP)."""

    ocsp: tuple[str, ...]
    crl: tuple[str, ...]


def status(certificate: bytes, issuer: bytes, materials: Iterable[Material], at: datetime) -> Status:
    """What ``materials`` say together of ``certificate`` below ``issuer`` (DER) at ``at``.

    What a list once called revoked stays so, also when the list is old: later lists leave out what has expired (RFC
    5280 5.3.1). A hold ends with the first later word that calls the certificate good. Where nothing else is said, a
    word is good until its nextUpdate, and for the time before it was said.
    """
    found = _words(certificate, issuer, materials)
    revoked = [_revoked_at(word, found, at) for word, _ in found]
    if first := next((each for each in revoked if each is not None), None):
        return first
    good = [word.until for word, _ in found if _vouches(word, certificate, at)]
    return Good(max(good)) if good else Unknown()


def choose(certificate: bytes, issuer: bytes, materials: Iterable[Material], at: datetime) -> Material | None:
    """The one material that proves best what ``status`` says about ``at``; None when that is Unknown.

    The word that revokes; else the first that was said at ``at`` or later; else the last before it that still held.
    """
    found = _words(certificate, issuer, materials)
    for word, material in found:
        if _revoked_at(word, found, at) is not None:
            return material
    good = [(word, material) for word, material in found if _vouches(word, certificate, at)]
    after = [material for word, material in good if word.said >= at]
    return after[0] if after else good[-1][1] if good else None


def check(chain: Sequence[bytes], crls: Sequence[bytes], responses: Sequence[bytes], at: datetime) -> bool:
    """Whether the leaf of ``chain`` (DER, anchor last) is known to be good; lists and responses are DER.

    Raises SignatureInvalid(check="revocation") when a certificate below the anchor is revoked at ``at``.
    """
    materials = [*(Material("crl", each) for each in crls), *(Material("ocsp", each) for each in responses)]
    found = [status(*pair, materials, at) for pair in itertools.pairwise(chain)]
    for certificate, said in zip(chain, found, strict=False):
        if isinstance(said, Revoked):
            name = x509.load_der_x509_certificate(certificate).subject.rfc4514_string()[:200]
            raise SignatureInvalid(
                f"{name} was revoked on {said.at.astimezone(UTC):%Y-%m-%d %H:%M}Z", CHECK, Sub.REVOKED
            )
    return bool(found) and isinstance(found[0], Good)


def fingerprint(octets: bytes) -> bytes:
    """The SHA-256 by which a certificate, list or response is known."""
    return hashlib.sha256(octets).digest()


@lru_cache(maxsize=1024)
def authority(certificate: bytes) -> bytes:
    """What names the issuer of lists: SHA-256 over the name and key of its certificate (DER), whoever issued that.

    Raises ValueError when the certificate cannot be read.
    """
    try:
        read = x509.load_der_x509_certificate(certificate)
        key = read.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(read.subject.public_bytes() + key).digest()
    except UNREADABLE as error:
        raise ValueError(str(error)) from error


def word(material: Material, certificate: bytes, issuer: bytes) -> Word | None:
    """What a list or response says of a certificate below its issuer; None when nothing."""
    if material.kind == "crl":
        return crl_word(material.octets, certificate, issuer)
    return response_word(material.octets, certificate, issuer) if material.kind == "ocsp" else None


@lru_cache(maxsize=1024)
def sources(certificate: bytes) -> Sources:
    """The addresses in a certificate (RFC 5280 4.2.1.13, 4.2.2.1). Other schemes than http(s) are not for us."""
    try:
        extensions = x509.load_der_x509_certificate(certificate).extensions
        ocsp = [
            each.access_location
            for each in _value(extensions, x509.AuthorityInformationAccess) or ()
            if each.access_method == AuthorityInformationAccessOID.OCSP
        ]
        points = _value(extensions, x509.CRLDistributionPoints) or ()
        # a point with another issuer or with some reasons only leads to lists that we do not read
        crl = [name for point in points if not point.crl_issuer and not point.reasons for name in point.full_name or ()]
    except UNREADABLE:
        return Sources((), ())
    return Sources(_addresses(ocsp), _addresses(crl))


def readable(octets: bytes) -> Material | None:
    """A CRL or OCSP response of at least the right form, None for anything else."""
    if load_crl(octets) is not None:
        return Material("crl", octets)
    return Material("ocsp", octets) if load_response(octets) is not None else None


class Fetched(NamedTuple):
    """A list or response from ``origin`` (a URL, "folder"), with what it says of one certificate (DER)."""

    material: Material
    certificate: bytes
    issuer: bytes
    word: Word
    origin: str


_E = TypeVar("_E", bound=x509.ExtensionType)


def _value(extensions: x509.Extensions, kind: type[_E]) -> _E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _addresses(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    found = [each.value for each in names if isinstance(each, x509.UniformResourceIdentifier)]
    return tuple(each for each in found if each.lower().startswith(("http://", "https://")))[:MOST_ADDRESSES]


def _words(certificate: bytes, issuer: bytes, materials: Iterable[Material]) -> list[tuple[Word, Material]]:
    """Words about a certificate, in the order in which they were said."""
    given = list(materials)
    found = [
        (said, each)
        for each in given
        if (said := word(each, certificate, issuer)) is not None and not _by_a_revoked_responder(each, issuer, given)
    ]
    return sorted(found, key=lambda pair: pair[0].said)


def _by_a_revoked_responder(material: Material, issuer: bytes, given: Sequence[Material]) -> bool:
    """Whether a list of the issuer revokes the responder that signed (RFC 6960 4.2.2.2.1)."""
    if material.kind != "ocsp":
        return False
    lists = [each for each in given if each.kind == "crl"]
    said = [word(each, responder, issuer) for responder in responders(material.octets) for each in lists]
    return any(each is not None and each.state in ("revoked", "hold") for each in said)


def _revoked_at(word: Word, found: Sequence[tuple[Word, Material]], at: datetime) -> Revoked | None:
    """The revocation at ``at`` that follows from ``word``, ``found`` being all words."""
    if word.since is None or word.since > at:
        return None
    if word.state == "hold":
        ends = next((later.said for later, _ in found if later.said > word.said and later.state == "good"), None)
        if ends is not None and at >= ends:
            return None
    return Revoked(word.since, word.reason or (HOLD if word.state == "hold" else ""))


def _vouches(word: Word, certificate: bytes, at: datetime) -> bool:
    """Whether a word says that the certificate was not revoked at ``at``, revoked later perhaps."""
    if word.state == "unknown":
        return False
    if word.since is not None:
        return at < word.since
    if word.said < at:
        return at <= word.until
    return word.said <= _expires(certificate)  # of what has expired a list says nothing (RFC 5280 3.3)


@lru_cache(maxsize=1024)
def _expires(certificate: bytes) -> datetime:
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc
