"""Reading TS 102 640-2 evidence as the field writes it: both namespaces, any spelling, any case.

Lenient in form, strict in meaning: whatever could be read in two ways is refused. Only direct children of the root
are read, so that nothing inside a signature or an extension can speak as evidence.
"""

import re

from lxml import etree

from kepgw.errors import FormatError
from kepgw.evidence import codes
from kepgw.evidence.elements import (
    Children,
    children_of,
    digest_of,
    index,
    listed,
    maybe,
    node,
    required,
    single,
    stripped,
    text_of,
    unknown_extension,
)
from kepgw.evidence.markup import parse, read_base64, read_time
from kepgw.evidence.model import (
    Authentication,
    Delegate,
    Entity,
    Evidence,
    GivenReason,
    Issuer,
    MessageDetails,
)
from kepgw.evidence.ts102640_forms import as_meant

_FIELD = re.compile(r"http:(//)?uri\.etsi\.org/02640/v[12]#?")


def read(octets: bytes) -> Evidence:
    """The evidence in an XML document, signed or not (the signature is not judged here).

    Raises FormatError for anything that is no TS 102 640-2 evidence, is ambiguous or carries a critical extension
    that we do not know (B.1.18: every one, so far).
    """
    return read_root(parse(octets).getroot())


def read_root(root: etree._Element) -> Evidence:
    """``read``, of a document that is parsed already."""
    name = etree.QName(root)
    element = codes.element_of(name.localname)
    if element is None or not _FIELD.fullmatch(name.namespace or ""):
        raise FormatError(f"no evidence of TS 102 640-2: {str(root.tag)[:80]}")
    return as_meant(_evidence(element, root))


def _evidence(element: codes.Element, root: etree._Element) -> Evidence:
    children = children_of(root)
    recipients = tuple(_entity(children_of(one)) for one in listed(children, "RecipientsDetails", "EntityDetails"))
    if not recipients:
        raise FormatError("an evidence without recipients")
    reasons = tuple(_reason(children_of(one)) for one in listed(children, "EventReasons", "EventReason"))
    return Evidence(
        element=element,
        event=_event(element, children),
        identifier=required(children, "EvidenceIdentifier"),
        policies=tuple(
            policy for one in listed(children, "EvidenceIssuerPolicyID", "PolicyID") if (policy := text_of(one).strip())
        ),
        issuer=_issuer(children_of(node(children, "EvidenceIssuerDetails"))),
        event_time=read_time(required(children, "EventTime")),
        sender=_entity(children_of(node(children, "SenderDetails"))),
        recipients=recipients,
        message=maybe(children, "SenderMessageDetails", lambda one: _details(one, False)),
        submission_time=maybe(children, "SubmissionTime", lambda one: read_time(text_of(one))),
        reasons=reasons,
        reply_to=_reply_to(children),
        refers_to=maybe(children, "EvidenceRefersToRecipient", lambda one: index(text_of(one), len(recipients))),
        sender_authentication=maybe(children, "SenderAuthenticationDetails", _authentication),
        recipient_authentication=maybe(children, "RecipientAuthenticationDetails", _authentication),
        delegates=_delegates(children, len(recipients)),
        notification=maybe(children, "NotificationMessageDetails", lambda one: _details(one, True)),
        forwarded_to=maybe(children, "ForwardedToExternalSystem", stripped),
        extensions=tuple(unknown_extension(one) for one in listed(children, "Extensions", "Extension")),
        version=root.get("version", ""),
    )


def _event(element: codes.Element, children: Children) -> codes.Event:
    found = single(children, "EventCode")
    if found is None:
        # only where the name of the evidence leaves no choice (B.2.3, B.2.9)
        only = {
            codes.Element.RELAY_FAILURE: codes.Event.DELIVERY_EXPIRATION,
            codes.Element.FROM_NON_REM: codes.Event.RECEIVED_FROM_REGULAR_EMAIL,
        }.get(element)
        if only is None:
            raise FormatError("EventCode is missing")
        return only
    event = codes.event_of(text_of(found))
    if event is None:
        raise FormatError(f"unknown event {text_of(found)[:80]!r}")
    return event


def _reason(children: Children) -> GivenReason:
    details = single(children, "Details")
    return GivenReason(codes.reason_of(required(children, "Code")), "" if details is None else text_of(details))


def _addresses(children: Children) -> list[tuple[str, str, str]]:
    """(scheme, address, display name) of every electronic address, in either of the two forms of the schema."""
    found = [
        (one.get("scheme", "mailto"), text_of(one), one.get("DisplayName", ""))
        for one in children.get("attributedelectronicaddress", [])
    ]
    for one in children.get("electronicaddress", []):
        found += [("mailto", text_of(uri), "") for uri in children_of(one).get("uri", [])]
    return [(scheme.strip().lower().rpartition(":")[2], _plain(address), name) for scheme, address, name in found]


def _plain(address: str) -> str:
    address = address.strip()
    return address[7:] if address[:7].lower() == "mailto:" else address


def _names(children: Children) -> list[str]:
    return [
        text_of(name)
        for one in listed(children, "NamesPostalAddresses", "NamePostalAddress")
        for name in listed(children_of(one), "EntityName", "Name")
    ]


def _entity(children: Children) -> Entity:
    mail = [(address, shown) for scheme, address, shown in _addresses(children) if scheme == "mailto" and address]
    if not mail:
        raise FormatError("an entity without electronic address")
    return Entity(mail[0][0], next(iter(_names(children)), mail[0][1]))


def _issuer(children: Children) -> Issuer:
    addresses = _addresses(children)
    mail = [address for scheme, address, _ in addresses if scheme == "mailto" and "@" in address]
    address = mail[0] if mail else ""
    domain = next((address for scheme, address, _ in addresses if scheme == "dns"), address.rpartition("@")[2])
    names = _names(children) + [shown for _, _, shown in addresses if shown]
    certificate = None
    details = single(children, "CertificateDetails")
    if details is not None:
        certificate = maybe(children_of(details), "X509Certificate", lambda one: read_base64(text_of(one)))
    return Issuer(address, names[0] if names else "", domain, certificate)


def _authentication(element: etree._Element) -> Authentication:
    children = children_of(element)
    assertion = single(children, "Assertion")
    if assertion is not None:
        at = assertion.get("IssueInstant", "")
        for statement in children_of(assertion).get("authnstatement", []):
            at = statement.get("AuthnInstant", at)
        return Authentication(read_time(at), "SAML")
    return Authentication(
        read_time(required(children, "AuthenticationTime")),
        codes.method_of(required(children, "AuthenticationMethod")),
    )


def _reply_to(children: Children) -> str | None:
    found = [one for name in ("ReplyTo", "ReplyToAddress") if (one := single(children, name)) is not None]
    if len(found) > 1:
        raise FormatError("ReplyTo and ReplyToAddress")  # a choice in Annex G
    return (_plain(text_of(found[0])) or None) if found else None


def _delegates(children: Children, recipients: int) -> tuple[Delegate, ...]:
    found = single(children, "RecipientsDelegatesDetails")
    if found is None:
        return ()
    inner = children_of(found)
    entities, indexes = inner.get("delegatedetails", []), inner.get("delegatingrecipients", [])
    if len(entities) != len(indexes):
        raise FormatError("delegates and their recipients do not pair")
    return tuple(
        Delegate(_entity(children_of(entity)), tuple(index(number, recipients) for number in text_of(one).split()))
        for entity, one in zip(entities, indexes, strict=True)
    )


def _details(element: etree._Element, notification: bool) -> MessageDetails:
    children = children_of(element)
    algorithm, digest = digest_of(children)
    subject = single(children, "MessageSubject")
    return MessageDetails(
        subject="" if subject is None else text_of(subject),
        ua_message_id=maybe(children, "UAMessageIdentifier", stripped) or "",
        remmd_message_id=required(children, "MessageIdentifierByREMMD"),
        digest_algorithm=algorithm or "sha256",
        digest=digest,
        is_notification=element.get("isNotification", str(notification)).strip().lower() in ("true", "1"),
    )
