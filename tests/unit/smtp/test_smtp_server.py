"""The servers where a dialogue cannot tell: events inside, failures of the desk, stopping, both event loops."""

import asyncio
import logging
import os
import smtplib
import ssl
from email.message import EmailMessage

import pytest
import uvloop
from smtp_house import ALI, House, open_client_context

from kepgw.errors import SigningUnavailable, StoreError, StoreFull
from kepgw.refusals import Refusal

MESSAGE = b"From: <ali@hs90.kep.tr>\r\nSubject: deneme\r\n\r\nbir\r\n"


class Line:
    """A client on asyncio streams for the tests that must interleave with the server."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, servers, port):
        tls = open_client_context() if port.endswith("-tls") else None
        self = cls(*await asyncio.open_connection("127.0.0.1", servers.ports[port], ssl=tls))
        assert (await self.reply()).startswith("220 ")
        return self

    async def ask(self, command, code):
        self.writer.write(command.encode() + b"\r\n")
        reply = await self.reply()
        assert reply.startswith(code), reply
        return reply

    async def reply(self):
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 5)).decode()
            if line[3:4] != "-":
                return line.rstrip()

    async def login(self):
        await self.ask("EHLO client.example", "250")
        await self.ask("AUTH PLAIN AGFsaUBoczkwLmtlcC50cgBnaXpsaQ==", "235")

    async def to_data(self):
        await self.login()
        await self.ask(f"MAIL FROM:<{ALI}>", "250")
        await self.ask("RCPT TO:<veli@hs91.kep.tr>", "250")
        await self.ask("DATA", "354")


async def give(servers, message=MESSAGE):
    client = await Line.open(servers, "submission-tls")
    await client.to_data()
    client.writer.write(message + b".\r\n")
    reply = await client.reply()
    client.writer.close()
    return reply


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (StoreFull("/var/lib/kepgw is full"), "452 4.3.1"),
        (StoreError("disk I/O error in /var/lib"), "451 4.3.0"),
        (SigningUnavailable("the key has expired"), "451 4.3.5"),
        (RuntimeError("secret"), "451 4.3.0"),
        (Refusal("message-id-reused", "the same in T7"), "550 5.6.0"),
    ],
)
async def test_a_desk_that_fails(house, error, expected, caplog):
    caplog.set_level(logging.INFO, "kepgw.smtp")
    async with house() as servers:
        servers.submission_desk.fail = error
        reply = await give(servers)
        assert reply.startswith(expected)
        assert not any(word in reply for word in ("secret", "/var", "expired", "T7", "RuntimeError"))
        assert any(str(error) in getattr(record, "why", "") for record in caplog.records)
        servers.submission_desk.fail = None
        assert (await give(servers)).startswith("250 2.0.0")


async def test_a_desk_that_is_too_busy_ends_the_session(house):
    async with house() as servers:
        servers.submission_desk.not_ready = Refusal("too-busy", "10000 wait")
        client = await Line.open(servers, "submission-tls")
        await client.login()
        client.writer.write(f"MAIL FROM:<{ALI}>\r\nRCPT TO:<veli@hs91.kep.tr>\r\n".encode())
        assert (await client.reply()).startswith("421 4.3.2")
        assert await client.reader.read() == b""
        client.writer.close()


async def test_a_long_pipeline_lets_others_in_between(house):
    async with house() as servers:
        long, short = await Line.open(servers, "submission"), await Line.open(servers, "submission")
        turns = 0

        async def count():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        long.writer.write(b"NOOP\r\n" * 5000)
        counting = asyncio.create_task(count())
        for _ in range(5000):
            assert (await long.reply()).startswith("250")
        await short.ask("NOOP", "250")
        counting.cancel()
        assert turns > 5000 / 64
        long.writer.close()
        short.writer.close()


async def test_a_desk_that_is_not_ready_says_so_at_mail(house):
    async with house() as servers:
        servers.submission_desk.not_ready = SigningUnavailable("no key")
        client = await Line.open(servers, "submission-tls")
        await client.login()
        await client.ask(f"MAIL FROM:<{ALI}>", "451 4.3.5")
        client.writer.close()


async def test_logins_that_break_are_temporary(house):
    async with house() as servers:
        servers.logins.broken = True
        client = await Line.open(servers, "submission-tls")
        await client.ask("EHLO x", "250")
        reply = await client.ask("AUTH PLAIN AGFsaUBoczkwLmtlcC50cgBnaXpsaQ==", "451 4.3.0")
        assert "secret" not in reply
        client.writer.close()


async def test_a_full_spool_disk_is_452_and_nothing_is_kept(house, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    async with house() as servers:
        client = await Line.open(servers, "submission-tls")
        await client.to_data()
        with monkeypatch.context() as patch:
            patch.setattr("kepgw.store.spool.tempfile.mkstemp", full)
            client.writer.write(b"Subject: x\r\n" * 30_000)
            client.writer.write(b".\r\n")
            reply = await client.reply()
        assert reply.startswith("552" if servers.limits.message < 360_000 else "452")
        client.writer.close()
    async with house(message=1_000_000) as servers:
        client = await Line.open(servers, "submission-tls")
        await client.to_data()
        with monkeypatch.context() as patch:
            patch.setattr("kepgw.store.spool.tempfile.mkstemp", full)
            client.writer.write(b"Subject: x\r\n" * 30_000)
            client.writer.write(b".\r\n")
            reply = await client.reply()
        assert reply.startswith("452 4.3.1")
        assert not servers.submission_desk.taken
        client.writer.close()


async def test_octets_behind_starttls_are_dropped(house, caplog):
    caplog.set_level(logging.INFO, "kepgw.smtp")
    async with house() as servers:
        client = await Line.open(servers, "submission")
        await client.ask("EHLO client.example", "250")
        client.writer.write(b"STARTTLS\r\nEHLO injected.example\r\nNOOP\r\n")
        assert (await client.reply()).startswith("220 2.0.0")
        await client.writer.start_tls(open_client_context())
        # neither the injected EHLO nor the one before counts, and no reply to them is in the way
        await client.ask("AUTH PLAIN AGFsaUBoczkwLmtlcC50cgBnaXpsaQ==", "503 5.5.1")
        await client.ask("EHLO client.example", "250")
        await client.ask("AUTH PLAIN AGFsaUBoczkwLmtlcC50cgBnaXpsaQ==", "235")
        client.writer.close()
    assert [record.octets for record in caplog.records if "dropped" in record.message] == [29]


async def test_no_password_reaches_the_log(house, caplog):
    caplog.set_level(logging.DEBUG)
    async with house() as servers:
        assert (await give(servers)).startswith("250")
        client = await Line.open(servers, "submission-tls")
        await client.ask("EHLO x", "250")
        await client.ask("AUTH PLAIN AGFsaUBoczkwLmtlcC50cgB5YW5saXM=", "535")
        client.writer.close()
    shown = " ".join(str(record.__dict__) for record in caplog.records)
    assert ALI in shown
    for secret in ("gizli", "Z2l6bGk", "yanlis", "AGFsaUBoczkwLmtlcC50cgB5YW5saXM"):
        assert secret not in shown


async def test_a_message_begun_is_finished_though_its_client_is_gone(house):
    async with house() as servers:
        desk = servers.submission_desk
        desk.hold = asyncio.Event()
        client = await Line.open(servers, "submission-tls")
        await client.to_data()
        client.writer.write(MESSAGE + b".\r\n")
        await desk.began.wait()
        client.writer.transport.abort()
        desk.hold.set()
        await servers.submission.stop(2)
        assert len(desk.taken) == 1


async def test_stop_lets_a_message_finish_and_tells_the_rest(house):
    async with house() as servers:
        busy, idle = await Line.open(servers, "submission-tls"), await Line.open(servers, "submission")
        await busy.to_data()
        busy.writer.write(MESSAGE)
        stopping = asyncio.create_task(servers.submission.stop(5))
        assert (await idle.reply()).startswith("421 4.3.2")
        assert await idle.reader.read() == b""
        busy.writer.write(b".\r\nNOOP\r\n")
        assert (await busy.reply()).startswith("250 2.0.0 Accepted as T1")
        assert (await busy.reply()).startswith("421 4.3.2")
        await asyncio.wait_for(stopping, 5)
        assert servers.submission.connections == 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", servers.ports["submission"])


async def test_stop_cuts_off_who_does_not_finish(house):
    async with house() as servers:
        client = await Line.open(servers, "submission-tls")
        await client.to_data()
        client.writer.write(b"Subject: half\r\n")
        await servers.submission.stop(0.05)
        assert servers.submission.connections == 0
        assert not servers.submission_desk.taken


async def test_a_transaction_is_what_the_desk_is_told(house):
    async with house() as servers:
        client = await Line.open(servers, "submission-tls")
        await client.login()
        await client.ask(f"MAIL FROM:<{ALI}> RET=FULL ENVID=E1", "250")
        await client.ask("RCPT TO:<Veli@hs91.kep.tr> NOTIFY=NEVER ORCPT=rfc822;v@x.tr", "250")
        await client.ask("RCPT TO:<later@hs91.kep.tr>", "451")  # temporary: no rejection to testify
        await client.ask("RCPT TO:<yok@hs91.kep.tr>", "550")
        await client.ask("DATA", "354")
        client.writer.write("Subject: ğ\r\n\r\n\r\n.\r\n".encode())
        await client.reply()
        client.writer.close()
        (taken,) = servers.submission_desk.taken
        assert taken.parameters.ret == "FULL"
        assert taken.parameters.envid == "E1"
        assert taken.parameters.notify == {"veli@hs91.kep.tr": "NEVER"}
        assert taken.parameters.orcpt == {"veli@hs91.kep.tr": "rfc822;v@x.tr"}
        assert [who for who, _ in taken.refused] == ["yok@hs91.kep.tr"]
        assert (taken.checked.size, taken.checked.eight_bit) == (len(taken.octets), True)


async def test_the_received_line_of_relay(house):
    async with house() as servers:
        client = await Line.open(servers, "relay")
        await client.ask("EHLO hs91.kep.tr", "250")
        await client.ask("STARTTLS", "220")
        await client.writer.start_tls(open_client_context())
        await client.ask("EHLO hs91.kep.tr", "250")
        await client.ask("MAIL FROM:<kep@hs91.kep.tr>", "250")
        await client.ask("RCPT TO:<ali@hs90.kep.tr>", "250")
        await client.ask("DATA", "354")
        client.writer.write(MESSAGE + b".\r\n")
        assert (await client.reply()) == "250 2.0.0 Received as R1."
        client.writer.close()
        (taken,) = servers.relay_desk.taken
        assert taken.octets == MESSAGE
        assert taken.checked.size == len(MESSAGE)
        first, second, third, end = taken.received.split(b"\r\n")
        assert first == b"Received: from hs91.kep.tr ([127.0.0.1])"
        assert second.startswith(b"\tby hs90.kep.tr with ESMTPS id ")
        assert third == b"\tSun, 01 Mar 2026 09:00:00 +0000"
        assert end == b""


async def test_a_plain_client_on_the_tls_port_gets_nothing(house):
    async with house(handshake=0.2) as servers:
        reader, writer = await asyncio.open_connection("127.0.0.1", servers.ports["submission-tls"])
        writer.write(b"EHLO client.example\r\n")
        octets = await asyncio.wait_for(reader.read(), 5)
        assert b"220" not in octets
        assert b"250" not in octets
        writer.close()


async def test_the_tls_port_needs_a_context(house):
    async with house() as servers:
        with pytest.raises(ValueError, match="context"):
            await servers.submission.start("127.0.0.1", 0, None, True)


def whole_run(folder, certificate):
    """Several clients at once by smtplib, over both kinds of TLS, with messages that need a spool file."""
    body = "".join(f".satır {number}\n" for number in range(40_000))

    def send(port, implicit):
        message = EmailMessage()
        message["From"], message["Subject"] = ALI, "çok satır"
        message.set_content(body, cte="8bit")
        kind = smtplib.SMTP_SSL if implicit else smtplib.SMTP
        with kind("127.0.0.1", port, **({"context": open_client_context()} if implicit else {})) as client:
            if not implicit:
                client.starttls(context=open_client_context())
            client.login(ALI, "gizli")
            octets = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
            assert client.sendmail(ALI, ["veli@hs91.kep.tr"], octets, ["BODY=8BITMIME"]) == {}
        return octets

    async def run():
        async with House(folder, certificate, message=4_000_000) as servers:
            calls = [("submission", False), ("submission-tls", True)] * 3
            sent = await asyncio.gather(*(asyncio.to_thread(send, servers.ports[p], i) for p, i in calls))
            assert [taken.octets for taken in servers.submission_desk.taken] == sent
            return type(asyncio.get_running_loop()).__module__

    return run()


def test_on_asyncio(tmp_path, certificate):
    assert asyncio.run(whole_run(tmp_path, certificate)).startswith("asyncio")


def test_on_uvloop(tmp_path, certificate):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(whole_run(tmp_path, certificate)).startswith("uvloop")
    assert os.listdir(tmp_path) == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_old_tls_is_refused(house):
    async with house() as servers:
        context = open_client_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", servers.ports["submission-tls"], ssl=context)
