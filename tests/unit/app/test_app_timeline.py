"""The timeline from rows alone: which evidence speaks of whom, and words for everything."""

from datetime import UTC, datetime, timedelta

import pytest

from kepgw.app.timeline import build, evidence_data, show, task_data
from kepgw.evidence.codes import KEP_CODES
from kepgw.journey.states import State
from kepgw.store.messages import Dispatch, EvidenceRow, Message, Recipient
from kepgw.store.tasks import Kind, Task
from kepgw.texts import text

T0 = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
DISPATCH = Dispatch(202603, 5, 7, "remmd.1@hs90.kep.tr", "delil.1@hs90.kep.tr", False, "tr-kep", bytes(32), "issued")


def message(**changes):
    given = {
        "month": 202603, "id": 7, "direction": "out", "account": 1, "operator": 1, "peer": None,
        "sender": "ayse@hs90.kep.tr", "sender_name": "Ayşe", "subject": "Konu", "ua_message_id": "<1@a>", "t0": T0,
        "size": 10, "eight_bit": False, "digest": b"\1" * 32, "content": 1, "facts": {}, "state": "accepted",
    }  # fmt: skip
    return Message(**(given | changes))


def evidence(seq, code, issuer="hs91.kep.tr", ordinal=None, dispatch=5, after=0, reason=""):
    at = T0 + timedelta(seconds=after)
    return EvidenceRow(202603, f"e{seq}", dispatch, 7, ordinal, code, issuer, False, at, reason, 1, None, seq)


def recipient(ordinal, provider, state, *proofs):
    return Recipient(ordinal, f"r{ordinal}@{provider}", "", provider, None, state, frozenset(proofs))


def task(kind, dispatch, ordinal=None, **changes):
    return Task(kind, 202603, 7, dispatch, "timer", T0, {}, T0, ordinal=ordinal, **changes)


def codes(data):
    return [[row["code"] for row in each["evidence"]] for each in data["dispatches"][0]["recipients"]]


def test_each_evidence_goes_to_those_it_speaks_of():
    recipients = [
        recipient(1, "hs91.kep.tr", State.ANSWERED, "20"),
        recipient(2, "hs91.kep.tr", State.READ, "20", "40", "60"),
        recipient(3, "hs92.kep.tr", State.REFUSED, "21"),
        recipient(4, "hs93.kep.tr", State.UNREACHED, "31"),
    ]
    rows = [
        evidence(1, 10, "hs90.kep.tr"),
        evidence(2, 20, after=1),
        evidence(3, 21, "hs92.kep.tr", after=1),
        evidence(4, 60, ordinal=2, after=5),
        evidence(5, 40, ordinal=2, after=3),
        evidence(6, 31, "hs90.kep.tr", after=9),
        evidence(7, 10, "hs90.kep.tr", dispatch=6),
    ]
    data = build(message(), [(DISPATCH, recipients)], rows, [], T0)
    assert codes(data) == [[10, 20], [10, 20, 40, 60], [10, 21], [10, 31]]


def test_within_a_second_the_way_of_the_message_rules():
    # our times have microseconds, a peer's evidence whole seconds, and receipts overtake each other
    rows = [evidence(1, 10, "hs90.kep.tr", after=0.7), evidence(2, 40, ordinal=1), evidence(3, 20, ordinal=1)]
    recipients = [recipient(1, "hs91.kep.tr", State.DELIVERED, "20", "40")]
    assert codes(build(message(), [(DISPATCH, recipients)], rows, [], T0)) == [[10, 20, 40]]


def test_a_peers_own_refusal_and_acceptance_are_told_apart():
    # one provider, not alike: every 20 and 21 names its recipient
    recipients = [recipient(1, "hs91.kep.tr", State.ANSWERED, "20"), recipient(2, "hs91.kep.tr", State.REFUSED, "21")]
    rows = [evidence(1, 20, ordinal=1), evidence(2, 21, ordinal=2)]
    assert codes(build(message(), [(DISPATCH, recipients)], rows, [], T0)) == [[20], [21]]


def test_what_waits_stands_where_it_belongs():
    recipients = [recipient(1, "hs91.kep.tr", State.RELAYED)]
    tasks = [
        task(Kind.RELAY, 5, attempts=3, last_error="no\nroute"),
        task(Kind.ANSWER_WINDOW, 5, 1),
        task(Kind.EVIDENCE, None),
    ]
    data = build(message(), [(DISPATCH, recipients)], [], tasks, T0 + timedelta(seconds=90))
    assert [each["kind"] for each in data["waiting"]] == ["evidence"]
    assert [each["kind"] for each in data["dispatches"][0]["waiting"]] == ["relay"]
    assert [each["kind"] for each in data["dispatches"][0]["recipients"][0]["waiting"]] == ["answer-window"]
    assert data["waiting"][0]["age_seconds"] == 90
    shown = show(data)
    assert "no route" in shown
    assert "Bekliyor / Waiting" in shown


def test_a_message_from_a_peer_names_it():
    assert "Geldiği sağlayıcı / Came from: hs91.kep.tr" in show(
        build(message(direction="in", peer="hs91.kep.tr"), [], [evidence(1, 11, dispatch=None)], [], T0)
    )


def test_a_strangers_words_cannot_command_a_terminal():
    hostile = message(subject="a\x1b[2J\r\nb\u202e", sender_name="\x9b31m", ua_message_id="<\x07@a>")
    shown = show(build(hostile, [], [], [], T0))
    assert all(c == "\n" or c.isprintable() for c in shown)


@pytest.mark.parametrize("state", State)
def test_every_state_has_words(state):
    assert text(f"state-{state.value}", "tr")
    assert text(f"state-{state.value}", "en")


@pytest.mark.parametrize("kind", Kind)
def test_every_task_has_words(kind):
    data = task_data(task(kind, 5), T0)
    assert data["what_tr"] != data["what_en"]


def test_every_code_has_a_title_and_an_unknown_one_its_number():
    for code in KEP_CODES:
        data = evidence_data(evidence(1, int(code)))
        assert data["title_tr"] != data["title_en"]
    assert evidence_data(evidence(1, 77))["title_tr"] == "77"
