"""Steps written into the store."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kepgw.evidence.codes import KepCode, Reason
from kepgw.evidence.model import GivenReason
from kepgw.interop import work
from kepgw.interop.case import Order
from kepgw.journey.machine import Impossible
from kepgw.journey.states import Event, State
from kepgw.store.engine import Store
from kepgw.store.messages import Dispatch, Recipient, insert_dispatch, recipients_of
from kepgw.store.tasks import queue

AT = datetime(2026, 1, 31, 21, 30, 0, 123456, tzinfo=UTC)
DISPATCH = Dispatch(202601, 2, 1, "remmd.1@hs90.kep.tr", "delil.1@hs90.kep.tr", False, "tr-kep", bytes(32), "issued")


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "s")
    yield store
    store.close()


class Kept:
    """A stand-in for the message: only its key is asked for."""

    month, id = 202601, 1


@given(
    st.sampled_from(KepCode),
    st.lists(st.integers(1, 5), max_size=3).map(tuple),
    st.lists(st.tuples(st.sampled_from([*Reason, "urn:other"]), st.text(max_size=20)), max_size=3),
)
def test_an_order_survives_the_queue(code, about, reasons):
    order = Order(code, "delil.1@hs90.kep.tr", AT, about, tuple(GivenReason(*each) for each in reasons))
    kept = []

    class Tx:
        def run(self, sql, *parameters):
            kept.append(parameters)

        def announce(self, *_):
            pass

    import json

    work.order_evidence(Tx(), Kept, DISPATCH, order, AT)
    payload = next(json.loads(value) for value in kept[0] if isinstance(value, str) and value.startswith("{"))
    assert work.order_of(payload) == order


def test_identifiers_are_new_and_fit_a_header():
    made = {work.new_identifier("delil", "hs90.kep.tr") for _ in range(1000)}
    assert len(made) == 1000
    assert all(each.startswith("delil.") and each.endswith("@hs90.kep.tr") and each.isascii() for each in made)


def test_an_impossible_event_undoes_the_whole_transaction(store):
    people = [
        Recipient(1, "a@hs91.kep.tr", "", "hs91.kep.tr", None, State.RELAYING),
        Recipient(2, "b@hs91.kep.tr", "", "hs91.kep.tr", None, State.CONSIGNED),
    ]
    store.write_now(lambda tx: insert_dispatch(tx, DISPATCH, people, AT))
    with pytest.raises(Impossible):
        store.write_now(lambda tx: work.advance(tx, DISPATCH, people, Event.HANDED_OVER, AT))
    assert list(store.read_now(lambda tx: recipients_of(tx, 202601, 2))) == people
    assert store.read_now(queue) == []


def test_a_step_that_changes_nothing_writes_nothing(store):
    read = Recipient(1, "a@hs91.kep.tr", "", "hs91.kep.tr", None, State.READ, frozenset({"40"}))
    store.write_now(lambda tx: insert_dispatch(tx, DISPATCH, [read], AT))
    later = AT.replace(year=2027)
    done = store.write_now(lambda tx: work.advance(tx, DISPATCH, [read], Event.PROOF_40, later))
    assert done == [(read, ())]
    assert store.read_now(lambda tx: tx.row("SELECT changed FROM recipient")) == (work.micros(AT),)
