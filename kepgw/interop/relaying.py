"""Giving dispatches and receipts to peers: the duties that wait for somebody else's machine."""

import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from kepgw.evidence.codes import Reason
from kepgw.evidence.model import GivenReason
from kepgw.interop.case import Attempt
from kepgw.interop.desk import Outgoing, RelayClient, RelayProblem
from kepgw.interop.dropping import give_up_all
from kepgw.interop.peers import Peers
from kepgw.interop.settings import RelaySettings
from kepgw.interop.ways import Ways
from kepgw.interop.work import advance, carry_out, new_identifier
from kepgw.journey import Event, State
from kepgw.store.engine import Store, Tx
from kepgw.store.messages import Recipient, Transaction, load_transaction
from kepgw.store.octets import CHUNK, ContentRef, Span, cut, read_spans, spans_of
from kepgw.store.tasks import (
    REFUSED_FOR_GOOD,
    Kind,
    Task,
    add,
    by_id,
    finish,
    let_follow,
    of_dispatch,
    postpone,
    postpone_lane,
    wait_for,
    wake,
)
from kepgw.texts import text

_BEHIND: Final = timedelta(milliseconds=1)  # for each attempt, as postpone_lane has it
_LOOK: Final = 100  # tasks of a dispatch; those of earlier steps are the older ones
MAX_REPLY: Final = 500  # characters of a peer's reply that are kept

_log = logging.getLogger("kepgw.relaying")


class Relaying:
    """The relay duties of one provider. Each ends in one commit that also moves or removes its task."""

    def __init__(
        self, store: Store, peers: Peers, client: RelayClient, settings: RelaySettings, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._peers = peers
        self._client = client
        self._settings = settings
        self._now = now
        self._ways = Ways(settings, now)

    def reconfigure(self, settings: RelaySettings) -> None:
        """Wait by other settings."""
        self._settings = settings
        self._ways.reconfigure(settings)

    def at_once(self, peer: str) -> int:
        """How many tasks for a peer may run at once: one while it is not known whether there is a way to it."""
        return self._settings.toward(peer).connections_per_peer if self._ways.open(peer) else 1

    def try_all(self) -> None:
        """Forget which peers could not be reached."""
        self._ways.forget()

    async def relay(self, task: Task) -> None:
        """Give a dispatch to a peer, once, with all of its recipients; at the end of the window, evidence 31."""
        transaction = await self._store.read(lambda tx: load_transaction(tx, task.month, task.dispatch or 0))
        waiting = [
            each for each in transaction.recipients if each.provider == task.lane and each.state is State.RELAYING
        ]
        if not waiting:  # its evidence came although we never saw the 250
            await self._store.write(lambda tx: finish(tx, task))
            return
        ending = self._peers.ending(task.lane)
        if ending is not None:  # it came into the queue while the peer went out
            own, at = self._peers.own_domain, self._now()
            await self._store.write(lambda tx: give_up_all(tx, task.lane, ending, own, at))
            return
        content = ContentRef(task.month, transaction.dispatch.content or 0)
        try:
            self._hold(task)
            addresses = [each.address for each in waiting]
            refused = await self._send(task, content, addresses, transaction.message.eight_bit)
        except RelayProblem as problem:
            if problem.refused:  # one by one, some perhaps only for now
                work = partial(self._relayed, task=task, sent=waiting, refused=problem.refused)
            else:
                work = partial(self._not_relayed, task=task, waiting=waiting, problem=problem)
            await self._store.write(work)
            return
        await self._store.write(lambda tx: self._relayed(tx, task, waiting, refused))

    async def receipt(self, task: Task) -> None:
        """Give a receipt to the sender's provider; tried until it is taken: an evidence is never dropped.

        What happened later is told later: 40 does not overtake the 20 of its recipient, nor 60 their 40.
        """
        if await self._store.read(lambda tx: _earlier(tx, task)) is not None:
            await self._store.write(lambda tx: self._let_wait(tx, task))
            return
        card = self._peers.card(task.lane)
        content = ContentRef(task.month, task.payload["content"])
        try:
            if card is None:
                raise RelayProblem(f"{task.lane} is no peer at present", permanent=False, stage="connect")
            self._hold(task)
            refused = await self._send(task, content, [card.service_address], eight_bit=False)
            if refused:
                raise RelayProblem(next(iter(refused.values())), permanent=True, stage="rcpt")
        except RelayProblem as problem:
            _log.warning("receipt not taken: peer=%s reason=%s", task.lane, problem)
            await self._store.write(partial(self._receipt_not_taken, task=task, problem=problem))
            return
        await self._store.write(lambda tx: self._receipt_taken(tx, task))

    def _let_wait(self, tx: Tx, task: Task) -> None:
        earlier = _earlier(tx, task)  # it may have been taken since
        if earlier is not None:
            wait_for(tx, task, earlier, self._now(), self._settings.retry_first)

    def _receipt_taken(self, tx: Tx, task: Task) -> None:
        if finish(tx, task):
            let_follow(tx, task, self._now())

    def _receipt_not_taken(self, tx: Tx, task: Task, problem: RelayProblem) -> None:
        at = self._now()
        if problem.permanent:  # it may never be taken: those behind it wait no more
            postpone(tx, task, self._next(task, at), f"{REFUSED_FOR_GOOD}: {problem.stage}: {problem}")
            let_follow(tx, task, at)
        else:
            self._later(tx, task, at, problem)

    def _later(self, tx: Tx, task: Task, at: datetime, problem: RelayProblem) -> None:
        """Try again after a wait, at the latest at the deadline; with all others when there is no way to the peer."""
        due, reason = self._next(task, at), f"{problem.stage}: {problem}"
        if not self._ways.open(task.lane):
            due = at + self._ways.left(task.lane)
            if postpone_lane(tx, task.lane, at, due, reason) > 1:
                due += _BEHIND * (task.attempts + 1)
        postpone(tx, task, due if task.deadline is None else min(due, task.deadline), reason)

    def _hold(self, task: Task) -> None:
        """What an administrator holds back is not sent; its windows go on. Raises RelayProblem."""
        reason = task.held or self._peers.held(task.lane)
        if reason:
            raise RelayProblem(reason, permanent=False, stage="held")

    async def _send(
        self, task: Task, content: ContentRef, recipients: Sequence[str], eight_bit: bool
    ) -> dict[str, str]:
        peer = task.lane
        route = self._peers.route(peer)
        if route is None:
            standing = self._peers.standings.get(peer)
            why = "" if standing is None else f": {standing.detail}"
            raise RelayProblem(f"{peer} is no peer at present{why}", permanent=False, stage="connect")
        settings = self._settings
        route = settings.route(route)
        spans = await self._store.read(lambda tx: spans_of(tx, content))
        size = sum(span.length for span in spans)
        largest = settings.toward(peer).largest_octets
        if largest is not None and size > largest:
            reason = f"the message has {size} octets, {peer} takes {largest} by our settings"
            raise RelayProblem(reason, permanent=True, stage="mail")

        async def octets() -> AsyncIterator[bytes]:
            for start in range(0, size, CHUNK):
                part = cut(spans, start, CHUNK)
                yield await self._store.read(partial(_piece, month=content.month, spans=part))

        outgoing = Outgoing(self._peers.own_service_address, tuple(recipients), size, eight_bit, octets)
        unknown = not self._ways.open(peer)
        last = task.deadline is not None and self._now() >= task.deadline
        try:
            with self._ways.attempt(peer, last=last):
                outcome = await self._client.send(route, outgoing)
        finally:
            if unknown and self._ways.open(peer):  # whatever it said: it is there again
                await self._store.write(lambda tx: wake(tx, peer, self._now()))
        return outcome.refused

    def _relayed(self, tx: Tx, task: Task, sent: Sequence[Recipient], refused: Mapping[str, str]) -> None:
        """The peer has taken the message for some: those wait for its answer. A 4xx for a recipient is asked again."""
        current = by_id(tx, task.id)  # somebody may have held it back while it was under way
        if current is None or not finish(tx, task):
            return
        at = self._now()
        transaction, now = _again(tx, task, sent)
        self._step(tx, transaction, [each for each in now if each.address not in refused], Event.HANDED_OVER, at)
        later = bool(task.deadline and at < task.deadline)
        for each in now:
            reply = refused.get(each.address)
            if reply is None or (later and _passing(reply)):
                continue
            # a refusal for now, until the window ended, says nothing about whether there is such a recipient
            kind = Reason.R_REMMD_UNREACHABLE if _passing(reply) else Reason.UNKNOWN_RECIPIENT
            reason = _refusal(kind, "reason-refused-by-peer", reply)
            self._step(tx, transaction, [each], Event.WAY_CLOSED, at, reason, self._attempt(task.lane, reply))
        waiting = [reply for reply in refused.values() if _passing(reply)]
        if later and waiting:
            due = current.due if current.held else min(self._next(task, at), task.deadline or at)
            told = f"rcpt: {waiting[0]}"[:MAX_REPLY]
            add(tx, replace(current, due=due, attempts=task.attempts + 1, last_error=told))

    def _not_relayed(self, tx: Tx, task: Task, waiting: Sequence[Recipient], problem: RelayProblem) -> None:
        at = self._now()
        deadline = task.deadline or at
        _log.warning(
            "not relayed: peer=%s stage=%s permanent=%s reason=%s", task.lane, problem.stage, problem.permanent, problem
        )
        if not problem.permanent and at < deadline:
            self._later(tx, task, at, problem)
            return
        if not finish(tx, task):
            return
        transaction, now = _again(tx, task, waiting)
        key = "reason-refused-by-peer" if problem.permanent else "reason-no-way"
        kind = Reason.R_REMMD_MALFUNCTION if problem.permanent else Reason.R_REMMD_UNREACHABLE
        attempt = self._attempt(task.lane, str(problem))
        self._step(tx, transaction, now, Event.WAY_CLOSED, at, _refusal(kind, key, str(problem)), attempt)

    def _attempt(self, peer: str, reply: str) -> Attempt:
        route = self._peers.route(peer)
        host = "" if route is None else self._settings.route(route).host
        return Attempt(host or peer, reply[:MAX_REPLY])  # "": by its MX

    def _next(self, task: Task, at: datetime) -> datetime:
        return at + self._settings.wait(task.attempts, random.random())  # noqa: S311  (jitter)

    def _step(
        self,
        tx: Tx,
        transaction: Transaction,
        recipients: Sequence[Recipient],
        event: Event,
        at: datetime,
        reasons: tuple[GivenReason, ...] = (),
        attempt: Attempt | None = None,
    ) -> None:
        message, dispatch = transaction.message, transaction.dispatch
        done = advance(tx, dispatch, recipients, event, at)
        new_id = partial(new_identifier, "delil", self._peers.own_domain)
        carry_out(tx, message, dispatch, done, at, self._settings, new_id, reasons, attempt)


def _again(tx: Tx, task: Task, before: Sequence[Recipient]) -> tuple[Transaction, list[Recipient]]:
    """The transaction and those recipients as they are now: evidence may have come while the peer was spoken to."""
    transaction = load_transaction(tx, task.month, task.dispatch or 0)
    ordinals = {each.ordinal for each in before}
    return transaction, [each for each in transaction.recipients if each.ordinal in ordinals]


def _earlier(tx: Tx, task: Task) -> Task | None:
    """An evidence about the same recipients and of an earlier step that is still to be taken by the same peer."""
    rank, about = _step_of(task)
    others = of_dispatch(tx, task.month, task.message, task.dispatch or 0, (Kind.EVIDENCE, Kind.RECEIPT), _LOOK)
    for other in others:
        its_rank, its_about = _step_of(other)
        same = not about or not its_about or bool(about & its_about)
        refused = other.kind is Kind.RECEIPT and other.last_error.startswith(REFUSED_FOR_GOOD)
        if its_rank < rank and same and not refused and other.id != task.id:
            return other
    return None


def _step_of(task: Task) -> tuple[int, frozenset[int]]:
    """How far a recipient is by an evidence (20 and 21: 2, 40: 4, 60: 6), and the recipients that it speaks of."""
    return int(task.payload.get("code", 0)) // 10, frozenset(task.payload.get("about", ()))


def _passing(reply: str) -> bool:
    """Whether a reply refuses only for now (RFC 5321 4.2.1)."""
    return reply.startswith("4")


def _piece(tx: Tx, month: int, spans: Sequence[Span]) -> bytes:
    return b"".join(read_spans(tx, month, spans))


def _refusal(reason: Reason, key: str, detail: str) -> tuple[GivenReason, ...]:
    return (GivenReason(reason, text(key, "tr", detail=detail[:MAX_REPLY])),)
