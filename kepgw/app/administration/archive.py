"""``kepgw archive``: archive time stamps, their renewal, legal hold, and deletion by a recorded procedure."""

import base64
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from kepgw.app import archives
from kepgw.app.administration.base import MAX_LISTED, Commands, command
from kepgw.app.administration.finding import find
from kepgw.app.control import Refused
from kepgw.app.ledgers import seq_of
from kepgw.errors import StoreError
from kepgw.interop.archiving import Archivist
from kepgw.store import accounts, archive, headsinks, retention
from kepgw.store.archiverecords import archive_record
from kepgw.store.engine import Tx
from kepgw.store.ids import moment

STEP: Final = 20.0  # seconds of one call; the command line calls again until all is done
MOST_TEXT: Final = 500  # characters of a name or a reason
DELETED_TOGETHER: Final = 200  # messages of one call


class ArchiveCommands(Commands):
    """The archive and what is kept in it."""

    @command
    async def archive_status(self) -> dict[str, Any]:
        """How far the archive is, what it rests on, and where tree heads are sent."""
        found, last, sinks = await self._store.read(
            lambda tx: (archive.progress(tx), archive.last_stamped(tx), headsinks.states(tx))
        )
        return {
            "last": None if last is None else moment(last).isoformat(),
            "volumes": found.volumes,
            "groups": found.covered,
            "waiting": found.waiting,
            "newest_seq": found.newest_seq,
            "protected_until": None if found.expires is None else moment(found.expires).isoformat(),
            "sinks": [
                {"name": each.name, "size": each.size, "changed": moment(each.changed).isoformat(), "error": each.error}
                for each in sinks
            ],
        }

    @command
    async def archive_now(self) -> dict[str, Any]:
        """Archive what is new, for a while; ``more`` says to call again."""
        return asdict(await self._archivist().archive(STEP))

    @command
    async def archive_renew(self, algorithm: str = "", after: int = 0) -> dict[str, Any]:
        """Time-stamp renewal of everything, or with ``algorithm`` hash-tree renewal, for a while.

        ``more`` says to call again with the ``after`` of the answer.
        """
        if not algorithm:
            done = await self._archivist().renew_stamps(force=True)
        elif algorithm in archives.ALGORITHMS:
            done = await self._archivist().renew_trees(algorithm, STEP, after)
        else:
            raise Refused(f"the hash must be one of {', '.join(archives.ALGORITHMS)}")
        if done.stamps:
            await self._store.write(partial(self._audit, act="archive-renewed", subject=algorithm or "time stamps"))
        return asdict(done)

    @command
    async def archive_record(self, evidence: str) -> dict[str, Any]:
        """The evidence record (RFC 4998) of what came with an evidence, named by identifier or number: base64."""

        def work(tx: Tx) -> tuple[int, bytes | None]:
            seq = seq_of(tx, evidence.strip())
            return seq, archive_record(tx, seq)

        seq, record = await self._store.read(work)
        if record is None:
            raise Refused(f"record {seq} has no archive time stamp yet; make one with: kepgw archive now")
        return {"seq": seq, "record": base64.b64encode(record).decode("ascii")}

    @command
    async def archive_hold(self, message: str, reason: str, by: str) -> dict[str, Any]:
        """Hold a message back from deletion."""
        reason, by = _text(reason, "reason"), _text(by, "name")

        def work(tx: Tx) -> dict[str, Any]:
            month, number = find(tx, message)
            if retention.deletion_of(tx, month, number) is not None:
                raise Refused(f"message {number} is deleted already")
            hold = retention.place_hold(tx, month, number, by, reason, self._now())
            self._audit(tx, "hold-placed", str(number), f"{by}: {reason}")
            return {"message": str(number), "hold": hold}

        return await self._store.write(work)

    @command
    async def archive_release(self, message: str, reason: str, by: str) -> dict[str, Any]:
        """Release every hold on a message."""
        reason, by = _text(reason, "reason"), _text(by, "name")

        def work(tx: Tx) -> dict[str, Any]:
            month, number = find(tx, message)
            count = retention.release_holds(tx, month, number, by, reason, self._now())
            if not count:
                raise Refused(f"message {number} is not on hold")
            self._audit(tx, "hold-released", str(number), f"{by}: {reason}")
            return {"message": str(number), "released": count}

        return await self._store.write(work)

    @command
    async def archive_holds(self, released: bool = False) -> list[dict[str, Any]]:
        """The holds in force, or all that there ever were."""
        found = await self._store.read(partial(retention.holds, released=released))
        return [
            {
                "hold": each.id,
                "message": str(each.message),
                "placed": moment(each.placed).isoformat(),
                "placed_by": each.placed_by,
                "reason": each.reason,
                "released": None if each.released is None else moment(each.released).isoformat(),
                "released_by": each.released_by,
                "release_reason": each.release_reason,
            }
            for each in found[:MAX_LISTED]
        ]

    @command
    async def archive_candidates(self, before: str, after: list[int] | None = None) -> dict[str, Any]:
        """A page of the messages whose last event lies before a time (ISO 8601): what goes, and what stays and why."""
        at, years = self._now(), self._config.archive.retention_years
        key = _key(after)
        limit = _time(before)
        page, more = await self._store.read(lambda tx: retention.candidates(tx, limit, at, years, key))
        return {
            "messages": [
                {
                    "month": each.month,
                    "id": str(each.id),
                    "sender": each.sender,
                    "last": moment(each.last).isoformat(),
                    "evidence": each.evidence,
                    "size": each.size,
                    "refusal": each.refusal,
                }
                for each in page
            ],
            "after": more,
        }

    @command
    async def archive_delete(self, before: str, reason: str, by: str, after: list[int] | None = None) -> dict[str, Any]:
        """Delete the messages of such a page that may go, each with a record of the ledger."""
        order = retention.Order(_text(by, "name"), self.actor, _text(reason, "reason"))
        at, years, limit = self._now(), self._config.archive.retention_years, _time(before)
        key = _key(after)
        page, more = await self._store.read(
            lambda tx: retention.candidates(tx, limit, at, years, key, DELETED_TOGETHER)
        )
        deleted, problems = [], []
        for month, messages in _by_month(page):
            taken = await self._store.read(partial(retention.going, month=month, messages=messages))
            for number in messages:
                try:
                    went = await self._store.read(partial(retention.documents, month=month, message=number))
                    deleted.append(await self._store.write(partial(self._delete, month, number, order, went, taken)))
                except (StoreError, Refused) as error:
                    problems.append({"message": str(number), "problem": str(error)})
        return {"deleted": deleted, "problems": problems, "after": more}

    def _delete(
        self,
        month: int,
        number: int,
        order: retention.Order,
        went: Any,
        taken: retention.Going,
        tx: Tx,
    ) -> dict[str, Any]:
        refusal = retention.refusal_of(tx, month, number, self._now(), self._config.archive.retention_years)
        if refusal != "":
            raise Refused(f"message {number} stays: {refusal or 'it is deleted already'}")
        record = retention.delete(tx, month, number, order, went, taken, self._now())
        self._audit(tx, "message-deleted", str(number), f"{order.by}: {order.reason}")
        return {"message": str(number), "record": record.seq, "documents": len(record.documents)}

    def _archivist(self) -> Archivist:
        return self.surroundings.archivist or archives.alone(self._store, self._config, self._now)

    def _audit(self, tx: Tx, act: str, subject: str, detail: str = "") -> None:
        accounts.audit(tx, self._now(), self.actor, act, subject, detail)


def _by_month(page: list[retention.Candidate]) -> Iterator[tuple[int, list[int]]]:
    months: dict[int, list[int]] = {}
    for each in page:
        if not each.refusal:
            months.setdefault(each.month, []).append(each.id)
    yield from months.items()


def _text(value: str, what: str) -> str:
    value = value.strip()
    if not value or len(value) > MOST_TEXT or not value.isprintable():
        raise Refused(f"the {what} must be 1 to {MOST_TEXT} printable characters")
    return value


def _key(after: list[int] | None) -> tuple[int, int]:
    return (after[0], after[1]) if after else (0, 0)


def _time(iso: str) -> datetime:
    try:
        read = datetime.fromisoformat(iso)
    except ValueError as error:
        raise Refused(f"{iso[:40]!r} is not a time of ISO 8601") from error
    if read.tzinfo is None or read.year < 1980:
        raise Refused("the time needs a zone, and a year from 1980")
    return read.astimezone(UTC)
