"""Signature wrapping: whatever an attacker moves, adds or asks for and signs with a key of his own, is refused.

Each forgery is signed anew after the change, so that nothing but the rule itself can refuse it.
"""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from evidence_samples import AT, make_evidence, make_signer
from lxml import etree

from kepgw.errors import FormatError, SignatureInvalid
from kepgw.evidence import ts102640, xades
from kepgw.evidence.codes import KepCode
from kepgw.evidence.markup import canonical_form
from kepgw.evidence.xades_reader import DS, EXCLUSIVE, FILTER2, XADES

SIGNER = make_signer("ecdsa-sha256")
SIGNED = xades.sign(ts102640.write(make_evidence(KepCode.TESLIM)), SIGNER, AT, None)
NAMES = {"ds": DS, "xades": XADES}
XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"
XSLT = "http://www.w3.org/TR/1999/REC-xslt-19991116"


def resigned(change, octets=SIGNED):
    """The evidence after ``change(root)``, its SignedInfo signed anew by the attacker's key."""
    root = etree.fromstring(octets)
    change(root)
    (info,) = root.xpath("/*/ds:Signature/ds:SignedInfo", namespaces=NAMES)
    r, s = decode_dss_signature(SIGNER.sign(canonical_form(info)))
    value = root.xpath("/*/ds:Signature/ds:SignatureValue", namespaces=NAMES)[0]
    value.text = base64.b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode()
    return etree.tostring(root)


def one(root, path):
    return root.xpath(path, namespaces=NAMES)[0]


def digest_of(element):
    return base64.b64encode(hashlib.sha256(canonical_form(element)).digest()).decode()


def refused(octets, match):
    with pytest.raises(SignatureInvalid, match=match) as caught:
        xades.verify(octets)
    assert caught.value.check == "evidence-signature"


def test_signing_anew_without_a_change_holds():
    assert xades.verify(resigned(lambda root: None)).signer == SIGNER.certificate


def reference_to(uri):
    def change(root):
        one(root, "//ds:Reference[1]").set("URI", uri)

    return change


@pytest.mark.parametrize(
    "uri",
    ["#x", "#xpointer(/)", "#xpointer(id('x'))", "http://127.0.0.1/x", "file:///etc/passwd", "x.xml", "cid:1", " "],
)
def test_references_to_anything_but_the_document(uri):
    refused(resigned(reference_to(uri)), "references to something else")


def test_a_sibling_that_is_referred_to_by_its_id():
    """The signed evidence stands beside a forged one, and the reference points at it."""

    def change(root):
        original = etree.fromstring(canonical_form(root))
        original.remove(one(original, "./ds:Signature"))
        original.set("Id", "original")
        holder = etree.SubElement(root, "holder")
        holder.append(original)
        root.remove(holder)
        root.insert(0, holder)
        reference = one(root, "//ds:Reference[1]")
        reference.set("URI", "#original")
        one(reference, "ds:DigestValue").text = digest_of(original)

    refused(resigned(change), "references to something else")


def test_an_object_of_the_signature_that_is_referred_to():
    def change(root):
        original = etree.fromstring(canonical_form(root))
        original.remove(one(original, "./ds:Signature"))
        holder = etree.SubElement(one(root, "./ds:Signature"), f"{{{DS}}}Object", Id="original")
        holder.append(original)
        reference = one(root, "//ds:Reference[1]")
        reference.set("URI", "#original")

    refused(resigned(change), "missing, repeated or unknown")


def add_reference(uri, **attributes):
    def change(root):
        extra = etree.fromstring(etree.tostring(one(root, "//ds:Reference[2]"), with_tail=False))
        extra.set("URI", uri)
        for name, value in attributes.items():
            extra.set(name, value)
        one(root, "//ds:SignedInfo").append(extra)

    return change


@pytest.mark.parametrize("uri", ["", "#other", "http://127.0.0.1/"])
def test_one_reference_more(uri):
    refused(resigned(add_reference(uri)), "references to something else")


def test_ten_thousand_references():
    def change(root):
        info = one(root, "//ds:SignedInfo")
        reference = etree.tostring(etree.Element(f"{{{DS}}}Reference", URI=""))
        for _ in range(10_000):
            info.append(etree.fromstring(reference))

    refused(resigned(change), "references to something else")


def without_a_reference(which):
    def change(root):
        found = one(root, f"//ds:Reference[{which}]")
        found.getparent().remove(found)

    return change


@pytest.mark.parametrize("which", [1, 2])
def test_a_reference_less(which):
    refused(resigned(without_a_reference(which)), "references to something else")


def test_a_reference_without_uri():
    def change(root):
        del one(root, "//ds:Reference[1]").attrib["URI"]

    refused(resigned(change), "references to something else")


def test_a_manifest_in_place_of_the_properties():
    def change(root):
        one(root, "//ds:Reference[2]").set("Type", DS + "Manifest")

    refused(resigned(change), "references to something else")


BOMB = "count(//. | //@* | //namespace::*) > " + " + ".join(["count(//*//*//*)"] * 50)


@pytest.mark.parametrize(
    "transform",
    [
        f'<ds:Transform xmlns:ds="{DS}" Algorithm="{XSLT}"><xsl:stylesheet version="1.0" '
        'xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="/"><xsl:value-of '
        "select=\"document('/etc/passwd')\"/></xsl:template></xsl:stylesheet></ds:Transform>",
        f'<ds:Transform xmlns:ds="{DS}" Algorithm="{XPATH}"><ds:XPath>not(ancestor-or-self::ds:Signature)</ds:XPath>'
        "</ds:Transform>",
        f'<ds:Transform xmlns:ds="{DS}" Algorithm="{XPATH}"><ds:XPath>'
        "count(ancestor-or-self::ds:Signature | here()/ancestor::ds:Signature[1]) &gt; "
        "count(ancestor-or-self::ds:Signature)</ds:XPath></ds:Transform>",
        f'<ds:Transform xmlns:ds="{DS}" Algorithm="{XPATH}"><ds:XPath>{BOMB.replace(">", "&gt;")}</ds:XPath>'
        "</ds:Transform>",
        f'<ds:Transform xmlns:ds="{DS}" Algorithm="{FILTER2}"><f:XPath xmlns:f="{FILTER2}" Filter="subtract">'
        "/descendant::ds:Signature | /*/*</f:XPath></ds:Transform>",
        f'<ds:Transform xmlns:ds="{DS}" Algorithm="{FILTER2}"><f:XPath xmlns:f="{FILTER2}" Filter="intersect">'
        "/descendant::ds:Signature</f:XPath></ds:Transform>",
        f'<ds:Transform xmlns:ds="{DS}" Algorithm="{FILTER2}"><f:XPath xmlns:f="{FILTER2}" Filter="subtract">'
        f'here()</f:XPath><f:XPath xmlns:f="{FILTER2}" Filter="union">/</f:XPath></ds:Transform>',
        f'<x:Transform xmlns:x="{DS}" Algorithm="{DS}base64"/>',
        f'<ds:Transform xmlns:ds="{DS}" Algorithm="{DS}enveloped-signature"><ds:XPath>/</ds:XPath></ds:Transform>',
        f'<other xmlns="{DS}" Algorithm="{DS}enveloped-signature"/>',
    ],
    ids=["xslt", "xpath", "here", "xpath bomb", "filter", "intersect", "two filters", "base64", "parameter", "name"],
)
def test_transforms_that_are_none_of_ours(transform):
    def change(root):
        transforms = one(root, "//ds:Reference[1]/ds:Transforms")
        transforms.replace(transforms[0], etree.fromstring(transform))

    refused(resigned(change), "transform")


def test_many_transforms():
    def change(root):
        transforms = one(root, "//ds:Reference[1]/ds:Transforms")
        for _ in range(5000):
            etree.SubElement(transforms, f"{{{DS}}}Transform", Algorithm=EXCLUSIVE)

    refused(resigned(change), "transforms")


def test_inclusive_namespaces_of_the_canonicalisation():
    # a parameter could keep or drop what two readers see differently
    def change(root):
        method = one(root, "//ds:CanonicalizationMethod")
        etree.SubElement(method, f"{{{EXCLUSIVE}}}InclusiveNamespaces", PrefixList="rem")

    refused(resigned(change), "parameters of the canonicalisation")


def test_a_key_info_with_another_certificate():
    """Somebody else's certificate, also first in place: the signed digest names the signer, not the order."""
    other = make_signer("ecdsa-sha384")

    def swap(root):
        one(root, "//ds:X509Certificate[1]").text = base64.b64encode(other.certificate).decode()

    refused(resigned(swap), "no certificate with the signed digest")

    def before(root):
        first = one(root, "//ds:X509Certificate[1]")
        extra = etree.Element(f"{{{DS}}}X509Certificate")
        extra.text = base64.b64encode(other.certificate).decode()
        first.addprevious(extra)

    reading = xades.verify(resigned(before))
    assert reading.signer == SIGNER.certificate
    assert reading.certificates[0] == other.certificate


def test_a_key_value_decides_nothing():
    def change(root):
        info = one(root, "//ds:KeyInfo")
        for child in list(info):
            info.remove(child)
        value = etree.SubElement(etree.SubElement(info, f"{{{DS}}}KeyValue"), f"{{{DS}}}RSAKeyValue")
        etree.SubElement(value, f"{{{DS}}}Modulus").text = "AQAB"

    refused(resigned(change), "0 certificates")


def test_a_retrieval_method_is_not_followed():
    def change(root):
        info = one(root, "//ds:KeyInfo")
        for child in list(info):
            info.remove(child)
        etree.SubElement(info, f"{{{DS}}}RetrievalMethod", URI="http://127.0.0.1/key")

    refused(resigned(change), "0 certificates")


def test_the_named_certificate_in_place_of_the_signers():
    """SigningCertificateV2 of one, signature of another: the value does not fit the key that is named."""
    other = make_signer("ecdsa-sha384")

    def change(root):
        digest = base64.b64encode(hashlib.sha512(other.certificate).digest()).decode()
        one(root, "//xades:CertDigest/ds:DigestValue").text = digest
        serial = one(root, "//xades:IssuerSerialV2")
        serial.getparent().remove(serial)
        one(root, "//ds:X509Certificate[1]").text = base64.b64encode(other.certificate).decode()
        properties = one(root, "//xades:SignedProperties")
        one(root, "//ds:Reference[2]/ds:DigestValue").text = digest_of(properties)

    refused(resigned(change), "signature")


@pytest.mark.parametrize("name", ["Id", "ID", "id", "{http://www.w3.org/XML/1998/namespace}id"])
def test_an_id_of_the_signature_that_stands_elsewhere(name):
    def change(root):
        root[0].set(name, one(root, "//xades:SignedProperties").get("Id"))

    refused(resigned(change), "twice")


@pytest.mark.parametrize("place", ["root", "signature", "properties"])
def test_a_second_signature_of_the_attacker(place):
    def change(root):
        other = etree.fromstring(etree.tostring(one(root, "./ds:Signature")))
        for element in other.iter():
            for name in ("Id", "Target", "URI"):
                if element.get(name):
                    element.set(name, element.get(name) + "-2")
        where = {"root": root, "signature": one(root, "./ds:Signature/ds:Object"),
                 "properties": one(root, "//xades:QualifyingProperties")}[place]  # fmt: skip
        where.append(other)

    root = etree.fromstring(SIGNED)
    change(root)
    refused(etree.tostring(root), "signatures")


def test_text_around_and_inside_the_signature_counts():
    """What stands beside the signature is in the digest: nothing is hidden with the element that is taken out."""
    refused(SIGNED.replace(b"</ds:Signature>", b"</ds:Signature>forged"), "digest of the document")
    refused(SIGNED.replace(b"<ds:Signature ", b"forged<ds:Signature ", 1), "digest of the document")


def test_several_roots_and_declarations_are_no_xml():
    for octets in (SIGNED + SIGNED[SIGNED.index(b"<rem:") :], SIGNED + b"<a/>", b"<a/>" + SIGNED):
        with pytest.raises((FormatError, SignatureInvalid)):
            xades.verify(octets)
