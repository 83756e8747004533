"""Mailboxes of an account, and mail that is put into them.

Every change of a mailbox raises its ``modseq`` and is announced as ``("mailbox", id)``; the rows of mail are read and
changed through kepgw.store.reading.
"""

import unicodedata
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from kepgw.store.engine import Tx
from kepgw.store.ids import micros
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

SERVER_KEYWORDS: Final = frozenset(
    {"$KepKabul", "$KepRed", "$KepIletildi", "$KepTeslimEdilemedi", "$KepTeslim", "$KepOkundu"}
)

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


class MailboxProblem(Exception):  # noqa: N818  (an outcome that the client is told, not an error of ours)
    """A change of mailboxes that cannot be done; ``code`` is the response code of RFC 5530."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


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
        "INSERT INTO mailbox (account, name, special_use, uidvalidity, uidnext, modseq, subscribed)"
        " VALUES (?, ?, ?, ?, 1, 1, 1)",
        account_id,
        name,
        special_use,
        next_uidvalidity(tx, at),
    )


def find(tx: Tx, account_id: int, name: str) -> Mailbox | None:
    """The mailbox of that (canonical) name."""
    row = tx.row(f"SELECT {_COLUMNS} FROM mailbox WHERE account = ? AND name = ?", account_id, name)  # noqa: S608
    return Mailbox._make(row) if row else None


def listed(tx: Tx, account_id: int) -> list[Mailbox]:
    """All mailboxes of an account by name, INBOX first."""
    rows = tx.rows(f"SELECT {_COLUMNS} FROM mailbox WHERE account = ? ORDER BY name", account_id)  # noqa: S608
    found = [Mailbox._make(row) for row in rows]
    return sorted(found, key=lambda mailbox: mailbox.name != INBOX)


def standard(tx: Tx, account_id: int, name: str) -> int:
    """The id of one of the standard folders of an account. Raises LookupError when the account has none."""
    row = tx.row("SELECT id FROM mailbox WHERE account = ? AND name = ?", account_id, name)
    if row is None:
        raise LookupError(f"account {account_id} has no mailbox {name}")
    return int(row[0])


def deliver(
    tx: Tx,
    mailbox_id: int,
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
    """Put a mail into a mailbox; returns its UID. ``kind``: dispatch | original | receipt | mail."""
    uid, modseq = _take_uids(tx, mailbox_id, 1)
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


def _take_uids(tx: Tx, mailbox_id: int, count: int) -> tuple[int, int]:
    """Reserve ``count`` UIDs: the first of them, and the modseq of this change."""
    rows = tx.rows(
        "UPDATE mailbox SET uidnext = uidnext + ?, modseq = modseq + 1 WHERE id = ? RETURNING uidnext, modseq",
        count,
        mailbox_id,
    )
    if not rows:
        raise LookupError(f"there is no mailbox {mailbox_id}")
    tx.announce("mailbox", mailbox_id)
    return rows[0][0] - count, rows[0][1]


def raise_modseq(tx: Tx, mailbox_id: int) -> int:
    """The modseq of a change of a mailbox that is about to be written; subscribers hear of it (RFC 7162 3.1)."""
    rows = tx.rows("UPDATE mailbox SET modseq = modseq + 1 WHERE id = ? RETURNING modseq", mailbox_id)
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
