"""01 A plain message between two providers, read, with every evidence of the way."""

from laboratory import compose
from story import ACCEPTED, DELIVERED, READ, RELAYED, keywords, receipts


def test_plain(world):
    message = compose(world.ali, [world.veli], "Düz ileti", "Merhaba.\n")
    assert world.here.send(message, world.ali, [world.veli]) == {}
    with world.there.imap(world.veli) as reader:
        (uid,) = reader.wait_for("INBOX", 1)
        octets = reader.fetch(uid)
        world.judges.message(octets)
        about = message["Message-ID"]
        assert message.as_bytes(policy=message.policy.clone(linesep="\r\n")) in octets
        found = receipts(world.here, world.ali, 3, world.judges, about)
        assert found == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}, "a fetch with PEEK is not reading"
        keywords(world.here, world.ali, about, {"$KepKabul", "$KepIletildi", "$KepTeslim"})
        reader.fetch(uid, peek=False)
        reader.fetch(uid, peek=False)
    found = receipts(world.here, world.ali, 4, world.judges, about)
    assert found == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1, READ: 1}
    keywords(world.here, world.ali, about, {"$KepKabul", "$KepIletildi", "$KepTeslim", "$KepOkundu"})
    shown = world.here.json("message", "show", about)
    assert shown, "the command line knows the message by its Message-ID"
    assert world.witness() == {(about, world.veli): "read"}
    assert world.here.stop() == 0
    assert world.there.stop() == 0


def test_local_message_has_no_relay_evidence(world):
    mehmet = world.here.account("mehmet", "Mehmet")
    message = compose(world.ali, [mehmet], "Yerel", "Aynı sağlayıcıda.\n")
    world.here.send(message, world.ali, [mehmet])
    assert receipts(world.here, world.ali, 2, world.judges) == {ACCEPTED: 1, DELIVERED: 1}
    keywords(world.here, world.ali, message["Message-ID"], {"$KepKabul", "$KepTeslim"})
