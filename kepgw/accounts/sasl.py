"""The SASL messages of PLAIN (RFC 4616), LOGIN and EXTERNAL (RFC 4422 A), without I/O: octets in, claims out.

SMTP and IMAP frame the octets (base64, continuation lines), ``kepgw.store.login`` asks the store; SCRAM has a module
of its own. Nobody acts for another here: an authorization identity must be the one that logs in.
"""

from dataclasses import dataclass
from typing import Final

MAX_CREDENTIAL: Final = 1024  # octets of a name or password

USERNAME: Final = b"Username:"  # LOGIN's prompts are fixed by habit
PASSWORD: Final = b"Password:"


class SaslRefused(Exception):  # an answer to a client, not an error of ours
    """The client's response does not have the form that the mechanism gives it."""


class ActsForAnother(SaslRefused):
    """The client asks to be somebody else than who logs in."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who the client says it is."""

    login: str
    password: str


def plain(response: bytes) -> Claim:
    """``[authzid] NUL authcid NUL passwd`` (RFC 4616 2). Raises SaslRefused."""
    parts = text(response, 3 * MAX_CREDENTIAL).split("\0")
    if len(parts) != 3 or not parts[1] or not parts[2]:
        raise SaslRefused("not of the form authzid NUL authcid NUL passwd")
    if parts[0].lower() not in {"", parts[1].lower()}:
        raise ActsForAnother("an authorization identity of somebody else")
    return Claim(parts[1], parts[2])


def word(response: bytes) -> str:
    """The name or the password of LOGIN, each alone. Raises SaslRefused."""
    value = text(response, MAX_CREDENTIAL)
    if not value or "\0" in value:
        raise SaslRefused("empty, or with NUL")
    return value


def external(response: bytes) -> str:
    """The identity that is asked for, ``""`` for whatever the certificate gives (RFC 4422 A.1). Raises SaslRefused."""
    value = text(response, MAX_CREDENTIAL)
    if "\0" in value:
        raise SaslRefused("an identity with NUL")
    return value


def text(octets: bytes, longest: int) -> str:
    """UTF-8 of bounded length. Raises SaslRefused."""
    if len(octets) > longest:
        raise SaslRefused("too long")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SaslRefused("not UTF-8") from error
