"""Whatever a client sends, a session answers with replies or hangs up; it never fails and never keeps anything."""

import asyncio
import logging
import random
import re

from smtp_house import ALI

WORDS = [
    b"EHLO client.example\r\n",
    b"HELO x\r\n",
    b"AUTH PLAIN AGFsaUBoczkwLmtlcC50cgBnaXpsaQ==\r\n",
    b"AUTH LOGIN\r\n",
    b"*\r\n",
    f"MAIL FROM:<{ALI}>\r\n".encode(),
    b"MAIL FROM:<> SIZE=9999999999\r\n",
    b"RCPT TO:<veli@hs91.kep.tr>\r\n",
    b"RCPT TO:<yok@hs91.kep.tr> NOTIFY=NEVER\r\n",
    b"DATA\r\n",
    b"BDAT 10\r\n",
    b"BDAT 3 LAST\r\n",
    b"BDAT 999999\r\n",
    b"abc\r\n.\r\n",
    b".\r\n",
    b"\r\n",
    b"\n.\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"\0\xff\r\n",
    b"x" * 3000,
    b"QUIT\r\n",
]
REPLY = re.compile(rb"(?:(?:[245][0-9]{2}(?:[ -][\x20-\x7e]*)?|334 [A-Za-z0-9=]*|354 [\x20-\x7e]*)\r\n)*")


async def test_garbage(house, caplog, tmp_path):
    caplog.set_level(logging.INFO, "kepgw.smtp")
    dice = random.Random(20260301)

    async def session(servers, words):
        reader, writer = await asyncio.open_connection("127.0.0.1", servers.ports["submission-garbage"])
        for word in words:
            if dice.random() < 0.2:
                word = word[: dice.randrange(len(word))]
            if not writer.is_closing():
                writer.write(word)
            if dice.random() < 0.5:
                await asyncio.sleep(0)
        try:
            writer.write_eof()
            octets = await asyncio.wait_for(reader.read(), 10)
        except OSError:  # the server has hung up before
            octets = b""
        assert REPLY.fullmatch(octets), octets
        writer.close()

    async with house(errors=1000) as servers:
        open_door(servers)
        servers.ports["submission-garbage"] = await servers.submission.start("127.0.0.1", 0, None, False)
        for _ in range(60):
            scripts = [[dice.choice(WORDS) for _ in range(dice.randrange(40))] for _ in range(5)]
            await asyncio.gather(*(session(servers, WORDS[:1] + WORDS[2:3] + script) for script in scripts))
        assert servers.submission_desk.taken  # some of it were messages
    assert not [record for record in caplog.records if record.name == "kepgw.smtp" and record.levelno > logging.INFO]
    assert not list(tmp_path.glob("spool-*"))


def open_door(servers):
    """Lets mail in without TLS, so that garbage reaches every verb."""
    make = servers.submission.session

    def session(channel, tls):
        made = make(channel, tls)
        channel.tls = True
        return made

    servers.submission.session = session
