"""Clients that are not ours: imaplib, IMAPClient, aioimaplib, curl and mbsync."""

import asyncio
import email
import imaplib
import shutil
import socket
import subprocess
import time

import aioimaplib
import imapclient
import pytest
from imap_world import DISPATCH, PASSWORD, USER

from kepgw.imap import utf7

pytestmark = pytest.mark.oracle

MAIL = b"From: ayse@hs90.kep.tr\r\nSubject: taslak\r\nMessage-ID: <draft@x>\r\n\r\nmetin\r\n"


async def test_imaplib(served):
    await served.deliver()

    def run():
        client = imaplib.IMAP4("127.0.0.1", served.plain_port)
        with pytest.raises(imaplib.IMAP4.error):
            client.login(USER, PASSWORD)
        client.starttls(served.client_tls)
        assert client.login(USER, PASSWORD)[0] == "OK"
        assert client.select("INBOX") == ("OK", [b"1"])
        status, data = client.fetch("1", "(RFC822)")
        assert status == "OK"
        assert data[0][1] == DISPATCH
        assert client.append("Taslaklar", "(\\Draft)", imaplib.Time2Internaldate(time.time()), MAIL)[0] == "OK"
        assert client.search(None, "SEEN") == ("OK", [b"1"])
        client.literal = "ışığı".encode()
        assert client.search("UTF-8", "SUBJECT") == ("OK", [b"1"])
        assert client.store("1", "+FLAGS", "(\\Flagged)")[0] == "OK"
        assert client.copy("1", utf7.encode("Çöp").decode())[0] == "OK"
        assert client.close()[0] == "OK"
        assert client.logout()[0] == "BYE"

    await asyncio.to_thread(run)


async def test_imapclient(served):
    await served.deliver()

    def run():
        with imapclient.IMAPClient("127.0.0.1", served.port, ssl_context=served.client_tls) as client:
            client.login(USER, PASSWORD)
            folders = {name: flags for flags, _, name in client.list_folders()}
            assert set(folders) == {"INBOX", "Gönderilmiş", "Taslaklar", "Çöp", "Arşiv", "Deliller"}
            assert client.find_special_folder(imapclient.imapclient.SENT) == "Gönderilmiş"
            assert client.find_special_folder(imapclient.imapclient.TRASH) == "Çöp"
            client.create_folder("Müvekkil/Öz & Işık")
            assert client.folder_exists("Müvekkil/Öz & Işık")
            client.select_folder("INBOX")
            fetched = client.fetch(
                [1], ["ENVELOPE", "BODYSTRUCTURE", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "BODY[2]"]
            )
            assert fetched[1][b"ENVELOPE"].message_id == b"<d1@hs91.kep.tr>"
            assert fetched[1][b"ENVELOPE"].from_[0].name == "Ayşe".encode()
            assert fetched[1][b"BODYSTRUCTURE"].is_multipart
            assert fetched[1][b"RFC822.SIZE"] == len(DISPATCH)
            assert fetched[1][b"BODY[2]"].endswith(b"SECRET body")
            assert client.search(["TEXT", "GİRİŞ"], "UTF-8") == [1]
            client.move([1], "Müvekkil/Öz & Işık")
            assert client.search() == []
            assert client.folder_status("Müvekkil/Öz & Işık")[b"MESSAGES"] == 1
            client.append("Taslaklar", MAIL, flags=["\\Draft"])
            assert client.namespace().personal == (("", "/"),)

    await asyncio.to_thread(run)


async def test_imapclient_hears_of_a_delivery_in_idle(served):
    def run(idling):
        with imapclient.IMAPClient("127.0.0.1", served.port, ssl_context=served.client_tls) as client:
            client.login(USER, PASSWORD)
            client.select_folder("INBOX")
            client.idle()
            idling()
            started = time.monotonic()
            news = client.idle_check(timeout=5)
            client.idle_done()
            return news, time.monotonic() - started

    loop = asyncio.get_running_loop()
    idle = asyncio.Event()
    task = asyncio.create_task(asyncio.to_thread(run, lambda: loop.call_soon_threadsafe(idle.set)))
    await idle.wait()
    await served.deliver()
    news, seconds = await task
    assert (1, b"EXISTS") in news
    assert seconds < 1


async def test_aioimaplib(served):
    await served.deliver()
    client = aioimaplib.IMAP4_SSL("127.0.0.1", served.port, ssl_context=served.client_tls)
    await client.wait_hello_from_server()
    assert (await client.login(USER, PASSWORD)).result == "OK"
    assert (await client.select("INBOX")).result == "OK"
    answer = await client.uid("fetch", "1", "(BODY.PEEK[])")
    assert bytes(answer.lines[1]) == DISPATCH
    idle = await client.idle_start(timeout=10)
    await served.deliver()
    assert b"2 EXISTS" in await client.wait_server_push()
    client.idle_done()
    await asyncio.wait_for(idle, 5)
    assert (await client.logout()).result == "OK"


async def _run(*command, **more):
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False, **more)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
async def test_curl(served, certificate, tmp_path):
    await served.deliver()
    base = ("curl", "-s", "--cacert", certificate, "-u", f"{USER}:{PASSWORD}")
    url = f"imaps://localhost:{served.port}/"
    got = await _run(*base, url + "INBOX/;MAILINDEX=1")
    assert got.stdout == DISPATCH, got.stderr
    got = await _run(*base, url + "INBOX", "-X", "SEARCH ALL")
    assert got.stdout == b"* SEARCH 1\r\n"
    (tmp_path / "draft.eml").write_bytes(MAIL)
    got = await _run(*base, url + "Taslaklar", "-T", str(tmp_path / "draft.eml"))
    assert got.returncode == 0, got.stderr
    got = await _run(*base, "--ssl-reqd", f"imap://localhost:{served.plain_port}/Taslaklar/;UID=1")
    assert got.stdout == MAIL


@pytest.mark.skipif(not shutil.which("mbsync"), reason="mbsync is not installed")
async def test_mbsync_goes_both_ways(served, certificate, tmp_path):
    for _ in range(3):
        await served.deliver()
    mail = tmp_path / "mail"
    mail.mkdir()
    settings = tmp_path / "mbsyncrc"
    settings.write_text(
        f"""
IMAPAccount kep
Host localhost
Port {served.port}
User {USER}
Pass "{PASSWORD}"
SSLType IMAPS
CertificateFile {certificate}

IMAPStore far
Account kep

MaildirStore near
Path {mail}/
Inbox {mail}/Inbox
SubFolders Verbatim

Channel kep
Far :far:
Near :near:
Patterns *
Create Near
Expunge Both
SyncState *
""",
        "utf-8",
    )
    done = await _run("mbsync", "-c", str(settings), "-a")
    assert done.returncode == 0, done.stderr
    pulled = sorted((mail / "Inbox").glob("*/*"))
    messages = [path for path in pulled if path.is_file() and not path.name.startswith(".")]
    assert len(messages) == 3
    assert {email.message_from_bytes(path.read_bytes())["Message-ID"] for path in messages} == {"<d1@hs91.kep.tr>"}
    # flags go up, a new draft goes up, a removed message goes away
    first, second, _ = messages
    first.rename(mail / "Inbox" / "cur" / (first.name.partition(":")[0] + ":2,FS"))
    second.unlink()
    drafts = mail / "Taslaklar" / "cur"
    (drafts / f"{int(time.time())}.1.{socket.gethostname()}:2,D").write_bytes(MAIL.replace(b"\r\n", b"\n"))
    done = await _run("mbsync", "-c", str(settings), "-a")
    assert done.returncode == 0, done.stderr
    client = await served.client()
    assert len(await client.ok(b"FETCH 1:* FLAGS") if await client.ok(b"SELECT INBOX") else []) == 2
    assert await client.ok(b"SEARCH FLAGGED SEEN") == [b"* SEARCH 1\r\n"]
    await client.ok(b"SELECT Taslaklar")
    assert await client.ok(b"SEARCH DRAFT SUBJECT taslak") == [b"* SEARCH 1\r\n"]
