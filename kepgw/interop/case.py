"""A transaction as the writers of evidence and envelopes need it: plain data that travels to a signing process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kepgw.evidence.codes import KepCode
from kepgw.evidence.model import Authentication, Entity, GivenReason
from kepgw.evidence.ts102640 import Spelling
from kepgw.store.messages import Transaction


@dataclass(frozen=True, slots=True)
class Identity:
    """This provider, as it appears in what it signs."""

    domain: str
    name: str
    service_address: str
    policies: tuple[str, ...]
    development: bool
    spelling: Spelling
    type_header: str = "element"  # X-REM-EvidenceType: the ETSI element name, or the KEP code

    def of(self, addresses: Sequence[str]) -> "Identity":
        """This provider as a certificate with these rfc822Names calls it: TS 102 640-2 4.1 has From name the signer."""
        if not addresses or self.service_address in addresses:
            return self
        return replace(self, service_address=addresses[0])


@dataclass(frozen=True, slots=True)
class SignedBy:
    """The sender's own signature as it was found at T0, for the introduction of the dispatch.

    ``method`` is "QES", "AdES-Plus" or "AdES"; "none" when there is no signature, "invalid" when it does not hold.
    """

    method: str
    name: str = ""
    authority: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One transaction. ``to``, ``cc`` are the header values of the original, unfolded and in ASCII."""

    remmd_id: str
    evidence_id: str  # of evidence 10
    sender: Entity
    recipients: tuple[Entity, ...]
    subject: str
    ua_message_id: str
    t0: datetime
    digest: bytes
    size: int
    eight_bit: bool
    to: str
    cc: str
    tr_headers: tuple[tuple[str, str], ...]
    authentication: Authentication | None
    signed_by: SignedBy | None = None  # None: signatures are not looked at


@dataclass(frozen=True, slots=True)
class Order:
    """An evidence to be made. Its identifier is fixed before, so that a restart makes the same one."""

    code: KepCode
    identifier: str
    event_time: datetime
    refers_to: int | None = None  # 1-based; None: all recipients that the issuer speaks for
    reasons: tuple[GivenReason, ...] = ()


def case_of(transaction: Transaction) -> Case:
    """The case of a stored transaction."""
    message, dispatch = transaction.message, transaction.dispatch
    facts = message.facts
    method = facts.get("authentication")
    signature = facts.get("signature")
    return Case(
        remmd_id=dispatch.remmd_id,
        evidence_id=dispatch.evidence_id,
        sender=Entity(message.sender, message.sender_name),
        recipients=tuple(Entity(each.address, each.name) for each in transaction.recipients),
        subject=message.subject,
        ua_message_id=message.ua_message_id,
        t0=message.t0,
        digest=message.digest,
        size=message.size,
        eight_bit=message.eight_bit,
        to=facts.get("to", ""),
        cc=facts.get("cc", ""),
        tr_headers=tuple((name, value) for name, value in facts.get("tr_headers", [])),
        authentication=Authentication(message.t0, method) if method else None,
        signed_by=SignedBy(signature["method"], signature["name"], signature["authority"]) if signature else None,
    )
