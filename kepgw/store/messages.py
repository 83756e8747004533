"""Messages, dispatches, recipients and evidence in the store."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from kepgw.errors import StoreError
from kepgw.journey.states import State
from kepgw.journey.summary import keywords
from kepgw.store import ledger
from kepgw.store.engine import Tx
from kepgw.store.ids import micros, moment
from kepgw.store.mailboxes import SENT, add_keywords, standard
from kepgw.store.octets import read_blob

ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"
DELETED: Final = "deleted"  # its octets and persons are gone, by a record of the ledger
ISSUED: Final = "issued"
RECEIVED: Final = "received"


@dataclass(frozen=True, slots=True)
class Message:
    """An original as this provider knows it. ``facts`` is JSON data: header values and ESMTP parameters."""

    month: int
    id: int
    direction: str  # out | in
    account: int | None
    operator: int | None
    peer: str | None
    sender: str
    sender_name: str
    subject: str
    ua_message_id: str
    t0: datetime
    size: int
    eight_bit: bool
    digest: bytes
    content: int | None
    facts: dict[str, Any]
    state: str


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One transaction: a message with the recipients that one evidence 10 names.

    ``digest`` is the SHA-256 of the form of the original that the profile seals: what all of its evidence says.
    """

    month: int
    id: int
    message: int
    remmd_id: str
    evidence_id: str
    blind: bool
    profile: str
    digest: bytes
    state: str  # accepted | issued | received | refused
    content: int | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient of a dispatch; ``ordinal`` is its 1-based place in every evidence."""

    ordinal: int
    address: str
    name: str
    provider: str
    account: int | None
    state: State
    proofs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Transaction:
    """A dispatch with its message and recipients."""

    message: Message
    dispatch: Dispatch
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """An evidence in the ledger: our own, or taken from a peer."""

    month: int
    id: str
    dispatch: int | None
    message: int
    ordinal: int | None
    code: int
    issuer: str
    own: bool
    event_time: datetime
    reason: str
    blob: int
    receipt: int | None
    seq: int = 0


_MESSAGE: Final = (
    "month, id, direction, account, operator, peer, sender, sender_name, subject, ua_message_id, t0, size,"
    " eight_bit, digest, content, facts, state"
)
_EVIDENCE: Final = "month, id, dispatch, message, ordinal, code, issuer, own, event_time, reason, blob, receipt, seq"


def insert_message(tx: Tx, message: Message) -> None:
    """Store a message row."""
    tx.run(
        f"INSERT INTO message ({_MESSAGE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        message.month,
        message.id,
        message.direction,
        message.account,
        message.operator,
        message.peer,
        message.sender,
        message.sender_name,
        message.subject,
        message.ua_message_id,
        micros(message.t0),
        message.size,
        int(message.eight_bit),
        message.digest,
        message.content,
        json.dumps(message.facts, ensure_ascii=False),
        message.state,
    )


def insert_dispatch(tx: Tx, dispatch: Dispatch, recipients: Iterable[Recipient], at: datetime) -> None:
    """Store a dispatch with its recipients; its identifier becomes findable by ``dispatch_by_remmd``."""
    tx.run(
        "INSERT INTO dispatch (month, id, message, remmd_id, evidence_id, blind, profile, digest, state, content,"
        " issued) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
        dispatch.month,
        dispatch.id,
        dispatch.message,
        dispatch.remmd_id,
        dispatch.evidence_id,
        int(dispatch.blind),
        dispatch.profile,
        dispatch.digest,
        dispatch.state,
        dispatch.content,
    )
    tx.many(
        "INSERT INTO recipient (month, dispatch, ordinal, address, name, provider, account, state, changed, proofs)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                dispatch.month,
                dispatch.id,
                each.ordinal,
                each.address,
                each.name,
                each.provider,
                each.account,
                each.state.value,
                micros(at),
                " ".join(sorted(each.proofs)),
            )
            for each in recipients
        ],
    )


def message_by_id(tx: Tx, month: int, message: int) -> Message | None:
    """A message by its key."""
    row = tx.row(f"SELECT {_MESSAGE} FROM message WHERE month = ? AND id = ?", month, message)
    return _message(row) if row else None


def _message(row: tuple[Any, ...]) -> Message:
    values = (*row[:10], moment(row[10]), row[11], bool(row[12]), row[13], row[14], json.loads(row[15]), row[16])
    return Message(*values)


def messages_page(tx: Tx, limit: int, before: int | None = None) -> list[Message]:
    """The newest messages first, at most ``limit``, those before T0 ``before`` (microseconds)."""
    rows = tx.rows(
        f"SELECT {_MESSAGE} FROM message WHERE t0 < ? ORDER BY t0 DESC LIMIT ?",
        1 << 62 if before is None else before,
        limit,
    )
    return [_message(row) for row in rows]


def dispatches_of(tx: Tx, month: int, message: int) -> list[Dispatch]:
    """The dispatches of a message: one for those named in it, one for each blind recipient, one for the refused."""
    rows = tx.rows(
        "SELECT month, id, message, remmd_id, evidence_id, blind, profile, digest, state, content FROM dispatch"
        " WHERE month = ? AND message = ? ORDER BY blind, id",
        month,
        message,
    )
    return [_dispatch(row) for row in rows]


def _dispatch(row: tuple[Any, ...]) -> Dispatch:
    values = (*row[:5], bool(row[5]), *row[6:])
    return Dispatch(*values)


def recipients_of(tx: Tx, month: int, dispatch: int) -> tuple[Recipient, ...]:
    """The recipients of a dispatch by ordinal."""
    rows = tx.rows(
        "SELECT ordinal, address, name, provider, account, state, proofs FROM recipient"
        " WHERE month = ? AND dispatch = ? ORDER BY ordinal",
        month,
        dispatch,
    )
    return tuple(Recipient(*(*row[:5], State(row[5]), frozenset(row[6].split()))) for row in rows)


def load_transaction(tx: Tx, month: int, dispatch: int) -> Transaction:
    """A dispatch with all that belongs to it. Raises StoreError when it is not there."""
    row = tx.row(
        "SELECT month, id, message, remmd_id, evidence_id, blind, profile, digest, state, content FROM dispatch"
        " WHERE month = ? AND id = ?",
        month,
        dispatch,
    )
    message = message_by_id(tx, month, row[2]) if row else None
    if row is None or message is None:
        raise StoreError(f"dispatch {month}/{dispatch} is missing")
    return Transaction(message, _dispatch(row), recipients_of(tx, month, dispatch))


def dispatch_by_remmd(tx: Tx, remmd_id: str) -> tuple[int, int] | None:
    """Month and id of the dispatch that this provider made under an identifier (MessageIdentifierByREMMD)."""
    found = claimed(tx, "remmd", remmd_id.encode())
    return (found[0], found[1]) if found else None


def claim(tx: Tx, scope: str, key: bytes, month: int, ref: int, mark: bytes = b"") -> None:
    """Reserve a key for ever. Callers look with ``claimed`` first, in the same transaction."""
    tx.run(
        "INSERT INTO idempotency (scope, key, month, ref, mark) VALUES (?, ?, ?, ?, ?)", scope, key, month, ref, mark
    )


def claimed(tx: Tx, scope: str, key: bytes) -> tuple[int, int, bytes] | None:
    """Month, reference and mark behind a key, or None when it is free."""
    row = tx.row("SELECT month, ref, mark FROM idempotency WHERE scope = ? AND key = ?", scope, key)
    return (row[0], row[1], row[2]) if row else None


def set_state(tx: Tx, month: int, dispatch: int, recipient: Recipient, at: datetime) -> None:
    """Write a recipient's state and proofs."""
    tx.run(
        "UPDATE recipient SET state = ?, proofs = ?, changed = ? WHERE month = ? AND dispatch = ? AND ordinal = ?",
        recipient.state.value,
        " ".join(sorted(recipient.proofs)),
        micros(at),
        month,
        dispatch,
        recipient.ordinal,
    )


def record_evidence(tx: Tx, row: EvidenceRow, digest: bytes | None = None) -> int:
    """Put an evidence into the ledger. Returns its number: gap-free per provider, given in the commit itself.

    Its octets are in the store already; ``digest`` is their SHA-256 when they were just written. Raises StoreError
    when they are not there, or when the ledger cannot go on.
    """
    seq = ledger.next_seq(tx)
    tx.run(
        f"INSERT INTO evidence ({_EVIDENCE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        row.month,
        row.id,
        row.dispatch,
        row.message,
        row.ordinal,
        row.code,
        row.issuer,
        int(row.own),
        micros(row.event_time),
        row.reason,
        row.blob,
        row.receipt,
        seq,
    )
    ledger.append(tx, ledger.record_of(tx, seq, row, digest))
    return seq


def evidence_of(tx: Tx, month: int, message: int) -> list[EvidenceRow]:
    """Every evidence of a message, in the order of the ledger."""
    rows = tx.rows(
        f"SELECT {_EVIDENCE} FROM evidence WHERE month = ? AND message = ? ORDER BY seq",
        month,
        message,
    )
    return [_evidence(row) for row in rows]


def evidence_by_id(tx: Tx, month: int, issuer: str, identifier: str) -> EvidenceRow | None:
    """An evidence by its identifier, which is unique per issuer (EN 319 522-2 G01)."""
    row = tx.row(
        f"SELECT {_EVIDENCE} FROM evidence WHERE month = ? AND id = ? AND issuer = ?", month, identifier, issuer
    )
    return _evidence(row) if row else None


def newest_of(tx: Tx, issuer: str) -> bytes | None:
    """The newest evidence (XML) of an issuer among the last of the ledger; None when there is none."""
    row = tx.row(
        "SELECT month, blob FROM evidence WHERE issuer = ? AND seq > (SELECT MAX(seq) FROM evidence) - 10000"
        " ORDER BY seq DESC LIMIT 1",
        issuer,
    )
    return None if row is None else b"".join(read_blob(tx, row[0], row[1]))


def _evidence(row: tuple[Any, ...]) -> EvidenceRow:
    values = (*row[:7], bool(row[7]), moment(row[8]), *row[9:])
    return EvidenceRow(*values)


def refresh_keywords(tx: Tx, message: Message) -> None:
    """Bring the keywords of the message in Gönderilmiş in line with the proofs of all its recipients."""
    if message.account is None:
        return
    rows = tx.rows(
        "SELECT r.proofs FROM recipient r JOIN dispatch d ON d.month = r.month AND d.id = r.dispatch"
        " WHERE d.month = ? AND d.message = ?",
        message.month,
        message.id,
    )
    found = keywords(frozenset(row[0].split()) for row in rows)
    if found:
        add_keywords(tx, message.month, message.id, standard(tx, message.account, SENT), found)
