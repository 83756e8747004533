"""Codes of EN 319 522, and one event for both generations of the standard."""

from dataclasses import replace

import pytest
from erds_samples import make_erds
from evidence_samples import make_evidence

from kepgw.evidence import codes, en319522, reading, ts102640
from kepgw.evidence.cardinality import NEEDS
from kepgw.evidence.codes import Element, Event, KepCode, Reason
from kepgw.evidence.en319522_codes import (
    ERDS_EVENTS,
    ITALIAN,
    ErdsEvent,
    ErdsReason,
    UnknownEvent,
    erds_event,
    erds_reason,
    event_of,
    reason_of,
    ts_reason,
)
from kepgw.evidence.model import GivenReason
from kepgw.evidence.ts102640_forms import FORMS
from kepgw.texts import catalogue

LETTERS = "A.1 A.2 B.1 B.2 B.3 C.1 C.2 C.3 C.4 C.5 D.1 D.2 D.3 D.4 E.1 E.2 F.1 F.2 F.3"


def test_the_19_events_in_order():
    assert " ".join(event.letter for event in ErdsEvent) == LETTERS
    assert list(ERDS_EVENTS) == list(ErdsEvent)
    assert ErdsEvent.DECISION_EXPIRY.uri == "http://uri.etsi.org/19522/Event/AcceptanceRejectionExpiry"
    assert [event.letter for event in ErdsEvent if not event.positive] == [
        "A.2", "B.2", "B.3", "C.2", "C.4", "C.5", "D.2", "D.4", "E.2", "F.2",
    ]  # fmt: skip


def test_every_reason_stands_with_some_event_or_is_italian():
    assert len(ErdsReason) == 41 + 2 + 1  # ETSI's, those of the Italian policy, Other
    used = {reason for rule in ERDS_EVENTS.values() for reason in rule.reasons}
    assert used | ITALIAN == set(ErdsReason)
    for event, rule in ERDS_EVENTS.items():
        assert rule.reasons[-1] is ErdsReason.OTHER
        assert {reason.code(event)[1] for reason in rule.reasons} == {event.letter[0]}
    assert ErdsReason.OTHER.code(ErdsEvent.CONTENT_CONSIGNMENT_FAILURE) == "RDXX"
    assert ErdsReason.RB22.uri.endswith("/S_ERDSP_ReceivedNoRelayAcceptanceInfoFromR_ERDSP")


@pytest.mark.parametrize(
    ("event", "letters"),
    [  # EN 319 532-4 table C.28
        (ErdsEvent.RELAY_ACCEPTANCE, "RB01"),
        (ErdsEvent.RELAY_REJECTION, "RB02 RB03 RB04 RB05 RB06 RB21"),
        (ErdsEvent.RELAY_FAILURE, "RB02 RB03 RB04 RB05 RB06 RB07 RB08 RB09 RB10 RB21 RB22"),
        (ErdsEvent.CONTENT_CONSIGNMENT_FAILURE, "RD03 RD04 RD05 RD06 RD21"),
    ],
)
def test_which_reason_with_which_event(event, letters):
    assert [reason.name for reason in ERDS_EVENTS[event].reasons[:-1]] == letters.split()


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://uri.etsi.org/19522/EventReason/NotificationForAcceptenceError", ErdsReason.RC03),  # [sic]
        ("http://uri.etsi.org/19522/EventReason/NotificationForAcceptanceError", ErdsReason.RC03),
        (" https://uri.etsi.org/19522/EventReason#messageaccepted\n", ErdsReason.RA01),
        ("http://uri.etsi.org/19522/EventReason/S_ERDS_Malfunction", ErdsReason.RA51),
        ("http://uri.etsi.org/19522/EventReason/RelayToNonERDSNotAllowed", ErdsReason.RF51),
        ("http://uri.etsi.org/19522/EventReason/Tomorrow", "http://uri.etsi.org/19522/EventReason/Tomorrow"),
        ("https://example.it/why/MalwareFound", "https://example.it/why/MalwareFound"),
    ],
)
def test_reasons_as_the_field_writes_them(uri, reason):
    assert reason_of(uri) == reason


def test_events_as_the_field_writes_them():
    for event in ErdsEvent:
        assert event_of(event.uri) is event
        assert event_of(f" {event.uri.lower()} ".replace("/event/", "/Event#")) is event
    with pytest.raises(UnknownEvent):
        event_of("http://uri.etsi.org/19522/Event/ContentAccessTracking")


# one event for both generations


def test_each_event_has_one_pair_and_back():
    assert len({(rule.element, rule.event) for rule in ERDS_EVENTS.values()}) == 19
    for event, rule in ERDS_EVENTS.items():
        assert erds_event(rule.element, rule.event) is event
        assert rule.event.positive is event.positive


def test_what_each_pair_of_the_older_generation_is():
    said = {(element, event): erds_event(element, event) for element, needs in NEEDS.items() for event in needs.events}
    dropped = [pair for pair, event in said.items() if event is None]
    assert dropped == [(Element.TO_NON_REM, Event.FORWARDED_TO_PRINTING_SYSTEM)]  # EN 319 522 knows no printing
    assert said[Element.DOWNLOAD, Event.DOWNLOAD] is said[Element.RETRIEVAL, Event.RETRIEVAL]
    new = {rule.event for rule in ERDS_EVENTS.values()} - set(codes.EVENT_CODES)
    assert {form.event for form in FORMS} == new - {
        Event.CONSIGNMENT_NOTIFICATION,  # D.3 and D.4: nothing in TS 102 640-2 says them
        Event.CONSIGNMENT_NOTIFICATION_FAILURE,
    }


@pytest.mark.parametrize("code", [code for code in KepCode if code is not KepCode.OKUNMADI])
def test_the_same_event_read_from_either_generation(code):
    old = reading.read(ts102640.write(make_evidence(code)))
    new = reading.read(en319522.write(make_erds(old.erds_event)))
    assert (new.element, new.event, new.erds_event) == (old.element, old.event, old.erds_event)
    assert (old.kep_code, new.kep_code) == (code, None)  # a Turkish code is one of TS 102 640 evidence


@pytest.mark.parametrize("event", [ErdsEvent.CONSIGNMENT_NOTIFICATION, ErdsEvent.CONSIGNMENT_NOTIFICATION_FAILURE])
def test_what_only_the_newer_generation_says_is_not_written_in_the_older(event):
    with pytest.raises(ValueError, match="cannot say"):
        ts102640.write(replace(make_erds(event), version="2"))


def test_reasons_go_from_one_generation_to_the_other():
    assert erds_reason(Reason.MALWARE_FOUND, ErdsEvent.SUBMISSION_REJECTION) is ErdsReason.RA03
    assert erds_reason(Reason.MALWARE_FOUND, ErdsEvent.RELAY_REJECTION) is ErdsReason.RB03
    assert erds_reason(Reason.UNKNOWN_RECIPIENT, ErdsEvent.RELAY_REJECTION) is ErdsReason.RB21
    assert erds_reason(Reason.UNKNOWN_RECIPIENT, ErdsEvent.CONTENT_CONSIGNMENT_FAILURE) is ErdsReason.RD21
    assert erds_reason(Reason.NO_DELIVERY_INFO, ErdsEvent.CONTENT_CONSIGNMENT_FAILURE) is ErdsReason.RD03
    assert erds_reason(Reason.PRINTING_BUFFER_FULL, ErdsEvent.RELAY_TO_NON_ERDS_FAILURE) is ErdsReason.OTHER
    assert ts_reason(ErdsReason.RD04) is Reason.MAILBOX_FULL
    assert ts_reason(ErdsReason.RB10) is ts_reason(ErdsReason.RB21) is Reason.UNKNOWN_RECIPIENT
    assert ts_reason(ErdsReason.RA01) is Reason.OTHER
    for reason in (Reason.OTHER, "urn:example:why"):
        assert ts_reason(reason) == reason
    for event, rule in ERDS_EVENTS.items():
        for reason in Reason:
            assert erds_reason(reason, event) in {*rule.reasons, *ErdsReason}


def test_a_reason_of_one_generation_is_written_in_the_other():
    quota = GivenReason(ErdsReason.RD04)
    old = ts102640.write(make_evidence(KepCode.TESLIM_EDILEMEDI, reasons=(quota,)))
    assert reading.read(old).reasons == (GivenReason(Reason.MAILBOX_FULL),)
    full = GivenReason(Reason.MAILBOX_FULL, "dolu")
    new = en319522.write(make_erds(ErdsEvent.CONTENT_CONSIGNMENT_FAILURE, reasons=(full,)))
    assert reading.read(new).reasons == (GivenReason(ErdsReason.RD04, "dolu", "RD04"),)


def test_every_code_has_its_words():
    for event in ErdsEvent:
        assert f"evidence-erds-{event.lower()}" in catalogue()
    for reason in ErdsReason:
        assert f"evidence-reason-{reason.lower()}" in catalogue()
