"""05 The peer is down and comes back: the message waits, visible, and arrives."""

from laboratory import compose
from story import ACCEPTED, DELIVERED, RELAYED, receipts


def test_peer_down_then_back(make_world):
    world = make_world()
    world.here.start()
    message = compose(world.ali, [world.veli], "Bekleyen", "Gelince alırsın.\n")
    world.here.send(message, world.ali, [world.veli])
    assert receipts(world.here, world.ali, 1, world.judges) == {ACCEPTED: 1}
    waiting = [task for task in world.here.json("queue", "list") if task["kind"] == "relay"]
    assert len(waiting) == 1, "the queue shows what waits"
    assert world.here.stop() == 0, "a stop with work in the queue is clean"
    world.here.start()
    world.there.start()
    world.here.cli("queue", "retry")
    assert receipts(world.here, world.ali, 3, world.judges) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    with world.there.imap(world.veli) as reader:
        assert len(reader.wait_for("INBOX", 1)) == 1
