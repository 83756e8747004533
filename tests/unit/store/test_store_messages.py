"""Messages, claims and the ledger's sequence."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from test_store_engine import grouped

from kepgw.errors import StoreError
from kepgw.journey.states import State
from kepgw.store import messages
from kepgw.store.mailboxes import SENT, deliver, standard
from kepgw.store.messages import Dispatch, EvidenceRow, Message, Recipient
from kepgw.store.octets import ContentRef, put_blob

AT = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)


def message(number=1, **more):
    values = {
        "month": 202601,
        "id": number,
        "direction": "out",
        "account": None,
        "operator": None,
        "peer": None,
        "sender": "ali@hs90.kep.tr",
        "sender_name": "Ali Yılmaz",
        "subject": "Çağrı",
        "ua_message_id": "<1@x>",
        "t0": AT,
        "size": 10,
        "eight_bit": True,
        "digest": b"\0" * 32,
        "content": 5,
        "facts": {"to": "veli@hs91.kep.tr", "tr_headers": [["X-TR-REM-iletiTip", "eYazisma"]]},
        "state": "accepted",
    }
    return Message(**(values | more))


def dispatch(number=2, of=1, **more):
    values = {"month": 202601, "remmd_id": f"remmd.{number}@hs90.kep.tr", "evidence_id": f"delil.{number}@hs90.kep.tr"}
    rest = {"blind": False, "profile": "tr-kep", "digest": bytes(32), "state": "accepted"}
    return Dispatch(id=number, message=of, **(values | rest | more))


def recipient(ordinal, state=State.RELAYING, **more):
    return Recipient(ordinal, f"r{ordinal}@hs91.kep.tr", "Veli", "hs91.kep.tr", None, state, **more)


def record(tx, row):
    if tx.row("SELECT 1 FROM blob WHERE month = ? AND id = ?", row.month, row.blob) is None:
        put_blob(tx, row.month, row.blob, [b"<evidence/>"])
    return messages.record_evidence(tx, row)


def evidence(identifier, **more):
    values = {"month": 202601, "dispatch": 2, "message": 1, "ordinal": None, "code": 10, "issuer": "hs90.kep.tr"}
    rest = {"own": True, "event_time": AT, "reason": "", "blob": 3, "receipt": 4}
    return EvidenceRow(id=identifier, **(values | rest | more))


def test_a_transaction_comes_back_as_it_went_in(store):
    parts = message(), dispatch(blind=True, content=8), (recipient(1, proofs=frozenset({"10", "20"})), recipient(2))

    def work(tx):
        messages.insert_message(tx, parts[0])
        messages.insert_dispatch(tx, parts[1], reversed(parts[2]), AT)

    store.write_now(work)
    found = store.read_now(lambda tx: messages.load_transaction(tx, 202601, 2))
    assert (found.message, found.dispatch, found.recipients) == parts


def test_a_transaction_that_is_not_there(store):
    with pytest.raises(StoreError, match="missing"):
        store.read_now(lambda tx: messages.load_transaction(tx, 202601, 2))
    store.write_now(lambda tx: messages.insert_dispatch(tx, dispatch(), [], AT))
    with pytest.raises(StoreError, match="missing"):
        store.read_now(lambda tx: messages.load_transaction(tx, 202601, 2))


def test_state_and_proofs_of_one_recipient(store):
    store.write_now(lambda tx: messages.insert_dispatch(tx, dispatch(), [recipient(1), recipient(2)], AT))
    changed = recipient(2, State.DELIVERED, proofs=frozenset({"40", "10"}))
    store.write_now(lambda tx: messages.set_state(tx, 202601, 2, changed, AT))
    assert store.read_now(lambda tx: messages.recipients_of(tx, 202601, 2)) == (recipient(1), changed)


def test_a_claim_holds_for_ever_and_over_all_months(store):
    store.write_now(lambda tx: messages.claim(tx, "remmd", b"k", 202601, 7, b"mark"))
    assert store.read_now(lambda tx: messages.claimed(tx, "remmd", b"k")) == (202601, 7, b"mark")
    assert store.read_now(lambda tx: messages.claimed(tx, "other", b"k")) is None
    assert store.read_now(lambda tx: messages.dispatch_by_remmd(tx, "k")) == (202601, 7)
    assert store.read_now(lambda tx: messages.dispatch_by_remmd(tx, "K")) is None
    with pytest.raises(StoreError, match="UNIQUE"):
        store.write_now(lambda tx: messages.claim(tx, "remmd", b"k", 202602, 8))


def test_two_claims_of_one_group(store):
    def take(ref):
        def work(tx):
            if messages.claimed(tx, "s", b"k"):
                return "seen"
            messages.claim(tx, "s", b"k", 202601, ref)
            return "taken"

        return work

    assert grouped(store, take(1), take(2)) == ["taken", "seen"]


def test_the_sequence_of_evidence_has_no_gap_when_a_work_of_the_group_fails(store):
    def records(identifier):
        return lambda tx: record(tx, evidence(identifier))

    def fails(tx):
        record(tx, evidence("lost"))
        raise ValueError

    results = grouped(store, records("a"), fails, records("a"), records("b"), fails, records("c"))
    assert [result if isinstance(result, int) else type(result) for result in results] == [
        1,
        ValueError,
        StoreError,  # the identifier was there
        2,
        ValueError,
        3,
    ]
    assert [each.seq for each in store.read_now(lambda tx: messages.evidence_of(tx, 202601, 1))] == [1, 2, 3]
    assert store.write_now(records("d")) == 4


def test_an_evidence_comes_back_as_it_went_in(store):
    given = evidence("x", ordinal=2, code=41, own=False, reason="UnknownRecipient", receipt=None)
    seq = store.write_now(lambda tx: record(tx, given))
    assert store.read_now(lambda tx: messages.evidence_by_id(tx, 202601, given.issuer, "x")) == replace(given, seq=seq)
    assert store.read_now(lambda tx: messages.evidence_by_id(tx, 202602, given.issuer, "x")) is None
    assert store.read_now(lambda tx: messages.evidence_by_id(tx, 202601, "hs99.kep.tr", "x")) is None


def test_pages_of_messages_begin_with_the_newest(store):
    def work(tx):
        for number in range(1, 6):
            messages.insert_message(tx, message(number, t0=AT + timedelta(seconds=number)))

    store.write_now(work)
    newest = store.read_now(lambda tx: messages.messages_page(tx, 2))
    assert [each.id for each in newest] == [5, 4]
    before = messages.micros(newest[-1].t0)
    assert [each.id for each in store.read_now(lambda tx: messages.messages_page(tx, 9, before))] == [3, 2, 1]


def test_keywords_are_over_all_dispatches_of_a_message(store, account):
    kept = message(account=account)

    def work(tx):
        messages.insert_message(tx, kept)
        sent = standard(tx, account, SENT)
        deliver(tx, sent, ContentRef(202601, 5), size=1, kind="original", at=AT, message=1)
        messages.insert_dispatch(tx, dispatch(2), [recipient(1, proofs=frozenset({"10", "40"}))], AT)
        messages.insert_dispatch(tx, dispatch(3, blind=True), [recipient(1, proofs=frozenset({"10"}))], AT)
        messages.insert_dispatch(tx, dispatch(4, of=99), [recipient(1, proofs=frozenset({"31"}))], AT)

    def flags():
        store.write_now(lambda tx: messages.refresh_keywords(tx, kept))
        return store.read_now(lambda tx: tx.row("SELECT flags FROM mail"))[0]

    store.write_now(work)
    assert flags() == "$KepKabul"
    changed = recipient(1, State.DELIVERED, proofs=frozenset({"10", "40"}))
    store.write_now(lambda tx: messages.set_state(tx, 202601, 3, changed, AT))
    assert flags() == "$KepKabul $KepTeslim"
    store.write_now(lambda tx: messages.refresh_keywords(tx, message()))  # nobody's: from a peer
