"""``kepgw queue``: the work that waits."""

from typing import Any

from kepgw.app.administration.base import MAX_LISTED, Commands, command
from kepgw.app.control import Refused
from kepgw.app.timeline import task_data
from kepgw.store import accounts, tasks
from kepgw.store.engine import Tx
from kepgw.store.ids import micros


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
