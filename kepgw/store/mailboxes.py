"""Mailboxes of an account, and mail that is put into them.

Every change of a mailbox raises its ``modseq`` and is announced as ``("mailbox", id)``; the rows of mail are read and
changed through kepgw.store.reading.
"""

import unicodedata
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from kepgw.journey.summary import KEYWORDS
from kepgw.store.engine import Tx
from kepgw.store.ids import micros, new_id
from kepgw.store.octets import ContentRef

INBOX: Final = "INBOX"
SENT: Final = "Gönderilmiş"
DRAFTS: Final = "Taslaklar"
TRASH: Final = "Çöp"
ARCHIVE: Final = "Arşiv"
EVIDENCE: Final = "Deliller"

# RFC 6154 attributes; INBOX needs none and there is none for evidence
STANDARD: Final[dict[str, str]] = {
    INBOX: "",
    SENT: "\\Sent",
    DRAFTS: "\\Drafts",
    TRASH: "\\Trash",
    ARCHIVE: "\\Archive",
    EVIDENCE: "",
}

SERVER_KEYWORDS: Final = frozenset(KEYWORDS)

MAX_MAILBOXES: Final = 1000  # of one account
MAX_NAME: Final = 255  # characters
MAX_LEVELS: Final = 16


class Mailbox(NamedTuple):
    """A mailbox row."""

    id: int
    name: str
    special_use: str
    uidvalidity: int
    uidnext: int
    modseq: int
    subscribed: int  # 0 or 1


def is_archive(mailbox: Mailbox) -> bool:
    """Whether putting mail there is archiving, which takes a right of its own."""
    return mailbox.name == ARCHIVE or mailbox.name.startswith(ARCHIVE + "/")


class MailboxProblem(Exception):
    """A change of mailboxes that cannot be done: the response code of RFC 5530, and the key of the text about it."""

    def __init__(self, code: str, key: str) -> None:
        super().__init__(key)
        self.code = code
        self.key = key


_COLUMNS = "id, name, special_use, uidvalidity, uidnext, modseq, subscribed"


def canonical(name: str) -> str:
    """The one spelling of a mailbox name: NFC, INBOX in capitals (RFC 3501 5.1), no "/" at the end."""
    name = unicodedata.normalize("NFC", name).removesuffix("/")
    first, slash, rest = name.partition("/")
    return INBOX + slash + rest if first.upper() == INBOX else name


def next_uidvalidity(tx: Tx, at: datetime) -> int:
    """A UIDVALIDITY that no mailbox of this store has had: 32 bits, growing (RFC 3501 2.3.1.1)."""
    seconds = micros(at) // 1_000_000
    row = tx.row("SELECT value FROM counter WHERE name = 'uidvalidity'")
    value = max(seconds, row[0] + 1 if row else 1)
    if row:
        tx.run("UPDATE counter SET value = ? WHERE name = 'uidvalidity'", value)
    else:
        tx.run("INSERT INTO counter (name, value) VALUES ('uidvalidity', ?)", value)
    return value


def create_standard(tx: Tx, account_id: int, at: datetime) -> None:
    """Make the folders that every account has; those that exist stay as they are."""
    for name, special_use in STANDARD.items():
        if find(tx, account_id, name) is None:
            _insert(tx, account_id, name, special_use, at)


def _insert(tx: Tx, account_id: int, name: str, special_use: str, at: datetime) -> None:
    tx.run(
        "INSERT INTO mailbox (id, account, name, special_use, uidvalidity, uidnext, modseq, subscribed)"
        " VALUES (?, ?, ?, ?, ?, 1, 1, 1)",
        new_id(at),  # never that of a deleted one, which SQLite would give again: a session may still have it selected
        account_id,
        name,
        special_use,
        next_uidvalidity(tx, at),
    )


def find(tx: Tx, account_id: int, name: str) -> Mailbox | None:
    """The mailbox of that (canonical) name."""
    row = tx.row(f"SELECT {_COLUMNS} FROM mailbox WHERE account = ? AND name = ?", account_id, name)
    return Mailbox._make(row) if row else None


def listed(tx: Tx, account_id: int) -> list[Mailbox]:
    """All mailboxes of an account by name, INBOX first."""
    rows = tx.rows(f"SELECT {_COLUMNS} FROM mailbox WHERE account = ? ORDER BY name", account_id)
    found = [Mailbox._make(row) for row in rows]
    return sorted(found, key=lambda mailbox: mailbox.name != INBOX)


def standard(tx: Tx, account_id: int, name: str) -> int:
    """The id of one of the standard folders of an account. Raises LookupError when the account has none."""
    row = tx.row("SELECT id FROM mailbox WHERE account = ? AND name = ?", account_id, name)
    if row is None:
        raise LookupError(f"account {account_id} has no mailbox {name}")
    return int(row[0])


def create(tx: Tx, account_id: int, name: str, at: datetime) -> list[str]:
    """Make a mailbox and the levels above it that are missing (RFC 3501 6.3.3); the names that were made.

    Raises MailboxProblem.
    """
    check_name(name)
    if find(tx, account_id, name) is not None:
        raise MailboxProblem("ALREADYEXISTS", "mailbox-exists")
    levels = name.split("/")
    missing = [above for n in range(1, len(levels) + 1) if find(tx, account_id, above := "/".join(levels[:n])) is None]
    _check_number(tx, account_id, len(missing))
    for above in missing:
        _insert(tx, account_id, above, "", at)
    tx.announce("mailboxes", account_id)
    return missing


def _check_number(tx: Tx, account_id: int, more: int) -> None:
    row = tx.row("SELECT count(*) FROM mailbox WHERE account = ?", account_id)
    if row is None or row[0] + more > MAX_MAILBOXES:
        raise MailboxProblem("LIMIT", "mailbox-too-many")


def check_name(name: str) -> None:
    """Raises MailboxProblem for a name that no mailbox may have."""
    levels = name.split("/")
    if (
        len(name) > MAX_NAME
        or len(levels) > MAX_LEVELS
        or not all(level and level == level.strip() for level in levels)
        or any(unicodedata.category(character)[0] == "C" or character in "*%\\" for character in name)
    ):
        raise MailboxProblem("CANNOT", "mailbox-name")


def delete(tx: Tx, account_id: int, name: str) -> Mailbox:
    """Remove a mailbox with its mail rows; mailboxes below it stay. Raises MailboxProblem.

    The contents stay: dispatches and evidence are kept whatever a user does with a mailbox.
    """
    mailbox = find(tx, account_id, name)
    if mailbox is None:
        raise MailboxProblem("NONEXISTENT", "mailbox-none")
    if name in STANDARD:
        raise MailboxProblem("CANNOT", "mailbox-standard")
    tx.run("DELETE FROM mail WHERE mailbox = ?", mailbox.id)
    tx.run("DELETE FROM mailbox WHERE id = ?", mailbox.id)
    tx.announce("mailbox", mailbox.id)
    tx.announce("mailboxes", account_id)
    return mailbox


def rename(tx: Tx, account_id: int, old: str, new: str, at: datetime) -> None:
    """Rename a mailbox and those below it (RFC 3501 6.3.5). Raises MailboxProblem.

    INBOX cannot be renamed: its rename would move all mail away, dispatches that nobody has read included.
    """
    check_name(new)
    if old in STANDARD:
        raise MailboxProblem("CANNOT", "mailbox-standard")
    if find(tx, account_id, old) is None:
        raise MailboxProblem("NONEXISTENT", "mailbox-none")
    if find(tx, account_id, new) is not None:
        raise MailboxProblem("ALREADYEXISTS", "mailbox-exists")
    if new.startswith(old + "/"):
        raise MailboxProblem("CANNOT", "mailbox-below-itself")
    moved = [(box.id, new + box.name[len(old) :]) for box in listed(tx, account_id) if box.name.startswith(old + "/")]
    for _, name in moved:
        check_name(name)
        if find(tx, account_id, name) is not None:
            raise MailboxProblem("ALREADYEXISTS", "mailbox-exists")
    above = new.rpartition("/")[0]
    if above and find(tx, account_id, above) is None:
        create(tx, account_id, above, at)
    tx.run("UPDATE mailbox SET name = ? WHERE account = ? AND name = ?", new, account_id, old)
    for key, name in moved:
        tx.run("UPDATE mailbox SET name = ? WHERE id = ?", name, key)
    tx.announce("mailboxes", account_id)


def subscribe(tx: Tx, account_id: int, name: str, *, wanted: bool) -> None:
    """Set or clear the subscription of a mailbox. Raises MailboxProblem when it does not exist."""
    flag = int(wanted)
    if not tx.run("UPDATE mailbox SET subscribed = ? WHERE account = ? AND name = ?", flag, account_id, name):
        raise MailboxProblem("NONEXISTENT", "mailbox-none")
    tx.announce("mailboxes", account_id)


class Standard(NamedTuple):
    """One of the standard folders of an account, to be found in the statement that uses it."""

    account: int
    name: str


def deliver(
    tx: Tx,
    where: int | Standard,
    content: ContentRef,
    *,
    size: int,
    kind: str,
    at: datetime,
    flags: Iterable[str] = (),
    message: int | None = None,
    dispatch: int | None = None,
    ordinal: int | None = None,
) -> int:
    """Put a mail into a mailbox; returns its UID. ``kind``: dispatch | original | receipt | mail.

    Raises LookupError when there is no such mailbox.
    """
    mailbox_id, uid, modseq = _take_uids(tx, where, 1, counted(kind, size))
    tx.run(
        "INSERT INTO mail (mailbox, uid, month, content, size, kind, message, dispatch, ordinal,"
        " internal_date, flags, modseq, served, recent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 1)",
        mailbox_id,
        uid,
        content.month,
        content.id,
        size,
        kind,
        message,
        dispatch,
        ordinal,
        micros(at),
        " ".join(sorted(set(flags))),
        modseq,
    )
    return uid


def counted(kind: str, size: int) -> int:
    """Octets of a mail that count towards the quota: evidence does not."""
    return 0 if kind == "receipt" else size


def take_uids(tx: Tx, mailbox_id: int, count: int, octets: int) -> tuple[int, int]:
    """Reserve ``count`` UIDs for mails of ``octets`` that count: the first UID, and the modseq of this change."""
    return _take_uids(tx, mailbox_id, count, octets)[1:]


def _take_uids(tx: Tx, where: int | Standard, count: int, octets: int) -> tuple[int, int, int]:
    known = "account = ? AND name = ?" if isinstance(where, Standard) else "id = ?"
    row = tx.row(
        "UPDATE mailbox SET uidnext = uidnext + ?, modseq = modseq + 1, octets = octets + ?"
        f" WHERE {known} RETURNING id, uidnext, modseq",
        count,
        octets,
        *(where if isinstance(where, Standard) else (where,)),
    )
    if row is None:
        raise LookupError(f"there is no mailbox {where}")
    tx.announce("mailbox", row[0])
    return row[0], row[1] - count, row[2]


def raise_modseq(tx: Tx, mailbox_id: int, freed: int = 0) -> int:
    """The modseq of a change of a mailbox that is about to be written; subscribers hear of it (RFC 7162 3.1).

    ``freed``: octets of mails that counted and go with this change.
    """
    rows = tx.rows(
        "UPDATE mailbox SET modseq = modseq + 1, octets = octets - ? WHERE id = ? RETURNING modseq", freed, mailbox_id
    )
    if not rows:
        raise LookupError(f"there is no mailbox {mailbox_id}")
    tx.announce("mailbox", mailbox_id)
    return int(rows[0][0])


def add_keywords(tx: Tx, month: int, message: int, mailbox_id: int, keywords: Iterable[str]) -> None:
    """Add keywords to every row of a message in a mailbox; nothing happens when they are all there."""
    wanted = set(keywords)
    rows = tx.rows(
        "SELECT uid, flags FROM mail WHERE month = ? AND message = ? AND mailbox = ?", month, message, mailbox_id
    )
    changed = [(uid, merged) for uid, flags in rows if (merged := wanted | set(flags.split())) != set(flags.split())]
    if not changed:
        return
    modseq = raise_modseq(tx, mailbox_id)
    for uid, merged in changed:
        tx.run(
            "UPDATE mail SET flags = ?, modseq = ? WHERE mailbox = ? AND uid = ? AND month = ?",
            " ".join(sorted(merged)),
            modseq,
            mailbox_id,
            uid,
            month,
        )
