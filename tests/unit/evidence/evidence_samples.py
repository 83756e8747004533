"""A small certificate tree, signers of each algorithm, and evidence to write and sign."""

import datetime as dt
import hashlib
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from kepgw.evidence.codes import KEP_CODES, Element, KepCode, Reason
from kepgw.evidence.model import Authentication, Entity, Evidence, GivenReason, Issuer, MessageDetails

SHARED = Path(__file__).parents[3].parent / "shared"
AT = dt.datetime(2026, 3, 1, 9, 30, 15, tzinfo=dt.UTC)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "TR"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Deneme KEPHS A.Ş."),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _certificate(subject, key, issuer, issuer_key, ca):
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2045, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    return builder.sign(issuer_key, hashes.SHA256())


def _der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True)
class TestSigner:
    __test__ = False
    key: object = field(repr=False)
    certificate: bytes
    chain: tuple[bytes, ...]
    algorithm: str
    root_pem: bytes = b""

    def sign(self, data: bytes) -> bytes:
        digest = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}[self.algorithm[-3:]]()
        if self.algorithm.startswith("ecdsa"):
            return self.key.sign(data, ec.ECDSA(digest))
        if "pss" in self.algorithm:
            return self.key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        return self.key.sign(data, padding.PKCS1v15(), digest)


@cache
def make_signer(algorithm: str, bits: int = 3072) -> TestSigner:
    root_key, middle_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    curves = {"ecdsa-sha256": ec.SECP256R1, "ecdsa-sha384": ec.SECP384R1, "ecdsa-sha512": ec.SECP521R1}
    key = ec.generate_private_key(curves[algorithm]()) if algorithm in curves else _rsa_key(bits)
    root = _certificate("Deneme Kök", root_key, "Deneme Kök", root_key, ca=True)
    middle = _certificate("Deneme Ara", middle_key, "Deneme Kök", root_key, ca=True)
    leaf = _certificate("Deneme İşlem", key, "Deneme Ara", middle_key, ca=False)
    return TestSigner(key, _der(leaf), (_der(middle),), algorithm, root.public_bytes(serialization.Encoding.PEM))


@cache
def _rsa_key(bits: int):
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def make_evidence(code: KepCode = KepCode.KABUL, **changes) -> Evidence:
    rule = KEP_CODES[code]
    evidence = Evidence(
        element=rule.element,
        event=rule.event,
        identifier="delil-0000001@hs90.kep.tr",
        policies=("urn:oid:2.16.792.1.1",),
        issuer=Issuer("kep@hs90.kep.tr", "Deneme KEPHS", "hs90.kep.tr"),
        event_time=AT,
        sender=Entity("ayse@hs90.kep.tr", "Ayşe Yılmaz"),
        recipients=(Entity("mehmet@hs91.kep.tr", "Mehmet"), Entity("iş@hs91.kep.tr")),
        message=MessageDetails(
            "Sözleşme & ek <1>", "<1@istemci>", "remmd.1@hs90.kep.tr", "sha256", hashlib.sha256(b"ileti").digest()
        ),
        submission_time=AT,
        reasons=() if rule.positive else (GivenReason(Reason.UNKNOWN_RECIPIENT, "Böyle bir hesap yok"),),
        reply_to="ayse@hs90.kep.tr",
        refers_to=None if rule.element is Element.SUBMISSION else 1,
        sender_authentication=Authentication(AT, "Basic") if rule.element is Element.SUBMISSION else None,
    )
    return replace(evidence, **changes)


def find_shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the published schemas and golden messages are not beside the checkout")
    return SHARED
