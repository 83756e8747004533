"""Receipts in the words of RFC 3464, for software of our own users that knows delivery status notifications only.

The evidence is what proves; the part beside it tells the same to a machine. No parameter of a client ever keeps an
evidence or its receipt back: NOTIFY decides about this part alone (ADR 31).
"""

import re
from typing import Final, Literal

from kepgw.evidence.model import Evidence
from kepgw.evidence.outcomes import OUTCOMES, Outcome, status_of
from kepgw.interop.case import Case, Order
from kepgw.interop.desk import Parameters
from kepgw.message.deliverystatus import RecipientStatus, write

Wanted = Literal["off", "asked", "always"]

_REPLY: Final = re.compile(r"[245][0-9]{2}(?: ([245]\.[0-9]{1,3}\.[0-9]{1,3}))?(?: |$)")


def delivery_status(wanted: Wanted, case: Case, order: Order, made: Evidence) -> bytes | None:
    """The body of the message/delivery-status part of a receipt, or None when it has none.

    None for receipts to other providers, for evidence without an outcome (10, 60, 61), and where nobody asked.
    """
    outcome = OUTCOMES[order.code]
    if outcome is None or not case.own_sender or wanted == "off" or (wanted == "asked" and not _asked(case.parameters)):
        return None
    attempt = order.attempt
    status = status_of(order.code, [each.reason for each in order.reasons])
    diagnostic = f"x-rem; {' '.join(str(each.reason) for each in order.reasons)}" if order.reasons else ""
    reply = _REPLY.match(attempt.reply) if attempt is not None else None
    if attempt is not None and reply:
        diagnostic, status = f"smtp; {attempt.reply}", reply[1] or status  # RFC 3464 2.3.6
    told = [
        RecipientStatus(
            address=each.address,
            action=outcome.action,
            status=status,
            original=case.parameters.orcpt.get(each.address, ""),
            remote=attempt.host if attempt is not None else "",
            diagnostic=diagnostic,
            last_attempt=order.event_time if attempt is not None else None,
        )
        for each in made.about
        if _wants(case.parameters, each.address, outcome)
    ]
    return write(made.issuer.domain, case.parameters.envid, case.t0, told) if told else None


def _asked(parameters: Parameters) -> bool:
    """Whether the client used RFC 3461 at all."""
    return bool(parameters.ret or parameters.envid or parameters.notify or parameters.orcpt)


def _wants(parameters: Parameters, recipient: str, outcome: Outcome) -> bool:
    """Whether a recipient's outcome is told: always, unless NOTIFY names others (RFC 3461 4.1)."""
    wishes = parameters.notify.get(recipient, "")
    return not wishes or outcome.condition in wishes.split(",")
