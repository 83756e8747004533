"""04 What is refused, is refused with a reason, a proof, and without a trace in anybody's mailbox."""

import smtplib

import pytest
from laboratory import compose
from story import ACCEPTED, DELIVERED, REJECTED, keywords, receipts


def refused_at_rcpt(world, address):
    with world.here.smtp(world.ali) as client:
        client.mail(world.ali)
        return client.rcpt(address)


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("yok@hs90.kep.tr", 550, b"5.1.1"),
        ("biri@hs04.kep.tr", 550, b"ended"),
        ("biri@hs77.kep.tr", 550, b"not known"),
        ("biri@hs02.kep.tr", 550, b"no connection"),
        ("biri@example.com", 550, b"not a KEP address"),
    ],
)
def test_recipients(module_world, address, code, words):
    reply, text = refused_at_rcpt(module_world, address)
    assert reply == code
    assert words in text
    assert address.encode() in text


def test_sender_is_the_account(module_world):
    with module_world.here.smtp(module_world.ali) as client:
        code, text = client.mail("baskasi@hs90.kep.tr")
    assert (code, text[:5]) == (553, b"5.7.1")


def test_a_message_refused_whole_is_kept_with_evidence_11(module_world):
    world = module_world
    message = compose("baskasi@hs90.kep.tr", [world.veli], "Sahte", "Ben o değilim.\n")
    with pytest.raises(smtplib.SMTPDataError) as caught:
        world.here.send(message, world.ali, [world.veli])
    assert caught.value.smtp_code == 550
    about = message["Message-ID"]
    assert receipts(world.here, world.ali, 1, world.judges, about) == {REJECTED: 1}
    keywords(world.here, world.ali, about, {"$KepRed"})


def test_a_bcc_header_is_refused(module_world):
    world = module_world
    message = compose(world.ali, [world.veli], "Bcc", "Gizli.\n").as_bytes().replace(b"\n", b"\r\n")
    octets = b"Bcc: gizli@hs91.kep.tr\r\n" + message
    with world.here.smtp(world.ali) as client, pytest.raises(smtplib.SMTPDataError) as caught:
        client.sendmail(world.ali, [world.veli], octets)
    assert (caught.value.smtp_code, caught.value.smtp_error[:5]) == (554, b"5.6.0")


def test_refused_recipients_are_named_in_one_evidence_11(module_world):
    world = module_world
    mehmet = world.here.account("mehmet2", "Mehmet")
    message = compose(world.ali, [mehmet, "yok1@hs90.kep.tr", "yok2@hs90.kep.tr"], "Kısmen", "Biri var.\n")
    refused = world.here.send(message, world.ali, [mehmet, "yok1@hs90.kep.tr", "yok2@hs90.kep.tr"])
    assert sorted(refused) == ["yok1@hs90.kep.tr", "yok2@hs90.kep.tr"]
    about = message["Message-ID"]
    assert receipts(world.here, world.ali, 3, world.judges, about) == {ACCEPTED: 1, REJECTED: 1, DELIVERED: 1}


def test_a_retry_of_the_client_makes_nothing_new(module_world):
    world = module_world
    zeynep = world.here.account("zeynep", "Zeynep")
    message = compose(world.ali, [zeynep], "Yinelenen", "Bir kez.\n")
    world.here.send(message, world.ali, [zeynep])
    world.here.send(message, world.ali, [zeynep])
    about = message["Message-ID"]
    assert receipts(world.here, world.ali, 2, world.judges, about) == {ACCEPTED: 1, DELIVERED: 1}
    with world.here.imap(zeynep) as reader:
        assert len(reader.wait_for("INBOX", 1)) == 1
    message.set_content("Başka içerik.\n")
    with pytest.raises(smtplib.SMTPDataError) as caught:
        world.here.send(message, world.ali, [zeynep])
    assert caught.value.smtp_code == 550
