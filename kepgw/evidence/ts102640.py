"""TS 102 640-2 evidence as XML: what we write (version 2, Annex G), and the door to what we read.

What is written is already in canonical form below its declaration, so that signing adds no second shape of it.
"""

import base64
from dataclasses import dataclass

from kepgw.evidence import cardinality
from kepgw.evidence.algorithms import DIGESTS
from kepgw.evidence.codes import METHODS, Element, Event
from kepgw.evidence.en319522_codes import ts_reason
from kepgw.evidence.markup import DECLARATION, MAX_XML, escape, escape_attribute, parse, write_time
from kepgw.evidence.model import Authentication, Entity, Evidence, Issuer, MessageDetails
from kepgw.evidence.ts102640_forms import as_said
from kepgw.evidence.ts102640_reader import read

__all__ = ["NAMESPACE_V1", "NAMESPACE_V2", "TR_KEP", "Spelling", "read", "write"]

NAMESPACE_V1 = "http://uri.etsi.org/02640/v1#"  # as Annexes B and G print it
NAMESPACE_V2 = "http://uri.etsi.org/02640/v2#"  # as every deployed schema has it
DS = "http://www.w3.org/2000/09/xmldsig#"
MAX_SUBJECT = 10_000  # characters; a longer subject is cut, the digest still covers it


@dataclass(frozen=True, slots=True)
class Spelling:
    """How evidence is spelled where texts and deployed code disagree.

    Annex B.1.1 prints acceptance and rejection under ``02640``, all else under ``REM``, all with ``http:`` and no
    ``//``; it calls the end of the retrieval period ``NonRetrievalExpiration`` where B.2.6 has ``RetrievalExpiration``.
    """

    namespace: str = NAMESPACE_V2
    version: str = "2"
    decision_events: str = "http:uri.etsi.org/02640/Event#"
    other_events: str = "http:uri.etsi.org/REM/Event#"
    retrieval_expiration: str = "NonRetrievalExpiration"
    reasons: str = "http:uri.etsi.org/REM/EventReason#"
    methods: str = "http:uri.etsi.org/REM/AuthMethod#"

    def event(self, element: Element, event: Event) -> str:
        """The EventCode URI of an event in this evidence type."""
        by_recipient = element is Element.RECIPIENT_ACCEPTANCE and event is Event.REJECTION  # B.1.1, ninth row
        if event in (Event.ACCEPTANCE, Event.REJECTION) and not by_recipient:
            return self.decision_events + event
        return self.other_events + (self.retrieval_expiration if event is Event.RETRIEVAL_EXPIRATION else event)


TR_KEP = Spelling()


def write(evidence: Evidence, spelling: Spelling = TR_KEP) -> bytes:
    """The evidence as UTF-8 XML with declaration, unsigned; hostile characters in it become U+FFFD.

    Raises ValueError where Annex B.2 does not allow what it says, or when it would exceed 1 MiB.
    """
    evidence = as_said(evidence)
    cardinality.check(evidence)
    name = f"rem:{evidence.element}"
    body = "".join(_children(evidence, spelling))
    root = (
        f'<{name} xmlns:rem="{escape_attribute(spelling.namespace)}" version="{escape_attribute(spelling.version)}">'
        f"{body}</{name}>"
    )
    octets = DECLARATION + root.encode()
    if len(octets) > MAX_XML:
        raise ValueError(f"an evidence of {len(octets)} octets, more than {MAX_XML}")
    return octets


def _children(evidence: Evidence, spelling: Spelling) -> list[str]:
    """The children of the root in the order of the schema (Annex G)."""
    # B.2.9 lists no EventCode for evidence 9: its name says all
    event = "" if evidence.element is Element.FROM_NON_REM else spelling.event(evidence.element, evidence.event)
    reasons = "".join(
        _tag(
            "EventReason",
            _tag("Code", escape(_uri(spelling.reasons, ts_reason(given.reason)))) + _optional("Details", given.details),
        )
        for given in evidence.reasons
    )
    policies = "".join(_tag("PolicyID", escape(policy)) for policy in evidence.policies)
    recipients = "".join(_tag("EntityDetails", _entity(entity)) for entity in evidence.recipients)
    delegates = "".join(
        _tag("DelegateDetails", _entity(delegate.entity))
        + _tag("DelegatingRecipients", " ".join(map(str, delegate.recipients)))
        for delegate in evidence.delegates
    )
    return [
        _optional("EventCode", event),
        _tag("EventReasons", reasons) if reasons else "",
        _tag("EvidenceIdentifier", escape(evidence.identifier)),
        _tag("EvidenceIssuerPolicyID", policies),
        _tag("EvidenceIssuerDetails", _issuer(evidence.issuer)),
        _authentication("SenderAuthenticationDetails", evidence.sender_authentication, spelling),
        _authentication("RecipientAuthenticationDetails", evidence.recipient_authentication, spelling),
        _tag("EventTime", write_time(evidence.event_time)),
        _tag("SubmissionTime", write_time(evidence.submission_time)) if evidence.submission_time else "",
        _reply_to(evidence.reply_to, spelling),
        _tag("SenderDetails", _entity(evidence.sender)),
        _tag("RecipientsDetails", recipients),
        _tag("RecipientsDelegatesDetails", delegates) if delegates else "",
        _optional("EvidenceRefersToRecipient", "" if evidence.refers_to is None else str(evidence.refers_to)),
        _details("SenderMessageDetails", evidence.message),
        _details("NotificationMessageDetails", evidence.notification),
        _optional("ForwardedToExternalSystem", evidence.forwarded_to or ""),
        _extensions(evidence),
    ]


def _tag(name: str, inner: str) -> str:
    return f"<rem:{name}>{inner}</rem:{name}>"


def _optional(name: str, value: str) -> str:
    return _tag(name, escape(value)) if value else ""


def _uri(prefix: str, value: str) -> str:
    """A fragment under its prefix; what is a URI already (relayed from a peer) as it is."""
    return value if ":" in value else prefix + value


def _address(value: str, scheme: str = "mailto", name: str = "AttributedElectronicAddress") -> str:
    return f'<rem:{name} scheme="{scheme}">{escape(value)}</rem:{name}>'


def _name(value: str) -> str:
    if not value:
        return ""
    return _tag("NamesPostalAddresses", _tag("NamePostalAddress", _tag("EntityName", _tag("Name", escape(value)))))


def _entity(entity: Entity) -> str:
    return _name(entity.name) + _address(entity.address)


def _issuer(issuer: Issuer) -> str:
    # RFC 4501 names the scheme; a domain that the address already tells is not said twice
    domain = issuer.domain if issuer.domain != issuer.address.rpartition("@")[2] else ""
    return "".join(
        (
            _name(issuer.name),
            _address(issuer.address),
            _address(domain, "dns") if domain else "",
            _tag("CertificateDetails", _tag("X509Certificate", base64.b64encode(issuer.certificate).decode()))
            if issuer.certificate
            else "",
        )
    )


def _authentication(name: str, authentication: Authentication | None, spelling: Spelling) -> str:
    if authentication is None:
        return ""
    if authentication.method not in METHODS and ":" not in authentication.method:
        raise ValueError(f"no authentication method {authentication.method!r}")
    method = _uri(spelling.methods, authentication.method)
    return _tag(
        name,
        _tag("AuthenticationTime", write_time(authentication.time)) + _tag("AuthenticationMethod", escape(method)),
    )


def _reply_to(reply_to: str | None, spelling: Spelling) -> str:
    if not reply_to:
        return ""
    # an implementation of version 2 shall use ReplyToAddress (Annex B)
    return _tag("ReplyTo", escape(reply_to)) if spelling.version == "1" else _address(reply_to, name="ReplyToAddress")


def _details(name: str, details: MessageDetails | None) -> str:
    if details is None:
        return ""
    # Annex G requires the subject, B.1.15.2 forbids it for a notification: an empty one satisfies the schema
    subject = details.subject if len(details.subject) <= MAX_SUBJECT else details.subject[: MAX_SUBJECT - 1] + "…"
    return (
        f'<rem:{name} isNotification="{str(details.is_notification).lower()}">'
        + _tag("MessageSubject", escape(subject))
        + _optional("UAMessageIdentifier", details.ua_message_id)
        + _tag("MessageIdentifierByREMMD", escape(details.remmd_message_id))
        + f'<ds:DigestMethod xmlns:ds="{DS}" Algorithm="{DIGESTS[details.digest_algorithm]}"></ds:DigestMethod>'
        f'<ds:DigestValue xmlns:ds="{DS}">{base64.b64encode(details.digest).decode()}</ds:DigestValue></rem:{name}>'
    )


def _extensions(evidence: Evidence) -> str:
    written = []
    for extension in evidence.extensions:
        fragment = extension.content
        parse(b"<x>" + fragment + b"</x>")  # a fragment that closes what it did not open would break out
        written.append(
            f'<rem:Extension isCritical="{str(extension.critical).lower()}">{fragment.decode()}</rem:Extension>'
        )
    return _tag("Extensions", "".join(written)) if written else ""
