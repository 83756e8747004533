"""How TS 102 640-2 says the events that have no EventCode of their own there: as another event beside something else.

One table for both directions, so that reader and writer cannot differ.
"""

from dataclasses import replace
from typing import NamedTuple

from kepgw.evidence.codes import Element, Event, Reason
from kepgw.evidence.model import Evidence


class Form(NamedTuple):
    """``event`` is written as ``said`` when the evidence is about a notification, or gives one of ``reasons``."""

    element: Element
    event: Event
    said: Event
    notification: bool
    reasons: frozenset[Reason]


_NONE: frozenset[Reason] = frozenset()
_ANY = frozenset(Reason)
_LATE = frozenset({Reason.RETENTION_PERIOD_EXPIRED})
_PRINTING = frozenset(
    {
        Reason.PRINTING_SYSTEM_UNREACHABLE,
        Reason.PRINTING_SYSTEM_NON_OPERATIONAL,
        Reason.PRINTING_BUFFER_FULL,
    }
)
# Delivery of a notification: TS 102 640-2 M02 and B.2.4. Forwarding that failed: B.2.8, the same code with reasons; the
# first row that fits is the one that is written.
FORMS = (
    Form(Element.DELIVERY, Event.NOTIFICATION, Event.DELIVERY, True, _NONE),
    Form(Element.DELIVERY, Event.NOTIFICATION_FAILURE, Event.DELIVERY_EXPIRATION, True, _NONE),
    Form(Element.RECIPIENT_ACCEPTANCE, Event.DECISION_EXPIRY, Event.REJECTION, False, _LATE),
    Form(Element.TO_NON_REM, Event.FORWARDING_FAILURE, Event.FORWARDED_TO_PRINTING_SYSTEM, False, _PRINTING),
    Form(Element.TO_NON_REM, Event.FORWARDING_FAILURE, Event.FORWARDED_TO_REGULAR_EMAIL, False, _ANY),
    Form(Element.TO_NON_REM, Event.FORWARDING_FAILURE, Event.FORWARDED_TO_PRINTING_SYSTEM, False, _ANY),
)


def _fits(form: Form, evidence: Evidence) -> bool:
    if form.notification:
        # B.2.4: its details stand exactly when the evidence is about one, those of the message may stand beside them
        return evidence.notification is not None
    # an unknown reason is a reason
    given = {reason.reason if isinstance(reason.reason, Reason) else Reason.OTHER for reason in evidence.reasons}
    return not form.reasons.isdisjoint(given)


def as_said(evidence: Evidence) -> Evidence:
    """``evidence`` with its event as TS 102 640-2 says it; an event that cannot be said stays as it is."""
    for form in FORMS:
        if (form.element, form.event) == (evidence.element, evidence.event) and _fits(form, evidence):
            return replace(evidence, event=form.said)
    return evidence


def as_meant(evidence: Evidence) -> Evidence:
    """``evidence``, read from TS 102 640-2, with the event that it means."""
    for form in FORMS:
        if (form.element, form.said) == (evidence.element, evidence.event) and _fits(form, evidence):
            return replace(evidence, event=form.event)
    return evidence
