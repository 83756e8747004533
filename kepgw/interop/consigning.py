"""Taking a peer's dispatch: the mailboxes here, and the evidence that answers it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from kepgw.accounts.address import ascii_lower, parse
from kepgw.evidence.codes import KepCode, Reason
from kepgw.evidence.markup import MAX_XML, escape
from kepgw.evidence.model import Evidence, GivenReason
from kepgw.interop.arrival import Arrival
from kepgw.interop.case import Order, tell_sender
from kepgw.interop.work import advance, carry_out, order_evidence
from kepgw.journey import Action, Event
from kepgw.journey.states import State
from kepgw.refusals import Refusal
from kepgw.store.accounts import account_by_address
from kepgw.store.engine import Tx
from kepgw.store.ids import month_of, new_id
from kepgw.store.mailboxes import INBOX, Standard, deliver
from kepgw.store.messages import (
    RECEIVED,
    Dispatch,
    Message,
    Recipient,
    Transaction,
    claim,
    claimed,
    insert_dispatch,
    insert_message,
    load_transaction,
)
from kepgw.store.octets import ContentRef, size_of

EARLIEST: Final = datetime(2011, 8, 25, tzinfo=UTC)  # KEP Yönetmeliği RG 28036: no message is older
MAX_AHEAD: Final = timedelta(days=1)  # a peer's clock may be wrong, but T0 is shown and counted with
MAX_SAID: Final = MAX_XML * 3 // 4  # octets of an evidence of ours that what the dispatch says may take
ENTITY: Final = 320  # octets of the elements around one name and address


# evidence 20 and 21 are made for all of our recipients together
_FOR_EACH: Final = frozenset({Action.ISSUE_40, Action.AWAIT_RETRIEVAL})


class Consignment(Arrival):
    """A dispatch of a peer on its way into the mailboxes here."""

    def dispatch(self, tx: Tx) -> str:
        """Take a dispatch: original and envelope, the INBOX rows, and evidence 20 or 21 and 40 to be made."""
        evidence, card = self._opened.evidence, self._opened.card
        self._hold_to_rules(evidence)
        scope, key = f"dispatch:{card.domain}", self._opened.details.remmd_message_id.encode()
        mark = self._mark(evidence)
        before = claimed(tx, scope, key)
        if before is None:
            transaction = self._new_transaction(tx, evidence)
            claim(tx, scope, key, transaction.message.month, transaction.dispatch.id, mark)
        else:
            if before[2] != mark:
                raise Refusal("envelope-invalid", "the identifier was used for another message")
            transaction = load_transaction(tx, before[0], before[1])
        # a repetition finds every recipient beyond ELSEWHERE and changes nothing
        wanted = set(self._relayed.recipients)
        new = [each for each in transaction.recipients if each.address in wanted and each.state is State.ELSEWHERE]
        if new:
            self._take_in(tx, transaction, [replace(each, state=State.RECEIVED) for each in new])
        return transaction.dispatch.remmd_id

    def _hold_to_rules(self, evidence: Evidence) -> None:
        """What a dispatch must be. Raises Refusal."""
        if self._opened.code is not KepCode.KABUL:
            raise Refusal("not-an-envelope", f"a dispatch with evidence {self._opened.code}")
        # the sender's domain belongs to the signer: no provider speaks for the users of another
        domain = self._opened.card.domain
        if parse(evidence.sender.address).provider != domain:
            raise Refusal("speaks-for-another", f"{domain} for the sender {evidence.sender.address}")
        named = [ascii_lower(each.address) for each in evidence.recipients]
        if len(set(named)) != len(named):
            raise Refusal("not-an-envelope", "a recipient stands twice in the evidence")
        for address in self._relayed.recipients:
            if parse(address).provider != self._peers.own_domain:
                raise Refusal("foreign-recipient", address, recipient=address)
            if address not in named:
                raise Refusal("recipient-not-named", address, recipient=address)
        if _said(evidence) > MAX_SAID:  # 20 and 40 repeat it: they could never be made
            raise Refusal("not-an-envelope", f"{len(named)} recipients: too much to be repeated in an evidence")
        if not EARLIEST < _t0(evidence) < self._at + MAX_AHEAD:
            raise Refusal("envelope-invalid", f"submitted at {_t0(evidence)}")

    def _mark(self, evidence: Evidence) -> bytes:
        """What a repetition has in common with the first: message, sender, evidence and recipients in their order."""
        named = [evidence.identifier, evidence.sender.address, *(each.address for each in evidence.recipients)]
        return hashlib.sha256(self._opened.digest + "\n".join(named).encode()).digest()

    def _new_transaction(self, tx: Tx, evidence: Evidence) -> Transaction:
        details = self._opened.details
        month = month_of(self._at)
        relayed = self._relayed
        original = self._opened.original
        assert original is not None
        content = self._put_octets(tx, month)
        message = Message(
            month=month,
            id=new_id(self._at),
            direction="in",
            account=None,
            operator=None,
            peer=self._opened.card.domain,
            sender=ascii_lower(evidence.sender.address),
            sender_name=evidence.sender.name,
            subject=details.subject,
            ua_message_id=details.ua_message_id,
            t0=_t0(evidence),
            size=original[1] - original[0],
            eight_bit=relayed.checked.eight_bit,
            digest=self._opened.digest,
            content=None,  # its octets lie inside the dispatch
            facts={
                "to": "",
                "cc": "",
                "tr_headers": [],
                "sender": tell_sender(evidence),
                "remote": relayed.remote,
                "received": self._at.isoformat(),
            },
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
            profile=self._profiles.answering(evidence, self._opened.card),
            digest=self._opened.digest,
            state=RECEIVED,
            content=content.id,
        )
        recipients = [
            Recipient(ordinal, ascii_lower(each.address), each.name, _owner(each.address), None, State.ELSEWHERE)
            for ordinal, each in enumerate(evidence.recipients, 1)
        ]
        insert_dispatch(tx, dispatch, recipients, self._at)
        self._keep_evidence(tx, message, dispatch, None, None)
        return Transaction(message, dispatch, tuple(recipients))

    def _take_in(self, tx: Tx, transaction: Transaction, new: Sequence[Recipient]) -> None:
        """Consign to those who have a mailbox here, and order the answers."""
        message, dispatch = transaction.message, transaction.dispatch
        content = ContentRef(dispatch.month, dispatch.content or 0)  # as it came the first time
        size = size_of(tx, content)
        known: list[Recipient] = []
        turned_away: list[Recipient] = []
        for each in new:
            account = account_by_address(tx, each.address)
            if self._opened.refused or account is None or not account.receives:
                turned_away.append(each)
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
                Standard(account.id, INBOX),
                content,
                size=size,
                kind="dispatch",
                at=self._at,
                message=message.id,
                dispatch=dispatch.id,
                ordinal=each.ordinal,
            )
        taken = advance(tx, dispatch, known, Event.TAKEN_IN, self._at)
        refused = advance(tx, dispatch, turned_away, Event.REFUSED_HERE, self._at)
        self._answer(tx, transaction, taken, refused)
        deliveries = [(each, tuple(action for action in actions if action in _FOR_EACH)) for each, actions in taken]
        carry_out(tx, message, dispatch, deliveries, self._at, self._settings, self._new_id)

    def _answer(
        self,
        tx: Tx,
        transaction: Transaction,
        taken: Sequence[tuple[Recipient, tuple[Action, ...]]],
        refused: Sequence[tuple[Recipient, tuple[Action, ...]]],
    ) -> None:
        """Evidence 20 and 21, as many as the profile wants for those of ours who are alike.

        An evidence that names no recipient speaks of all that the dispatch has here, those included that the peer has
        not handed over yet: so it is made only when all came at once.
        """
        reasons = (GivenReason(self._opened.refused or Reason.UNKNOWN_RECIPIENT),)
        profile = self._profiles[transaction.dispatch.profile]
        ours = [each.ordinal for each in transaction.recipients if each.provider == self._peers.own_domain]
        for code, group, why in ((KepCode.ILETILDI, taken, ()), (KepCode.ILETILMEDI, refused, reasons)):
            ordinals = [each.ordinal for each, _ in group]
            for about in profile.scopes(ordinals, ours) if ordinals else []:
                order = Order(code, self._new_id(), self._at, about, why)
                order_evidence(tx, transaction.message, transaction.dispatch, order, self._at)


def _t0(evidence: Evidence) -> datetime:
    """When the sender's provider took the message (TS 102 640-2 M03)."""
    return evidence.submission_time or evidence.event_time


def _said(evidence: Evidence) -> int:
    """Octets, at most, that sender and recipients take in an evidence of ours; a long subject is cut there."""
    told = len(escape(json.dumps(tell_sender(evidence)))) + ENTITY * len(evidence.sender.identity)
    return told + sum(
        len(escape(each.name + each.address).encode()) + ENTITY for each in (evidence.sender, *evidence.recipients)
    )


def _owner(address: str) -> str:
    try:
        return parse(address).provider
    except Refusal:
        return ""
