"""A development PKI of one provider: everything it takes to run, and nothing with legal effect.

Real keys come from an authorised certificate authority; these say DEVELOPMENT in every subject.
"""

import ipaddress
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kepgw.errors import ConfigurationError

ALGORITHMS = ("rsa-3072", "rsa-2048", "p-256", "p-384")
CERTIFICATES = ("root", "intermediate", "process", "tls", "tsa")
KEYS = ("root", "intermediate", "process", "tls", "tsa")
AUTHORITIES = ("root", "intermediate")
LISTS = "revocation"  # the folder of their lists, beside "keys"
NAMES = (*(f"{name}.pem" for name in CERTIFICATES), *(f"{name}.key" for name in KEYS))
MARK = "kepgw DEVELOPMENT - no legal effect"

_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_YEAR = timedelta(days=365)
_SKEW = timedelta(minutes=10)  # a peer whose clock is behind must not find the certificate not yet valid
_LIST_LIFE = _YEAR
_RENEW_BEFORE = timedelta(days=30)
_TLS_LIFE = timedelta(days=820)  # mail clients on Apple systems refuse server certificates beyond 825 days


def create(
    directory: Path,
    provider: str,
    service_address: str,
    hosts: Sequence[str] = ("localhost", "127.0.0.1", "::1"),
    algorithm: str = "rsa-3072",
    at: datetime | None = None,
) -> None:
    """Write a whole development PKI into ``directory / "keys"``, one PEM a file, mode 0600, never overwriting.

    The lists of its authorities go into ``directory / "revocation"`` (``renew_lists``).

    ``algorithm`` is that of the process and TSA keys; root, intermediate and TLS are P-256, so that ``init`` is quick.
    ``hosts`` are names and addresses of the TLS certificate, the provider's own name is added. Validity starts at
    ``at`` (now when None). Raises ConfigurationError when a file is already there or the algorithm is unknown.
    """
    if algorithm not in ALGORITHMS:
        raise ConfigurationError(f"unknown key algorithm {algorithm!r}; one of {', '.join(ALGORITHMS)}")
    keys = directory / "keys"
    present = [name for name in NAMES if (keys / name).exists()]
    if present:
        raise ConfigurationError(f"{keys} already holds {', '.join(present)}; nothing was written")
    start = (at or datetime.now(UTC)) - _SKEW

    root_key, intermediate_key, tls_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    process_key, tsa_key = _generate(algorithm), _generate(algorithm)
    root_name = _name(f"Root {provider}")
    root = _issue(root_key, root_name, root_key, root_name, start, 20 * _YEAR, _authority(1))
    intermediate_name = _name(f"Intermediate {provider}")
    intermediate = _issue(
        intermediate_key, intermediate_name, root_key, root_name, start, 10 * _YEAR, _authority(0), root_key
    )
    process = _issue(
        process_key, _name(f"Process {provider}"), intermediate_key, intermediate_name, start, 3 * _YEAR,
        _leaf(ExtendedKeyUsageOID.EMAIL_PROTECTION, [x509.RFC822Name(service_address)]), intermediate_key,
    )  # fmt: skip
    names = list(dict.fromkeys((provider, *hosts)))
    tls = _issue(
        tls_key, _name(f"TLS {provider}"), root_key, root_name, start, _TLS_LIFE,
        _leaf(ExtendedKeyUsageOID.SERVER_AUTH, [_host(name) for name in names]), root_key,
    )  # fmt: skip
    tsa = _issue(
        tsa_key, _name(f"TSA {provider}"), root_key, root_name, start, 5 * _YEAR,
        _leaf(ExtendedKeyUsageOID.TIME_STAMPING, [], critical=True), root_key,  # RFC 3161 2.3: critical and alone
    )  # fmt: skip

    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, certificate in zip(CERTIFICATES, (root, intermediate, process, tls, tsa), strict=True):
        _write(keys / f"{name}.pem", certificate.public_bytes(Encoding.PEM))
    for name, key in zip(KEYS, (root_key, intermediate_key, process_key, tls_key, tsa_key), strict=True):
        _write(keys / f"{name}.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    renew_lists(directory, start)


def renew_lists(directory: Path, at: datetime) -> list[Path]:
    """Make the revocation lists of the development authorities, or new ones when theirs end soon; what was written.

    What a list revokes the next one does too. An authority that has ended, is not of ours, or whose key is not there,
    is left alone. Raises ConfigurationError when a file cannot be read or written.
    """
    written = []
    for name in AUTHORITIES:
        path = directory / LISTS / f"{name}.crl"
        with _telling(path):
            found = _authority_of(directory, name)
            if found is None or found[0].not_valid_after_utc <= at:
                continue
            old = _list_of(path)
            if old is None or old.next_update_utc is None or old.next_update_utc - at <= _RENEW_BEFORE:
                _write_list(path, *found, at, old, tuple(old or ()))
                written.append(path)
    return written


def revoke(
    directory: Path,
    certificate: x509.Certificate,
    at: datetime,
    reason: x509.ReasonFlags | None = None,
    *,
    restore: bool = False,
) -> Path:
    """Have the development authority of ``certificate`` revoke it from ``at`` on, or take it off its list again.

    Raises ConfigurationError when its authority or list is not there.
    """
    for name in AUTHORITIES:
        path = directory / LISTS / f"{name}.crl"
        with _telling(path):
            found = _authority_of(directory, name)
            if found is None or found[0].subject != certificate.issuer:
                continue
            old = _list_of(path)
            entries = [each for each in old or () if each.serial_number != certificate.serial_number]
            if not restore:
                entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(at)
                if reason is not None:
                    entry = entry.add_extension(x509.CRLReason(reason), critical=False)
                entries.append(entry.build())
            _write_list(path, *found, at, old, entries)
            return path
    raise ConfigurationError(f"no development authority in {directory} issued {certificate.subject.rfc4514_string()}")


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be renewed ({error})") from error


def _authority_of(directory: Path, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """A development authority with its key, None when it is not there or another's."""
    certificate_file, key_file = directory / "keys" / f"{name}.pem", directory / "keys" / f"{name}.key"
    if not (certificate_file.exists() and key_file.exists()):
        return None
    authority = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    if MARK not in authority.subject.rfc4514_string():
        return None
    key = load_pem_private_key(key_file.read_bytes(), None)
    return (authority, key) if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _list_of(path: Path) -> x509.CertificateRevocationList | None:
    return x509.load_der_x509_crl(path.read_bytes()) if path.exists() else None


def _write_list(
    path: Path,
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    at: datetime,
    old: x509.CertificateRevocationList | None,
    entries: Iterable[x509.RevokedCertificate],
) -> None:
    """Sign a list that follows ``old``, and put it in its place in one step: a reader finds the old or the new one."""
    number = 1
    if old is not None:
        number += old.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(at)
        .next_update(min(at + _LIST_LIFE, authority.not_valid_after_utc))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    for entry in entries:
        builder = builder.add_revoked_certificate(entry)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    _write(fresh, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))
    fresh.replace(path)


def _generate(algorithm: str) -> _Key:
    kind, size = algorithm.split("-")
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=int(size))
    return ec.generate_private_key(ec.SECP256R1() if size == "256" else ec.SECP384R1())


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, MARK),
            x509.NameAttribute(NameOID.COMMON_NAME, common[:64]),  # RFC 5280 A.1: ub-common-name
        ]
    )


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


_Extensions = list[tuple[x509.ExtensionType, bool]]


def _authority(length: int) -> _Extensions:
    return [(x509.BasicConstraints(ca=True, path_length=length), True), (_usage(authority=True), True)]


def _leaf(purpose: x509.ObjectIdentifier, names: list[x509.GeneralName], *, critical: bool = False) -> _Extensions:
    extensions: _Extensions = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(authority=False), True),
        (x509.ExtendedKeyUsage([purpose]), critical),
    ]
    if names:
        extensions.append((x509.SubjectAlternativeName(names), False))
    return extensions


def _issue(
    key: _Key,
    subject: x509.Name,
    issuer_key: _Key,
    issuer: x509.Name,
    start: datetime,
    life: timedelta,
    extensions: _Extensions,
    authority_key: _Key | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if authority_key is not None:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _write(path: Path, octets: bytes) -> None:
    """Create ``path`` with mode 0600 from its first moment; an existing file is never touched."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be created ({error.strerror})") from error
    with os.fdopen(handle, "wb") as file:
        file.write(octets)
