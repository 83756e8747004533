"""Which component an evidence must, may and must not carry: TS 102 640-2 B.2.1 to B.2.9 as a table.

Where Annex B and clause 5.1 disagree, what either allows is allowed; what either requires of the issuer is required.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from kepgw.evidence.codes import Element, Event
from kepgw.evidence.model import Evidence, MessageDetails


class Needs(NamedTuple):
    """One column of the table: M mandatory, O allowed, - absent."""

    events: frozenset[Event]
    reasons: str
    sender_authentication: str
    recipient_authentication: str
    submission_time: str
    delegates: str
    refers_to: str
    message: str
    notification: str
    forwarded_to: str


_DECISION = frozenset({Event.ACCEPTANCE, Event.REJECTION})
_EXPIRATION = frozenset({Event.DELIVERY_EXPIRATION})
_DELIVERY = frozenset({Event.DELIVERY, Event.DELIVERY_EXPIRATION})
_DOWNLOAD = frozenset({Event.DOWNLOAD, Event.DOWNLOAD_EXPIRATION})
_RETRIEVAL = frozenset({Event.RETRIEVAL, Event.RETRIEVAL_EXPIRATION})
_FORWARDED = frozenset({Event.FORWARDED_TO_REGULAR_EMAIL, Event.FORWARDED_TO_PRINTING_SYSTEM})
_RECEIVED = frozenset({Event.RECEIVED_FROM_REGULAR_EMAIL})

# One letter a component, in the order of Needs. "O" for reasons means: exactly with a negative event.
_TABLE = (
    # element, events, reasons, authentication of sender and recipient, submission time, delegates, refers to,
    # message, notification, forwarded to
    (Element.SUBMISSION, _DECISION, "OO-MO-M--"),
    (Element.RELAY, _DECISION, "O--OOOOO-"),
    (Element.RELAY_FAILURE, _EXPIRATION, "M--OOOOO-"),
    (Element.DELIVERY, _DELIVERY, "O-OOOOOO-"),
    (Element.DOWNLOAD, _DOWNLOAD, "O-OOOOM--"),
    (Element.RETRIEVAL, _RETRIEVAL, "O-OOOOOO-"),
    (Element.RECIPIENT_ACCEPTANCE, _DECISION, "O-OOOOOO-"),
    (Element.TO_NON_REM, _FORWARDED, "O-OOOOOOM"),
    (Element.FROM_NON_REM, _RECEIVED, "-----OM--"),
)
NEEDS: Mapping[Element, Needs] = MappingProxyType(
    {element: Needs(events, *letters) for element, events, letters in _TABLE}
)


def check(evidence: Evidence) -> None:
    """Raise ValueError, naming the component, where the evidence is not what Annex B.2 lets an issuer write."""
    needs = NEEDS[evidence.element]
    if evidence.event not in needs.events:
        raise ValueError(f"{evidence.element} cannot say {evidence.event}")
    for component in Needs._fields[1:]:
        need, present = getattr(needs, component), getattr(evidence, component) not in (None, ())
        if (need == "M" and not present) or (need == "-" and present):
            raise ValueError(f"{evidence.element}: {component} is {'missing' if need == 'M' else 'not allowed'}")
    if needs.reasons != "-" and evidence.element is not Element.TO_NON_REM:
        if evidence.event.positive and evidence.reasons:
            raise ValueError(f"{evidence.element}: a reason beside {evidence.event}")
        if not evidence.event.positive and not evidence.reasons:
            raise ValueError(f"{evidence.element}: {evidence.event} without a reason")
    if evidence.message is None and evidence.notification is None:
        raise ValueError(f"{evidence.element}: about neither a message nor a notification")
    if not evidence.identifier or not evidence.policies or not all(evidence.policies):
        raise ValueError("an evidence without identifier or policy")  # R01: one or more, clause 5.1
    if not all((evidence.sender.address, evidence.issuer.address, evidence.recipients)) or not all(
        entity.address for entity in evidence.recipients
    ):
        raise ValueError("an evidence without the address of its issuer, its sender or a recipient")
    indexes = [index for delegate in evidence.delegates for index in delegate.recipients]
    indexes += [] if evidence.refers_to is None else [evidence.refers_to]
    if not all(1 <= index <= len(evidence.recipients) for index in indexes):
        raise ValueError("an index outside the recipients")
    for details, notification in ((evidence.message, False), (evidence.notification, True)):
        if details is not None:
            check_details(details, notification)


def check_details(details: MessageDetails, notification: bool) -> None:
    """Raise ValueError where message details lack what they shall have, or have what a notification has not."""
    # B.1.15.1, B.1.15.2: identifier and digest shall be there; a notification has neither subject nor Message-ID
    if details.is_notification != notification or not details.remmd_message_id:
        raise ValueError("message details without identifier, or a message told as a notification")
    if len(details.digest) != hashlib.new(details.digest_algorithm).digest_size:
        raise ValueError(f"a digest of {len(details.digest)} octets for {details.digest_algorithm}")
    if notification and (details.subject or details.ua_message_id):
        raise ValueError("a notification with subject or Message-ID")
