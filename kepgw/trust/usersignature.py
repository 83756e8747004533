"""The judgement of a sender's own signature: CAdES-BES over the message, its certificate and its authority.

A qualified signature is what Turkish law calls a safe electronic signature (Law 5070 m.4); whether a certificate is
qualified its qcStatements say (EN 319 412-5 4.2.1), and that is believed only below an anchor of ours.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from asn1crypto import core
from cryptography import x509

from kepgw.errors import FormatError, SignatureInvalid, Sub
from kepgw.evidence import bounds
from kepgw.evidence.certificates import UNREADABLE, load
from kepgw.message.headers import Octets
from kepgw.message.usersignature import MAX_OPAQUE, UserSignature, forms
from kepgw.trust import cmsreading, material, paths
from kepgw.trust.certificates import name_of
from kepgw.trust.useranchors import Believed

SIGNATURE = "user-signature"
CERTIFICATE = "user-certificate"

_QC_STATEMENTS = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3")  # RFC 3739 3.2.6
_QC_COMPLIANCE = "0.4.0.1862.1.1"  # EN 319 412-5 4.2.1
_QC_TYPE = "0.4.0.1862.1.6"  # EN 319 412-5 4.2.3
_QCT_ESIGN = "0.4.0.1862.1.6.1"


class _Statement(core.Sequence):  # type: ignore[misc]
    """RFC 3739 3.2.6."""

    _fields = [("id", core.ObjectIdentifier), ("info", core.Any, {"optional": True})]  # noqa: RUF012


class _Statements(core.SequenceOf):  # type: ignore[misc]
    _child_spec = _Statement


class _Types(core.SequenceOf):  # type: ignore[misc]
    _child_spec = core.ObjectIdentifier


@dataclass(frozen=True, slots=True)
class SenderSignature:
    """A sender's signature that holds.

    ``method`` is that of the evidence (TS 102 640-2 B.1.7): "QES" when the certificate is qualified and anchored,
    "AdES-Plus" when it is anchored, "AdES" when its authority is unknown here; ``doubt`` then says why. ``form`` is
    what the client had signed (``kepgw.message.usersignature.forms``), or "opaque". ``revocation_known``: a file
    vouched for the certificate. Names are those of the certificate, for people; ``serial`` is in hex.
    """

    method: str
    name: str
    authority: str
    serial: str
    digest_algorithm: str
    form: str
    revocation_known: bool = False
    doubt: str = ""


def verify(octets: Octets, found: UserSignature, believed: Believed, at: datetime) -> SenderSignature:
    """Verify the signature that ``kepgw.message.usersignature.find`` found, at ``at``.

    Raises SignatureInvalid: check "user-signature" when it does not hold, "user-certificate" when the certificate is
    expired, not yet valid or revoked. An unknown authority is no error: the caller's rule decides.
    """
    try:
        reading = cmsreading.read(found.octets(octets), MAX_OPAQUE if found.content is None else cmsreading.LARGEST)
        form, digest = _signed_form(octets, found, reading)
        cmsreading.verify_reading(reading, digest, SIGNATURE)
    except (FormatError, SignatureInvalid) as error:
        raise SignatureInvalid(str(error), SIGNATURE, error.sub) from error
    leaf = _certificate(reading.signer)
    if not leaf.not_valid_before_utc <= at <= leaf.not_valid_after_utc:
        sub = Sub.EXPIRED if at > leaf.not_valid_after_utc else Sub.NOT_YET_VALID
        span = f"{leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}"
        raise SignatureInvalid(f"the certificate of {name_of(leaf.subject)} is valid {span}", CERTIFICATE, sub)
    method, doubt, known = _method(reading.signer, reading.certificates, believed, at)
    return SenderSignature(
        method=method,
        name=name_of(leaf.subject),
        authority=name_of(leaf.issuer),
        serial=f"{leaf.serial_number:x}",
        digest_algorithm=reading.digest_algorithm,
        form=form,
        revocation_known=known,
        doubt=doubt,
    )


def _signed_form(octets: Octets, found: UserSignature, reading: cmsreading.CmsReading) -> tuple[str, bytes]:
    """The first form of the content whose digest is the signed one; its name and digest."""
    if reading.content_type != cmsreading.DATA:
        raise SignatureInvalid(f"the signed content has type {reading.content_type}", SIGNATURE, Sub.FORMAT_FAILURE)
    if found.content is None:
        if reading.content is None:
            raise SignatureInvalid("an opaque signature without content", SIGNATURE, Sub.SIGNED_DATA_NOT_FOUND)
        return "opaque", hashlib.new(reading.digest_algorithm, reading.content).digest()
    if reading.content is not None:
        raise SignatureInvalid("a detached signature that carries content of its own", SIGNATURE, Sub.FORMAT_FAILURE)
    for name, pieces in forms(octets, found):
        hasher = hashlib.new(reading.digest_algorithm)
        for piece in pieces:
            hasher.update(piece)
        if hasher.digest() == reading.message_digest:
            return name, hasher.digest()
    raise SignatureInvalid(
        "the message is not what was signed: its digest differs in every known form", SIGNATURE, Sub.HASH_FAILURE
    )


def _method(signer: bytes, others: Sequence[bytes], believed: Believed, at: datetime) -> tuple[str, str, bool]:
    """The authentication method, what speaks against a higher one, whether a revocation file vouched."""
    if not believed.anchors:
        return "AdES", "no authority is trusted", False
    try:
        chain = paths.validate(signer, others, believed.anchors, at, usage="user")
    except SignatureInvalid as error:
        return "AdES", str(error), False
    try:
        known = material.check(chain, believed.crls, believed.responses, at)
    except SignatureInvalid as error:
        raise error.under(CERTIFICATE) from error
    return ("QES" if qualified(signer) else "AdES-Plus"), "", known


@lru_cache(maxsize=512)
def qualified(certificate: bytes) -> bool:
    """Whether a DER certificate says that it is qualified for signatures (EN 319 412-5): a word, not yet a proof.

    A certificate that names its type (4.2.3) must name signatures: seals and web sites are qualified in their own way.
    """
    read = _certificate(certificate)
    try:
        value = read.extensions.get_extension_for_oid(_QC_STATEMENTS).value
        octets = value.public_bytes()
        bounds.check(octets)
        found = {each["id"].dotted: each["info"] for each in _Statements.load(octets, strict=True)}
        if _QC_COMPLIANCE not in found:
            return False
        kind = found.get(_QC_TYPE)
        types = None if kind is None else {each.dotted for each in _Types.load(kind.dump(), strict=True)}
    except Exception:  # no such extension, or a stranger's octets: asn1crypto raises errors of many kinds
        return False
    return types is None or _QCT_ESIGN in types


def _certificate(certificate: bytes) -> x509.Certificate:
    try:
        read = load(certificate)
        _ = read.subject, read.issuer, read.not_valid_before_utc, read.not_valid_after_utc, read.serial_number
    except UNREADABLE as error:
        reason = f"the signer's certificate cannot be read: {error}"
        raise SignatureInvalid(reason, SIGNATURE, Sub.NO_SIGNING_CERTIFICATE_FOUND) from error
    return read
