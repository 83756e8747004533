"""Honest octets of every kind that a stranger may send, made once: what fuzzing alters and what limits begin from."""

import atexit
import base64
import hashlib
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import ocsp

from kepgw.evidence import evidencerecord, ledger, merkle, ts102640, xades
from kepgw.evidence.codes import Element, Event
from kepgw.evidence.model import Entity, Evidence, Issuer, MessageDetails
from kepgw.interop.card import Card, write_card
from kepgw.message.envelope import OriginalPart, begin
from kepgw.trust import cms, devpki, heads
from kepgw.trust.devtsa import DevelopmentTsa
from kepgw.trust.keys import FileKey, load_key
from kepgw.trust.paths import load_anchors
from kepgw.trust.tokens import build_request

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONTENT = b"Content-Type: text/plain\r\n\r\nhello\r\n"
DIGEST = hashlib.sha256(CONTENT).digest()
NONCE = 0x7EEDBEEF
ORIGINAL = (
    "From: =?utf-8?q?Ay=C5=9Fe?= <ayse@hs90.kep.tr>\r\nTo: grup: <ali@hs91.kep.tr> (not),\r\n veli@hs91.kep.tr;\r\n"
    "Subject: =?utf-8?b?xLBtemE=?= =?utf-8?q?l=C4=B1?=\r\nDate: Sun, 01 Mar 2026 12:00:00 +0300\r\n"
    "Message-ID: <1@ayse>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGünaydın\r\n--x\r\n"
    "Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n--x--\r\n"
).encode()


@cache
def keys() -> Path:
    """A development PKI with P-256 keys, for as long as the process lives."""
    folder = Path(tempfile.mkdtemp(prefix="kepgw-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    devpki.create(folder, "hs90.kep.tr", "kep@hs90.kep.tr", algorithm="p-256", at=AT)
    return folder / "keys"


@cache
def process_key() -> FileKey:
    """The key that signs envelopes and evidence."""
    return load_key(keys() / "process.key", keys() / "process.pem", keys() / "intermediate.pem")


@cache
def tsa() -> DevelopmentTsa:
    """A time-stamp authority whose clock stands still."""
    return DevelopmentTsa(load_key(keys() / "tsa.key", keys() / "tsa.pem", purpose="tsa"), now=lambda: AT)


@cache
def anchors() -> tuple[bytes, ...]:
    """The root, DER."""
    return load_anchors([keys() / "root.pem"])


@cache
def evidence() -> bytes:
    """A signed and stamped evidence 10 of ORIGINAL."""
    said = Evidence(
        element=Element.SUBMISSION,
        event=Event.ACCEPTANCE,
        identifier="delil-1@hs90.kep.tr",
        policies=("urn:test:policy",),
        issuer=Issuer("kep@hs90.kep.tr", "HS90", "hs90.kep.tr"),
        event_time=AT,
        sender=Entity("ayse@hs90.kep.tr", "Ayşe"),
        recipients=(Entity("ali@hs91.kep.tr"), Entity("veli@hs91.kep.tr")),
        message=MessageDetails(
            "İmzalı", "<1@ayse>", "ileti-1@hs90.kep.tr", "sha256", hashlib.sha256(ORIGINAL).digest()
        ),
        submission_time=AT,
        reply_to="ayse@hs90.kep.tr",
    )
    return xades.sign(ts102640.write(said), process_key(), AT, tsa())


@cache
def dispatch() -> bytes:
    """A sealed envelope around ORIGINAL."""
    outer = [("From", "HS90 <kep@hs90.kep.tr>"), ("To", "<ali@hs91.kep.tr>"), ("Subject", "KEP")]
    inner = [("X-REM-EvidenceIdentifier", "delil-1@hs90.kep.tr"), ("X-REM-Msg-Type", "Dispatch")]
    unsealed = begin(
        outer + inner,
        inner,
        ("Merhaba", "<p>Merhaba</p>"),
        OriginalPart(len(ORIGINAL), True),
        [("SubmissionAcceptanceRejection.xml", evidence())],
        seed=b"1",
    )
    digest = hashlib.sha256(unsealed.signed_head + ORIGINAL + unsealed.tail).digest()
    return unsealed.head + ORIGINAL + unsealed.seal(cms.sign_detached(digest, process_key(), AT, tsa()))


@cache
def signature() -> bytes:
    """A detached CAdES signature with a time stamp over CONTENT."""
    return cms.sign_detached(DIGEST, process_key(), AT, tsa())


@cache
def token() -> bytes:
    """A TimeStampToken over DIGEST."""
    return tsa().token(DIGEST, NONCE)


@cache
def request() -> bytes:
    """A TimeStampReq."""
    return build_request(DIGEST, NONCE)


@cache
def response() -> bytes:
    """A TimeStampResp."""
    return tsa().respond(request())


@cache
def user_signed() -> bytes:
    """CONTENT signed by its sender."""
    return (
        b"From: ayse@hs90.kep.tr\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; micalg=sha-256;\r\n"
        b' protocol="application/pkcs7-signature"; boundary=s\r\n\r\n--s\r\n' + CONTENT + b"\r\n--s\r\n"
        b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + _base64(signature())
        + b"\r\n--s--\r\n"
    )


def _base64(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", b"\r\n").rstrip()


@cache
def record() -> bytes:
    """An evidence record over CONTENT and neighbours, renewed once in each way."""
    first = evidencerecord.initial([[CONTENT], [b"other"], [b"third", b"fourth"]], tsa())[0]
    return evidencerecord.renew_trees([(evidencerecord.renew_stamp(first, tsa()), [CONTENT])], tsa(), "sha256")[0]


@cache
def head() -> ledger.Head:
    """A signed tree head of two leaves."""
    statement = ledger.Statement("hs90.kep.tr", 2, merkle.node_hash(*leaves()), AT)
    return heads.sign_head(statement, process_key(), tsa())


@cache
def leaves() -> tuple[bytes, bytes]:
    """The hashes of two records."""
    return merkle.leaf_hash(b"{}"), merkle.leaf_hash(b"x")


@cache
def proof() -> bytes:
    """An inclusion proof file."""
    return ledger.write_inclusion(b"{}", 0, [leaves()[1]], head())


@cache
def issuer_der() -> bytes:
    """The intermediate that issued the process certificate, DER."""
    return load_anchors([keys() / "intermediate.pem"])[0]


def _root_key():
    return load_pem_private_key((keys() / "root.key").read_bytes(), None)


@cache
def root() -> x509.Certificate:
    """The root certificate."""
    return x509.load_der_x509_certificate(anchors()[0])


@cache
def card() -> bytes:
    """A provider card."""
    tls = load_anchors([keys() / "tls.pem"])[0]
    chain = (process_key().certificate, issuer_der(), anchors()[0])
    made = Card("hs90.kep.tr", "HS90", "kep@hs90.kep.tr", ("hs90.kep.tr",), (chain,), "localhost", 25, tls)
    return write_card(made).encode()


@cache
def crl() -> bytes:
    """A revocation list of the root with some entries."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(root().subject)
    builder = builder.last_update(AT).next_update(AT + timedelta(days=1))
    for number in range(1, 6):
        entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(AT)
        entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(_root_key(), hashes.SHA256()).public_bytes(Encoding.DER)


@cache
def ocsp_response() -> bytes:
    """An OCSP response of the root about the intermediate."""
    builder = ocsp.OCSPResponseBuilder().add_response(
        x509.load_der_x509_certificate(issuer_der()),
        root(),
        hashes.SHA256(),
        ocsp.OCSPCertStatus.GOOD,
        AT,
        AT + timedelta(days=1),
        None,
        None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, root()).certificates([root()])
    return builder.sign(_root_key(), hashes.SHA256()).public_bytes(Encoding.DER)
