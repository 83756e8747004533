"""Byte-exact transcripts over TLS sockets: tests/dialogues/imap/*.txt.

    c -> a1 NOOP          the connection named c sends a line (CRLF is added)
    c <- a1 OK ...        it receives exactly this line
    c <~ a1 BAD .*        it receives a line that matches
    c <|                  its connection ends
    ! deliver INBOX       something happens in the store meanwhile

A connection is made, over TLS, when its name first stands; one whose name begins with p is plain, ``p <tls>`` turns it
to TLS. ``<login>`` stands for the user name and the password. Octets over 127 are UTF-8.
"""

import re
from pathlib import Path

import pytest
from imap_world import opened

from kepgw.store import mailboxes

FOLDER = Path(__file__).parents[2] / "dialogues" / "imap"


async def happen(world, event):
    what, *words = event.split(" ")
    if what == "deliver":
        await world.deliver(folder=words[0])
    elif what == "submit":  # as the submission desk does it: one row in Gönderilmiş, known by its Message-ID
        octets = b"Message-ID: %b\r\nSubject: x\r\n\r\nsent\r\n" % words[0].encode()
        uid = await world.deliver(octets, folder=mailboxes.SENT, kind="original", flags=["$KepKabul"], message=4711)
        await world.store.write(
            lambda tx: tx.run(
                "INSERT INTO idempotency (scope, key, month, ref, mark) VALUES (?, ?, 202603, 4711, x'')",
                f"submission:{world.account}",
                words[0].encode(),
            )
        )
        assert uid == int(words[1])
    elif what == "keywords":
        month, message, box = await world.store.read(
            lambda tx: tx.row("SELECT month, message, mailbox FROM mail WHERE kind = ?", words[0])
        )
        await world.store.write(lambda tx: mailboxes.add_keywords(tx, month, message, box, words[1:]))
    else:
        raise AssertionError(event)


async def play(world, path):
    clients = {}

    async def client(name):
        if name not in clients:
            clients[name] = await world.client(login=False, plain=name.startswith("p"))
            await_greeting[name] = world.greeting
        return clients[name]

    await_greeting = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path.name}:{number}"
        if line.startswith("! "):
            await happen(world, line[2:])
            continue
        name, _, rest = line.partition(" ")
        one = await client(name)
        kind, text = rest[:2], rest[3:]
        if rest == "<tls>":
            await one.writer.start_tls(world.client_tls, server_hostname="localhost")
        elif kind == "->":
            one.send(text.replace("<login>", 'ayse@hs90.kep.tr "gizli parola"').encode() + b"\r\n")
        elif kind == "<|":
            assert await one.ended() == b"", where
        else:
            got = await_greeting.pop(name, None) or await one.reader.readline()
            if kind == "<-":
                assert got == text.encode() + b"\r\n", where
            else:
                assert kind == "<~", where
                assert re.fullmatch(text.encode() + rb"\r\n", got, re.DOTALL), (where, got)
    for one in clients.values():
        one.close()


every = pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)


@every
async def test_dialogue(served, path):
    await play(served, path)


@every
def test_dialogue_on_uvloop(tmp_path, server_tls, client_tls, credentials, path):
    """TLS in the middle of a connection differs between event loops."""
    uvloop = pytest.importorskip("uvloop")

    async def main():
        async with opened(tmp_path, server_tls, client_tls, credentials) as world:
            await play(await world.serve(), path)

    uvloop.run(main())
