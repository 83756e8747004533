"""52 Evidence that comes early, late, twice, in another order, wrong or again: each recipient still has one state."""

import dataclasses
from collections import Counter
from datetime import UTC, datetime, timedelta

from story import ACCEPTED, DELIVERED, READ, RELAYED, UNREACHED, keywords, receipts

from kepgw.evidence.codes import KepCode, Reason

NOT_DELIVERED = "DeliveryNonDeliveryToRecipient/DeliveryExpiration"


def sent(world, local):
    """A message that the peer has taken and not answered."""
    world.peer.answer()
    about = world.send(f"{local}@hs91.kep.tr")
    return about, world.peer.next().octets


def expect(world, about, local, state, *events):
    counted = Counter((ACCEPTED, *events))
    assert receipts(world.here, world.ali, counted.total(), world.judges, about) == counted
    world.expected[about, f"{local}@hs91.kep.tr"] = state


def test_before_the_peers_own_250(half_world):
    world, peer = half_world, half_world.peer
    peer.answer(end="wait")
    peer.go_on.clear()
    about = world.send("early@hs91.kep.tr")
    dispatch = peer.next().octets
    peer.tell(world.here, dispatch, KepCode.ILETILDI)
    peer.tell(world.here, dispatch, KepCode.TESLIM)
    expect(world, about, "early", "delivered", RELAYED, DELIVERED)
    peer.go_on.set()


def test_backwards(half_world):
    world, peer = half_world, half_world.peer
    about, dispatch = sent(world, "backwards")
    for code in (KepCode.OKUNDU, KepCode.TESLIM, KepCode.ILETILDI):
        peer.tell(world.here, dispatch, code)
    expect(world, about, "backwards", "read", RELAYED, DELIVERED, READ)
    keywords(world.here, world.ali, about, {"$KepKabul", "$KepIletildi", "$KepTeslim", "$KepOkundu"})


def test_twice_the_same_and_once_more_in_other_words(half_world):
    world, peer = half_world, half_world.peer
    about, dispatch = sent(world, "twice")
    case = peer.case(dispatch)
    peer.tell(world.here, dispatch, KepCode.ILETILDI)
    receipt = peer.receipt(case, KepCode.TESLIM, (1,))
    assert [peer.say(world.here, receipt)[0] for _ in range(3)] == [250] * 3
    expect(world, about, "twice", "delivered", RELAYED, DELIVERED)
    # another evidence of the same event is another word of the peer: kept, and nothing follows from it
    about, dispatch = sent(world, "again")
    for code in (KepCode.ILETILDI, KepCode.TESLIM, KepCode.TESLIM):
        peer.tell(world.here, dispatch, code)
    expect(world, about, "again", "delivered", RELAYED, DELIVERED, DELIVERED)
    world.told.setdefault("beside", {})["again@hs91.kep.tr"] = {40: 1}


def test_against_its_own_word(half_world):
    world, peer = half_world, half_world.peer
    about, dispatch = sent(world, "against")
    peer.tell(world.here, dispatch, KepCode.ILETILDI)
    peer.tell(world.here, dispatch, KepCode.TESLIM)
    peer.tell(world.here, dispatch, KepCode.TESLIM_EDILEMEDI, reason=Reason.MAILBOX_FULL)
    expect(world, about, "against", "delivered", RELAYED, DELIVERED, NOT_DELIVERED)
    world.told.setdefault("beside", {})["against@hs91.kep.tr"] = {41: 1}


def test_after_the_answer_window(half_world):
    world, peer = half_world, half_world.peer
    world.windows(answer_window=1)
    try:
        about, dispatch = sent(world, "late")
        assert receipts(world.here, world.ali, 2, world.judges, about) == {ACCEPTED: 1, UNREACHED: 1}
    finally:
        world.windows(answer_window=600)
    keywords(world.here, world.ali, about, {"$KepKabul", "$KepTeslimEdilemedi"})
    peer.tell(world.here, dispatch, KepCode.ILETILDI)
    peer.tell(world.here, dispatch, KepCode.TESLIM)
    expect(world, about, "late", "delivered-late", UNREACHED, RELAYED, DELIVERED)


def test_after_the_delivery_window(half_world):
    world, peer = half_world, half_world.peer
    about, dispatch = sent(world, "unproved")
    world.windows(delivery_window=1)
    try:
        peer.tell(world.here, dispatch, KepCode.ILETILDI)
        expect(world, about, "unproved", "unproved", RELAYED, NOT_DELIVERED)
        about, dispatch = sent(world, "proved")
        peer.tell(world.here, dispatch, KepCode.ILETILDI)
        expect(world, about, "proved", "unproved", RELAYED, NOT_DELIVERED)
    finally:
        world.windows(delivery_window=600)
    peer.tell(world.here, dispatch, KepCode.TESLIM)
    expect(world, about, "proved", "delivered-late", RELAYED, NOT_DELIVERED, DELIVERED)


def test_wrong_in_one_thing(half_world):
    """Digest, sender, order of recipients, clock, identifier: refused, and the true one is still taken."""
    world, peer = half_world, half_world.peer
    about, dispatch = sent(world, "wrong")
    case = peer.case(dispatch)
    now = datetime.now(UTC)
    peer.tell(world.here, dispatch, KepCode.ILETILDI)
    for wrong in (
        dataclasses.replace(case, digest=bytes(32)),
        dataclasses.replace(case, sender=dataclasses.replace(case.sender, address="baska@hs90.kep.tr")),
        dataclasses.replace(case, recipients=(dataclasses.replace(case.recipients[0], address="x@hs91.kep.tr"),)),
        dataclasses.replace(case, remmd_id="remmd.hic@hs90.kep.tr"),
    ):
        code, text = peer.say(world.here, peer.receipt(wrong, KepCode.TESLIM, (1,)))
        assert (code, text[:2]) in {(554, "5."), (550, "5.")}, text
    for at in (now + timedelta(days=2), datetime(2001, 1, 1, tzinfo=UTC)):
        code, text = peer.say(world.here, peer.receipt(case, KepCode.TESLIM, (1,), at=at))
        assert (code, text[:5]) == (554, "5.7.7"), text
    # a clock that is wrong by minutes is a clock of this world
    assert peer.say(world.here, peer.receipt(case, KepCode.TESLIM, (1,), at=now + timedelta(minutes=10)))[0] == 250
    expect(world, about, "wrong", "delivered", RELAYED, DELIVERED)


def test_played_again_for_another_message(half_world):
    world, peer = half_world, half_world.peer
    about, dispatch = sent(world, "first")
    taken = peer.receipt(peer.case(dispatch), KepCode.ILETILDI, (1,))
    delivered = peer.receipt(peer.case(dispatch), KepCode.TESLIM, (1,))
    assert [peer.say(world.here, each)[0] for each in (taken, delivered)] == [250, 250]
    expect(world, about, "first", "delivered", RELAYED, DELIVERED)
    world.windows(answer_window=2)
    try:
        second, _ = sent(world, "second")
        for each in (taken, delivered):
            assert peer.say(world.here, each)[0] == 250
            forged = each.replace(about.encode(), second.encode(), 2)  # In-Reply-To and References, which nothing signs
            assert peer.say(world.here, forged)[0] in {250, 554}
        assert receipts(world.here, world.ali, 2, world.judges, second) == {ACCEPTED: 1, UNREACHED: 1}
    finally:
        world.windows(answer_window=600)
    world.expected[second, "second@hs91.kep.tr"] = "unreached"


def test_without_having_the_dispatch(half_world):
    """A peer that never took the message cannot name it; one that refused it may still say so by evidence."""
    world, peer = half_world, half_world.peer
    peer.answer(end="554 5.6.0 no")
    about = world.send("without@hs91.kep.tr")
    dispatch = peer.next().octets
    assert receipts(world.here, world.ali, 2, world.judges, about) == {ACCEPTED: 1, UNREACHED: 1}
    peer.tell(world.here, dispatch, KepCode.ILETILMEDI, reason=Reason.POLICY_VIOLATION)
    found = receipts(world.here, world.ali, 3, world.judges, about)
    assert found[ACCEPTED] == found[UNREACHED] == 1
    world.expected[about, "without@hs91.kep.tr"] = "refused"
