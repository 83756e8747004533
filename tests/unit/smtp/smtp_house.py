"""Desks that record, certificates made on the spot, and servers of both doors on loopback."""

import asyncio
import datetime
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kepgw.accounts import sasl
from kepgw.accounts.rights import Right
from kepgw.refusals import Refusal
from kepgw.smtp.limits import Limits
from kepgw.smtp.relay_in import RelayServer
from kepgw.smtp.submission import SubmissionServer
from kepgw.store.accounts import Operator
from kepgw.store.login import LoginFailed

ALI = "ali@hs90.kep.tr"


def operator() -> Operator:
    values = {"id": 1, "account": 1, "address": ALI, "account_name": "Ali", "login": ALI, "name": "Ali"}
    values |= {"rights": Right.READ | Right.SEND, "active": True, "argon2": "", "scram_sha256": ""}
    names = Operator.__dataclass_fields__
    return Operator(**{name: values.get(name, "") for name in names})


class FakeLogins:
    """Knows one password."""

    def __init__(self):
        self.broken = False

    @staticmethod
    def mechanisms(link):
        return ("PLAIN", "LOGIN")

    async def converse(self, mechanism, initial, ask, link):
        if self.broken:
            raise OSError("/var/secret/path is gone")
        if mechanism == "PLAIN":
            claim = sasl.plain(initial if initial is not None else await ask(b""))
        else:
            name = sasl.word(initial if initial is not None else await ask(sasl.USERNAME))
            claim = sasl.Claim(name, sasl.word(await ask(sasl.PASSWORD)))
        if (claim.login, claim.password) != (ALI, "gizli"):
            raise LoginFailed(claim.login, delay=0.01)
        return operator()


@dataclass
class Taken:
    sender: str
    recipients: tuple
    refused: tuple
    octets: bytes
    problem: Refusal | None
    parameters: object = None
    received: bytes = b""
    checked: object = None


@dataclass
class FakeDesk:
    """Records what it takes; some addresses are refused, some break it."""

    taken: list = field(default_factory=list)
    fail: Exception | None = None
    not_ready: Exception | None = None
    hold: asyncio.Event | None = None
    began: asyncio.Event = field(default_factory=asyncio.Event)

    def ready(self):
        if self.not_ready:
            raise self.not_ready

    async def _wait(self):
        self.began.set()
        if self.hold:
            await self.hold.wait()
        if self.fail:
            raise self.fail


class FakeSubmissionDesk(FakeDesk):
    async def sender(self, operator, address):
        if address != ALI:
            raise Refusal("sender-not-account", f"{address} is not {ALI}", account=ALI)

    async def recipient(self, operator, address, remote):
        if address.startswith("boom@"):
            raise RuntimeError("secret table name")
        if address.startswith("later@"):
            raise Refusal("try-later", "the store is busy")
        if address.startswith("yok@"):
            raise Refusal("unknown-recipient", "no such account", recipient=address)
        return address.lower()

    async def submit(self, submission):
        await self._wait()
        octets = b"".join(submission.spool.chunks())
        self.taken.append(
            Taken(
                submission.operator.address,
                submission.recipients,
                submission.refused,
                octets,
                submission.problem,
                submission.parameters,
                checked=submission.checked,
            )
        )
        if submission.problem:
            raise submission.problem
        return f"T{len(self.taken)}"


class FakeRelayDesk(FakeDesk):
    async def sender(self, address, certificate):
        self.certificate = certificate
        if address != "kep@hs91.kep.tr":
            raise Refusal("unknown-peer", f"no peer has {address!r}")

    async def recipient(self, sender, address):
        if not address.endswith("@hs90.kep.tr"):
            raise Refusal("foreign-recipient", "not ours", recipient=address)
        if address.startswith("yok@"):
            raise Refusal("unknown-recipient", "no such account", recipient=address)
        return address.lower()

    async def receive(self, relayed):
        await self._wait()
        octets = b"".join(relayed.spool.chunks())
        length = relayed.received_length
        self.taken.append(
            Taken(
                relayed.service_address,
                relayed.recipients,
                (),
                octets[length:],
                None,
                received=octets[:length],
                checked=relayed.checked,
            )
        )
        return f"R{len(self.taken)}"


@dataclass
class Certificate:
    pem: Path
    sha256: str
    server: ssl.SSLContext


def make_certificate(folder: Path) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "tls.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pem)
    return Certificate(pem, certificate.fingerprint(hashes.SHA256()).hex(), context)


def open_client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


TEST_LIMITS = {"message": 200_000, "relay_extra": 1000}


class House:
    """The servers of one test and their ports."""

    def __init__(self, folder: Path, certificate: Certificate, **limits):
        self.limits = Limits(**{**TEST_LIMITS, **limits})
        self.certificate = certificate
        self.folder = folder
        self.logins = FakeLogins()
        self.submission_desk = FakeSubmissionDesk()
        self.relay_desk = FakeRelayDesk()
        shared = {"hostname": "hs90.kep.tr", "spool_folder": folder, "limits": self.limits}
        at = datetime.datetime(2026, 3, 1, 9, 0, tzinfo=datetime.UTC)
        self.submission = SubmissionServer(self.submission_desk, self.logins, **shared)
        self.relay = RelayServer(self.relay_desk, clock=lambda: at, **shared)
        self.ports = {}

    async def __aenter__(self):
        tls = self.certificate.server
        self.ports["submission"] = await self.submission.start("127.0.0.1", 0, tls, False)
        self.ports["submission-tls"] = await self.submission.start("127.0.0.1", 0, tls, True)
        self.ports["relay"] = await self.relay.start("127.0.0.1", 0, tls, False)
        return self

    async def __aexit__(self, *_):
        for desk in (self.submission_desk, self.relay_desk):
            if desk.hold:
                desk.hold.set()
        await self.submission.stop(0.5)
        await self.relay.stop(0.5)
