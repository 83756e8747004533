"""35 Somebody else's server in the way: a Postfix that a peer names as its relay host hands on byte for byte."""

import email.utils
import re
import smtplib
import sqlite3

import pytest
from laboratory import blind, compose
from postfix_house import PostfixHouse, why_not
from story import ACCEPTED, DELIVERED, NOT_RELAYED, READ, RELAYED, UNREACHED, receipts

from kepgw.interop.card import read_card
from kepgw.store.octets import ContentRef, read_content

RECEIVED = re.compile(rb"\AReceived:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")
LINE = b"%03d " + b"abcdefghij" * 99 + b"1234\r\n"  # 998 octets before CRLF, the most that RFC 5322 2.1.1 allows

pytestmark = pytest.mark.oracle


@pytest.fixture
def between():
    """Makes relay hosts: ``between(node, **settings)`` names one on the node's card and lets it hand on to the node."""
    made = []

    def make(node, **settings):
        reason = why_not()
        if reason:
            pytest.skip(reason)
        own = read_card(node.cli("peer", "card").decode())
        house = PostfixHouse(f"relay.{node.domain}", **settings)
        made.append(house)
        house.hand_on(node.domain, own.relay_port, own.tls_certificate)
        node.configure(listen__relay_host_port=house.port, listen__relay_host_certificate=str(house.certificate))
        assert read_card(node.cli("peer", "card").decode()).relay_port == house.port
        return house

    yield make
    for house in made:
        print(f"-- {house.hostname}\n{house.log()[-8000:]}")
        house.stop()


def awkward(sender, recipients, subject):
    """A message with everything that mail servers like to mend."""
    head = (
        f"From: {sender}\r\nTo: {', '.join(recipients)}\r\nSubject: {subject}\r\n"
        f"Message-ID: {email.utils.make_msgid(domain=sender.partition('@')[2])}\r\n"
        "X-Long: " + "\r\n ".join(["katlanan" * 100] * 3) + "\r\nX-Tail:   boşluk \t \r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    body = (
        "From the beginning: Çağrı Şahin Iğdır\r\n.\r\n..\r\n...üç\r\n. bir\r\n\r\nsonda boşluk \t \r\n"
        "--=_kep_sinir\r\n>From\r\n\x0b\x0c\x7f\r\n"
    )
    return head.encode() + body.encode() + b"".join(LINE % number for number in range(20)) + b".\r\n"


def large(sender, recipients, subject, octets):
    message = compose(sender, recipients, subject, "Ekte.\n", attachments=[("veri.bin", bytes(range(256)) * octets)])
    return message.as_bytes(policy=message.policy.clone(linesep="\r\n"))


def identifier(octets):
    return re.search(rb"^Message-ID: (\S+)", octets, re.MULTILINE)[1].decode()


def bare(octets):
    """Without the Received fields on top, which every server adds."""
    while found := RECEIVED.match(octets):
        octets = octets[found.end() :]
    return octets


class Kept:
    """What a provider's store holds, looked at from outside."""

    def __init__(self, node):
        self.connection = sqlite3.connect(f"file:{node.folder / 'kepgw.sqlite'}?mode=ro", uri=True)

    def row(self, statement, *values):
        return self.connection.execute(statement, values).fetchone()

    def envelopes(self, identifiers):
        """Dispatches and receipts by the identifier of dispatch or evidence, bare; only those that are there."""
        found = self.connection.execute(
            "SELECT remmd_id, month, content FROM dispatch WHERE content IS NOT NULL"
            " UNION ALL SELECT id, month, receipt FROM evidence WHERE receipt IS NOT NULL"
        )
        return {
            identifier: bare(b"".join(read_content(self, ContentRef(month, content))))
            for identifier, month, content in found
            if identifier in identifiers
        }

    def evidence(self):
        """Identifiers of all dispatches and evidence."""
        found = self.connection.execute("SELECT remmd_id FROM dispatch UNION SELECT id FROM evidence")
        return {row[0] for row in found}


def test_both_ways_byte_for_byte(make_world, between):
    world = make_world()
    # recipients one by one: the peer gets the same dispatch several times, each for another of its users
    between(world.there, relay_destination_recipient_limit=1).start()
    between(world.here).start()
    world.here.peer_with(world.there)
    world.there.peer_with(world.here)
    ayse = world.there.account("ayse", "Ayşe")
    world.start()
    sent = []
    for here, sender, there, recipients in (
        (world.here, world.ali, world.there, [world.veli, ayse, "yok@hs91.kep.tr"]),
        (world.there, world.veli, world.here, [world.ali]),
    ):
        sent.append((here, sender, there, recipients, awkward(sender, recipients, "8 bit")))
        sent.append((here, sender, there, recipients[:1], large(sender, recipients[:1], "5 MB", 20_000)))
    for here, sender, _, recipients, octets in sent:
        here.send(octets, sender, recipients)
    for here, sender, there, recipients, octets in sent:
        about = identifier(octets)
        known = [each for each in recipients if not each.startswith("yok@")]
        for address in known:
            with there.imap(address) as reader:
                (uid,) = reader.wait_for("INBOX", 1, "HEADER", "X-REM-UAMessageIdentifier", about)
                mail = reader.fetch(uid, peek=False)
            assert octets in mail, "the original, byte for byte"
            assert len(re.findall(rb"^Received:", mail.partition(b"\r\n\r\n")[0], re.MULTILINE)) == 2
        world.judges.message(mail)
        wanted = {ACCEPTED: 1, RELAYED: len(known), DELIVERED: len(known), READ: len(known)}
        if len(known) < len(recipients):
            wanted[NOT_RELAYED] = 1
        assert receipts(here, sender, sum(wanted.values()), world.judges, about) == wanted
    # every octet of every envelope that crossed, signed or not
    ours, theirs = Kept(world.here), Kept(world.there)
    crossed = ours.evidence() & theirs.evidence()
    here, there = ours.envelopes(crossed), theirs.envelopes(crossed)
    both = here.keys() & there.keys()  # the receipt of evidence 10 stays with the sender's provider
    assert len(both) == 4 + (7 + 3 + 3 + 3), "four dispatches and what answered them"
    assert [each for each in both if here[each] != there[each]] == []


def test_what_bounces_is_no_evidence(make_world, between):
    """The relay host has taken a dispatch that its provider then refuses: its bounce is refused, the window decides."""
    world = make_world()
    world.here.configure(relay__answer_window=3)
    relay = between(world.there, default_transport=f"smtp:[127.0.0.1]:{world.here.base + 25}", notify_classes="")
    relay.trust(read_card(world.here.cli("peer", "card").decode()).tls_certificate)
    relay.start()
    world.here.peer_with(world.there)
    world.there.cli("peer", "remove", world.here.domain)
    world.start()
    message = compose(world.ali, [world.veli], "Geri dönen", "Kimse tanımıyor.\n")
    world.here.send(message, world.ali, [world.veli])
    assert receipts(world.here, world.ali, 2, world.judges) == {ACCEPTED: 1, UNREACHED: 1}
    relay.wait_for("status=bounced (host 127.0.0.1[127.0.0.1] said: 550 5.7.1", 2)  # the dispatch, then the bounce
    assert "rule=unknown-peer" in world.here.log(), "fail2ban and people see it"
    assert "rule=unknown-peer" in world.there.log()
    assert len(Kept(world.here).evidence()) == 3, "the transaction, 10 and 31"
    with world.here.imap(world.ali) as reader:
        assert reader.select("INBOX") == 0
    # a bounce that somebody sends himself, whole
    with smtplib.SMTP("127.0.0.1", world.here.base + 25) as client:
        client.starttls(context=blind())
        client.ehlo()
        code, text = client.mail("")
        assert (code, text[:5]) == (550, b"5.7.1")
    world.there.peer_with(world.here)
    again = compose(world.ali, [world.veli], "Yeniden", "Şimdi tanıyor.\n")
    world.here.send(again, world.ali, [world.veli])
    wanted = {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    assert receipts(world.here, world.ali, 3, world.judges, again["Message-ID"]) == wanted
