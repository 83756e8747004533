"""Submission by programs that are not ours."""

import asyncio
import shutil
import smtplib

import pytest
from smtp_house import ALI, open_client_context

pytestmark = pytest.mark.oracle

MESSAGE = "From: ali@hs90.kep.tr\r\nTo: veli@hs91.kep.tr\r\nSubject: deneme\r\n\r\n.nokta\r\n..iki\r\n.\r\nson\r\n"


def needs(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


async def run(*command, given=""):
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(given.encode()), 30)
    return process.returncode, output.decode("utf-8", "replace")


async def test_smtplib(house):
    def send(port):
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.starttls(context=open_client_context())
            for mechanism in ("PLAIN", "LOGIN"):
                client.ehlo()
                assert mechanism in client.esmtp_features["auth"]
            client.user, client.password = ALI, "gizli"
            client.auth("LOGIN", client.auth_login)
            refused = client.sendmail(ALI, ["veli@hs91.kep.tr", "yok@hs91.kep.tr"], MESSAGE.encode())
            with pytest.raises(smtplib.SMTPSenderRefused):
                client.sendmail("veli@hs90.kep.tr", ["veli@hs91.kep.tr"], MESSAGE.encode())
            with pytest.raises(smtplib.SMTPSenderRefused) as large:
                client.sendmail(ALI, ["veli@hs91.kep.tr"], b"x" * 300_000)
            assert large.value.smtp_code == 552
            return refused

    async with house() as servers:
        refused = await asyncio.to_thread(send, servers.ports["submission"])
        assert refused["yok@hs91.kep.tr"][0] == 550
        assert servers.submission_desk.taken[0].octets == MESSAGE.encode()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("port", ["submission", "submission-tls"])
async def test_swaks(house, port, mechanism):
    needs("swaks")
    async with house() as servers:
        tls = "--tls-on-connect" if port.endswith("-tls") else "-tls"
        code, output = await run(
            *("swaks", "--server", "127.0.0.1", "--port", str(servers.ports[port]), tls),
            *("--auth", mechanism, "--auth-user", ALI, "--auth-password", "gizli"),
            *("--from", ALI, "--to", "veli@hs91.kep.tr,a@hs92.kep.tr", "--pipeline", "--body", "merhaba\n.\nson"),
        )
        assert code == 0, output
        (taken,) = servers.submission_desk.taken
        assert taken.recipients == ("veli@hs91.kep.tr", "a@hs92.kep.tr")
        assert b"\r\nmerhaba\r\n.\r\nson\r\n" in taken.octets


async def test_swaks_with_a_wrong_password(house):
    needs("swaks")
    async with house() as servers:
        code, output = await run(
            *("swaks", "--server", "127.0.0.1", "--port", str(servers.ports["submission"]), "-tls"),
            *("--auth", "PLAIN", "--auth-user", ALI, "--auth-password", "yanlis", "--from", ALI, "--to", ALI),
        )
        assert code == 28, output  # swaks: authentication failed
        assert "535 5.7.8" in output


@pytest.mark.parametrize("port", ["submission", "submission-tls"])
async def test_curl(house, port):
    needs("curl")
    async with house() as servers:
        scheme = "smtps" if port.endswith("-tls") else "smtp"
        code, output = await run(
            *("curl", "-sS", "-k", "--ssl-reqd", f"{scheme}://127.0.0.1:{servers.ports[port]}/client.example"),
            *("--user", f"{ALI}:gizli", "--mail-from", ALI, "--mail-rcpt", "veli@hs91.kep.tr", "-T", "-"),
            given=MESSAGE,
        )
        assert code == 0, output
        assert servers.submission_desk.taken[0].octets == MESSAGE.encode()


async def test_msmtp(house):
    needs("msmtp")
    async with house() as servers:
        code, output = await run(
            *("msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={servers.ports['submission']}", "--tls=on"),
            *("--tls-starttls=on", "--tls-certcheck=off", "--auth=plain", f"--user={ALI}"),
            *(
                "--passwordeval=echo gizli",
                f"--from={ALI}",
                "--dsn-notify=failure",
                "--dsn-return=headers",
                "--set-date-header=off",
            ),
            "veli@hs91.kep.tr",
            given=MESSAGE.replace("\r\n", "\n"),
        )
        assert code == 0, output
        (taken,) = servers.submission_desk.taken
        assert taken.octets.endswith(MESSAGE.encode())  # behind a Date and Message-ID of its own
        assert taken.parameters.notify == {"veli@hs91.kep.tr": "FAILURE"}
        assert taken.parameters.ret == "HDRS"


async def test_openssl_speaks_to_both_ports(house):
    needs("openssl")
    async with house() as servers:
        for port, extra in (("submission", ["-starttls", "smtp"]), ("submission-tls", [])):
            address = f"127.0.0.1:{servers.ports[port]}"
            code, output = await run("openssl", "s_client", "-connect", address, "-quiet", *extra, given="QUIT\r\n")
            assert code == 0, output
            assert "221 2.0.0" in output
