"""Every code of EN 319 522 evidence in one place: the 19 events, the reasons, and what TS 102 640-2 calls the same.

Names are the last segments of the URIs of EN 319 522-3 tables 2 and 3, spelled as printed, misprints included, because
deployed readers compare them literally. Our own reader goes through ``event_of`` and ``reason_of``.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from kepgw.errors import FormatError
from kepgw.evidence.codes import Element, Event, Reason

EVENT_PREFIX = "http://uri.etsi.org/19522/Event/"
REASON_PREFIX = "http://uri.etsi.org/19522/EventReason/"
REM_BASELINE_POLICY = "http://uri.etsi.org/19532/v1#/REMbaseline"  # EN 319 532-4 Annex C
ASSURANCE_SUBSTANTIAL = "http://eidas.europa.eu/LoA/substantial"


class UnknownEvent(FormatError):
    """An event that EN 319 522-1 V1.1.1 does not have: an evidence of a later edition, not a broken one."""


class ErdsEvent(StrEnum):
    """The 19 events (EN 319 522-1 V1.1.1 table 1) by the last segment of their URI."""

    SUBMISSION_ACCEPTANCE = "SubmissionAcceptance"
    SUBMISSION_REJECTION = "SubmissionRejection"
    RELAY_ACCEPTANCE = "RelayAcceptance"
    RELAY_REJECTION = "RelayRejection"
    RELAY_FAILURE = "RelayFailure"
    NOTIFICATION = "NotificationForAcceptance"
    NOTIFICATION_FAILURE = "NotificationForAcceptanceFailure"
    CONSIGNMENT_ACCEPTANCE = "ConsignmentAcceptance"
    CONSIGNMENT_REJECTION = "ConsignmentRejection"
    DECISION_EXPIRY = "AcceptanceRejectionExpiry"
    CONTENT_CONSIGNMENT = "ContentConsignment"
    CONTENT_CONSIGNMENT_FAILURE = "ContentConsignmentFailure"
    CONSIGNMENT_NOTIFICATION = "ConsignmentNotification"
    CONSIGNMENT_NOTIFICATION_FAILURE = "ConsignmentNotificationFailure"
    CONTENT_HANDOVER = "ContentHandover"
    CONTENT_HANDOVER_FAILURE = "ContentHandoverFailure"
    RELAY_TO_NON_ERDS = "RelayToNonERDS"
    RELAY_TO_NON_ERDS_FAILURE = "RelayToNonERDSFailure"
    RECEIVED_FROM_NON_ERDS = "ReceivedFromNonERDS"

    @property
    def uri(self) -> str:
        """The URI in ERDSEventId (EN 319 522-3 table 2)."""
        return EVENT_PREFIX + self

    @property
    def letter(self) -> str:
        """The code of table 1: ``A.1`` to ``F.3``."""
        return ERDS_EVENTS[self].letter

    @property
    def positive(self) -> bool:
        """Whether the event is the good end of its kind."""
        return ERDS_EVENTS[self].event.positive


class ErdsReason(StrEnum):
    """The reasons (EN 319 522-2 tables 7 to 12, EN 319 532-4 table C.28) by the last segment of their URI."""

    RA01 = "MessageAccepted"
    RA02 = "InvalidMessageFormat"
    RA03 = "MalwareFound"
    RA04 = "SenderSigningCertExpiredOrRevoked"
    RA05 = "S_ERDS_PolicyViolation"
    RA51 = "S_ERDS_Malfunction"
    RB01 = "S_ERDS_MessageSuccessfullyRelayed"
    RB02 = "R_ERDS_MessageRejected"
    RB03 = "R_ERDS_MessageRejectedForMalware"
    RB04 = "R_ERDS_MessageRejectedForInvalidSignature"
    RB05 = "R_ERDS_MessageRejectedForInvalidCertificate"
    RB06 = "R_ERDS_PolicyViolation"
    RB07 = "R_ERDS_Malfunction"
    RB08 = "R_ERDS_NotIdentified"
    RB09 = "R_ERDS_Unreachable"
    RB10 = "UnknownRecipient"
    RB21 = "MessageNotAcceptedForUnregisteredRecipient"
    RB22 = "S_ERDSP_ReceivedNoRelayAcceptanceInfoFromR_ERDSP"
    RC01 = "NotificationForAcceptanceSent"
    RC02 = "SubsequentNotificationForAcceptanceSent"
    RC03 = "NotificationForAcceptenceError"  # [sic]
    RC04 = "SubsequentNotificationForAcceptanceError"
    RC05 = "NotificationForAcceptanceMultipleError"
    RC06 = "SubsequentNotificationForAcceptanceMultipleError"
    RC07 = "MessageAcceptedByRecipient"
    RC08 = "MessageRejectedByRecipient"
    RC09 = "MessageNotAcceptedInTimeByRecipient"
    RD01 = "MessageConsignedToRecipient"
    RD02 = "MessageConsignedToDelegate"
    RD03 = "S_ERDSP_ReceivedNoDeliveryInfoFromR_ERDSP"
    RD04 = "MessageNotConsignedForQuota"
    RD05 = "MessageNotConsignedForMalfunction"
    RD06 = "MessageNotConsignedForUnallowedType"
    RD21 = "MessageNotConsignedForUnregisteredRecipient"
    RE01 = "MessageHandedOver"
    RE02 = "MessageHandedOverToDelegate"
    RE03 = "MessageNotHandedOverForUnallowedType"
    RE04 = "MessageHandoverTimeout"
    RF01 = "MessageRelayedToNonERDS"
    RF02 = "ExternalSystemUnreachable"
    RF03 = "MessageRejectedByExternalSystem"
    RF04 = "MessageReceivedFromNonERDS"
    RF51 = "RelayToNonERDSNotAllowed"
    OTHER = "Other"

    @property
    def uri(self) -> str:
        """The URI in Code (EN 319 522-3 table 3)."""
        return REASON_PREFIX + self

    def code(self, event: ErdsEvent) -> str:
        """The short code (``RB02``); that of ``OTHER`` depends on the event (``RAXX``)."""
        return f"R{event.letter[0]}XX" if self is ErdsReason.OTHER else self.name


# Additions of the Italian policy (Policy-IT 1.2): read, never written.
ITALIAN = frozenset({ErdsReason.RA51, ErdsReason.RF51})


class ErdsRule(NamedTuple):
    """What an event is in the words of both generations, and the reasons that may stand with it."""

    letter: str
    element: Element
    event: Event
    reasons: tuple[ErdsReason, ...]


def _codes(letter: str, *numbers: int) -> tuple[ErdsReason, ...]:
    return (*(ErdsReason[f"R{letter}{number:02}"] for number in numbers), ErdsReason.OTHER)


# Reasons: EN 319 522-2 tables 7 to 12 by their meaning, B.x as EN 319 532-4 table C.28 pairs them; the first is what
# a positive event says by default. D.3 and D.4 have none of their own.
_ROWS = (
    (ErdsEvent.SUBMISSION_ACCEPTANCE, "A.1", Element.SUBMISSION, Event.ACCEPTANCE, (1,)),
    (ErdsEvent.SUBMISSION_REJECTION, "A.2", Element.SUBMISSION, Event.REJECTION, (2, 3, 4, 5)),
    (ErdsEvent.RELAY_ACCEPTANCE, "B.1", Element.RELAY, Event.ACCEPTANCE, (1,)),
    (ErdsEvent.RELAY_REJECTION, "B.2", Element.RELAY, Event.REJECTION, (2, 3, 4, 5, 6, 21)),
    (
        ErdsEvent.RELAY_FAILURE,
        "B.3",
        Element.RELAY_FAILURE,
        Event.DELIVERY_EXPIRATION,
        (2, 3, 4, 5, 6, 7, 8, 9, 10, 21, 22),
    ),
    (ErdsEvent.NOTIFICATION, "C.1", Element.DELIVERY, Event.NOTIFICATION, (1, 2)),
    (ErdsEvent.NOTIFICATION_FAILURE, "C.2", Element.DELIVERY, Event.NOTIFICATION_FAILURE, (3, 4, 5, 6)),
    (ErdsEvent.CONSIGNMENT_ACCEPTANCE, "C.3", Element.RECIPIENT_ACCEPTANCE, Event.ACCEPTANCE, (7,)),
    (ErdsEvent.CONSIGNMENT_REJECTION, "C.4", Element.RECIPIENT_ACCEPTANCE, Event.REJECTION, (8,)),
    (ErdsEvent.DECISION_EXPIRY, "C.5", Element.RECIPIENT_ACCEPTANCE, Event.DECISION_EXPIRY, (9,)),
    (ErdsEvent.CONTENT_CONSIGNMENT, "D.1", Element.DELIVERY, Event.DELIVERY, (1, 2)),
    (ErdsEvent.CONTENT_CONSIGNMENT_FAILURE, "D.2", Element.DELIVERY, Event.DELIVERY_EXPIRATION, (3, 4, 5, 6, 21)),
    (ErdsEvent.CONSIGNMENT_NOTIFICATION, "D.3", Element.DELIVERY, Event.CONSIGNMENT_NOTIFICATION, ()),
    (ErdsEvent.CONSIGNMENT_NOTIFICATION_FAILURE, "D.4", Element.DELIVERY, Event.CONSIGNMENT_NOTIFICATION_FAILURE, ()),
    (ErdsEvent.CONTENT_HANDOVER, "E.1", Element.RETRIEVAL, Event.RETRIEVAL, (1, 2)),
    (ErdsEvent.CONTENT_HANDOVER_FAILURE, "E.2", Element.RETRIEVAL, Event.RETRIEVAL_EXPIRATION, (3, 4)),
    (ErdsEvent.RELAY_TO_NON_ERDS, "F.1", Element.TO_NON_REM, Event.FORWARDED_TO_REGULAR_EMAIL, (1,)),
    (ErdsEvent.RELAY_TO_NON_ERDS_FAILURE, "F.2", Element.TO_NON_REM, Event.FORWARDING_FAILURE, (2, 3)),
    (ErdsEvent.RECEIVED_FROM_NON_ERDS, "F.3", Element.FROM_NON_REM, Event.RECEIVED_FROM_REGULAR_EMAIL, (4,)),
)
ERDS_EVENTS: Mapping[ErdsEvent, ErdsRule] = MappingProxyType(
    {
        erds: ErdsRule(letter, element, event, _codes(letter[0], *numbers))
        for erds, letter, element, event, numbers in _ROWS
    }
)
# The older generation tells store-and-notify downloads from retrievals; both are a handover (EN 319 522-1 clause 6).
_ALSO = {
    (Element.DOWNLOAD, Event.DOWNLOAD): ErdsEvent.CONTENT_HANDOVER,
    (Element.DOWNLOAD, Event.DOWNLOAD_EXPIRATION): ErdsEvent.CONTENT_HANDOVER_FAILURE,
}
_BY_EVENT = _ALSO | {(rule.element, rule.event): erds for erds, rule in ERDS_EVENTS.items()}


def erds_event(element: Element, event: Event) -> ErdsEvent | None:
    """The event of EN 319 522-1 for one of ours; None for printing, which the newer generation dropped."""
    return _BY_EVENT.get((element, event))


# Reasons of TS 102 640-2 in EN 319 522, by the family of the event. What stands for two of ours goes back to the first.
_REASON_ROWS = (
    (Reason.INVALID_MESSAGE_FORMAT, "RA02 RB02"),
    (Reason.MALWARE_FOUND, "RA03 RB03"),
    (Reason.INVALID_USER_SIGNATURE, "RB04"),
    (Reason.USER_CERT_EXPIRED_OR_REVOKED, "RA04 RB05"),
    (Reason.POLICY_VIOLATION, "RA05 RB06"),
    (Reason.R_REMMD_MALFUNCTION, "RB07"),
    (Reason.R_REMMD_NOT_IDENTIFIED, "RB08"),
    (Reason.R_REMMD_UNREACHABLE, "RB09"),
    (Reason.NO_DELIVERY_INFO, "RB22 RD03"),
    (Reason.UNKNOWN_RECIPIENT, "RB21 RD21"),
    (Reason.MAILBOX_FULL, "RD04"),
    (Reason.TECHNICAL_MALFUNCTION, "RD05"),
    (Reason.ATTACHMENT_FORMAT_NOT_ACCEPTED, "RD06 RE03"),
    (Reason.RECIPIENT_REJECTION, "RC08"),
    (Reason.RETENTION_PERIOD_EXPIRED, "RC09 RE04"),
    (Reason.REGULAR_EMAIL_UNREACHABLE, "RF02"),
    (Reason.REGULAR_EMAIL_NON_OPERATIONAL, "RF02"),
    (Reason.REGULAR_EMAIL_REJECTION, "RF03"),
)
_TO_ERDS = {(ts, code[1]): ErdsReason[code] for ts, codes in _REASON_ROWS for code in codes.split()}
_TO_TS = {ErdsReason[code]: ts for ts, codes in reversed(_REASON_ROWS) for code in codes.split()} | {
    ErdsReason.RB10: Reason.UNKNOWN_RECIPIENT,
    ErdsReason.RB22: Reason.R_REMMD_MALFUNCTION,  # TS 102 640-2 has 9 for deliveries only
    ErdsReason.RA51: Reason.TECHNICAL_MALFUNCTION,
    ErdsReason.OTHER: Reason.OTHER,
}


def erds_reason(reason: Reason | ErdsReason | str, event: ErdsEvent) -> ErdsReason | str:
    """``reason`` as an evidence of ``event`` says it: ``OTHER`` where it has no word; a foreign URI stays."""
    if isinstance(reason, ErdsReason):
        return reason
    if isinstance(reason, Reason):
        return _TO_ERDS.get((reason, event.letter[0]), ErdsReason.OTHER)
    return reason


def ts_reason(reason: Reason | ErdsReason | str) -> Reason | str:
    """``reason`` as TS 102 640-2 says it: ``OTHER`` where it has no word; a foreign URI stays."""
    return _TO_TS.get(reason, Reason.OTHER) if isinstance(reason, ErdsReason) else reason


_EVENTS = {event.lower(): event for event in ErdsEvent}
_REASONS = {reason.lower(): reason for reason in ErdsReason} | {
    "notificationforacceptanceerror": ErdsReason.RC03,  # as it should have been printed
}


def _segment(uri: str) -> str:
    """The last segment, without white space, lower case: readers meet ``/`` and ``#``, http and https."""
    return "".join(uri.split()).replace("#", "/").rpartition("/")[2].lower()


def event_of(uri: str) -> ErdsEvent:
    """The event that an ERDSEventId stands for, in any case. Raises UnknownEvent."""
    found = _EVENTS.get(_segment(uri))
    if found is None:
        raise UnknownEvent(f"unknown event {uri.strip()[:80]!r}")
    return found


def reason_of(uri: str) -> ErdsReason | str:
    """The reason that a Code URI stands for, in any case; an unknown one stays as it is."""
    ours = "uri.etsi.org/19522/" in uri.lower() or ":" not in uri
    return _REASONS.get(_segment(uri), uri.strip()) if ours else uri.strip()
