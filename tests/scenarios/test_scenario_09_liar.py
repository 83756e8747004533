"""09 A peer that lies: honest keys, honest look, and a claim that is not its to make."""

import dataclasses
import hashlib
import smtplib
from datetime import UTC, datetime

import pytest
from laboratory import compose
from story import ACCEPTED, UNREACHED, receipts
from test_scenario_07_duplicate import relay

from kepgw.app.config import load
from kepgw.app.wiring import tools_of
from kepgw.evidence.codes import KepCode
from kepgw.evidence.model import Entity
from kepgw.interop.case import Case, Order
from kepgw.interop.workshop import Bench
from kepgw.message.rendering import render


def refused(node, sender, recipients, octets):
    """The reply that a relay port gives at the end of the data."""
    with pytest.raises(smtplib.SMTPException) as caught:
        relay(node, sender, recipients, octets)
    error = caught.value
    return (error.smtp_code, error.smtp_error.decode()) if isinstance(error, smtplib.SMTPResponseException) else error


def case_of(sender, recipients, original, remmd_id):
    return Case(
        remmd_id=remmd_id,
        evidence_id="delil.yalan@hs91.kep.tr",
        sender=Entity(sender, "Yalancı"),
        recipients=tuple(Entity(each) for each in recipients),
        subject="Yalan",
        ua_message_id="<yalan@x>",
        t0=datetime.now(UTC),
        digest=hashlib.sha256(original).digest(),
        size=len(original),
        eight_bit=False,
        to=", ".join(recipients),
        cc="",
        tr_headers=(),
        authentication=None,
    )


def dispatch_of(bench, case, original):
    made = bench.make(case, Order(KepCode.KABUL, case.evidence_id, case.t0), render(original))
    unsealed = made.unsealed
    digest = hashlib.sha256(unsealed.signed_head + original + unsealed.tail).digest()
    sealed = bench.seal(unsealed, digest, render(original), made.form)
    return sealed.head + original + sealed.tail


@pytest.fixture(scope="module")
def liar(module_world):
    """The keys of hs91, in hands that use them otherwise."""
    module_world.told = {"absent": {"hs91.kep.tr"}}  # its provider does not know what the liar sent, and says so
    return Bench(tools_of(load(module_world.there.folder)))


def test_a_dispatch_for_a_sender_of_another_provider(module_world, liar):
    original = f"From: vali@hs01.kep.tr\r\nTo: {module_world.ali}\r\nMessage-ID: <yalan@x>\r\n\r\nOdeyin.\r\n".encode()
    case = case_of("vali@hs01.kep.tr", [module_world.ali], original, "remmd.yalan-1@hs91.kep.tr")
    code, text = refused(module_world.here, "kep@hs91.kep.tr", [module_world.ali], dispatch_of(liar, case, original))
    assert code == 554
    assert "only for its own addresses" in text
    honest = case_of("veli@hs91.kep.tr", [module_world.ali], original, "remmd.dogru-1@hs91.kep.tr")
    octets = dispatch_of(liar, honest, original)
    assert relay(module_world.here, "kep@hs91.kep.tr", [module_world.ali], octets) == {}, "the same, true, is taken"


def test_an_altered_original(module_world, liar):
    original = (
        f"From: veli@hs91.kep.tr\r\nTo: {module_world.ali}\r\nMessage-ID: <y2@x>\r\n\r\nBorc 100 TL.\r\n".encode()
    )
    case = case_of("veli@hs91.kep.tr", [module_world.ali], original, "remmd.yalan-2@hs91.kep.tr")
    octets = dispatch_of(liar, case, original).replace(b"Borc 100 TL", b"Borc 900 TL")
    code, text = refused(module_world.here, "kep@hs91.kep.tr", [module_world.ali], octets)
    assert code == 554
    assert "signature or digest" in text


def test_an_unknown_peer(module_world):
    with pytest.raises(smtplib.SMTPSenderRefused) as caught:
        relay(module_world.here, "kep@hs92.kep.tr", [module_world.ali], b"Subject: x\r\n\r\nx\r\n")
    assert caught.value.smtp_code == 550


def test_a_recipient_that_is_not_ours(module_world):
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        relay(module_world.here, "kep@hs91.kep.tr", ["biri@hs02.kep.tr"], b"Subject: x\r\n\r\nx\r\n")


def test_evidence_for_an_unknown_message(module_world, liar):
    case = case_of(module_world.ali, [module_world.veli], b"x", "remmd.yok@hs90.kep.tr")
    order = Order(KepCode.TESLIM, "delil.yalan-3@hs91.kep.tr", datetime.now(UTC), (1,))
    receipt = liar.make(case, order).receipt
    code, text = refused(module_world.here, "kep@hs91.kep.tr", ["kep@hs90.kep.tr"], receipt)
    assert code == 550
    assert "not known here" in text


def test_delivery_claimed_for_a_recipient_of_another_provider(make_world):
    world = make_world()
    mehmet = world.here.account("mehmet", "Mehmet")
    world.here.configure(relay__window=2)
    world.here.start()
    message = compose(world.ali, [mehmet, world.veli], "Üçüncü", "Kimin?\n")
    world.here.send(message, world.ali, [mehmet, world.veli])
    receipts(world.here, world.ali, 2, world.judges)
    shown = world.here.json("message", "show", message["Message-ID"])
    entry = shown["dispatches"][0]
    original = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
    case = case_of(world.ali, [each["address"] for each in entry["recipients"]], original, entry["remmd_id"])
    case = dataclasses.replace(case, digest=hashlib.sha256(original).digest(), ua_message_id=message["Message-ID"])
    liar = Bench(tools_of(load(world.there.folder)))
    ours = next(each["ordinal"] for each in entry["recipients"] if each["address"] == mehmet)
    order = Order(KepCode.OKUNDU, "delil.yalan-4@hs91.kep.tr", datetime.now(UTC), (ours,))
    code, text = refused(world.here, "kep@hs91.kep.tr", ["kep@hs90.kep.tr"], liar.make(case, order).receipt)
    assert code == 554
    assert "only for its own addresses" in text
    # the true state is not touched: the peer is never reached, and says nothing of its own
    found = receipts(world.here, world.ali, 3, world.judges)
    assert found[ACCEPTED] == 1
    assert found[UNREACHED] == 1
