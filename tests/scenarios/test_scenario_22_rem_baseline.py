"""22 The REM baseline of EN 319 532-4 between two providers, both ways, and beside tr-kep in one message.

What a profile changes is on the wire and in the evidence; states and keywords are the same for the sender.
"""

import email
import re
from collections import Counter
from pathlib import Path

import pytest
from laboratory import Judges, Node, compose, event_of, evidences, kepgw
from lxml import etree
from story import (
    ACCEPTED,
    DELIVERED,
    READ,
    RELAYED,
    REM_ACCEPTED,
    REM_DELIVERED,
    REM_NOT_RELAYED,
    REM_READ,
    REM_RELAYED,
    REM_UNREACHED,
    keywords,
    receipts,
)

XSD = Path(__file__).parents[2].parent / "shared" / "xsd" / "en319532" / "EVIDENCE19352v117-202201.xsd"
REM = "{http://uri.etsi.org/19532/v1#}"


@pytest.fixture
def rem_world(make_world):
    """Two providers whose cards ask for the baseline first."""
    world = make_world()
    for node, other in ((world.here, world.there), (world.there, world.here)):
        node.configure(profiles__takes=["rem-baseline", "tr-kep"], relay__window=3)
        other.peer_with(node)
    return world


@pytest.fixture(scope="session")
def extensions():
    """The published schema of the extensions; that of the evidence itself is not to be had."""
    if not XSD.exists():
        pytest.skip("the published schemas (../shared/xsd) are not beside the checkout")
    tree = etree.parse(XSD)
    for each in tree.findall("{http://www.w3.org/2001/XMLSchema}import"):  # not to be had, and not of the extensions
        each.getparent().remove(each)
    return etree.XMLSchema(tree)


def hold(xml, schema):
    """Each extension of EN 319 532-4 in an evidence is valid by its schema."""
    found = [each for each in etree.fromstring(xml).iter() if str(each.tag).startswith(REM)]
    judged = [each for each in found if not str(each.getparent().tag).startswith(REM)]
    assert judged
    for each in judged:
        schema.assertValid(etree.fromstring(etree.tostring(each, with_tail=False)))


def form_of(octets, dispatch):
    """The original as the dispatch must have it (EN 319 532-4 C.22), by the header of the dispatch."""
    outer = email.message_from_bytes(dispatch)
    (own,) = re.findall(rb"(?m)^Message-ID: (.*)\r$", octets)
    new = b"Message-ID: %b\r\nREM-UAMessageIdentifier: %b\r" % (outer["Message-ID"].encode(), own)
    return octets.replace(b"Message-ID: " + own + b"\r", new)


def both_ways(world):
    return ((world.here, world.ali, world.there, world.veli), (world.there, world.veli, world.here, world.ali))


def test_both_ways(rem_world, extensions):
    world = rem_world
    world.start()
    for from_, sender, to, recipient in both_ways(world):
        message = compose(sender, [recipient], "Temel profil", "Merhaba, çağrı.\n")
        octets = message.as_bytes(policy=message.policy.clone(linesep="\r\n", cte_type="8bit"))
        from_.send(octets, sender, [recipient])
        about = message["Message-ID"]
        with to.imap(recipient) as reader:
            (uid,) = reader.wait_for("INBOX", 1, "HEADER", "REM-UAMessageIdentifier", about)
            dispatch = reader.fetch(uid)
            world.judges.message(dispatch)
            assert form_of(octets, dispatch) in dispatch
            (name, xml) = evidences(dispatch)[0]
            assert name == "SubmissionAcceptance.xml"
            hold(xml, extensions)
            found = receipts(from_, sender, 3, world.judges, about)
            assert found == {REM_ACCEPTED: 1, REM_RELAYED: 1, REM_DELIVERED: 1}
            keywords(from_, sender, about, {"$KepKabul", "$KepIletildi", "$KepTeslim"})
            reader.fetch(uid, peek=False)
        found = receipts(from_, sender, 4, world.judges, about)
        assert found == {REM_ACCEPTED: 1, REM_RELAYED: 1, REM_DELIVERED: 1, REM_READ: 1}
        keywords(from_, sender, about, {"$KepKabul", "$KepIletildi", "$KepTeslim", "$KepOkundu"})
        with from_.imap(sender) as reader:
            for receipt in reader.all("Deliller"):
                for _, each in evidences(receipt):
                    hold(each, extensions)
                plain = next(
                    part.get_payload(decode=True).decode()
                    for part in email.message_from_bytes(receipt).walk()
                    if part.get_content_type() == "text/plain"
                )
                assert "REM delili" in plain
                assert "REM evidence" in plain


def test_unknown_recipient_and_no_way(rem_world):
    world = rem_world
    world.start()
    unknown = "yok@hs91.kep.tr"
    message = compose(world.ali, [world.veli, unknown], "Bilinmeyen", "Kime?\n")
    world.here.send(message, world.ali, [world.veli, unknown])
    about = message["Message-ID"]
    found = receipts(world.here, world.ali, 5, world.judges, about)
    assert found == {REM_ACCEPTED: 1, REM_RELAYED: 1, REM_NOT_RELAYED: 1, REM_UNREACHED: 1, REM_DELIVERED: 1}
    keywords(world.here, world.ali, about, {"$KepKabul", "$KepIletildi", "$KepTeslimEdilemedi"})
    world.there.stop()
    message = compose(world.ali, [world.veli], "Ulaşılamaz", "Orada mısın?\n")
    world.here.send(message, world.ali, [world.veli])
    about = message["Message-ID"]
    assert receipts(world.here, world.ali, 2, world.judges, about) == {REM_ACCEPTED: 1, REM_UNREACHED: 1}
    keywords(world.here, world.ali, about, {"$KepKabul", "$KepTeslimEdilemedi"})


def test_each_way_in_a_profile_of_its_own(make_world):
    """hs90 writes tr-kep to hs91, hs91 the baseline to hs90 because its administrator says so."""
    world = make_world()
    world.there.append('[[peer]]\ndomain = "hs90.kep.tr"\nprofile = "rem-baseline"\n')
    world.start()
    expected = ({ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}, {REM_ACCEPTED: 1, REM_RELAYED: 1, REM_DELIVERED: 1})
    for (from_, sender, to, recipient), events in zip(both_ways(world), expected, strict=True):
        message = compose(sender, [recipient], "Karışık", "Merhaba.\n")
        from_.send(message, sender, [recipient])
        assert receipts(from_, sender, 3, world.judges, message["Message-ID"]) == events
        keywords(from_, sender, message["Message-ID"], {"$KepKabul", "$KepIletildi", "$KepTeslim"})
        with to.imap(recipient) as reader:
            world.judges.messages(reader.all("INBOX"))


def test_one_message_to_both_and_to_a_user_here(make_world, tmp_path):
    """A dispatch and an evidence 10 a profile; delivered and read are said when all recipients have it."""
    world = make_world()
    third = Node(tmp_path / "hs92", "hs92.kep.tr").init()
    can = third.account("can", "Can")
    mehmet = world.here.account("mehmet", "Mehmet")
    third.configure(profiles__takes=["rem-baseline"])
    world.here.peer_with(third)
    third.peer_with(world.here)
    judges = Judges([node.folder / "keys" / "root.pem" for node in (world.here, world.there, third)])
    world.start()
    third.start()
    try:
        named = [world.veli, can, mehmet]
        message = compose(world.ali, named, "Üç yere", "Herkese.\n")
        world.here.send(message, world.ali, named)
        about = message["Message-ID"]
        first = {ACCEPTED: 1, RELAYED: 1, DELIVERED: 2, REM_ACCEPTED: 1, REM_RELAYED: 1, REM_DELIVERED: 1}
        assert receipts(world.here, world.ali, 7, judges, about) == first
        keywords(world.here, world.ali, about, {"$KepKabul", "$KepIletildi", "$KepTeslim"})
        seen = Counter()
        for node, address in ((world.there, world.veli), (third, can), (world.here, mehmet)):
            with node.imap(address) as reader:
                (uid,) = reader.wait_for("INBOX", 1)
                octets = reader.fetch(uid, peek=False)
            judges.message(octets)
            xml = evidences(octets)[0][1]
            seen[event_of(xml)] += 1
            assert (can.encode() in xml) == (node is third), (
                "an evidence 10 names the recipients of its own transaction"
            )
        assert seen == {ACCEPTED: 2, REM_ACCEPTED: 1}
        assert receipts(world.here, world.ali, 10, judges, about) == first | {READ: 2, REM_READ: 1}
        keywords(world.here, world.ali, about, {"$KepKabul", "$KepIletildi", "$KepTeslim", "$KepOkundu"})
        shown = world.here.json("message", "show", about)
        assert {each["profile"] for each in shown["dispatches"]} == {"tr-kep", "rem-baseline"}
        # the case holds both, and is judged whole: the digest of the form is made of what was submitted
        case = tmp_path / "case.zip"
        world.here.cli("evidence", "export", "--message", about, "--zip", case)
        kepgw("verify", case, *[word for anchor in judges.anchors for word in ("--trust", anchor)])
    finally:
        third.kill()
