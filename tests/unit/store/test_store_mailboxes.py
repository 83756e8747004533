from datetime import UTC, datetime

import pytest

from kepgw.accounts import passwords
from kepgw.store import mailboxes
from kepgw.store.accounts import add_account
from kepgw.store.engine import Store
from kepgw.store.octets import ContentRef

AT = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store.sqlite")
    yield store
    store.close()


@pytest.fixture
def account(store):
    credentials = passwords.Credentials("a", "s")
    return store.write_now(lambda tx: add_account(tx, "a@hs90.kep.tr", "A", credentials, AT))


def test_every_account_has_the_standard_folders(store, account):
    found = store.read_now(lambda tx: mailboxes.listed(tx, account))
    assert {box.name: box.special_use for box in found} == mailboxes.STANDARD
    assert found[0].name == "INBOX"
    assert len({box.uidvalidity for box in found}) == 6


def test_making_the_standard_folders_again_changes_nothing(store, account):
    before = store.read_now(lambda tx: mailboxes.listed(tx, account))
    store.write_now(lambda tx: mailboxes.create_standard(tx, account, AT))
    assert store.read_now(lambda tx: mailboxes.listed(tx, account)) == before


def test_delivered_mail_has_growing_uids_and_raises_modseq(store, account):
    inbox = store.read_now(lambda tx: mailboxes.standard(tx, account, mailboxes.INBOX))

    def work(tx):
        return [
            mailboxes.deliver(tx, inbox, ContentRef(202601, n), size=9, kind="dispatch", at=AT, flags=["b", "a", "b"])
            for n in range(3)
        ]

    assert store.write_now(work) == [1, 2, 3]
    box = store.read_now(lambda tx: mailboxes.find(tx, account, "INBOX"))
    assert (box.uidnext, box.modseq) == (4, 4)
    rows = store.read_now(lambda tx: tx.rows("SELECT uid, flags, modseq, recent FROM mail ORDER BY uid"))
    assert rows == [(1, "a b", 2, 1), (2, "a b", 3, 1), (3, "a b", 4, 1)]


def test_keywords_are_added_once(store, account):
    sent = store.read_now(lambda tx: mailboxes.standard(tx, account, mailboxes.SENT))
    content = ContentRef(202601, 5)
    store.write_now(
        lambda tx: mailboxes.deliver(tx, sent, content, size=9, kind="original", at=AT, flags=["\\Seen"], message=77)
    )
    for _ in range(2):
        store.write_now(lambda tx: mailboxes.add_keywords(tx, 202601, 77, sent, ["$KepKabul"]))
    store.write_now(lambda tx: mailboxes.add_keywords(tx, 202601, 78, sent, ["$KepRed"]))
    assert store.read_now(lambda tx: tx.rows("SELECT flags, modseq FROM mail")) == [("$KepKabul \\Seen", 3)]


@pytest.mark.parametrize(
    ("given", "name"),
    [("inbox", "INBOX"), ("Inbox/x", "INBOX/x"), ("Arşiv/", "Arşiv"), ("Arşiv", "Arşiv"), ("inboxes", "inboxes")],
)
def test_names_have_one_spelling(given, name):
    assert mailboxes.canonical(given) == name


def names(store, account):
    return [box.name for box in store.read_now(lambda tx: mailboxes.listed(tx, account))]


def test_levels_above_are_made_and_renamed_together(store, account):
    assert store.write_now(lambda tx: mailboxes.create(tx, account, "a/b/c", AT)) == ["a", "a/b", "a/b/c"]
    store.write_now(lambda tx: mailboxes.rename(tx, account, "a/b", "x/y", AT))
    assert {"a", "x", "x/y", "x/y/c"} <= set(names(store, account))
    assert "a/b/c" not in names(store, account)


def test_a_mailbox_made_again_has_another_uidvalidity(store, account):
    seen = set()
    for _ in range(3):
        store.write_now(lambda tx: mailboxes.create(tx, account, "x", AT))
        seen.add(store.read_now(lambda tx: mailboxes.find(tx, account, "x")).uidvalidity)
        store.write_now(lambda tx: mailboxes.delete(tx, account, "x"))
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("work", "code"),
    [
        (lambda tx: mailboxes.create(tx, 1, "INBOX", AT), "ALREADYEXISTS"),
        (lambda tx: mailboxes.create(tx, 1, "a//b", AT), "CANNOT"),
        (lambda tx: mailboxes.delete(tx, 1, "Deliller"), "CANNOT"),
        (lambda tx: mailboxes.delete(tx, 1, "none"), "NONEXISTENT"),
        (lambda tx: mailboxes.rename(tx, 1, "INBOX", "x", AT), "CANNOT"),
        (lambda tx: mailboxes.rename(tx, 1, "none", "x", AT), "NONEXISTENT"),
        (lambda tx: mailboxes.subscribe(tx, 1, "none", wanted=True), "NONEXISTENT"),
        (lambda tx: mailboxes.create(tx, 1, "x", AT) and mailboxes.rename(tx, 1, "x", "x/y", AT), "CANNOT"),
        (lambda tx: mailboxes.create(tx, 1, "x", AT) and mailboxes.rename(tx, 1, "x", "Çöp", AT), "ALREADYEXISTS"),
        (lambda tx: [mailboxes.create(tx, 1, f"n{n}", AT) for n in range(1000)], "LIMIT"),
    ],
)
def test_what_cannot_be_done_says_why(store, account, work, code):
    before = names(store, account)
    with pytest.raises(mailboxes.MailboxProblem) as problem:
        store.write_now(work)
    assert problem.value.code == code
    assert names(store, account) == before


def test_the_number_of_a_deleted_mailbox_is_never_given_again(store, account):
    """A session that has a deleted mailbox selected must not find itself in that of somebody else."""
    other = store.write_now(lambda tx: add_account(tx, "b@hs90.kep.tr", "B", passwords.Credentials("a", "s"), AT))
    mine = store.write_now(lambda tx: (mailboxes.create(tx, account, "x", AT), mailboxes.find(tx, account, "x"))[1])
    store.write_now(lambda tx: mailboxes.delete(tx, account, "x"))
    theirs = store.write_now(lambda tx: (mailboxes.create(tx, other, "y", AT), mailboxes.find(tx, other, "y"))[1])
    assert theirs.id != mine.id
