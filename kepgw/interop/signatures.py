"""The rule about senders' own signatures: a KEP message is signed by its sender (TTK 18/3, practice of the providers).

"off" looks at nothing. "warn" takes every message and tells what it found. "require" refuses a message whose signature
is missing, broken, or of an authority that is not among the anchors.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import structlog

from kepgw.errors import FormatError, SignatureInvalid
from kepgw.message.headers import Octets
from kepgw.message.usersignature import find
from kepgw.refusals import Refusal
from kepgw.trust.useranchors import Believed, UserAnchors
from kepgw.trust.usersignature import CERTIFICATE, verify

NONE: Final = "none"
INVALID: Final = "invalid"

_log = structlog.get_logger("kepgw.signatures")


@dataclass(frozen=True, slots=True)
class Found:
    """What is kept about a sender's signature; plain data for the store. ``method`` as in ``interop.case.SignedBy``."""

    method: str
    name: str = ""
    authority: str = ""
    serial: str = ""
    digest_algorithm: str = ""
    form: str = ""
    revocation_known: bool = False

    @property
    def holds(self) -> bool:
        """There is a signature and it verifies."""
        return self.method not in (NONE, INVALID)


class SignatureDesk:
    """Examines submissions by one rule."""

    def __init__(self, rule: Literal["off", "warn", "require"], anchors: UserAnchors | None) -> None:
        self._rule = rule
        self._anchors = anchors

    def by(self, rule: Literal["off", "warn", "require"]) -> "SignatureDesk":
        """The same anchors, by another rule."""
        return SignatureDesk(rule, self._anchors)

    async def examine(self, octets: Octets, at: datetime, login: str) -> tuple[Found | None, Refusal | None]:
        """What a message is signed with at ``at``, and the refusal where the rule asks for more.

        Digests, the verification and the path are made in a thread: 25 MB take longer than the event loop may wait.
        """
        if self._rule == "off":
            return None, None
        found, refusal = await asyncio.to_thread(self._examine, octets, at)
        if refusal is not None:
            _log.warning("user signature", login=login, reason=str(refusal), rule=self._rule)
        return found, refusal if self._rule == "require" else None

    def _examine(self, octets: Octets, at: datetime) -> tuple[Found, Refusal | None]:
        try:
            signature = find(octets)
            if signature is None:
                return Found(NONE), Refusal("user-signature-missing", "no S/MIME signature around the message")
            believed = Believed() if self._anchors is None else self._anchors.current()
            held = verify(octets, signature, believed, at)
        except (FormatError, SignatureInvalid) as error:
            unusable = isinstance(error, SignatureInvalid) and error.check == CERTIFICATE
            key = "user-certificate-unusable" if unusable else "user-signature-invalid"
            return Found(INVALID), Refusal(key, str(error))
        found = Found(
            held.method,
            held.name,
            held.authority,
            held.serial,
            held.digest_algorithm,
            held.form,
            held.revocation_known,
        )
        return found, Refusal("user-certificate-untrusted", held.doubt) if held.doubt else None
