"""``kepgw message`` and ``kepgw evidence``: what happened to a message, and the proof of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from kepgw.app.administration.base import MAX_LISTED, Commands, command
from kepgw.app.administration.finding import Key, find, no_message
from kepgw.app.timeline import build, evidence_data, summary
from kepgw.store import messages, tasks
from kepgw.store.engine import Tx
from kepgw.store.ids import moment


class MessageCommands(Commands):
    """Messages and their evidence."""

    @command
    async def message_list(self, limit: int = 50) -> list[dict[str, Any]]:
        """The newest messages first, with the number of recipients in each state."""

        def work(tx: Tx) -> list[dict[str, Any]]:
            page = messages.messages_page(tx, max(1, min(limit, MAX_LISTED)))
            return [summary(each, _states(tx, each.month, each.id)) for each in page]

        return await self._store.read(work)

    @command
    async def message_show(self, message: str) -> dict[str, Any]:
        """The timeline of a message, named by its number, its KEP identifier or its Message-ID."""

        def work(tx: Tx) -> dict[str, Any]:
            key = find(tx, message)
            found = messages.message_by_id(tx, *key)
            if found is None:
                raise no_message(message)
            return timeline_of(tx, found, messages.evidence_of(tx, *key), self._now())

        return await self._store.read(work)

    @command
    async def evidence_list(self, message: str) -> list[dict[str, Any]]:
        """Every evidence of a message, in the order of the ledger."""

        def work(tx: Tx) -> list[dict[str, Any]]:
            return [ledger_entry(tx, row) for row in messages.evidence_of(tx, *find(tx, message))]

        return await self._store.read(work)


def timeline_of(
    tx: Tx, message: messages.Message, evidence: Sequence[messages.EvidenceRow], at: datetime
) -> dict[str, Any]:
    """The timeline of a message as data, with those ``evidence``."""
    key = Key(message.month, message.id)
    dispatches = [(each, messages.recipients_of(tx, key.month, each.id)) for each in messages.dispatches_of(tx, *key)]
    return build(message, dispatches, evidence, _tasks_of(tx, key), at)


def _states(tx: Tx, month: int, message: int) -> dict[str, int]:
    rows = tx.rows(
        "SELECT r.state, count(*) FROM recipient r JOIN dispatch d ON d.month = r.month AND d.id = r.dispatch"
        " WHERE d.month = ? AND d.message = ? GROUP BY r.state ORDER BY r.state",
        month,
        message,
    )
    return dict(rows)


def _tasks_of(tx: Tx, key: Key) -> list[tasks.Task]:
    rows = tx.rows(
        "SELECT kind, month, message, dispatch, lane, due, created, deadline, attempts, last_error, id, ordinal"
        " FROM task WHERE month = ? AND message = ? ORDER BY due LIMIT ?",
        *key,
        MAX_LISTED,
    )
    return [
        tasks.Task(
            kind=tasks.Kind(row[0]),
            month=row[1],
            message=row[2],
            dispatch=row[3],
            lane=row[4],
            due=moment(row[5]),
            payload={},
            created=moment(row[6]),
            deadline=None if row[7] is None else moment(row[7]),
            attempts=row[8],
            last_error=row[9],
            id=row[10],
            ordinal=row[11],
        )
        for row in rows
    ]


def ledger_entry(tx: Tx, row: messages.EvidenceRow) -> dict[str, Any]:
    """An evidence with the recipient's address where it refers to one."""
    entry = evidence_data(row)
    about = None
    if row.dispatch is not None and row.ordinal is not None:
        about = tx.row(
            "SELECT address FROM recipient WHERE month = ? AND dispatch = ? AND ordinal = ?",
            row.month,
            row.dispatch,
            row.ordinal,
        )
    return entry | {"recipient": about[0] if about else ""}
