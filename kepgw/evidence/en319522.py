"""EN 319 522-3 evidence as XML: what we write, in the shape of the REM baseline, and the door to what we read.

The shape is that of the example messages published with EN 319 532-4: the schema has no elementFormDefault, so that
global elements carry a prefix and local ones carry none. Every prefix is declared on the root, because xsi:type names
two of them in its value. What the examples lack (delegates, log) is named as EN 319 522-3 5.2 has it.
"""

import base64
from dataclasses import dataclass, replace

from kepgw.evidence.algorithms import DIGESTS
from kepgw.evidence.codes import METHODS
from kepgw.evidence.en319522_cardinality import REM_BASELINE, Rules, check
from kepgw.evidence.en319522_codes import ERDS_EVENTS, ErdsReason, erds_reason
from kepgw.evidence.en319522_reader import read
from kepgw.evidence.identity import LEGAL, LEGAL_NAME, NAME_FORMAT, NATURAL
from kepgw.evidence.markup import DECLARATION, MAX_XML, escape, escape_attribute, parse, write_utc
from kepgw.evidence.model import (
    Assurance,
    Authentication,
    Entity,
    Evidence,
    GivenReason,
    IdentityAttribute,
    Issuer,
    MessageDetails,
)
from kepgw.texts import text

__all__ = ["REM_BASELINE_SHAPE", "Shape", "read", "with_reason", "write"]

PREFIXES = {
    "ds": "http://www.w3.org/2000/09/xmldsig#",
    "elp": LEGAL,
    "enp": NATURAL,
    "ext": "http://uri.etsi.org/19532/v1#",
    "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
    "tns": "http://uri.etsi.org/19522/v1#",
}
XSI = "http://www.w3.org/2001/XMLSchema-instance"
RFC822_OID = "urn:oid:1.3.6.1.7"  # mail, EN 319 532-4 table C.18
MAX_SUBJECT = 10_000  # characters; a longer subject is cut, the digest still covers it
_ROOT = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in PREFIXES.items())
_ATTRIBUTE_PREFIXES = {LEGAL: "elp", NATURAL: "enp"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a profile of EN 319 522-3 asks: its table, and the prefix under which a method without URI is written."""

    rules: Rules = REM_BASELINE
    methods: str = "http:uri.etsi.org/REM/AuthMethod#"


REM_BASELINE_SHAPE = Shape()


def write(evidence: Evidence, shape: Shape = REM_BASELINE_SHAPE) -> bytes:
    """The evidence as UTF-8 XML with declaration, unsigned; hostile characters in it become U+FFFD.

    A positive event without a reason is given its own (EN 319 532-4 table C.27: exactly one). Raises ValueError where
    the profile does not allow what it says, or when it would exceed 1 MiB.
    """
    evidence = with_reason(evidence)
    check(evidence, shape.rules)
    root = (
        f'<tns:Evidence{_ROOT} version="{escape_attribute(evidence.version)}">'
        f"{''.join(_children(evidence, shape))}</tns:Evidence>"
    )
    octets = DECLARATION + root.encode()
    if len(octets) > MAX_XML:
        raise ValueError(f"an evidence of {len(octets)} octets, more than {MAX_XML}")
    return octets


def with_reason(evidence: Evidence) -> Evidence:
    """``evidence`` with the reason that says a positive event, where it has none and the event has one."""
    event = evidence.erds_event
    if evidence.reasons or event is None or not event.positive:
        return evidence
    first = ERDS_EVENTS[event].reasons[0]
    return evidence if first is ErdsReason.OTHER else replace(evidence, reasons=(GivenReason(first),))


def _children(evidence: Evidence, shape: Shape) -> list[str]:
    """The children of the root in the order of EN 319 522-3 5.2."""
    event, message = evidence.erds_event, evidence.message
    assert event is not None
    assert message is not None
    authentications = {evidence.refers_to or 1: evidence.recipient_authentication}
    return [
        _tns("EvidenceIdentifier", escape(evidence.identifier)),
        _tns("ERDSEventId", event.uri),
        _optional("EventReasons", "".join(_reason(given, evidence) for given in evidence.reasons)),
        _local("EventTime", write_utc(evidence.event_time)),
        _tns("EvidenceIssuerPolicyID", "".join(_local("PolicyID", escape(policy)) for policy in evidence.policies)),
        _tns("EvidenceIssuerDetails", _provider(evidence.issuer)),
        _tns("SenderDetails", _user(evidence.sender, evidence.sender_authentication, shape)),
        _tns("SenderDelegateDetails", _user(evidence.sender_delegate, None, shape)) if evidence.sender_delegate else "",
        *(
            _tns("RecipientDetails", _user(one, authentications.get(index), shape))
            for index, one in enumerate(evidence.recipients, 1)
        ),
        *(
            _tns(
                "RecipientsDelegateDetails",
                _user(one.entity, None, shape) + _local("DelegatingRecipients", " ".join(map(str, one.recipients))),
            )
            for one in evidence.delegates
        ),
        _tns("SubmissionTime", write_utc(evidence.submission_time)) if evidence.submission_time else "",
        _local("EvidenceRefersToRecipient", str(evidence.refers_to)) if evidence.refers_to else "",
        _tns("MessageIdentifier", escape(message.remmd_message_id)),
        _content(message),
        _local("ForwardedToExternalSystem", escape(evidence.forwarded_to)) if evidence.forwarded_to else "",
        _tns("ExternalERDSDetails", _provider(evidence.external)) if evidence.external else "",
        _optional("TransactionLogInformation", "".join(_local("TransactionLog", escape(one)) for one in evidence.log)),
        _optional("Extensions", _extensions(evidence, message)),
    ]


def _tns(name: str, inner: str) -> str:
    return f"<tns:{name}>{inner}</tns:{name}>"


def _local(name: str, inner: str) -> str:
    return f"<{name}>{inner}</{name}>"


def _ext(name: str, inner: str) -> str:
    return f"<ext:{name}>{inner}</ext:{name}>"


def _optional(name: str, inner: str) -> str:
    return _tns(name, inner) if inner else ""


def _reason(given: GivenReason, evidence: Evidence) -> str:
    """URI, short code, then text (EN 319 532-4 table C.18)."""
    event = evidence.erds_event
    assert event is not None
    reason = erds_reason(given.reason, event)
    assert isinstance(reason, ErdsReason)  # by the table
    told = given.details or text(f"evidence-reason-{reason.lower()}", "en")
    details = [reason.code(event), *filter(None, told.split("\n"))]
    return _tns(
        "EventReason",
        _local("Code", reason.uri) + "".join(_local("Details", escape(detail)) for detail in details),
    )


def _identity(attributes: tuple[IdentityAttribute, ...]) -> str:
    return _optional("Identity", "".join(_attribute(one) for one in attributes))


def _attribute(one: IdentityAttribute) -> str:
    """saml:Attribute by the eIDAS attribute profile; the type of a foreign one is not known, so not named."""
    namespace, _, name = one.name.rpartition("/")
    prefix = _ATTRIBUTE_PREFIXES.get(namespace)
    shown = escape_attribute(name)
    typed = f' xmlns:xsi="{XSI}" xsi:type="{prefix}:{shown}Type"' if prefix else ""
    return (
        f'<saml:Attribute FriendlyName="{shown}" Name="{escape_attribute(one.name)}" NameFormat="{NAME_FORMAT}">'
        f"<saml:AttributeValue{typed}>{escape(one.value)}</saml:AttributeValue></saml:Attribute>"
    )


def _provider(issuer: Issuer) -> str:
    """A provider by its legal name, as its capability metadata has it (EN 319 532-4 table C.18)."""
    named = (IdentityAttribute(LEGAL_NAME, issuer.name),) if issuer.name else ()
    return _identity((*named, *issuer.identity))


def _user(entity: Entity, authentication: Authentication | None, shape: Shape) -> str:
    identifier = (
        f'<Identifier IdentifierSchemeName="mailto">{escape(entity.address)}</Identifier>' if entity.address else ""
    )
    return _identity(entity.identity) + identifier + _assurance(entity.assurance, authentication, shape)


def _assurance(levels: tuple[Assurance, ...], authentication: Authentication | None, shape: Shape) -> str:
    if not levels:
        return ""
    if len(levels) != 1 or levels[0].kind != "global":
        raise ValueError("assurance other than one global level")  # EN 319 532-4 table C.18
    level = _local("AssuranceLevel", escape(levels[0].level))
    level += _local("PolicyID", escape(levels[0].policy)) if levels[0].policy else ""
    details = ""
    if authentication is not None:
        details = _tns(
            "AuthenticationDetails",
            _local("AuthenticationTime", write_utc(authentication.time))
            + _local("AuthenticationMethod", escape(_method(authentication.method, shape))),
        )
    return _local("AssuranceLevelsDetails", _local("GlobalAssuranceLevel", level) + details)


def _method(method: str, shape: Shape) -> str:
    if ":" in method:
        return method
    if method not in METHODS:
        raise ValueError(f"no authentication method {method!r}")
    return shape.methods + method


def _content(message: MessageDetails) -> str:
    part = (
        _local("Identifier", RFC822_OID)
        + _local("ContentType", "message/rfc822")
        + f'<ds:DigestMethod Algorithm="{DIGESTS[message.digest_algorithm]}"/>'
        + f"<ds:DigestValue>{base64.b64encode(message.digest).decode()}</ds:DigestValue>"
    )
    identifier = _local("AppLayerIdentifier", escape(message.ua_message_id)) if message.ua_message_id else ""
    parts = _local("ComposingParts", "1") + _tns("PartsInfo", _tns("PartInfo", part))
    return _tns("UserContentInfo", identifier + parts)


def _extensions(evidence: Evidence, message: MessageDetails) -> str:
    subject = message.subject if len(message.subject) <= MAX_SUBJECT else message.subject[: MAX_SUBJECT - 1] + "…"
    general = (_ext("Subject", escape(subject)) if subject else "") + "".join(
        _ext("UntrustedPathToRecipient", str(index)) for index in evidence.untrusted_path
    )
    relay = "".join(_ext("RelayEvidenceRefersTo", str(index)) for index in evidence.refers_to_several)
    written = [
        _extension(_ext(name, inner), critical=False)
        for name, inner in (("GeneralEvidenceInfo", general), ("RelayEvidenceInfo", relay))
        if inner
    ]
    for extension in evidence.extensions:
        parse(b"<x>" + extension.content + b"</x>")  # a fragment that closes what it did not open would break out
        written.append(_extension(extension.content.decode(), extension.critical))
    return "".join(written)


def _extension(inner: str, critical: bool) -> str:
    return f'<tns:Extension isCritical="{str(critical).lower()}">{inner}</tns:Extension>'
