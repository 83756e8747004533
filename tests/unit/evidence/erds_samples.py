"""Evidence of EN 319 522 to write: one of each of the 19 events, with no more than its table asks."""

import hashlib
from dataclasses import replace

from evidence_samples import AT, SHARED

from kepgw.evidence.en319522_codes import (
    ASSURANCE_SUBSTANTIAL,
    ERDS_EVENTS,
    REM_BASELINE_POLICY,
    ErdsEvent,
)
from kepgw.evidence.identity import person_identifier
from kepgw.evidence.model import (
    ERDS_VERSION,
    Assurance,
    Authentication,
    Delegate,
    Entity,
    Evidence,
    GivenReason,
    Issuer,
    MessageDetails,
)

VECTORS = SHARED / "vectors" / "etsi-rem-baseline"
LEVEL = (Assurance(ASSURANCE_SUBSTANTIAL, "https://example.tr/assurance"),)


def make_erds(event: ErdsEvent, /, **changes) -> Evidence:
    rule = ERDS_EVENTS[event]
    family = rule.letter[0]
    evidence = Evidence(
        element=rule.element,
        event=rule.event,
        identifier="delil-0000001@hs90.kep.tr",
        policies=(REM_BASELINE_POLICY, "https://example.tr/policy"),
        issuer=Issuer("", "Deneme KEPHS", ""),
        event_time=AT,
        sender=Entity(
            "ayse@hs90.kep.tr",
            identity=(person_identifier("ayse@hs90.kep.tr", "TR", "TR"),),
            assurance=() if event is ErdsEvent.RECEIVED_FROM_NON_ERDS else LEVEL,
        ),
        recipients=(Entity("mehmet@hs91.kep.tr"), Entity("iş@hs91.kep.tr")),
        message=MessageDetails(
            "Sözleşme & ek <1>", "<1@istemci>", "remmd.1@hs90.kep.tr", "sha256", hashlib.sha256(b"ileti").digest()
        ),
        submission_time=AT,
        reasons=(GivenReason(rule.reasons[0], "neden", rule.reasons[0].code(event)),),
        refers_to=1 if family in "CDE" else None,
        sender_authentication=None if event is ErdsEvent.RECEIVED_FROM_NON_ERDS else Authentication(AT, "Basic"),
        version=ERDS_VERSION,
        external=Issuer("", "Başka KEPHS", "") if family == "B" else None,
        forwarded_to="mail.example.tr" if family == "F" else None,
    )
    if event in (ErdsEvent.CONSIGNMENT_ACCEPTANCE, ErdsEvent.CONSIGNMENT_REJECTION, ErdsEvent.CONTENT_HANDOVER):
        first, *others = evidence.recipients
        evidence = replace(
            evidence,
            recipients=(replace(first, assurance=LEVEL), *others),
            recipient_authentication=Authentication(AT, "QES"),
        )
    return replace(evidence, **changes)


def make_delegate(*recipients: int) -> Delegate:
    return Delegate(
        Entity("vekil@hs91.kep.tr", identity=(person_identifier("vekil@hs91.kep.tr", "TR", "TR"),)), recipients
    )
