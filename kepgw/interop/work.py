"""Steps of a recipient's journey written into the store: state, proofs, and the tasks that the step asks for.

Every function here is part of a transaction of the store.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from kepgw.evidence.codes import KEP_CODES, KepCode, Reason
from kepgw.evidence.en319522_codes import ErdsReason
from kepgw.evidence.model import GivenReason
from kepgw.interop.case import Attempt, Order
from kepgw.interop.settings import RelaySettings
from kepgw.journey import Action, Event, step
from kepgw.journey.machine import after
from kepgw.journey.states import State
from kepgw.store.engine import Tx
from kepgw.store.ids import micros, moment
from kepgw.store.messages import Dispatch, Message, Recipient, set_state
from kepgw.store.tasks import SIGN, TIMER, Kind, Task, add, end_windows

NewId = Callable[[], str]

_ISSUES: Final = {
    Action.ISSUE_20: KepCode.ILETILDI,
    Action.ISSUE_21: KepCode.ILETILMEDI,
    Action.ISSUE_31: KepCode.ULASILAMADI,
    Action.ISSUE_40: KepCode.TESLIM,
    Action.ISSUE_41: KepCode.TESLIM_EDILEMEDI,
    Action.ISSUE_60: KepCode.OKUNDU,
    Action.ISSUE_61: KepCode.OKUNMADI,
}

# the states in which a window is still awaited
_AWAITING: Final = {
    Kind.ANSWER_WINDOW: frozenset({State.RELAYED}),
    Kind.DELIVERY_WINDOW: frozenset({State.ANSWERED}),
    Kind.RETRIEVAL_WINDOW: frozenset({State.CONSIGNED, State.DELIVERED}),
}


def new_identifier(use: str, domain: str) -> str:
    """An identifier in the form of a msg-id without brackets, unique over all time (EN 319 532-4 C.18)."""
    return f"{use}.{uuid4().hex}@{domain}"


def advance(
    tx: Tx, dispatch: Dispatch, recipients: Iterable[Recipient], event: Event, at: datetime
) -> list[tuple[Recipient, tuple[Action, ...]]]:
    """Make one step for each recipient and write it. Returns each with the actions that others must do.

    Raises Impossible for an event that cannot happen: the whole transaction is then undone.
    """
    done: list[tuple[Recipient, tuple[Action, ...]]] = []
    for recipient in recipients:
        state, actions = step(recipient.state, event)
        code = after(event)
        changed = replace(recipient, state=state, proofs=recipient.proofs | ({code} if code else frozenset()))
        if changed != recipient:
            set_state(tx, dispatch.month, dispatch.id, changed, at)
        for kind, awaiting in _AWAITING.items():
            if recipient.state in awaiting and state not in awaiting:
                end_windows(tx, kind, dispatch.month, dispatch.message, dispatch.id, recipient.ordinal)
        done.append((changed, actions))
    return done


def order_evidence(tx: Tx, message: Message, dispatch: Dispatch, order: Order, at: datetime) -> None:
    """Queue the making of an evidence; its identifier and times are fixed from here on."""
    payload: dict[str, Any] = {
        "code": order.code.value,
        "identifier": order.identifier,
        "event_time": micros(order.event_time),
        "about": list(order.about),
        "reasons": [[str(each.reason), each.details] for each in order.reasons],
    }
    if order.attempt is not None:
        payload["attempt"] = [order.attempt.host, order.attempt.reply]
    add(tx, Task(Kind.EVIDENCE, message.month, message.id, dispatch.id, SIGN, at, payload, at))


def order_of(payload: dict[str, Any]) -> Order:
    """The order that a task of kind EVIDENCE carries."""
    attempt = payload.get("attempt")
    return Order(
        KepCode(payload["code"]),
        payload["identifier"],
        moment(payload["event_time"]),
        tuple(payload["about"]),
        tuple(GivenReason(_reason(reason), details) for reason, details in payload["reasons"]),
        Attempt(*attempt) if attempt else None,
    )


def _reason(name: str) -> Reason | ErdsReason | str:
    """A reason by its name in either generation; those that share a name mean the same, and the older says it."""
    for known in (Reason, ErdsReason):
        with suppress(ValueError):
            return known(name)
    return name


def carry_out(
    tx: Tx,
    message: Message,
    dispatch: Dispatch,
    done: Iterable[tuple[Recipient, tuple[Action, ...]]],
    at: datetime,
    settings: RelaySettings,
    new_id: NewId,
    reasons: tuple[GivenReason, ...] = (),
    attempt: Attempt | None = None,
) -> None:
    """Queue what the steps ask for: one evidence a recipient, one window a recipient.

    RELAY and CONSIGN are not for here: they concern a whole peer and the mailbox, and their callers do them.
    """
    for recipient, actions in done:
        own = settings.toward(recipient.provider)
        for action in actions:
            if action in _ISSUES:
                code = _ISSUES[action]
                why = () if KEP_CODES[code].positive else reasons
                order = Order(code, new_id(), at, (recipient.ordinal,), why, attempt if why else None)
                order_evidence(tx, message, dispatch, order, at)
            elif action is Action.AWAIT_ANSWER:
                _window(tx, message, dispatch, recipient, Kind.ANSWER_WINDOW, at + own.answer_window, at)
            elif action is Action.AWAIT_DELIVERY:
                _window(tx, message, dispatch, recipient, Kind.DELIVERY_WINDOW, at + own.delivery_window, at)
            elif action is Action.AWAIT_RETRIEVAL and settings.retrieval_window is not None:
                _window(tx, message, dispatch, recipient, Kind.RETRIEVAL_WINDOW, at + settings.retrieval_window, at)


def _window(
    tx: Tx, message: Message, dispatch: Dispatch, recipient: Recipient, kind: Kind, due: datetime, at: datetime
) -> None:
    task = Task(kind, message.month, message.id, dispatch.id, TIMER, due, {}, at, ordinal=recipient.ordinal)
    add(tx, task)
