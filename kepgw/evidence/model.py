"""An evidence as data (TS 102 640-2 clause 5.2), independent of any XML form.

Times are timezone-aware; what a codec reads comes in UTC. Addresses are plain (``user@domain``), without ``mailto:``.
"""

from dataclasses import dataclass
from datetime import datetime

from kepgw.evidence.codes import Element, Event, KepCode, Reason, kep_code


@dataclass(frozen=True, slots=True)
class Entity:
    """A sender, recipient or delegate: I00 to I02."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Issuer:
    """The provider that made the evidence (R02). ``certificate`` is DER."""

    address: str
    name: str
    domain: str
    certificate: bytes | None = None


@dataclass(frozen=True, slots=True)
class GivenReason:
    """Why the event is a negative one (G03). An unknown ``reason`` read from a peer is its whole URI."""

    reason: Reason | str
    details: str = ""


@dataclass(frozen=True, slots=True)
class MessageDetails:
    """The message or notification that the evidence speaks of (M00, M02).

    ``digest`` is raw octets over the profile's form of the original; ``digest_algorithm`` is a hashlib name.
    An empty ``ua_message_id`` means that the client gave none.
    """

    subject: str
    ua_message_id: str
    remmd_message_id: str
    digest_algorithm: str = "sha256"
    digest: bytes = b""
    is_notification: bool = False


@dataclass(frozen=True, slots=True)
class Authentication:
    """How and when a sender or recipient was authenticated (I04, I05).

    ``method`` is one of ``codes.METHODS``; read from a peer it may also be a foreign URI, or ``"SAML"``.
    """

    time: datetime
    method: str


@dataclass(frozen=True, slots=True)
class Delegate:
    """Someone who acts for recipients (I02); ``recipients`` are 1-based indexes into the recipients."""

    entity: Entity
    recipients: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension (B.1.18); ``content`` is a well-formed XML fragment that declares its own namespaces."""

    content: bytes
    critical: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """One evidence. ``refers_to`` is the 1-based index of the one recipient it is about, None when about all."""

    element: Element
    event: Event
    identifier: str
    policies: tuple[str, ...]
    issuer: Issuer
    event_time: datetime
    sender: Entity
    recipients: tuple[Entity, ...]
    message: MessageDetails | None
    submission_time: datetime | None = None
    reasons: tuple[GivenReason, ...] = ()
    reply_to: str | None = None
    refers_to: int | None = None
    sender_authentication: Authentication | None = None
    recipient_authentication: Authentication | None = None
    delegates: tuple[Delegate, ...] = ()
    notification: MessageDetails | None = None
    forwarded_to: str | None = None
    extensions: tuple[Extension, ...] = ()
    version: str = "2"

    @property
    def kep_code(self) -> KepCode | None:
        """The Turkish code of this evidence, None when there is none."""
        return kep_code(self.element, self.event)

    @property
    def about(self) -> tuple[Entity, ...]:
        """The recipients that the evidence speaks of: one by ``refers_to``, else all."""
        return self.recipients if self.refers_to is None else (self.recipients[self.refers_to - 1],)
