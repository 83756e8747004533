"""``kepgw queue``: the work that waits."""

from typing import Any, Final

from kepgw.accounts.address import is_provider_domain
from kepgw.app.administration.base import MAX_LISTED, Commands, command
from kepgw.app.control import Refused
from kepgw.app.timeline import task_data
from kepgw.evidence.codes import Reason
from kepgw.interop.dropping import give_up
from kepgw.interop.peers import hold_peer, release_peer
from kepgw.store import accounts, tasks
from kepgw.store.engine import Tx
from kepgw.store.ids import micros
from kepgw.store.tasks import Kind, Task
from kepgw.texts import text

MAX_REASON: Final = 500  # characters


class QueueCommands(Commands):
    """Waiting work, and whether the store is sound."""

    @command
    async def queue_list(self) -> list[dict[str, Any]]:
        """What waits, by due time."""
        at = self._now()
        found = await self._store.read(lambda tx: tasks.queue(tx, MAX_LISTED))
        return [task_data(task, at) for task in found]

    @command
    async def queue_retry(self, task: int | None = None) -> dict[str, Any]:
        """Try waiting work now: all of it, or one task. Windows keep their time."""

        def work(tx: Tx) -> int:
            count = tasks.retry_now(tx, self._now(), task)
            if count:
                accounts.audit(
                    tx, self._now(), self.actor, "queue-retried", "" if task is None else str(task), str(count)
                )
            elif task is not None and not any(each.id == task for each in tasks.queue(tx, MAX_LISTED)):
                raise Refused(f"task {task} is not in the queue; see kepgw queue list")
            return count

        return {"retried": await self._store.write(work)}

    @command
    async def queue_hold(self, reason: str, task: int | None = None, peer: str | None = None) -> dict[str, Any]:
        """Keep a piece of relay work, or everything for a peer, back until it is released. Windows keep their time."""
        _check_reason(reason)
        self._check_peer(peer)

        def work(tx: Tx) -> None:
            if task is not None:
                tasks.hold(tx, _relay_work(tx, task), reason)
            elif peer is not None:
                hold_peer(tx, peer, reason, self._now())
            else:
                raise Refused("name a task of kepgw queue list, or a peer")
            accounts.audit(tx, self._now(), self.actor, "queue-held", str(task or peer), reason)

        await self._store.write(work)
        await self._settle()
        return {"held": str(task or peer)}

    @command
    async def queue_release(self, task: int | None = None, peer: str | None = None) -> dict[str, Any]:
        """Go on with what was held back, now."""
        self._check_peer(peer)

        def work(tx: Tx) -> None:
            if task is not None:
                held = _relay_work(tx, task)
                if not held.held:
                    raise Refused(f"task {task} is not held; see kepgw queue list")
                tasks.release(tx, held, self._now())
            elif peer is not None:
                if not release_peer(tx, peer):
                    raise Refused(f"{peer} is not held")
            else:
                raise Refused("name a task of kepgw queue list, or a peer")
            accounts.audit(tx, self._now(), self.actor, "queue-released", str(task or peer))

        await self._store.write(work)
        await self._settle()
        if peer is not None:  # only now does the carrier know that it may
            await self._store.write(lambda tx: tasks.wake(tx, peer, self._now()))
        return {"released": str(task or peer)}

    @command
    async def queue_drop(self, task: int, reason: str) -> dict[str, Any]:
        """Give a dispatch up: evidence 31, with the reason, for each recipient who still waits at that peer."""
        _check_reason(reason)

        def work(tx: Tx) -> Task:
            found = _relay_work(tx, task)
            if found.kind is not Kind.RELAY:
                raise Refused("an evidence is never dropped; hold it, or remove the peer")
            details = text("reason-dropped", "tr", reason=reason)
            give_up(tx, found, Reason.OTHER, details, self._config.provider.domain, self._now())
            accounts.audit(tx, self._now(), self.actor, "queue-dropped", str(found.message), reason)
            return found

        return {"dropped": task, "message": str((await self._store.write(work)).message)}

    def _check_peer(self, peer: str | None) -> None:
        if peer is not None and not is_provider_domain(peer):
            raise Refused(f"{peer} is no provider's domain; see kepgw peer list")

    async def _settle(self) -> None:
        if self.surroundings.followed is not None:
            await self.surroundings.followed()

    @command
    async def reload(self) -> dict[str, list[str]]:
        """Have a running provider read its configuration again: what changed, and what waits for a restart."""
        if self.surroundings.reload is None:
            raise Refused("no provider runs here; the configuration is read when it starts")
        return await self.surroundings.reload()

    @command
    async def store_check(self) -> dict[str, Any]:
        """Whether the store is sound (SQLite's quick_check), and what the queue owes."""
        at = self._now()

        def work(tx: Tx) -> dict[str, Any]:
            found = [str(row[0]) for row in tx.rows("PRAGMA quick_check(5)")]
            owed = tx.row(
                "SELECT count(*), min(created) FROM task WHERE lane <> ? AND due <= ?", tasks.TIMER, micros(at)
            )
            count, oldest = owed or (0, None)
            failing = tx.row("SELECT last_error FROM task WHERE last_error <> '' ORDER BY due DESC LIMIT 1")
            return {
                "sound": found == ["ok"],
                "findings": [] if found == ["ok"] else found,
                "due": count,
                "signing": tasks.waiting(tx),
                "oldest_seconds": None if oldest is None else max(0, (micros(at) - oldest) // 1_000_000),
                "last_error": failing[0] if failing else "",
            }

        return await self._store.read(work)


def _relay_work(tx: Tx, number: int) -> Task:
    task = tasks.by_id(tx, number)
    if task is None:
        raise Refused(f"task {number} is not in the queue; see kepgw queue list")
    if task.kind not in {Kind.RELAY, Kind.RECEIPT}:
        raise Refused(f"task {number} ({task.kind}) is not for a peer; only such work can be held or dropped")
    return task


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        raise Refused(f"give a reason of at most {MAX_REASON} printable characters; it stands in audit and evidence")
