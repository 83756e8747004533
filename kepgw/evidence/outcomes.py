"""What each evidence says in the words of RFC 3464: an action, and a status code of RFC 3463. Beside ``codes``, pure.

Acceptance and reading have no word there: 10 is before any attempt, and "delivered" does not tell that somebody read.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from kepgw.evidence.codes import KepCode, Reason
from kepgw.evidence.en319522_codes import ErdsReason


class Outcome(NamedTuple):
    """``action`` of RFC 3464 2.3.3, ``status`` when no reason says more, ``condition`` of NOTIFY (RFC 3461 4.1)."""

    action: str
    status: str
    condition: str


OUTCOMES: Final[Mapping[KepCode, Outcome | None]] = MappingProxyType(
    {
        KepCode.KABUL: None,
        KepCode.RED: Outcome("failed", "5.0.0", "FAILURE"),
        KepCode.ILETILDI: Outcome("relayed", "2.0.0", "SUCCESS"),  # the rest is told by the recipient's provider
        KepCode.ILETILMEDI: Outcome("failed", "5.0.0", "FAILURE"),
        KepCode.ULASILAMADI: Outcome("failed", "4.4.7", "FAILURE"),  # RFC 3463 2: persistence caused abandonment
        KepCode.TESLIM: Outcome("delivered", "2.0.0", "SUCCESS"),
        KepCode.TESLIM_EDILEMEDI: Outcome("failed", "4.4.7", "FAILURE"),
        KepCode.OKUNDU: None,
        KepCode.OKUNMADI: None,
    }
)

STATUSES: Final[Mapping[Reason | ErdsReason, str]] = MappingProxyType(
    {
        Reason.INVALID_MESSAGE_FORMAT: "5.6.0",
        Reason.MALWARE_FOUND: "5.7.1",
        Reason.INVALID_USER_SIGNATURE: "5.7.7",
        Reason.USER_CERT_EXPIRED_OR_REVOKED: "5.7.1",
        Reason.POLICY_VIOLATION: "5.7.1",
        Reason.R_REMMD_MALFUNCTION: "5.3.0",
        Reason.R_REMMD_NOT_IDENTIFIED: "5.1.2",
        Reason.R_REMMD_UNREACHABLE: "4.4.7",
        Reason.NO_DELIVERY_INFO: "4.4.7",
        Reason.UNKNOWN_RECIPIENT: "5.1.1",
        Reason.MAILBOX_FULL: "5.2.2",
        Reason.TECHNICAL_MALFUNCTION: "5.3.0",
        Reason.ATTACHMENT_FORMAT_NOT_ACCEPTED: "5.6.1",
        Reason.RECIPIENT_REJECTION: "5.2.0",
        Reason.RETENTION_PERIOD_EXPIRED: "5.4.7",
        Reason.REGULAR_EMAIL_UNREACHABLE: "4.4.1",
        Reason.REGULAR_EMAIL_NON_OPERATIONAL: "5.3.2",
        Reason.REGULAR_EMAIL_REJECTION: "5.7.1",
        Reason.PRINTING_SYSTEM_UNREACHABLE: "4.4.1",
        Reason.PRINTING_SYSTEM_NON_OPERATIONAL: "5.3.2",
        Reason.PRINTING_BUFFER_FULL: "5.3.1",
        Reason.OTHER: "5.0.0",
        ErdsReason.RB22: "4.4.7",  # the peer took it and said nothing in time
    }
)


def status_of(code: KepCode, reasons: Sequence[Reason | ErdsReason | str]) -> str:
    """The status of an evidence with these reasons; when they differ in it, nothing more than its code tells.

    Raises KeyError for a code that has no outcome (our own mistake).
    """
    outcome = OUTCOMES[code]
    if outcome is None:
        raise KeyError(code)
    told = {STATUSES.get(reason, "") for reason in reasons if isinstance(reason, (Reason, ErdsReason))}
    status = told.pop() if len(told) == 1 else ""
    return status or outcome.status
