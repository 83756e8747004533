"""36 Ordinary programs submit, each in its own way: smtplib, swaks, curl, msmtp, nodemailer."""

import email
import email.policy
import email.utils
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from laboratory import PASSWORD, compose, run
from story import ACCEPTED, DELIVERED, receipts

pytestmark = pytest.mark.oracle

NODE_MODULES = os.environ.get("NODE_PATH", "/usr/share/nodejs")  # where Debian's node-nodemailer lies
NODEMAILER = """
const nodemailer = require('nodemailer');
const given = JSON.parse(process.argv[1]);
const transport = nodemailer.createTransport({
  host: '127.0.0.1', port: given.port, secure: given.secure, requireTLS: true,
  tls: {rejectUnauthorized: false}, auth: {user: given.from, pass: given.password}});
transport.sendMail({
  from: given.from, to: given.to, subject: 'Nodemailer ile çağrı', text: 'Merhaba.\\n.\\nson',
  messageId: given.id, dsn: {id: 'dosya=7', return: 'headers', notify: 'success', recipient: given.from},
  attachments: [{filename: 'ölçüm.bin', content: Buffer.alloc(100000, 7)}]
}).then(info => { console.log(info.response); transport.close(); },
        error => { console.error(error); process.exit(1); });
"""


@pytest.fixture(scope="module")
def house(module_world):
    return module_world.here


@pytest.fixture(scope="module")
def mehmet(house):
    return house.account("mehmet", "Mehmet")


def file_of(folder: Path, sender: str, recipient: str) -> tuple[Path, str]:
    message = compose(sender, [recipient], "Çağrı", "Merhaba.\n.\n..iki\nson\n", attachments=[("a.bin", b"\7" * 9999)])
    path = folder / "message.eml"
    path.write_bytes(message.as_bytes(policy=message.policy.clone(linesep="\r\n")))
    return path, message["Message-ID"]


def by_smtplib(house, folder, sender, recipient):
    path, about = file_of(folder, sender, recipient)
    with house.smtp(sender, starttls=True) as client:
        client.sendmail(sender, [recipient], path.read_bytes())
    return about


def by_swaks(house, folder, sender, recipient):
    path, about = file_of(folder, sender, recipient)
    run(
        *(
            "swaks",
            "--server",
            "127.0.0.1",
            "--port",
            str(house.base + 587),
            "-tls",
            "--pipeline",
            "--data",
            f"@{path}",
        ),
        *("--auth-user", sender, "--auth-password", PASSWORD, "--from", sender, "--to", recipient),
    )
    return about


def by_curl(house, folder, sender, recipient):
    path, about = file_of(folder, sender, recipient)
    run(
        *("curl", "-sS", "-k", "--ssl-reqd", f"smtps://127.0.0.1:{house.base + 465}/client.example", "-T", path),
        *("--user", f"{sender}:{PASSWORD}", "--mail-from", sender, "--mail-rcpt", recipient),
    )
    return about


def by_msmtp(house, folder, sender, recipient):
    path, about = file_of(folder, sender, recipient)
    run(
        *("msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={house.base + 465}", "--tls=on"),
        *("--tls-starttls=off", "--tls-certcheck=off", "--auth=on", f"--user={sender}"),
        *(f"--passwordeval=echo {PASSWORD}", f"--from={sender}", "--set-date-header=off", recipient),
        stdin=path.read_bytes().replace(b"\r\n", b"\n"),
    )
    return about


def by_nodemailer(house, folder, sender, recipient):
    del folder
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; nodemailer is tried where it is")
    found = subprocess.run(
        [node, "-e", "require('nodemailer')"], env={**os.environ, "NODE_PATH": NODE_MODULES}, capture_output=True
    )
    if found.returncode:
        pytest.skip("nodemailer is not installed (apt-get install node-nodemailer)")
    for secure, port in ((True, 465), (False, 587)):
        about = email.utils.make_msgid(domain="hs90.kep.tr")
        given = {"port": house.base + port, "secure": secure, "from": sender, "to": recipient, "id": about}
        done = subprocess.run(
            [node, "-e", NODEMAILER, json.dumps({**given, "password": PASSWORD})],
            env={**os.environ, "NODE_PATH": NODE_MODULES},
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout.startswith(b"250 2.0.0 Accepted as ")
    return about


@pytest.mark.parametrize("submit", [by_smtplib, by_swaks, by_curl, by_msmtp, by_nodemailer])
def test_a_program_submits(module_world, house, mehmet, tmp_path, submit):
    about = submit(house, tmp_path, module_world.ali, mehmet)
    wanted = {ACCEPTED: 1, DELIVERED: 1}
    assert receipts(house, module_world.ali, 2, module_world.judges, about) == wanted
    with house.imap(mehmet) as reader:
        (uid,) = reader.wait_for("INBOX", 1, "HEADER", "X-REM-UAMessageIdentifier", about)
        mail = email.message_from_bytes(reader.fetch(uid), policy=email.policy.default)
    (original,) = [part.get_payload(0) for part in mail.walk() if part.get_content_type() == "message/rfc822"]
    assert original["Message-ID"] == about
    assert original["To"].addresses[0].addr_spec == mehmet
    (attachment,) = original.iter_attachments()
    assert set(attachment.get_content()) == {7}
    assert "\n.\n" in original.get_body(("plain",)).get_content().replace("\r\n", "\n")
