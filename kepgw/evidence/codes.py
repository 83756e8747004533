"""Every code of an evidence in one place: elements, events, reasons (TS 102 640-2) and the KEP codes in use in Turkey.

The fragments are spelled as TS 102 640-2 Annexes B.1.1 and E print them, misprints included, because deployed
readers compare them literally. Our own readers go through ``event_of`` and ``reason_of``, which know other spellings.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import NamedTuple

# Evidence under this policy has no legal effect: it was made with development keys or a development time stamp.
DEVELOPMENT_POLICY = "urn:kepgw:policy:development"


class Element(StrEnum):
    """The nine evidence types by their XML element name (TS 102 640-2 Annex G)."""

    SUBMISSION = "SubmissionAcceptanceRejection"
    RELAY = "RelayREMMDAcceptanceRejection"
    RELAY_FAILURE = "RelayREMMDFailure"
    DELIVERY = "DeliveryNonDeliveryToRecipient"
    DOWNLOAD = "DownloadNonDownloadByRecipient"
    RETRIEVAL = "RetrievalNonRetrievalByRecipient"
    RECIPIENT_ACCEPTANCE = "AcceptanceRejectionByRecipient"
    TO_NON_REM = "RelayToNonREMSystem"
    FROM_NON_REM = "ReceivedFromNonREMSystem"


class Event(StrEnum):
    """What an evidence says happened, in one vocabulary for both generations of the standard.

    The first eleven are spelled by the fragment of their EventCode URI (TS 102 640-2 B.1.1); the others have no
    EventCode of their own there (``ts102640_forms`` tells how it says them) and are spelled as EN 319 522-1 names them.
    """

    ACCEPTANCE = "Acceptance"
    REJECTION = "Rejection"
    DELIVERY = "Delivery"
    DELIVERY_EXPIRATION = "DeliveryExpiration"
    DOWNLOAD = "Download"
    DOWNLOAD_EXPIRATION = "DownloadExpiration"
    RETRIEVAL = "Retrieval"
    RETRIEVAL_EXPIRATION = "RetrievalExpiration"
    FORWARDED_TO_REGULAR_EMAIL = "ForwardedToRegularEMail"
    FORWARDED_TO_PRINTING_SYSTEM = "ForwardedToPrintingSystem"
    RECEIVED_FROM_REGULAR_EMAIL = "ReceivedFromRegularEMail"
    NOTIFICATION = "NotificationForAcceptance"
    NOTIFICATION_FAILURE = "NotificationForAcceptanceFailure"
    DECISION_EXPIRY = "AcceptanceRejectionExpiry"
    CONSIGNMENT_NOTIFICATION = "ConsignmentNotification"
    CONSIGNMENT_NOTIFICATION_FAILURE = "ConsignmentNotificationFailure"
    FORWARDING_FAILURE = "RelayToNonERDSFailure"

    @property
    def positive(self) -> bool:
        """Whether the event is the good end of its evidence: no reason may stand beside it (Annex B.2)."""
        return self not in NEGATIVE


NEGATIVE = frozenset(
    {
        Event.REJECTION,
        Event.DELIVERY_EXPIRATION,
        Event.DOWNLOAD_EXPIRATION,
        Event.RETRIEVAL_EXPIRATION,
        Event.NOTIFICATION_FAILURE,
        Event.DECISION_EXPIRY,
        Event.CONSIGNMENT_NOTIFICATION_FAILURE,
        Event.FORWARDING_FAILURE,
    }
)
EVENT_CODES = tuple(Event)[:11]  # those that have an EventCode URI in TS 102 640-2


class Reason(StrEnum):
    """The 22 reasons by the fragment of their URI, in the order of their ASN.1 numbers (TS 102 640-2 Annex E)."""

    INVALID_MESSAGE_FORMAT = "InvalidMessageFormat"
    MALWARE_FOUND = "MalwareFound"
    INVALID_USER_SIGNATURE = "InvalidUserSignature"
    USER_CERT_EXPIRED_OR_REVOKED = "UserCertExpiredOrRevoked"
    POLICY_VIOLATION = "PolicyViolation"
    R_REMMD_MALFUNCTION = "R_REMMD_Malfunction"
    R_REMMD_NOT_IDENTIFIED = "R_REMMD_NotIdenified"  # [sic]
    R_REMMD_UNREACHABLE = "R_REMMD_Unreachable"
    NO_DELIVERY_INFO = "S_REMMD_ReceivedNoDeliveryInfoFromR_REMMD"
    UNKNOWN_RECIPIENT = "UnknownRecipient"
    MAILBOX_FULL = "MailboxFull"
    TECHNICAL_MALFUNCTION = "TechnicalMalfunction"
    ATTACHMENT_FORMAT_NOT_ACCEPTED = "AttachementFormatNotAccepted"  # [sic]
    RECIPIENT_REJECTION = "RecipientRejection"
    RETENTION_PERIOD_EXPIRED = "RetentionPeriodExpired"
    REGULAR_EMAIL_UNREACHABLE = "RegularEmailUnreachable"
    REGULAR_EMAIL_NON_OPERATIONAL = "RegularEmailNonOperational"
    REGULAR_EMAIL_REJECTION = "RegularEmailRejection"
    PRINTING_SYSTEM_UNREACHABLE = "PrintingSystemUnreachable"
    PRINTING_SYSTEM_NON_OPERATIONAL = "PrintingSystemNonOperational"
    PRINTING_BUFFER_FULL = "PrintingBufferFull"
    OTHER = "Other"


class KepCode(IntEnum):
    """The evidence codes of Turkish providers (PTT's ``EYazismaDelilTur``; 61 is ours: a switch, off)."""

    KABUL = 10
    RED = 11
    ILETILDI = 20
    ILETILMEDI = 21
    ULASILAMADI = 31
    TESLIM = 40
    TESLIM_EDILEMEDI = 41
    OKUNDU = 60
    OKUNMADI = 61


class KepRule(NamedTuple):
    """What a KEP code is in ETSI's terms, and what PTT's client calls it."""

    element: Element
    event: Event
    constant: str
    positive: bool


KEP_CODES: Mapping[KepCode, KepRule] = MappingProxyType(
    {
        KepCode.KABUL: KepRule(Element.SUBMISSION, Event.ACCEPTANCE, "KABUL_EDILDI", True),
        KepCode.RED: KepRule(Element.SUBMISSION, Event.REJECTION, "KABUL_EDILMEDI", False),
        KepCode.ILETILDI: KepRule(Element.RELAY, Event.ACCEPTANCE, "ALICI_KEPHS_YE_TESLIM_EDILDI", True),
        KepCode.ILETILMEDI: KepRule(Element.RELAY, Event.REJECTION, "ALICI_KEPHS_YE_TESLIM_EDILEMEDI", False),
        KepCode.ULASILAMADI: KepRule(
            Element.RELAY_FAILURE, Event.DELIVERY_EXPIRATION, "ALICI_KEPHS_YE_ULASILAMADI", False
        ),
        KepCode.TESLIM: KepRule(Element.DELIVERY, Event.DELIVERY, "TESLIM_EDILDI", True),
        KepCode.TESLIM_EDILEMEDI: KepRule(Element.DELIVERY, Event.DELIVERY_EXPIRATION, "TESLIM_EDILEMEDI", False),
        KepCode.OKUNDU: KepRule(Element.RETRIEVAL, Event.RETRIEVAL, "OKUNDU", True),
        KepCode.OKUNMADI: KepRule(Element.RETRIEVAL, Event.RETRIEVAL_EXPIRATION, "OKUNMADI", False),
    }
)
_BY_EVENT = {(rule.element, rule.event): code for code, rule in KEP_CODES.items()}


def kep_code(element: Element, event: Event) -> KepCode | None:
    """The KEP code of an evidence; None for what Turkish providers have no code for."""
    return _BY_EVENT.get((element, event))


# What deployed code writes instead (vefa-peppol, SPOCS, e-CODEX, prose of TS 102 640-2 clause 5): read, never written.
_ELEMENTS = {element.lower(): element for element in Element} | {
    "relaytoremmdacceptancerejection": Element.RELAY,
    "relaytoremmdfailure": Element.RELAY_FAILURE,
    "receivedbynonremsystem": Element.FROM_NON_REM,
}
_EVENTS = {event.lower(): event for event in EVENT_CODES} | {
    "nondelivery": Event.DELIVERY_EXPIRATION,
    "nondeliveryexpiration": Event.DELIVERY_EXPIRATION,
    "nondownloadexpiration": Event.DOWNLOAD_EXPIRATION,
    "nonretrievalexpiration": Event.RETRIEVAL_EXPIRATION,
    "nonretrieval": Event.RETRIEVAL_EXPIRATION,
}
_REASONS = {reason.lower(): reason for reason in Reason} | {
    "r_remmd_notidentified": Reason.R_REMMD_NOT_IDENTIFIED,
    "attachmentformatnotaccepted": Reason.ATTACHMENT_FORMAT_NOT_ACCEPTED,
}
METHODS = ("Basic", "Enhanced", "Strong", "AdES", "AdES-Plus", "QES")  # TS 102 640-2 B.1.7
_METHODS = {method.lower(): method for method in METHODS}


def _fragment(uri: str) -> str:
    """What follows the ``#``: URIs are compared by it, since two paths and ``http:`` without ``//`` are in use."""
    return "".join(uri.rpartition("#")[2].split()).lower()


def element_of(name: str) -> Element | None:
    """The evidence type that an element's local name stands for, any case; None when unknown."""
    return _ELEMENTS.get(name.lower())


def event_of(uri: str) -> Event | None:
    """The event that an EventCode URI stands for, in any known spelling; None when unknown."""
    return _EVENTS.get(_fragment(uri))


def reason_of(uri: str) -> Reason | str:
    """The reason that a Code URI stands for, in any known spelling; an unknown one stays as it is."""
    return _REASONS.get(_fragment(uri).replace("-", "_"), uri.strip())


def method_of(uri: str) -> str:
    """The authentication method of a URI (``"Basic"`` ... ``"QES"``); an unknown one stays as it is."""
    return _METHODS.get(_fragment(uri), uri.strip())
