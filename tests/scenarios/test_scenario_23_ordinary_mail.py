"""23 Ordinary mail (SEP) neither enters nor leaves: no setting opens a way."""

import smtplib

import pytest
from laboratory import compose
from test_scenario_07_duplicate import relay

ORDINARY = b"From: biri@example.com\r\nTo: x\r\nSubject: merhaba\r\nMessage-ID: <1@example.com>\r\n\r\nmerhaba\r\n"


def test_it_does_not_leave(module_world):
    world = module_world
    message = compose(world.ali, ["biri@example.com"], "Dışarı", "Merhaba.\n")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        world.here.send(message, world.ali, ["biri@example.com"])
    assert caught.value.recipients["biri@example.com"][0] == 550
    # beside a KEP address: that one is served, the other is refused and evidence 11 names it
    message = compose(world.ali, [world.veli, "biri@example.com"], "Biri KEP", "Merhaba.\n")
    assert set(world.here.send(message, world.ali, [world.veli, "biri@example.com"])) == {"biri@example.com"}
    shown = world.here.json("message", "show", message["Message-ID"])
    assert sorted(recipient["address"] for each in shown["dispatches"] for recipient in each["recipients"]) == sorted(
        ["biri@example.com", world.veli]
    )


def test_it_does_not_enter(module_world):
    world = module_world
    with pytest.raises(smtplib.SMTPSenderRefused) as caught:
        relay(world.here, "biri@example.com", [world.ali], ORDINARY)
    assert caught.value.smtp_code == 550
    # in a peer's name, from a peer's machine even: what is no REM message is refused
    with pytest.raises(smtplib.SMTPDataError) as caught:
        relay(world.here, "kep@hs91.kep.tr", [world.ali], ORDINARY)
    assert caught.value.smtp_code == 554
    # nothing of it is in any mailbox
    with world.here.imap(world.ali) as reader:
        reader.select("INBOX")
        assert reader.uids() == []
