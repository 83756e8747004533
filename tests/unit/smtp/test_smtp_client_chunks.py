"""BDAT towards peers that offer CHUNKING (RFC 3030): the same octets, and a peer that refuses at each stage."""

import asyncio
from dataclasses import replace

import pytest
from smtp_peer import MESSAGE, SENDER, Peer, outgoing

from kepgw.interop.desk import RelayProblem
from kepgw.smtp.client import SmtpRelayClient
from kepgw.smtp.limits import ClientLimits
from kepgw.trust.tls import PeerContexts

LARGE = b"".join(b".%d\r\n.\r\n" % number for number in range(160_000))  # three chunks, full of ends of DATA
CHUNKS = ["PIPELINING", "8BITMIME", "CHUNKING"]


@pytest.fixture
async def client():
    client = SmtpRelayClient("hs91.kep.tr", PeerContexts(), ClientLimits(connect=5, greeting=5, data_end=5))
    yield client
    await client.close()


def bdats(peer):
    return [line for line in peer.heard if line.startswith("BDAT")]


@pytest.mark.parametrize("extensions", [CHUNKS, CHUNKS[1:]])
@pytest.mark.parametrize("message", [MESSAGE, LARGE, b"", b"no line end"])
async def test_octets_as_they_are(certificate, client, extensions, message):
    async with Peer(certificate, extensions=extensions) as peer:
        for _ in range(2):
            outcome = await client.send(peer.route, outgoing(message=message, chunk=60_000))
            assert outcome.reply.startswith("250")
            assert outcome.refused == {}
        assert peer.messages == [message, message]
        assert "DATA" not in peer.heard
        assert peer.connections == 1
        assert len(bdats(peer)) == (2 if len(message) < 1000 else 2 * 4)


async def test_a_small_message_goes_with_its_commands(certificate, client):
    """One way there and one back: the peer has everything before it answers anything."""
    whole = asyncio.Event()

    async def silent(reader, writer):
        await reader.readuntil(b"LAST\r\n")
        whole.set()

    async with Peer(certificate, extensions=CHUNKS) as peer:
        peer.after_tls = silent
        sending = asyncio.create_task(client.send(peer.route, outgoing()))
        await asyncio.wait_for(whole.wait(), 5)
        sending.cancel()


async def test_a_setting_turns_it_off(certificate, client):
    async with Peer(certificate, extensions=CHUNKS) as peer:
        await client.send(replace(peer.route, chunking=False), outgoing())
        assert peer.heard.count("DATA") == 1
        assert not bdats(peer)


@pytest.mark.parametrize("extensions", [CHUNKS, CHUNKS[1:]])
@pytest.mark.parametrize("message", [MESSAGE, LARGE])
@pytest.mark.parametrize(
    ("command", "answer", "stage", "permanent"),
    [
        ("MAIL", b"451 4.3.0 later\r\n", "mail", False),
        ("MAIL", b"550 5.7.1 who\r\n", "mail", True),
        ("MAIL", None, "mail", False),
        ("RCPT", b"450 4.2.0 later\r\n", "rcpt", False),
        ("RCPT", b"550 5.1.1 no\r\n", "rcpt", True),
        ("RCPT", b"421 4.3.2 stopping\r\n", "rcpt", False),
        ("BDAT", b"452 4.3.1 full\r\n", "data", False),
        ("BDAT", b"552 5.3.4 too large\r\n", "data", True),
        ("BDAT", b"354 what\r\n", "data", False),
        ("BDAT", None, "data", False),  # nobody knows whether it was taken: try again
        (r"BDAT \d+ LAST", b"554 5.6.0 bad\r\n", "data", True),
        (r"BDAT \d+ LAST", b"421 4.3.2 stopping\r\n", "data", False),
    ],
)
async def test_a_peer_that_refuses(certificate, client, extensions, message, command, answer, stage, permanent):
    async with Peer(certificate, answers=[(command, answer)], extensions=extensions) as peer:
        with pytest.raises(RelayProblem) as caught:
            await client.send(peer.route, outgoing(message=message, chunk=60_000))
        assert (caught.value.stage, caught.value.permanent) == (stage, permanent), caught.value
        if command in {"MAIL", "RCPT"} and (message is LARGE or "PIPELINING" not in extensions):
            assert not bdats(peer), "nobody takes it: not one octet goes"


async def test_the_first_refusal_ends_it(certificate, client):
    async with Peer(certificate, answers=[("BDAT", b"552 5.3.4 too large\r\n")], extensions=CHUNKS) as peer:
        with pytest.raises(RelayProblem, match="too large"):
            await client.send(peer.route, outgoing(message=LARGE * 3, chunk=60_000))
        assert len(bdats(peer)) <= 2, "one chunk was under way"
        assert not peer.messages
        # whatever the peer still makes of that chunk, this connection is used no more
        assert client.resting == 0


async def test_a_recipient_refused_beside_others(certificate, client):
    answers = [("RCPT TO:<yok", b"550 5.1.1 no\r\n")]
    for message in (MESSAGE, LARGE):
        async with Peer(certificate, answers=answers, extensions=CHUNKS) as peer:
            some = ["ali@hs90.kep.tr", "yok@hs90.kep.tr"]
            outcome = await client.send(peer.route, outgoing(some, message=message, chunk=60_000))
            assert outcome.refused == {"yok@hs90.kep.tr": "550 5.1.1 no"}
            assert peer.messages == [message]


@pytest.mark.parametrize("message", [MESSAGE, LARGE])
async def test_one_refused_and_then_the_connection_breaks(certificate, client, message):
    """The refusal of one recipient is not the verdict on the message."""
    answers = [("RCPT TO:<yok", b"550 5.1.1 no\r\n"), ("BDAT", None)]
    async with Peer(certificate, answers=answers, extensions=CHUNKS) as peer:
        with pytest.raises(RelayProblem) as caught:
            await client.send(peer.route, outgoing(["ali@x.tr", "yok@x.tr"], message=message, chunk=60_000))
        assert (caught.value.stage, caught.value.permanent, caught.value.refused) == ("data", False, {})


async def test_all_refused_and_the_chunk_read_as_commands(certificate, client):
    """A server that forgets the octets of a chunk it refuses: nothing of ours is sent into that mess."""
    answers = [("RCPT", b"550 5.1.1 no\r\n"), ("BDAT", b"503 5.5.1 no recipients\r\n500 5.5.2 what\r\n")]
    async with Peer(certificate, answers=answers, extensions=CHUNKS) as peer:
        for _ in range(2):
            with pytest.raises(RelayProblem, match=r"5\.1\.1"):
                await client.send(peer.route, outgoing())
        assert peer.connections == 2


async def test_half_a_message_never_gets_its_last_chunk(certificate, client):
    async def broken():
        for start in range(0, 900_000, 60_000):
            yield LARGE[start : start + 60_000]
        raise OSError("the store went away")

    async with Peer(certificate, extensions=CHUNKS) as peer:
        lost = replace(outgoing(message=LARGE), octets=broken)
        with pytest.raises(OSError, match="went away"):
            await client.send(peer.route, lost)
        assert not [line for line in bdats(peer) if line.endswith("LAST")]
        assert client.resting == 0


async def test_8bitmime_and_size_come_first(certificate, client):
    async with Peer(certificate, extensions=["PIPELINING", "CHUNKING", "SIZE 500"]) as peer:
        with pytest.raises(RelayProblem, match="8BITMIME"):
            await client.send(peer.route, outgoing(eight_bit=True))
        with pytest.raises(RelayProblem, match="500"):
            await client.send(peer.route, outgoing(message=b"x\r\n" * 200))
        assert not [line for line in peer.heard if line.startswith(("MAIL", "BDAT"))]
        await client.send(peer.route, outgoing())
        assert f"MAIL FROM:<{SENDER}> SIZE={len(MESSAGE)}" in peer.heard
