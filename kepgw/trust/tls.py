"""TLS as KEP providers and clients speak it: TLS 1.2 and 1.3, forward secrecy, peers known by their pin."""

import contextlib
import hashlib
import ssl
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kepgw.errors import ConfigurationError
from kepgw.evidence.certificates import UNREADABLE

_MOST_CONTEXTS = 256
_Context = TypeVar("_Context", bound=ssl.SSLContext)

# TLS 1.2: ephemeral keys and AEAD only (RFC 9325 4.2). The suites of TLS 1.3 are all of that kind.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class ServerContext(ssl.SSLContext):
    """The context of a listener, which knows its own certificate.

    ``end_point`` is the channel binding ``tls-server-end-point`` of the certificate (RFC 5929 4.1).
    """

    end_point: bytes = b""
    _asked: frozenset[bytes] = frozenset()

    def renew(self, cert_pem: Path, key_pem: Path, chain: Sequence[Path] = ()) -> None:
        """Show another certificate from the next handshake on. Raises ConfigurationError."""
        _load(self, cert_pem, key_pem, chain)

    def ask(self, certificates: Iterable[bytes]) -> None:
        """Ask clients for a certificate from the next handshake on; one of these (DER) is taken, or none at all.

        TLS cannot take any certificate and leave the judgement to us: a client that shows another is turned away here.
        """
        new = set(certificates) - self._asked
        if not new:
            return
        for der in new:
            self.load_verify_locations(cadata=der)
        self._asked = self._asked | new
        self.verify_mode = ssl.CERT_OPTIONAL
        self.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


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
    _show(context, cert_pem, key_pem, chain)
    context.end_point = _end_point(cert_pem)


def _show(context: ssl.SSLContext, cert_pem: Path, key_pem: Path, chain: Sequence[Path]) -> None:
    for path in (cert_pem, key_pem, *chain):
        if not path.is_file():
            raise ConfigurationError(f"{path}: no such file; it holds a TLS certificate or its key")
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


def _end_point(cert_pem: Path) -> bytes:
    """RFC 5929 4.1: the digest that the certificate's signature uses, SHA-256 where that is MD5, SHA-1 or none."""
    try:
        certificate = x509.load_pem_x509_certificates(cert_pem.read_bytes())[0]
        used = certificate.signature_hash_algorithm
    except UNREADABLE as error:
        raise ConfigurationError(f"{cert_pem}: holds no readable PEM certificate ({error})") from error
    name = used.name if used is not None and used.name not in {"md5", "sha1"} else "sha256"
    return hashlib.new(name, certificate.public_bytes(Encoding.DER)).digest()


def client_context(
    authorities: Sequence[bytes] = (), cert_pem: Path | None = None, key_pem: Path | None = None
) -> ssl.SSLContext:
    """The context towards a peer. Without ``authorities`` it verifies nothing: the caller compares the pin.

    Names and public roots say nothing about a KEPHS, its card does; so after the handshake, and before any octet of
    mail, compare ``fingerprint(connection.getpeercert(binary_form=True))``. With ``authorities`` (DER) the certificate
    must lead to one of them and be for the host name that was given to the handshake (RFC 9525). ``cert_pem`` and
    ``key_pem`` are shown to a server that asks for a certificate. Raises ConfigurationError.
    """
    context = _context(ssl.SSLContext, ssl.PROTOCOL_TLS_CLIENT)
    if authorities:
        try:
            for der in authorities:
                context.load_verify_locations(cadata=der)
        except ssl.SSLError as error:
            raise ConfigurationError(f"a certificate of a TLS authority cannot be used ({error})") from error
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an authority below a root may be named
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert_pem is not None and key_pem is not None:
        _show(context, cert_pem, key_pem, ())
    return context


class PeerContexts:
    """The contexts towards peers, all with our client certificate when there is one. Raises ConfigurationError."""

    def __init__(self, cert_pem: Path | None = None, key_pem: Path | None = None) -> None:
        self._own = cert_pem, key_pem
        self._made: dict[tuple[bytes, ...], ssl.SSLContext] = {(): client_context((), *self._own)}

    def toward(self, authorities: tuple[bytes, ...]) -> ssl.SSLContext:
        """The context for a peer whose server certificate must lead to one of these (DER); none: it is pinned."""
        if authorities not in self._made:
            while len(self._made) > _MOST_CONTEXTS:
                del self._made[next(each for each in self._made if each)]
            self._made[authorities] = client_context(authorities, *self._own)
        return self._made[authorities]


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
