"""Reading and verifying the XAdES signature of an evidence.

Security rules, decided here. Signature wrapping: exactly one ds:Signature in the document, child of the root; the
references are ``URI=""`` and the SignedProperties, at most KeyInfo too, of this very signature; elements are found by
place, never by Id, and an Id that stands twice is refused. Transforms: only enveloped-signature or its Filter 2 twin,
then a canonicalisation. SHA-1 is in no table. The signer is the certificate that the signed SigningCertificate names;
KeyInfo only carries it. Certificate paths and time stamps are judged elsewhere (kepgw.trust).
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from lxml import etree

from kepgw.errors import FormatError, SignatureInvalid, Sub
from kepgw.evidence.algorithms import DIGEST_NAMES, SIGNATURE_NAMES, SIGNATURES
from kepgw.evidence.certificates import LARGEST, names_certificate, public_key
from kepgw.evidence.markup import MAX_XML, canonical_form, parse, read_base64, read_time

DS = "http://www.w3.org/2000/09/xmldsig#"
XADES = "http://uri.etsi.org/01903/v1.3.2#"
SIGNED_PROPERTIES = "http://uri.etsi.org/01903#SignedProperties"
ENVELOPED = DS + "enveloped-signature"
FILTER2 = "http://www.w3.org/2002/06/xmldsig-filter2"
FILTER2_XPATH = "/descendant::ds:Signature"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
# Canonical XML 1.0 and 1.1 differ only in xml:base and xml:id, which no evidence has; a difference can only fail
INCLUSIVE = ("http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "http://www.w3.org/2006/12/xml-c14n11")

CHECK = "evidence-signature"
MAX_CERTIFICATES = 16
MIN_RSA_BITS = 2048  # ETSI TS 119 312 8.4
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class XadesReading:
    """What a signature says. Only from ``verify`` is it also true."""

    signer: bytes
    """The signing certificate, DER."""
    certificates: tuple[bytes, ...]
    """Every certificate of KeyInfo, DER, in document order; the signer among them."""
    signing_time: datetime | None
    """What the signer claims, UTC; no proof of anything (TS 102 640-2 clause 6)."""
    algorithm: str
    """A key of ``algorithms.SIGNATURES``."""
    tokens: tuple[bytes, ...]
    """The RFC 3161 tokens over the signature value, DER, unjudged."""
    stamped: bytes
    """The canonical SignatureValue element: the octets that the tokens cover."""

    @property
    def token(self) -> bytes | None:
        """The first signature time stamp, None when there is none."""
        return self.tokens[0] if self.tokens else None

    def stamped_digest(self, algorithm: str = "sha256") -> bytes:
        """The digest that a token must carry as its imprint, by the token's hashlib ``algorithm``."""
        return hashlib.new(algorithm, self.stamped).digest()


def read(xml: bytes) -> XadesReading:
    """What the signature of an evidence says, nothing judged. Raises FormatError when it cannot be read."""
    try:
        return _Signature(parse(xml)).reading()
    except SignatureInvalid as error:
        raise FormatError(str(error)) from error


def verify(xml: bytes, largest: int = MAX_XML) -> XadesReading:
    """The reading of a signature that holds over the whole document of at most ``largest`` octets.

    Raises SignatureInvalid (check ``evidence-signature``) for anything less, FormatError for what is no XML.
    """
    tree = parse(xml, largest)
    try:
        signature = _Signature(tree)
        signature.check()
        reading = signature.reading()
        # last, since it takes the signature out of the tree
        signature.check_document()
    except FormatError as error:
        raise SignatureInvalid(str(error), CHECK, error.sub) from error
    return reading


def stamped_octets(xml: bytes) -> bytes:
    """The canonical SignatureValue, which the time-stamp token covers. Raises FormatError."""
    return read(xml).stamped


def canonical(element: etree._Element, method: str) -> bytes:
    """An element in canonical form, without comments.

    Raises SignatureInvalid for an unknown method, FormatError where the element has no canonical form.
    """
    if method == EXCLUSIVE:
        return canonical_form(element)
    if method in INCLUSIVE:
        # a copy that declares what it inherits: inclusive form has every namespace in scope (Canonical XML 2.3)
        alone = etree.fromstring(etree.tostring(element, with_tail=False), etree.XMLParser(resolve_entities=False))
        return canonical_form(alone, exclusive=False)
    raise _refused(f"canonicalisation {method[:80]!r}")


def _refused(what: str) -> SignatureInvalid:
    """An algorithm that stands in no table of ours."""
    return SignatureInvalid(what, CHECK, Sub.CRYPTO_CONSTRAINTS_FAILURE)


def _ds(name: str) -> str:
    return f"{{{DS}}}{name}"


def _xades(name: str) -> str:
    return f"{{{XADES}}}{name}"


def _only(parent: etree._Element, tag: str) -> etree._Element:
    """The one child with this tag; two would let verifier and reader look at different ones."""
    found = parent.findall(tag)
    if len(found) != 1:
        raise SignatureInvalid(f"{tag.rpartition('}')[2]} stands {len(found)} times", CHECK, Sub.FORMAT_FAILURE)
    return found[0]


def _octets(element: etree._Element) -> bytes:
    if len(element):
        raise SignatureInvalid(f"{element.tag} has content of its own", CHECK, Sub.FORMAT_FAILURE)
    return read_base64(element.text or "")


def _digest(parent: etree._Element, octets: bytes, what: str) -> None:
    """Compare the DigestMethod and DigestValue of ``parent`` with ``octets``."""
    uri = _only(parent, _ds("DigestMethod")).get("Algorithm", "")
    if uri not in DIGEST_NAMES:
        raise _refused(f"digest algorithm {uri[:80]!r} of the {what}")
    if hashlib.new(DIGEST_NAMES[uri], octets).digest() != _octets(_only(parent, _ds("DigestValue"))):
        raise SignatureInvalid(f"digest of the {what} differs", CHECK, Sub.HASH_FAILURE)


class _Signature:
    """The one signature of a document, its parts found by their place. Raises SignatureInvalid on the way."""

    def __init__(self, tree: etree._ElementTree) -> None:
        self.tree, self.root = tree, tree.getroot()
        root = self.root
        found = list(root.iter(_ds("Signature")))
        if len(found) != 1 or found[0].getparent() is not root:
            raise SignatureInvalid(f"{len(found)} signatures, or not a child of the root", CHECK, Sub.FORMAT_FAILURE)
        self.element = found[0]
        allowed = [_ds(name) for name in ("SignedInfo", "SignatureValue", "KeyInfo", "Object")]
        if [child.tag for child in self.element] != allowed:
            raise SignatureInvalid("parts of the signature missing, repeated or unknown", CHECK, Sub.FORMAT_FAILURE)
        self.info, self.value, self.key_info, self.object = self.element
        if len(list(root.iter(_xades("QualifyingProperties")))) != 1:
            raise SignatureInvalid("not exactly one QualifyingProperties", CHECK, Sub.FORMAT_FAILURE)
        self.qualifying = _only(self.object, _xades("QualifyingProperties"))
        self.properties = _only(self.qualifying, _xades("SignedProperties"))
        self.unique_ids(root)

    @staticmethod
    def unique_ids(root: etree._Element) -> None:
        """No Id twice, whatever its case: another verifier must find by Id what we find by place."""
        seen: set[str] = set()
        for element in root.iter(etree.Element):
            for name in ("Id", "ID", "id", "{http://www.w3.org/XML/1998/namespace}id"):
                value = element.get(name)
                if value is not None and value in seen:
                    raise SignatureInvalid(f"Id {value[:80]!r} stands twice", CHECK, Sub.FORMAT_FAILURE)
                if value is not None:
                    seen.add(value)

    @cached_property
    def certificates(self) -> tuple[bytes, ...]:
        found = [_octets(one) for one in self.key_info.iterfind(f"{_ds('X509Data')}/{_ds('X509Certificate')}")]
        if not 1 <= len(found) <= MAX_CERTIFICATES:
            raise SignatureInvalid(f"{len(found)} certificates in KeyInfo", CHECK, Sub.NO_SIGNING_CERTIFICATE_FOUND)
        if max(map(len, found)) > LARGEST:
            raise SignatureInvalid("a certificate in KeyInfo is too large", CHECK, Sub.FORMAT_FAILURE)
        return tuple(found)

    @cached_property
    def signer(self) -> bytes:
        """The certificate that SigningCertificateV2 (or its predecessor) names (EN 319 132-1 5.2.2)."""
        signature_properties = _only(self.properties, _xades("SignedSignatureProperties"))
        named = [
            one
            for name in ("SigningCertificateV2", "SigningCertificate")
            for one in signature_properties.findall(_xades(name))
        ]
        if len(named) != 1 or not len(named[0]) or named[0][0].tag != _xades("Cert"):
            raise SignatureInvalid(
                "not exactly one signing certificate is named", CHECK, Sub.NO_SIGNING_CERTIFICATE_FOUND
            )
        cert = named[0][0]
        value = _only(cert, _xades("CertDigest"))
        for certificate in self.certificates:
            try:
                _digest(value, certificate, "signing certificate")
            except SignatureInvalid as error:
                if error.sub is not Sub.HASH_FAILURE:
                    raise
                continue
            self.issuer_serial(cert, certificate)
            return certificate
        raise SignatureInvalid(
            "KeyInfo has no certificate with the signed digest", CHECK, Sub.NO_SIGNING_CERTIFICATE_FOUND
        )

    @staticmethod
    def issuer_serial(cert: etree._Element, certificate: bytes) -> None:
        """IssuerSerialV2 where given names the same certificate (RFC 5035 5)."""
        given = cert.find(_xades("IssuerSerialV2"))
        if given is None:
            return
        try:
            same = names_certificate(_octets(given), certificate)
        except ValueError as error:
            raise SignatureInvalid(f"IssuerSerialV2: {error}", CHECK, Sub.FORMAT_FAILURE) from error
        if not same:
            raise SignatureInvalid("IssuerSerialV2 names another certificate", CHECK, Sub.NO_SIGNING_CERTIFICATE_FOUND)

    @cached_property
    def algorithm(self) -> str:
        uri = _only(self.info, _ds("SignatureMethod")).get("Algorithm", "")
        if uri not in SIGNATURE_NAMES:
            raise _refused(f"signature algorithm {uri[:80]!r}")
        return SIGNATURE_NAMES[uri]

    def reading(self) -> XadesReading:
        signed_at = self.properties.find(f"{_xades('SignedSignatureProperties')}/{_xades('SigningTime')}")
        stamps = self.object.findall(
            f"{_xades('QualifyingProperties')}/{_xades('UnsignedProperties')}/"
            f"{_xades('UnsignedSignatureProperties')}/{_xades('SignatureTimeStamp')}"
        )
        method = EXCLUSIVE
        for one in stamps[:1]:
            named = one.find(_ds("CanonicalizationMethod"))
            # without one the default is Canonical XML 1.0 (EN 319 132-1 4.5)
            method = INCLUSIVE[0] if named is None else named.get("Algorithm", "")
        return XadesReading(
            signer=self.signer,
            certificates=self.certificates,
            signing_time=None if signed_at is None else read_time(signed_at.text or ""),
            algorithm=self.algorithm,
            tokens=tuple(_octets(token) for one in stamps for token in one.iterfind(_xades("EncapsulatedTimeStamp"))),
            stamped=canonical(self.value, method),
        )

    def check(self) -> None:
        """Everything but the digest of the document."""
        identifier = self.element.get("Id", "")
        target = self.qualifying.get("Target", "")
        if not identifier or target != f"#{identifier}":
            raise SignatureInvalid("QualifyingProperties belong to another signature", CHECK, Sub.FORMAT_FAILURE)
        parts = list(self.info)
        tags = [one.tag for one in parts]
        if tags[:2] != [_ds("CanonicalizationMethod"), _ds("SignatureMethod")] or set(tags[2:]) != {_ds("Reference")}:
            raise SignatureInvalid(
                "SignedInfo has other parts than two methods and references", CHECK, Sub.FORMAT_FAILURE
            )
        self.check_value()
        # one without URI is not one to the document (XMLDSig 4.4.3.1)
        references = {one.get("URI", "#"): one for one in parts[2:]}
        own = {"#" + one.get("Id", ""): one for one in (self.properties, self.key_info)}
        signed_properties = "#" + self.properties.get("Id", "")
        # the document, SignedProperties and, by some makers, KeyInfo (TS 102 640-2 clause 6): each once, nothing else
        if (
            len(references) != len(parts[2:])
            or "#" in references
            or not {"", signed_properties} <= set(references) <= {"", *own}
            or references[signed_properties].get("Type") != SIGNED_PROPERTIES
        ):
            raise SignatureInvalid(
                "references to something else than the document and SignedProperties", CHECK, Sub.FORMAT_FAILURE
            )
        self.document_reference = references.pop("")
        for uri, reference in references.items():
            transforms = self.transforms(reference)
            if len(transforms) > 1:
                raise SignatureInvalid("transforms of a part of the signature", CHECK, Sub.FORMAT_FAILURE)
            what = "signed properties" if uri == signed_properties else "key information"
            _digest(reference, canonical(own[uri], _method(transforms)), what)

    @staticmethod
    def transforms(reference: etree._Element) -> list[etree._Element]:
        found = reference.findall(_ds("Transforms"))
        if len(found) > 1:
            raise SignatureInvalid("Transforms stands twice", CHECK, Sub.FORMAT_FAILURE)
        transforms = list(found[0]) if found else []
        if any(one.tag != _ds("Transform") for one in transforms):
            raise SignatureInvalid("something else among the transforms", CHECK, Sub.FORMAT_FAILURE)
        return transforms

    def check_value(self) -> None:
        """The signature value over SignedInfo, by the key of the named certificate."""
        method = _only(self.info, _ds("CanonicalizationMethod"))
        if len(method) or len(_only(self.info, _ds("SignatureMethod"))):
            raise SignatureInvalid("parameters of the canonicalisation or signature method", CHECK, Sub.FORMAT_FAILURE)
        signed, value = canonical(self.info, method.get("Algorithm", "")), _octets(self.value)
        family, digest = SIGNATURES[self.algorithm].family, _HASHES[SIGNATURES[self.algorithm].digest]
        try:
            key = public_key(self.signer)
            if isinstance(key, rsa.RSAPublicKey) and family in ("rsa", "rsa-pss") and key.key_size >= MIN_RSA_BITS:
                pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
                key.verify(value, signed, pss if family == "rsa-pss" else padding.PKCS1v15(), digest)
            elif isinstance(key, ec.EllipticCurvePublicKey) and family == "ecdsa" and key.key_size >= 256:
                half = (key.key_size + 7) // 8
                if len(value) != 2 * half:
                    raise SignatureInvalid(f"an ECDSA signature of {len(value)} octets", CHECK, Sub.SIG_CRYPTO_FAILURE)
                r, s = int.from_bytes(value[:half], "big"), int.from_bytes(value[half:], "big")
                key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(digest))
            else:
                raise _refused(f"{self.algorithm} by a key of another kind or too short")
        except InvalidSignature:
            raise SignatureInvalid("the signature value does not hold", CHECK, Sub.SIG_CRYPTO_FAILURE) from None
        except (ValueError, TypeError) as error:
            raise SignatureInvalid(f"the certificate or its key: {error}", CHECK, Sub.SIG_CRYPTO_FAILURE) from error

    def check_document(self) -> None:
        """The digest over the whole document but the signature. Takes the signature out of the tree."""
        transforms = self.transforms(self.document_reference)
        if not 1 <= len(transforms) <= 2 or not _removes_signature(transforms[0]):
            raise SignatureInvalid(
                "the document's transforms do not just take the signature out", CHECK, Sub.FORMAT_FAILURE
            )
        method = _method(transforms[1:])
        before, tail = self.element.getprevious(), self.element.tail or ""
        if before is None:
            self.root.text = (self.root.text or "") + tail
        else:
            before.tail = (before.tail or "") + tail
        self.root.remove(self.element)  # lxml would take the text behind it along
        if method not in (EXCLUSIVE, *INCLUSIVE):
            raise _refused(f"canonicalisation {method[:80]!r}")
        # the tree, not the root: processing instructions around the root are signed too
        octets = canonical_form(self.tree, exclusive=method == EXCLUSIVE)
        _digest(self.document_reference, octets, "document")


def _method(transforms: list[etree._Element]) -> str:
    """The canonicalisation that ends a chain of transforms; Canonical XML 1.0 when none (XMLDSig 4.4.3.2)."""
    if not transforms:
        return INCLUSIVE[0]
    if len(transforms[0]):
        raise SignatureInvalid("parameters of a canonicalisation", CHECK, Sub.FORMAT_FAILURE)
    return transforms[0].get("Algorithm", "")


def _removes_signature(transform: etree._Element) -> bool:
    """Whether it is the enveloped-signature transform, or XPath Filter 2 that subtracts every ds:Signature."""
    algorithm = transform.get("Algorithm")
    if algorithm == ENVELOPED:
        return not len(transform)
    if algorithm != FILTER2 or len(transform) != 1 or transform[0].tag != f"{{{FILTER2}}}XPath":
        return False
    xpath = transform[0]
    return (
        xpath.get("Filter") == "subtract"
        and (xpath.text or "").strip() == FILTER2_XPATH
        and xpath.nsmap.get("ds") == DS
        and not len(xpath)
    )
