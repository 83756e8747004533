"""Keys with their certificates: loading from PEM files, fitting key and certificate.

A FileKey satisfies ``kepgw.evidence.xades.Signer``: it is handed to the evidence and envelope writers as it is.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from kepgw.errors import ConfigurationError, SignatureInvalid
from kepgw.evidence.certificates import LARGEST, UNREADABLE, load
from kepgw.trust.algorithms import HASHES, SIGNATURES, check_public_key, signature_padding

Purpose = Literal["process", "tsa"]
LONGEST_FILE = 1 << 20  # octets of a PEM file: a chain is a few KB

_PURPOSES = {"process": ExtendedKeyUsageOID.EMAIL_PROTECTION, "tsa": ExtendedKeyUsageOID.TIME_STAMPING}
_DEFAULTS = {"rsa": "rsa-sha256", "ecdsa": "ecdsa-sha256"}


class CertifiedKey:
    """The certificate of a signing key, its intermediates and the algorithm: all that is public of it.

    ``certificate`` is the DER leaf, ``chain`` the DER intermediates without the root, ``algorithm`` a name of
    ``kepgw.trust.algorithms.SIGNATURES``; ``fingerprint`` the SHA-256 of the leaf in hex; ``addresses`` its rfc822Names
    and ``service_address`` the first of them or ``""``. Times are aware UTC.
    """

    def __init__(
        self, certificate: x509.Certificate, chain: Sequence[x509.Certificate] = (), algorithm: str = ""
    ) -> None:
        public = certificate.public_key()
        kind = "rsa" if isinstance(public, rsa.RSAPublicKey) else "ecdsa"
        self.algorithm = algorithm or _DEFAULTS[kind]
        if self.algorithm not in SIGNATURES or not SIGNATURES[self.algorithm].kind.startswith(kind):
            raise ConfigurationError(f"the algorithm {self.algorithm!r} does not fit a {kind} key")
        self.certificate = certificate.public_bytes(Encoding.DER)
        self.chain = tuple(link.public_bytes(Encoding.DER) for link in chain)
        self.not_before = certificate.not_valid_before_utc
        self.not_after = certificate.not_valid_after_utc
        self.fingerprint = hashlib.sha256(self.certificate).hexdigest()
        self.addresses = tuple(_mail_addresses(certificate))
        self.service_address = next(iter(self.addresses), "")

    def days_left(self, at: datetime) -> int:
        """Whole days until the certificate ends, negative when it has ended."""
        return (self.not_after - at).days

    def public_part(self) -> "CertifiedKey":
        """The same without the key."""
        certificates = [x509.load_der_x509_certificate(each) for each in (self.certificate, *self.chain)]
        return CertifiedKey(certificates[0], certificates[1:], self.algorithm)

    def __repr__(self) -> str:
        name = self.service_address or self.fingerprint[:16]
        return f"{type(self).__name__}({name}, {self.algorithm}, until {self.not_after:%Y-%m-%d})"


class FileKey(CertifiedKey):
    """A private key of a PEM file with its certificate and intermediates. Safe to use from many threads."""

    def __init__(
        self,
        key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
        certificate: x509.Certificate,
        chain: Sequence[x509.Certificate] = (),
        algorithm: str = "",
    ) -> None:
        super().__init__(certificate, chain, algorithm)
        self._key = key
        how = SIGNATURES[self.algorithm]
        self._hash = HASHES[how.digest]
        pss = signature_padding(how.digest, HASHES[how.digest].digest_size)
        self._padding = pss if how.kind == "rsa-pss" else padding.PKCS1v15()

    def sign(self, data: bytes) -> bytes:
        """Sign ``data``, which is hashed here; an ECDSA signature comes as DER. Releases the GIL."""
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, self._padding, self._hash)
        return self._key.sign(data, ec.ECDSA(self._hash))


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Every certificate of a PEM file, one or a concatenated chain. Raises ConfigurationError with what to do."""
    octets = _read(path)
    try:
        return x509.load_pem_x509_certificates(octets)
    except UNREADABLE as error:
        raise ConfigurationError(f"{path}: holds no readable PEM certificate ({error})") from error


def load_key(
    key_pem: Path,
    *certificate_pems: Path,
    algorithm: str = "",
    purpose: Purpose = "process",
    passphrase: bytes | None = None,
) -> FileKey:
    """The private key of ``key_pem`` with the certificate that fits it and the intermediates above that.

    Certificates may come in any order, one a file or concatenated; roots are left out. ``algorithm`` is empty for the
    usual one of the key's kind. Raises ConfigurationError when a file is unreadable, no certificate fits the key, or
    the fitting one may not sign (KeyUsage without digitalSignature, ExtendedKeyUsage for another purpose).
    """
    try:
        key = load_pem_private_key(_read(key_pem), passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{key_pem}: holds no readable PEM private key ({error})") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ConfigurationError(f"{key_pem}: the key is neither RSA nor EC; use RSA-3072 or P-256")
    try:
        check_public_key(key.public_key())
    except SignatureInvalid as error:
        raise ConfigurationError(f"{key_pem}: {error}; use RSA-3072 or P-256") from error
    certificates = [each for path in certificate_pems for each in load_certificates(path)]
    wanted = _public_octets(key.public_key())
    fitting = [each for each in certificates if _public_octets(each.public_key()) == wanted]
    if not fitting:
        names = ", ".join(str(path) for path in certificate_pems)
        raise ConfigurationError(f"{key_pem}: no certificate in {names} belongs to this key")
    leaf = max(fitting, key=lambda each: each.not_valid_before_utc)  # a renewed certificate may stand beside the old
    _check_usage(leaf, purpose, key_pem)
    return FileKey(key, leaf, _chain(leaf, certificates), algorithm)


def read_leaf(*certificate_pems: Path) -> tuple[x509.Certificate, list[x509.Certificate]]:
    """The process certificate of files without its key: the first of the first file; and the intermediates above it.

    For a key that cannot be read from a file. Raises ConfigurationError as ``load_key`` does, and for an authority's.
    """
    certificates = [each for path in certificate_pems for each in load_certificates(path)]
    leaf, path = certificates[0], certificate_pems[0]
    try:
        check_public_key(leaf.public_key())
    except (SignatureInvalid, *UNREADABLE) as error:
        raise ConfigurationError(f"{path}: {error}; use RSA-3072 or P-256") from error
    try:
        authority = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        authority = False
    if authority:
        raise ConfigurationError(f"{path}: begins with an authority's certificate; put the process certificate first")
    _check_usage(leaf, "process", path)
    return leaf, _chain(leaf, certificates)


@dataclass(frozen=True)
class Description:
    """What doctor and the peer card show of a certificate; ``serial`` in hex, times aware UTC."""

    subject: str
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    days_left: int
    fingerprint: str
    key: str
    addresses: tuple[str, ...]


def describe(certificate: bytes, at: datetime | None = None) -> Description:
    """Describe a DER or PEM certificate at ``at`` (now when None). Raises ConfigurationError for other octets."""
    if len(certificate) > 2 * LARGEST:  # base64 and the lines around it
        raise ConfigurationError(f"a certificate of {len(certificate)} octets")
    pem = certificate.lstrip().startswith(b"-----")
    try:
        read = x509.load_pem_x509_certificate(certificate) if pem else load(certificate)
        public, subject, issuer = read.public_key(), read.subject.rfc4514_string(), read.issuer.rfc4514_string()
        begins, ends = read.not_valid_before_utc, read.not_valid_after_utc
    except UNREADABLE as error:
        raise ConfigurationError(f"not a readable certificate: {error}") from error
    if isinstance(public, rsa.RSAPublicKey):
        key = f"RSA-{public.key_size}"
    else:
        key = public.curve.name if isinstance(public, ec.EllipticCurvePublicKey) else type(public).__name__
    octets = read.public_bytes(Encoding.DER)
    return Description(
        subject=subject,
        issuer=issuer,
        serial=f"{read.serial_number:x}",
        not_before=begins,
        not_after=ends,
        days_left=(ends - (at or datetime.now(UTC))).days,
        fingerprint=hashlib.sha256(octets).hexdigest(),
        key=key,
        addresses=tuple(_mail_addresses(read)),
    )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            octets = file.read(LONGEST_FILE + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); check the path and its rights") from error
    if len(octets) > LONGEST_FILE:
        raise ConfigurationError(f"{path}: larger than any key or certificate file")
    return octets


def _public_octets(key: object) -> bytes:
    octets: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return octets


def _mail_addresses(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return []
    return names.get_values_for_type(x509.RFC822Name)


def _check_usage(leaf: x509.Certificate, purpose: Purpose, path: Path) -> None:
    """RFC 5280 4.2.1.3 and 4.2.1.12: an absent extension restricts nothing."""
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        if not (usage.digital_signature or usage.content_commitment):
            raise ConfigurationError(f"{path}: the certificate's KeyUsage does not allow signing")
    except x509.ExtensionNotFound:
        pass
    try:
        purposes = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        purposes = set()
    allowed = {_PURPOSES[purpose]} | (set() if purpose == "tsa" else {ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
    if (purposes or purpose == "tsa") and not purposes & allowed:
        wanted = "timeStamping" if purpose == "tsa" else "emailProtection"
        raise ConfigurationError(f"{path}: the certificate's ExtendedKeyUsage is not {wanted}")


def _chain(leaf: x509.Certificate, certificates: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The intermediates above the leaf, nearest first, without the self-signed end."""
    chain: list[x509.Certificate] = []
    link = leaf
    while link.issuer != link.subject and len(chain) < 8:
        above = next((each for each in certificates if _issued(each, link)), None)
        if above is None or above.issuer == above.subject:
            break
        chain.append(above)
        link = above
    return chain


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    if issuer == certificate or issuer.subject != certificate.issuer:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # cryptography raises InvalidSignature, ValueError, TypeError and errors of its own
        return False
    return True
