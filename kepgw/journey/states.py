"""States, events and actions of one recipient of one dispatch, and the one table that ties them.

The table is the whole truth: ``docs/journey.md`` is printed from it. The same machine serves the sender's provider
(for recipients elsewhere), the recipient's provider (for dispatches that came from a peer) and a provider that is
both. Codes of evidence are those of the KEP list: 10, 11, 20, 21, 31, 40, 41, 60.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class State(StrEnum):
    """Where a recipient stands. What a user may conclude is said in the text of each."""

    ACCEPTED = "accepted"  # durable here, evidence 10 not ready: nothing is proved yet
    ELSEWHERE = "elsewhere"  # named in a peer's dispatch, but not handed to us
    RECEIVED = "received"  # came from a peer, durable here, not yet answered
    RELAYING = "relaying"  # on its way to the peer
    RELAYED = "relayed"  # the peer said 250; its evidence 20 or 21 is awaited
    ANSWERED = "answered"  # 20: the peer has it; 40 or 41 is awaited
    CONSIGNED = "consigned"  # in a mailbox here; evidence 40 is being made
    DELIVERED = "delivered"  # 40: in the mailbox of the recipient
    READ = "read"  # 60: the recipient opened it
    REFUSED = "refused"  # 21: the peer refused it
    UNREACHED = "unreached"  # 31: no way through, or no answer, in time; no proof until then
    UNDELIVERED = "undelivered"  # 41 by the recipient's provider
    UNPROVED = "unproved"  # 41 by the sender's provider: no delivery information in time; no proof until then
    ANSWERED_LATE = "answered-late"  # 20 after 31
    DELIVERED_LATE = "delivered-late"  # 40 after 31 or after our own 41


class Event(StrEnum):
    """What can happen to a recipient."""

    ISSUED_HERE = "issued-here"  # evidence 10 and dispatch are committed; the mailbox is here
    ISSUED_AWAY = "issued-away"  # the same; the mailbox is at a peer
    TAKEN_IN = "taken-in"  # a peer's dispatch: the recipient has a mailbox here and 20 is due
    REFUSED_HERE = "refused-here"  # a peer's dispatch: there is no such mailbox, or malware in it: 21 is due
    HANDED_OVER = "handed-over"  # the peer said 250
    WAY_CLOSED = "way-closed"  # the relay window ended, or the peer said a final no
    ANSWER_WINDOW_ENDED = "answer-window-ended"  # neither 20 nor 21 came in time
    DELIVERY_WINDOW_ENDED = "delivery-window-ended"  # neither 40 nor 41 came in time
    PROOF_20 = "evidence-20"
    PROOF_21 = "evidence-21"
    PROOF_40 = "evidence-40"
    PROOF_41 = "evidence-41"
    PROOF_60 = "evidence-60"
    PROOF_61 = "evidence-61"
    RETRIEVAL_WINDOW_ENDED = "retrieval-window-ended"  # nobody read it in time: a switch of the provider, off
    OPENED = "opened"  # an operator with the read right read the body here


class Action(StrEnum):
    """What others must do because of a step."""

    RELAY = "relay"
    AWAIT_ANSWER = "await-answer"
    AWAIT_DELIVERY = "await-delivery"
    AWAIT_RETRIEVAL = "await-retrieval"
    CONSIGN = "consign"
    ISSUE_20 = "issue-20"
    ISSUE_21 = "issue-21"
    ISSUE_31 = "issue-31"
    ISSUE_40 = "issue-40"
    ISSUE_41 = "issue-41"
    ISSUE_60 = "issue-60"
    ISSUE_61 = "issue-61"


class Step(NamedTuple):
    """The answer to an event: the next state and what is to be done."""

    state: State
    actions: tuple[Action, ...] = ()


S, E, A = State, Event, Action

TABLE: Final[dict[tuple[State, Event], Step]] = {
    # the sender's provider
    (S.ACCEPTED, E.ISSUED_HERE): Step(S.CONSIGNED, (A.CONSIGN, A.ISSUE_40, A.AWAIT_RETRIEVAL)),
    (S.ACCEPTED, E.ISSUED_AWAY): Step(S.RELAYING, (A.RELAY,)),
    (S.RELAYING, E.HANDED_OVER): Step(S.RELAYED, (A.AWAIT_ANSWER,)),
    (S.RELAYING, E.WAY_CLOSED): Step(S.UNREACHED, (A.ISSUE_31,)),  # TS 102 640-1 B.3
    (S.RELAYED, E.ANSWER_WINDOW_ENDED): Step(S.UNREACHED, (A.ISSUE_31,)),
    (S.ANSWERED, E.DELIVERY_WINDOW_ENDED): Step(S.UNPROVED, (A.ISSUE_41,)),  # TS 102 640-2 5.1.4
    # a torn connection can hide the peer's 250: its evidence may come while we still think we are relaying
    (S.RELAYING, E.PROOF_20): Step(S.ANSWERED, (A.AWAIT_DELIVERY,)),
    (S.RELAYING, E.PROOF_21): Step(S.REFUSED),
    (S.RELAYING, E.PROOF_40): Step(S.DELIVERED),
    (S.RELAYING, E.PROOF_41): Step(S.UNDELIVERED),
    (S.RELAYING, E.PROOF_60): Step(S.READ),
    (S.RELAYED, E.PROOF_20): Step(S.ANSWERED, (A.AWAIT_DELIVERY,)),
    (S.RELAYED, E.PROOF_21): Step(S.REFUSED),
    (S.RELAYED, E.PROOF_40): Step(S.DELIVERED),
    (S.RELAYED, E.PROOF_41): Step(S.UNDELIVERED),
    (S.RELAYED, E.PROOF_60): Step(S.READ),
    (S.ANSWERED, E.PROOF_40): Step(S.DELIVERED),
    (S.ANSWERED, E.PROOF_41): Step(S.UNDELIVERED),
    (S.ANSWERED, E.PROOF_60): Step(S.READ),
    (S.DELIVERED, E.PROOF_60): Step(S.READ),
    # 31 and our own 41 say "no proof until T"; a later proof is kept, shown, and wins
    (S.UNREACHED, E.PROOF_20): Step(S.ANSWERED_LATE),
    (S.UNREACHED, E.PROOF_40): Step(S.DELIVERED_LATE),
    (S.UNREACHED, E.PROOF_60): Step(S.READ),
    (S.UNREACHED, E.PROOF_21): Step(S.REFUSED),
    (S.UNREACHED, E.PROOF_41): Step(S.UNDELIVERED),
    (S.ANSWERED_LATE, E.PROOF_40): Step(S.DELIVERED_LATE),
    (S.ANSWERED_LATE, E.PROOF_41): Step(S.UNDELIVERED),
    (S.ANSWERED_LATE, E.PROOF_60): Step(S.READ),
    (S.UNPROVED, E.PROOF_40): Step(S.DELIVERED_LATE),
    (S.UNPROVED, E.PROOF_41): Step(S.UNDELIVERED),
    (S.UNPROVED, E.PROOF_60): Step(S.READ),
    (S.DELIVERED_LATE, E.PROOF_60): Step(S.READ),
    # the recipient's provider
    (S.RECEIVED, E.TAKEN_IN): Step(S.CONSIGNED, (A.ISSUE_20, A.CONSIGN, A.ISSUE_40, A.AWAIT_RETRIEVAL)),
    (S.RECEIVED, E.REFUSED_HERE): Step(S.REFUSED, (A.ISSUE_21,)),
    (S.CONSIGNED, E.PROOF_40): Step(S.DELIVERED),
    # opened before evidence 40 is ready: 60 is made all the same, 40 stays recorded beside it
    (S.CONSIGNED, E.OPENED): Step(S.READ, (A.ISSUE_60,)),
    (S.DELIVERED, E.OPENED): Step(S.READ, (A.ISSUE_60,)),
    # "not read in time" changes no state: it can still be read
    (S.CONSIGNED, E.RETRIEVAL_WINDOW_ENDED): Step(S.CONSIGNED, (A.ISSUE_61,)),
    (S.DELIVERED, E.RETRIEVAL_WINDOW_ENDED): Step(S.DELIVERED, (A.ISSUE_61,)),
}

# Our own relay and timers, when a proof was quicker
_OVERTAKEN: Final = frozenset({E.HANDED_OVER, E.WAY_CLOSED, E.ANSWER_WINDOW_ENDED, E.DELIVERY_WINDOW_ENDED})
_BEGINNINGS: Final = frozenset({E.ISSUED_HERE, E.ISSUED_AWAY, E.TAKEN_IN, E.REFUSED_HERE})

# Proofs that come again, come after a stronger one, or contradict what the same provider said before, change nothing;
# they are recorded. So no peer can bring about an event that is impossible.
KEEPS: Final[dict[State, frozenset[Event]]] = {
    S.RELAYING: frozenset({E.ANSWER_WINDOW_ENDED, E.PROOF_61}),
    S.RELAYED: frozenset({E.HANDED_OVER, E.WAY_CLOSED, E.PROOF_61}),
    S.ANSWERED: _OVERTAKEN - {E.DELIVERY_WINDOW_ENDED} | {E.PROOF_20, E.PROOF_21, E.PROOF_61},
    S.CONSIGNED: frozenset({E.PROOF_20, E.PROOF_61}),
    S.DELIVERED: _OVERTAKEN | {E.PROOF_20, E.PROOF_21, E.PROOF_40, E.PROOF_41, E.PROOF_61},
    S.READ: frozenset(E) - _BEGINNINGS,
    S.REFUSED: frozenset(E) - _BEGINNINGS - {E.OPENED},
    S.UNREACHED: _OVERTAKEN | {E.PROOF_61},
    S.UNDELIVERED: frozenset(E) - _BEGINNINGS - {E.OPENED},
    S.UNPROVED: _OVERTAKEN | {E.PROOF_20, E.PROOF_21, E.PROOF_61},
    S.ANSWERED_LATE: _OVERTAKEN | {E.PROOF_20, E.PROOF_21, E.PROOF_61},
    S.DELIVERED_LATE: _OVERTAKEN | {E.PROOF_20, E.PROOF_21, E.PROOF_40, E.PROOF_41, E.PROOF_61},
}
