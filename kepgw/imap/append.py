r"""APPEND (RFC 3501 6.3.11): a client's own mail, streamed to the spool, rendered in a thread, then committed."""

import asyncio
from collections.abc import Iterator
from datetime import datetime

from kepgw.accounts.rights import Right
from kepgw.imap.grammar_command import Append
from kepgw.imap.responses import BadCommand, Bye, Problem
from kepgw.imap.session import Session
from kepgw.imap.wire import Wire
from kepgw.message.headers import MAX_HEADER, every, fields
from kepgw.message.rendering import Rendered, render
from kepgw.store import reading
from kepgw.store.engine import Tx
from kepgw.store.ids import month_of, new_id
from kepgw.store.mailboxes import EVIDENCE, INBOX, SENT, Mailbox, MailboxProblem, deliver, is_archive
from kepgw.store.octets import ContentRef, Span, put_blob, put_content
from kepgw.store.spool import Spool

CONTINUE = b"+ Ready for the message\r\n"


async def append(session: Session, arguments: Append, wire: Wire) -> str:
    """APPEND, with APPENDUID (RFC 4315 3)."""
    try:
        mailbox = await _target(session, arguments)
    except Bye:
        raise
    except Problem:
        if not arguments.waits:  # RFC 7888 4: a literal that does not wait is on its way and must be taken
            await _receive(session, arguments, wire, None)
        raise
    spool = Spool(session.context.spool)
    try:
        if arguments.waits:
            wire.write(CONTINUE)
            await wire.drain()
        await _receive(session, arguments, wire, spool)
        return await _keep(session, arguments, mailbox, spool)
    finally:
        spool.close()


async def _target(session: Session, arguments: Append) -> Mailbox:
    limits = session.context.limits
    if arguments.size > limits.message:
        if not arguments.waits:
            raise Bye("literal-too-large", "TOOBIG")
        raise Problem("literal-too-large", "TOOBIG")
    mailbox = await session.mailbox(arguments.mailbox, "TRYCREATE")
    if mailbox.name in {INBOX, EVIDENCE}:
        # they hold what the provider delivered: a forged dispatch or receipt there would mislead its reader
        raise Problem("mailbox-provider-only", "CANNOT")
    if is_archive(mailbox):
        session.require(Right.ARCHIVE, "no-archive-right")
    if arguments.size == 0:
        raise Problem("message-empty", "CANNOT")
    return mailbox


async def _receive(session: Session, arguments: Append, wire: Wire, spool: Spool | None) -> None:
    limits = session.context.limits
    left, has_nul = arguments.size, False
    while left:
        chunk = await wire.octets(left, limits.literal_seconds)
        left -= len(chunk)
        has_nul = has_nul or b"\0" in chunk
        if spool is not None:
            spool.write(chunk)
    line = await wire.line(limits.line, limits.literal_seconds)
    if line is None or line.strip():
        raise BadCommand("bad-command", reason="text after the message")
    if has_nul:  # RFC 3501 9: CHAR8
        raise Problem("message-nul", "CANNOT")


async def _keep(session: Session, arguments: Append, mailbox: Mailbox, spool: Spool) -> str:
    context, account = session.context, session.account
    flags = [
        flag
        for flag in (arguments.flags.flags if arguments.flags else ())
        if flag != "\\Deleted" or session.operator.may(Right.DELETE)
    ]
    octets = spool.view()
    rendered = await asyncio.to_thread(render, octets)
    if len(rendered.header) > MAX_HEADER:
        raise Problem("message-header", "LIMIT")
    now = context.now()
    message_ids = every(fields(rendered.header), "Message-ID") if mailbox.name == SENT else []

    def work(tx: Tx) -> tuple[int, int | None]:
        if len(message_ids) == 1:
            # the client saves what it has just submitted: the message is there already, with its evidence
            row = reading.submitted(tx, account, message_ids[0].value, mailbox.id)
            if row is not None:
                return row.uid, reading.store_flags(tx, mailbox.id, [row.uid], "+", flags).modseq
        wanted = reading.merged("", "", frozenset(flags)).split()
        return store_mail(tx, mailbox.id, spool.chunks(), rendered, wanted, arguments.date or now, now), None

    try:
        uid, _ = await context.store.write(work)
    except MailboxProblem as problem:
        raise Problem.of(problem) from None
    except LookupError:
        raise Problem("mailbox-none", "TRYCREATE") from None
    return f"APPENDUID {mailbox.uidvalidity} {uid}"


def store_mail(
    tx: Tx, mailbox: int, chunks: Iterator[bytes], rendered: Rendered, flags: list[str], date: datetime, now: datetime
) -> int:
    """Store a mail of the user's own with its octets; its UID."""
    ref = ContentRef(month_of(now), new_id(now))
    size = put_blob(tx, *ref, chunks)
    put_content(tx, ref, [Span(ref.id, 0, size)], rendered)
    return deliver(tx, mailbox, ref, size=size, kind="mail", at=date, flags=flags)
