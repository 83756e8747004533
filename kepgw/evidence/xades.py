"""XAdES signatures of evidence (ETSI EN 319 132-1, B-B and B-T), one enveloped signature over the whole document.

This module signs; ``kepgw.evidence.xades_reader`` reads and verifies, and is offered here as well. Every signed part
is written as the canonical string that it is signed as: only the evidence itself goes through canonicalisation, and
what is the same for every signature of a key is made once.
"""

import base64
import hashlib
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from lxml import etree

from kepgw.errors import FormatError
from kepgw.evidence.algorithms import DIGESTS, SIGNATURES, Stamp, stamp_over
from kepgw.evidence.certificates import issuer_serial, public_key
from kepgw.evidence.markup import DECLARATION, canonical_form, parse, write_time
from kepgw.evidence.xades_reader import (
    DS,
    ENVELOPED,
    EXCLUSIVE,
    FILTER2,
    FILTER2_XPATH,
    SIGNED_PROPERTIES,
    XADES,
    XadesReading,
    read,
    stamped_octets,
    verify,
)

__all__ = ["Signer", "Stamp", "XadesReading", "read", "sign", "stamped_octets", "verify"]


class Signer(Protocol):
    """A process key. ``certificate`` and ``chain`` (intermediates, no root) are DER."""

    @property
    def certificate(self) -> bytes:
        """The leaf in DER."""

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The intermediates in DER, nearest first."""

    @property
    def algorithm(self) -> str:
        """A key of ``algorithms.SIGNATURES``."""

    def sign(self, data: bytes) -> bytes:
        """The signature over ``data``, hashed by the key itself; ECDSA in DER. Raises SigningUnavailable."""


_REFERENCE_TRANSFORMS = {
    True: f'<ds:Transform Algorithm="{ENVELOPED}"></ds:Transform>',
    False: (
        f'<ds:Transform Algorithm="{FILTER2}"><dsig-filter2:XPath xmlns:dsig-filter2="{FILTER2}" Filter="subtract">'
        f"{FILTER2_XPATH}</dsig-filter2:XPath></ds:Transform>"
    ),
}
_EXCLUSIVE_TRANSFORM = f'<ds:Transform Algorithm="{EXCLUSIVE}"></ds:Transform>'
_SHA256 = f'<ds:DigestMethod Algorithm="{DIGESTS["sha256"]}"></ds:DigestMethod>'


class _Fixed(NamedTuple):
    """What every signature of one key shares."""

    signed_info: str  # up to the Id of the first reference
    certificate: str  # SigningCertificateV2
    key_info: str
    coordinate: int  # octets of r and of s; 0 for RSA


@lru_cache(maxsize=64)
def _fixed(certificate: bytes, chain: tuple[bytes, ...], algorithm: str) -> _Fixed:
    key = public_key(certificate)
    coordinate = (key.curve.key_size + 7) // 8 if isinstance(key, ec.EllipticCurvePublicKey) else 0
    if (SIGNATURES[algorithm].family == "ecdsa") != bool(coordinate):
        raise ValueError(f"{algorithm} with a key of another kind")
    digest = base64.b64encode(hashlib.sha512(certificate).digest()).decode()
    return _Fixed(
        signed_info=(
            f'<ds:SignedInfo xmlns:ds="{DS}">'
            f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"></ds:CanonicalizationMethod>'
            f'<ds:SignatureMethod Algorithm="{SIGNATURES[algorithm].uri}"></ds:SignatureMethod>'
        ),
        certificate=(
            "<xades:SigningCertificateV2><xades:Cert><xades:CertDigest>"
            f'<ds:DigestMethod xmlns:ds="{DS}" Algorithm="{DIGESTS["sha512"]}"></ds:DigestMethod>'
            f'<ds:DigestValue xmlns:ds="{DS}">{digest}</ds:DigestValue></xades:CertDigest>'
            f"<xades:IssuerSerialV2>{base64.b64encode(issuer_serial(certificate)).decode()}</xades:IssuerSerialV2>"
            "</xades:Cert></xades:SigningCertificateV2>"
        ),
        key_info="<ds:KeyInfo><ds:X509Data>"
        + "".join(
            f"<ds:X509Certificate>{base64.b64encode(one).decode()}</ds:X509Certificate>"
            for one in (certificate, *chain)
        )
        + "</ds:X509Data></ds:KeyInfo>",
        coordinate=coordinate,
    )


def sign(xml: bytes, signer: Signer, at: datetime, stamp: Stamp | None, *, enveloped: bool = True) -> bytes:
    """``xml`` with one XAdES signature as the last child of its root; B-T when ``stamp`` is given, else B-B.

    ``at`` becomes SigningTime. ``enveloped`` chooses the enveloped-signature transform, else XPath Filter 2.
    The document is written in canonical form, without comments; with Filter 2 the namespaces that it declares stay even
    where only values use them (xsi:type of EN 319 522-3), which exclusive form would drop. Equal input gives equal
    identifiers. Raises FormatError for what is no XML or is signed already, and what the signer and the stamp raise.
    """
    tree = parse(xml)
    if next(tree.iter(f"{{{DS}}}Signature"), None) is not None:
        raise FormatError("signed already")
    canonical = canonical_form(tree)
    if not canonical.endswith(b">") or canonical.endswith(b"?>"):
        raise FormatError("a processing instruction behind the root")
    digest = hashlib.sha256(canonical).digest()
    fixed = _fixed(signer.certificate, tuple(signer.chain), signer.algorithm)
    own = hashlib.sha256(digest + fixed.certificate.encode() + write_time(at).encode()).hexdigest()[:32]
    properties = (
        f'<xades:SignedProperties xmlns:xades="{XADES}" Id="xades-id-{own}"><xades:SignedSignatureProperties>'
        f"<xades:SigningTime>{write_time(at)}</xades:SigningTime>{fixed.certificate}"
        "</xades:SignedSignatureProperties><xades:SignedDataObjectProperties>"
        f'<xades:DataObjectFormat ObjectReference="#r-id-{own}-1">'
        "<xades:MimeType>application/octet-stream</xades:MimeType></xades:DataObjectFormat>"
        "</xades:SignedDataObjectProperties></xades:SignedProperties>"
    )
    signed_info = (
        f'{fixed.signed_info}<ds:Reference Id="r-id-{own}-1" URI="">'
        f"<ds:Transforms>{_REFERENCE_TRANSFORMS[enveloped]}{_EXCLUSIVE_TRANSFORM}</ds:Transforms>{_SHA256}"
        f"<ds:DigestValue>{base64.b64encode(digest).decode()}</ds:DigestValue></ds:Reference>"
        f'<ds:Reference Type="{SIGNED_PROPERTIES}" URI="#xades-id-{own}">'
        f"<ds:Transforms>{_EXCLUSIVE_TRANSFORM}</ds:Transforms>{_SHA256}"
        f"<ds:DigestValue>{base64.b64encode(hashlib.sha256(properties.encode()).digest()).decode()}</ds:DigestValue>"
        "</ds:Reference></ds:SignedInfo>"
    )
    value = base64.b64encode(_value(signer.sign(signed_info.encode()), fixed.coordinate)).decode()
    value_element = f'<ds:SignatureValue xmlns:ds="{DS}" Id="value-id-{own}">{value}</ds:SignatureValue>'
    signature = (
        f'<ds:Signature xmlns:ds="{DS}" Id="id-{own}">{signed_info}{value_element}{fixed.key_info}<ds:Object>'
        f'<xades:QualifyingProperties xmlns:xades="{XADES}" Target="#id-{own}">'
        f"{properties}{_unsigned(value_element, own, stamp)}"
        "</xades:QualifyingProperties></ds:Object></ds:Signature>"
    )
    written = canonical if enveloped else _as_declared(tree)
    root_end = written.rindex(b"</")
    return DECLARATION + written[:root_end] + signature.encode() + written[root_end:]


def _as_declared(tree: etree._ElementTree) -> bytes:
    """The document with every namespace declaration; its canonical form is the same. Changes an empty root's text."""
    root = tree.getroot()
    if not len(root) and not root.text:
        root.text = ""  # so that it has an end tag
    return etree.tostring(tree, encoding="utf-8")


def _value(signature: bytes, coordinate: int) -> bytes:
    """The signature as XML carries it: ECDSA as r and s side by side (RFC 9231 2.3.6)."""
    if not coordinate:
        return signature
    r, s = decode_dss_signature(signature)
    return r.to_bytes(coordinate, "big") + s.to_bytes(coordinate, "big")


def _unsigned(value_element: str, own: str, stamp: Stamp | None) -> str:
    """SignatureTimeStamp over the canonical SignatureValue (EN 319 132-1 5.3)."""
    if stamp is None:
        return ""
    token = stamp_over(value_element.encode(), stamp)
    return (
        "<xades:UnsignedProperties><xades:UnsignedSignatureProperties>"
        f'<xades:SignatureTimeStamp Id="TS-{own}">'
        f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"></ds:CanonicalizationMethod>'
        f'<xades:EncapsulatedTimeStamp Id="ETS-{own}">{base64.b64encode(token).decode()}</xades:EncapsulatedTimeStamp>'
        "</xades:SignatureTimeStamp></xades:UnsignedSignatureProperties></xades:UnsignedProperties>"
    )
