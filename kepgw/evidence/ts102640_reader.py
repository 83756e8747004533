"""Reading TS 102 640-2 evidence as the field writes it: both namespaces, any spelling, any case.

Lenient in form, strict in meaning: whatever could be read in two ways is refused. Only direct children of the root
are read, so that nothing inside a signature or an extension can speak as evidence.
"""

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from lxml import etree

from kepgw.errors import FormatError
from kepgw.evidence import codes
from kepgw.evidence.algorithms import DIGEST_NAMES
from kepgw.evidence.markup import escape, parse, read_base64, read_time
from kepgw.evidence.model import (
    Authentication,
    Delegate,
    Entity,
    Evidence,
    Extension,
    GivenReason,
    Issuer,
    MessageDetails,
)

T = TypeVar("T")
_FIELD = re.compile(r"http:(//)?uri\.etsi\.org/02640/v[12]#?")
_DS = "http://www.w3.org/2000/09/xmldsig#"
_INTEGER = re.compile(r"\s*\+?\d{1,9}\s*")
_text_of = etree.XPath("string()")


def read(octets: bytes) -> Evidence:
    """The evidence in an XML document, signed or not (the signature is not judged here).

    Raises FormatError for anything that is no TS 102 640-2 evidence, is ambiguous or carries a critical extension
    that we do not know (B.1.18: every one, so far).
    """
    root = parse(octets).getroot()
    name = etree.QName(root)
    element = codes.element_of(name.localname)
    if element is None or not _FIELD.fullmatch(name.namespace or ""):
        raise FormatError(f"no evidence of TS 102 640-2: {str(root.tag)[:80]}")
    return _evidence(element, root)


def _evidence(element: codes.Element, root: etree._Element) -> Evidence:
    children = _children(root)
    recipients = tuple(_entity(_children(one)) for one in _list(children, "RecipientsDetails", "EntityDetails"))
    if not recipients:
        raise FormatError("an evidence without recipients")
    reasons = tuple(_reason(_children(one)) for one in _list(children, "EventReasons", "EventReason"))
    return Evidence(
        element=element,
        event=_event(element, children),
        identifier=_required(children, "EvidenceIdentifier"),
        policies=tuple(
            policy for one in _list(children, "EvidenceIssuerPolicyID", "PolicyID") if (policy := _text(one).strip())
        ),
        issuer=_issuer(_children(_node(children, "EvidenceIssuerDetails"))),
        event_time=read_time(_required(children, "EventTime")),
        sender=_entity(_children(_node(children, "SenderDetails"))),
        recipients=recipients,
        message=_maybe(children, "SenderMessageDetails", lambda one: _details(one, False)),
        submission_time=_maybe(children, "SubmissionTime", lambda one: read_time(_text(one))),
        reasons=reasons,
        reply_to=_reply_to(children),
        refers_to=_maybe(children, "EvidenceRefersToRecipient", lambda one: _index(_text(one), len(recipients))),
        sender_authentication=_maybe(children, "SenderAuthenticationDetails", _authentication),
        recipient_authentication=_maybe(children, "RecipientAuthenticationDetails", _authentication),
        delegates=_delegates(children, len(recipients)),
        notification=_maybe(children, "NotificationMessageDetails", lambda one: _details(one, True)),
        forwarded_to=_maybe(children, "ForwardedToExternalSystem", lambda one: _text(one).strip()),
        extensions=tuple(_extension(one) for one in _list(children, "Extensions", "Extension")),
        version=root.get("version", ""),
    )


class _Children(dict[str, list[etree._Element]]):
    """Child elements by lower-case local name, in document order."""


def _children(parent: etree._Element) -> _Children:
    found = _Children()
    for child in parent.iterchildren(etree.Element):
        found.setdefault(etree.QName(child).localname.lower(), []).append(child)
    return found


def _one(children: _Children, name: str) -> etree._Element | None:
    found = children.get(name.lower(), [])
    if len(found) > 1:
        raise FormatError(f"{name} stands {len(found)} times")
    return found[0] if found else None


def _node(children: _Children, name: str) -> etree._Element:
    found = _one(children, name)
    if found is None:
        raise FormatError(f"{name} is missing")
    return found


def _maybe(children: _Children, name: str, reader: Callable[[etree._Element], T]) -> T | None:
    found = _one(children, name)
    return None if found is None else reader(found)


def _list(children: _Children, parent: str, name: str) -> Iterable[etree._Element]:
    found = _one(children, parent)
    return [] if found is None else _children(found).get(name.lower(), [])


def _text(element: etree._Element) -> str:
    """All character data in the element; the first piece alone would let a processing instruction cut it."""
    return str(_text_of(element)) if len(element) else element.text or ""


def _required(children: _Children, name: str) -> str:
    value = _text(_node(children, name)).strip()
    if not value:
        raise FormatError(f"{name} is empty")
    return value


def _event(element: codes.Element, children: _Children) -> codes.Event:
    found = _one(children, "EventCode")
    if found is None:
        # only where the name of the evidence leaves no choice (B.2.3, B.2.9)
        only = {
            codes.Element.RELAY_FAILURE: codes.Event.DELIVERY_EXPIRATION,
            codes.Element.FROM_NON_REM: codes.Event.RECEIVED_FROM_REGULAR_EMAIL,
        }.get(element)
        if only is None:
            raise FormatError("EventCode is missing")
        return only
    event = codes.event_of(_text(found))
    if event is None:
        raise FormatError(f"unknown event {_text(found)[:80]!r}")
    return event


def _reason(children: _Children) -> GivenReason:
    details = _one(children, "Details")
    return GivenReason(codes.reason_of(_required(children, "Code")), "" if details is None else _text(details))


def _addresses(children: _Children) -> list[tuple[str, str, str]]:
    """(scheme, address, display name) of every electronic address, in either of the two forms of the schema."""
    found = [
        (one.get("scheme", "mailto"), _text(one), one.get("DisplayName", ""))
        for one in children.get("attributedelectronicaddress", [])
    ]
    for one in children.get("electronicaddress", []):
        found += [("mailto", _text(uri), "") for uri in _children(one).get("uri", [])]
    return [(scheme.strip().lower().rpartition(":")[2], _plain(address), name) for scheme, address, name in found]


def _plain(address: str) -> str:
    address = address.strip()
    return address[7:] if address[:7].lower() == "mailto:" else address


def _names(children: _Children) -> list[str]:
    return [
        _text(name)
        for one in _list(children, "NamesPostalAddresses", "NamePostalAddress")
        for name in _list(_children(one), "EntityName", "Name")
    ]


def _entity(children: _Children) -> Entity:
    mail = [(address, shown) for scheme, address, shown in _addresses(children) if scheme == "mailto" and address]
    if not mail:
        raise FormatError("an entity without electronic address")
    return Entity(mail[0][0], next(iter(_names(children)), mail[0][1]))


def _issuer(children: _Children) -> Issuer:
    addresses = _addresses(children)
    mail = [address for scheme, address, _ in addresses if scheme == "mailto" and "@" in address]
    address = mail[0] if mail else ""
    domain = next((address for scheme, address, _ in addresses if scheme == "dns"), address.rpartition("@")[2])
    names = _names(children) + [shown for _, _, shown in addresses if shown]
    certificate = None
    details = _one(children, "CertificateDetails")
    if details is not None:
        certificate = _maybe(_children(details), "X509Certificate", lambda one: read_base64(_text(one)))
    return Issuer(address, names[0] if names else "", domain, certificate)


def _authentication(element: etree._Element) -> Authentication:
    children = _children(element)
    assertion = _one(children, "Assertion")
    if assertion is not None:
        at = assertion.get("IssueInstant", "")
        for statement in _children(assertion).get("authnstatement", []):
            at = statement.get("AuthnInstant", at)
        return Authentication(read_time(at), "SAML")
    return Authentication(
        read_time(_required(children, "AuthenticationTime")),
        codes.method_of(_required(children, "AuthenticationMethod")),
    )


def _reply_to(children: _Children) -> str | None:
    found = [one for name in ("ReplyTo", "ReplyToAddress") if (one := _one(children, name)) is not None]
    if len(found) > 1:
        raise FormatError("ReplyTo and ReplyToAddress")  # a choice in Annex G
    return (_plain(_text(found[0])) or None) if found else None


def _index(value: str, recipients: int) -> int:
    if not _INTEGER.fullmatch(value) or not 1 <= int(value) <= recipients:
        raise FormatError(f"no recipient number {value[:20]!r}")
    return int(value)


def _delegates(children: _Children, recipients: int) -> tuple[Delegate, ...]:
    found = _one(children, "RecipientsDelegatesDetails")
    if found is None:
        return ()
    inner = _children(found)
    entities, indexes = inner.get("delegatedetails", []), inner.get("delegatingrecipients", [])
    if len(entities) != len(indexes):
        raise FormatError("delegates and their recipients do not pair")
    return tuple(
        Delegate(_entity(_children(entity)), tuple(_index(number, recipients) for number in _text(one).split()))
        for entity, one in zip(entities, indexes, strict=True)
    )


def _details(element: etree._Element, notification: bool) -> MessageDetails:
    children = _children(element)
    method, value = (_one(children, name) for name in ("DigestMethod", "DigestValue"))
    algorithm, digest = "", b""
    if method is not None and value is not None:
        if any(etree.QName(one).namespace != _DS for one in (method, value)):
            raise FormatError("a digest outside the namespace of XML Signature")
        uri = method.get("Algorithm", "")
        # a digest by an algorithm that is not ours (SHA-1 for one) is no proof: its name is kept, so it shows
        algorithm, digest = DIGEST_NAMES.get(uri, uri), read_base64(_text(value))
    subject = _one(children, "MessageSubject")
    return MessageDetails(
        subject="" if subject is None else _text(subject),
        ua_message_id=_maybe(children, "UAMessageIdentifier", lambda one: _text(one).strip()) or "",
        remmd_message_id=_required(children, "MessageIdentifierByREMMD"),
        digest_algorithm=algorithm or "sha256",
        digest=digest,
        is_notification=element.get("isNotification", str(notification)).strip().lower() in ("true", "1"),
    )


def _extension(element: etree._Element) -> Extension:
    if element.get("isCritical", "false").strip().lower() in ("true", "1"):
        raise FormatError("an unknown critical extension")
    # canonical form of each child by itself: every namespace in it is declared in it
    content = escape(element.text or "")
    for child in element:
        # lxml crashes when it canonicalises a processing instruction by itself; they say nothing here
        if isinstance(child.tag, str):
            content += etree.tostring(child, method="c14n", exclusive=True, with_tail=False).decode()
        content += escape(child.tail or "")
    return Extension(content.encode())
