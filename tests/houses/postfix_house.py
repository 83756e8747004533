"""A private Postfix on loopback: with its own configuration, queue and log. Needs root, as Postfix does."""

import datetime
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SERVICES = """
{port} inet n - n - - smtpd{options}
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def why_not() -> str:
    """Why no Postfix can be run here; empty when one can."""
    if shutil.which("postfix", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        raise AssertionError("postfix is not installed (scripts/setup-system.sh)")
    return "" if os.geteuid() == 0 else "Postfix starts as root only"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class PostfixHouse:
    """``start`` returns when it answers; ``certificate`` is what it shows, a PEM file."""

    def __init__(self, hostname: str, *, implicit_tls: bool = False, **settings: object):
        # the daemons run as postfix and cannot enter a folder of pytest's
        self.folder = Path(tempfile.mkdtemp(prefix="kepgw-postfix-"))
        self.folder.chmod(0o755)
        self.hostname = hostname
        self.port = free_port()
        self._options = " -o smtpd_tls_wrappermode=yes" if implicit_tls else ""
        self.certificate = self.folder / "tls.pem"
        self.settings = settings
        self.process = None
        self._trust: list[bytes] = []  # DER of the servers that mail is given to; no other is
        self._show(hostname)

    def _show(self, hostname: str) -> None:
        """A certificate of its own; whoever pins it needs no authority."""
        key, name = (
            ec.generate_private_key(ec.SECP256R1()),
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname)]),
        )
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        made = builder.not_valid_after(now + datetime.timedelta(days=2)).sign(key, hashes.SHA256())
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.certificate.write_bytes(made.public_bytes(pem) + private)

    def hand_on(self, domain: str, port: int, certificate: bytes) -> None:
        """Relay mail for ``domain`` to a server on loopback that shows ``certificate`` (DER)."""
        self.settings |= {"relay_domains": domain, "relay_transport": f"relay:[127.0.0.1]:{port}"}
        self._trust = [certificate]

    def trust(self, certificate: bytes) -> None:
        """Give mail to another server too. Before ``start``."""
        self._trust.append(certificate)

    def start(self) -> "PostfixHouse":
        conf, data = self.folder / "conf", self.folder / "data"
        conf.mkdir(exist_ok=True)
        data.mkdir(exist_ok=True)
        shutil.chown(data, "postfix")
        (self.folder / "queue").mkdir(exist_ok=True)
        written = {
            "compatibility_level": "3.6",
            "queue_directory": self.folder / "queue",
            "data_directory": data,
            "command_directory": "/usr/sbin",
            "daemon_directory": "/usr/lib/postfix/sbin",
            "maillog_file": self.folder / "log",
            "maillog_file_prefixes": self.folder,
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "myhostname": self.hostname,
            "mydestination": "",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "mynetworks": "127.0.0.0/8",
            "smtpd_relay_restrictions": "permit_auth_destination, reject",
            "smtpd_tls_cert_file": self.certificate,
            "smtpd_tls_key_file": self.certificate,
            "smtpd_tls_security_level": "encrypt",
            "smtp_tls_security_level": "fingerprint",
            "smtp_tls_fingerprint_digest": "sha256",
            "smtp_tls_fingerprint_cert_match": " ".join(hashlib.sha256(each).digest().hex(":") for each in self._trust),
            "smtputf8_enable": "no",
            "append_at_myorigin": "no",
            "append_dot_mydomain": "no",
            "message_size_limit": 50_000_000,
            "mailbox_size_limit": 0,
            "minimal_backoff_time": "1s",
            "queue_run_delay": "1s",
            **self.settings,
        }
        (conf / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in written.items()))
        (conf / "master.cf").write_text(SERVICES.format(port=f"127.0.0.1:{self.port}", options=self._options).lstrip())
        self.process = subprocess.Popen(
            ["/usr/sbin/postfix", "-c", str(conf), "start-fg"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert self.process.poll() is None, self.process.stdout.read().decode()
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return self
            except OSError:
                time.sleep(0.05)  # it tells nobody when it is ready
        raise AssertionError(f"Postfix does not begin:\n{self.log()}")

    def log(self) -> str:
        file = self.folder / "log"
        return file.read_text("utf-8", "replace") if file.exists() else ""

    def wait_for(self, text: str, count: int = 1) -> None:
        """Until a line of its log holds ``text`` for the ``count``-th time."""
        until = time.monotonic() + 60
        while self.log().count(text) < count:
            assert time.monotonic() < until, f"{text!r} is not in:\n{self.log()}"
            time.sleep(0.05)  # a log file tells nobody that it grew

    def stop(self) -> None:
        if self.process is not None:
            subprocess.run(
                ["/usr/sbin/postfix", "-c", str(self.folder / "conf"), "stop"], capture_output=True, check=False
            )
            self.process.wait(30)
            self.process.stdout.close()
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)
