"""06 The peer never comes back: evidence 31 at the end of the window, and a late proof still counts."""

from laboratory import compose
from story import ACCEPTED, UNREACHED, keywords, receipts


def test_peer_never_back(make_world):
    world = make_world()
    world.here.configure(relay__window=2)
    world.here.start()
    message = compose(world.ali, [world.veli], "Ulaşmayan", "Boşuna.\n")
    world.here.send(message, world.ali, [world.veli])
    assert receipts(world.here, world.ali, 2, world.judges) == {ACCEPTED: 1, UNREACHED: 1}
    keywords(world.here, world.ali, message["Message-ID"], {"$KepKabul", "$KepTeslimEdilemedi"})
    assert world.here.json("queue", "list") == [], "after 31 the transaction has ended"
