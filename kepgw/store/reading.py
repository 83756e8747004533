r"""Mail rows of a mailbox: reading them by UID, changing flags, copying and removing.

Removing takes the row out of the mailbox, never the content: what was delivered stays in the archive.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from kepgw.store.engine import Row, Tx
from kepgw.store.ids import micros
from kepgw.store.mailboxes import SERVER_KEYWORDS, MailboxProblem, counted, raise_modseq, take_uids
from kepgw.store.octets import ContentRef

MAX_KEYWORDS: Final = 32  # of one mail, set by clients
MAX_KEYWORD: Final = 64  # characters
_TOGETHER: Final = 500  # UIDs in one statement


class MailRow(NamedTuple):
    """A mail in a mailbox."""

    mailbox: int
    uid: int
    month: int
    content: int
    size: int
    kind: str  # dispatch | original | receipt | mail
    message: int | None
    dispatch: int | None
    ordinal: int | None
    internal_date: int  # microseconds since 1970 UTC
    flags: str
    served: int | None

    @property
    def ref(self) -> ContentRef:
        """Its content."""
        return ContentRef(self.month, self.content)


MAIL_COLUMNS: Final = (
    "m.mailbox, m.uid, m.month, m.content, m.size, m.kind, m.message, m.dispatch, m.ordinal,"
    " m.internal_date, m.flags, m.served"
)
_FIELDS: Final = len(MailRow._fields)


class Opened(NamedTuple):
    """A mailbox as it is when it is selected."""

    uids: list[int]
    recent: list[int]
    unseen: int | None  # UID of the first mail without \\Seen
    keywords: list[str]
    uidnext: int
    modseq: int


def open_mailbox(tx: Tx, mailbox: int) -> Opened | None:
    """All UIDs of a mailbox and what SELECT tells of it; None when the mailbox is gone."""
    row = tx.row("SELECT uidnext, modseq FROM mailbox WHERE id = ?", mailbox)
    if row is None:
        return None
    uids: list[int] = []
    recent: list[int] = []
    unseen = None
    spellings: set[str] = set()
    for uid, flags, new in tx.rows("SELECT uid, flags, recent FROM mail WHERE mailbox = ? ORDER BY uid", mailbox):
        uids.append(uid)
        spellings.add(flags)
        if new:
            recent.append(uid)
        if unseen is None and "\\Seen" not in flags:
            unseen = uid
    keywords = sorted({flag for flags in spellings for flag in flags.split() if not flag.startswith("\\")})
    return Opened(uids, recent, unseen, keywords, row[0], row[1])


def clear_recent(tx: Tx, mailbox: int, up_to: int) -> None:
    r"""Nobody else gets \Recent for these any more (RFC 3501 2.3.2); no change that others need to hear of."""
    tx.run("UPDATE mail SET recent = 0 WHERE mailbox = ? AND uid <= ? AND recent = 1", mailbox, up_to)


class Changes(NamedTuple):
    """What happened in a mailbox after a modseq."""

    modseq: int
    rows: list[tuple[int, str, int]]  # (uid, flags, modseq) of new and changed mail, by UID
    messages: int  # that are there now


def changes(tx: Tx, mailbox: int, since: int) -> Changes | None:
    """Rows changed after the modseq ``since``; None when the mailbox is gone."""
    row = tx.row("SELECT modseq FROM mailbox WHERE id = ?", mailbox)
    if row is None:
        return None
    rows = tx.rows("SELECT uid, flags, modseq FROM mail WHERE mailbox = ? AND modseq > ? ORDER BY uid", mailbox, since)
    count = tx.row("SELECT count(*) FROM mail WHERE mailbox = ?", mailbox)
    return Changes(row[0], [(uid, flags, modseq) for uid, flags, modseq in rows], count[0] if count else 0)


def uids_of(tx: Tx, mailbox: int) -> list[int]:
    """All UIDs of a mailbox, ascending."""
    return [uid for (uid,) in tx.rows("SELECT uid FROM mail WHERE mailbox = ? ORDER BY uid", mailbox)]


class Counts(NamedTuple):
    """What STATUS tells."""

    messages: int
    recent: int
    unseen: int


def counts(tx: Tx, mailbox: int) -> Counts:
    """Count the mails of a mailbox."""
    row = tx.row(
        "SELECT count(*), coalesce(sum(recent), 0),"
        " coalesce(sum(CASE WHEN flags LIKE '%\\Seen%' ESCAPE '!' THEN 0 ELSE 1 END), 0)"
        " FROM mail WHERE mailbox = ?",
        mailbox,
    )
    assert row is not None
    return Counts(*row)


def _pieces(uids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(uids), _TOGETHER):
        yield uids[start : start + _TOGETHER]


def select_rows(tx: Tx, mailbox: int, uids: Sequence[int], columns: Sequence[str] = ()) -> list[tuple[MailRow, Row]]:
    """The rows of ascending ``uids`` that are still there, each with more ``columns`` (``c.header`` of its content)."""
    found: list[tuple[MailRow, Row]] = []
    more = "".join(f", {column}" for column in columns)
    joined = any("c." in column for column in columns)
    join = " JOIN content c ON c.month = m.month AND c.id = m.content" if joined else ""
    for piece in _pieces(uids):
        if piece[-1] - piece[0] == len(piece) - 1:  # no gaps: a range is one walk through the primary key
            where, values = "m.uid BETWEEN ? AND ?", [piece[0], piece[-1]]
        else:
            where, values = f"m.uid IN ({','.join('?' * len(piece))})", list(piece)
        rows = tx.rows(
            f"SELECT {MAIL_COLUMNS}{more} FROM mail m{join} WHERE m.mailbox = ? AND {where} ORDER BY m.uid",
            mailbox,
            *values,
        )
        found += [(MailRow._make(row[:_FIELDS]), row[_FIELDS:]) for row in rows]
    return found


def fitting(tx: Tx, mailbox: int, uids: Sequence[int], columns: Sequence[str], octets: int) -> int:
    """How many of ``uids``, from the first, can be selected with ``columns`` within ``octets``; at least one.

    Rendered columns are small beside most messages, but a message may be all header.
    """
    first, last = uids[0], uids[-1]
    total = tx.row(
        "SELECT coalesce(sum(size), 0) FROM mail WHERE mailbox = ? AND uid BETWEEN ? AND ?", mailbox, first, last
    )
    if total is None or total[0] <= octets:
        return len(uids)
    lengths = " + ".join(column if column.startswith("length") else f"length({column})" for column in columns) or "0"
    for count, uid in enumerate(uids):
        row = tx.row(
            f"SELECT {lengths} FROM mail m JOIN content c ON c.month = m.month AND c.id = m.content"
            " WHERE m.mailbox = ? AND m.uid = ?",
            mailbox,
            uid,
        )
        octets -= row[0] if row else 0
        if octets < 0:
            return max(count, 1)
    return len(uids)


def merged(current: str, mode: str, flags: frozenset[str]) -> str:
    """The flags after a STORE: ``mode`` "" replaces, "+" adds, "-" removes.

    Keywords of the server stay as they are, whatever a client says; keywords compare without case, as IMAP atoms do.
    Raises MailboxProblem when there are too many or one is too long.
    """
    if mode != "-" and any(len(flag) > MAX_KEYWORD for flag in flags):
        raise MailboxProblem("LIMIT", "keyword-too-long")
    have = set(current.split())
    own = have & SERVER_KEYWORDS
    spelling = {flag.lower(): flag for flag in have}
    wanted = {spelling.get(flag.lower(), flag) for flag in flags} - _server_only(flags)
    if mode == "+":
        result = have | wanted
    elif mode == "-":
        result = have - wanted
    else:
        result = wanted
    result = (result - SERVER_KEYWORDS) | own
    if len(result) > len(have) and sum(not flag.startswith("\\") for flag in result - own) > MAX_KEYWORDS:
        raise MailboxProblem("LIMIT", "keywords-too-many")
    return " ".join(sorted(result))


_SERVER_LOWER: Final = frozenset(keyword.lower() for keyword in SERVER_KEYWORDS)


def _server_only(flags: Iterable[str]) -> set[str]:
    return {flag for flag in flags if flag.lower() in _SERVER_LOWER}


class Stored(NamedTuple):
    """The outcome of a STORE."""

    modseq: int | None  # None: nothing changed
    flags: list[tuple[int, str]]  # of every mail that is there, by UID
    foreign: set[int]  # UIDs of those that others had changed after ``since``


def store_flags(tx: Tx, mailbox: int, uids: Sequence[int], mode: str, flags: Iterable[str], since: int = 0) -> Stored:
    """Change flags of mails. Raises MailboxProblem."""
    wanted = frozenset(flags)
    now: list[tuple[int, str]] = []
    changed: list[tuple[str, int, int]] = []
    foreign: set[int] = set()
    for row, (before,) in select_rows(tx, mailbox, uids, ["m.modseq"]):
        after = merged(row.flags, mode, wanted)
        if before > since:
            foreign.add(row.uid)
        now.append((row.uid, after))
        if after != row.flags:
            changed.append((after, row.uid, row.month))
    if not changed:
        return Stored(None, now, foreign)
    modseq = raise_modseq(tx, mailbox)
    tx.many(
        "UPDATE mail SET flags = ?, modseq = ? WHERE mailbox = ? AND uid = ? AND month = ?",
        [(after, modseq, mailbox, uid, month) for after, uid, month in changed],
    )
    return Stored(modseq, now, foreign)


def mark_served(tx: Tx, rows: Iterable[MailRow], at: datetime) -> None:
    """Remember that bodies are about to be given to an operator with the read right; the first time stays."""
    tx.many(
        "UPDATE mail SET served = ? WHERE mailbox = ? AND uid = ? AND month = ? AND served IS NULL",
        [(micros(at), row.mailbox, row.uid, row.month) for row in rows],
    )


class Copied(NamedTuple):
    """UIDs there and here, pairwise (RFC 4315 3)."""

    uidvalidity: int
    sources: list[int]
    targets: list[int]


def copy(tx: Tx, mailbox: int, uids: Sequence[int], target: int, *, move: bool = False) -> Copied:
    """Copy mails with their flags and dates (RFC 3501 6.4.7), or move them (RFC 6851).

    A copy of a dispatch stays that dispatch: reading it there is reading it. Raises MailboxProblem when the target is
    gone.
    """
    box = tx.row("SELECT uidvalidity FROM mailbox WHERE id = ?", target)
    if box is None:
        raise MailboxProblem("TRYCREATE", "mailbox-none")
    rows = [row for row, _ in select_rows(tx, mailbox, uids)]
    if not rows:
        return Copied(box[0], [], [])
    first, modseq = take_uids(tx, target, len(rows), _counted(rows))
    tx.many(
        "INSERT INTO mail (mailbox, uid, month, content, size, kind, message, dispatch, ordinal,"
        " internal_date, flags, modseq, served, recent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
        [(target, uid, *row[2:10], row.flags, modseq, row.served) for uid, row in enumerate(rows, first)],
    )
    if move:
        _remove(tx, mailbox, rows)
    return Copied(box[0], [row.uid for row in rows], list(range(first, first + len(rows))))


def _counted(rows: Iterable[MailRow]) -> int:
    return sum(counted(row.kind, row.size) for row in rows)


def _remove(tx: Tx, mailbox: int, rows: Sequence[MailRow]) -> None:
    raise_modseq(tx, mailbox, _counted(rows))
    tx.many(
        "DELETE FROM mail WHERE mailbox = ? AND uid = ? AND month = ?",
        [(mailbox, row.uid, row.month) for row in rows],
    )


def expunge(tx: Tx, mailbox: int, uids: Sequence[int]) -> list[int]:
    r"""Remove those of ``uids`` that have \Deleted from the mailbox; the UIDs that went."""
    rows = [row for row, _ in select_rows(tx, mailbox, uids) if "\\Deleted" in row.flags.split()]
    if rows:
        _remove(tx, mailbox, rows)
    return [row.uid for row in rows]


def submitted(tx: Tx, account: int, message_id: bytes, sent: int) -> MailRow | None:
    """The mail in ``sent`` of the message that this account submitted with that Message-ID."""
    key = tx.row("SELECT month, ref FROM idempotency WHERE scope = ? AND key = ?", f"submission:{account}", message_id)
    if key is None:
        return None
    row = tx.row(
        f"SELECT {MAIL_COLUMNS} FROM mail m WHERE m.month = ? AND m.message = ? AND m.mailbox = ? ORDER BY m.uid",
        *key,
        sent,
    )
    return MailRow._make(row) if row else None
