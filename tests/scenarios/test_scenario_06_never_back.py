"""06 The peer never comes back: evidence 31 at the end of the window, and a late proof still counts."""

from laboratory import compose
from story import ACCEPTED, DELIVERED, NOT_READ, READ, RELAYED, UNREACHED, keywords, receipts


def test_peer_never_back(make_world):
    world = make_world()
    world.here.configure(relay__window=2)
    world.here.start()
    message = compose(world.ali, [world.veli], "Ulaşmayan", "Boşuna.\n")
    world.here.send(message, world.ali, [world.veli])
    assert receipts(world.here, world.ali, 2, world.judges) == {ACCEPTED: 1, UNREACHED: 1}
    keywords(world.here, world.ali, message["Message-ID"], {"$KepKabul", "$KepTeslimEdilemedi"})
    assert world.here.json("queue", "list") == [], "after 31 the transaction has ended"


def test_not_read_in_time_is_a_switch(make_world):
    world = make_world()
    world.there.configure(mailbox__retrieval_expiration=True, mailbox__retrieval_expiration_after=1)
    world.start()
    message = compose(world.ali, [world.veli], "Okunmayan", "Geç kaldı.\n")
    world.here.send(message, world.ali, [world.veli])
    wanted = {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1, NOT_READ: 1}
    assert receipts(world.here, world.ali, 4, world.judges) == wanted
    keywords(world.here, world.ali, message["Message-ID"], {"$KepKabul", "$KepIletildi", "$KepTeslim"})
    with world.there.imap(world.veli) as reader:
        (uid,) = reader.wait_for("INBOX", 1)
        reader.fetch(uid, peek=False)
    assert receipts(world.here, world.ali, 5, world.judges) == wanted | {READ: 1}, "it can still be read"
