"""Receipts as delivery status notifications, read by the standard library and by a bounce parser that is not ours."""

import email
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from flufl.bounce import all_failures
from interop_house import HS91, case, original

from kepgw.evidence.codes import KEP_CODES, KepCode, Reason
from kepgw.evidence.model import Entity, GivenReason
from kepgw.interop.case import Attempt, Order
from kepgw.interop.desk import Parameters
from kepgw.interop.notifying import delivery_status
from kepgw.trust.judge import judge_message

AT = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)
OCTETS = original("ali@hs91.kep.tr", ["ayse@hs90.kep.tr"], body=b"x")
TWO = (Entity("ayse@hs90.kep.tr", "Ayşe"), Entity("umit@hs90.kep.tr", "Ümit"))
ENVID = Parameters(envid="dosya+2B7")
SPOKEN_OF = [KepCode.RED, KepCode.ILETILDI, KepCode.ILETILMEDI, KepCode.ULASILAMADI, KepCode.TESLIM]
SPOKEN_OF.append(KepCode.TESLIM_EDILEMEDI)


def order(code, about=(), attempt=None, reason=Reason.UNKNOWN_RECIPIENT):
    reasons = () if KEP_CODES[code].positive else (GivenReason(reason, "gerekçe"),)
    return Order(code, f"delil.{int(code)}@hs91.kep.tr", AT, about, reasons, attempt)


def told(bench, parameters, wanted, **more):
    """The blocks of the part in a receipt, or None when it has none."""
    given = replace(case(OCTETS, recipients=TWO), parameters=parameters, **more)
    receipt = email.message_from_bytes(bench.make(given, wanted).receipt)
    found = [part for part in receipt.walk() if part.get_content_type() == "message/delivery-status"]
    assert len([part for part in receipt.walk() if part.get_content_type() == "application/xml"]) == 1
    if not found:
        return None
    (part,) = found
    return part.get_payload()


@pytest.mark.parametrize("code", SPOKEN_OF)
def test_a_receipt_says_it_twice(bench, code):
    about = () if code is KepCode.RED else (2,)
    message, *recipients = told(bench, ENVID, order(code, about))
    assert message["Original-Envelope-Id"] == "dosya+7"
    assert message["Reporting-MTA"] == "dns; " + bench.identity.domain
    addresses = [each["Final-Recipient"] for each in recipients]
    assert addresses == [f"rfc822; {each.address}" for each in (TWO if code is KepCode.RED else TWO[1:])]
    for each in recipients:
        positive = KEP_CODES[code].positive
        assert each["Status"] == ("2.0.0" if positive else "5.1.1")
        assert each["Diagnostic-Code"] == (None if positive else "x-rem; UnknownRecipient")
        assert each["Last-Attempt-Date"] is each["Remote-MTA"] is None


@pytest.mark.parametrize("code", [KepCode.KABUL, KepCode.OKUNDU, KepCode.OKUNMADI])
def test_what_is_neither_delivery_nor_failure_is_not_told(bench, code):
    assert told(bench, ENVID, order(code)) is None


@pytest.mark.parametrize("code", SPOKEN_OF)
def test_the_receipt_holds_for_our_own_reader(bench, identities, code):
    given = replace(case(OCTETS, recipients=TWO), parameters=ENVID)
    judgement = judge_message(bench.make(given, order(code)).receipt, identities.anchors(HS91))
    assert judgement.good, [check for _, check in judgement.every() if check.verdict == "bad"]


def test_a_bounce_parser_that_is_not_ours(bench):
    given = replace(case(OCTETS, recipients=TWO), parameters=ENVID)
    for code, passing, lasting in (
        (KepCode.ULASILAMADI, set(), {b"umit@hs90.kep.tr"}),
        (KepCode.RED, set(), {b"ayse@hs90.kep.tr", b"umit@hs90.kep.tr"}),
        (KepCode.TESLIM, set(), set()),
    ):
        made = bench.make(given, order(code, () if code is KepCode.RED else (2,)))
        assert all_failures(email.message_from_bytes(made.receipt)) == (passing, lasting)


def test_the_last_attempt(bench):
    attempt = Attempt("posta.hs90.kep.tr", "550 5.2.1 closed\r\nAction: delivered")
    _, only = told(bench, ENVID, order(KepCode.ULASILAMADI, (1,), attempt))
    assert only["Remote-MTA"] == "dns; posta.hs90.kep.tr"
    assert only["Status"] == "5.2.1"
    assert only["Diagnostic-Code"] == "smtp; 550 5.2.1 closed??Action: delivered"
    assert only.get_all("Action") == ["failed"]
    assert parsedate_to_datetime(only["Last-Attempt-Date"]) == AT
    # what was no reply is no diagnostic of SMTP
    unreached = order(KepCode.ULASILAMADI, (1,), Attempt("h", "[Errno 111] refused"), Reason.R_REMMD_UNREACHABLE)
    _, only = told(bench, ENVID, unreached)
    assert (only["Status"], only["Diagnostic-Code"]) == ("4.4.7", "x-rem; R_REMMD_Unreachable")


def test_orcpt_is_repeated_as_it_was(bench):
    parameters = Parameters(orcpt={TWO[1].address: "rfc822;Umit+2Bis@hs90.kep.tr"})
    _, first, second = told(bench, parameters, order(KepCode.RED))
    assert first["Original-Recipient"] is None
    assert second["Original-Recipient"] == "rfc822; Umit+is@hs90.kep.tr"


@pytest.mark.parametrize(
    ("notify", "told_of"),
    [
        ("NEVER", set()),
        ("SUCCESS", {KepCode.TESLIM, KepCode.ILETILDI}),
        ("FAILURE,DELAY", {KepCode.RED, KepCode.ILETILMEDI, KepCode.ULASILAMADI, KepCode.TESLIM_EDILEMEDI}),
        ("DELAY", set()),
        ("SUCCESS,FAILURE", set(SPOKEN_OF)),
    ],
)
def test_notify_decides_about_the_part_and_about_nothing_else(bench, notify, told_of):
    parameters = Parameters(notify={TWO[1].address: notify})
    of_one = [code for code in SPOKEN_OF if code is not KepCode.RED]  # 11 speaks of all its recipients
    assert {code for code in of_one if told(bench, parameters, order(code, (2,)))} == told_of - {KepCode.RED}
    # the other recipient did not say: told
    assert all(told(bench, parameters, order(code, (1,))) for code in of_one)
    assert [each["Final-Recipient"] for each in told(bench, parameters, order(KepCode.RED))[1:]] == [
        f"rfc822; {each.address}" for each in (TWO if KepCode.RED in told_of else TWO[:1])
    ]


def test_who_gets_it(bench):
    wanted = order(KepCode.TESLIM, (2,))
    given = case(OCTETS, recipients=TWO)
    made = bench.make(given, wanted).evidence
    asked = replace(given, parameters=Parameters(ret="HDRS"))
    peer = replace(asked, own_sender=False)
    assert [bool(delivery_status("asked", each, wanted, made)) for each in (given, asked, peer)] == [False, True, False]
    assert [bool(delivery_status("always", each, wanted, made)) for each in (given, asked, peer)] == [True, True, False]
    assert not any(delivery_status("off", each, wanted, made) for each in (given, asked, peer))
