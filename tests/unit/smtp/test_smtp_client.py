"""The relay client against our server, aiosmtpd's and a scripted peer that misbehaves."""

import asyncio
import re
from dataclasses import replace

import pytest
from aiosmtpd.smtp import SMTP as StockSmtp
from smtp_peer import MESSAGE, SENDER, Peer, outgoing, route_to

from kepgw.interop.desk import Outgoing, RelayProblem, Route
from kepgw.smtp.client import SmtpRelayClient
from kepgw.smtp.connection import AllRefused
from kepgw.smtp.exchangers import Exchangers
from kepgw.smtp.limits import ClientLimits
from kepgw.trust.tls import PeerContexts, server_context


@pytest.fixture
async def client():
    client = SmtpRelayClient("hs91.kep.tr", PeerContexts(), ClientLimits(connect=5, greeting=5))
    yield client
    await client.close()


@pytest.mark.parametrize("chunking", [True, False])
async def test_our_server_gets_the_octets(house, certificate, client, chunking):
    async with house(message=5_000_000) as servers:
        route = replace(route_to(servers.ports["relay"], certificate), chunking=chunking)
        large = "".join(f".satır {number}\r\n" for number in range(60_000)).encode()
        for message, eight_bit, chunk in ((MESSAGE, False, 1), (large, True, 65536), (b"", False, 1)):
            if message:
                outcome = await client.send(route, outgoing(message=message, eight_bit=eight_bit, chunk=chunk))
                assert outcome.refused == {}
                assert outcome.reply.startswith("250 2.0.0 Received as R")
                assert servers.relay_desk.taken[-1].octets == message
        assert client.resting == 1
        assert servers.relay.connections == 1  # one connection carried both


async def test_the_contexts_of_trust_fit_both_ends(house, certificate):
    async with house() as servers:
        port = await servers.relay.start("127.0.0.1", 0, server_context(certificate.pem, certificate.pem), False)
        client = SmtpRelayClient("hs91.kep.tr", PeerContexts())
        assert (await client.send(route_to(port, certificate), outgoing())).reply.startswith("250 2.0.0")
        await client.close()


async def test_each_recipient_has_its_reply(house, certificate, client):
    async with house() as servers:
        route = route_to(servers.ports["relay"], certificate)
        outcome = await client.send(route, outgoing(["ali@hs90.kep.tr", "yok@hs90.kep.tr", "x@hs92.kep.tr"]))
        assert set(outcome.refused) == {"yok@hs90.kep.tr", "x@hs92.kep.tr"}
        assert outcome.refused["yok@hs90.kep.tr"].startswith("550 5.1.1 ")
        with pytest.raises(AllRefused) as caught:
            await client.send(route, outgoing(["yok@hs90.kep.tr"]))
        assert (caught.value.stage, caught.value.permanent) == ("rcpt", True)
        assert caught.value.refused["yok@hs90.kep.tr"].startswith("550")
        await client.send(route, outgoing())  # the same connection goes on
        assert servers.relay.connections == 1
        assert len(servers.relay_desk.taken) == 2


async def test_many_at_once_share_the_connections(house, certificate, client):
    async with house() as servers:
        route = route_to(servers.ports["relay"], certificate)
        await asyncio.gather(*(client.send(route, outgoing()) for _ in range(60)))
        assert len(servers.relay_desk.taken) == 60
        assert 1 <= client.resting <= route.connections


async def test_a_wrong_pin_gets_nothing(house, certificate, client):
    async with house() as servers:
        route = Route("hs90", "127.0.0.1", servers.ports["relay"], "00" * 32)
        with pytest.raises(RelayProblem, match="certificate") as caught:
            await client.send(route, outgoing())
        assert (caught.value.stage, caught.value.permanent) == ("tls", False)
        assert not servers.relay_desk.taken
        upper = ":".join(re.findall("..", certificate.sha256.upper()))
        await client.send(Route("hs90", "127.0.0.1", servers.ports["relay"], upper), outgoing())


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    ("command", "answer", "stage", "permanent"),
    [
        ("EHLO", b"554 no\r\n", "connect", False),
        ("EHLO", b"421 busy\r\n", "connect", False),
        ("STARTTLS", b"454 no\r\n", "tls", False),
        ("STARTTLS", b"220 go\r\n250 injected\r\n", "tls", False),
        ("STARTTLS", b"220 go\r\n", "tls", False),  # and then no TLS: the next octets are clear text
        ("MAIL", b"451 4.3.0 later\r\n", "mail", False),
        ("MAIL", b"550 5.7.1 who\r\n", "mail", True),
        ("MAIL", b"nonsense\r\n", "mail", False),
        ("MAIL", None, "mail", False),
        ("RCPT", b"450 4.2.0 later\r\n", "rcpt", False),
        ("RCPT", b"550 5.1.1 no\r\n", "rcpt", True),
        ("RCPT", None, "rcpt", False),
        ("DATA", b"451 later\r\n", "data", False),
        ("DATA", b"554 no\r\n", "data", True),
        ("DATA", b"250 what\r\n", "data", False),
        (r"\.", b"452 4.3.1 full\r\n", "data", False),
        (r"\.", b"554 5.6.0 bad\r\n", "data", True),
        (r"\.", b"421 4.3.2 stopping\r\n", "data", False),
        (r"\.", None, "data", False),  # nobody knows whether it was taken: try again
    ],
)
async def test_a_peer_that_refuses(certificate, command, answer, stage, permanent, pipelining):
    extensions = ["PIPELINING", "8BITMIME"] if pipelining else ["8BITMIME"]
    client = SmtpRelayClient("hs91.kep.tr", PeerContexts(), ClientLimits(greeting=0.3, data_end=5))
    async with Peer(certificate, answers=[(command, answer)], extensions=extensions) as peer:
        with pytest.raises(RelayProblem) as caught:
            await client.send(peer.route, outgoing())
        assert (caught.value.stage, caught.value.permanent) == (stage, permanent), caught.value
        await client.close()


async def test_a_peer_without_starttls(certificate, client):
    async with Peer(certificate, tls=False) as peer:
        with pytest.raises(RelayProblem, match="STARTTLS") as caught:
            await client.send(peer.route, outgoing())
        assert (caught.value.stage, caught.value.permanent) == ("tls", False)
        assert not [line for line in peer.heard if line.startswith("MAIL")]


async def test_nobody_listens(certificate, client):
    async with Peer(certificate) as peer:
        route = peer.route
    with pytest.raises(RelayProblem) as caught:
        await client.send(route, outgoing())
    assert (caught.value.stage, caught.value.permanent) == ("connect", False)


async def test_eight_bit_needs_8bitmime(certificate, client):
    async with Peer(certificate, extensions=["PIPELINING"]) as peer:
        with pytest.raises(RelayProblem, match="8BITMIME") as caught:
            await client.send(peer.route, outgoing(eight_bit=True))
        assert (caught.value.stage, caught.value.permanent) == ("mail", True)
        assert (await client.send(peer.route, outgoing())).reply.startswith("250")
        assert peer.connections == 1
        assert "MAIL FROM:<kep@hs91.kep.tr>" in peer.heard


async def test_size_is_told_and_honoured(certificate, client):
    async with Peer(certificate, extensions=["SIZE 500", "8BITMIME"]) as peer:
        await client.send(peer.route, outgoing(eight_bit=True))
        assert f"MAIL FROM:<{SENDER}> BODY=8BITMIME SIZE={len(MESSAGE)}" in peer.heard
        with pytest.raises(RelayProblem, match="500") as caught:
            await client.send(peer.route, outgoing(message=b"x\r\n" * 200))
        assert (caught.value.stage, caught.value.permanent) == ("mail", True)


async def test_a_server_that_goes_on_without_recipients_gets_an_empty_end(certificate, client):
    answers = [("RCPT", b"550 5.1.1 no\r\n"), (r"\.", b"554 no recipients\r\n")]
    async with Peer(certificate, answers=answers) as peer:
        with pytest.raises(AllRefused):
            await client.send(peer.route, outgoing())
        assert peer.heard[-2:] == ["DATA", "."]


async def test_a_rested_connection_that_died_is_replaced(certificate, client):
    async with Peer(certificate, answers=[("RSET", None)]) as peer:
        await client.send(peer.route, outgoing())
        await client.send(peer.route, outgoing())
        assert peer.connections == 2


async def test_idle_connections_are_closed(certificate):
    client = SmtpRelayClient("hs91.kep.tr", PeerContexts(), ClientLimits(idle=0.01))
    async with Peer(certificate) as peer:
        await client.send(peer.route, outgoing())
        await asyncio.wait_for(peer.said_goodbye.wait(), 5)
        assert client.resting == 0


async def test_connections_end_after_their_messages(certificate):
    client = SmtpRelayClient("hs91.kep.tr", PeerContexts(), ClientLimits(messages_per_connection=2))
    async with Peer(certificate) as peer:
        for _ in range(4):
            await client.send(peer.route, outgoing())
        assert peer.connections == 2
    await client.close()


async def test_other_settings_begin_with_the_next_connection(certificate, client):
    async with Peer(certificate) as peer:
        await client.send(peer.route, outgoing())
        assert client.resting == 1
        client.reconfigure(PeerContexts(), ClientLimits(messages_per_connection=1), Exchangers())
        assert client.resting == 0
        for _ in range(2):
            await client.send(peer.route, outgoing())
        assert client.resting == 0
        assert peer.connections == 3


async def test_half_a_message_never_gets_its_end(certificate, client):
    async def broken():
        yield MESSAGE
        raise OSError("the store went away")

    async with Peer(certificate) as peer:
        with pytest.raises(OSError, match="went away"):
            await client.send(peer.route, Outgoing(SENDER, ("a@hs90.kep.tr",), 1, False, broken))
        assert client.resting == 0
        assert "." not in peer.heard


async def test_a_slow_peer_is_left(certificate):
    client = SmtpRelayClient("hs91.kep.tr", PeerContexts(), ClientLimits(data_end=0.05))
    async with Peer(certificate, answers=[(r"\.", b"250-")]) as peer:
        with pytest.raises(RelayProblem, match="slow") as caught:
            await client.send(peer.route, outgoing())
        assert (caught.value.stage, caught.value.permanent) == ("data", False)


@pytest.mark.parametrize("address", ["a>@b.c", "a\r\nRSET@b.c", "ü@b.c", "a\0@b.c"])
async def test_no_address_breaks_out_of_its_command(certificate, client, address):
    async with Peer(certificate) as peer:
        with pytest.raises(RelayProblem) as caught:
            await client.send(peer.route, outgoing([address]))
        assert caught.value.permanent
        assert not [line for line in peer.heard if line.startswith("MAIL")]


async def test_no_recipients(certificate, client):
    with pytest.raises(AllRefused):
        await client.send(route_to(1, certificate), outgoing([]))


class StockHandler:
    def __init__(self):
        self.contents = []

    async def handle_DATA(self, server, session, envelope):
        self.contents.append((envelope.rcpt_tos, envelope.content))
        return "250 OK"


class WithoutEightBit(StockSmtp):
    """aiosmtpd's server as it is, but for one line of its EHLO."""

    async def push(self, status):
        if isinstance(status, (str, bytes)) and "8BITMIME" in str(status):
            return
        await super().push(status)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", [StockSmtp, WithoutEightBit])
async def test_aiosmtpd(certificate, client, kind):
    handler = StockHandler()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: kind(handler, tls_context=certificate.server, require_starttls=True, loop=loop), "127.0.0.1", 0
    )
    route = route_to(server.sockets[0].getsockname()[1], certificate)
    for recipients in (["a@x.tr"], ["b@x.tr", "c@x.tr"]):
        assert (await client.send(route, outgoing(recipients))).refused == {}
        assert handler.contents[-1] == (recipients, MESSAGE)
    if kind is WithoutEightBit:
        with pytest.raises(RelayProblem, match="8BITMIME"):
            await client.send(route, outgoing(eight_bit=True))
    else:
        await client.send(route, outgoing(eight_bit=True))
    await client.close()
    server.close()
