"""What one CRL (RFC 5280 5) or OCSP response (RFC 6960) says of one certificate, without any network.

Only what is signed by the issuer, or by a responder that it has made one, says anything. Indirect CRLs, deltas and
lists of some reasons only are not read. What follows from several words together says ``kepgw.trust.material``.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, Literal

from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from kepgw.evidence.certificates import UNREADABLE, load
from kepgw.trust import der
from kepgw.trust.algorithms import HASHES, verify_signature
from kepgw.trust.cmsreading import signature_algorithm

CHECK: Final = "revocation"
HOLD: Final = "certificateHold"
# RFC 6960 2.4: without nextUpdate newer word is there at any time. How long the old one is good for is ours to say.
UNSAID: Final = timedelta(days=1)

_KNOWN: Final = frozenset(
    {x509.AuthorityKeyIdentifier.oid, x509.CRLNumber.oid, x509.IssuingDistributionPoint.oid, x509.FreshestCRL.oid}
)


@dataclass(frozen=True, slots=True)
class Word:
    """What one CRL or response says of one certificate.

    ``state``: "good", "revoked" for ever, "hold" until a later word, or "unknown" to its own authority. ``said`` is
    thisUpdate, ``until`` nextUpdate. ``since`` and ``reason`` (RFC 5280 5.3.1, "" when unsaid) are of a revocation.
    """

    state: Literal["good", "revoked", "hold", "unknown"]
    said: datetime
    until: datetime
    since: datetime | None = None
    reason: str = ""


@lru_cache(maxsize=64)
def crl_word(octets: bytes, certificate: bytes, issuer: bytes) -> Word | None:
    """What a CRL says of ``certificate`` below ``issuer`` (all DER), None when nothing: other lists say nothing."""
    crl = load_crl(octets)
    read, above = _certificate(certificate), _certificate(issuer)
    if crl is None or read is None or above is None or crl.issuer != read.issuer or not _crl_signed(octets, issuer):
        return None
    try:
        until = crl.next_update_utc or crl.last_update_utc + UNSAID
        entry = crl.get_revoked_certificate_by_serial_number(read.serial_number)
        if entry is not None:
            reason = _reason(entry)
            if reason != "removeFromCRL":
                state: Literal["hold", "revoked"] = "hold" if reason == HOLD else "revoked"
                return Word(state, crl.last_update_utc, until, entry.revocation_date_utc, reason)
        return Word("good", crl.last_update_utc, until) if _in_scope(crl, read) else None
    except UNREADABLE:
        return None


@lru_cache(maxsize=16)
def load_crl(octets: bytes) -> x509.CertificateRevocationList | None:
    """A complete CRL, None for anything else."""
    try:
        crl = x509.load_der_x509_crl(octets)
        kinds = {each.oid: each for each in crl.extensions}
        _ = crl.last_update_utc, crl.next_update_utc, crl.issuer
    except UNREADABLE:
        return None
    if x509.DeltaCRLIndicator.oid in kinds:
        return None
    scope = kinds.get(x509.IssuingDistributionPoint.oid)
    if scope is not None and (scope.value.indirect_crl or scope.value.only_contains_attribute_certs):
        return None
    return crl


def load_response(octets: bytes) -> ocsp.OCSPResponse | None:
    """A successful OCSP response, None for anything else."""
    try:
        response = ocsp.load_der_ocsp_response(octets)
    except UNREADABLE:
        return None
    return response if response.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL else None


@lru_cache(maxsize=1024)
def response_word(octets: bytes, certificate: bytes, issuer: bytes) -> Word | None:
    """What an OCSP response says of ``certificate`` below ``issuer`` (all DER), None when nothing."""
    response = load_response(octets)
    read, above = _certificate(certificate), _certificate(issuer)
    if response is None or read is None or above is None:
        return None
    try:
        for single in response.responses:
            if single.serial_number == read.serial_number and _names(single, above):
                return _word(single) if _response_signed(octets, issuer) else None
    except UNREADABLE:
        pass
    return None


def responders(octets: bytes) -> tuple[bytes, ...]:
    """The certificates (DER) that travel in an OCSP response."""
    response = load_response(octets)
    try:
        return () if response is None else tuple(each.public_bytes(Encoding.DER) for each in response.certificates)
    except UNREADABLE:
        return ()


def _word(single: ocsp.OCSPSingleResponse) -> Word:
    said = single.this_update_utc
    until = single.next_update_utc or said + UNSAID
    if single.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        flag = single.revocation_reason
        reason = "" if flag is None else flag.value
        return Word("hold" if reason == HOLD else "revoked", said, until, single.revocation_time_utc or said, reason)
    return Word("good" if single.certificate_status is ocsp.OCSPCertStatus.GOOD else "unknown", said, until)


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except x509.ExtensionNotFound:
        return ""


def _in_scope(crl: x509.CertificateRevocationList, certificate: x509.Certificate) -> bool:
    """Whether not standing in ``crl`` says that the certificate is not revoked (RFC 5280 6.3.3 b)."""
    if any(each.critical and each.oid not in _KNOWN for each in crl.extensions):  # RFC 5280 5.2
        return False
    try:
        scope = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return True
    if scope.only_some_reasons or scope.relative_name:
        return False
    if scope.only_contains_ca_certs and not is_authority(certificate):
        return False
    if scope.only_contains_user_certs and is_authority(certificate):
        return False
    if scope.full_name is None:
        return True
    return bool(set(scope.full_name) & set(_points(certificate)))


def _points(certificate: x509.Certificate) -> Iterator[x509.GeneralName]:
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return
    for point in points:
        yield from point.full_name or ()


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it is a certificate of an authority (RFC 5280 4.2.1.9)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False


@lru_cache(maxsize=16)
def _crl_signed(octets: bytes, issuer: bytes) -> bool:
    """A CRL of a large authority has 100,000 entries: its signature is checked once."""
    crl, above = load_crl(octets), _certificate(issuer)
    if crl is None or above is None:
        return False
    try:
        key, digest = above.public_key(), crl.signature_hash_algorithm
        if digest is None or digest.name not in HASHES or not _may_sign_lists(above):
            return False
        return isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) and crl.is_signature_valid(key)
    except UNREADABLE:
        return False


def _may_sign_lists(issuer: x509.Certificate) -> bool:
    """RFC 5280 6.3.3 f: a KeyUsage, where there is one, must allow it."""
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _names(single: ocsp.OCSPSingleResponse, issuer: x509.Certificate) -> bool:
    """Whether a single response speaks of a certificate of ``issuer`` (RFC 6960 4.1.1); SHA-1 is only a name here."""
    name = hashlib.new(single.hash_algorithm.name, issuer.subject.public_bytes(), usedforsecurity=False).digest()
    return name == single.issuer_name_hash


@lru_cache(maxsize=1024)
def _response_signed(octets: bytes, issuer: bytes) -> bool:
    """Signed by the issuer, or by a responder that it has made one (RFC 6960 4.2.2.2)."""
    response, above = load_response(octets), _certificate(issuer)
    if response is None or above is None:
        return False
    for signer in (issuer, *responders(octets)):
        if signer != issuer and not _delegated(signer, above, response.produced_at_utc):
            continue
        if verified(octets, signer):
            return True
    return False


def _delegated(responder: bytes, issuer: x509.Certificate, at: datetime) -> bool:
    read = _certificate(responder)
    if read is None:
        return False
    try:
        read.verify_directly_issued_by(issuer)
        purposes = read.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, x509.ExtensionNotFound, *UNREADABLE):
        return False
    in_time = read.not_valid_before_utc <= at <= read.not_valid_after_utc
    return in_time and ExtendedKeyUsageOID.OCSP_SIGNING in purposes


def verified(octets: bytes, signer: bytes) -> bool:
    """Whether the key of ``signer`` (DER) signed an OCSP response; by SHA-1 nothing is signed."""
    try:
        basic = asn1_ocsp.OCSPResponse.load(octets)["response_bytes"]["response"].parsed
        kind, digest, salt = signature_algorithm(basic["signature_algorithm"])
        signed, signature = der.as_given(basic["tbs_response_data"]), basic["signature"].native
        verify_signature(signer, kind, digest, salt, signature, signed, CHECK)
    except Exception:  # ours, and asn1crypto's of many kinds
        return False
    return True


def _certificate(octets: bytes) -> x509.Certificate | None:
    try:
        read = load(octets)
        _ = read.subject, read.issuer, read.not_valid_before_utc, read.not_valid_after_utc, read.serial_number
    except UNREADABLE:
        return None
    return read
