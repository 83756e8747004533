"""Every cell of TS 102 640-2 clause 5.1 and Annex B.2, written down here once more and tried."""

from dataclasses import replace

import pytest
from evidence_samples import AT, make_evidence

from kepgw.evidence.cardinality import NEEDS, check
from kepgw.evidence.codes import EVENT_CODES, NEGATIVE, Element, Event, KepCode, Reason
from kepgw.evidence.model import Authentication, Delegate, Entity, GivenReason, MessageDetails

# As printed, evidence 1 to 9: M mandatory, C and 0.. allowed, - not there. Where B.2 and 5.1 disagree, what either
# requires of an issuer is required and what either allows is allowed. A message may be missing where the evidence is
# about a notification.
B_2 = {
    "sender_authentication": "C - - - - - - - -",
    "recipient_authentication": "- - - C C C C - -",
    "submission_time": "M - - - - - - - -",
    "delegates": "C C C C C C C - -",
    "refers_to": "- C C C C C C C C",
    "message": "M C C C M C C C M",
    "notification": "- C C C - C C C -",
    "forwarded_to": "- - - - - - - M -",
}
CLAUSE_5 = {
    "sender_authentication": "C - - - - - - - -",
    "recipient_authentication": "- - - - C C C C -",
    "submission_time": "M C C C C C C C -",
    "delegates": "- - - C C C C C -",
    "refers_to": "- C C C C C C C C",
    "message": "M C C C M C C C M",
    "notification": "- C C C - C C C -",
    "forwarded_to": "- - - - - - - M -",
}
VALUES = {
    "sender_authentication": Authentication(AT, "Basic"),
    "recipient_authentication": Authentication(AT, "Basic"),
    "submission_time": AT,
    "delegates": (Delegate(Entity("vekil@hs91.kep.tr"), (1,)),),
    "refers_to": 1,
    "message": make_evidence().message,
    "notification": MessageDetails("", "", "b@hs90.kep.tr", "sha256", bytes(32), is_notification=True),
    "forwarded_to": "mail.example.tr",
}
ABSENT = dict.fromkeys(VALUES) | {"delegates": ()}
EVENTS = {
    Element.SUBMISSION: "Acceptance Rejection",
    Element.RELAY: "Acceptance Rejection",
    Element.RELAY_FAILURE: "DeliveryExpiration",
    Element.DELIVERY: "Delivery DeliveryExpiration",
    Element.DOWNLOAD: "Download DownloadExpiration",
    Element.RETRIEVAL: "Retrieval RetrievalExpiration",
    Element.RECIPIENT_ACCEPTANCE: "Acceptance Rejection",
    Element.TO_NON_REM: "ForwardedToRegularEMail ForwardedToPrintingSystem",
    Element.FROM_NON_REM: "ReceivedFromRegularEMail",
}
CELLS = [
    pytest.param(
        element, component, {B_2[component].split()[at], CLAUSE_5[component].split()[at]}, id=f"{at + 1} {component}"
    )
    for at, element in enumerate(Element)
    for component in VALUES
]


def base(element: Element):
    """An evidence with all that it must have, and nothing else."""
    event = Event(EVENTS[element].split()[0])
    present = {name: VALUES[name] for name in VALUES if getattr(NEEDS[element], name) == "M"} | {
        "message": VALUES["message"]
    }
    return make_evidence(
        KepCode.TESLIM,
        element=element,
        event=event,
        reasons=(GivenReason(Reason.OTHER),) if event in NEGATIVE else (),
        **(ABSENT | present),
    )


def allowed(evidence) -> bool:
    try:
        check(evidence)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("element", "component", "cells"), CELLS)
def test_each_cell(element, component, cells):
    assert allowed(base(element))
    about = {} if component == "notification" or "M" in cells else {"notification": VALUES["notification"]}
    without = replace(base(element), **{component: ABSENT[component]} | (about if component == "message" else {}))
    assert allowed(without) is ("M" not in cells)
    assert allowed(replace(base(element), **{component: VALUES[component]})) is (cells != {"-"})


@pytest.mark.parametrize("element", Element)
def test_each_event(element):
    for event in Event:
        one = replace(base(element), event=event, reasons=(GivenReason(Reason.OTHER),) if event in NEGATIVE else ())
        assert allowed(one) is (event in EVENTS[element].split()), event


@pytest.mark.parametrize("element", [one for one in Element if one not in (Element.TO_NON_REM, Element.FROM_NON_REM)])
def test_a_reason_stands_exactly_with_a_negative_event(element):
    for event in map(Event, EVENTS[element].split()):
        one = replace(base(element), event=event)
        assert event in EVENT_CODES
        assert allowed(replace(one, reasons=())) is (event not in NEGATIVE)
        assert allowed(replace(one, reasons=(GivenReason(Reason.OTHER),))) is (event in NEGATIVE)
