"""Reading and verifying CMS SignedData of others: envelopes and time-stamp tokens (RFC 5652, EN 319 122-1).

Hostile input: octets, certificates and attributes are bounded, BER is read and never written back, and what names
SHA-1 or MD5 is refused by standing in no table (TS 119 312).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from asn1crypto import cms
from asn1crypto import x509 as asn1_x509

from kepgw.errors import FormatError, SignatureInvalid, Sub
from kepgw.evidence import bounds
from kepgw.evidence.certificates import LARGEST as LARGEST_CERTIFICATE
from kepgw.trust import ber, der
from kepgw.trust.algorithms import DIGEST_OIDS, DIGEST_SIZES, verify_signature

CHECK = "envelope-signature"
DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
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
_UTC_TIME = re.compile(rb"\x17\x0d\d{12}Z")


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
    remembered: who verifies has mostly looked inside before. Larger ones, with a whole message
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
    except Exception as error:  # parts that are missing (ValueError), and asn1crypto's of many kinds
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
    outer = ber.inside(octets, ber.whole(octets, ber.SEQUENCE))
    if len(outer) != 2 or ber.identifier(octets, outer[0]) != SIGNED_DATA:
        raise FormatError("a CMS that is no SignedData")
    (signed,) = ber.inside(octets, ber.expected(outer[1], 0xA0))
    # RFC 5652 5.1: version, digestAlgorithms, encapContentInfo, [0] certificates, [1] crls, signerInfos
    version, algorithms, encapsulated, *rest = ber.inside(octets, ber.expected(signed, ber.SEQUENCE))
    ber.integer(octets, version)
    ber.expected(algorithms, ber.SET)
    certificates = _certificates(octets, rest.pop(0) if rest and rest[0].tag == 0xA0 else None)
    if rest and rest[0].tag == 0xA1:
        rest.pop(0)
    (infos,) = rest
    signers = ber.inside(octets, ber.expected(infos, ber.SET))
    if len(signers) != 1:
        raise SignatureInvalid(f"{len(signers)} signers in place of one", sub=Sub.FORMAT_FAILURE)
    return _signer_info(octets, signers[0], certificates, *_content(octets, encapsulated))


def _signer_info(
    octets: bytes, info: ber.Element, certificates: tuple[bytes, ...], content_type: str, content: bytes | None
) -> CmsReading:
    # RFC 5652 5.3: version, sid, digestAlgorithm, [0] signedAttrs, signatureAlgorithm, signature, [1] unsignedAttrs
    version, sid, digested, *rest = ber.inside(octets, ber.expected(info, ber.SEQUENCE))
    ber.integer(octets, version)
    signed = rest.pop(0) if rest and rest[0].tag == 0xA0 else None
    signing, signature, *rest = rest
    unsigned = rest.pop(0) if rest and rest[0].tag == 0xA1 else None
    if rest:
        raise FormatError("a SignerInfo with more parts than it has")
    attributes = _attributes(octets, signed)
    assert signed is not None
    digest = _digest_algorithm(ber.as_given(octets, digested))
    kind, salt = _signature(ber.as_given(octets, signing), digest)
    _check_protection(attributes.get(_PROTECTION), ber.as_given(octets, digested), ber.as_given(octets, signing))
    named_type, named_digest = _required(attributes, _CONTENT_TYPE), _required(attributes, _MESSAGE_DIGEST)
    time = attributes.get(_SIGNING_TIME)
    return CmsReading(
        signer=_signer(octets, sid, certificates),
        certificates=certificates,
        content_type=content_type,
        content=content,
        attribute_content_type=ber.identifier(named_type, ber.whole(named_type, ber.OID)),
        message_digest=ber.octet_string(named_digest, ber.element(named_digest, 0, len(named_digest))),
        signing_time=None if time is None else _time(time),
        certificate_id=_certificate_id(attributes),
        algorithm=f"{kind}-{digest}",
        kind=kind,
        digest_algorithm=digest,
        salt=salt,
        # signed as a SET, carried as [0] (RFC 5652 5.4)
        signed_attributes=der.tlv(ber.SET, ber.content(octets, signed)),
        signature=ber.octet_string(octets, signature),
        token=_token(octets, unsigned),
    )


def _content(octets: bytes, encapsulated: ber.Element) -> tuple[str, bytes | None]:
    """Type and octets of the encapsulated content, None when detached."""
    named, *held = ber.inside(octets, ber.expected(encapsulated, ber.SEQUENCE))
    if not held:
        return ber.identifier(octets, named), None
    ((one,),) = (ber.inside(octets, ber.expected(each, 0xA0)) for each in held)
    return ber.identifier(octets, named), ber.octet_string(octets, one)


def _certificates(octets: bytes, held: ber.Element | None) -> tuple[bytes, ...]:
    """The X.509 certificates; the other choices of RFC 5652 10.2.2 have context tags and are passed over."""
    found = [] if held is None else ber.inside(octets, held)
    if len(found) > MOST_CERTIFICATES:
        raise FormatError(f"{len(found)} certificates in one signature")
    certificates = tuple(ber.as_given(octets, each) for each in found if each.tag == ber.SEQUENCE)
    if any(len(each) > LARGEST_CERTIFICATE for each in certificates):
        raise FormatError("a certificate that is too large")
    return certificates


def _signer(octets: bytes, sid: ber.Element, certificates: tuple[bytes, ...]) -> bytes:
    """The certificate that the SignerIdentifier names (RFC 5652 5.3)."""
    if sid.tag == ber.SEQUENCE:
        issuer, number = ber.inside(octets, sid)
        serial, name = ber.integer(octets, number), ber.as_given(octets, issuer)
        alike = [each for each in certificates if _issuer_and_serial(each)[1] == serial]
        found = [each for each in alike if _issuer_and_serial(each)[0] == name]
        # the name may be encoded otherwise than in the certificate (RFC 5280 7.1)
        found = found or [each for each in alike if _entered(each).issuer == asn1_x509.Name.load(name)]
    elif sid.tag == 0x80:
        found = [each for each in certificates if _entered(each).key_identifier == ber.content(octets, sid)]
    else:
        raise FormatError("a SignerIdentifier of an unknown kind")
    if not found:
        raise SignatureInvalid(
            "the signer's certificate does not travel with the signature", sub=Sub.NO_SIGNING_CERTIFICATE_FOUND
        )
    return found[0]


@lru_cache(maxsize=512)
def _issuer_and_serial(certificate: bytes) -> tuple[bytes, int | None]:
    """The issuer's name as it is encoded, and the serial number; None for what is no certificate."""
    try:
        (tbs, *_) = ber.inside(certificate, ber.whole(certificate, ber.SEQUENCE))
        parts = ber.inside(certificate, ber.expected(tbs, ber.SEQUENCE))
        number, _, issuer, *_ = parts[1:] if parts[0].tag == 0xA0 else parts
        return ber.as_given(certificate, issuer), ber.integer(certificate, number)
    except (FormatError, ValueError, IndexError):
        return b"", None


def _entered(certificate: bytes) -> Any:
    """A certificate that asn1crypto may read."""
    bounds.check(certificate)
    return asn1_x509.Certificate.load(certificate, strict=True)


def _attributes(octets: bytes, held: ber.Element | None) -> dict[str, bytes]:
    """Signed attributes by OID, each with its one value in DER; a doubled one is an attempt to confuse."""
    found = [] if held is None else ber.inside(octets, held)
    if not found:
        raise SignatureInvalid("no signed attributes", sub=Sub.FORMAT_FAILURE)  # EN 319 122-1 6.3
    if len(found) > MOST_ATTRIBUTES:
        raise FormatError(f"{len(found)} signed attributes")
    attributes: dict[str, bytes] = {}
    for each in found:
        oid, values = _attribute(octets, each)
        if oid in attributes or len(values) != 1:
            raise SignatureInvalid(
                f"the signed attribute {oid} stands twice", sub=Sub.FORMAT_FAILURE
            )  # RFC 5652 5.3, 11
        attributes[oid] = ber.as_given(octets, values[0])
    return attributes


def _attribute(octets: bytes, one: ber.Element) -> tuple[str, list[ber.Element]]:
    named, values = ber.inside(octets, ber.expected(one, ber.SEQUENCE))
    return ber.identifier(octets, named), ber.inside(octets, ber.expected(values, ber.SET))


def _required(attributes: Mapping[str, bytes], oid: str) -> bytes:
    if oid not in attributes:
        raise SignatureInvalid(f"the signed attribute {oid} is missing", sub=Sub.FORMAT_FAILURE)
    return attributes[oid]


def _time(octets: bytes) -> datetime:
    """A signing time (RFC 5652 11.3)."""
    if _UTC_TIME.fullmatch(octets):
        year, month, day, hour, minute, second = (int(octets[at : at + 2]) for at in range(2, 14, 2))
        return datetime(year + (2000 if year < 50 else 1900), month, day, hour, minute, second, tzinfo=UTC)
    found: datetime = cms.Time.load(octets, strict=True).native  # of other makers
    return found.astimezone(UTC)


@lru_cache(maxsize=64)
def _digest_algorithm(octets: bytes) -> str:
    """The name of a digest by its AlgorithmIdentifier."""
    return _digest(cms.DigestAlgorithm.load(octets, strict=True))


def _digest(identifier: Any) -> str:
    try:
        return _DIGESTS[identifier["algorithm"].dotted]
    except KeyError:
        name = identifier["algorithm"].native
        raise SignatureInvalid(f"the digest {name} is refused", sub=Sub.CRYPTO_CONSTRAINTS_FAILURE) from None


@lru_cache(maxsize=64)
def _signature(octets: bytes, digest: str) -> tuple[str, int]:
    """The kind of a signature by its AlgorithmIdentifier, and its salt; its digest must be that of the SignerInfo."""
    kind, own, salt = signature_algorithm(cms.SignedDigestAlgorithm.load(octets, strict=True))
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


@lru_cache(maxsize=64)
def _check_protection(value: bytes | None, digested: bytes, signing: bytes) -> None:
    """RFC 6211 2: where CMSAlgorithmProtection stands, it repeats the SignerInfo's algorithms."""
    if value is None:
        return
    protection = cms.CMSAlgorithmProtection.load(value, strict=True)
    same = protection["digest_algorithm"].native == cms.DigestAlgorithm.load(digested, strict=True).native
    signature = cms.SignedDigestAlgorithm.load(signing, strict=True)
    if not same or protection["signature_algorithm"].native != signature.native:
        raise SignatureInvalid("the algorithms are not those that were protected", sub=Sub.SIG_CRYPTO_FAILURE)


def _certificate_id(attributes: Mapping[str, bytes]) -> CertificateId | None:
    """The first id of signingCertificateV2, or of version 1 when that is all there is (RFC 5035 5.4)."""
    value, version_2 = attributes.get(_CERTIFICATE_V2), True
    if value is None:
        value, version_2 = attributes.get(_CERTIFICATE_V1), False
    return None if value is None else _first_id(value, version_2)


@lru_cache(maxsize=64)
def _first_id(octets: bytes, version_2: bool) -> CertificateId:
    certificates, *_ = ber.inside(octets, ber.whole(octets, ber.SEQUENCE))
    first, *_ = ber.inside(octets, ber.expected(certificates, ber.SEQUENCE))
    # ESSCertIDv2: hashAlgorithm DEFAULT sha256, certHash, issuerSerial; version 1 has no hashAlgorithm
    parts = ber.inside(octets, ber.expected(first, ber.SEQUENCE))
    algorithm = "sha256" if version_2 else "sha1"
    if version_2 and parts[0].tag == ber.SEQUENCE:
        algorithm = _digest_algorithm(ber.as_given(octets, parts.pop(0)))
    serial = None
    if len(parts) > 1:
        _, number = ber.inside(octets, ber.expected(parts[1], ber.SEQUENCE))
        serial = ber.integer(octets, number)
    return CertificateId(algorithm, ber.octet_string(octets, parts[0]), serial)


def _token(octets: bytes, held: ber.Element | None) -> bytes | None:
    """The first signature time stamp among the unsigned attributes."""
    found = [] if held is None else ber.inside(octets, held)
    if len(found) > MOST_ATTRIBUTES:
        raise FormatError(f"{len(found)} unsigned attributes")
    for each in found:
        oid, values = _attribute(octets, each)
        if oid == _TIME_STAMP and values:
            return ber.as_given(octets, values[0])
    return None
