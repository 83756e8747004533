"""What a report says, as data: one model, from which the HTML and the PDF are rendered.

Values of strangers (subjects, names, addresses) are flat text here: one line, nothing that hides or turns. Times are
aware UTC; the renderings show them in Turkish civil time and in UTC.
"""

from dataclasses import dataclass
from datetime import datetime

from kepgw.texts import Text
from kepgw.trust.judgement import Verdict


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part of the original with a file name; ``digest`` is the SHA-256 (hex) of its decoded octets, "" if unread."""

    name: str
    type: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Subject:
    """The message that the report is about.

    ``digest`` is hex; ``kept`` whether the archive has the original; ``attachments_left_out`` counts those not listed.
    """

    number: str
    message_id: str
    sender: str
    sender_name: str
    subject: str
    t0: datetime
    size: int
    digest: str
    outgoing: bool
    peer: str
    refused: bool
    authentication: Text | None
    signed_by: str
    kept: bool = True
    attachments: tuple[Attachment, ...] = ()
    attachments_left_out: int = 0


@dataclass(frozen=True, slots=True)
class Addressee:
    """A recipient and where it stands; ``codes`` are the evidence that speaks of it."""

    address: str
    name: str
    provider: str
    state: Text
    good: bool | None  # delivered or read: True; refused, unreached, undelivered: False; still open: None
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sending:
    """One transaction: the KEP identifier that its recipients share."""

    kep_id: str
    blind: bool
    recipients: tuple[Addressee, ...]


@dataclass(frozen=True, slots=True)
class Happening:
    """One evidence on the time line. ``stamped`` is the time of the time stamp, None when there is none that holds."""

    seq: int
    code: int
    title: Text
    identifier: str
    time: datetime
    stamped: datetime | None
    issuer: str
    signer: str
    about: str
    reason: Text | None
    development: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that is bad or warns, in words. ``label`` names the check, ``said`` is what was found."""

    of: str
    label: Text
    verdict: Verdict
    said: Text


@dataclass(frozen=True, slots=True)
class Verification:
    """One row of the table of checks: of an evidence (``seq``) or of an envelope, which is not in the ledger."""

    name: str
    seq: int | None
    code: int | None
    signature: Verdict
    chain: Verdict
    revocation: Verdict
    stamp: Verdict
    digest: Verdict
    ledger: Verdict | None


@dataclass(frozen=True, slots=True)
class UsedCertificate:
    """A certificate behind the case; ``roles`` are keys of the catalogue. ``serial`` and ``fingerprint`` are hex."""

    roles: tuple[str, ...]
    subject: str
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    fingerprint: str
    key: str
    development: bool


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """Where the evidence stands in the ledger: under which signed tree head. Digests are hex."""

    domain: str
    size: int
    root: str
    time: datetime
    statement_digest: str
    seqs: tuple[int, ...]
    holds: Verdict


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report says."""

    short_id: str
    provider: str
    provider_name: str
    service_address: str
    made: datetime
    development: bool
    message: Subject
    sendings: tuple[Sending, ...]
    happenings: tuple[Happening, ...]
    verifications: tuple[Verification, ...]
    findings: tuple[Finding, ...]
    findings_left_out: int
    certificates: tuple[UsedCertificate, ...]
    ledger: LedgerFacts

    @property
    def codes(self) -> tuple[int, ...]:
        """The codes of the evidence that there is, each once."""
        return tuple(sorted({each.code for each in self.happenings}))

    @property
    def sound(self) -> bool:
        """No check is bad."""
        return "bad" not in (*self._verdicts(), *(each.verdict for each in self.findings), self.ledger.holds)

    @property
    def complete(self) -> bool:
        """Every check could be made."""
        return "not checked" not in self._verdicts()

    def _verdicts(self) -> tuple[Verdict | None, ...]:
        return tuple(
            verdict
            for each in self.verifications
            for verdict in (each.signature, each.chain, each.revocation, each.stamp, each.digest, each.ledger)
        )

    @property
    def code_text(self) -> str:
        """What the QR code holds: the short id and the SHA-256 of the tree head's statement."""
        return f"KEP:{self.short_id};HEAD-SHA256:{self.ledger.statement_digest}"
