"""A whole case of two providers, made as a mapping of files: hs90 sends, hs91 delivers and says that it was read."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from trust_samples import AT, ORIGINAL, evidence

from kepgw.evidence import evidencerecord, ledger, merkle, ts102640, xades
from kepgw.evidence.codes import Element, Event
from kepgw.evidence.model import Issuer
from kepgw.trust import devpki
from kepgw.trust.devtsa import DevelopmentTsa
from kepgw.trust.heads import sign_head
from kepgw.trust.keys import load_key

EVENTS = {
    10: (Element.SUBMISSION, Event.ACCEPTANCE),
    20: (Element.RELAY, Event.ACCEPTANCE),
    40: (Element.DELIVERY, Event.DELIVERY),
    60: (Element.RETRIEVAL, Event.RETRIEVAL),
}
KINDS = {"original": "original", "dispatch": "dispatch", "receipt": "receipt", "ledger": "head", "archive": "record"}


class Provider:
    """Signs as one provider, at AT."""

    def __init__(self, folder: Path, domain: str) -> None:
        devpki.create(folder, domain, f"kep@{domain}", algorithm="p-256", at=AT)
        self.domain, self.folder, keys = domain, folder, folder / "keys"
        self.key = load_key(keys / "process.key", keys / "process.pem", keys / "intermediate.pem")
        self.tsa = DevelopmentTsa(load_key(keys / "tsa.key", keys / "tsa.pem", purpose="tsa"), now=lambda: AT)

    def certificate(self, name: str) -> bytes:
        octets = (self.folder / "keys" / f"{name}.pem").read_bytes()
        return x509.load_pem_x509_certificate(octets).public_bytes(Encoding.DER)

    def user(self, address: str, folder: Path, statements: bytes = b""):
        """The key of a user with this rfc822Name ("" for none) and qcStatements, below the provider's own authority."""
        above, keys = x509.load_der_x509_certificate(self.certificate("intermediate")), self.folder / "keys"
        secret = ec.generate_private_key(ec.SECP256R1())
        made = (
            x509.CertificateBuilder(
                above.subject, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Veli Kullanıcı")])
            )
            .public_key(secret.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(AT - timedelta(days=2))
            .not_valid_after(AT + timedelta(days=300))
        )
        if address:
            made = made.add_extension(x509.SubjectAlternativeName([x509.RFC822Name(address)]), critical=False)
        if statements:
            qualified = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3"), statements)
            made = made.add_extension(qualified, critical=False)
        issuer = load_pem_private_key((keys / "intermediate.key").read_bytes(), None)
        (folder / "user.pem").write_bytes(made.sign(issuer, SHA256()).public_bytes(Encoding.PEM))
        private = secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "user.key").write_bytes(private)
        (folder / "user.key").chmod(0o600)
        return load_key(folder / "user.key", folder / "user.pem", keys / "intermediate.pem")

    def evidence(self, code: int, *, domain: str = "", original: bytes = ORIGINAL, key=None, **changes) -> bytes:
        element, event = EVENTS[code]
        domain = domain or self.domain
        changes = {
            "identifier": f"delil-{code}@{domain}",
            "issuer": Issuer(f"kep@{domain}", domain, domain),
            "event_time": AT + timedelta(seconds=code) - timedelta(minutes=5),
            **changes,
        }
        if code >= 40:
            changes |= {"refers_to": 1}
        said = evidence(hashlib.sha256(original).digest(), element=element, event=event, **changes)
        return xades.sign(ts102640.write(said), key or self.key, AT, self.tsa)


def kind_of(path: str) -> str:
    if path.endswith((".crl", ".cer")):
        return {"crl": "crl", "cer": "certificate"}[path[-3:]]
    if path.startswith("ledger/proof"):
        return "proof"
    if path.startswith("evidence/"):
        return "evidence" if path.endswith(".xml") else "text"
    return KINDS[path.partition("/")[0]]


def listed(files: dict[str, bytes], **changes) -> dict[str, bytes]:
    """The files with a README and a manifest that fits them."""
    entries = [
        {"path": path, "kind": kind_of(path), "sha256": hashlib.sha256(octets).hexdigest(), "size": len(octets)}
        for path, octets in files.items()
    ]
    manifest = {"format": "kepgw-case/1", "provider": "hs90.kep.tr", "exported": AT.isoformat(), "message": {}}
    manifest |= {"files": entries, **changes}
    return {"README.txt": b"oku\r\n", **files, "case.json": json.dumps(manifest).encode()}


def case(hs90: Provider, hs91: Provider, dispatch: bytes, **evidences: bytes) -> dict[str, bytes]:
    """The files of a case without their manifest."""
    found = {10: hs90.evidence(10), 20: hs91.evidence(20), 40: hs91.evidence(40), 60: hs91.evidence(60)}
    found |= {int(code.removeprefix("e")): xml for code, xml in evidences.items()}
    files = {"original/original.eml": ORIGINAL, "dispatch/1.eml": dispatch}
    records = []
    for seq, (code, xml) in enumerate(found.items(), 1):
        files[f"evidence/{seq:06}-{code}-delil-{code}.xml"] = xml
        records.append(
            ledger.Record(
                seq, f"delil-{code}", hashlib.sha256(xml).digest(), code, "hs90.kep.tr", code == 10, AT, 202603, 1, 1,
                None, "",
            )
        )  # fmt: skip
    leaves = [each.leaf() for each in records]
    statement = ledger.Statement("hs90.kep.tr", len(leaves), root(leaves), AT)
    head = sign_head(statement, hs90.key, hs90.tsa)
    files["ledger/head.json"] = ledger.write_head(head)
    for each in records:
        path = audit_path(leaves, each.seq - 1)
        files[f"ledger/proof-{each.seq}.json"] = ledger.write_inclusion(each.octets(), each.seq - 1, path, head)
    made = evidencerecord.initial([[xml] for xml in found.values()], hs90.tsa)
    files |= {f"archive/{seq}.ers": record for seq, record in enumerate(made, 1)}
    for provider in (hs90, hs91):
        for name in ("root", "intermediate", "process", "tsa"):
            octets = provider.certificate(name)
            files[f"trust/certificates/{hashlib.sha256(octets).hexdigest()}.cer"] = octets
        for name in ("root", "intermediate"):
            octets = (provider.folder / "revocation" / f"{name}.crl").read_bytes()
            files[f"trust/revocation/{hashlib.sha256(octets).hexdigest()}.crl"] = octets
    return files


def root(leaves):
    """The root of RFC 6962 2.1, by its definition."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return merkle.node_hash(root(leaves[:half]), root(leaves[half:]))


def audit_path(leaves, index):
    """The audit path of RFC 6962 2.1.1, by its definition."""
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*audit_path(leaves[:half], index), root(leaves[half:])]
    return [*audit_path(leaves[half:], index - half), root(leaves[:half])]
