"""51 A peer that fails at each stage of SMTP: what is for now is tried again, what is for good is 31 at once."""

import pytest
from scripted import CLOSE, OFFERS
from story import ACCEPTED, DELIVERED, RELAYED, UNREACHED, keywords, receipts

from kepgw.evidence.codes import KepCode


def fails_once(world, stage, fault, copies, way):
    """A message that meets a fault, comes again, and is answered."""
    peer = world.peer
    recipient = f"{way}-{stage}-{len(fault)}@hs91.kep.tr"
    peer.answer(**{stage: [fault]})
    about = world.send(recipient)
    taken = [peer.next() for _ in range(copies)]
    assert {each.octets for each in taken} == {taken[0].octets}, "what is sent again is the same"
    assert all(each.recipients == (recipient,) for each in taken)
    assert peer.stages.count(stage) > 1 or stage == "within", "the fault was met"
    peer.tell(world.here, taken[0].octets, KepCode.ILETILDI)
    peer.tell(world.here, taken[0].octets, KepCode.TESLIM)
    found = receipts(world.here, world.ali, 3, world.judges, about)
    assert found == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    world.expected[about, recipient] = "delivered"


@pytest.mark.parametrize(
    ("stage", "fault", "copies"),
    [
        ("connect", "421 4.3.2 too many", 1),
        ("connect", CLOSE, 1),
        ("ehlo", "451 4.3.0 later", 1),
        ("ehlo", CLOSE, 1),
        ("starttls", "454 4.7.0 no TLS now", 1),
        ("starttls", CLOSE, 1),
        ("mail", "451 4.3.0 later", 1),
        ("mail", "what?", 1),
        ("rcpt", "450 4.2.0 later", 1),
        ("rcpt", CLOSE, 1),
        ("data", "451 4.3.0 later", 1),
        ("within", "", 1),
        ("end", "451 4.3.0 later", 2),
        ("end", CLOSE, 2),
    ],
)
def test_for_now(half_world, stage, fault, copies):
    fails_once(half_world, stage, fault, copies, "once")


@pytest.mark.parametrize("offered", [["PIPELINING"], ["PIPELINING", "CHUNKING"]], ids=["pipelined", "chunked"])
@pytest.mark.parametrize(
    ("stage", "fault", "copies"),
    [
        ("mail", "451 4.3.0 later", 1),
        ("rcpt", "450 4.2.0 later", 1),
        ("rcpt", CLOSE, 1),
        ("within", "", 1),
        ("end", "451 4.3.0 later", 2),
        ("end", CLOSE, 2),
    ],
)
def test_for_now_in_groups_and_chunks(half_world, offered, stage, fault, copies):
    """As above with commands in one packet, and with BDAT."""
    half_world.peer.offers = [*OFFERS, *offered]
    try:
        fails_once(half_world, stage, fault, copies, "-".join(offered).lower())
    finally:
        half_world.peer.offers = list(OFFERS)


@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        ("mail", "550 5.7.1 not you"),
        ("rcpt", "550 5.1.1 nobody"),
        ("data", "554 5.3.0 no"),
        ("end", "554 5.6.0 not this"),
    ],
)
def test_for_good(half_world, stage, fault):
    world, peer = half_world, half_world.peer
    recipient = f"never-{stage}@hs91.kep.tr"
    peer.answer(**{stage: [fault]})
    about = world.send(recipient)
    assert receipts(world.here, world.ali, 2, world.judges, about) == {ACCEPTED: 1, UNREACHED: 1}
    keywords(world.here, world.ali, about, {"$KepKabul", "$KepTeslimEdilemedi"})
    assert peer.stages.count("mail") == 1, "a 5xx is not asked again"
    if stage == "end":
        peer.next()
    world.expected[about, recipient] = "unreached"


def test_for_now_until_the_window_ends(half_world):
    world, peer = half_world, half_world.peer
    peer.answer(mail=["451 4.3.0 later"] * 50)
    world.windows(window=2)
    try:
        about = world.send("later@hs91.kep.tr")
        assert receipts(world.here, world.ali, 2, world.judges, about) == {ACCEPTED: 1, UNREACHED: 1}
    finally:
        world.windows(window=600)
    world.expected[about, "later@hs91.kep.tr"] = "unreached"


def test_no_tls_no_message(half_world):
    world, peer = half_world, half_world.peer
    peer.answer()
    peer.tls = False
    world.windows(window=2)
    try:
        about = world.send("clear@hs91.kep.tr")
        assert receipts(world.here, world.ali, 2, world.judges, about) == {ACCEPTED: 1, UNREACHED: 1}
    finally:
        peer.tls = True
        world.windows(window=600)
    assert "mail" not in peer.stages, "nothing is said without TLS"
    world.expected[about, "clear@hs91.kep.tr"] = "unreached"


def test_what_the_peer_cannot_carry_is_not_converted(half_world):
    world, peer = half_world, half_world.peer
    peer.answer()
    peer.offers = ["SIZE 200"]
    try:
        about = world.send("small@hs91.kep.tr")
        assert receipts(world.here, world.ali, 2, world.judges, about) == {ACCEPTED: 1, UNREACHED: 1}
        peer.offers = ["SIZE 40000000"]
        message = f"From: {world.ali}\r\nTo: seven@hs91.kep.tr\r\nMessage-ID: <sekiz@ali>\r\n\r\nçağrı\r\n".encode()
        world.here.send(message, world.ali, ["seven@hs91.kep.tr"])
        assert receipts(world.here, world.ali, 2, world.judges, "<sekiz@ali>") == {ACCEPTED: 1, UNREACHED: 1}
    finally:
        peer.offers = list(OFFERS)
    assert "data" not in peer.stages
    world.expected[about, "small@hs91.kep.tr"] = world.expected["<sekiz@ali>", "seven@hs91.kep.tr"] = "unreached"


def test_recipients_of_one_dispatch_part(half_world):
    """One refused for good, one for now, one taken: each goes its own way and none twice."""
    world, peer = half_world, half_world.peer
    gone, later, there = (f"{each}@hs91.kep.tr" for each in ("gone", "waits", "there"))
    peer.answer(rcpt=["550 5.1.1 nobody", "450 4.2.0 later", "250 2.1.5 ok"])
    about = world.send(gone, later, there)
    first, second = peer.next(), peer.next()
    assert (first.recipients, second.recipients) == ((there,), (later,))
    assert first.octets == second.octets
    peer.tell(world.here, first.octets, KepCode.ILETILDI, "there", "waits")
    peer.tell(world.here, first.octets, KepCode.TESLIM, "there", "waits")
    found = receipts(world.here, world.ali, 6, world.judges, about)
    assert found == {ACCEPTED: 1, UNREACHED: 1, RELAYED: 2, DELIVERED: 2}
    world.expected |= {(about, gone): "unreached", (about, later): "delivered", (about, there): "delivered"}
