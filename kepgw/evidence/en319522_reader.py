"""Reading EN 319 522-3 evidence, the REM baseline of EN 319 532-4 among it.

Lenient in form (case, white space, prefixes, `#` for `/` in URIs), strict in meaning: whatever could be read in two
ways is refused. The schema qualifies global elements only; names are looked up without their namespace.
"""

import re
from datetime import UTC, datetime

from lxml import etree

from kepgw.errors import FormatError
from kepgw.evidence import codes, identity
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
from kepgw.evidence.en319522_codes import ERDS_EVENTS, event_of, reason_of
from kepgw.evidence.markup import parse, read_base64, read_time
from kepgw.evidence.model import (
    ERDS_VERSION,
    Assurance,
    Authentication,
    Delegate,
    Entity,
    Evidence,
    Extension,
    GivenReason,
    IdentityAttribute,
    Issuer,
    MessageDetails,
)

NAMESPACE = re.compile(r"https?://uri\.etsi\.org/19522/v1#?")
_REM = re.compile(r"https?://uri\.etsi\.org/19532/v1#?")
_REASON_CODE = re.compile(r"R[A-Z](\d\d|XX)", re.IGNORECASE)
_MESSAGE = "message/rfc822"
# EN 319 522-3 5.2.2.10: either the first, or the others beside each other
_LEVELS = (
    ("GlobalAssuranceLevel", "global"),
    ("AuthenticationDetsAndAssuranceLevel", "authentication"),
    ("IdentityProofAssuranceLevel", "identity-proof"),
    ("FederationAssuranceLevel", "federation"),
)


def read(octets: bytes) -> Evidence:
    """The evidence in an XML document, signed or not (the signature is not judged here).

    Raises FormatError for anything that is no EN 319 522 evidence, is ambiguous or carries a critical extension that we
    do not know; UnknownEvent for an event of a later edition.
    """
    return read_root(parse(octets).getroot())


def read_root(root: etree._Element) -> Evidence:
    """``read``, of a document that is parsed already."""
    name = etree.QName(root)
    if name.localname != "Evidence" or not NAMESPACE.fullmatch(name.namespace or ""):
        raise FormatError(f"no evidence of EN 319 522: {str(root.tag)[:80]}")
    version = root.get("version", ERDS_VERSION).strip()
    if not version.startswith("EN319522"):
        raise FormatError(f"an evidence of version {version[:40]!r}")
    return _evidence(version, children_of(root))


def _evidence(version: str, children: Children) -> Evidence:
    rule = ERDS_EVENTS[event_of(required(children, "ERDSEventId"))]
    recipients = children.get("recipientdetails", [])
    if not recipients:
        raise FormatError("an evidence without recipients")
    count = len(recipients)
    sender, sender_authentication = _user(node(children, "SenderDetails"))
    sender_delegate = maybe(children, "SenderDelegateDetails", _user)
    users = [_user(each) for each in recipients]
    refers_to = maybe(children, "EvidenceRefersToRecipient", lambda one: index(text_of(one), count))
    extensions = _Extensions(children, count)
    return Evidence(
        element=rule.element,
        event=rule.event,
        identifier=required(children, "EvidenceIdentifier"),
        policies=tuple(
            policy for one in listed(children, "EvidenceIssuerPolicyID", "PolicyID") if (policy := stripped(one))
        ),
        issuer=_provider(node(children, "EvidenceIssuerDetails")),
        event_time=_time(required(children, "EventTime")),
        sender=sender,
        recipients=tuple(_addressed(entity) for entity, _ in users),
        message=_message(children, extensions.subject),
        submission_time=maybe(children, "SubmissionTime", lambda one: _time(text_of(one))),
        reasons=tuple(_reason(children_of(one)) for one in listed(children, "EventReasons", "EventReason")),
        refers_to=refers_to,
        sender_authentication=sender_authentication,
        # the one recipient whom the evidence is about; of the others nothing is claimed (I12, I13)
        recipient_authentication=users[refers_to - 1][1] if refers_to else users[0][1] if count == 1 else None,
        delegates=tuple(_delegate(one, count) for one in children.get("recipientsdelegatedetails", [])),
        forwarded_to=_external_system(children),
        extensions=extensions.unknown,
        version=version,
        sender_delegate=None if sender_delegate is None else sender_delegate[0],
        external=maybe(children, "ExternalERDSDetails", _provider),
        refers_to_several=extensions.refers_to,
        untrusted_path=extensions.untrusted,
        log=tuple(text_of(one) for one in listed(children, "TransactionLogInformation", "TransactionLog")),
    )


def _time(value: str) -> datetime:
    return read_time(value, UTC)


def _reason(children: Children) -> GivenReason:
    """Code, then the short code and a text as details (EN 319 532-4 table C.18); the short code may be missing."""
    details = [stripped(one) for one in children.get("details", [])]
    code = details.pop(0).upper() if details and _REASON_CODE.fullmatch(details[0]) else ""
    return GivenReason(reason_of(required(children, "Code")), "\n".join(filter(None, details)), code)


def _identity(children: Children) -> tuple[IdentityAttribute, ...]:
    return tuple(
        IdentityAttribute(attribute.get("Name", "").strip(), stripped(value))
        for attribute in listed(children, "Identity", "Attribute")
        for value in children_of(attribute).get("attributevalue", [])
    )


def _provider(element: etree._Element) -> Issuer:
    children = children_of(element)
    attributes = _identity(children)
    certificate = maybe(children, "CertificateDetails", _certificate)
    others = tuple(each for each in attributes if each.name != identity.LEGAL_NAME)
    return Issuer("", identity.shown_name(attributes), "", certificate, others)


def _certificate(element: etree._Element) -> bytes | None:
    return maybe(children_of(element), "X509Certificate", lambda one: read_base64(text_of(one)))


def _user(element: etree._Element) -> tuple[Entity, Authentication | None]:
    children = children_of(element)
    attributes = _identity(children)
    address = maybe(children, "Identifier", _address) or ""
    levels = maybe(children, "AssuranceLevelsDetails", children_of) or Children()
    found = tuple(_level(one, kind) for name, kind in _LEVELS if (one := single(levels, name)) is not None)
    authentication = maybe(levels, "AuthenticationDetails", _authentication)
    if authentication is None:
        authentication = maybe(
            levels,
            "AuthenticationDetsAndAssuranceLevel",
            lambda one: maybe(children_of(one), "AuthenticationDetails", _authentication),
        )
    return Entity(address, identity.shown_name(attributes), attributes, found), authentication


def _address(element: etree._Element) -> str:
    """A mail address; an identifier of another scheme is none."""
    value, scheme = stripped(element), element.get("IdentifierSchemeName", "mailto").strip().lower()
    if scheme != "mailto":
        return ""
    return value[7:] if value[:7].lower() == "mailto:" else value


def _addressed(entity: Entity) -> Entity:
    if not entity.address:
        raise FormatError("a recipient without mail address")
    return entity


def _level(element: etree._Element, kind: str) -> Assurance:
    children = children_of(element)
    return Assurance(required(children, "AssuranceLevel"), maybe(children, "PolicyID", stripped) or "", kind)


def _authentication(element: etree._Element) -> Authentication | None:
    """Time and method; of a SAML assertion its time. Other forms say nothing that we keep."""
    children = children_of(element)
    assertion = single(children, "Assertion")
    if assertion is not None:
        return Authentication(_time(assertion.get("IssueInstant", "")), "SAML")
    if single(children, "AuthenticationTime") is None:
        return None
    return Authentication(
        _time(required(children, "AuthenticationTime")),
        codes.method_of(required(children, "AuthenticationMethod")),
    )


def _delegate(element: etree._Element, recipients: int) -> Delegate:
    entity, _ = _user(element)
    told = maybe(children_of(element), "DelegatingRecipients", text_of) or ""
    return Delegate(entity, tuple(index(number, recipients) for number in told.split()))


def _message(children: Children, subject: str) -> MessageDetails:
    content = maybe(children, "UserContentInfo", children_of) or Children()
    parts = [children_of(one) for one in listed(content, "PartsInfo", "PartInfo")]
    # the whole message is one part (EN 319 532-4 table C.18); parts of some other content are no digest of it
    whole = [
        one
        for one in parts
        if (maybe(one, "ContentType", stripped) or "").partition(";")[0].strip().lower() == _MESSAGE
    ]
    if len(whole) > 1:
        raise FormatError(f"{_MESSAGE} stands {len(whole)} times")
    algorithm, digest = digest_of(whole[0]) if whole else ("", b"")
    return MessageDetails(
        subject=subject,
        ua_message_id=maybe(content, "AppLayerIdentifier", stripped) or "",
        remmd_message_id=required(children, "MessageIdentifier"),
        digest_algorithm=algorithm or "sha256",
        digest=digest,
    )


def _content_type(part: Children) -> str:
    return (maybe(part, "ContentType", stripped) or "").partition(";")[0].strip().lower()


def _external_system(children: Children) -> str | None:
    # the prose says ExternalSystem, the schema the other, which rules (EN 319 532-4 C.4.5.4)
    names = ("ForwardedToExternalSystem", "ExternalSystem")
    found = [one for name in names if (one := single(children, name)) is not None]
    if len(found) > 1:
        raise FormatError("ExternalSystem and ForwardedToExternalSystem")
    return stripped(found[0]) if found else None


class _Extensions:
    """What the extensions say: those of EN 319 532-4 C.4 read, others kept."""

    def __init__(self, children: Children, recipients: int) -> None:
        self.subject = ""
        self.untrusted: tuple[int, ...] = ()
        self.refers_to: tuple[int, ...] = ()
        self._recipients = recipients
        self._seen: set[str] = set()
        unknown: list[Extension] = []
        for extension in listed(children, "Extensions", "Extension"):
            inner = list(extension.iterchildren(etree.Element))
            if inner and all(self._known(one) for one in inner):
                for one in inner:
                    self._read(one)
            else:
                unknown.append(unknown_extension(extension))
        self.unknown = tuple(unknown)

    @staticmethod
    def _known(element: etree._Element) -> bool:
        name = etree.QName(element)
        return name.localname in ("GeneralEvidenceInfo", "RelayEvidenceInfo") and bool(
            _REM.fullmatch(name.namespace or "")
        )

    def _read(self, element: etree._Element) -> None:
        name, children = etree.QName(element).localname, children_of(element)
        if name in self._seen:
            raise FormatError(f"{name} stands twice")
        self._seen.add(name)
        if name == "GeneralEvidenceInfo":
            self.subject = maybe(children, "Subject", text_of) or ""
            self.untrusted = self._indexes(children, "untrustedpathtorecipient")
        else:
            self.refers_to = self._indexes(children, "relayevidencerefersto")

    def _indexes(self, children: Children, name: str) -> tuple[int, ...]:
        return tuple(index(text_of(one), self._recipients) for one in children.get(name, []))
