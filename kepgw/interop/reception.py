"""The desk for peers: opens what they send, judges it, holds it against who may say what, and takes it durably.

Identity of a peer is the signer of the envelope, matched to its card; headers outside the signature prove nothing.
A dispatch or receipt that comes twice is kept once and answered once.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kepgw.accounts.address import parse
from kepgw.errors import FormatError, SignatureInvalid
from kepgw.evidence.codes import KepCode, Reason
from kepgw.evidence.model import Evidence, GivenReason
from kepgw.interop.card import Card
from kepgw.interop.case import Order
from kepgw.interop.desk import Relayed
from kepgw.interop.peers import Peers, signed_by
from kepgw.interop.settings import RelaySettings
from kepgw.interop.work import advance, carry_out, new_identifier, order_evidence
from kepgw.journey import Action, Event
from kepgw.journey.states import State
from kepgw.message.rendering import Rendered, render
from kepgw.refusals import Refusal
from kepgw.store.accounts import account_by_address, audit
from kepgw.store.engine import Store, Tx
from kepgw.store.ids import month_of, new_id
from kepgw.store.mailboxes import EVIDENCE, INBOX, deliver, standard
from kepgw.store.messages import (
    RECEIVED,
    Dispatch,
    EvidenceRow,
    Message,
    Recipient,
    Transaction,
    claim,
    claimed,
    dispatch_by_remmd,
    insert_dispatch,
    insert_message,
    load_transaction,
    record_evidence,
    refresh_keywords,
)
from kepgw.store.octets import ContentRef, Span, put_blob, put_content
from kepgw.trust.judge import JudgedEvidence, Judgement, judge_message

# what a recipient's provider may tell a sender's provider
_ANSWERS: Final = {
    KepCode.ILETILDI: Event.PROOF_20,
    KepCode.ILETILMEDI: Event.PROOF_21,
    KepCode.TESLIM: Event.PROOF_40,
    KepCode.TESLIM_EDILEMEDI: Event.PROOF_41,
    KepCode.OKUNDU: Event.PROOF_60,
}


@dataclass(frozen=True, slots=True)
class _Opened:
    """A message of a peer whose signatures hold and whose signer is the peer."""

    card: Card
    judgement: Judgement
    judged: JudgedEvidence
    evidence: Evidence
    rendered: Rendered
    original: tuple[int, int] | None


class ReceptionCounter:
    """Implements ``desk.RelayDesk``."""

    def __init__(
        self,
        store: Store,
        peers: Peers,
        anchors: Sequence[bytes],
        settings: RelaySettings,
        now: Callable[[], datetime],
        ready: Callable[[], None],
    ) -> None:
        self._store = store
        self._peers = peers
        self._anchors = tuple(anchors)  # DER; the peer's own root comes with its card
        self._settings = settings
        self._now = now
        self.ready = ready

    async def sender(self, address: str) -> None:
        """The envelope sender is the service address of a known peer. Raises Refusal."""
        if self._peers.by_service_address(address) is None:
            raise Refusal("unknown-peer", f"MAIL FROM {address[:254]!r}")

    async def recipient(self, sender: str, address: str) -> str:
        """Ours: an address under our domain (whether it exists evidence 20 or 21 will say), or our service address."""
        if address.lower() == self._peers.own_service_address:
            return self._peers.own_service_address
        canonical = parse(address)
        if canonical.provider != self._peers.own_domain:
            raise Refusal("foreign-recipient", f"{sender} to {canonical}", recipient=str(canonical))
        return str(canonical)

    async def receive(self, relayed: Relayed) -> str:
        """Take a dispatch or receipt. Returns its identifier when it is durable; raises Refusal or StoreError."""
        card = self._peers.by_service_address(relayed.service_address)
        if card is None:
            raise Refusal("unknown-peer", f"{relayed.service_address} is no peer any more")
        try:
            opened = await asyncio.to_thread(_open, relayed, card, self._anchors, self._now())
            work = _Arrival(self._peers, self._settings, relayed, opened, self._now())
            return await self._store.write(work.dispatch if opened.original else work.receipt)
        except Refusal as refusal:
            what = f"{refusal} from {relayed.remote}"
            await self._store.write(lambda tx: audit(tx, self._now(), card.domain, "relay-refused", card.domain, what))
            raise


def _open(relayed: Relayed, card: Card, anchors: Sequence[bytes], at: datetime) -> _Opened:
    view = relayed.spool.view()
    try:
        judgement = judge_message(view, (*anchors, card.process_chain[-1]), at=at)
    except FormatError as error:
        raise Refusal("not-an-envelope", str(error)) from error
    bad = [f"{name} {check.name}: {check.detail}" for name, check in judgement.every() if check.verdict == "bad"]
    if bad:
        raise Refusal("envelope-invalid", "; ".join(bad))
    if len(judgement.evidences) != 1 or judgement.evidences[0].evidence is None:
        raise Refusal("not-an-envelope", f"{len(judgement.evidences)} evidences; one is needed")
    judged = judgement.evidences[0]
    evidence = judged.evidence
    assert evidence is not None
    try:
        signed_by(card, judgement.signer)
        signed_by(card, judged.signer)
    except SignatureInvalid as error:
        raise Refusal("envelope-signer", str(error)) from error
    if evidence.message is None or evidence.kep_code is None:
        raise Refusal("not-an-envelope", f"an evidence of type {evidence.element} without message details")
    return _Opened(card, judgement, judged, evidence, render(view), judgement.envelope.original)


class _Arrival:
    """One message of a peer on its way into the store."""

    def __init__(self, peers: Peers, settings: RelaySettings, relayed: Relayed, opened: _Opened, at: datetime) -> None:
        self._peers = peers
        self._settings = settings
        self._relayed = relayed
        self._opened = opened
        self._at = at

    # -- a dispatch ---------------------------------------------------------------------------------------------

    def dispatch(self, tx: Tx) -> str:
        """Take a dispatch: original and envelope, the INBOX rows, and evidence 20 or 21 and 40 to be made."""
        evidence, card = self._opened.evidence, self._opened.card
        assert evidence.message is not None
        if evidence.kep_code is not KepCode.KABUL:
            raise Refusal("not-an-envelope", f"a dispatch with evidence {evidence.kep_code}")
        self._hold_to_rules(evidence)
        named = {each.address.lower(): ordinal for ordinal, each in enumerate(evidence.recipients, 1)}
        wanted: list[int] = []
        for address in self._relayed.recipients:
            if address not in named:
                raise Refusal("recipient-not-named", address, recipient=address)
            wanted.append(named[address])
        scope, key = f"dispatch:{card.domain}", evidence.message.remmd_message_id.encode()
        before = claimed(tx, scope, key)
        if before is None:
            transaction = self._new_transaction(tx, evidence)
            claim(tx, scope, key, transaction.message.month, transaction.dispatch.id, evidence.message.digest)
        else:
            if before[2] != evidence.message.digest:
                raise Refusal("envelope-invalid", "the identifier was used for another message")
            transaction = load_transaction(tx, before[0], before[1])
        # a repetition finds every recipient beyond ELSEWHERE and changes nothing
        new = [each for each in transaction.recipients if each.ordinal in wanted and each.state is State.ELSEWHERE]
        if new:
            self._take_in(tx, transaction, [_with(each, State.RECEIVED) for each in new])
        return transaction.dispatch.remmd_id

    def _hold_to_rules(self, evidence: Evidence) -> None:
        """The sender's domain belongs to the signer, and the issuer is the signer."""
        domain = self._opened.card.domain
        if parse(evidence.sender.address).provider != domain:
            raise Refusal("speaks-for-another", f"{domain} for the sender {evidence.sender.address}")
        own = self._peers.own_domain
        addresses = [each.address for each in evidence.recipients]
        if len(set(map(str.lower, addresses))) != len(addresses):
            raise Refusal("not-an-envelope", "a recipient stands twice in the evidence")
        for address in self._relayed.recipients:
            if parse(address).provider != own:
                raise Refusal("foreign-recipient", address, recipient=address)

    def _new_transaction(self, tx: Tx, evidence: Evidence) -> Transaction:
        details = evidence.message
        assert details is not None
        month = month_of(self._at)
        relayed = self._relayed
        original = self._opened.original
        assert original is not None
        blob, content = new_id(self._at), ContentRef(month, new_id(self._at))
        size = put_blob(tx, month, blob, relayed.spool.chunks())
        put_content(tx, content, [Span(blob, 0, size)], self._opened.rendered)
        message = Message(
            month=month,
            id=new_id(self._at),
            direction="in",
            account=None,
            operator=None,
            peer=self._opened.card.domain,
            sender=evidence.sender.address.lower(),
            sender_name=evidence.sender.name,
            subject=details.subject,
            ua_message_id=details.ua_message_id,
            t0=evidence.submission_time or evidence.event_time,
            size=original[1] - original[0],
            eight_bit=relayed.checked.eight_bit,
            digest=details.digest,
            content=None,  # its octets lie inside the dispatch
            facts={"to": "", "cc": "", "tr_headers": [], "remote": relayed.remote, "received": self._at.isoformat()},
            state=RECEIVED,
        )
        insert_message(tx, message)
        dispatch = Dispatch(
            month=month,
            id=new_id(self._at),
            message=message.id,
            remmd_id=details.remmd_message_id,
            evidence_id=evidence.identifier,
            blind=False,
            profile=self._opened.card.profile,
            state=RECEIVED,
            content=content.id,
        )
        recipients = [
            Recipient(ordinal, each.address.lower(), each.name, _owner(each.address), None, State.ELSEWHERE)
            for ordinal, each in enumerate(evidence.recipients, 1)
        ]
        insert_dispatch(tx, dispatch, recipients, self._at)
        self._keep_evidence(tx, message, dispatch, None, None)
        return Transaction(message, dispatch, tuple(recipients))

    def _take_in(self, tx: Tx, transaction: Transaction, new: Sequence[Recipient]) -> None:
        """Consign to those who have a mailbox here, and order the answers."""
        message, dispatch = transaction.message, transaction.dispatch
        content = ContentRef(dispatch.month, dispatch.content or 0)
        known: list[Recipient] = []
        unknown: list[Recipient] = []
        for each in new:
            account = account_by_address(tx, each.address)
            if account is None or not account.receives:
                unknown.append(each)
                continue
            known.append(each)
            tx.run(
                "UPDATE recipient SET account = ? WHERE month = ? AND dispatch = ? AND ordinal = ?",
                account.id,
                dispatch.month,
                dispatch.id,
                each.ordinal,
            )
            deliver(
                tx,
                standard(tx, account.id, INBOX),
                content,
                size=self._relayed.spool.size,
                kind="dispatch",
                at=self._at,
                message=message.id,
                dispatch=dispatch.id,
                ordinal=each.ordinal,
            )
        taken = advance(tx, dispatch, known, Event.TAKEN_IN, self._at)
        refused = advance(tx, dispatch, unknown, Event.UNKNOWN_HERE, self._at)
        self._answer(tx, transaction, taken, refused)
        deliveries = [(each, tuple(a for a in actions if a is Action.ISSUE_40)) for each, actions in taken]
        carry_out(tx, message, dispatch, deliveries, self._at, self._settings, self._new_id)

    def _answer(
        self,
        tx: Tx,
        transaction: Transaction,
        taken: Sequence[tuple[Recipient, tuple[Action, ...]]],
        refused: Sequence[tuple[Recipient, tuple[Action, ...]]],
    ) -> None:
        """Evidence 20 and 21: one for all of our recipients when they are alike, else one for each of them."""
        reasons = (GivenReason(Reason.UNKNOWN_RECIPIENT),)
        alike = not taken or not refused
        for code, group, why in ((KepCode.ILETILDI, taken, ()), (KepCode.ILETILMEDI, refused, reasons)):
            ordinals: list[int | None] = [None] if alike else [each.ordinal for each, _ in group]
            for ordinal in ordinals if group else []:
                order = Order(code, self._new_id(), self._at, ordinal, why)
                order_evidence(tx, transaction.message, transaction.dispatch, order, self._at)

    # -- a receipt ----------------------------------------------------------------------------------------------

    def receipt(self, tx: Tx) -> str:
        """Take a peer's evidence about one of our messages: into Deliller, the ledger, states and keywords."""
        evidence, card = self._opened.evidence, self._opened.card
        details = evidence.message
        assert details is not None
        event = _ANSWERS.get(evidence.kep_code) if evidence.kep_code else None
        if event is None:
            raise Refusal("speaks-for-another", f"{card.domain} sent evidence {evidence.kep_code}")
        # correlation is by the signed XML, never by a header
        key = dispatch_by_remmd(tx, details.remmd_message_id)
        if key is None:
            raise Refusal("unknown-message", f"{card.domain} speaks of {details.remmd_message_id!r}")
        transaction = load_transaction(tx, *key)
        message, dispatch = transaction.message, transaction.dispatch
        if claimed(tx, f"evidence:{card.domain}", evidence.identifier.encode()):
            return evidence.identifier
        about = self._about(transaction, evidence)
        if details.digest != message.digest or evidence.sender.address.lower() != message.sender:
            raise Refusal("envelope-invalid", f"{evidence.identifier} names another message or sender")
        claim(tx, f"evidence:{card.domain}", evidence.identifier.encode(), dispatch.month, dispatch.id)
        blob, content = new_id(self._at), ContentRef(dispatch.month, new_id(self._at))
        size = put_blob(tx, dispatch.month, blob, self._relayed.spool.chunks())
        put_content(tx, content, [Span(blob, 0, size)], self._opened.rendered)
        self._keep_evidence(tx, message, dispatch, evidence.refers_to, content.id)
        if message.account is not None:
            deliver(
                tx,
                standard(tx, message.account, EVIDENCE),
                content,
                size=size,
                kind="receipt",
                at=self._at,
                message=message.id,
                dispatch=dispatch.id,
                ordinal=evidence.refers_to,
            )
        done = advance(tx, dispatch, about, event, self._at)
        carry_out(tx, message, dispatch, done, self._at, self._settings, self._new_id)
        refresh_keywords(tx, message)
        return evidence.identifier

    def _about(self, transaction: Transaction, evidence: Evidence) -> list[Recipient]:
        """The recipients that the evidence speaks of: the peer's own, and the same as ours at that place."""
        domain = self._opened.card.domain
        listed = [each.address.lower() for each in evidence.recipients]
        if listed != [each.address for each in transaction.recipients]:
            raise Refusal("envelope-invalid", f"{evidence.identifier} lists other recipients")
        theirs = [each for each in transaction.recipients if each.provider == domain]
        if evidence.refers_to is not None:
            theirs = [each for each in theirs if each.ordinal == evidence.refers_to]
        elif len(listed) > 1 and evidence.kep_code not in {KepCode.ILETILDI, KepCode.ILETILMEDI}:
            raise Refusal("envelope-invalid", f"{evidence.identifier} must name the one recipient that it is about")
        if not theirs:
            raise Refusal("speaks-for-another", f"{domain} about recipients of another provider")
        return theirs

    # -- both ---------------------------------------------------------------------------------------------------

    def _keep_evidence(
        self, tx: Tx, message: Message, dispatch: Dispatch, ordinal: int | None, receipt: int | None
    ) -> None:
        evidence = self._opened.evidence
        blob = new_id(self._at)
        put_blob(tx, dispatch.month, blob, [self._opened.judged.xml])
        record_evidence(
            tx,
            EvidenceRow(
                month=dispatch.month,
                id=evidence.identifier,
                dispatch=dispatch.id,
                message=message.id,
                ordinal=ordinal,
                code=int(evidence.kep_code or 0),
                issuer=self._opened.card.domain,
                own=False,
                event_time=evidence.event_time,
                reason=str(evidence.reasons[0].reason) if evidence.reasons else "",
                blob=blob,
                receipt=receipt,
            ),
        )

    def _new_id(self) -> str:
        return new_identifier("delil", self._peers.own_domain)


def _with(recipient: Recipient, state: State) -> Recipient:
    return Recipient(
        recipient.ordinal,
        recipient.address,
        recipient.name,
        recipient.provider,
        recipient.account,
        state,
        recipient.proofs,
    )


def _owner(address: str) -> str:
    try:
        return parse(address).provider
    except Refusal:
        return ""
