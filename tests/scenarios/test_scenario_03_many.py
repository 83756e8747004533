"""03 Many recipients over both providers, one unknown at the peer, one blind."""

from laboratory import compose, evidences
from story import ACCEPTED, DELIVERED, NOT_RELAYED, RELAYED, keywords, receipts


def test_many_recipients_and_a_blind_one(world):
    here = [world.here.account(f"memur{number}", f"Memur {number}") for number in range(3)]
    there = [world.there.account(f"uye{number}@dernek.hs91.kep.tr", f"Üye {number}") for number in range(4)]
    blind = world.there.account("gizli", "Gizli Alıcı")
    unknown = "yok@hs91.kep.tr"
    message = compose(world.ali, [*here, unknown], "Çok alıcılı", "Herkese.\n", cc=there)
    world.here.send(message, world.ali, [*here, *there, unknown, blind])
    found = receipts(world.here, world.ali, 2 + 5 + 1 + 8, world.judges)
    assert found == {ACCEPTED: 2, RELAYED: 5, NOT_RELAYED: 1, DELIVERED: 8}
    keywords(world.here, world.ali, message["Message-ID"], {"$KepKabul", "$KepIletildi", "$KepTeslimEdilemedi"})
    with world.there.imap(there[0]) as reader:
        (uid,) = reader.wait_for("INBOX", 1)
        seen = reader.fetch(uid)
    world.judges.message(seen)
    assert blind.encode() not in seen
    assert blind.encode() not in evidences(seen)[0][1], "nobody sees a blind recipient"
    with world.there.imap(blind) as reader:
        (uid,) = reader.wait_for("INBOX", 1)
        own = reader.fetch(uid)
    world.judges.message(own)
    assert blind.encode() in evidences(own)[0][1]
    assert there[0].encode() not in evidences(own)[0][1], "a transaction of its own"


def test_one_peer_gets_one_dispatch_for_all_of_its_recipients(world):
    there = [world.there.account(f"uye{number}", f"Üye {number}") for number in range(3)]
    message = compose(world.ali, there, "Toplu", "Üçünüze.\n")
    world.here.send(message, world.ali, there)
    # all alike: one 20 for the three
    assert receipts(world.here, world.ali, 5, world.judges) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 3}
