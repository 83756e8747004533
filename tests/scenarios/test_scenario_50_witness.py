"""50 The witness itself: it accepts what is right, and sees each single thing that is wrong."""

import dataclasses

import pytest
from laboratory import compose
from witness import Witness


@pytest.fixture(scope="module")
def seen(module_world):
    """What lies in the mailboxes after one message to two providers, a blind recipient and one who does not exist."""
    world = module_world
    mehmet, gizli = world.here.account("mehmet", "Mehmet"), world.there.account("gizli", "Gizli")
    message = compose(world.ali, [world.veli, mehmet], "Tanık", "Merhaba.\n")
    named = [world.veli, mehmet, gizli, "yok@hs91.kep.tr", "yok@hs90.kep.tr"]
    assert set(world.here.send(message, world.ali, named)) == {"yok@hs90.kep.tr"}
    states = world.witness()
    about = message["Message-ID"]
    assert states == {
        (about, world.veli): "delivered",
        (about, mehmet): "delivered",
        (about, gizli): "delivered",
        (about, "yok@hs91.kep.tr"): "refused",
    }
    return world, Witness(world.nodes).boxes()


def of(boxes, address):
    return next(each for each in boxes if each.address == address)


def one(box, code, recipient=""):
    return next(each for each in box.receipts if each.code == code and recipient in each.addresses()[0])


def lose_20(boxes):
    box = of(boxes, "ali@hs90.kep.tr")
    box.receipts.remove(one(box, 20))


def lose_11(boxes):
    box = of(boxes, "ali@hs90.kep.tr")
    box.receipts.remove(one(box, 11))


def twice(boxes):
    box = of(boxes, "ali@hs90.kep.tr")
    box.receipts.append(one(box, 40))


def another_40(boxes):
    box = of(boxes, "ali@hs90.kep.tr")
    box.receipts.append(dataclasses.replace(one(box, 40), identifier="delil.2@hs91.kep.tr"))


def contradiction(boxes):
    box = of(boxes, "ali@hs90.kep.tr")
    box.receipts.append(dataclasses.replace(one(box, 40, "veli"), code=21, identifier="delil.3@hs91.kep.tr"))


def another_digest(boxes):
    box = of(boxes, "ali@hs90.kep.tr")
    place = box.receipts.index(one(box, 40, "veli"))
    box.receipts[place] = dataclasses.replace(box.receipts[place], digest="AAAA")


def another_issuer(boxes):
    box = of(boxes, "ali@hs90.kep.tr")
    place = box.receipts.index(one(box, 40, "veli"))
    box.receipts[place] = dataclasses.replace(box.receipts[place], issuer="hs90.kep.tr")


def of_nobody(boxes):
    box = of(boxes, "ali@hs90.kep.tr")
    box.receipts.append(dataclasses.replace(one(box, 10), ua="<baska@x>", identifier="delil.4@hs90.kep.tr"))


def second_copy(boxes):
    box = of(boxes, "veli@hs91.kep.tr")
    box.inbox.append(box.inbox[0])


def no_copy(boxes):
    of(boxes, "veli@hs91.kep.tr").inbox.clear()


def copy_of_the_blind(boxes):
    of(boxes, "veli@hs91.kep.tr").inbox.append(of(boxes, "gizli@hs91.kep.tr").inbox[0])


def keyword(boxes):
    box = of(boxes, "ali@hs90.kep.tr")
    box.sent[0] = dataclasses.replace(box.sent[0], flags=box.sent[0].flags - {"$KepTeslimEdilemedi"})


def more_keyword(boxes):
    box = of(boxes, "ali@hs90.kep.tr")
    box.sent[0] = dataclasses.replace(box.sent[0], flags=box.sent[0].flags | {"$KepTeslim"})


def nothing_sent(boxes):
    box = of(boxes, "ali@hs90.kep.tr")
    box.sent.clear()
    box.receipts.clear()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lose_20, "20 is in the ledger, not in Deliller"),
        (lose_11, "was refused without evidence 11"),
        (twice, "more than once"),
        (another_40, "40 is in Deliller, not in the ledger"),
        (contradiction, "is no state"),
        (another_digest, "names"),
        (another_issuer, "by hs90.kep.tr"),
        (of_nobody, "for no sent message"),
        (second_copy, "more than once"),
        (no_copy, "has 0 copies"),
        (copy_of_the_blind, "a dispatch for"),
        (keyword, "keywords"),
        (more_keyword, "keywords"),
        (nothing_sent, "taken by a 250 and is not there"),
    ],
)
def test_one_thing_wrong(seen, spoil, words):
    world, boxes = seen
    spoilt = [
        dataclasses.replace(
            each,
            sent=list(each.sent),
            receipts=list(each.receipts),
            inbox=list(each.inbox),
        )
        for each in boxes
    ]
    Witness(world.nodes).hold(spoilt)
    spoil(spoilt)
    with pytest.raises(AssertionError) as caught:
        Witness(world.nodes).hold(spoilt)
    assert words in str(caught.value)


def test_an_end_that_has_not_come(seen):
    world, boxes = seen
    with pytest.raises(AssertionError) as caught:
        Witness(world.nodes, waiting={world.veli}).hold(boxes)
    assert "veli@hs91.kep.tr is delivered" in str(caught.value)
    with pytest.raises(AssertionError) as caught:
        Witness(world.nodes, beside={world.veli: {40}}).hold(boxes)
    assert "veli@hs91.kep.tr is answered" in str(caught.value)
