"""EN 319 522 evidence as we write it: the shape of the published examples, judged by xmlsec1, read back whole."""

from dataclasses import replace
from functools import cache

import pytest
from erds_samples import LEVEL, VECTORS, make_delegate, make_erds
from evidence_samples import AT, find_shared, make_signer
from lxml import etree
from test_evidence_xades import judge_with_xmlsec, run_xmlsec

from kepgw.errors import FormatError
from kepgw.evidence import en319522, reading, render, xades
from kepgw.evidence.codes import DEVELOPMENT_POLICY, Event
from kepgw.evidence.en319522_codes import ERDS_EVENTS, REM_BASELINE_POLICY, ErdsEvent, ErdsReason
from kepgw.evidence.identity import LEGAL_NAME, PERSON_IDENTIFIER, person_identifier
from kepgw.evidence.model import (
    Assurance,
    Authentication,
    Entity,
    Extension,
    GivenReason,
    IdentityAttribute,
    Issuer,
)
from kepgw.message.envelope import open_envelope

DS = "http://www.w3.org/2000/09/xmldsig#"
EXT = "{http://uri.etsi.org/19532/v1#}"
SAML = "{urn:oasis:names:tc:SAML:2.0:assertion}"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
NAMES = sorted(path.name for path in VECTORS.glob("S?_REM_*.eml")) or ["missing"]
RICH = {
    "delegates": make_erds(
        ErdsEvent.CONTENT_CONSIGNMENT,
        delegates=(make_delegate(1, 2),),
        sender_delegate=Entity("katip@hs90.kep.tr", assurance=LEVEL),
    ),
    "relay": make_erds(ErdsEvent.RELAY_FAILURE, refers_to_several=(2,), untrusted_path=(1, 2), log=("bir", "iki & üç")),
    "reasons": make_erds(
        ErdsEvent.RELAY_REJECTION,
        reasons=(
            GivenReason(ErdsReason.RB21, "Alıcı yok\nikinci satır", "RB21"),
            GivenReason(ErdsReason.OTHER, "başka", "RBXX"),
        ),
    ),
    "foreign": make_erds(
        ErdsEvent.SUBMISSION_ACCEPTANCE,
        sender=Entity(
            "ayse@hs90.kep.tr", "", (IdentityAttribute("urn:oid:1.2.3/Tax<", "1 & 2"),), (Assurance("urn:loa:1"),)
        ),
        extensions=(Extension(b'<a:b xmlns:a="urn:a" c="d">e &amp; f</a:b>'), Extension(b"text")),
        policies=(REM_BASELINE_POLICY, "urn:p", DEVELOPMENT_POLICY),
    ),
    "no subject": make_erds(
        ErdsEvent.SUBMISSION_REJECTION,
        message=replace(make_erds(ErdsEvent.SUBMISSION_REJECTION).message, subject="", ua_message_id=""),
        event_time=AT,
    ),
}
ALL = {event.letter: make_erds(event) for event in ErdsEvent} | RICH


@pytest.mark.parametrize("name", ALL)
def test_read_gives_what_was_written(name):
    assert reading.read(en319522.write(ALL[name])) == ALL[name]


@pytest.mark.parametrize("name", ALL)
def test_xmlsec1_accepts(name):
    octets = xades.sign(en319522.write(ALL[name]), make_signer("rsa-sha256"), AT, None, enveloped=False)
    judge_with_xmlsec(octets, "rsa-sha256")
    assert xades.verify(octets).signer == make_signer("rsa-sha256").certificate
    assert reading.read(octets) == ALL[name]
    spoilt = octets.replace(b"hs90.kep.tr", b"hs91.kep.tr", 1)
    assert spoilt != octets
    assert run_xmlsec(spoilt, "rsa-sha256").returncode != 0


# the shape of the published examples


@cache
def golden(name: str) -> bytes:
    find_shared()
    ((_, xml),) = open_envelope((VECTORS / name).read_bytes()).evidence
    return xml


VALUES = {"Id", "URI", "Target", "ObjectReference"}


def shape(element: etree._Element, depth: int = 0) -> list[tuple]:
    """Elements in order: depth, prefix, namespace, name, attributes, namespaces in scope; values aside."""
    name = etree.QName(element)
    attributes = sorted((key, "" if key in VALUES else value) for key, value in element.attrib.items())
    found = [(depth, element.prefix, name.namespace, name.localname, attributes, sorted(element.nsmap.items()))]
    for child in element:
        found += shape(child, depth + 1)
    return found


def without_space(octets: bytes) -> bytes:
    """Canonical form without the signature and without white space between elements."""
    root = etree.fromstring(octets, etree.XMLParser(remove_blank_text=True))
    for signature in root.findall(f"{{{DS}}}Signature"):
        root.remove(signature)
    return etree.tostring(root, method="c14n")


@pytest.mark.parametrize("name", NAMES)
def test_what_we_write_has_the_shape_of_the_kit(name):
    theirs = golden(name)
    signer = make_signer("rsa-sha256")
    ours = xades.sign(en319522.write(reading.read(theirs)), signer, AT, lambda digest: b"\x30\x00", enveloped=False)
    assert shape(etree.fromstring(ours)) == shape(etree.fromstring(theirs))
    start = b'<?xml version="1.0" encoding="UTF-8" standalone="no"?>'
    assert ours.startswith(start)
    assert theirs.startswith(start)


@pytest.mark.parametrize("name", NAMES)
def test_what_we_write_says_what_the_kit_says(name):
    theirs = golden(name)
    assert without_space(en319522.write(reading.read(theirs))) == without_space(theirs)


def test_a_shape_that_differs_is_noticed():
    theirs = etree.fromstring(golden(NAMES[0]))
    ours = etree.fromstring(golden(NAMES[0]).replace(b"EventTime>", b"tns:EventTime>"))
    assert shape(ours) != shape(theirs)
    ours = etree.fromstring(golden(NAMES[0]).replace(b' xmlns:elp="', b' xmlns:elq="'))
    assert shape(ours) != shape(theirs)


# the published schemas, where they can be had


@cache
def extension_schema() -> etree.XMLSchema:
    """EN 319 532-4's schema of the extensions; what it imports cannot be had, and its types need none of it."""
    tree = etree.parse(find_shared() / "xsd/en319532/EVIDENCE19352v117-202201.xsd")
    for one in tree.findall("{http://www.w3.org/2001/XMLSchema}import"):
        one.getparent().remove(one)
    return etree.XMLSchema(tree)


@cache
def saml_schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(find_shared() / "xsd/ts102640/saml-schema-assertion-2.0.xsd"))


@pytest.mark.parametrize("name", [*ALL, NAMES[0]])
def test_valid_where_schemas_can_be_had(name):
    root = etree.fromstring(golden(name) if name in NAMES else en319522.write(ALL[name]))
    judged = 0
    for kind in ("GeneralEvidenceInfo", "RelayEvidenceInfo"):
        for one in root.iter(EXT + kind):
            extension_schema().assertValid(etree.fromstring(etree.tostring(one, with_tail=False)))
            judged += 1
    for one in root.iter(SAML + "Attribute"):
        alone = etree.fromstring(etree.tostring(one, with_tail=False))
        for value in alone:
            value.attrib.pop(XSI_TYPE, None)  # types of the eIDAS schemas, which are not at hand
        saml_schema().assertValid(alone)
        judged += 1
    assert judged >= 2


def test_an_extension_that_the_schema_does_not_allow():
    root = etree.fromstring(en319522.write(RICH["relay"]))
    one = next(root.iter(EXT + "RelayEvidenceInfo"))
    one[0].text = "the second"
    assert not extension_schema().validate(etree.fromstring(etree.tostring(one)))


# filling rules of EN 319 532-4 table C.18


def found(octets: bytes, path: str) -> list[str]:
    spaces = {"t": "http://uri.etsi.org/19522/v1#", "ds": DS, "s": SAML.strip("{}")}
    return [str(one) for one in etree.fromstring(octets).xpath(path, namespaces=spaces)]


@pytest.mark.parametrize(
    ("address", "hashed"),
    [  # the worked values of the standard
        ("sender@s-rems.rem", "466FA5C7D106870115F12BABFE65B7A3647E828B65BA0EBE5B5D38691DCC8F78"),
        ("recipient@r-rems.rem", "3A7D68B6BD4C5CF1EB8D3F22E58679419AC5BBA466650035E73B2F54349F9868"),
    ],
)
def test_person_identifier(address, hashed):
    assert person_identifier(address, "IT", "de") == IdentityAttribute(PERSON_IDENTIFIER, f"IT/DE/{hashed}")
    assert person_identifier(address.upper(), "it", "DE") == person_identifier(address, "IT", "DE")


def test_filling_rules():
    octets = en319522.write(make_erds(ErdsEvent.RELAY_FAILURE, reasons=(GivenReason(ErdsReason.RB22),)))
    assert found(octets, "//Code/text()") == [ErdsReason.RB22.uri]
    assert found(octets, "//Details/text()")[0] == "RB22"
    assert len(found(octets, "//Details")) == 2
    assert found(octets, "//t:EvidenceIssuerPolicyID/PolicyID/text()")[0] == REM_BASELINE_POLICY
    assert found(octets, "//t:EvidenceIssuerDetails//s:Attribute/@Name") == [LEGAL_NAME]
    assert found(octets, "//t:ExternalERDSDetails//s:AttributeValue/text()") == ["Başka KEPHS"]
    assert found(octets, "//t:SenderDetails/Identifier/@IdentifierSchemeName") == ["mailto"]
    assert found(octets, "//EventTime/text()") == ["2026-03-01T09:30:15Z"]
    assert found(octets, "//AppLayerIdentifier/text()") == ["<1@istemci>"]
    assert found(octets, "//ComposingParts/text()") == ["1"]
    assert found(octets, "//t:PartInfo/Identifier/text()") == ["urn:oid:1.3.6.1.7"]
    assert found(octets, "//t:PartInfo/ContentType/text()") == ["message/rfc822"]
    assert found(octets, "//t:Extension/@isCritical") == ["false"]


def test_a_positive_event_gets_its_reason():
    for event in (ErdsEvent.SUBMISSION_ACCEPTANCE, ErdsEvent.RELAY_ACCEPTANCE, ErdsEvent.CONTENT_CONSIGNMENT):
        octets = en319522.write(make_erds(event, reasons=()))
        assert found(octets, "//Code/text()") == [ERDS_EVENTS[event].reasons[0].uri]
    with pytest.raises(ValueError, match="G04"):
        en319522.write(make_erds(ErdsEvent.RELAY_FAILURE, reasons=()))
    assert en319522.with_reason(make_erds(ErdsEvent.CONSIGNMENT_NOTIFICATION, reasons=())).reasons == ()


def test_namespaces_that_only_values_use_survive_the_signature():
    octets = xades.sign(en319522.write(ALL["A.1"]), make_signer("ecdsa-sha256"), AT, None, enveloped=False)
    for value in etree.fromstring(octets).iter(SAML + "AttributeValue"):
        assert value.get(XSI_TYPE).partition(":")[0] in value.nsmap


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"sender": Entity("a@b", assurance=(Assurance("urn:l", kind="federation"),))}, "assurance"),
        ({"sender_authentication": Authentication(AT, "Guess")}, "authentication method"),
        ({"extensions": (Extension(b"</x><x>"),)}, None),
        ({"event_time": AT.replace(tzinfo=None)}, "zone"),
        ({"event": Event.FORWARDED_TO_PRINTING_SYSTEM}, "no evidence of EN 319 522"),
        ({"log": ("x" * (1 << 20),)}, "more than"),
        ({"issuer": Issuer("kep@hs90.kep.tr", "", "hs90.kep.tr")}, "R02"),
    ],
)
def test_what_is_not_written(changes, word):
    with pytest.raises((ValueError, FormatError), match=word):
        en319522.write(make_erds(ErdsEvent.SUBMISSION_ACCEPTANCE, **changes))


@pytest.mark.parametrize("hostile", ["\x00\x1b", "]]>", "<x/>&e;", "\ud800", "a\r\nBcc: b", "\ufffe", "x" * 50_000])
def test_hostile_words_are_carried_safely(hostile):
    message = replace(ALL["A.1"].message, subject=f"a{hostile}b", ua_message_id=f"<{hostile[:9]}>")
    octets = en319522.write(
        replace(
            ALL["A.1"],
            message=message,
            issuer=Issuer("", f"n{hostile[:99]}", ""),
            policies=(REM_BASELINE_POLICY, "p" + hostile),
        )
    )
    said = reading.read(octets)
    assert said.message.subject.startswith("a")
    assert said.issuer.name.startswith("n")
    for line in render.to_text(said).splitlines():
        assert not line.startswith("Bcc")


# what the field may write


FIELD = """<?xml version="1.0"?>
<Evidence xmlns="http://uri.etsi.org/19522/v1#" Id="e1">
 <evidenceIdentifier> e1@it </evidenceIdentifier>
 <ERDSEventId>https://uri.etsi.org/19522/Event#contentconsignment</ERDSEventId>
 <EventReasons><EventReason><Code>http://uri.etsi.org/19522/EventReason/MessageConsignedToRecipient</Code>
  <Details>consegnato</Details></EventReason></EventReasons>
 <EventTime>2026-03-01T09:30:15</EventTime>
 <EvidenceIssuerDetails/>
 <SenderDetails><Identifier>mailto:a@x.it</Identifier><AssuranceLevelsDetails>
  <AuthenticationDetsAndAssuranceLevel><AssuranceLevel>urn:a</AssuranceLevel><AuthenticationDetails>
   <Assertion IssueInstant="2026-03-01T09:00:00Z"/></AuthenticationDetails></AuthenticationDetsAndAssuranceLevel>
  <IdentityProofAssuranceLevel><AssuranceLevel>urn:i</AssuranceLevel><PolicyID>urn:p</PolicyID>
  </IdentityProofAssuranceLevel></AssuranceLevelsDetails></SenderDetails>
 <RecipientDetails><Identifier IdentifierSchemeName="MAILTO">b@y.it</Identifier></RecipientDetails>
 <EvidenceRefersToRecipient>1</EvidenceRefersToRecipient>
 <MessageIdentifier>m1@it</MessageIdentifier>
 <UserContentInfo><PartsInfo><PartInfo><ContentType>text/plain</ContentType></PartInfo>
  <PartInfo><ContentType>Message/RFC822; charset=x</ContentType>
  <DigestMethod xmlns="http://www.w3.org/2000/09/xmldsig#" Algorithm="http://www.w3.org/2001/04/xmlenc#sha512"/>
  <DigestValue xmlns="http://www.w3.org/2000/09/xmldsig#">eHg=</DigestValue></PartInfo></PartsInfo></UserContentInfo>
 <ExternalSystem>mx.example</ExternalSystem>
 <Extensions><Extension><x xmlns="urn:x"/></Extension></Extensions>
</Evidence>"""


def test_the_field_is_read():
    said = reading.read(FIELD.encode())
    assert (said.erds_event, said.identifier, said.refers_to) == (ErdsEvent.CONTENT_CONSIGNMENT, "e1@it", 1)
    assert said.event_time == AT  # without a zone it is UTC
    assert said.reasons == (GivenReason(ErdsReason.RD01, "consegnato"),)
    assert said.sender.address == "a@x.it"
    assert said.sender.assurance == (
        Assurance("urn:a", kind="authentication"),
        Assurance("urn:i", "urn:p", "identity-proof"),
    )
    assert said.sender_authentication == Authentication(AT.replace(minute=0, second=0), "SAML")
    assert (said.message.digest_algorithm, said.message.digest) == ("sha512", b"xx")
    assert (said.forwarded_to, said.extensions) == ("mx.example", (Extension(b'<x xmlns="urn:x"></x>'),))
    assert said.kep_code is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("19522/v1#", "19522/v9#"),
        (
            '<Evidence xmlns="http://uri.etsi.org/19522/v1#"',
            '<Evidence xmlns="http://uri.etsi.org/19522/v1#" version="2"',
        ),
        ("contentconsignment<", "eaten<"),
        ("<evidenceIdentifier> e1@it </evidenceIdentifier>", ""),
        ("<evidenceIdentifier>", "<EvidenceIdentifier>e2</EvidenceIdentifier><evidenceIdentifier>"),
        ("<EventTime>2026", "<EventTime>later"),
        ("<MessageIdentifier>m1@it</MessageIdentifier>", ""),
        ("<EvidenceRefersToRecipient>1<", "<EvidenceRefersToRecipient>2<"),
        ("<EvidenceRefersToRecipient>1<", "<EvidenceRefersToRecipient>-1<"),
        ("b@y.it", ""),
        ("text/plain", "message/rfc822"),
        ("<ExternalSystem>", "<ForwardedToExternalSystem>z</ForwardedToExternalSystem><ExternalSystem>"),
        ("<Extension>", '<Extension isCritical="true">'),
        ("<Extension>", '<Extension isCritical=" 1 ">'),
        (
            '<x xmlns="urn:x"/>',
            '<GeneralEvidenceInfo xmlns="http://uri.etsi.org/19532/v1#"/><GeneralEvidenceInfo '
            'xmlns="http://uri.etsi.org/19532/v1#"/>',
        ),
        (
            '<x xmlns="urn:x"/>',
            '<RelayEvidenceInfo xmlns="http://uri.etsi.org/19532/v1#"><RelayEvidenceRefersTo>7</RelayEvidenceRefersTo>'
            "</RelayEvidenceInfo>",
        ),
        (">eHg=<", ">eHh=<"),
        ("<SenderDetails>", "<SenderDetails/><SenderDetails>"),
    ],
)
def test_what_is_ambiguous_or_unknown_is_refused(old, new):
    assert old in FIELD
    with pytest.raises(FormatError):
        reading.read(FIELD.replace(old, new).encode())


def test_a_known_extension_may_be_critical():
    critical = '<Extension isCritical="true"><RelayEvidenceInfo xmlns="http://uri.etsi.org/19532/v1#"/></Extension>'
    assert reading.read(FIELD.replace("<Extension><x", f"{critical}<Extension><x").encode()).refers_to_several == ()


# for people


@pytest.mark.parametrize("name", ALL)
def test_rendered_in_both_languages(name):
    (turkish, lines), (english, others) = (render.render(ALL[name], language) for language in ("tr", "en"))
    assert turkish.startswith("REM delili ")
    assert english.startswith("REM evidence ")
    assert len(lines) == len(others)
    assert ALL[name].erds_event.letter in turkish
    assert ("UYARI" in dict(lines)) is (name == "foreign")


def test_the_recipients_concerned_are_told():
    _, lines = render.render(RICH["relay"], "tr")
    assert dict(lines)["İlgili alıcı"] == "iş@hs91.kep.tr"
    assert dict(lines)["Diğer hizmet sağlayıcı"] == "Başka KEPHS"
