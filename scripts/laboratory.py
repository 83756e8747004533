"""Providers in processes of their own, ordinary mail clients, and judges that are not ours.

For the demonstration and the scenario tests: everything goes through the `kepgw` command, SMTP and IMAP, as for a user.
"""

import base64
import email
import imaplib
import io
import json
import os
import random
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from email.message import EmailMessage, Message
from pathlib import Path

from kepgw.app.cli import main

PASSWORD = "Gizli-Parola-1"
DEADLINE = 60.0  # seconds that anything awaited may take
XADES_ID = "http://uri.etsi.org/01903/v1.3.2#:SignedProperties"
KEPGW = [sys.executable, "-m", "kepgw.app.cli"]

_GIVEN: set[int] = set()  # ports that this process has handed out


def free_base() -> int:
    """A base port such that every port of a provider is free.

    Drawn by chance, so that several runs do not meet, and below the ports that outgoing connections take.
    """
    for _ in range(200):
        base = random.randrange(10_000, 31_500)  # noqa: S311  (nobody's secret)
        ports = {base + offset for offset in (7, 25, 80, 143, 465, 587, 993)}
        if ports & _GIVEN:
            continue
        try:
            for port in ports:
                with socket.create_server(("127.0.0.1", port)):
                    pass
        except OSError:
            continue
        _GIVEN.update(ports)
        return base
    raise RuntimeError("no free ports")


def run(*command: str | Path, stdin: bytes | None = None, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    """Run a program; its output is in the error when it fails."""
    words = [str(each) for each in command]
    done = subprocess.run(words, input=stdin, capture_output=True, timeout=DEADLINE, check=False)
    if check and done.returncode:
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{said}")
    return done


def kepgw(*arguments: str | Path, stdin: bytes | None = None, check: bool = True) -> bytes:
    """Run a command of kepgw and give what it prints."""
    return run(*KEPGW, *arguments, stdin=stdin, check=check).stdout


def command(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    """As ``kepgw``, in this process: many times faster, for what a scenario needs and is not about."""
    said, complaint = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with redirect_stdout(said), redirect_stderr(complaint):
            status = main([str(each) for each in arguments])
    finally:
        sys.stdin = before
    if status:
        raise RuntimeError(f"kepgw {' '.join(map(str, arguments))} ended with {status}: {complaint.getvalue()}")
    said.flush()
    return said.buffer.getvalue()


@dataclass(frozen=True)
class Reply:
    """What a provider answered to one submission; ``data``: the content was sent and answered for good."""

    sender: str
    message_id: str
    accepted: frozenset[str]
    refused: frozenset[str]
    data: bool


@dataclass
class Node:
    """One provider in a folder, run by a process of its own."""

    folder: Path
    domain: str
    base: int = 0
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    addresses: list[str] = field(default_factory=list)  # its accounts
    replies: list[Reply] = field(default_factory=list)

    def init(self) -> "Node":
        """Make the provider with development keys."""
        self.base = self.base or free_base()
        command("init", self.folder, "--provider", self.domain, "--base-port", str(self.base), "--dev")
        return self

    def configure(self, **settings: object) -> None:
        """Change settings of kepgw.toml, named ``table__key``."""
        path = self.folder / "kepgw.toml"
        text = path.read_text("utf-8")
        for name, value in settings.items():
            table, _, key = name.partition("__")
            start = re.search(rf"^\[+{table}\]+", text, re.MULTILINE)
            assert start, name
            written = json.dumps(value)
            if isinstance(value, dict):  # an inline table of TOML
                written = f"{{ {', '.join(f'{json.dumps(each)} = {json.dumps(of)}' for each, of in value.items())} }}"
            changed, count = re.subn(
                rf"^{key} = [^#\n]*", f"{key} = {written} ", text[start.end() :], count=1, flags=re.MULTILINE
            )
            assert count == 1, name
            text = text[: start.end()] + changed
        path.write_text(text, "utf-8")

    def append(self, tables: str) -> None:
        """Add tables to kepgw.toml."""
        path = self.folder / "kepgw.toml"
        path.write_text(f"{path.read_text('utf-8')}\n{tables}", "utf-8")

    def account(self, local: str, name: str = "") -> str:
        """Add an account; its address."""
        address = local if "@" in local else f"{local}@{self.domain}"
        command(
            "account", "add", self.folder, address, "--name", name or local, "--password-stdin", stdin=PASSWORD.encode()
        )
        self.addresses.append(address)
        return address

    def peer_with(self, other: "Node") -> None:
        """Take the other's card in."""
        with tempfile.NamedTemporaryFile(suffix=".toml") as card:
            card.write(command("peer", "card", other.folder))
            card.flush()
            command("peer", "add", self.folder, card.name)

    def start(self) -> "Node":
        """Serve, and return when it answers."""
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [*KEPGW, "serve", str(self.folder)], stdout=log, stderr=log, env={**os.environ, **self.environment}
        )
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.domain} ended:\n{self.log()}")
            try:
                with socket.create_connection(("127.0.0.1", self.base + 80), 1):
                    return self
            except OSError:
                time.sleep(0.05)  # the one thing that cannot be waited for: a process that has no socket yet
        raise RuntimeError(f"{self.domain} does not answer:\n{self.log()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop (or kill) it; its exit status."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        status = self.process.wait(DEADLINE)
        self.process = None
        return status

    def kill(self) -> None:
        """As a power cut would, as far as one process goes."""
        self.stop(signal.SIGKILL)

    def log(self) -> str:
        """What it logged."""
        return (self.folder / "log").read_text("utf-8", "replace")[-8000:]

    def cli(self, *arguments: str | Path) -> bytes:
        """A kepgw command with the folder after the command's words: ``cli("message", "list")``."""
        words = [each for each in arguments if not str(each).startswith("-")][:2]
        rest = list(arguments)[len(words) :]
        return kepgw(*words, self.folder, *rest)

    def json(self, *arguments: str | Path) -> object:
        """The same with --json, read."""
        return json.loads(self.cli(*arguments, "--json"))

    def asked(self, *arguments: str | Path) -> object:
        """The same in this process, which is many times faster than a process of its own."""
        words = [each for each in arguments if not str(each).startswith("-")][:2]
        rest = list(arguments)[len(words) :]
        return json.loads(command(*words, self.folder, *rest, "--json"))

    # -- clients ------------------------------------------------------------------------------------------------

    def smtp(self, address: str, *, starttls: bool = False) -> smtplib.SMTP:
        """A logged-in smtplib client."""
        if starttls:
            client = smtplib.SMTP("127.0.0.1", self.base + 587, timeout=DEADLINE)
            client.starttls(context=blind())
        else:
            client = smtplib.SMTP_SSL("127.0.0.1", self.base + 465, timeout=DEADLINE, context=blind())
        client.login(address, PASSWORD)
        return client

    def send(
        self, message: EmailMessage | bytes, sender: str, recipients: Iterable[str]
    ) -> dict[str, tuple[int, bytes]]:
        """Submit a message; the refused recipients."""
        octets = (
            message if isinstance(message, bytes) else message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
        )
        wanted = list(recipients)
        message_id = str(email.message_from_bytes(octets)["Message-ID"] or "")
        with self.smtp(sender) as client:
            try:
                refused = client.sendmail(sender, wanted, octets, mail_options=["BODY=8BITMIME"])
            except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError) as error:
                data = isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500  # a 4xx leaves no proof
                self.replies.append(Reply(sender, message_id, frozenset(), frozenset(wanted), data))
                raise
        self.replies.append(Reply(sender, message_id, frozenset(wanted) - refused.keys(), frozenset(refused), True))
        return refused

    @contextmanager
    def imap(self, address: str) -> Iterator["Reader"]:
        """A logged-in imaplib client."""
        connection = imaplib.IMAP4_SSL("127.0.0.1", self.base + 993, ssl_context=blind(), timeout=DEADLINE)
        connection.login(address, PASSWORD)
        try:
            yield Reader(connection)
        finally:
            connection.logout()


def blind() -> ssl.SSLContext:
    """TLS without knowing the development root."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass
class Reader:
    """A mailbox reader that waits for events (RFC 2177), never by the clock."""

    connection: imaplib.IMAP4

    def select(self, folder: str) -> int:
        """Select; the number of mails."""
        kind, data = self.connection.select(f'"{utf7(folder)}"')
        assert kind == "OK", data
        return int(data[0] or 0)

    def uids(self, *criteria: str) -> list[int]:
        """UIDs that match."""
        kind, data = self.connection.uid("SEARCH", *(criteria or ("ALL",)))
        assert kind == "OK", data
        return [int(each) for each in (data[0] or b"").split()]

    def wait(self, folder: str, ready: Callable[["Reader"], bool]) -> None:
        """Return when ``ready`` holds for the folder, looked at again whenever the server reports a change."""
        self.select(folder)
        until = time.monotonic() + DEADLINE
        self._changed()
        while not ready(self):
            if time.monotonic() > until:
                raise TimeoutError(f"{folder}: {len(self.uids())} mails")
            if not self._changed():  # news that came with an answer will not come again in IDLE
                self._idle(until)

    def wait_for(self, folder: str, count: int, *criteria: str) -> list[int]:
        """Wait for at least so many mails that match; their UIDs."""
        self.wait(folder, lambda reader: len(reader.uids(*criteria)) >= count)
        return self.uids(*criteria)

    def _changed(self) -> bool:
        """Whether the server told of changes since the last look."""
        told = [self.connection.response(kind)[1] for kind in ("EXISTS", "FETCH", "EXPUNGE")]
        return any(each not in ([None], None) for each in told)

    def _idle(self, until: float) -> None:
        connection = self.connection
        tag = connection._new_tag()
        connection.send(tag + b" IDLE\r\n")
        assert connection.readline().startswith(b"+")
        connection.sock.settimeout(max(until - time.monotonic(), 0.1))
        connection.readline()
        connection.sock.settimeout(DEADLINE)
        connection.send(b"DONE\r\n")
        while not connection.readline().startswith(tag):
            pass

    def fetch(self, uid: int, *, peek: bool = True) -> bytes:
        """The octets of a mail."""
        kind, data = self.connection.uid("FETCH", str(uid), "(BODY.PEEK[])" if peek else "(BODY[])")
        assert kind == "OK", data
        return next(each[1] for each in data if isinstance(each, tuple))

    def flags(self, uid: int) -> set[str]:
        """Flags and keywords of a mail."""
        _, data = self.connection.uid("FETCH", str(uid), "(FLAGS)")
        found = re.search(rb"FLAGS \(([^)]*)\)", data[0])
        return set(found[1].decode().split()) if found else set()

    def all(self, folder: str) -> list[bytes]:
        """The octets of all mails of a folder."""
        self.select(folder)
        return [self.fetch(uid) for uid in self.uids()]


def utf7(name: str) -> str:
    """Modified UTF-7 of a mailbox name (RFC 3501 5.1.3)."""

    def shifted(found: re.Match[str]) -> str:
        coded = found[0].encode("utf-16-be")
        return "&" + base64.b64encode(coded).decode().rstrip("=").replace("/", ",") + "-"

    return re.sub(r"[^\x20-\x7e]+", shifted, name.replace("&", "&-"))


# -- messages -----------------------------------------------------------------------------------------------------


def compose(
    sender: str,
    to: Iterable[str],
    subject: str,
    text: str,
    *,
    cc: Iterable[str] = (),
    attachments: Iterable[tuple[str, bytes]] = (),
    reply_to: str = "",
) -> EmailMessage:
    """A message as an ordinary client writes it."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(to)
    if cc:
        message["Cc"] = ", ".join(cc)
    message["Subject"] = subject
    message["Date"] = email.utils.localtime()
    message["Message-ID"] = email.utils.make_msgid(domain=sender.partition("@")[2])
    if reply_to:
        message["In-Reply-To"] = message["References"] = reply_to
    message.set_content(text)
    for name, octets in attachments:
        message.add_attachment(octets, maintype="application", subtype="octet-stream", filename=name)
    return message


def parts(octets: bytes) -> Iterator[Message]:
    """All parts of a message, those inside the original left out."""
    yield from _parts(email.message_from_bytes(octets))


def _parts(message: Message) -> Iterator[Message]:
    yield message
    if message.get_content_maintype() == "multipart":
        for part in message.get_payload():
            yield from _parts(part)


def evidences(octets: bytes) -> list[tuple[str, bytes]]:
    """Name and octets of the evidence in a dispatch or receipt, read with the standard library."""
    return [
        (part.get_filename() or "", part.get_payload(decode=True))
        for part in parts(octets)
        if part.get_content_type() == "application/xml"
    ]


def event_of(xml: bytes) -> str:
    """``Element/Event`` of an evidence of TS 102 640-2, the event's name of one of EN 319 522-3."""
    if found := re.search(rb"ERDSEventId>[^<]*/(\w+)<", xml):
        return found[1].decode()
    root = re.search(rb"<(?:\w+:)?(\w+) ", xml.split(b"?>", 1)[-1])
    event = re.search(rb"EventCode>[^<]*#(\w+)<", xml)
    return f"{root[1].decode() if root else '?'}/{event[1].decode() if event else '?'}"


# -- judges -------------------------------------------------------------------------------------------------------


class Judges:
    """openssl, xmlsec1 and `kepgw verify` over one message: three readers, two of which are not ours."""

    def __init__(self, anchors: Iterable[Path]) -> None:
        self.anchors = list(anchors)
        self.judged = 0

    def messages(self, mails: Iterable[bytes]) -> None:
        """Judge dispatches and receipts. Raises RuntimeError with the judge's words when one is refused."""
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder)
            roots = here / "roots.pem"
            roots.write_bytes(b"".join(each.read_bytes() for each in self.anchors))
            trusted = [word for anchor in self.anchors for word in ("--trusted-pem", anchor)]
            files = []
            for number, octets in enumerate(mails):
                file = here / f"{number}.eml"
                file.write_bytes(octets)
                files.append(file)
                run(
                    "openssl", "cms", "-verify", "-cades", "-binary", "-crlfeol", "-purpose", "any",
                    "-in", file, "-CAfile", roots, "-out", here / "content",
                )  # fmt: skip
                for _, xml in evidences(octets):
                    (here / "evidence.xml").write_bytes(xml)
                    run("xmlsec1", "--verify", "--id-attr:Id", XADES_ID, *trusted, here / "evidence.xml")
            if files:
                kepgw("verify", *files, *[word for anchor in self.anchors for word in ("--trust", anchor)])
            self.judged += len(files)

    def message(self, octets: bytes) -> None:
        """Judge one."""
        self.messages([octets])


def tools_missing() -> list[str]:
    """Programs that judge and are not there."""
    return [name for name in ("openssl", "xmlsec1") if shutil.which(name) is None]
