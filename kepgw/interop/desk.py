"""What the SMTP server hands in, and the desks that take it.

A desk decides; the server speaks. A desk raises Refusal for everything that a rule forbids, StoreFull when there is
no room, and returns only when what it took is durable: only then may the server say 250 (RFC 5321 6.1).
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol

from kepgw.message.octets import Checked
from kepgw.refusals import Refusal
from kepgw.store.accounts import Operator
from kepgw.store.spool import Spool


@dataclass(frozen=True, slots=True)
class Parameters:
    """ESMTP parameters that travel with a message (RFC 3461)."""

    ret: str = ""
    envid: str = ""
    notify: dict[str, str] = field(default_factory=dict)  # recipient -> NOTIFY value
    orcpt: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Submission:
    """A message from a user's client, whole, in the spool."""

    operator: Operator
    recipients: tuple[str, ...]  # as given in RCPT, accepted ones only
    refused: tuple[tuple[str, Refusal], ...]  # refused at RCPT in the same transaction
    spool: Spool
    checked: Checked
    problem: Refusal | None  # what the octets themselves are refused for
    parameters: Parameters
    remote: str  # address of the client, for the audit trail


@dataclass(frozen=True, slots=True)
class Relayed:
    """A message from a peer, whole, in the spool. The spool begins with our Received line."""

    service_address: str  # of the peer, as in MAIL FROM
    recipients: tuple[str, ...]
    spool: Spool
    checked: Checked  # of the octets after the Received line
    received_length: int  # octets of our Received line
    remote: str


class SubmissionDesk(Protocol):
    """Takes messages of our own users."""

    def ready(self) -> None:
        """Raise Refusal("signing-unavailable"), ("try-later") ... when nothing can be taken now."""

    async def sender(self, operator: Operator, address: str) -> None:
        """MAIL FROM. Raises Refusal."""

    async def recipient(self, operator: Operator, address: str, remote: str) -> str:
        """RCPT TO; returns the canonical address. Raises Refusal (and writes the audit record)."""

    async def submit(self, submission: Submission) -> str:
        """End of data. Returns the provider's message identifier when durable. Raises Refusal or StoreError."""


class RelayDesk(Protocol):
    """Takes dispatches and receipts of peers."""

    def ready(self) -> None:
        """As in SubmissionDesk."""

    async def sender(self, address: str, certificate: bytes | None) -> None:
        """MAIL FROM: must be the service address of a known peer. Raises Refusal.

        ``certificate`` (DER) is what the client showed at TLS, None when it showed none.
        """

    async def recipient(self, sender: str, address: str) -> str:
        """RCPT TO: must be ours; returns the canonical address. Raises Refusal."""

    async def receive(self, relayed: Relayed) -> str:
        """End of data. Returns our identifier when durable. Raises Refusal or StoreError."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a peer takes mail, and what its server must show there.

    ``host`` is a name or an address; ``""``: the mail exchangers (MX) of the domain ``provider``, and only those among
    ``supply_points`` (host and port) where there are any. The server shows the certificate whose SHA-256 is
    ``tls_sha256`` (hexadecimal), or one for its host name below one of ``tls_authorities`` (DER).
    """

    provider: str
    host: str
    port: int
    tls_sha256: str = ""
    tls_authorities: tuple[bytes, ...] = ()
    supply_points: tuple[tuple[str, int], ...] = ()
    connections: int = 8  # at the same time
    chunking: bool = True  # whether BDAT is used where the peer offers it


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for a peer."""

    sender: str  # our service address
    recipients: tuple[str, ...]
    size: int
    eight_bit: bool
    octets: Callable[[], AsyncIterator[bytes]]  # each call gives the octets from the start


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the peer said. ``recipients`` maps each refused recipient to the reply; the rest were taken."""

    reply: str
    refused: dict[str, str]


class RelayProblem(Exception):  # an outcome, not an error of ours
    """The peer took nothing. ``permanent``: it said so with 5xx, or it lacks what the message needs.

    ``refused`` maps each recipient to its reply when it was the recipients that were refused, one by one.
    """

    def __init__(self, reason: str, *, permanent: bool, stage: str, refused: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.refused = refused or {}
        self.permanent = permanent
        self.stage = stage  # held | dns | connect | tls | mail | rcpt | data


class RelayClient(Protocol):
    """Gives messages to peers."""

    async def send(self, route: Route, outgoing: Outgoing) -> Outcome:
        """Raises RelayProblem."""

    async def close(self) -> None:
        """Close idle connections."""
