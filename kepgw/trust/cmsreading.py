"""Reading and verifying CMS SignedData of others: envelopes and time-stamp tokens (RFC 5652, EN 319 122-1).

Hostile input: octets, certificates and attributes are bounded, BER is read and never written back, and what names
SHA-1 or MD5 is refused by standing in no table (TS 119 312).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from asn1crypto import cms, core, tsp

from kepgw.errors import FormatError, SignatureInvalid, Sub
from kepgw.evidence import bounds
from kepgw.evidence.certificates import LARGEST as LARGEST_CERTIFICATE
from kepgw.trust import der
from kepgw.trust.algorithms import DIGEST_OIDS, DIGEST_SIZES, verify_signature

CHECK = "envelope-signature"
DATA = "1.2.840.113549.1.7.1"
TST_INFO = "1.2.840.113549.1.9.16.1.4"

LARGEST = 1 << 20  # octets of a signature: a chain of six certificates and a token are below 20 KB
MOST_CERTIFICATES = 32
MOST_ATTRIBUTES = 32

_DIGESTS = {oid: name for name, oid in DIGEST_OIDS.items()}
# "" = the digest of the SignerInfo (bare rsaEncryption, RFC 3370 3.2) or that of the PSS parameters
_SIGNATURES = {
    "1.2.840.113549.1.1.1": ("rsa", ""),
    "1.2.840.113549.1.1.11": ("rsa", "sha256"),
    "1.2.840.113549.1.1.12": ("rsa", "sha384"),
    "1.2.840.113549.1.1.13": ("rsa", "sha512"),
    "1.2.840.113549.1.1.10": ("rsa-pss", ""),
    "1.2.840.10045.4.3.2": ("ecdsa", "sha256"),
    "1.2.840.10045.4.3.3": ("ecdsa", "sha384"),
    "1.2.840.10045.4.3.4": ("ecdsa", "sha512"),
}
_CONTENT_TYPE = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_SIGNING_TIME = "1.2.840.113549.1.9.5"
_PROTECTION = "1.2.840.113549.1.9.52"
_CERTIFICATE_V1 = "1.2.840.113549.1.9.16.2.12"
_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
_TIME_STAMP = "1.2.840.113549.1.9.16.2.14"


@dataclass(frozen=True)
class CertificateId:
    """What a signing-certificate attribute says of the signer: ``digest`` by ``algorithm`` ("sha1" in v1 only)."""

    algorithm: str
    digest: bytes
    serial: int | None


@dataclass(frozen=True)
class CmsReading:
    """A SignedData with one signer, taken apart; nothing in it is trusted before ``verify``.

    ``signer`` is the DER certificate that the SignerInfo names, ``certificates`` all that travel along, ``content``
    the encapsulated octets or None when detached, ``token`` the DER of the first signature time stamp or None.
    """

    signer: bytes
    certificates: tuple[bytes, ...]
    content_type: str
    content: bytes | None
    attribute_content_type: str
    message_digest: bytes
    signing_time: datetime | None
    certificate_id: CertificateId | None
    algorithm: str
    kind: str
    digest_algorithm: str
    salt: int
    signed_attributes: bytes
    signature: bytes
    token: bytes | None


def read(octets: bytes, most: int = LARGEST) -> CmsReading:
    """Take a ContentInfo of at most ``most`` octets apart.

    Raises FormatError for broken octets, SignatureInvalid for what is never accepted. The last few readings are
    remembered: who verifies has mostly looked inside before (0.35 ms each time). Larger ones, with a whole message
    inside, are not.
    """
    if len(octets) > most:
        raise FormatError(f"a CMS signature of {len(octets)} octets")
    return _remembered(octets) if len(octets) <= LARGEST else _remembered.__wrapped__(octets)


@lru_cache(maxsize=16)
def _remembered(octets: bytes) -> CmsReading:
    try:
        return _read(octets)
    except (FormatError, SignatureInvalid):
        raise
    except Exception as error:  # asn1crypto: ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError
        raise FormatError(f"not a readable CMS signature: {error}") from error


def verify(octets: bytes, digest: bytes | Mapping[str, bytes], *, check: str = CHECK) -> CmsReading:
    """Verify a detached CAdES signature over content with this digest; the certificate path is judged elsewhere.

    ``digest`` is the content's SHA-256 (SHA-384 and SHA-512 are known by their length), or several by name
    ("sha256", ...). Raises SignatureInvalid(check) when anything does not hold, broken octets included.
    """
    try:
        reading = read(octets)
    except (FormatError, SignatureInvalid) as error:
        raise SignatureInvalid(str(error), check, error.sub) from error
    if reading.content is not None:
        raise SignatureInvalid(
            "the signature carries content of its own, so it does not speak of the message", check, Sub.FORMAT_FAILURE
        )
    if reading.content_type != DATA:
        raise SignatureInvalid(f"the signed content has type {reading.content_type}", check, Sub.FORMAT_FAILURE)
    digests = digest if isinstance(digest, Mapping) else {DIGEST_SIZES.get(len(digest), ""): digest}
    if reading.digest_algorithm not in digests:
        raise SignatureInvalid(
            f"no {reading.digest_algorithm} digest of the content is at hand", check, Sub.SIGNED_DATA_NOT_FOUND
        )
    verify_reading(reading, digests[reading.digest_algorithm], check)
    return reading


def verify_reading(reading: CmsReading, digest: bytes, check: str, *, sha1_id: bool = False) -> None:
    """What detached signatures and tokens share: attributes, signing certificate, signature value.

    ``sha1_id`` lets a signing-certificate attribute of version 1 pass (RFC 5816: tokens of older authorities); the
    signature itself never uses SHA-1. Raises SignatureInvalid(check).
    """
    if reading.attribute_content_type != reading.content_type:
        raise SignatureInvalid(
            "the signed content type is not that of the content", check, Sub.FORMAT_FAILURE
        )  # RFC 5652 11.1
    if reading.message_digest != digest:
        raise SignatureInvalid("the content is not what was signed: its digest differs", check, Sub.HASH_FAILURE)
    named = reading.certificate_id
    if named is None:
        raise SignatureInvalid(
            "no signing-certificate attribute", check, Sub.NO_SIGNING_CERTIFICATE_FOUND
        )  # EN 319 122-1 6.3
    if named.algorithm == "sha1" and not sha1_id:
        raise SignatureInvalid("the signing certificate is named by SHA-1 only", check, Sub.CRYPTO_CONSTRAINTS_FAILURE)
    if hashlib.new(named.algorithm, reading.signer, usedforsecurity=False).digest() != named.digest:
        raise SignatureInvalid(
            "the signing-certificate attribute names another certificate", check, Sub.NO_SIGNING_CERTIFICATE_FOUND
        )
    try:
        verify_signature(
            reading.signer,
            reading.kind,
            reading.digest_algorithm,
            reading.salt,
            reading.signature,
            reading.signed_attributes,
            check,
        )
    except SignatureInvalid as error:
        raise error.under(check) from error


def _read(octets: bytes) -> CmsReading:
    bounds.check(octets, bounds.SIGNATURE)
    outer = cms.ContentInfo.load(octets, strict=True)
    if outer["content_type"].native != "signed_data":
        raise FormatError(f"CMS of type {outer['content_type'].native}")
    signed = outer["content"]
    infos = signed["signer_infos"]
    if len(infos) != 1:
        raise SignatureInvalid(f"{len(infos)} signers in place of one", sub=Sub.FORMAT_FAILURE)
    info = infos[0]
    certificates = _certificates(signed)
    attributes = _attributes(info["signed_attrs"])
    digest = _digest(info["digest_algorithm"])
    kind, salt = _signature(info["signature_algorithm"], digest)
    _check_protection(attributes.get(_PROTECTION), info)
    time = attributes.get(_SIGNING_TIME)
    content = signed["encap_content_info"]["content"]
    return CmsReading(
        signer=_signer(info["sid"], certificates),
        certificates=tuple(map(der.as_given, certificates)),
        content_type=signed["encap_content_info"]["content_type"].dotted,
        content=_content(content),
        attribute_content_type=_required(attributes, _CONTENT_TYPE, core.ObjectIdentifier).dotted,
        message_digest=_required(attributes, _MESSAGE_DIGEST, core.OctetString).native,
        signing_time=None if time is None else cms.Time.load(time, strict=True).native.astimezone(UTC),
        certificate_id=_certificate_id(attributes),
        algorithm=f"{kind}-{digest}",
        kind=kind,
        digest_algorithm=digest,
        salt=salt,
        signed_attributes=info["signed_attrs"].untag().dump(),
        signature=info["signature"].native,
        token=_token(info["unsigned_attrs"]),
    )


def _content(found: Any) -> bytes | None:
    """The encapsulated octets, None when detached."""
    if isinstance(found, core.Void) or found.contents is None:
        return None
    # in a version that does not fit the content asn1crypto reads none (RFC 5652 5.1)
    if not isinstance(found, core.OctetString | core.ParsableOctetString):
        raise FormatError("encapsulated content that is no octet string")
    return bytes(found)


def _certificates(signed: Any) -> list[Any]:
    choices = signed["certificates"]
    if isinstance(choices, core.Void):
        return []
    if len(choices) > MOST_CERTIFICATES:
        raise FormatError(f"{len(choices)} certificates in one signature")
    found = [each.chosen for each in choices if each.name == "certificate"]
    if any(len(each.contents) > LARGEST_CERTIFICATE for each in found):
        raise FormatError("a certificate that is too large")
    return found


def _signer(sid: Any, certificates: list[Any]) -> bytes:
    """The certificate that the SignerIdentifier names (RFC 5652 5.3)."""
    for certificate in certificates:
        if sid.name == "issuer_and_serial_number":
            named = sid.chosen
            if certificate.serial_number == named["serial_number"].native and (
                certificate.issuer.chosen.contents == named["issuer"].chosen.contents
                or _entered(certificate).issuer == named["issuer"]
            ):
                return der.as_given(certificate)
        elif _entered(certificate).key_identifier == sid.chosen.native:
            return der.as_given(certificate)
    raise SignatureInvalid(
        "the signer's certificate does not travel with the signature", sub=Sub.NO_SIGNING_CERTIFICATE_FOUND
    )


def _entered(certificate: Any) -> Any:
    """A certificate in which asn1crypto may read further than its serial number."""
    bounds.check(der.as_given(certificate))
    return certificate


def _attributes(found: Any) -> dict[str, bytes]:
    """Signed attributes by OID, each with its one value in DER; a doubled one is an attempt to confuse."""
    if isinstance(found, core.Void) or not len(found):
        raise SignatureInvalid("no signed attributes", sub=Sub.FORMAT_FAILURE)  # EN 319 122-1 6.3
    if len(found) > MOST_ATTRIBUTES:
        raise FormatError(f"{len(found)} signed attributes")
    attributes: dict[str, bytes] = {}
    for attribute in found:
        oid = attribute["type"].dotted
        if oid in attributes or len(attribute["values"]) != 1:
            raise SignatureInvalid(
                f"the signed attribute {oid} stands twice", sub=Sub.FORMAT_FAILURE
            )  # RFC 5652 5.3, 11
        attributes[oid] = attribute["values"][0].dump()
    return attributes


def _required(attributes: Mapping[str, bytes], oid: str, kind: Any) -> Any:
    if oid not in attributes:
        raise SignatureInvalid(f"the signed attribute {oid} is missing", sub=Sub.FORMAT_FAILURE)
    return kind.load(attributes[oid], strict=True)


def _digest(identifier: Any) -> str:
    try:
        return _DIGESTS[identifier["algorithm"].dotted]
    except KeyError:
        name = identifier["algorithm"].native
        raise SignatureInvalid(f"the digest {name} is refused", sub=Sub.CRYPTO_CONSTRAINTS_FAILURE) from None


def _signature(identifier: Any, digest: str) -> tuple[str, int]:
    """The kind of the signature and its salt length; its digest must be that of the SignerInfo."""
    kind, own, salt = signature_algorithm(identifier)
    if own not in ("", digest):
        raise SignatureInvalid(f"a {own} signature in a {digest} SignerInfo", sub=Sub.FORMAT_FAILURE)
    return kind, salt


def signature_algorithm(identifier: Any) -> tuple[str, str, int]:
    """Kind, digest ("" when it stands elsewhere) and salt length of asn1crypto's AlgorithmIdentifier of a signature.

    Raises SignatureInvalid for what is refused, SHA-1 among it.
    """
    oid = identifier["algorithm"].dotted
    if oid not in _SIGNATURES:
        name = identifier["algorithm"].native
        raise SignatureInvalid(f"the signature algorithm {name} is refused", sub=Sub.CRYPTO_CONSTRAINTS_FAILURE)
    kind, own = _SIGNATURES[oid]
    salt = 0
    if kind == "rsa-pss":
        parameters = identifier["parameters"]
        own = _digest(parameters["hash_algorithm"])
        mask = parameters["mask_gen_algorithm"]
        if mask["algorithm"].native != "mgf1" or _digest(mask["parameters"]) != own:
            raise SignatureInvalid("RSASSA-PSS with a mask of another digest", sub=Sub.CRYPTO_CONSTRAINTS_FAILURE)
        salt = parameters["salt_length"].native
        if not 0 <= salt <= 512 or parameters["trailer_field"].native != "trailer_field_bc":
            raise SignatureInvalid("RSASSA-PSS with unusual parameters", sub=Sub.CRYPTO_CONSTRAINTS_FAILURE)
    return kind, own, salt


def _check_protection(value: bytes | None, info: Any) -> None:
    """RFC 6211 2: where CMSAlgorithmProtection stands, it repeats the SignerInfo's algorithms."""
    if value is None:
        return
    protection = cms.CMSAlgorithmProtection.load(value, strict=True)
    same = protection["digest_algorithm"].native == info["digest_algorithm"].native
    if not same or protection["signature_algorithm"].native != info["signature_algorithm"].native:
        raise SignatureInvalid("the algorithms are not those that were protected", sub=Sub.SIG_CRYPTO_FAILURE)


def _certificate_id(attributes: Mapping[str, bytes]) -> CertificateId | None:
    """The first id of signingCertificateV2, or of version 1 when that is all there is (RFC 5035 5.4)."""
    if _CERTIFICATE_V2 in attributes:
        named = tsp.SigningCertificateV2.load(attributes[_CERTIFICATE_V2], strict=True)["certs"][0]
        algorithm = _digest(named["hash_algorithm"])
    elif _CERTIFICATE_V1 in attributes:
        named = tsp.SigningCertificate.load(attributes[_CERTIFICATE_V1], strict=True)["certs"][0]
        algorithm = "sha1"
    else:
        return None
    serial = named["issuer_serial"]
    return CertificateId(
        algorithm,
        named["cert_hash"].native,
        None if isinstance(serial, core.Void) else serial["serial_number"].native,
    )


def _token(found: Any) -> bytes | None:
    """The first signature time stamp among the unsigned attributes."""
    if isinstance(found, core.Void):
        return None
    if len(found) > MOST_ATTRIBUTES:
        raise FormatError(f"{len(found)} unsigned attributes")
    for attribute in found:
        if attribute["type"].dotted == _TIME_STAMP and len(attribute["values"]):
            return der.as_given(attribute["values"][0])
    return None
