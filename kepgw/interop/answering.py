"""Taking a peer's receipt: its evidence about one of our messages."""

import hashlib
from collections.abc import Iterable
from typing import Final

from kepgw.accounts.address import ascii_lower
from kepgw.evidence.codes import KepCode, Reason
from kepgw.evidence.model import Evidence, GivenReason
from kepgw.interop.arrival import Arrival
from kepgw.interop.case import Order
from kepgw.interop.work import advance, carry_out, order_evidence
from kepgw.journey import Event, State
from kepgw.refusals import Refusal
from kepgw.store.engine import Tx
from kepgw.store.mailboxes import EVIDENCE, Standard, deliver
from kepgw.store.messages import (
    Recipient,
    Transaction,
    claim,
    claimed,
    dispatch_by_remmd,
    load_transaction,
    refresh_keywords,
)

MAX_REASONS: Final = 16  # of a peer's that we repeat
MAX_DETAILS: Final = 2000  # characters of each

# what a recipient's provider may tell a sender's provider
_ANSWERS: Final = {
    KepCode.ILETILDI: Event.PROOF_20,
    KepCode.ILETILMEDI: Event.PROOF_21,
    KepCode.TESLIM: Event.PROOF_40,
    KepCode.TESLIM_EDILEMEDI: Event.PROOF_41,
    KepCode.OKUNDU: Event.PROOF_60,
    KepCode.OKUNMADI: Event.PROOF_61,
}


class Answer(Arrival):
    """A receipt of a peer on its way to the sender."""

    def receipt(self, tx: Tx) -> str:
        """Take a peer's evidence about one of our messages: into Deliller, the ledger, states and keywords."""
        evidence, card, details = self._opened.evidence, self._opened.card, self._opened.details
        event = _ANSWERS.get(self._opened.code)
        if event is None:
            raise Refusal("speaks-for-another", f"{card.domain} sent evidence {self._opened.code}")
        # correlation is by the signed XML, never by a header
        found = dispatch_by_remmd(tx, details.remmd_message_id)
        if found is None:
            raise Refusal("unknown-message", f"{card.domain} speaks of {details.remmd_message_id!r}")
        transaction = load_transaction(tx, *found)
        message, dispatch = transaction.message, transaction.dispatch
        scope, key, mark = f"evidence:{card.domain}", evidence.identifier.encode(), self._mark(evidence)
        before = claimed(tx, scope, key)
        if before is not None:
            if before[2] != mark:
                raise Refusal("envelope-invalid", f"the identifier {evidence.identifier!r} is that of another evidence")
            return evidence.identifier
        about = self._about(transaction, evidence)
        if details.digest != dispatch.digest or ascii_lower(evidence.sender.address) != message.sender:
            raise Refusal("envelope-invalid", f"{evidence.identifier} names another message or sender")
        claim(tx, scope, key, dispatch.month, dispatch.id, mark)
        content = self._put_octets(tx, dispatch.month)
        ordinal = evidence.refers_to if len(evidence.refers_to_several) != 1 else evidence.refers_to_several[0]
        self._keep_evidence(tx, message, dispatch, ordinal, content.id)
        if message.account is not None:
            deliver(
                tx,
                Standard(message.account, EVIDENCE),
                content,
                size=self._relayed.spool.size,
                kind="receipt",
                at=self._at,
                message=message.id,
                dispatch=dispatch.id,
                ordinal=ordinal,
            )
        done = advance(tx, dispatch, about, event, self._at)
        carry_out(tx, message, dispatch, done, self._at, self._settings, self._new_id)
        if event is Event.PROOF_21 and self._profiles[dispatch.profile].repeats_rejection:
            self._repeat_rejection(tx, transaction, [each for each, _ in done])
        refresh_keywords(tx, message)
        return evidence.identifier

    def _repeat_rejection(self, tx: Tx, transaction: Transaction, refused: Iterable[Recipient]) -> None:
        """Evidence 31 to the sender with the peer's reasons, unless there is one (EN 319 532-4 Annex C)."""
        for each in refused:
            if each.state is State.REFUSED and "31" not in each.proofs:
                given = self._opened.evidence.reasons[:MAX_REASONS] or (GivenReason(Reason.OTHER),)
                why = tuple(GivenReason(one.reason, one.details[:MAX_DETAILS]) for one in given)
                order = Order(KepCode.ULASILAMADI, self._new_id(), self._at, (each.ordinal,), why)
                order_evidence(tx, transaction.message, transaction.dispatch, order, self._at)

    def _mark(self, evidence: Evidence) -> bytes:
        """What a repetition has in common with the first; its signature may be a new one."""
        about = str(evidence.refers_to_several or evidence.refers_to)
        told = [self._opened.details.remmd_message_id, str(int(self._opened.code)), about]
        return hashlib.sha256("\n".join(told).encode()).digest()

    def _about(self, transaction: Transaction, evidence: Evidence) -> list[Recipient]:
        """The recipients that the evidence speaks of: the peer's own, and the same as ours at that place."""
        domain = self._opened.card.domain
        listed = [ascii_lower(each.address) for each in evidence.recipients]
        if listed != [each.address for each in transaction.recipients]:
            raise Refusal("envelope-invalid", f"{evidence.identifier} lists other recipients")
        theirs = [each for each in transaction.recipients if each.provider == domain]
        about = {evidence.refers_to} if evidence.refers_to is not None else {*evidence.refers_to_several}
        if about:
            theirs = [each for each in theirs if each.ordinal in about]
            if len(theirs) < len(about):
                raise Refusal("speaks-for-another", f"{domain} about recipients of another provider")
        elif len(listed) > 1 and self._opened.code not in {KepCode.ILETILDI, KepCode.ILETILMEDI}:
            raise Refusal("envelope-invalid", f"{evidence.identifier} must name the one recipient that it is about")
        if not theirs:
            raise Refusal("speaks-for-another", f"{domain} about recipients of another provider")
        return theirs
