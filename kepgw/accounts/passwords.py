"""Passwords: argon2id for PLAIN and LOGIN, a SCRAM-SHA-256 verifier beside it (RFC 9106, RFC 5802, RFC 7677).

The work takes about 25 ms of a core and 19 MiB on purpose: callers run it in a thread behind a semaphore.
"""

import base64
import hashlib
import hmac
import secrets
import unicodedata
from typing import Final, NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from kepgw.errors import FormatError

MAX_OCTETS: Final = 1024  # of the password in UTF-8; keeps hashing from being a lever
SCRAM_ITERATIONS: Final = 4096  # RFC 7677 4: at least 4096; argon2 guards the stored form that a thief tries first
SALT_OCTETS: Final = 16

_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def _phc(octets: bytes) -> str:
    return base64.b64encode(octets).decode().rstrip("=")


# A well-formed hash of the same cost whose password nobody knows, for users that do not exist.
_DUMMY: Final = (
    f"$argon2id$v=19$m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
    f"${_phc(secrets.token_bytes(SALT_OCTETS))}${_phc(secrets.token_bytes(_HASHER.hash_len))}"
)


class Credentials(NamedTuple):
    """What the store keeps of a password."""

    argon2: str  # PHC string
    scram_sha256: str  # RFC 5803: SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey


class PasswordError(FormatError):
    """A password that cannot be set; the text says why and may be shown to the person who sets it."""


def prepare(password: str) -> bytes:
    """The octets that are hashed: NFC, so that every keyboard's ş is the same, in UTF-8. Raises PasswordError."""
    # Bounded before it is normalised: NFC of hostile input may cost much (UAX 15).
    if len(password) > MAX_OCTETS:
        raise PasswordError(f"the password is longer than {MAX_OCTETS} octets")
    if not password:
        raise PasswordError("the password is empty")
    if "\0" in password:  # RFC 4616 2: NUL separates the parts of PLAIN
        raise PasswordError("the password contains NUL")
    try:
        octets = unicodedata.normalize("NFC", password).encode("utf-8")
    except UnicodeEncodeError:
        raise PasswordError("the password is not valid Unicode") from None
    if len(octets) > MAX_OCTETS:
        raise PasswordError(f"the password is longer than {MAX_OCTETS} octets")
    return octets


def make(password: str) -> Credentials:
    """New credentials with fresh salts. Raises PasswordError."""
    octets = prepare(password)
    return Credentials(_HASHER.hash(octets), _scram(octets, secrets.token_bytes(SALT_OCTETS)))


def verify(stored: str | None, password: str) -> bool:
    """Whether ``password`` belongs to the argon2 string ``stored``; never raises for what a client sent.

    For an unknown user ``stored`` is None: the same work is done against a hash that nobody knows the password of,
    so that the time does not tell which users exist.
    """
    try:
        octets = prepare(password)
        usable = True
    except PasswordError:
        octets, usable = b"\0", False
    try:
        _HASHER.verify(_DUMMY if stored is None else stored, octets)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):  # the last: a damaged row
        return False
    return usable and stored is not None


def _scram(octets: bytes, salt: bytes) -> str:
    # RFC 5802 3: StoredKey := H(HMAC(SaltedPassword, "Client Key"))
    salted = hashlib.pbkdf2_hmac("sha256", octets, salt, SCRAM_ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{salt_text}${stored_text}:{server_text}"
