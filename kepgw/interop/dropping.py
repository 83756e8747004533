"""Giving a dispatch up before its window ends, by an administrator's word or since its peer is out; evidence 31."""

from datetime import datetime
from functools import partial

from kepgw.evidence.codes import Reason
from kepgw.evidence.model import GivenReason
from kepgw.interop.peers import Standing
from kepgw.interop.settings import RelaySettings
from kepgw.interop.work import advance, carry_out, new_identifier
from kepgw.journey import Event, State
from kepgw.store.engine import Tx
from kepgw.store.messages import load_transaction
from kepgw.store.tasks import Kind, Task, finish, in_lane
from kepgw.texts import text


def give_up(tx: Tx, task: Task, reason: Reason, details: str, own_domain: str, at: datetime) -> bool:
    """Take a relay task out of the queue, with evidence 31 for each recipient who was still waiting.

    False when somebody else has finished it meanwhile. Raises ValueError for work that is no relay: an evidence is
    never dropped.
    """
    if task.kind is not Kind.RELAY:
        raise ValueError(f"{task.kind} is no relay of a dispatch")
    if not finish(tx, task):
        return False
    transaction = load_transaction(tx, task.month, task.dispatch or 0)
    waiting = [each for each in transaction.recipients if each.provider == task.lane and each.state is State.RELAYING]
    done = advance(tx, transaction.dispatch, waiting, Event.WAY_CLOSED, at)
    carry_out(
        tx,
        transaction.message,
        transaction.dispatch,
        done,
        at,
        RelaySettings(),  # closing a way begins no window
        partial(new_identifier, "delil", own_domain),
        (GivenReason(reason, details),),
    )
    return True


def give_up_all(tx: Tx, peer: str, standing: Standing, own_domain: str, at: datetime) -> int:
    """Give up every dispatch that waits for a peer which is out, held back or not. Returns how many.

    Whatever put it out, nobody is known there any more who could answer for the peer (TS 102 640-2 Annex E, code 7).
    """
    details = text(f"reason-{standing.key}", "tr", peer=peer)
    waiting = in_lane(tx, peer, Kind.RELAY)
    return sum(give_up(tx, each, Reason.R_REMMD_NOT_IDENTIFIED, details, own_domain, at) for each in waiting)
