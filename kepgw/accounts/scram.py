"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the server's side, without I/O (RFC 5802, RFC 7677).

The password never travels and the store holds only a verifier. PLUS binds the login to the TLS connection through
our certificate (``tls-server-end-point``, RFC 5929 4): someone in the middle with another certificate gets no login.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

from kepgw.accounts.passwords import SALT_OCTETS, SCRAM_ITERATIONS
from kepgw.accounts.sasl import MAX_CREDENTIAL, ActsForAnother, SaslRefused, text

BINDING: Final = "tls-server-end-point"
LONGEST: Final = 4096  # octets of a client's message
_NONCE = re.compile(r"[\x21-\x2b\x2d-\x7e]{8,512}")  # RFC 5802 7: printable without the comma
_GS2 = re.compile(r"(?:(n|y)|p=([A-Za-z0-9.-]{1,64})),(?:a=([^,\x00]+))?,")


@dataclass(frozen=True, slots=True)
class Verifier:
    """What the store holds of a password (RFC 5803)."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    @classmethod
    def parse(cls, stored: str) -> "Verifier | None":
        """``SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey``; None for anything else, a damaged row too."""
        try:
            scheme, numbers, keys = stored.split("$")
            iterations, salt = numbers.split(":")
            stored_key, server_key = (base64.b64decode(each, validate=True) for each in keys.split(":"))
            read = cls(int(iterations), base64.b64decode(salt, validate=True), stored_key, server_key)
        except ValueError:  # binascii.Error is one
            return None
        good = scheme == "SCRAM-SHA-256" and read.iterations > 0 and len(stored_key) == len(server_key) == 32
        return read if good else None

    @classmethod
    def nobodys(cls, login: str, secret: bytes) -> "Verifier":
        """A verifier that no password fits, the same for a login at each asking: who exists is not told.

        ``secret`` is the server's own (RFC 5802 9 leaves such salts to the server).
        """
        salt = hmac.digest(secret, login.encode("utf-8", "surrogatepass"), "sha256")[:SALT_OCTETS]
        return cls(SCRAM_ITERATIONS, salt, secrets.token_bytes(32), secrets.token_bytes(32))


class ScramServer:
    """One exchange. ``login`` is known after ``first``; ``plus`` says whether the client chose the -PLUS name.

    ``end_point`` is the channel binding of our certificate, None where there is no TLS.
    """

    def __init__(self, *, plus: bool, end_point: bytes | None, nonce: str = "") -> None:
        self._plus = plus
        self._end_point = end_point
        self._nonce = nonce or secrets.token_urlsafe(24)
        self._header = b""
        self._bare = ""
        self._challenge = ""
        self.login = ""

    def first(self, message: bytes) -> str:
        """Take client-first-message (RFC 5802 7); gives the login. Raises SaslRefused."""
        told = text(message, LONGEST)
        header = _GS2.match(told)
        if header is None:
            raise SaslRefused("no GS2 header")
        self._check_binding(header[1], header[2])
        self._header = header[0].encode()
        self._bare = told[header.end() :]
        parts = self._bare.split(",")
        # an extension may follow the nonce; one before the name ("m=") is mandatory, and we know none (5.1)
        if len(parts) < 2 or not parts[0].startswith("n=") or not parts[1].startswith("r="):
            raise SaslRefused("client-first-message without name and nonce")
        self.login = _name(parts[0][2:])
        if header[3] is not None and _name(header[3]).lower() != self.login.lower():
            raise ActsForAnother("an authorization identity of somebody else")
        nonce = parts[1][2:]
        if not _NONCE.fullmatch(nonce):
            raise SaslRefused("a nonce that is too short, too long or not printable")
        self._nonce = nonce + self._nonce
        return self.login

    def challenge(self, verifier: Verifier) -> bytes:
        """server-first-message."""
        salt = base64.b64encode(verifier.salt).decode()
        self._challenge = f"r={self._nonce},s={salt},i={verifier.iterations}"
        return self._challenge.encode()

    def final(self, message: bytes, verifier: Verifier) -> bytes | None:
        """Take client-final-message; gives server-final-message, or None when the proof is wrong.

        Raises SaslRefused for a message that is not one, with another nonce or bound to another channel.
        """
        told = text(message, LONGEST)
        without, comma, proof_text = told.rpartition(",p=")
        parts = without.split(",")
        if not comma or len(parts) < 2 or not parts[0].startswith("c="):
            raise SaslRefused("client-final-message without binding or proof")
        binding, proof = _octets(parts[0][2:]), _octets(proof_text)
        expected = self._header + ((self._end_point or b"") if self._plus else b"")
        if not hmac.compare_digest(binding, expected):
            raise SaslRefused("bound to another channel")  # RFC 5802 5.1, RFC 5929 4
        if parts[1] != f"r={self._nonce}":
            raise SaslRefused("another nonce")
        said = f"{self._bare},{self._challenge},{without}".encode()
        signature = hmac.digest(verifier.stored_key, said, "sha256")
        if len(proof) != len(signature):
            return None
        key = bytes(left ^ right for left, right in zip(proof, signature, strict=True))
        if not hmac.compare_digest(hashlib.sha256(key).digest(), verifier.stored_key):
            return None
        return b"v=" + base64.b64encode(hmac.digest(verifier.server_key, said, "sha256"))

    def _check_binding(self, flag: str | None, kind: str | None) -> None:
        if self._plus:
            if kind != BINDING or self._end_point is None:
                raise SaslRefused(f"-PLUS needs the binding {BINDING}")
        elif kind is not None:
            raise SaslRefused("a binding without -PLUS")  # RFC 5802 6
        elif flag == "y" and self._end_point is not None:
            raise SaslRefused("somebody has hidden our -PLUS from the client")  # RFC 5802 6


def _name(told: str) -> str:
    """saslname: ``=2C`` is a comma and ``=3D`` an equals sign, any other ``=`` is wrong (RFC 5802 5.1)."""
    if not told or len(told) > MAX_CREDENTIAL or re.search(r"=(?!2C|3D)|\x00", told):
        raise SaslRefused("a name that is not a saslname")
    return told.replace("=2C", ",").replace("=3D", "=")


def _octets(told: str) -> bytes:
    try:
        return base64.b64decode(told, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SaslRefused("not base64") from error
