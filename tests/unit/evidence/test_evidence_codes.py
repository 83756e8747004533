"""The tables of codes: complete, and read in every spelling that is in use."""

import pytest

from kepgw.evidence import codes
from kepgw.evidence.cardinality import NEEDS
from kepgw.evidence.codes import KEP_CODES, Element, Event, KepCode, Reason, kep_code
from kepgw.refusals import REFUSALS


def test_each_kep_code_has_a_rule_and_is_found_by_it():
    assert set(KEP_CODES) == set(KepCode)
    for code, rule in KEP_CODES.items():
        assert kep_code(rule.element, rule.event) is code
        assert rule.event in NEEDS[rule.element].events
        assert rule.positive is rule.event.positive


def test_what_turkish_providers_have_no_code_for():
    assert kep_code(Element.DOWNLOAD, Event.DOWNLOAD) is None


def test_counts_of_the_standard():
    assert (len(Element), len(codes.EVENT_CODES), len(Reason)) == (9, 11, 22)
    assert set(NEEDS) == set(Element)


@pytest.mark.parametrize(
    ("uri", "event"),
    [
        ("http:uri.etsi.org/02640/Event#Acceptance", Event.ACCEPTANCE),
        ("http://uri.etsi.org/REM/Event#Rejection", Event.REJECTION),
        ("http:uri.etsi.org/02640/Event#NonDelivery", Event.DELIVERY_EXPIRATION),
        ("http:uri.etsi.org/REM/Event #DownloadExpiration", Event.DOWNLOAD_EXPIRATION),
        ("http:uri.etsi.org/REM/Event#NonRetrievalExpiration", Event.RETRIEVAL_EXPIRATION),
        ("http:uri.etsi.org/REM/Event#retrievalexpiration", Event.RETRIEVAL_EXPIRATION),
        ("http:uri.etsi.org/REM/Event#Eaten", None),
    ],
)
def test_events_by_fragment(uri, event):
    assert codes.event_of(uri) is event


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http:uri.etsi.org/REM/EventReason#R_REMMD_NotIdentified", Reason.R_REMMD_NOT_IDENTIFIED),
        ("http:uri.etsi.org/REM/EventReason#R-REMMD_Malfunction", Reason.R_REMMD_MALFUNCTION),
        ("http://uri.etsi.org/REM/EventReason#AttachmentFormatNotAccepted", Reason.ATTACHMENT_FORMAT_NOT_ACCEPTED),
        ("urn:example:own", "urn:example:own"),
    ],
)
def test_reasons_in_the_spellings_of_the_field(uri, reason):
    assert codes.reason_of(uri) == reason


def test_elements_of_the_prose():
    assert codes.element_of("RelayToREMMDFailure") is Element.RELAY_FAILURE
    assert codes.element_of("submissionacceptancerejection") is Element.SUBMISSION
    assert codes.element_of("Evidence") is None


def test_every_refusal_gives_a_reason_of_the_standard():
    assert {rule.reason for rule in REFUSALS.values()} <= set(Reason)
