"""XAdES: judged by xmlsec1 and signxml, the published kit read, and every altered octet and moved part seen."""

import base64
import email
import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from evidence_samples import AT, SHARED, find_shared, make_evidence, make_signer
from lxml import etree
from signxml import CanonicalizationMethod
from signxml.xades import XAdESDataObjectFormat, XAdESSignatureConfiguration, XAdESSigner, XAdESVerifier

from kepgw.errors import FormatError, SignatureInvalid
from kepgw.evidence import ts102640, xades
from kepgw.evidence.algorithms import SIGNATURES
from kepgw.evidence.certificates import issuer_serial, names_certificate
from kepgw.evidence.codes import KepCode
from kepgw.evidence.xades_reader import DS, XADES, canonical

TOKEN = b"\x30\x03\x02\x01"
WRITTEN = ["rsa-sha256", "rsa-sha384", "rsa-sha512", "rsa-pss-sha256", "ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512"]


def stamp(digest: bytes) -> bytes:
    return TOKEN + digest


@cache
def signed(algorithm="rsa-sha256", enveloped=True, stamped=True) -> bytes:
    xml = ts102640.write(make_evidence(KepCode.TESLIM))
    return xades.sign(xml, make_signer(algorithm), AT, stamp if stamped else None, enveloped=enveloped)


def invalid(xml: bytes) -> SignatureInvalid:
    with pytest.raises(SignatureInvalid) as caught:
        xades.verify(xml)
    assert caught.value.check == "evidence-signature"
    return caught.value


# what is written


@pytest.mark.parametrize("enveloped", [True, False])
@pytest.mark.parametrize("algorithm", WRITTEN)
def test_a_signature_holds_and_says_what_it_was_made_with(algorithm, enveloped):
    reading = xades.verify(signed(algorithm, enveloped))
    signer = make_signer(algorithm)
    assert reading.signer == signer.certificate
    assert reading.certificates == (signer.certificate, *signer.chain)
    assert (reading.signing_time, reading.algorithm) == (AT, algorithm)
    assert reading.token == TOKEN + reading.stamped_digest()
    assert xades.stamped_octets(signed(algorithm, enveloped)) == reading.stamped


def test_without_a_stamp_there_is_no_token():
    assert xades.verify(signed(stamped=False)).token is None
    assert b"UnsignedProperties" not in signed(stamped=False)


def test_signing_is_repeatable_and_leaves_the_evidence_as_it_was():
    xml = ts102640.write(make_evidence(KepCode.TESLIM))
    assert xades.sign(xml, make_signer("rsa-sha256"), AT, stamp) == signed()
    assert ts102640.read(signed()) == make_evidence(KepCode.TESLIM)
    body = xml.split(b"?>\n", 1)[1]
    assert body[: body.rindex(b"</")] in signed()


@pytest.mark.parametrize(
    "xml",
    [
        b'<?xml version="1.0"?>\n<a\n  c="1"   b=\'2\'><!-- note --><b xmlns="urn:b"/>\xc5\x9f&#13;</a>\n'
        b"<!-- end </a> -->\n",
        b"<a/>",
        b"<?pi before?><a>  </a>",
    ],
)
def test_any_document_is_signed_in_canonical_form(xml):
    octets = xades.sign(xml, make_signer("ecdsa-sha256"), AT, None)
    xades.verify(octets)
    judge_with_xmlsec(octets, "ecdsa-sha256")


@pytest.mark.parametrize("xml", [b"<a></a><?pi behind?>", b"no", b"<!DOCTYPE a><a/>"])
def test_what_cannot_be_signed(xml):
    with pytest.raises(FormatError):
        xades.sign(xml, make_signer("ecdsa-sha256"), AT, None)


def test_nothing_is_signed_twice():
    with pytest.raises(FormatError, match="signed already"):
        xades.sign(signed(), make_signer("rsa-sha256"), AT, None)


def test_layout():
    root = etree.fromstring(signed())
    names = {"ds": DS, "xades": XADES}
    assert root[-1].tag == f"{{{DS}}}Signature"
    assert root.xpath("//ds:Reference/@URI", namespaces=names)[0] == ""
    digest = root.xpath("//xades:CertDigest", namespaces=names)[0]
    assert digest[0].get("Algorithm").endswith("#sha512")
    assert base64.b64decode(digest[1].text) == hashlib.sha512(make_signer("rsa-sha256").certificate).digest()
    reference = root.xpath("//ds:Reference/@Id", namespaces=names)[0]
    assert root.xpath("//xades:DataObjectFormat/@ObjectReference", namespaces=names) == [f"#{reference}"]
    assert root.xpath("string(//xades:SigningTime)", namespaces=names) == "2026-03-01T12:30:15+03:00"
    serial = base64.b64decode(root.xpath("string(//xades:IssuerSerialV2)", namespaces=names))
    assert serial == issuer_serial(make_signer("rsa-sha256").certificate)


# judges that are not ours


def judge_with_xmlsec(octets: bytes, algorithm: str) -> None:
    if shutil.which("xmlsec1") is None:
        pytest.skip("xmlsec1 is not installed")
    result = run_xmlsec(octets, algorithm)
    assert result.returncode == 0, result.stderr


def run_xmlsec(octets: bytes, algorithm: str) -> subprocess.CompletedProcess:
    with tempfile.TemporaryDirectory() as folder:
        root, file = Path(folder, "root.pem"), Path(folder, "evidence.xml")
        root.write_bytes(make_signer(algorithm).root_pem)
        file.write_bytes(octets)
        return subprocess.run(
            ["xmlsec1", "--verify", "--id-attr:Id", f"{XADES}:SignedProperties", "--trusted-pem", root, file],
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.mark.oracle
@pytest.mark.parametrize("enveloped", [True, False])
@pytest.mark.parametrize("algorithm", [name for name in WRITTEN if "pss" not in name])  # xmlsec 1.2 has no PSS
def test_xmlsec1_accepts(algorithm, enveloped):
    judge_with_xmlsec(signed(algorithm, enveloped), algorithm)


@pytest.mark.oracle
def test_xmlsec1_refuses_an_alteration():
    if shutil.which("xmlsec1") is None:
        pytest.skip("xmlsec1 is not installed")
    assert run_xmlsec(signed().replace(b"Mehmet", b"Mahmut"), "rsa-sha256").returncode != 0


@pytest.mark.oracle
@pytest.mark.parametrize("algorithm", WRITTEN)
def test_signxml_accepts(algorithm):
    signer = make_signer(algorithm)
    leaf = x509_pem(signer.certificate)
    results = XAdESVerifier().verify(
        signed(algorithm),
        x509_cert=leaf,
        expect_config=XAdESSignatureConfiguration(expect_references=2),
    )
    assert any(result.signed_xml is not None and "EventTime" in str(result.signed_data) for result in results)


def x509_pem(der: bytes) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"


# the published kit


def kit():
    folder = SHARED / "vectors" / "etsi-rem-baseline"
    for path in sorted(folder.glob("*.eml")) if folder.is_dir() else ():
        for part in email.message_from_bytes(path.read_bytes()).walk():
            if part.get_content_type() == "application/xml":
                yield pytest.param(part.get_payload(decode=True), id=path.stem)


def test_the_kit_is_there():
    find_shared()
    assert len(list(kit())) == 30


@pytest.mark.parametrize("xml", list(kit()))
def test_golden_evidence_holds(xml):
    reading = xades.verify(xml)
    assert reading.algorithm == "rsa-sha256"
    assert len(reading.certificates) == 2
    assert asn1_x509.Certificate.load(reading.signer).ca is not True
    # the token's imprint is what we say it covers
    assert reading.stamped_digest() in reading.token
    assert names_certificate(issuer_serial(reading.signer), reading.signer)
    invalid(xml.replace(b"<Details>R", b"<Details>Q", 1))


# altered octets


PROTECTED = [
    ("rem:EventCode", b"#Delivery<", b"#Download<"),
    ("version", b'version="2"', b'version="1"'),
    ("namespace", b"02640/v2#", b"02640/v1#"),
    ("text", "Sözleşme".encode(), "Sözlesme".encode()),
    ("white space", b"<rem:EventTime>2", b"<rem:EventTime> 2"),
    ("time", b"<rem:EventTime>2026", b"<rem:EventTime>2027"),
    ("signature method", b"#rsa-sha256", b"#rsa-sha512"),
    ("canonicalisation", b"xml-exc-c14n#", b"xml-exc-c14n_"),
    ("transform", b"xmldsig#enveloped-signature", b"xmldsig#enveloped-signaturf"),
    ("reference uri", b'URI=""', b'URI="#a"'),
    ("reference id", b'<ds:Reference Id="r', b'<ds:Reference Id="s'),
    ("type", b"01903#SignedProperties", b"01903#SignedPropertief"),
    ("signing time", b"<xades:SigningTime>2026", b"<xades:SigningTime>2025"),
    ("mime type", b"octet-stream", b"octet-streak"),
    ("object reference", b'ObjectReference="#r', b'ObjectReference="#s'),
    ("target", b'Target="#id', b'Target="#ie'),
    ("signature id", b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Id="id', None),
    ("digest algorithm", b"xmlenc#sha512", b"xmlenc#sha256"),
]


@pytest.mark.parametrize(("old", "new"), [(old, new) for _, old, new in PROTECTED], ids=[one[0] for one in PROTECTED])
def test_an_alteration_in_each_protected_place(old, new):
    assert old in signed()
    invalid(signed().replace(old, old[:-1] + b"e" if new is None else new, 1))


@pytest.mark.parametrize("element", ["DigestValue", "SignatureValue", "IssuerSerialV2", "X509Certificate"])
def test_each_character_of_a_base64_value_counts(element):
    octets = signed("ecdsa-sha256")
    for found in re.finditer(rf"<(\w+:){element}[^>]*>([^<]+)<".encode(), octets):
        start, end = found.span(2)
        if element == "X509Certificate" and found.start() != octets.index(b"<ds:X509Certificate>"):
            continue  # the intermediate is not bound by the signature; the path to the anchor judges it
        step = max(1, (end - start) // 20)
        for at in [*range(start, end, step), end - 1, end - 2, end - 3]:
            other = b"A" if octets[at : at + 1] != b"A" else b"B"
            invalid(octets[:at] + other + octets[at + 1 :])


def test_octets_one_by_one():
    """A flipped bit anywhere before the unsigned properties and outside KeyInfo's intermediates never passes."""
    octets = signed("ecdsa-sha256", stamped=False)
    original = xades.verify(octets)
    start = octets.index(b"<rem:")
    key_info = range(octets.index(b"</ds:X509Certificate>"), octets.index(b"</ds:KeyInfo>"))
    for at in range(start, len(octets)):
        if at in key_info or at % 3:
            continue
        altered = octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :]
        try:
            reading = xades.verify(altered)
        except (SignatureInvalid, FormatError):
            continue
        # what still holds has changed in spelling only, so that the canonical form is the same
        assert replace(reading, stamped=original.stamped) == original, at
        assert c14n(altered) == c14n(octets), (at, octets[at - 20 : at + 20])


def c14n(octets: bytes) -> bytes:
    """All but the Id of SignatureValue, which nothing refers to and the signature cannot cover."""
    root = etree.fromstring(octets)
    for one in root.iter(f"{{{DS}}}SignatureValue"):
        one.attrib.clear()
    return etree.tostring(root, method="c14n", exclusive=True)


# moved and doubled parts


def tree():
    root = etree.fromstring(signed())
    return root, root.find(f"{{{DS}}}Signature")


def test_a_signed_evidence_inside_another_is_refused():
    """The classic wrapping: the signed evidence moved into the signature of a forged one."""
    forged = etree.fromstring(ts102640.write(make_evidence(KepCode.TESLIM, identifier="forged")))
    root, signature = tree()
    root.remove(signature)
    forged.append(signature)
    holder = etree.SubElement(signature, f"{{{DS}}}Object")
    holder.append(root)
    invalid(etree.tostring(forged))


def test_a_signed_evidence_kept_as_an_extension_is_refused():
    forged = etree.fromstring(ts102640.write(make_evidence(KepCode.TESLIM, identifier="forged")))
    forged.append(tree()[0])
    invalid(etree.tostring(forged))


def test_two_signatures_are_refused():
    root, signature = tree()
    root.append(etree.fromstring(etree.tostring(signature)))
    invalid(etree.tostring(root))


def test_no_signature_is_refused():
    invalid(ts102640.write(make_evidence()))


def test_other_signed_properties_are_refused():
    root, signature = tree()
    properties = signature.find(f".//{{{XADES}}}SignedProperties")
    second = etree.fromstring(etree.tostring(properties))
    second.find(f".//{{{XADES}}}SigningTime").text = "2030-01-01T00:00:00Z"
    second.set("Id", "other")
    for place in (lambda: properties.addprevious(second), lambda: root.insert(0, second)):
        place()
        invalid(etree.tostring(root))


def test_signed_properties_beside_their_place_are_refused():
    root, signature = tree()
    qualifying = signature.find(f".//{{{XADES}}}QualifyingProperties")
    copy = etree.fromstring(etree.tostring(qualifying))
    copy.find(f".//{{{XADES}}}SigningTime").text = "2030-01-01T00:00:00Z"
    holder = etree.SubElement(root, "holder")
    qualifying.getparent().replace(qualifying, copy)
    holder.append(qualifying)
    invalid(etree.tostring(root))


def test_an_id_that_stands_twice_is_refused():
    root, signature = tree()
    root.set("Id", signature.get("Id"))
    assert "twice" in str(invalid(etree.tostring(root)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<ds:Object>", b"<ds:Object><ds:Manifest/></ds:Object><ds:Object>"),
        (b"</ds:SignedInfo>", b"</ds:SignedInfo>x<ds:KeyInfo/>"),
        (b"</ds:Reference></ds:SignedInfo>", b"</ds:Reference><ds:Reference URI=''/></ds:SignedInfo>"),
        (b'<ds:Reference Id="r', b'<ds:Reference Id="x"/><ds:Reference Id="r'),
        (b"<ds:SignedInfo ", b"<?pi?><ds:SignedInfo "),
        (b"<ds:X509Data>", b"<ds:X509Data>" + b"<ds:X509Certificate>AA==</ds:X509Certificate>" * 40),
    ],
)
def test_unknown_parts_are_refused(old, new):
    assert old in signed()
    invalid(signed().replace(old, new, 1))


def test_another_certificate_with_the_same_key_is_refused():
    signer, other = make_signer("rsa-sha256"), make_signer("rsa-sha384")  # one RSA key, two certificates
    assert signer.key is other.key
    swapped = signed().replace(base64.b64encode(signer.certificate), base64.b64encode(other.certificate))
    assert "signed digest" in str(invalid(swapped))


def test_the_signer_need_not_stand_first():
    signer = make_signer("rsa-sha256")
    leaf, middle = (base64.b64encode(one) for one in (signer.certificate, *signer.chain))
    octets = signed().replace(leaf, b"~~").replace(middle, leaf).replace(b"~~", middle)
    assert xades.verify(octets).signer == signer.certificate


def test_text_behind_the_signature_is_signed_too():
    at = signed().rindex(b"</")
    invalid(signed()[:at] + b" " + signed()[at:])
    # and a document that was signed with such text holds: the text is kept when the signature is taken out
    xml = b"<a>one<b/>two</a>"
    octets = xades.sign(xml, make_signer("ecdsa-sha256"), AT, None)
    moved = octets.replace(b"two<ds:Sig", b"<ds:Sig").replace(b"</ds:Signature>", b"</ds:Signature>two")
    assert moved != octets
    xades.verify(moved)


# weak algorithms and keys


def resigned(edit, algorithm="rsa-sha256", digest=None):
    """Our signature with SignedInfo edited and signed again, so that only the rule under test can refuse it."""
    root, signature = tree()
    edit(signature)
    info = signature[0]
    key = make_signer(algorithm).key
    octets = canonical(info, "http://www.w3.org/2001/10/xml-exc-c14n#")
    signature[1].text = base64.b64encode(key.sign(octets, padding.PKCS1v15(), digest or hashes.SHA256())).decode()
    return etree.tostring(root)


def test_resigning_itself_holds():
    xades.verify(resigned(lambda signature: None))


def test_sha1_signatures_are_refused():
    def edit(signature):
        signature[0][1].set("Algorithm", f"{DS}rsa-sha1")

    assert "signature algorithm" in str(invalid(resigned(edit, digest=hashes.SHA1())))


def test_sha1_digests_are_refused():
    def edit(signature):
        reference = signature[0][2]
        root = etree.fromstring(ts102640.write(make_evidence(KepCode.TESLIM)))
        octets = etree.tostring(root, method="c14n", exclusive=True)
        reference[1].set("Algorithm", f"{DS}sha1")
        reference[2].text = base64.b64encode(hashlib.sha1(octets).digest()).decode()

    assert "digest algorithm" in str(invalid(resigned(edit)))


@pytest.mark.parametrize(
    "xml",
    [
        b"<x><ds:Transform Algorithm='http://www.w3.org/TR/1999/REC-xslt-19991116'/></x>",
        b"<x><ds:Transform Algorithm='http://www.w3.org/TR/1999/REC-xpath-19991116'>"
        b"<ds:XPath>not(ancestor-or-self::*)</ds:XPath></ds:Transform></x>",
        b"<x><ds:Transform Algorithm='http://www.w3.org/2002/06/xmldsig-filter2'><f:XPath Filter='subtract' "
        b"xmlns:f='http://www.w3.org/2002/06/xmldsig-filter2'>/descendant::*</f:XPath></ds:Transform></x>",
        b"<x><ds:Transform Algorithm='http://www.w3.org/2002/06/xmldsig-filter2'><f:XPath Filter='intersect' "
        b"xmlns:f='http://www.w3.org/2002/06/xmldsig-filter2'>/descendant::ds:Signature</f:XPath></ds:Transform></x>",
        b"<x/>",
    ],
    ids=["xslt", "xpath", "filter all", "intersect", "none"],
)
def test_transforms_that_could_hide_content_are_refused(xml):
    def edit(signature):
        transforms = signature[0][2][0]
        given = etree.fromstring(xml.replace(b"<x", b'<x xmlns:ds="' + DS.encode() + b'"'))
        transforms[:] = [*given, transforms[1]]

    assert "transforms" in str(invalid(resigned(edit)))


def test_a_short_key_is_refused():
    signer = make_signer("rsa-sha256", 1024)
    assert "too short" in str(invalid(xades.sign(b"<a></a>", signer, AT, None)))


def test_a_key_of_another_kind_is_refused():
    signer = replace(make_signer("ecdsa-sha256"), algorithm="rsa-sha256")
    with pytest.raises(ValueError, match="another kind"):
        xades.sign(b"<a></a>", signer, AT, None)


def test_inclusive_canonical_form_of_other_makers_holds():
    """A peer may use Canonical XML 1.0 or 1.1, where namespaces in scope are part of the octets."""
    signer = make_signer("rsa-sha256")
    pem = signer.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for method in (CanonicalizationMethod.CANONICAL_XML_1_0, CanonicalizationMethod.CANONICAL_XML_1_1):
        made = XAdESSigner(
            data_object_format=XAdESDataObjectFormat(Description="", MimeType="text/xml"), c14n_algorithm=method
        ).sign(etree.fromstring(ts102640.write(make_evidence())), key=pem, cert=x509_pem(signer.certificate))
        reading = xades.verify(etree.tostring(made))
        invalid(etree.tostring(made).replace(b"<ds:KeyInfo ", b'<ds:KeyInfo a="" '))
        assert reading.signer == signer.certificate
        assert ts102640.read(etree.tostring(made)) == make_evidence()


def test_reading_does_not_judge_but_verifying_does():
    altered = signed().replace("Sözleşme".encode(), b"Fatura")
    assert xades.read(altered).signer == make_signer("rsa-sha256").certificate
    invalid(altered)
    with pytest.raises(FormatError):
        xades.read(b"<a/>")
    with pytest.raises(FormatError):
        xades.verify(b"no XML")


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_algorithm_names_follow_one_pattern(name):
    family, digest = SIGNATURES[name].family, SIGNATURES[name].digest
    assert name == f"{family}-{digest}"
