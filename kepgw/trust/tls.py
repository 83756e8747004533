"""TLS as KEP providers and clients speak it: TLS 1.2 and 1.3, forward secrecy, peers known by their pin."""

import contextlib
import hashlib
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kepgw.errors import ConfigurationError
from kepgw.evidence.certificates import UNREADABLE

_Context = TypeVar("_Context", bound=ssl.SSLContext)

# TLS 1.2: ephemeral keys and AEAD only (RFC 9325 4.2). The suites of TLS 1.3 are all of that kind.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class ServerContext(ssl.SSLContext):
    """The context of a listener, which knows its own certificate.

    ``end_point`` is the channel binding ``tls-server-end-point`` of the certificate (RFC 5929 4.1).
    """

    end_point: bytes = b""

    def renew(self, cert_pem: Path, key_pem: Path, chain: Sequence[Path] = ()) -> None:
        """Show another certificate from the next handshake on. Raises ConfigurationError."""
        _load(self, cert_pem, key_pem, chain)


def server_context(
    cert_pem: Path, key_pem: Path, chain: Sequence[Path] = (), client_anchors: Sequence[Path] = ()
) -> ServerContext:
    """The context of a listener. ``cert_pem`` holds the certificate, then any intermediates; ``chain`` more of those.

    With ``client_anchors`` (PEM) clients are asked for a certificate; one that is shown must lead to an anchor. A
    client's certificate may itself be an anchor. No ALPN: mail protocols are told apart by port. Raises
    ConfigurationError when files are unreadable or do not fit.
    """
    context = _context(ServerContext, ssl.PROTOCOL_TLS_SERVER)
    _load(context, cert_pem, key_pem, chain)
    try:
        for path in client_anchors:
            context.load_verify_locations(path)
            context.verify_mode = ssl.CERT_OPTIONAL
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{path}: holds no certificate that can be an anchor ({error})") from error
    return context


def _load(context: ServerContext, cert_pem: Path, key_pem: Path, chain: Sequence[Path]) -> None:
    for path in (cert_pem, key_pem, *chain):
        if not path.is_file():
            raise ConfigurationError(f"{path}: no such file; it holds the TLS certificate or key of the listeners")
    try:
        # without a password function OpenSSL would ask on the terminal and the server would hang
        with tempfile.NamedTemporaryFile(suffix=".pem") as joined:  # OpenSSL reads a chain from one file only
            joined.write(b"\n".join(path.read_bytes() for path in (cert_pem, *chain)))
            joined.flush()
            context.load_cert_chain(joined.name, key_pem, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"{cert_pem}, {key_pem}: unusable for TLS ({error}); do they belong together?"
        ) from error
    context.end_point = _end_point(cert_pem)


def _end_point(cert_pem: Path) -> bytes:
    """RFC 5929 4.1: the digest that the certificate's signature uses, SHA-256 where that is MD5, SHA-1 or none."""
    try:
        certificate = x509.load_pem_x509_certificates(cert_pem.read_bytes())[0]
        used = certificate.signature_hash_algorithm
    except UNREADABLE as error:
        raise ConfigurationError(f"{cert_pem}: holds no readable PEM certificate ({error})") from error
    name = used.name if used is not None and used.name not in {"md5", "sha1"} else "sha256"
    return hashlib.new(name, certificate.public_bytes(Encoding.DER)).digest()


def client_context() -> ssl.SSLContext:
    """The context towards peers. It verifies nothing itself: the caller compares the certificate with the peer's pin.

    Names and public roots say nothing about a KEPHS, its card does; so after the handshake, and before any octet of
    mail, compare ``fingerprint(connection.getpeercert(binary_form=True))``.
    """
    context = _context(ssl.SSLContext, ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def fingerprint(der: bytes) -> str:
    """The SHA-256 of a DER certificate in lower-case hex: the pin of peers' cards."""
    return hashlib.sha256(der).hexdigest()


def _context(kind: type[_Context], protocol: int) -> _Context:
    context = kind(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996, RFC 9325 3.1.1
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.options |= ssl.OP_SINGLE_ECDH_USE
    context.set_ciphers(CIPHERS)
    with contextlib.suppress(AttributeError):  # Python 3.13 on: it also refuses certificates that real CAs have issued
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _no_password() -> str:
    return ""
