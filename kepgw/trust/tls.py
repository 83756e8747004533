"""TLS as KEP providers and clients speak it: TLS 1.2 and 1.3, forward secrecy, peers known by their pin."""

import contextlib
import hashlib
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kepgw.errors import ConfigurationError

# TLS 1.2: ephemeral keys and AEAD only (RFC 9325 4.2). The suites of TLS 1.3 are all of that kind.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def server_context(cert_pem: Path, key_pem: Path, chain: Sequence[Path] = ()) -> ssl.SSLContext:
    """The context of a listener. ``cert_pem`` holds the certificate, then any intermediates; ``chain`` more of those.

    No ALPN: mail protocols are told apart by port. Raises ConfigurationError when files are unreadable or do not fit.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
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
    return context


def client_context() -> ssl.SSLContext:
    """The context towards peers. It verifies nothing itself: the caller compares the certificate with the peer's pin.

    Names and public roots say nothing about a KEPHS, its card does; so after the handshake, and before any octet of
    mail, compare ``fingerprint(connection.getpeercert(binary_form=True))``.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def fingerprint(der: bytes) -> str:
    """The SHA-256 of a DER certificate in lower-case hex: the pin of peers' cards."""
    return hashlib.sha256(der).hexdigest()


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996, RFC 9325 3.1.1
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.options |= ssl.OP_SINGLE_ECDH_USE
    context.set_ciphers(CIPHERS)
    with contextlib.suppress(AttributeError):  # Python 3.13 on: it also refuses certificates that real CAs have issued
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _no_password() -> str:
    return ""
