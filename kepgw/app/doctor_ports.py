"""The listeners as ``kepgw doctor`` sees them: free while the provider is stopped, well-spoken while it runs."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256

from kepgw.app.config import Config
from kepgw.errors import ConfigurationError
from kepgw.trust.keys import load_certificates
from kepgw.trust.tls import client_context, fingerprint

SECONDS: Final = 5.0  # for connecting and for each answer
MAX_ANSWER: Final = 64 * 1024

Result = tuple[str, str, str]
"""What was looked at, how it is, and what to do ("" when it is well)."""

_RESTART = "look at the provider's log; restart it"


class _Wrong(Exception):
    """A listener answers, but not as it should."""


def examine_ports(config: Config, *, running: bool) -> Iterator[Result]:
    """One result a listener."""
    for name, port in config.listen.ports.items():
        what = f"port {port} ({name})"
        if not port:
            yield f"port ({name})", "the system chooses it at the start; not checked", ""
        elif running:
            yield _answering(what, name, port, config)
        else:
            yield _free(what, port, config)


def _free(what: str, port: int, config: Config) -> Result:
    family = socket.AF_INET6 if ":" in config.listen.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((config.listen.host, port))
            probe.listen(1)
    except PermissionError:
        remedy = "let the service manager grant CAP_NET_BIND_SERVICE, or use a port above 1023"
        return what, "may not be opened by this user", remedy
    except OSError as error:
        return what, f"cannot be had: {error.strerror or error}", "end the program on it, or change [listen]"
    return what, "free; the provider is stopped", ""


def _answering(what: str, name: str, port: int, config: Config) -> Result:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.listen.host, config.listen.host)  # noqa: S104 (compared)
    try:
        with ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection((host, port), SECONDS))
            connection.settimeout(SECONDS)
            shown = _LOOK[name](connection, config)
    except (OSError, ssl.SSLError, _Wrong, ValueError) as error:
        return what, f"does not answer as it should: {error}", _RESTART
    return what, shown, ""


def _smtp(connection: socket.socket, config: Config) -> str:
    with connection.makefile("rb") as lines:
        _expect(lines.readline(1024), b"220 ")
        connection.sendall(b"EHLO doctor.invalid\r\n")
        found = set()
        while True:
            line = lines.readline(1024)
            _expect(line, b"250")
            found.add(line[4:].strip().upper())
            if line[3:4] != b"-":
                break
        if b"STARTTLS" not in found:
            raise _Wrong("STARTTLS is not offered")
        connection.sendall(b"STARTTLS\r\n")
        _expect(lines.readline(1024), b"220")
    return f"SMTP with STARTTLS, {_pinned(connection, config)}"


def _imap(connection: socket.socket, config: Config) -> str:
    with connection.makefile("rb") as lines:
        _expect(lines.readline(4096), b"* OK")
        connection.sendall(b"d1 CAPABILITY\r\n")
        capability = lines.readline(4096)
        _expect(lines.readline(4096), b"d1 OK")
        if b"STARTTLS" not in capability.upper().split():
            raise _Wrong("STARTTLS is not offered")
        connection.sendall(b"d2 STARTTLS\r\n")
        _expect(lines.readline(4096), b"d2 OK")
    return f"IMAP with STARTTLS, {_pinned(connection, config)}"


def _submissions(connection: socket.socket, config: Config) -> str:
    return f"SMTP inside TLS, {_pinned(connection, config, b'220 ')}"


def _imaps(connection: socket.socket, config: Config) -> str:
    return f"IMAP inside TLS, {_pinned(connection, config, b'* OK')}"


def _http(connection: socket.socket, _config: Config) -> str:
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    octets = bytearray()
    while len(octets) < MAX_ANSWER and (piece := connection.recv(4096)):
        octets += piece
    head, _, body = bytes(octets).partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        told = json.loads(body) if status == [b"503"] else {}
        raise _Wrong(f"the health page says {told.get('problem') or told.get('status') or 'nothing that we know'}")
    return "the health page says ok"


def _pinned(connection: socket.socket, config: Config, greeting: bytes = b"") -> str:
    """Start TLS and hold the certificate against our file: peers pin what the file says."""
    with client_context().wrap_socket(connection, server_hostname=config.hostname) as inside:
        shown = inside.getpeercert(binary_form=True) or b""
        if greeting:
            _expect(inside.recv(4096), greeting)
        version = inside.version() or "TLS"
    try:
        file = load_certificates(config.keys.tls_certificates[0])[0]
    except (ConfigurationError, IndexError):
        return version  # told as a problem of the file
    if fingerprint(shown) != file.fingerprint(SHA256()).hex():
        raise _Wrong("it shows another certificate than the file of keys.tls_certificates; restart to take that one")
    return f"{version} with the certificate of the file"


def _expect(line: bytes, start: bytes) -> None:
    if not line.startswith(start):
        raise _Wrong(f"it says {line[:80]!r}")


_LOOK: Final[dict[str, Callable[[socket.socket, Config], str]]] = {
    "relay": _smtp,
    "submission": _smtp,
    "submissions": _submissions,
    "imap": _imap,
    "imaps": _imaps,
    "http": _http,
}
