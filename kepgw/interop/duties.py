"""What each kind of task does. Every duty ends in one commit that also takes its task out of the queue.

A duty that is done twice (a process killed between work and commit) makes the same identifiers and is kept once.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from kepgw.errors import StampUnavailable
from kepgw.evidence.codes import KepCode, Reason
from kepgw.evidence.en319522_codes import ErdsReason
from kepgw.evidence.model import GivenReason
from kepgw.interop.case import Counterpart, Order, case_of
from kepgw.interop.desk import RelayClient
from kepgw.interop.peers import Peers
from kepgw.interop.relaying import Relaying
from kepgw.interop.settings import RelaySettings
from kepgw.interop.work import advance, carry_out, new_identifier, order_of
from kepgw.interop.workshop import Made, Sealed, Workshop
from kepgw.journey import Event, State
from kepgw.message.envelope import Unsealed
from kepgw.message.form import Form
from kepgw.message.rendering import Rendered
from kepgw.store.engine import Store, Tx
from kepgw.store.ids import micros, new_id
from kepgw.store.mailboxes import EVIDENCE, INBOX, Standard, deliver
from kepgw.store.messages import (
    ISSUED,
    Dispatch,
    EvidenceRow,
    Message,
    Recipient,
    Transaction,
    evidence_by_id,
    load_transaction,
    recipients_of,
    record_evidence,
    refresh_keywords,
    set_state,
)
from kepgw.store.octets import (
    ContentRef,
    Span,
    cut,
    put_blobs,
    put_content,
    read_content,
    rendered_of,
    spans_of,
)
from kepgw.store.reading import MailRow
from kepgw.store.tasks import Kind, Task, add, finish
from kepgw.texts import text

SENT_OVER: Final = 256 * 1024  # octets of an original that go to the signing process with the job

# events that an evidence of our own means for the recipients that it is about
_OWN_PROOFS = {
    KepCode.TESLIM: Event.PROOF_40,
    KepCode.TESLIM_EDILEMEDI: Event.PROOF_41,
    KepCode.OKUNDU: Event.PROOF_60,
    KepCode.OKUNMADI: Event.PROOF_61,
}


class Duties:
    """The duties of one provider."""

    def __init__(
        self,
        store: Store,
        peers: Peers,
        workshop: Workshop,
        client: RelayClient,
        settings: RelaySettings,
        now: Callable[[], datetime],
    ) -> None:
        self.settings = settings
        self._store = store
        self._peers = peers
        self._workshop = workshop
        self._relaying = Relaying(store, peers, client, settings, now)
        self._now = now

    def reconfigure(self, settings: RelaySettings) -> None:
        """Windows and waits of what begins from now on."""
        self.settings = settings
        self._relaying.reconfigure(settings)

    # -- issue: evidence 10 and the dispatch --------------------------------------------------------------------

    async def issue(self, task: Task) -> None:
        """Evidence 10, the dispatch around the original, the mailboxes here, the relay to each peer."""
        transaction, original, octets = await self._store.read(lambda tx: _with_original(tx, task))
        case = case_of(transaction)
        order = Order(KepCode.KABUL, case.evidence_id, case.t0)
        self._hold(order)
        made, sealed = await self._workshop.issue(case, order, original, octets)
        if sealed is None:  # too large to send over: its digest is taken here, as it streams
            content = ContentRef(task.month, transaction.message.content or 0)
            unsealed, form = made.unsealed, made.form
            assert unsealed is not None
            assert form is not None
            digest = await self._store.read(lambda tx: _digest(tx, unsealed, form, content))
            sealed = await self._workshop.seal(unsealed, digest, original, form)
        work = partial(self._issued, task=task, transaction=transaction, made=made, sealed=sealed)
        await self._store.write(work)

    def _issued(self, tx: Tx, task: Task, transaction: Transaction, made: Made, sealed: Sealed) -> None:
        if not finish(tx, task):
            return
        at = self._now()
        message, dispatch = transaction.message, transaction.dispatch
        recipients = recipients_of(tx, dispatch.month, dispatch.id)
        content = ContentRef(task.month, new_id(at))
        original = spans_of(tx, ContentRef(task.month, message.content or 0))
        assert made.form is not None
        blobs: dict[int, bytes] = {}
        spans: list[Span] = []
        for piece in (sealed.head, *made.form, sealed.tail):
            if isinstance(piece, bytes):
                blobs[(blob := new_id(at))] = piece
                spans.append(Span(blob, 0, len(piece)))
            else:
                spans += cut(original, piece.start, piece.end - piece.start)
        put_blobs(tx, task.month, blobs)
        size = put_content(tx, content, spans, sealed.rendered)
        tx.run(
            "UPDATE dispatch SET state = ?, content = ?, issued = ? WHERE month = ? AND id = ?",
            ISSUED,
            content.id,
            micros(at),
            dispatch.month,
            dispatch.id,
        )
        self._keep(tx, message, dispatch, made, Order(KepCode.KABUL, dispatch.evidence_id, message.t0), at)
        proved = [_proved(each, "10") for each in recipients]
        here = [each for each in proved if each.account is not None]
        away = [each for each in proved if each.account is None]
        for each in here:
            assert each.account is not None
            deliver(
                tx,
                Standard(each.account, INBOX),
                content,
                size=size,
                kind="dispatch",
                at=at,
                message=message.id,
                dispatch=dispatch.id,
                ordinal=each.ordinal,
            )
        self._step(tx, message, dispatch, here, Event.ISSUED_HERE, at)
        self._step(tx, message, dispatch, away, Event.ISSUED_AWAY, at)
        for peer in dict.fromkeys(each.provider for each in away):
            deadline = at + self.settings.toward(peer).window  # the relay window starts when 10 is ready
            add(tx, Task(Kind.RELAY, task.month, message.id, dispatch.id, peer, at, {}, at, deadline))
        refresh_keywords(tx, message)

    # -- evidence: one evidence and its receipt -----------------------------------------------------------------

    async def evidence(self, task: Task) -> None:
        """One evidence: into the ledger, and its receipt to the sender's Deliller or provider."""
        order = order_of(task.payload)
        self._hold(order)
        transaction = await self._store.read(lambda tx: load_transaction(tx, task.month, task.dispatch or 0))
        made = await self._workshop.make(case_of(transaction, self._counterpart(transaction, order)), order)
        await self._store.write(lambda tx: self._made(tx, task, transaction, order, made))

    def _made(self, tx: Tx, task: Task, transaction: Transaction, order: Order, made: Made) -> None:
        if not finish(tx, task) or evidence_by_id(tx, task.month, self._peers.own_domain, order.identifier):
            return
        at = self._now()
        # message and dispatch do not change any more; where the recipients stand is read again
        message, dispatch = transaction.message, transaction.dispatch
        recipients = recipients_of(tx, dispatch.month, dispatch.id)
        receipt = self._keep(tx, message, dispatch, made, order, at)
        if message.peer is not None:
            payload = {
                "content": receipt.id,
                "evidence": order.identifier,
                "code": order.code.value,
                "about": list(order.about),
            }
            add(tx, Task(Kind.RECEIPT, task.month, message.id, dispatch.id, message.peer, at, payload, at))
        event = _OWN_PROOFS.get(order.code)
        about = [each for each in recipients if not order.about or each.ordinal in order.about]
        if event is not None and (message.peer is not None or _ours(about)):
            self._step(tx, message, dispatch, about, event, at)
        elif order.code in {KepCode.ULASILAMADI, KepCode.TESLIM_EDILEMEDI}:
            for each in about:  # the state was set when the window ended; the proof is there now
                _write_proof(tx, dispatch, each, str(order.code.value), at)
        refresh_keywords(tx, message)

    def _keep(self, tx: Tx, message: Message, dispatch: Dispatch, made: Made, order: Order, at: datetime) -> ContentRef:
        """Put an evidence of ours into the ledger and its receipt where our own user sees it."""
        month = dispatch.month
        ordinal = order.about[0] if len(order.about) == 1 else None
        xml, octets, receipt = new_id(at), new_id(at), ContentRef(month, new_id(at))
        put_blobs(tx, month, {xml: made.xml, octets: made.receipt})
        size = put_content(tx, receipt, [Span(octets, 0, len(made.receipt))], made.rendered)
        evidence = made.evidence
        record_evidence(
            tx,
            EvidenceRow(
                month=month,
                id=evidence.identifier,
                dispatch=dispatch.id,
                message=message.id,
                ordinal=ordinal,
                code=int(order.code),
                issuer=self._peers.own_domain,
                own=True,
                event_time=evidence.event_time,
                reason=str(evidence.reasons[0].reason) if evidence.reasons else "",
                blob=xml,
                receipt=receipt.id,
            ),
            hashlib.sha256(made.xml).digest(),
        )
        if message.account is not None:
            deliver(
                tx,
                Standard(message.account, EVIDENCE),
                receipt,
                size=size,
                kind="receipt",
                at=at,
                message=message.id,
                dispatch=dispatch.id,
                ordinal=ordinal,
            )
        return receipt

    def _counterpart(self, transaction: Transaction, order: Order) -> Counterpart | None:
        """The other provider of what an order is about: the sender's, or that of the first recipient it speaks of."""
        domain = transaction.message.peer
        if domain is None:
            about = [each for each in transaction.recipients if not order.about or each.ordinal in order.about]
            domain = about[0].provider if about else ""
        if domain in {"", self._peers.own_domain}:
            return None
        card = self._peers.card(domain)
        if card is None:  # removed meanwhile: its domain is what we still know
            return Counterpart(domain, domain, f"postmaster@{domain}")
        return Counterpart(domain, card.name, card.service_address)

    # -- relay --------------------------------------------------------------------------------------------------

    async def relay(self, task: Task) -> None:
        """Give a dispatch to a peer; at the end of the window, evidence 31."""
        await self._relaying.relay(task)

    async def receipt(self, task: Task) -> None:
        """Give a receipt to the sender's provider."""
        await self._relaying.receipt(task)

    def at_once(self, peer: str) -> int:
        """How many tasks for a peer may run at once."""
        return self._relaying.at_once(peer)

    def try_all(self) -> None:
        """Forget which peers could not be reached: an administrator knows better."""
        self._relaying.try_all()

    # -- windows that end ---------------------------------------------------------------------------------------

    async def answer_window(self, task: Task) -> None:
        """The peer said 250 but sent neither 20 nor 21: evidence 31, "no proof until now"."""
        reason = (GivenReason(ErdsReason.RB22, text("reason-no-answer", "tr")),)  # in older words: R_REMMD_Malfunction
        await self._store.write(lambda tx: self._ended(tx, task, Event.ANSWER_WINDOW_ENDED, reason))

    async def delivery_window(self, task: Task) -> None:
        """20 came but neither 40 nor 41: our own evidence 41, "no proof until now"."""
        reason = (GivenReason(Reason.NO_DELIVERY_INFO, text("reason-no-delivery-info", "tr")),)
        await self._store.write(lambda tx: self._ended(tx, task, Event.DELIVERY_WINDOW_ENDED, reason))

    async def retrieval_window(self, task: Task) -> None:
        """Nobody with the read right opened it in time: evidence 61, which changes no state."""
        reason = (GivenReason(Reason.RETENTION_PERIOD_EXPIRED),)
        await self._store.write(lambda tx: self._ended(tx, task, Event.RETRIEVAL_WINDOW_ENDED, reason))

    def _ended(self, tx: Tx, task: Task, event: Event, reasons: tuple[GivenReason, ...]) -> None:
        if not finish(tx, task):
            return
        transaction = load_transaction(tx, task.month, task.dispatch or 0)
        about = [each for each in transaction.recipients if each.ordinal == task.ordinal]
        self._step(tx, transaction.message, transaction.dispatch, about, event, self._now(), reasons)

    # -- read ---------------------------------------------------------------------------------------------------

    async def opened(self, mail: MailRow) -> None:
        """An operator with the read right reads a dispatch: evidence 60, once. Durable when this returns.

        Receipts and a user's own mail stand beside dispatches in the same mailboxes: to read them proves nothing.
        """
        if mail.kind != "dispatch" or mail.dispatch is None or mail.ordinal is None:
            return
        if await self._store.read(lambda tx: _unread(tx, mail)):  # most readings are not the first: no commit for them
            await self._store.write(lambda tx: self._opened(tx, mail))

    def _opened(self, tx: Tx, mail: MailRow) -> None:
        about = _unread(tx, mail)
        if about:
            transaction = load_transaction(tx, mail.month, mail.dispatch or 0)
            self._step(tx, transaction.message, transaction.dispatch, about, Event.OPENED, self._now())

    def _step(
        self,
        tx: Tx,
        message: Message,
        dispatch: Dispatch,
        recipients: Sequence[Recipient],
        event: Event,
        at: datetime,
        reasons: tuple[GivenReason, ...] = (),
    ) -> None:
        done = advance(tx, dispatch, recipients, event, at)
        carry_out(tx, message, dispatch, done, at, self.settings, self._new_id, reasons)

    def _hold(self, order: Order) -> None:
        """No stamp may be older than its event: the clock that fixed it was ahead, and has been set back since."""
        if order.event_time > self._now() + self.settings.clock_bound:
            raise StampUnavailable(f"by our clock {order.identifier} happens only at {order.event_time}")

    def _new_id(self) -> str:
        return new_identifier("delil", self._peers.own_domain)


def _unread(tx: Tx, mail: MailRow) -> list[Recipient]:
    """The recipient whose copy of a dispatch ``mail`` is, as long as nobody read it."""
    return [
        each
        for each in recipients_of(tx, mail.month, mail.dispatch or 0)
        if each.ordinal == mail.ordinal and each.state in {State.CONSIGNED, State.DELIVERED}
    ]


def _with_original(tx: Tx, task: Task) -> tuple[Transaction, Rendered, bytes | None]:
    """A transaction, what IMAP shows of its original, and the original's octets when they are few."""
    transaction = load_transaction(tx, task.month, task.dispatch or 0)
    content = ContentRef(task.month, transaction.message.content or 0)
    octets = b"".join(read_content(tx, content)) if transaction.message.size <= SENT_OVER else None
    return transaction, rendered_of(tx, content), octets


def _digest(tx: Tx, unsealed: Unsealed, form: Form, content: ContentRef) -> bytes:
    """The digest of what the signature of a dispatch covers, as it streams."""
    digest = hashlib.new(unsealed.digest_algorithm, unsealed.signed_head)
    for piece in form:
        if isinstance(piece, bytes):
            digest.update(piece)
            continue
        for chunk in read_content(tx, content, piece.start, piece.end - piece.start):
            digest.update(chunk)
    digest.update(unsealed.tail)
    return digest.digest()


def _proved(recipient: Recipient, code: str) -> Recipient:
    return replace(recipient, proofs=recipient.proofs | {code})


def _ours(recipients: Sequence[Recipient]) -> bool:
    return bool(recipients) and all(each.account is not None for each in recipients)


def _write_proof(tx: Tx, dispatch: Dispatch, recipient: Recipient, code: str, at: datetime) -> None:
    set_state(tx, dispatch.month, dispatch.id, _proved(recipient, code), at)
