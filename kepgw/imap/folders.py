"""Commands on mailboxes: SELECT, CREATE, LIST, STATUS and their kin (RFC 3501 6.3)."""

import re

from kepgw.accounts.rights import Right
from kepgw.imap import grammar_command as commands
from kepgw.imap.grammar import MailboxName
from kepgw.imap.responses import BadCommand, Problem
from kepgw.imap.session import Session
from kepgw.imap.view import View
from kepgw.store import mailboxes
from kepgw.store.mailboxes import Mailbox, MailboxProblem, canonical
from kepgw.store.reading import clear_recent, counts, open_mailbox

MAX_PATTERN = 200  # characters of a LIST pattern


async def select(session: Session, arguments: commands.Named, *, read_only: bool) -> str:
    """SELECT and EXAMINE (RFC 3501 6.3.1, 6.3.2)."""
    store = session.context.store
    session.select(None)  # also when this one fails
    mailbox = await session.mailbox(arguments.mailbox)
    opened = await store.read(lambda tx: open_mailbox(tx, mailbox.id))
    if opened is None:
        raise Problem("mailbox-none", "NONEXISTENT")
    view = View(mailbox, opened, read_only=read_only, may_delete=session.operator.may(Right.DELETE))
    session.select(view)
    view.dirty = True  # what came between reading and watching
    if opened.recent:
        if read_only:
            view.recent.update(opened.recent)
        else:
            view.recent.update(session.context.hub.claim(mailbox.id, opened.recent))
            last = opened.uids[-1]
            await store.write(lambda tx: clear_recent(tx, mailbox.id, last))
    first = view.sequence(opened.unseen) if opened.unseen is not None else None
    lines = [
        view.flags_line(),
        b"* %d EXISTS\r\n* %d RECENT\r\n" % (len(view), len(view.recent)),
        b"* OK [UNSEEN %d] First unseen\r\n" % first if first else b"",
        view.permanent(),
        b"* OK [UIDVALIDITY %d] UIDs valid\r\n" % mailbox.uidvalidity,
        b"* OK [UIDNEXT %d] Predicted next UID\r\n" % opened.uidnext,
    ]
    session.out.write(b"".join(lines))
    return "READ-ONLY" if read_only else "READ-WRITE"


async def create(session: Session, arguments: commands.Named) -> str:
    """CREATE."""
    account, name, now = session.account, canonical(arguments.mailbox), session.context.now()
    try:
        await session.context.store.write(lambda tx: mailboxes.create(tx, account, name, now))
    except MailboxProblem as problem:
        raise Problem.of(problem) from None
    return ""


async def delete(session: Session, arguments: commands.Named) -> str:
    """DELETE: the mails in it go as by EXPUNGE, so it needs the same right."""
    session.require(Right.DELETE, "no-delete-right")
    account, name = session.account, canonical(arguments.mailbox)
    try:
        gone = await session.context.store.write(lambda tx: mailboxes.delete(tx, account, name))
    except MailboxProblem as problem:
        raise Problem.of(problem) from None
    if session.view_or_none is not None and session.view_or_none.id == gone.id:
        session.select(None)
    return ""


async def rename(session: Session, arguments: commands.Rename) -> str:
    """RENAME."""
    account, now = session.account, session.context.now()
    old, new = canonical(arguments.old), canonical(arguments.new)
    try:
        await session.context.store.write(lambda tx: mailboxes.rename(tx, account, old, new, now))
    except MailboxProblem as problem:
        raise Problem.of(problem) from None
    return ""


async def subscribe(session: Session, arguments: commands.Named, *, wanted: bool) -> str:
    """SUBSCRIBE and UNSUBSCRIBE."""
    account, name = session.account, canonical(arguments.mailbox)
    try:
        await session.context.store.write(lambda tx: mailboxes.subscribe(tx, account, name, wanted=wanted))
    except MailboxProblem as problem:
        raise Problem.of(problem) from None
    return ""


class Pattern:
    """LIST patterns: ``*`` is anything, ``%`` anything on one level (RFC 3501 6.3.8).

    All places of a pattern are followed at once, as bits, so that no pattern takes more than one step a character.
    """

    def __init__(self, reference: str, patterns: tuple[str, ...]) -> None:
        if any(len(reference + pattern) > MAX_PATTERN for pattern in patterns):
            raise Problem("mailbox-name", "CANNOT")
        self._patterns = [
            re.sub(r"[*%]*\*[*%]*", "*", re.sub(r"%+", "%", canonical_pattern(reference + pattern)))
            for pattern in patterns
        ]

    def matches(self, name: str) -> bool:
        """Whether one of the patterns matches."""
        return any(_matches(pattern, name) for pattern in self._patterns)


def _places(pattern: str, token: str) -> int:
    return sum(1 << at for at, character in enumerate(pattern) if character == token)


def _matches(pattern: str, name: str) -> bool:
    any_, level = _places(pattern, "*"), _places(pattern, "%")
    wild = any_ | level
    literal = {character: _places(pattern, character) & ~wild for character in set(name)}
    at = 1
    for character in name:
        at |= (at & wild) << 1  # a wildcard may stand for nothing
        stay = any_ if character == "/" else wild
        at = (at & literal[character]) << 1 | (at & stay)
        if not at:
            return False
    at |= (at & wild) << 1
    return bool(at >> len(pattern) & 1)


def canonical_pattern(pattern: str) -> str:
    """INBOX in any case, as in names."""
    first, slash, rest = pattern.partition("/")
    return mailboxes.INBOX + slash + rest if first.upper() == mailboxes.INBOX else pattern


def attributes(mailbox: Mailbox, parents: set[str], *, subscribed: bool) -> bytes:
    r"""``\HasNoChildren \Sent``: RFC 3348, RFC 6154; ``\Subscribed`` of RFC 5258 when asked for."""
    words = ["\\HasChildren" if mailbox.name in parents else "\\HasNoChildren"]
    if mailbox.special_use:
        words.append(mailbox.special_use)
    if subscribed and mailbox.subscribed:
        words.append("\\Subscribed")
    return " ".join(words).encode("ascii")


async def list_(session: Session, arguments: commands.List) -> str:
    """LIST with the options of RFC 6154."""
    if arguments.patterns == ("",):  # the hierarchy delimiter (RFC 3501 6.3.8)
        session.out.write(b'* LIST (\\Noselect) "/" ""\r\n')
        return ""
    account = session.account
    boxes = await session.context.store.read(lambda tx: mailboxes.listed(tx, account))
    parents = {above for box in boxes for above in _levels_above(box.name)}
    pattern = Pattern(arguments.reference, arguments.patterns)
    subscribed = b"SUBSCRIBED" in (*arguments.selection, *(arguments.returns or ()))
    for box in boxes:
        if b"SUBSCRIBED" in arguments.selection and not box.subscribed:
            continue
        if b"SPECIAL-USE" in arguments.selection and not box.special_use:
            continue
        if pattern.matches(box.name):
            shown = attributes(box, parents, subscribed=subscribed)
            session.out.write(b'* LIST (%b) "/" %b\r\n' % (shown, bytes(MailboxName(box.name))))
    return ""


def _levels_above(name: str) -> list[str]:
    levels = name.split("/")
    return ["/".join(levels[:count]) for count in range(1, len(levels))]


async def lsub(session: Session, arguments: commands.List) -> str:
    r"""LSUB: subscribed names, and with ``%`` their levels above as \Noselect (RFC 3501 6.3.9)."""
    if arguments.selection or arguments.many or arguments.returns is not None:
        raise BadCommand("bad-command", reason="LSUB takes no options")
    account = session.account
    boxes = await session.context.store.read(lambda tx: mailboxes.listed(tx, account))
    subscribed = {box.name for box in boxes if box.subscribed}
    pattern = Pattern(arguments.reference, arguments.patterns)
    found = {name: b"" for name in subscribed if pattern.matches(name)}
    if any("%" in one for one in arguments.patterns):
        for name in subscribed:
            for above in _levels_above(name):
                if above not in subscribed and pattern.matches(above):
                    found[above] = b"\\Noselect"
    for name in sorted(found):
        session.out.write(b'* LSUB (%b) "/" %b\r\n' % (found[name], bytes(MailboxName(name))))
    return ""


async def status(session: Session, arguments: commands.Status) -> str:
    """STATUS (RFC 3501 6.3.10)."""
    account, name = session.account, canonical(arguments.mailbox)
    both = await session.context.store.read(
        lambda tx: (box, counts(tx, box.id)) if (box := mailboxes.find(tx, account, name)) else None
    )
    if both is None:
        raise Problem("mailbox-none", "NONEXISTENT")
    box, counted = both
    values = {
        b"MESSAGES": counted.messages,
        b"RECENT": counted.recent,
        b"UIDNEXT": box.uidnext,
        b"UIDVALIDITY": box.uidvalidity,
        b"UNSEEN": counted.unseen,
    }
    told = b" ".join(b"%b %d" % (item, values[item]) for item in arguments.items)
    session.out.write(b"* STATUS %b (%b)\r\n" % (bytes(MailboxName(box.name)), told))
    return ""
