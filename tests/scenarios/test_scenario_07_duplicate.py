"""07 A dispatch that is relayed twice is delivered once and answered once; so is a receipt."""

import smtplib

from laboratory import blind, compose
from story import ACCEPTED, DELIVERED, RELAYED, receipts


def relay(node, sender, recipients, octets):
    """Speak to a provider's relay port as a peer does."""
    with smtplib.SMTP("127.0.0.1", node.base + 25, timeout=30) as client:
        client.starttls(context=blind())
        return client.sendmail(sender, recipients, octets, mail_options=["BODY=8BITMIME"])


def without_trace(octets):
    """The message as the peer sent it: without the Received line of the receiving provider."""
    assert octets.startswith(b"Received:")
    end = octets.index(b"\r\nMessage-ID:") + 2
    return octets[end:]


def test_duplicate_relay(world):
    message = compose(world.ali, [world.veli], "İki kez", "Bir kez teslim.\n")
    world.here.send(message, world.ali, [world.veli])
    assert receipts(world.here, world.ali, 3, world.judges) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    with world.there.imap(world.veli) as reader:
        (uid,) = reader.wait_for("INBOX", 1)
        dispatch = without_trace(reader.fetch(uid))
    with world.here.imap(world.ali) as reader:
        mails = reader.all("Deliller")
    answers = [without_trace(each) for each in mails if each.startswith(b"Received:")]
    assert len(answers) == 2
    for _ in range(2):
        assert relay(world.there, "kep@hs90.kep.tr", [world.veli], dispatch) == {}, "the second time is a 250 too"
        for answer in answers:
            assert relay(world.here, "kep@hs91.kep.tr", ["kep@hs90.kep.tr"], answer) == {}
    # what follows a further, new message shows that nothing of the repetitions is still under way
    after = compose(world.ali, [world.veli], "Sonra", "Sırada.\n")
    world.here.send(after, world.ali, [world.veli])
    found = receipts(world.here, world.ali, 3, world.judges, after["Message-ID"])
    assert found == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    with world.there.imap(world.veli) as reader:
        assert len(reader.wait_for("INBOX", 2)) == 2
    with world.here.imap(world.ali) as reader:
        assert len(reader.wait_for("Deliller", 6)) == 6
