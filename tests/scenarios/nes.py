"""Senders' certificates and signed messages for tests: an authority of our own; openssl or our own CMS signs."""

import base64
import hashlib
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from kepgw.trust import cms
from kepgw.trust.keys import FileKey

QC_COMPLIANCE = bytes.fromhex("300a3008060604008e460101")
QC_SEAL = bytes.fromhex("301f3008060604008e4601013013060604008e4601063009060704008e46010602")
QC_SIGNATURE = bytes.fromhex("301f3008060604008e4601013013060604008e4601063009060704008e46010601")
_USAGE = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
          "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip


def usage(*allowed):
    return x509.KeyUsage(**{name: name in allowed for name in _USAGE})


def _uri(address):
    return x509.UniformResourceIdentifier(address)


def key_of(kind):
    if kind.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(kind.split("-")[1]))
    return ec.generate_private_key({"p-256": ec.SECP256R1, "p-384": ec.SECP384R1}[kind]())


@dataclass
class Sender:
    """A key with its certificate and the intermediates above it."""

    key: object
    certificate: x509.Certificate
    chain: tuple = ()

    def signer(self, algorithm=""):
        return FileKey(self.key, self.certificate, self.chain, algorithm)

    def pem(self):
        return self.certificate.public_bytes(Encoding.PEM)

    def der(self):
        return self.certificate.public_bytes(Encoding.DER)

    def key_pem(self):
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Eshs:
    """An authority. ``pss`` signs with RSASSA-PSS, as the Turkish Tebliğ wants of authorities (RG 25692 m.6)."""

    def __init__(self, name="Deneme ESHS", kind="p-256", *, pss=False, above=None, at=None, days=3650):
        self.pss = pss
        self.at = at or datetime.now(UTC)
        self.key = key_of(kind)
        subject = self._name(name)
        builder = self._builder(subject, above.certificate.subject if above else subject, self.key.public_key(), days)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        builder = builder.add_extension(usage("key_cert_sign", "crl_sign"), True)
        self.certificate = (above or self)._sign(builder)
        self.chain = () if above is None else (self.certificate, *above.chain)

    def _name(self, name, citizen=""):
        attributes = [x509.NameAttribute(NameOID.COUNTRY_NAME, "TR"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
        if citizen:
            attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, citizen))
        return x509.Name(attributes)

    def _builder(self, subject, issuer, public, days, begins=None):
        begins = begins or self.at - timedelta(days=1)
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
            .serial_number(x509.random_serial_number()).not_valid_before(begins)
            .not_valid_after(begins + timedelta(days=days))
        )  # fmt: skip

    def _sign(self, builder):
        if not self.pss:
            return builder.sign(self.key, hashes.SHA256())
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
        return builder.sign(self.key, hashes.SHA256(), rsa_padding=pss)

    def issue(
        self, name="Ali Yılmaz", kind="p-256", *, statements=QC_COMPLIANCE, begins=None, days=365, extended=(),
        responders=(), lists=(),
    ):  # fmt: skip
        key = key_of(kind)
        subject = self._name(name, "10000000146")
        builder = self._builder(subject, self.certificate.subject, key.public_key(), days, begins)
        builder = builder.add_extension(usage("digital_signature", "content_commitment"), True)
        if statements:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3"), statements), False
            )
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), False)
        if responders:
            at = [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, _uri(each)) for each in responders]
            builder = builder.add_extension(x509.AuthorityInformationAccess(at), False)
        if lists:
            points = [x509.DistributionPoint([_uri(each)], None, None, None) for each in lists]
            builder = builder.add_extension(x509.CRLDistributionPoints(points), False)
        return Sender(key, self._sign(builder), self.chain)

    def pem(self):
        return self.certificate.public_bytes(Encoding.PEM)

    def der(self):
        return self.certificate.public_bytes(Encoding.DER)

    def key_pem(self):
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def crl(self, *revoked, at=None, when=None, reason=None, days=1, extensions=()):
        """A list that revokes certificates at ``when``, issued at ``at``."""
        at = at or self.at
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(at).next_update(at + timedelta(days=days))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number)
            if reason is not None:
                entry = entry.add_extension(x509.CRLReason(reason), critical=False)
            builder = builder.add_revoked_certificate(entry.revocation_date(when or at).build())
        return self._sign(builder).public_bytes(Encoding.DER)

    def response(self, sender, status=ocsp.OCSPCertStatus.GOOD, *, at=None, by=None, reason=None):
        """An OCSP response about a sender, by the authority itself or by a responder."""
        at = at or self.at
        revoked = status is ocsp.OCSPCertStatus.REVOKED
        signer = by or Sender(self.key, self.certificate)
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=sender.certificate, issuer=self.certificate, algorithm=hashes.SHA1(), cert_status=status,
            this_update=at, next_update=at + timedelta(days=1),
            revocation_time=at if revoked else None, revocation_reason=reason,
        ).responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)  # fmt: skip
        if by is not None:
            builder = builder.certificates([by.certificate])
        return builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER)


PART = (
    b'Content-Type: multipart/mixed; boundary="ic"\r\n\r\n'
    b"--ic\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Say=C4=B1n ilgili,\r\n.nokta ile ba=C5=9Flar\r\n..iki nokta\r\n\r\n"
    b"--ic\r\nContent-Type: application/eyazisma; name=belge.eyp\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"UEsDBBQAAAAI\r\n\r\n--ic--\r\n"
)


def headers(sender="ali@hs90.kep.tr", to="veli@hs91.kep.tr", message_id="<imzali@ali>", subject="Dilekce"):
    return (
        f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nMessage-ID: {message_id}\r\n"
        "X-TR-REM-iletiTip: eYazisma\r\nMIME-Version: 1.0\r\n"
    ).encode()


def by_openssl(part, sender, *options, detached=True):
    """The CMS that openssl makes: -cades is CAdES-BES with signing-certificate-v2."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "key.pem").write_bytes(sender.key_pem())
        (here / "certificate.pem").write_bytes(sender.pem())
        (here / "chain.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in sender.chain) or b"\n")
        chain = ["-certfile", here / "chain.pem"] if sender.chain else []
        words = ["openssl", "cms", "-sign", "-binary", "-outform", "DER", "-signer", here / "certificate.pem"]
        words += ["-inkey", here / "key.pem", *chain, *([] if detached else ["-nodetach"])]
        words += list(options) or ["-cades", "-md", "sha256"]
        return subprocess.run(words, input=part, capture_output=True, check=True).stdout


def by_us(part, sender, algorithm="", at=None):
    """The CMS of our own writer, for keys and paddings that a command line does not reach."""
    signer = sender.signer(algorithm)
    digest = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}[signer.algorithm[-3:]](part).digest()
    return cms.sign_detached(digest, signer, at or datetime.now(UTC))


def wrap(
    part, signature, *, outer=None, content_type="", signature_type="application/pkcs7-signature", between=b"\r\n"
):
    """multipart/signed around a part, as a Turkish client writes it: trailing semicolon, types that disagree."""
    kind = content_type or 'multipart/signed; protocol="application/x-pkcs7-signature"; micalg=sha1; boundary="dis"; '
    coded = base64.encodebytes(signature).replace(b"\n", b"\r\n")
    return (
        (headers() if outer is None else outer)
        + f"Content-Type: {kind}\r\n\r\n--dis\r\n".encode()
        + part + between + b"--dis\r\n"
        + f"Content-Type: {signature_type}; name=smime.p7s; smime-type=signed-data\r\n".encode()
        + b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"smime.p7s\"\r\n"
        + b"Content-Description: S/MIME Cryptographic Signature\r\n\r\n" + coded + b"\r\n--dis--\r\n"
    )  # fmt: skip


def opaque(part, sender, *options):
    coded = base64.encodebytes(by_openssl(part, sender, *options, detached=False)).replace(b"\n", b"\r\n")
    return (
        headers() + b"Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + coded
    )
