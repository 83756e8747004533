"""CMS signatures of envelopes: CAdES B-B, with a signature time stamp on request (RFC 5652, EN 319 122-1).

Certificates, algorithms and the signer's identity are encoded once per key; a signature joins octets. The layout is
that of the ETSI kit: SHA-256, signed attributes contentType, signingTime, CMSAlgorithmProtection, messageDigest and
signingCertificateV2. Reading and verifying stand in ``kepgw.trust.cmsreading`` and are offered here as well.
"""

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from asn1crypto import x509

from kepgw.errors import ConfigurationError
from kepgw.evidence.algorithms import stamp_over
from kepgw.trust import der
from kepgw.trust.algorithms import SIGNATURES, digest_identifier
from kepgw.trust.cmsreading import CmsReading, read, verify

if TYPE_CHECKING:
    from kepgw.evidence.xades import Signer, Stamp

__all__ = ["CmsReading", "envelop", "read", "sign_detached", "verify"]

_SIGNED_DATA = der.oid("1.2.840.113549.1.7.2")
_DATA = "1.2.840.113549.1.7.1"
_VERSION_1 = der.integer(1)
_VERSION_3 = der.integer(3)


class _Static(NamedTuple):
    """What is the same in every signature of one key, in DER."""

    digest: str
    digest_algorithms: bytes
    certificates: bytes
    signer_head: bytes  # version, issuerAndSerialNumber, digestAlgorithm
    attributes: tuple[bytes, ...]  # CMSAlgorithmProtection, signingCertificateV2
    algorithm: bytes


def sign_detached(digest: bytes, signer: "Signer", at: datetime | None, stamp: "Stamp | None" = None) -> bytes:
    """The DER ContentInfo of a detached signature over content with this ``digest``.

    ``digest`` is the SHA-256 of the signed octets (SHA-384 or SHA-512 when the signer's algorithm has that; CMS uses
    one digest for content and attributes, RFC 5652 5.4). ``at`` becomes the signing time; None writes none, as a PDF
    needs it (EN 319 142-1 6.3). ``stamp`` adds the signature-time-stamp attribute over the signature value
    (EN 319 122-1 5.3). Raises ConfigurationError when the
    digest has another length, and whatever ``signer`` and ``stamp`` raise.
    """
    return envelop(_DATA, None, digest, signer, at, stamp)


def envelop(
    content_type: str,
    content: bytes | None,
    digest: bytes,
    signer: "Signer",
    at: datetime | None,
    stamp: "Stamp | None" = None,
) -> bytes:
    """The DER ContentInfo around a SignedData with the encapsulated ``content``, or detached when that is None.

    ``digest`` is that of the content octets. Time-stamp tokens come from here too, with their own content type.
    """
    static = _static(signer.certificate, tuple(signer.chain), signer.algorithm)
    if len(digest) != hashlib.new(static.digest).digest_size:
        raise ConfigurationError(f"a {signer.algorithm} key signs {static.digest} digests, not {len(digest)} octets")
    attributes = sorted(
        (
            _content_type(content_type),
            *([] if at is None else [der.attribute("1.2.840.113549.1.9.5", der.signing_time(at))]),
            der.attribute("1.2.840.113549.1.9.4", der.octet_string(digest)),
            *static.attributes,
        )
    )
    octets = b"".join(attributes)
    signature = signer.sign(der.tlv(0x31, octets))  # signed as a SET, carried as [0] (RFC 5652 5.4)
    unsigned = b""
    if stamp is not None:
        token = stamp_over(signature, stamp)
        unsigned = der.tlv(0xA1, der.attribute("1.2.840.113549.1.9.16.2.14", token))
    signer_info = der.sequence(
        static.signer_head, der.tlv(0xA0, octets), static.algorithm, der.octet_string(signature), unsigned
    )
    encapsulated = b"" if content is None else der.tagged(0, der.octet_string(content))
    signed_data = der.sequence(
        _VERSION_1 if content_type == _DATA else _VERSION_3,  # RFC 5652 5.1
        static.digest_algorithms,
        der.sequence(der.oid(content_type), encapsulated),
        static.certificates,
        der.tlv(0x31, signer_info),
    )
    return der.sequence(_SIGNED_DATA, der.tagged(0, signed_data))


@lru_cache(maxsize=16)
def _content_type(dotted: str) -> bytes:
    return der.attribute("1.2.840.113549.1.9.3", der.oid(dotted))


@lru_cache(maxsize=64)
def _static(certificate: bytes, chain: tuple[bytes, ...], algorithm: str) -> _Static:
    """Encode once what only depends on the key."""
    try:
        how = SIGNATURES[algorithm]
    except KeyError:
        raise ConfigurationError(f"unknown signature algorithm {algorithm!r}") from None
    leaf = x509.Certificate.load(certificate, strict=True)
    issuer, serial = leaf.issuer.dump(), der.integer(leaf.serial_number)
    digest_algorithm = digest_identifier(how.digest)
    # RFC 6211: digestAlgorithm, then [1] signatureAlgorithm, both as in the SignerInfo
    protection = der.sequence(digest_algorithm, b"\xa1" + how.identifier[1:])
    # RFC 5035 5.4.1.1: SHA-256 is the default and absent in DER; issuerSerial names the issuer as a directoryName
    named = der.sequence(der.sequence(der.tagged(4, issuer)), serial)
    certificate_id = der.sequence(der.octet_string(hashlib.sha256(certificate).digest()), named)
    return _Static(
        digest=how.digest,
        digest_algorithms=der.tlv(0x31, digest_algorithm),
        certificates=der.set_of((certificate, *chain), 0xA0),
        signer_head=_VERSION_1 + der.sequence(issuer, serial) + digest_algorithm,
        attributes=(
            der.attribute("1.2.840.113549.1.9.52", protection),
            der.attribute("1.2.840.113549.1.9.16.2.47", der.sequence(der.sequence(certificate_id))),
        ),
        algorithm=how.identifier,
    )
