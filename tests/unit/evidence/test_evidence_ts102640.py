"""The XML of TS 102 640-2: valid by the published schema, complete, and read as the field writes it."""

import hashlib
from dataclasses import replace
from functools import cache

import pytest
from evidence_samples import AT, find_shared, make_evidence, make_signer
from lxml import etree

from kepgw.errors import FormatError
from kepgw.evidence import ts102640, xades
from kepgw.evidence.codes import EVENT_CODES, Element, Event, KepCode, Reason, event_of
from kepgw.evidence.model import (
    Authentication,
    Delegate,
    Entity,
    Extension,
    GivenReason,
    Issuer,
    MessageDetails,
)

NOTICE = MessageDetails("", "", "bildirim.1@hs90.kep.tr", "sha512", hashlib.sha512(b"x").digest(), is_notification=True)
OTHERS = {
    "download": make_evidence(
        KepCode.TESLIM,
        element=Element.DOWNLOAD,
        event=Event.DOWNLOAD,
        recipient_authentication=Authentication(AT, "QES"),
    ),
    "recipient rejects": make_evidence(
        KepCode.TESLIM_EDILEMEDI,
        element=Element.RECIPIENT_ACCEPTANCE,
        event=Event.REJECTION,
        reasons=(GivenReason(Reason.RECIPIENT_REJECTION),),
    ),
    "to non-REM": make_evidence(
        KepCode.TESLIM,
        element=Element.TO_NON_REM,
        event=Event.FORWARDED_TO_REGULAR_EMAIL,
        forwarded_to="mail.example.tr",
    ),
    "from non-REM": make_evidence(
        KepCode.TESLIM, element=Element.FROM_NON_REM, event=Event.RECEIVED_FROM_REGULAR_EMAIL, submission_time=None
    ),
    "notification": make_evidence(KepCode.TESLIM, event=Event.NOTIFICATION, message=None, notification=NOTICE),
    "notification failed": make_evidence(
        KepCode.TESLIM_EDILEMEDI, event=Event.NOTIFICATION_FAILURE, message=None, notification=NOTICE
    ),
    "recipient does not decide": make_evidence(
        KepCode.TESLIM_EDILEMEDI,
        element=Element.RECIPIENT_ACCEPTANCE,
        event=Event.DECISION_EXPIRY,
        reasons=(GivenReason(Reason.RETENTION_PERIOD_EXPIRED),),
    ),
    "recipient accepts": make_evidence(KepCode.TESLIM, element=Element.RECIPIENT_ACCEPTANCE, event=Event.ACCEPTANCE),
    "download expires": make_evidence(
        KepCode.TESLIM_EDILEMEDI,
        element=Element.DOWNLOAD,
        event=Event.DOWNLOAD_EXPIRATION,
        reasons=(GivenReason(Reason.RETENTION_PERIOD_EXPIRED),),
    ),
    "to printing": make_evidence(
        KepCode.TESLIM,
        element=Element.TO_NON_REM,
        event=Event.FORWARDED_TO_PRINTING_SYSTEM,
        forwarded_to="baski.example.tr",
    ),
    "not to non-REM": make_evidence(
        KepCode.TESLIM_EDILEMEDI,
        element=Element.TO_NON_REM,
        event=Event.FORWARDING_FAILURE,
        forwarded_to="mail.example.tr",
        reasons=(GivenReason(Reason.REGULAR_EMAIL_REJECTION),),
    ),
    "not to printing": make_evidence(
        KepCode.TESLIM_EDILEMEDI,
        element=Element.TO_NON_REM,
        event=Event.FORWARDING_FAILURE,
        forwarded_to="baski.example.tr",
        reasons=(GivenReason(Reason.PRINTING_BUFFER_FULL),),
    ),
    "everything": make_evidence(
        KepCode.OKUNDU,
        issuer=Issuer("kep@posta.hs90.kep.tr", "A & <Ş>", "hs90.kep.tr", b"\x30\x03\x02\x01\x05"),
        delegates=(Delegate(Entity("vekil@hs91.kep.tr", "Vekil"), (1, 2)),),
        refers_to=2,
        extensions=(Extension(b'<a:b xmlns:a="urn:a" c="d">e &amp; f</a:b>'), Extension(b"text")),
        recipient_authentication=Authentication(AT, "AdES-Plus"),
        policies=("urn:oid:1.2.3", "urn:kepgw:policy:development"),
    ),
    "own reason": make_evidence(KepCode.RED, reasons=(GivenReason("urn:example:why", "d"), GivenReason(Reason.OTHER))),
}
ALL = {f"{code:d}": make_evidence(code) for code in KepCode} | OTHERS


@cache
def schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(find_shared() / "xsd" / "ts102640" / "TS102640_v2.xsd"))


@pytest.mark.parametrize("name", ALL)
def test_valid_by_the_published_schema(name):
    judge = schema()
    judge.assertValid(etree.fromstring(ts102640.write(ALL[name])))


@pytest.mark.parametrize("name", ALL)
def test_signed_evidence_is_valid_but_for_the_signature(name):
    # judged without ds:Signature: the published XAdES 1.3.2 schema does not know SigningCertificateV2
    root = etree.fromstring(xades.sign(ts102640.write(ALL[name]), make_signer("ecdsa-sha256"), AT, None))
    root.remove(root[-1])
    schema().assertValid(root)


@pytest.mark.parametrize("name", ALL)
def test_read_gives_what_was_written(name):
    assert ts102640.read(ts102640.write(ALL[name])) == ALL[name]


@pytest.mark.parametrize("name", ALL)
def test_written_in_canonical_form(name):
    octets = ts102640.write(ALL[name])
    canonical = etree.tostring(etree.fromstring(octets), method="c14n", exclusive=True)
    assert octets.split(b"?>\n", 1)[1] == canonical


def test_spelling_of_the_event_codes():
    def code(name):
        return etree.fromstring(ts102640.write(ALL[name])).findtext("{*}EventCode")

    assert code("10") == "http:uri.etsi.org/02640/Event#Acceptance"
    assert code("21") == "http:uri.etsi.org/02640/Event#Rejection"
    assert code("31") == "http:uri.etsi.org/REM/Event#DeliveryExpiration"
    assert code("61") == "http:uri.etsi.org/REM/Event#NonRetrievalExpiration"
    assert code("recipient rejects") == "http:uri.etsi.org/REM/Event#Rejection"
    assert code("from non-REM") is None
    # what has no code of its own is said by another, beside a notification or a reason
    assert code("notification") == "http:uri.etsi.org/REM/Event#Delivery"
    assert code("notification failed") == "http:uri.etsi.org/REM/Event#DeliveryExpiration"
    assert code("recipient does not decide") == "http:uri.etsi.org/REM/Event#Rejection"
    assert code("not to non-REM") == "http:uri.etsi.org/REM/Event#ForwardedToRegularEMail"
    assert code("not to printing") == "http:uri.etsi.org/REM/Event#ForwardedToPrintingSystem"


def test_all_nine_types_and_every_event_code_are_written():
    assert {evidence.element for evidence in ALL.values()} == set(Element)
    written = {etree.fromstring(ts102640.write(one)).findtext("{*}EventCode") for one in ALL.values()}
    assert {event_of(uri) for uri in written - {None}} == set(EVENT_CODES) - {Event.RECEIVED_FROM_REGULAR_EMAIL}


def test_every_reason_is_written_and_read():
    reasons = tuple(GivenReason(reason, "d") for reason in Reason)
    assert ts102640.read(ts102640.write(make_evidence(KepCode.RED, reasons=reasons))).reasons == reasons


def test_a_notification_delivered_is_no_delivery():
    assert ts102640.read(ts102640.write(ALL["notification"])).kep_code is None
    # not even where the message that it announces is told beside it
    both = replace(ALL["notification"], message=make_evidence().message)
    assert ts102640.read(ts102640.write(both)) == both
    assert both.kep_code is None


def test_another_spelling():
    spelling = ts102640.Spelling(
        namespace=ts102640.NAMESPACE_V1,
        version="1",
        other_events="http:uri.etsi.org/02640/Event#",
        retrieval_expiration="RetrievalExpiration",
    )
    octets = ts102640.write(ALL["61"], spelling)
    assert b"02640/v1#" in octets
    assert b"02640/Event#RetrievalExpiration" in octets
    assert b"ReplyTo>" in octets
    assert b"ReplyToAddress" not in octets
    assert ts102640.read(octets) == replace(ALL["61"], version="1")


@pytest.mark.parametrize("hostile", ["\x00\x1b", "]]>", "<x/>&e;", "\ud800", "a\r\nBcc: b", "\ufffe", "x" * 50_000])
def test_a_hostile_subject_is_carried_safely(hostile):
    evidence = make_evidence(
        message=replace(make_evidence().message, subject=f"a{hostile}b", ua_message_id=hostile[:9])
    )
    octets = ts102640.write(evidence)
    schema().assertValid(etree.fromstring(octets))
    assert ts102640.read(octets).message.subject.startswith("a")


def change(**changes):
    return lambda evidence: replace(evidence, **changes)


@pytest.mark.parametrize(
    ("name", "spoil", "word"),
    [
        ("10", change(event=Event.DELIVERY), "cannot say"),
        ("10", change(message=None), "message is missing"),
        ("10", change(submission_time=None), "submission_time is missing"),
        ("10", change(refers_to=1), "refers_to is not allowed"),
        ("10", change(notification=NOTICE), "notification is not allowed"),
        ("10", change(reasons=(GivenReason(Reason.OTHER),)), "a reason beside"),
        ("11", change(reasons=()), "without a reason"),
        ("31", change(reasons=()), "reasons is missing"),
        ("40", change(sender_authentication=Authentication(AT, "Basic")), "sender_authentication is not allowed"),
        ("40", change(message=None), "neither"),
        ("40", change(refers_to=3), "index"),
        ("40", change(refers_to=0), "index"),
        ("40", change(policies=()), "policy"),
        ("40", change(recipients=()), "recipient"),
        ("40", change(sender=Entity("")), "address"),
        ("40", change(forwarded_to="x"), "forwarded_to is not allowed"),
        ("to non-REM", change(forwarded_to=None), "forwarded_to is missing"),
        ("40", lambda one: replace(one, message=replace(one.message, digest=b"short")), "digest"),
        ("40", lambda one: replace(one, message=replace(one.message, is_notification=True)), "notification"),
        ("10", change(sender_authentication=Authentication(AT, "Guess")), "authentication method"),
        ("everything", change(extensions=(Extension(b"</x><x>"),)), None),
    ],
)
def test_what_annex_b_does_not_allow_is_not_written(name, spoil, word):
    with pytest.raises((ValueError, FormatError), match=word):
        ts102640.write(spoil(ALL[name]))


FIELD = """<?xml version="1.0" encoding="ISO-8859-9"?>
<RelayToREMMDAcceptanceRejection xmlns="http://uri.etsi.org/02640/v1#" xmlns:t="http://uri.etsi.org/02231/v2#"
  version="1.2.1">
 <eventCode> http://uri.etsi.org/REM/Event#Rejection </eventCode>
 <EventReasons><EventReason><Code>http:uri.etsi.org/REM/EventReason#R_REMMD_NotIdentified</Code></EventReason>
 </EventReasons>
 <EvidenceIdentifier>x1</EvidenceIdentifier>
 <EvidenceIssuerDetails>
  <AttributedElectronicAddress DisplayName="Sağlayıcı">mailto:kep@hs09.kep.tr</AttributedElectronicAddress>
 </EvidenceIssuerDetails>
 <EventTime>2026-03-01T12:30:15</EventTime>
 <ReplyTo>a@hs01.kep.tr</ReplyTo>
 <SenderDetails><t:ElectronicAddress><t:URI>mailto:a@hs01.kep.tr</t:URI></t:ElectronicAddress></SenderDetails>
 <RecipientsDetails><EntityDetails><AttributedElectronicAddress scheme="MAILTO">b@hs09.kep.tr<?cut me?>.x
 </AttributedElectronicAddress></EntityDetails></RecipientsDetails>
 <senderMessageDetails isNotification="0"><MessageSubject>Ş</MessageSubject>
  <MessageIdentifierByREMMD>m1</MessageIdentifierByREMMD></senderMessageDetails>
 <Extensions><Extension><x xmlns="urn:x"/></Extension></Extensions>
</RelayToREMMDAcceptanceRejection>"""


def test_the_field_is_read():
    evidence = ts102640.read(FIELD.encode("iso-8859-9"))
    assert (evidence.element, evidence.event) == (Element.RELAY, Event.REJECTION)
    assert evidence.kep_code is KepCode.ILETILMEDI
    assert evidence.reasons == (GivenReason(Reason.R_REMMD_NOT_IDENTIFIED),)
    assert evidence.issuer == Issuer("kep@hs09.kep.tr", "Sağlayıcı", "hs09.kep.tr")
    assert evidence.sender == Entity("a@hs01.kep.tr")
    assert evidence.recipients == (Entity("b@hs09.kep.tr.x"),)  # not cut by the processing instruction
    assert evidence.message == MessageDetails("Ş", "", "m1")
    assert evidence.event_time == AT
    assert (evidence.version, evidence.reply_to, evidence.policies) == ("1.2.1", "a@hs01.kep.tr", ())


def test_a_digest_by_another_algorithm_keeps_its_name():
    octets = ts102640.write(ALL["10"]).replace(b"xmlenc#sha256", b"xmldsig#sha1")
    assert ts102640.read(octets).message.digest_algorithm == "http://www.w3.org/2001/04/xmldsig#sha1"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RelayToREMMDAcceptanceRejection", "Evidence"),
        ("02640/v1#", "19522/v1#"),
        ("Event#Rejection", "Event#Lost"),
        ("<EvidenceIdentifier>x1</EvidenceIdentifier>", ""),
        ("<EvidenceIdentifier>x1</EvidenceIdentifier>", "<EvidenceIdentifier/>"),
        ("<EvidenceIdentifier>", "<EvidenceIdentifier>x2</EvidenceIdentifier><EvidenceIdentifier>"),
        ("<EventTime>2026", "<EventTime>later"),
        ("<MessageIdentifierByREMMD>m1</MessageIdentifierByREMMD>", ""),
        ("<ReplyTo>", "<ReplyToAddress>a@hs02.kep.tr</ReplyToAddress><ReplyTo>"),
        ("<senderMessageDetails", "<EvidenceRefersToRecipient>2</EvidenceRefersToRecipient><senderMessageDetails"),
        ("<senderMessageDetails", "<EvidenceRefersToRecipient>-1</EvidenceRefersToRecipient><senderMessageDetails"),
        ("<Extension>", '<Extension isCritical="true">'),
        ("mailto:a@hs01.kep.tr</t:URI>", "</t:URI>"),
    ],
)
def test_what_is_ambiguous_or_unknown_is_refused(old, new):
    assert old in FIELD
    with pytest.raises(FormatError):
        ts102640.read(FIELD.replace(old, new).encode("iso-8859-9"))


def test_processing_instructions_in_an_extension_do_no_harm():
    # lxml 6.1 ends the whole process when it canonicalises a processing instruction by itself
    octets = FIELD.replace('<x xmlns="urn:x"/>', '<?a b?>t<x xmlns="urn:x"><?c?></x><?d?>u').encode("iso-8859-9")
    assert ts102640.read(octets).extensions == (Extension(b't<x xmlns="urn:x"><?c?></x>u'),)
