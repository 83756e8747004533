"""An evidence as data (TS 102 640-2 5.2, EN 319 522-2 8), independent of any XML form and of its generation.

Times are timezone-aware; what a codec reads comes in UTC. Addresses are plain (``user@domain``), without ``mailto:``.
"""

from dataclasses import dataclass
from datetime import datetime

from kepgw.evidence.codes import Element, Event, KepCode, Reason, kep_code
from kepgw.evidence.en319522_codes import ErdsEvent, ErdsReason, erds_event

ERDS_VERSION = "EN319522v1.1.1"  # EN 319 522-3 5.2.2.1


@dataclass(frozen=True, slots=True)
class IdentityAttribute:
    """One attribute of an identity (EN 319 522-3 5.2.2.8): ``name`` is the URI of the eIDAS attribute profile."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Assurance:
    """An assurance level (I10 to I13): ``level`` is its URI, ``policy`` that of the policy it is reached by.

    ``kind`` tells which of the levels of EN 319 522-3 5.2.2.10 it is: ``global``, or ``authentication``,
    ``identity-proof`` and ``federation`` beside each other.
    """

    level: str
    policy: str = ""
    kind: str = "global"


@dataclass(frozen=True, slots=True)
class Entity:
    """A sender, recipient or delegate: I00 to I02 (TS 102 640-2), I01 to I13 (EN 319 522-2)."""

    address: str
    name: str = ""
    identity: tuple[IdentityAttribute, ...] = ()
    assurance: tuple[Assurance, ...] = ()


@dataclass(frozen=True, slots=True)
class Issuer:
    """The provider that made the evidence (R02), or the other one of a relay (M05). ``certificate`` is DER.

    ``identity`` holds what an EN 319 522 evidence says of it beside the legal name, which is ``name``.
    """

    address: str
    name: str
    domain: str
    certificate: bytes | None = None
    identity: tuple[IdentityAttribute, ...] = ()


@dataclass(frozen=True, slots=True)
class GivenReason:
    """Why the event is what it is (G03; G04 of EN 319 522-2). An unknown ``reason`` read from a peer is its whole URI.

    ``details`` are for people, one a line; ``code`` is the short code beside the URI (``RB02``), as printed.
    """

    reason: Reason | ErdsReason | str
    details: str = ""
    code: str = ""


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
    """One evidence. ``refers_to`` is the 1-based index of the one recipient it is about, None when about all.

    What only EN 319 522 knows: ``refers_to_several`` (1-based; RelayEvidenceInfo of EN 319 532-4 C.4, empty when all),
    ``untrusted_path`` (1-based; recipients whose provider could not be verified), ``sender_delegate``, ``external``
    (the other provider of a relay, M05) and ``log`` (G06).
    """

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
    sender_delegate: Entity | None = None
    external: Issuer | None = None
    refers_to_several: tuple[int, ...] = ()
    untrusted_path: tuple[int, ...] = ()
    log: tuple[str, ...] = ()

    @property
    def is_erds(self) -> bool:
        """Whether it is an evidence of EN 319 522, not of TS 102 640."""
        return self.version.startswith("EN319522")

    @property
    def kep_code(self) -> KepCode | None:
        """The Turkish code of this evidence, None when there is none.

        The codes are those of TS 102 640 evidence (Tebliğ RG 28036): one of EN 319 522 has none, whatever it says.
        """
        return None if self.is_erds else kep_code(self.element, self.event)

    @property
    def erds_event(self) -> ErdsEvent | None:
        """The event of EN 319 522-1 that says the same, None when there is none (printing)."""
        return erds_event(self.element, self.event)

    @property
    def about(self) -> tuple[Entity, ...]:
        """The recipients that the evidence speaks of: those that it refers to, else all."""
        if self.refers_to is not None:
            return (self.recipients[self.refers_to - 1],)
        return tuple(self.recipients[index - 1] for index in self.refers_to_several) or self.recipients
