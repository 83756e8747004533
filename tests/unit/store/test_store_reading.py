from datetime import UTC, datetime

import pytest

from kepgw.accounts import passwords
from kepgw.store import accounts, mailboxes, reading
from kepgw.store.accounts import add_account
from kepgw.store.engine import Store
from kepgw.store.mailboxes import MailboxProblem
from kepgw.store.octets import ContentRef

AT = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store.sqlite")
    store.write_now(lambda tx: add_account(tx, "a@hs90.kep.tr", "A", passwords.Credentials("a", "s"), AT))
    yield store
    store.close()


@pytest.fixture
def inbox(store):
    """INBOX with UIDs 1 to 5."""

    def work(tx):
        box = mailboxes.standard(tx, 1, "INBOX")
        for n in range(5):
            mailboxes.deliver(tx, box, ContentRef(202601, n), size=n, kind="dispatch", at=AT, message=n, dispatch=n)
        return box

    return store.write_now(work)


def rows(store, box):
    return store.read_now(lambda tx: tx.rows("SELECT uid, flags, modseq FROM mail WHERE mailbox = ? ORDER BY uid", box))


def test_opening_tells_what_select_needs(store, inbox):
    store.write_now(lambda tx: reading.store_flags(tx, inbox, [1, 2], "+", ["\\Seen", "$Label"]))
    store.write_now(lambda tx: reading.clear_recent(tx, inbox, 3))
    opened = store.read_now(lambda tx: reading.open_mailbox(tx, inbox))
    assert opened == ([1, 2, 3, 4, 5], [4, 5], 3, ["$Label"], 6, 7)
    assert store.read_now(lambda tx: reading.open_mailbox(tx, 999)) is None


def test_changes_since_a_modseq(store, inbox):
    before = store.read_now(lambda tx: reading.open_mailbox(tx, inbox)).modseq
    stored = store.write_now(lambda tx: reading.store_flags(tx, inbox, [2, 9], "+", ["\\Flagged"], before))
    assert stored == (before + 1, [(2, "\\Flagged")], set())
    again = store.write_now(lambda tx: reading.store_flags(tx, inbox, [2], "+", ["\\Flagged"], before))
    assert again == (None, [(2, "\\Flagged")], {2})
    store.write_now(lambda tx: reading.store_flags(tx, inbox, [5], "", ["\\Deleted"]))
    assert store.write_now(lambda tx: reading.expunge(tx, inbox, [4, 5])) == [5]
    found = store.read_now(lambda tx: reading.changes(tx, inbox, before))
    assert found == (before + 3, [(2, "\\Flagged", before + 1)], 4)
    assert store.read_now(lambda tx: reading.uids_of(tx, inbox)) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("current", "mode", "flags", "after"),
    [
        ("", "+", ["\\Seen"], "\\Seen"),
        ("a b", "-", ["A"], "b"),
        ("a", "+", ["A"], "a"),
        ("a \\Seen", "", ["b"], "b"),
        ("$KepKabul a", "", [], "$KepKabul"),
        ("$KepKabul", "-", ["$KepKabul"], "$KepKabul"),
        ("", "+", ["$KepOkundu", "$kepokundu", "x"], "x"),
    ],
)
def test_flags_are_merged_and_the_servers_keywords_stay(current, mode, flags, after):
    assert reading.merged(current, mode, frozenset(flags)) == after


def test_keywords_are_bounded():
    with pytest.raises(MailboxProblem):
        reading.merged("", "+", frozenset(f"k{n}" for n in range(33)))
    with pytest.raises(MailboxProblem):
        reading.merged("", "+", frozenset(["k" * 65]))


def test_a_copy_keeps_what_a_dispatch_is(store, inbox):
    store.write_now(lambda tx: reading.store_flags(tx, inbox, [2], "+", ["\\Seen"]))
    [(row, _)] = store.read_now(lambda tx: reading.select_rows(tx, inbox, [2]))
    store.write_now(lambda tx: reading.mark_served(tx, [row], AT))
    trash = store.read_now(lambda tx: mailboxes.standard(tx, 1, mailboxes.TRASH))
    copied = store.write_now(lambda tx: reading.copy(tx, inbox, [2, 4, 9], trash, move=True))
    assert copied[1:] == ([2, 4], [1, 2])
    assert [uid for uid, _, _ in rows(store, inbox)] == [1, 3, 5]
    [(there, _), _] = store.read_now(lambda tx: reading.select_rows(tx, trash, [1, 2]))
    assert there._replace(mailbox=inbox, uid=2, served=None) == row
    assert there.served is not None


def test_rows_with_and_without_gaps(store, inbox):
    for uids in ([1, 2, 3], [1, 3, 5], [5], []):
        assert [row.uid for row, _ in store.read_now(lambda tx, u=uids: reading.select_rows(tx, inbox, u))] == uids


def test_the_row_of_a_submission(store):
    def work(tx):
        sent = mailboxes.standard(tx, 1, mailboxes.SENT)
        mailboxes.deliver(tx, sent, ContentRef(202601, 1), size=1, kind="original", at=AT, message=77)
        tx.run(
            "INSERT INTO idempotency (scope, key, month, ref, mark) VALUES ('submission:1', ?, 202601, 77, x'')",
            b"<m@x>",
        )
        return sent

    sent = store.write_now(work)
    assert store.read_now(lambda tx: reading.submitted(tx, 1, b"<m@x>", sent)).uid == 1
    assert store.read_now(lambda tx: reading.submitted(tx, 2, b"<m@x>", sent)) is None
    assert store.read_now(lambda tx: reading.submitted(tx, 1, b"<n@x>", sent)) is None


def test_what_an_account_keeps_is_counted_without_evidence(store, inbox):
    def room():
        return store.read_now(lambda tx: accounts.room(tx, 1))

    def summed():
        ((octets,),) = store.read_now(lambda tx: tx.rows("SELECT sum(size) FROM mail WHERE kind <> 'receipt'"))
        return octets or 0

    assert room() == (None, 10)
    evidence = mailboxes.Standard(1, mailboxes.EVIDENCE)
    store.write_now(lambda tx: mailboxes.deliver(tx, evidence, ContentRef(202601, 9), size=99, kind="receipt", at=AT))
    assert room() == (None, 10)
    store.write_now(lambda tx: mailboxes.create(tx, 1, "Dosya", AT))
    box = store.read_now(lambda tx: mailboxes.standard(tx, 1, "Dosya"))
    store.write_now(lambda tx: reading.copy(tx, inbox, [4, 5], box))
    assert room() == (None, 17) == (None, summed())
    store.write_now(lambda tx: reading.copy(tx, inbox, [3], box, move=True))
    assert room() == (None, 17)
    store.write_now(lambda tx: reading.store_flags(tx, inbox, [5], "+", ["\\Deleted"]))
    store.write_now(lambda tx: reading.expunge(tx, inbox, [4, 5]))
    assert room() == (None, 13) == (None, summed())
    store.write_now(lambda tx: mailboxes.delete(tx, 1, "Dosya"))
    assert room() == (None, 4) == (None, summed())
    assert store.write_now(lambda tx: accounts.set_quota(tx, "a@hs90.kep.tr", 5))
    assert room() == (5, 4)
