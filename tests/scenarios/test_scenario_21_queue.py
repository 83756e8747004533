"""21 An administrator holds a peer back, releases it, gives a dispatch up, removes the peer: each with its proof."""

import pytest
from laboratory import compose, evidences
from story import ACCEPTED, DELIVERED, RELAYED, UNREACHED, keywords, receipts


def send(world, subject):
    message = compose(world.ali, [world.veli], subject, "Merhaba.\n")
    world.here.send(message, world.ali, [world.veli])
    assert receipts(world.here, world.ali, 1, world.judges, message["Message-ID"]) == {ACCEPTED: 1}
    return message["Message-ID"]


def relays(world):
    return [each for each in world.here.json("queue", "list") if each["kind"] == "relay"]


def detail_of_31(world, about):
    with world.here.imap(world.ali) as reader:
        for uid in reader.wait_for("Deliller", 2, "HEADER", "In-Reply-To", about):
            for _, xml in evidences(reader.fetch(uid)):
                if b"RelayREMMDFailure" in xml:
                    return xml.decode()
    raise AssertionError("no evidence 31")


def test_held_released_dropped_removed(world):
    here = world.here
    here.cli("queue", "hold", "--peer", "hs91.kep.tr", "--reason", "Bakım")
    first, second = send(world, "Bir"), send(world, "İki")
    waiting = relays(world)
    assert len(waiting) == 2
    # given up: evidence 31 at once, although the peer is there
    number = {here.json("message", "show", each["message"])["message_id"]: each for each in waiting}
    here.cli("queue", "drop", str(number[first]["task"]), "--reason", "Yanlış alıcı")
    assert receipts(here, world.ali, 2, world.judges, first) == {ACCEPTED: 1, UNREACHED: 1}
    assert "Yanlış alıcı" in detail_of_31(world, first)
    keywords(here, world.ali, first, {"$KepKabul", "$KepTeslimEdilemedi"})
    assert [each["task"] for each in relays(world)] == [number[second]["task"]]
    # released: it goes
    here.cli("queue", "release", "--peer", "hs91.kep.tr")
    assert receipts(here, world.ali, 3, world.judges, second) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    # the peer is removed while something waits for it
    here.cli("queue", "hold", "--peer", "hs91.kep.tr", "--reason", "Bakım")
    third = send(world, "Üç")
    here.cli("peer", "remove", "hs91.kep.tr")
    assert receipts(here, world.ali, 2, world.judges, third) == {ACCEPTED: 1, UNREACHED: 1}
    assert "R_REMMD_NotIdenified" in detail_of_31(world, third)
    with pytest.raises(RuntimeError):
        here.cli("queue", "hold", "1", "--reason", "yok")
    with pytest.raises(RuntimeError):
        here.cli("queue", "hold", "--reason", "neyi")
    with world.there.imap(world.veli) as reader:
        assert len(reader.wait_for("INBOX", 1)) == 1
