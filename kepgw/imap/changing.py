r"""Commands that change mail: STORE, COPY, MOVE, EXPUNGE, CLOSE (RFC 3501 6.4, RFC 4315, RFC 6851)."""

from typing import Final

from kepgw.accounts.rights import Right
from kepgw.imap.fetch import reported
from kepgw.imap.grammar import SequenceSet
from kepgw.imap.grammar_command import Copy, Numbers, Store
from kepgw.imap.responses import BadCommand, Problem
from kepgw.imap.session import Session
from kepgw.imap.view import View, flags_text
from kepgw.store import reading
from kepgw.store.engine import Tx
from kepgw.store.mailboxes import EVIDENCE, INBOX, Mailbox, MailboxProblem, is_archive

# what may be put (back) into folders that hold what the provider delivered: a forged dispatch there would mislead
DELIVERED: Final[dict[str, frozenset[str]]] = {
    INBOX: frozenset(("dispatch", "original", "receipt")),
    EVIDENCE: frozenset(("receipt",)),
}


def resolved(view: View, numbers: SequenceSet, *, uid: bool) -> list[int]:
    """The UIDs of a set. Raises BadCommand for sequence numbers that are not there."""
    uids = view.resolve(numbers, uid=uid)
    if uids is None:
        raise BadCommand("no-such-number")
    return uids


async def store(session: Session, arguments: Store, *, uid: bool) -> str:
    """STORE and UID STORE."""
    view, context = session.writable, session.context
    flags = arguments.flags.flags
    if "\\Deleted" in flags and arguments.mode != "-":
        session.require(Right.DELETE, "no-delete-right")
    uids = resolved(view, arguments.numbers, uid=uid)
    if "\\Seen" in flags and arguments.mode != "-" and session.operator.may(Right.READ):
        # a client that read with PEEK and now says \Seen has shown the body to its user
        rows = [row for row, _ in await context.store.read(lambda tx: reading.select_rows(tx, view.id, uids))]
        await reported(session, view, [row for row in rows if row.kind == "dispatch" and row.served is not None])
    try:
        stored = await context.store.write(
            lambda tx: reading.store_flags(tx, view.id, uids, arguments.mode, flags, view.modseq)
        )
    except MailboxProblem as problem:
        raise Problem.of(problem) from None
    if stored.modseq is not None:
        view.own.add(stored.modseq)
    session.out.write(view.new_keywords(flag for _, text in stored.flags for flag in text.split()))
    lines: list[bytes] = []
    for one, text in stored.flags:
        # RFC 3501 6.4.6: silence is about this change, not about what others did to the message before
        if not arguments.silent or (one in stored.foreign):
            told = flags_text(text, recent=one in view.recent)
            lines.append(b"* %d FETCH (%b%b)\r\n" % (view.sequence(one) or 0, b"UID %d " % one if uid else b"", told))
    session.out.write(b"".join(lines))
    return "" if len(stored.flags) == len(uids) else "EXPUNGEISSUED"


async def copy(session: Session, arguments: Copy, *, uid: bool, move: bool) -> str:
    """COPY, MOVE and their UID forms, with COPYUID (RFC 4315 3)."""
    view, context = session.view, session.context
    if move:
        view = session.writable
        session.require(Right.DELETE, "no-delete-right")
    target = await session.mailbox(arguments.mailbox, "TRYCREATE")
    if is_archive(target):
        session.require(Right.ARCHIVE, "no-archive-right")
    if move and target.id == view.id:
        raise Problem("mailbox-same", "CANNOT")
    uids = resolved(view, arguments.numbers, uid=uid)
    try:
        copied = await context.store.write(lambda tx: _copy(tx, view, uids, target, move=move))
    except MailboxProblem as problem:
        raise Problem.of(problem) from None
    if not copied.sources:
        return ""
    code = (
        f"COPYUID {copied.uidvalidity} {bytes(SequenceSet.of(copied.sources)).decode()}"
        f" {bytes(SequenceSet.of(copied.targets)).decode()}"
    )
    if not move:
        return code
    session.out.write(f"* OK [{code}] Moved\r\n".encode("ascii"))  # RFC 6851 4.3: before the EXPUNGE responses
    view.dirty = True
    return ""


def _copy(tx: Tx, view: View, uids: list[int], target: Mailbox, *, move: bool) -> reading.Copied:
    allowed = DELIVERED.get(target.name)
    if allowed is not None:
        kinds = {row.kind for row, _ in reading.select_rows(tx, view.id, uids)}
        if not kinds <= allowed:
            raise MailboxProblem("CANNOT", "mailbox-provider-only")
    return reading.copy(tx, view.id, uids, target.id, move=move)


async def expunge(session: Session, arguments: Numbers | None = None) -> str:
    r"""EXPUNGE and UID EXPUNGE: mail with \Deleted leaves the mailbox; the archive keeps it."""
    view = session.writable
    session.require(Right.DELETE, "no-delete-right")
    uids = view.uids.tolist() if arguments is None else resolved(view, arguments.numbers, uid=True)
    gone = await session.context.store.write(lambda tx: reading.expunge(tx, view.id, uids))
    view.dirty = view.dirty or bool(gone)
    return ""


async def close(session: Session, *, expunging: bool) -> str:
    """CLOSE, which expunges silently where that may be done, and UNSELECT (RFC 3691), which does not."""
    view = session.view
    if expunging and not view.read_only and session.operator.may(Right.DELETE):
        uids = view.uids.tolist()
        await session.context.store.write(lambda tx: reading.expunge(tx, view.id, uids))
    session.select(None)
    return ""
