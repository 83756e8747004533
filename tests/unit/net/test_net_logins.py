"""Logging in over real sockets by clients that are not ours: SCRAM, its channel binding, certificates, locks."""

import asyncio
import hashlib
import imaplib
import shutil
import smtplib
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
import scramp
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from net_house import ALI, AT, PASSWORD, Front, client_context

from kepgw.accounts.guard import GuardSettings
from kepgw.store import accounts
from kepgw.trust import devpki

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    devpki.create(folder, "hs90.kep.tr", "kep@hs90.kep.tr", ["localhost", "127.0.0.1"], algorithm="p-256")
    return folder / "keys"


def end_point(context_port):
    pem = ssl.get_server_certificate(("127.0.0.1", context_port))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()


def imap_scram(port, mechanism, password, binding=None):
    """Log in by imaplib with scramp's messages; the capabilities and the state after it."""
    pair = ("tls-server-end-point", binding) if binding else None
    client = scramp.ScramClient([mechanism], ALI, password, channel_binding=pair)
    steps = iter((client.get_client_first, client.get_client_final))

    def answer(challenge):
        if challenge.startswith(b"r="):
            client.set_server_first(challenge.decode())
        elif challenge.startswith(b"v="):
            client.set_server_final(challenge.decode())
            return b""
        return next(steps)().encode()

    with imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=client_context()) as imap:
        offered = imap.capabilities
        imap.authenticate(mechanism, answer)
        assert imap.select("INBOX")[0] == "OK"
        return offered


@pytest.mark.parametrize("bound", [False, True])
async def test_scram_over_imap(tmp_path, pki, bound):
    async with Front(tmp_path, pki) as front:
        binding = await asyncio.to_thread(end_point, front.port["imaps"]) if bound else None
        mechanism = "SCRAM-SHA-256-PLUS" if bound else "SCRAM-SHA-256"
        offered = await asyncio.to_thread(imap_scram, front.port["imaps"], mechanism, PASSWORD, binding)
        assert f"AUTH={mechanism}" in offered
        assert "AUTH=EXTERNAL" not in offered
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            await asyncio.to_thread(imap_scram, front.port["imaps"], mechanism, "yanlış", binding)


async def test_scram_bound_to_the_certificate_of_somebody_else(tmp_path, pki):
    async with Front(tmp_path, pki) as front:
        with pytest.raises(imaplib.IMAP4.error, match="does not have the form"):
            await asyncio.to_thread(
                imap_scram, front.port["imaps"], "SCRAM-SHA-256-PLUS", PASSWORD, hashlib.sha256(b"other").digest()
            )


async def run(*command, given=""):
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(given.encode()), 30)
    return process.returncode, output.decode("utf-8", "replace")


@pytest.mark.parametrize("mechanism", ["on", "scram-sha-256", "plain", "login"])
async def test_msmtp(tmp_path, pki, mechanism):
    """GNU SASL has its own mind about SCRAM; ``on`` is what it chooses by itself."""
    assert shutil.which("msmtp"), "msmtp is not installed"
    async with Front(tmp_path, pki) as front:
        code, output = await run(
            *("msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={front.port['smtps']}", f"--auth={mechanism}"),
            *("--tls=on", "--tls-starttls=off", "--tls-certcheck=off", f"--user={ALI}", f"--from={ALI}"),
            *(f"--passwordeval=echo '{PASSWORD}'", "veli@hs91.kep.tr"),
            given="Subject: deneme\n\nbir\n",
        )
        assert code == 0, output
        assert [each[0] for each in front.taken] == [ALI]


def client_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = AT.now(AT.tzinfo)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, SHA256())
    )
    pem, private = folder / f"{name}.pem", folder / f"{name}.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, private


async def allow(front, pem):
    digest = x509.load_pem_x509_certificate(pem.read_bytes()).fingerprint(SHA256()).hex()
    made = accounts.ClientCertificate(digest, ALI, "CN=ebys", AT + timedelta(days=300))
    assert await front.store.write(lambda tx: accounts.add_certificate(tx, ALI, made, AT))
    return digest


async def test_external_by_curl(tmp_path, pki):
    assert shutil.which("curl"), "curl is not installed"
    pem, key = client_certificate(tmp_path, "ebys")
    other, other_key = client_certificate(tmp_path, "other")
    (tmp_path / "mail.eml").write_text("Subject: deneme\r\n\r\nbir\r\n")
    async with Front(tmp_path, pki, client_anchors=(pem, other)) as front:
        digest = await allow(front, pem)

        async def send(certificate, private):
            return await run(
                *("curl", "--silent", "--show-error", "--insecure", f"smtps://127.0.0.1:{front.port['smtps']}"),
                *("--cert", str(certificate), "--key", str(private), "--user", f"{ALI}:"),
                *("--login-options", "AUTH=EXTERNAL", "--mail-from", ALI, "--mail-rcpt", "veli@hs91.kep.tr"),
                *("--upload-file", str(tmp_path / "mail.eml")),
            )

        code, output = await send(pem, key)
        assert code == 0, output
        code, output = await send(other, other_key)  # a good certificate that is nobody's
        assert code == 67, output  # curl: login denied
        assert await front.store.write(lambda tx: accounts.remove_certificate(tx, ALI, digest))
        code, output = await send(pem, key)
        assert code == 67, output
        assert [each[0] for each in front.taken] == [ALI]


async def test_external_by_imaplib(tmp_path, pki):
    pem, key = client_certificate(tmp_path, "ebys")

    def log_in(port, asked, context):
        with imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=context) as imap:
            assert "AUTH=EXTERNAL" in imap.capabilities
            imap.authenticate("EXTERNAL", lambda _: asked)
            return imap.select("INBOX")[0]

    async with Front(tmp_path, pki, client_anchors=(pem,)) as front:
        await allow(front, pem)
        context = client_context(pem, key)
        assert await asyncio.to_thread(log_in, front.port["imaps"], b"", context) == "OK"
        assert await asyncio.to_thread(log_in, front.port["imaps"], ALI.encode(), context) == "OK"
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            await asyncio.to_thread(log_in, front.port["imaps"], b"veli@hs90.kep.tr", context)


async def test_a_stranger_s_certificate_is_refused_in_the_handshake(tmp_path, pki):
    pem, _ = client_certificate(tmp_path, "ebys")
    other, other_key = client_certificate(tmp_path, "other")

    def greet(port, context):
        with imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=context) as imap:
            return imap.capabilities

    async with Front(tmp_path, pki, client_anchors=(pem,)) as front:
        with pytest.raises((ssl.SSLError, OSError, imaplib.IMAP4.abort)):
            await asyncio.to_thread(greet, front.port["imaps"], client_context(other, other_key))
        assert "AUTH=EXTERNAL" not in await asyncio.to_thread(greet, front.port["imaps"], client_context())


async def test_a_guesser_is_locked_out_and_the_reply_says_for_how_long(tmp_path, pki):
    def tries(port, words):
        with smtplib.SMTP_SSL("127.0.0.1", port, context=client_context()) as client:
            client.ehlo()
            codes = []
            for word in words:
                client.user, client.password = ALI, word
                try:
                    codes.append(client.auth("LOGIN", client.auth_login)[0])
                except smtplib.SMTPAuthenticationError as error:
                    codes.append((error.smtp_code, error.smtp_error.decode()))
            return codes

    settings = GuardSettings(failures=2, lock=600.0, delay=0.0)
    async with Front(tmp_path, pki, guard=settings, login_failures=10) as front:
        found = await asyncio.to_thread(tries, front.port["smtps"], ["a", "b", "c", "gizli"])
        assert [code for code, _ in found] == [535, 535, 454, 454]
        assert "try again in 10 minutes" in found[2][1]

        def imap(port):
            with imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=client_context()) as client:
                client.login(ALI, PASSWORD)

        with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):  # one lock for both doors, right password or not
            await asyncio.to_thread(imap, front.port["imaps"])
