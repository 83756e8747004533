"""A transaction as the writers of evidence and envelopes need it: plain data that travels to a signing process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from kepgw.evidence.codes import METHODS, KepCode
from kepgw.evidence.model import Assurance, Authentication, Entity, Evidence, GivenReason, IdentityAttribute
from kepgw.interop.desk import Parameters
from kepgw.store.ids import micros, moment
from kepgw.store.messages import Transaction


@dataclass(frozen=True, slots=True)
class Identity:
    """This provider, as it appears in what it signs."""

    domain: str
    name: str
    service_address: str
    policies: tuple[str, ...]
    development: bool

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
class Counterpart:
    """The other provider of a relay: the sender's, or the one of the recipient that an evidence is about."""

    domain: str
    name: str
    service_address: str


@dataclass(frozen=True, slots=True)
class Case:
    """One transaction. ``to``, ``cc`` are the header values of the original, unfolded and in ASCII.

    ``digest`` (SHA-256) is that of the profile's form of the original, ``size`` that of the original as submitted.
    ``here`` are the 1-based recipients that have a mailbox of ours.
    """

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
    profile: str = "tr-kep"
    own_sender: bool = True
    parameters: Parameters = field(default_factory=Parameters)  # what the sender's client asked for
    here: frozenset[int] = frozenset()
    counterpart: Counterpart | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to give a dispatch to a peer: its relay host, and what was said there or about it."""

    host: str
    reply: str


@dataclass(frozen=True, slots=True)
class Order:
    """An evidence to be made. Its identifier is fixed before, so that a restart makes the same one."""

    code: KepCode
    identifier: str
    event_time: datetime
    about: tuple[int, ...] = ()  # 1-based; (): all recipients that the issuer speaks for
    reasons: tuple[GivenReason, ...] = ()
    attempt: Attempt | None = None  # the last one, when that is what the evidence is about


def case_of(transaction: Transaction, counterpart: Counterpart | None = None) -> Case:
    """The case of a stored transaction."""
    message, dispatch = transaction.message, transaction.dispatch
    facts = message.facts
    method = facts.get("authentication")
    signature = facts.get("signature")
    sender, authentication = sender_told(facts.get("sender", {}))
    return Case(
        remmd_id=dispatch.remmd_id,
        evidence_id=dispatch.evidence_id,
        sender=replace(sender, address=message.sender, name=message.sender_name),
        recipients=tuple(Entity(each.address, each.name) for each in transaction.recipients),
        subject=message.subject,
        ua_message_id=message.ua_message_id,
        t0=message.t0,
        digest=dispatch.digest,
        size=message.size,
        eight_bit=message.eight_bit,
        to=facts.get("to", ""),
        cc=facts.get("cc", ""),
        tr_headers=tuple((name, value) for name, value in facts.get("tr_headers", [])),
        authentication=Authentication(message.t0, method) if method else authentication,
        signed_by=SignedBy(signature["method"], signature["name"], signature["authority"]) if signature else None,
        profile=dispatch.profile,
        own_sender=message.peer is None,
        parameters=Parameters(
            facts.get("ret", ""), facts.get("envid", ""), facts.get("notify", {}), facts.get("orcpt", {})
        ),
        here=frozenset(each.ordinal for each in transaction.recipients if each.account is not None),
        counterpart=counterpart,
    )


def tell_sender(evidence: Evidence) -> dict[str, Any]:
    """What a peer's evidence says of its sender beside the address, as JSON data: evidence of ours repeats it.

    Only what the REM baseline can say is kept (EN 319 532-4 table C.18): one global level, a method with a URI.
    """
    sender, authentication = evidence.sender, evidence.sender_authentication
    told: dict[str, Any] = {"identity": [[each.name, each.value] for each in sender.identity]}
    if len(sender.assurance) == 1 and sender.assurance[0].kind == "global":
        told["assurance"] = [sender.assurance[0].level, sender.assurance[0].policy]
    if authentication is not None and (authentication.method in METHODS or ":" in authentication.method):
        told["authentication"] = [micros(authentication.time), authentication.method]
    return told


def sender_told(told: Mapping[str, Any]) -> tuple[Entity, Authentication | None]:
    """What ``tell_sender`` kept: a sender without address, and how it was authenticated."""
    level, authentication = told.get("assurance"), told.get("authentication")
    entity = Entity(
        "",
        identity=tuple(IdentityAttribute(*each) for each in told.get("identity", ())),
        assurance=(Assurance(*level),) if level else (),
    )
    return entity, Authentication(moment(authentication[0]), authentication[1]) if authentication else None
