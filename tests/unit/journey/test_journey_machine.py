"""The machine: every pair is decided, and what no order of events may bring about."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kepgw.journey import step
from kepgw.journey.machine import Impossible, after
from kepgw.journey.states import KEEPS, TABLE, Action, Event, State

PROOFS = [Event.PROOF_20, Event.PROOF_21, Event.PROOF_40, Event.PROOF_41, Event.PROOF_60, Event.PROOF_61]
AWAY = [
    State.RELAYING,
    State.RELAYED,
    State.ANSWERED,
    State.DELIVERED,
    State.READ,
    State.REFUSED,
    State.UNREACHED,
    State.UNDELIVERED,
    State.UNPROVED,
    State.ANSWERED_LATE,
    State.DELIVERED_LATE,
]
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_pair_is_a_step_a_repetition_or_impossible(state, event):
    in_table, kept = (state, event) in TABLE, event in KEEPS.get(state, ())
    assert not (in_table and kept), "two answers for one event"
    if in_table:
        assert step(state, event) == TABLE[state, event]
    elif kept:
        assert step(state, event) == (state, ())
    else:
        with pytest.raises(Impossible):
            step(state, event)


@pytest.mark.parametrize("state", AWAY)
@pytest.mark.parametrize("event", PROOFS)
def test_no_evidence_of_a_peer_is_ever_impossible(state, event):
    step(state, event)


@pytest.mark.parametrize(("event", "code"), [(Event.PROOF_40, "40"), (Event.OPENED, ""), (Event.WAY_CLOSED, "")])
def test_only_proofs_have_a_code(event, code):
    assert after(event) == code


def test_every_state_can_be_reached():
    reached = {State.ACCEPTED, State.ELSEWHERE, State.RECEIVED} | {each.state for each in TABLE.values()}
    assert reached == set(State)


class Sender:
    """The sender's provider about one recipient elsewhere: what its relay and timers can honestly bring about."""

    def __init__(self):
        self.state = State.RELAYING
        self.tasks = {Event.HANDED_OVER, Event.WAY_CLOSED}
        self.proofs = []
        self.issued = []

    def possible(self):
        return sorted(self.tasks) + PROOFS

    def happen(self, event):
        before = self.state
        self.state, actions = step(before, event)
        if event in {Event.HANDED_OVER, Event.WAY_CLOSED}:
            self.tasks -= {Event.HANDED_OVER, Event.WAY_CLOSED}
        self.tasks.discard(event)
        if Action.AWAIT_ANSWER in actions:
            self.tasks.add(Event.ANSWER_WINDOW_ENDED)
        if Action.AWAIT_DELIVERY in actions:
            self.tasks.add(Event.DELIVERY_WINDOW_ENDED)
        if after(event):
            self.proofs.append(after(event))
        self.issued += [action for action in actions if action.value.startswith("issue")]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_what_no_order_of_events_brings_about_at_the_sender(data):
    sender = Sender()
    for _ in range(data.draw(st.integers(1, 12))):
        proved, issued = {"40", "60"} & set(sender.proofs), len(sender.issued)
        sender.happen(data.draw(st.sampled_from(sender.possible())))
        if proved:  # nothing of ours says "no proof" once there is one
            assert sender.issued[issued:] == []
        if sender.state in {State.DELIVERED, State.DELIVERED_LATE}:
            assert "40" in sender.proofs
        if sender.state is State.READ:
            assert "60" in sender.proofs
    assert sender.issued.count(Action.ISSUE_31) <= 1
    assert sender.issued.count(Action.ISSUE_41) <= 1
    assert Action.ISSUE_60 not in sender.issued
    if sender.state is State.DELIVERED_LATE:
        assert sender.issued, "late means after a 31 or 41 of ours"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PROOFS), max_size=8), st.lists(st.sampled_from(PROOFS), max_size=8))
def test_delivered_and_read_never_fall_back(before, behind):
    state = State.RELAYED
    for event in before:
        state = step(state, event).state
    strong = {State.DELIVERED, State.DELIVERED_LATE, State.READ}
    for event in behind:
        was, state = state, step(state, event).state
        if was in strong:
            assert state in strong
        if was is State.READ:
            assert state is State.READ


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([Event.PROOF_40, Event.OPENED, Event.PROOF_60]), max_size=8), st.booleans())
def test_60_is_issued_once_by_the_recipients_provider(events, from_peer):
    beginning = (State.RECEIVED, Event.TAKEN_IN) if from_peer else (State.ACCEPTED, Event.ISSUED_HERE)
    state, actions = step(*beginning)
    issued = list(actions)
    for event in events:
        if event is Event.PROOF_60 and state is not State.READ:
            continue  # our own 60 is made only after it was opened
        if event is Event.OPENED and state is State.READ:
            assert step(state, event) == (State.READ, ())
        state, actions = step(state, event)
        issued += actions
    assert issued.count(Action.ISSUE_60) == (1 if Event.OPENED in events else 0)
    assert issued.count(Action.ISSUE_40) == 1


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([Event.WAY_CLOSED, Event.PROOF_40], State.DELIVERED_LATE),
        ([Event.WAY_CLOSED, Event.PROOF_20, Event.PROOF_40], State.DELIVERED_LATE),
        ([Event.HANDED_OVER, Event.ANSWER_WINDOW_ENDED, Event.PROOF_20], State.ANSWERED_LATE),
        ([Event.HANDED_OVER, Event.PROOF_20, Event.DELIVERY_WINDOW_ENDED, Event.PROOF_40], State.DELIVERED_LATE),
        ([Event.HANDED_OVER, Event.PROOF_20, Event.DELIVERY_WINDOW_ENDED, Event.PROOF_60], State.READ),
        ([Event.HANDED_OVER, Event.PROOF_40, Event.PROOF_20], State.DELIVERED),
        ([Event.PROOF_20, Event.HANDED_OVER, Event.PROOF_40], State.DELIVERED),  # a torn connection hid the 250
        ([Event.HANDED_OVER, Event.PROOF_40, Event.PROOF_41, Event.PROOF_21], State.DELIVERED),
    ],
)
def test_stories(events, state):
    now = State.RELAYING
    for event in events:
        now = step(now, event).state
    assert now is state


def test_the_page_is_the_table():
    printed = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "print_journey.py")], capture_output=True, text=True, check=True
    )
    assert printed.stdout == (ROOT / "docs" / "journey.md").read_text("utf-8")
