"""A store with an account, a server before it, and a client that knows only lines."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from kepgw.accounts.guard import GuardSettings, LoginGuard
from kepgw.imap.server import ImapServer
from kepgw.imap.session import Limits
from kepgw.message.rendering import render
from kepgw.store import mailboxes
from kepgw.store.accounts import add_account
from kepgw.store.engine import Store
from kepgw.store.ids import month_of
from kepgw.store.login import Logins
from kepgw.store.octets import ContentRef, Span, put_blob, put_content

NOW = datetime(2026, 3, 5, 9, 0, tzinfo=UTC)
USER = "ayse@hs90.kep.tr"
PASSWORD = "gizli parola"

DISPATCH = (
    b'From: "Ay\xc5\x9fe" <kep@hs91.kep.tr>\r\n'
    b"To: ayse@hs90.kep.tr\r\n"
    b"Subject: =?utf-8?b?xLBoYWxlIMSxxZ/EscSfxLE=?=\r\n"  # İhale ışığı
    b"Date: Wed, 4 Mar 2026 10:00:00 +0300\r\n"
    b"Message-ID: <d1@hs91.kep.tr>\r\n"
    b"X-Folded: one\r\n two\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n'
    b"MIME-Version: 1.0\r\n"
    b"\r\n"
    b"--b\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"\r\n"
    b"giri\xc5\x9f\r\n"
    b"--b\r\n"
    b"Content-Type: message/rfc822\r\n"
    b"\r\n"
    b"From: mehmet@hs91.kep.tr\r\n"
    b"Subject: inner\r\n"
    b"\r\n"
    b"SECRET body\r\n"
    b"--b--\r\n"
)


class World:
    """A store with one account and a server before it."""

    def __init__(self, store, spool):
        self.store = store
        self.spool = spool
        self.read = []
        self.account = 0
        self.server = None
        self.logins = Logins(store, guard=LoginGuard(GuardSettings(failures=100, delay=0.0)))
        self.server_tls = None
        self.client_tls = None
        self.port = self.plain_port = 0

    def content(self, tx, octets, key, at=NOW):
        ref = ContentRef(month_of(at), key)
        put_blob(tx, ref.month, ref.id, [octets])
        put_content(tx, ref, [Span(ref.id, 0, len(octets))], render(octets))
        return ref

    async def deliver(self, octets=DISPATCH, *, folder="INBOX", kind="dispatch", flags=(), message=None, at=NOW):
        def work(tx):
            row = tx.row("SELECT coalesce(max(id), 0) + 1 FROM content")
            ref = self.content(tx, octets, row[0], at)
            return mailboxes.deliver(
                tx,
                mailboxes.standard(tx, self.account, folder),
                ref,
                size=len(octets),
                kind=kind,
                at=at,
                flags=flags,
                message=row[0] if message is None else message,
                dispatch=row[0] if kind == "dispatch" else None,
                ordinal=1 if kind == "dispatch" else None,
            )

        return await self.store.write(work)

    async def on_read(self, mail, operator):
        served = await self.store.read(lambda tx: tx.row("SELECT served FROM mail WHERE uid = ?", mail.uid))
        self.read.append((mail.uid, operator.login, served))

    async def serve(self, *, read_evidence="seen", **limits):
        self.server = ImapServer(
            self.store,
            self.logins,
            now=lambda: NOW,
            spool=self.spool,
            provider="hs90.kep.tr",
            limits=Limits(**limits),
            read_evidence=read_evidence,
            on_read=self.on_read,
        )
        self.port = await self.server.start("127.0.0.1", 0, self.server_tls)
        self.plain_port = await self.server.start("127.0.0.1", 0, None, self.server_tls)
        return self

    async def client(self, *, login=True, plain=False):
        client = Client(
            *await asyncio.open_connection(
                "127.0.0.1",
                self.plain_port if plain else self.port,
                ssl=None if plain else self.client_tls,
                limit=1 << 18,
            )
        )
        self.greeting = await client.line()
        if login:
            await client.ok(b'LOGIN %b "%b"' % (USER.encode(), PASSWORD.encode()))
        return client


@asynccontextmanager
async def opened(folder, server_tls, client_tls, credentials):
    """A world without a server yet."""
    store = Store.open(folder / "store.sqlite")
    world = World(store, folder)
    world.server_tls, world.client_tls = server_tls, client_tls
    world.account = await store.write(lambda tx: add_account(tx, USER, "Ayşe", credentials, NOW))
    try:
        yield world
    finally:
        if world.server is not None:
            await world.server.stop(1)
        store.close()


class Client:
    """A client that knows only lines and literals."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.count = 0

    async def line(self):
        """One response, its literals in place."""
        octets = await asyncio.wait_for(self.reader.readline(), 10)
        while octets.endswith(b"}\r\n") and b"{" in octets:
            octets += await self.reader.readexactly(int(octets[octets.rindex(b"{") + 1 : -3]))
            octets += await self.reader.readline()
        return octets

    async def line_start(self):
        """The next line up to its end or its first literal."""
        return await asyncio.wait_for(self.reader.readline(), 10)

    def send(self, octets):
        self.writer.write(octets)

    async def run(self, command):
        """All responses to a command; the last is the tagged one."""
        self.count += 1
        tag = b"t%d" % self.count
        self.send(tag + b" " + command + b"\r\n")
        return await self.until(tag)

    async def until(self, tag):
        lines = [await self.line()]
        while not lines[-1].startswith(tag + b" ") and lines[-1]:
            lines.append(await self.line())
        return lines

    async def ok(self, command):
        lines = await self.run(command)
        assert lines[-1].startswith(b"t%d OK" % self.count), lines
        return lines[:-1]

    async def no(self, command, condition=b"NO"):
        lines = await self.run(command)
        assert lines[-1].startswith(b"t%d %b" % (self.count, condition)), lines
        return lines[-1]

    async def ended(self):
        """The rest of what the server says, up to its end."""
        try:
            return await asyncio.wait_for(self.reader.read(), 10)
        except ConnectionError:
            return b""

    def close(self):
        self.writer.close()
