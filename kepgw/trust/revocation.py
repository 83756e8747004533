"""Revocation as files tell it, without any network: CRLs (RFC 5280 5) and OCSP responses (RFC 6960).

What a trusted file calls revoked is revoked. Nothing follows from a file that is missing or old: how often files are
fetched is the administrator's to decide. Indirect CRLs and deltas are not read.
"""

import hashlib
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from kepgw.errors import SignatureInvalid, Sub
from kepgw.evidence.certificates import UNREADABLE

CHECK = "revocation"


def check(chain: Sequence[bytes], crls: Sequence[bytes], responses: Sequence[bytes], at: datetime) -> bool:
    """Whether the leaf of ``chain`` (DER, anchor last) is known to be good from a file; all are DER.

    Raises SignatureInvalid(check="revocation") when a certificate below the anchor is revoked at ``at``.
    """
    read = [x509.load_der_x509_certificate(each) for each in chain]
    known = False
    for depth, (certificate, issuer) in enumerate(itertools.pairwise(read)):
        answers = [_by_crl(each, certificate, issuer, at) for each in crls]
        answers += [_by_response(each, certificate, issuer, at) for each in responses]
        known = known or (depth == 0 and "good" in answers)
        if "revoked" in answers:
            name = certificate.subject.rfc4514_string()[:200]
            raise SignatureInvalid(
                f"{name} was revoked before {at.astimezone(UTC):%Y-%m-%d %H:%M}Z", CHECK, Sub.REVOKED
            )
    return known


def _by_crl(octets: bytes, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> str:
    """What one CRL says: "good", "revoked" or "" when it is not this issuer's."""
    crl = load_crl(octets)
    if crl is None or crl.issuer != certificate.issuer or not _crl_signed(octets, issuer.public_bytes(Encoding.DER)):
        return ""
    entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    if entry is not None and entry.revocation_date_utc <= at:
        return "revoked"
    return "good" if crl.next_update_utc is None or at <= crl.next_update_utc else ""


@lru_cache(maxsize=64)
def load_crl(octets: bytes) -> x509.CertificateRevocationList | None:
    """A complete CRL, None for anything else."""
    try:
        crl = x509.load_der_x509_crl(octets)
        kinds = {each.oid for each in crl.extensions}
    except UNREADABLE:
        return None
    return None if x509.DeltaCRLIndicator.oid in kinds else crl


@lru_cache(maxsize=256)
def _crl_signed(octets: bytes, issuer: bytes) -> bool:
    """A CRL of a large authority has 100,000 entries: its signature is checked once."""
    crl = load_crl(octets)
    key = x509.load_der_x509_certificate(issuer).public_key()
    try:
        return (
            crl is not None
            and isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
            and (crl.is_signature_valid(key))
        )
    except UNREADABLE:
        return False


def load_response(octets: bytes) -> ocsp.OCSPResponse | None:
    """A successful OCSP response, None for anything else."""
    try:
        response = ocsp.load_der_ocsp_response(octets)
    except UNREADABLE:
        return None
    return response if response.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL else None


def _by_response(octets: bytes, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> str:
    response = load_response(octets)
    if response is None:
        return ""
    try:
        for single in response.responses:
            if single.serial_number != certificate.serial_number or not _names(single, issuer):
                continue
            if not _response_signed(response, issuer, at):
                return ""
            status = single.certificate_status
            if status is ocsp.OCSPCertStatus.REVOKED:
                when = single.revocation_time_utc
                return "revoked" if when is None or when <= at else ""
            fresh = single.next_update_utc is None or at <= single.next_update_utc
            return "good" if status is ocsp.OCSPCertStatus.GOOD and fresh else ""
    except UNREADABLE:
        pass
    return ""


def _names(single: ocsp.OCSPSingleResponse, issuer: x509.Certificate) -> bool:
    """Whether a single response speaks of a certificate of ``issuer`` (RFC 6960 4.1.1); SHA-1 is only a name here."""
    name = hashlib.new(single.hash_algorithm.name, issuer.subject.public_bytes(), usedforsecurity=False).digest()
    return name == single.issuer_name_hash


def _response_signed(response: ocsp.OCSPResponse, issuer: x509.Certificate, at: datetime) -> bool:
    """Signed by the issuer, or by a responder that it has made one (RFC 6960 4.2.2.2)."""
    for signer in (issuer, *response.certificates):
        if signer != issuer and not _delegated(signer, issuer, at):
            continue
        if _verified(response, signer):
            return True
    return False


def _delegated(responder: x509.Certificate, issuer: x509.Certificate, at: datetime) -> bool:
    try:
        responder.verify_directly_issued_by(issuer)
        purposes = responder.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, x509.ExtensionNotFound, *UNREADABLE):
        return False
    in_time = responder.not_valid_before_utc <= at <= responder.not_valid_after_utc
    return in_time and ExtendedKeyUsageOID.OCSP_SIGNING in purposes


def _verified(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    key, digest = signer.public_key(), response.signature_hash_algorithm
    if digest is None or digest.name in ("md5", "sha1"):
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(digest))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
