"""08 Killed between the 250 and the evidence, then started again: nothing lost, nothing twice."""

from laboratory import compose, free_base
from story import ACCEPTED, DELIVERED, RELAYED, receipts


def test_killed_between_250_and_issue(make_world):
    world = make_world()
    settings = (world.here.folder / "kepgw.toml").read_text("utf-8")
    # a time-stamp authority that does not answer holds every message exactly between the 250 and evidence 10
    world.here.configure(tsa__kind="http", tsa__url=f"http://127.0.0.1:{free_base() + 7}/", tsa__timeout=1.0)
    world.start()
    messages = [compose(world.ali, [world.veli], f"İleti {number}", "Dayanıklı.\n") for number in range(5)]
    for message in messages:
        assert world.here.send(message, world.ali, [world.veli]) == {}
    waiting = [task for task in world.here.json("queue", "list") if task["kind"] == "issue"]
    assert len(waiting) == 5
    shown = world.here.json("message", "show", messages[0]["Message-ID"])
    world.here.kill()
    (world.here.folder / "kepgw.toml").write_text(settings, "utf-8")
    world.here.start()
    world.here.cli("queue", "retry")
    found = receipts(world.here, world.ali, 15, world.judges)
    assert found == {ACCEPTED: 5, RELAYED: 5, DELIVERED: 5}
    again = world.here.json("message", "show", messages[0]["Message-ID"])
    assert shown["t0"] == again["t0"], "T0 was fixed by the commit before the 250"
    with world.there.imap(world.veli) as reader:
        assert len(reader.wait_for("INBOX", 5)) == 5


def test_killed_in_the_middle_of_a_stream(make_world):
    world = make_world().start()
    sent = []
    for number in range(24):
        message = compose(world.ali, [world.veli], f"Akış {number}", "Sürüyor.\n")
        world.here.send(message, world.ali, [world.veli])
        sent.append(message["Message-ID"])
        if number % 8 == 7:  # with work in every stage of the way
            world.here.kill()
            world.there.kill()
            world.start()
    world.here.cli("queue", "retry")
    world.there.cli("queue", "retry")
    assert receipts(world.here, world.ali, 72, world.judges) == {ACCEPTED: 24, RELAYED: 24, DELIVERED: 24}
    with world.there.imap(world.veli) as reader:
        assert len(reader.wait_for("INBOX", 24)) == 24
        assert all(len(reader.uids("HEADER", "References", each)) == 1 for each in sent)
    numbers = [row["seq"] for each in sent for row in world.here.json("evidence", "list", "--message", each)]
    assert sorted(numbers) == list(range(1, 73)), "the evidence sequence has no gap"
