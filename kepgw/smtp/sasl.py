"""The SASL exchanges of AUTH, without I/O: PLAIN (RFC 4616) and LOGIN (as mail clients know it)."""

import binascii
from base64 import b64decode
from dataclasses import dataclass
from typing import Final

MAX_CREDENTIAL: Final = 1024  # octets of a name or password

USERNAME: Final = "VXNlcm5hbWU6"  # "Username:", LOGIN's prompts are fixed by habit
PASSWORD: Final = "UGFzc3dvcmQ6"  # noqa: S105  ("Password:", a prompt)


class SaslRefused(Exception):  # an answer to a client, not an error of ours
    """The client's response does not have the form that the mechanism gives it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who the client says it is."""

    login: str
    password: str


class Plain:
    """authzid NUL authcid NUL passwd; an authzid that is not the authcid is refused: nobody acts for another here."""

    def __init__(self) -> None:
        self.claim: Claim | None = None

    def step(self, response: str | None) -> str | None:
        """Take the client's response (None at the start); the next challenge, or None when ``claim`` is there."""
        if response is None:
            return ""
        parts = _decode(response).split("\0")
        if len(parts) != 3 or not parts[1] or not parts[2] or parts[0] not in {"", parts[1]}:
            raise SaslRefused
        self.claim = Claim(parts[1], parts[2])
        return None


class Login:
    """Name, then password, each alone."""

    def __init__(self) -> None:
        self.claim: Claim | None = None
        self._name = ""

    def step(self, response: str | None) -> str | None:
        """As in Plain."""
        if response is None:
            return USERNAME
        value = _decode(response)
        if not value or "\0" in value:
            raise SaslRefused
        if not self._name:
            self._name = value
            return PASSWORD
        self.claim = Claim(self._name, value)
        return None


Mechanism = Plain | Login
MECHANISMS: Final[dict[str, type[Plain] | type[Login]]] = {"PLAIN": Plain, "LOGIN": Login}


def _decode(response: str) -> str:
    if response == "=":  # RFC 4954 4: an initial response of no octets
        return ""
    try:
        octets = b64decode(response, validate=True)
        if len(octets) > 3 * MAX_CREDENTIAL:
            raise SaslRefused
        return octets.decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise SaslRefused from error
