"""What an administrator can ask of a provider: one method a command, JSON-able data in and out.

The same methods serve the control socket of a running provider and commands that open a stopped one; the command
line only prints. Whatever changes something leaves a line in the audit trail with the name of who asked.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from kepgw.accounts.address import parse
from kepgw.accounts.passwords import Credentials
from kepgw.app import ledgers
from kepgw.app.cards import check_chain
from kepgw.app.config import Config
from kepgw.app.control import Refused
from kepgw.app.timeline import build, evidence_data, summary, task_data
from kepgw.errors import ConfigurationError
from kepgw.interop.card import MAX_CARD, Card, read_card
from kepgw.interop.peers import add_peer, all_cards, remove_peer
from kepgw.refusals import Refusal
from kepgw.store import accounts, messages, tasks
from kepgw.store.engine import Store, Tx
from kepgw.store.ids import micros, moment, month_of
from kepgw.store.octets import read_blob
from kepgw.trust.keys import describe

MAX_LISTED: Final = 1000  # rows of one list
MAX_NAME: Final = 200  # characters of an account's name
EXPORT_PAGE: Final = 4 * 1024 * 1024  # octets of evidence in one reply

_METHODS: Final = frozenset(
    {
        "account_add",
        "account_list",
        "account_state",
        "account_password",
        "peer_add",
        "peer_list",
        "peer_cards",
        "peer_remove",
        "message_list",
        "message_show",
        "evidence_list",
        "evidence_export",
        "queue_list",
        "queue_retry",
        "store_check",
        "ledger_head",
        "ledger_inclusion",
        "ledger_consistency",
    }
)


class _Key(NamedTuple):
    """A message's primary key."""

    month: int
    id: int


class Admin:
    """The commands over one open store. ``now`` gives aware UTC; ``sign_head`` has the ledger signed by its keeper."""

    def __init__(
        self,
        store: Store,
        config: Config,
        now: Callable[[], datetime] | None = None,
        sign_head: ledgers.SignNow | None = None,
        followed: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._config = config
        self._now = now or (lambda: datetime.now(UTC))
        self._sign_head = sign_head
        self._followed = followed  # waits until a running provider knows its changed peers
        self.actor = "admin"

    async def call(self, method: str, arguments: dict[str, Any], actor: str) -> Any:
        """Do the command ``method`` for ``actor``. Raises Refused, or what the command raises."""
        if method not in _METHODS:
            raise Refused("this provider does not know that command; are command and provider of the same version?")
        acting = Admin(self._store, self._config, self._now, self._sign_head, self._followed)
        acting.actor = actor
        try:
            return await getattr(acting, method)(**arguments)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                raise
            raise Refused(f"{method} does not take these arguments") from error

    async def account_add(self, address: str, name: str, argon2: str, scram_sha256: str) -> dict[str, Any]:
        """Make an account. The password itself never comes here, only what the store keeps of it."""
        canonical = self._own_address(address)
        if canonical == self._config.provider.service_address:
            raise Refused(f"{canonical} is the service address of the provider; it cannot be an account")
        if len(name) > MAX_NAME or not name.isprintable():
            raise Refused(f"the name must be at most {MAX_NAME} printable characters")
        credentials = _credentials(argon2, scram_sha256)
        at = self._now()

        def work(tx: Tx) -> int:
            if accounts.account_by_address(tx, canonical):
                raise Refused(f"{canonical} exists already; an address is never given twice")
            account = accounts.add_account(tx, canonical, name, credentials, at)
            accounts.audit(tx, at, self.actor, "account-added", canonical)
            return account

        await self._store.write(work)
        return {"address": canonical, "name": name, "state": "active"}

    async def account_list(self) -> list[dict[str, Any]]:
        """All accounts by address."""
        found = await self._store.read(accounts.accounts)
        return [{"address": each.address, "name": each.name, "state": each.state} for each in found]

    async def account_state(self, address: str, state: str) -> dict[str, Any]:
        """Disable an account (it still receives) or enable it again."""
        if state not in {"active", "disabled"}:
            raise Refused("the state must be active or disabled")
        canonical = self._own_address(address)

        def work(tx: Tx) -> None:
            if not accounts.set_account_state(tx, canonical, state):
                raise _no_account(canonical)
            accounts.audit(tx, self._now(), self.actor, f"account-{state}", canonical)

        await self._store.write(work)
        return {"address": canonical, "state": state}

    async def account_password(self, login: str, argon2: str, scram_sha256: str) -> dict[str, Any]:
        """Give a login (``address`` or ``address/operator``) a new password."""
        address, slash, operator = login.partition("/")
        canonical = self._own_address(address) + slash + operator
        credentials = _credentials(argon2, scram_sha256)

        def work(tx: Tx) -> None:
            if not accounts.set_password(tx, canonical, credentials):
                raise _no_account(canonical)
            found = accounts.operator_by_login(tx, canonical)
            tx.announce("account", found.account if found else 0)
            accounts.audit(tx, self._now(), self.actor, "password-set", canonical)

        await self._store.write(work)
        return {"login": canonical}

    async def peer_add(self, card: str) -> dict[str, Any]:
        """Take a peer's card in, or replace it by a newer one."""
        if len(card) > MAX_CARD:
            raise ConfigurationError("the card is larger than 256 KiB; ask the peer for a fresh one")
        await asyncio.to_thread(check_chain, read_card(card), self._now())

        def work(tx: Tx) -> Card:
            added = add_peer(tx, card, self._config.provider.domain, self._now())
            print_ = describe(added.process_chain[0]).fingerprint
            accounts.audit(tx, self._now(), self.actor, "peer-added", added.domain, print_)
            return added

        added = await self._store.write(work)
        await self._settle()
        return self._peer(added)

    async def peer_list(self) -> list[dict[str, Any]]:
        """All peers with what their cards pin."""
        return [self._peer(read_card(text)) for text in await self.peer_cards()]

    async def peer_cards(self) -> list[str]:
        """The cards of all peers as they were taken in, TOML."""
        return await self._store.read(all_cards)

    async def peer_remove(self, domain: str) -> dict[str, Any]:
        """Forget a peer. What waits for it goes on waiting until its window ends."""

        def work(tx: Tx) -> None:
            if not remove_peer(tx, domain):
                raise Refused(f"{domain} is not a peer; see kepgw peer list")
            accounts.audit(tx, self._now(), self.actor, "peer-removed", domain)

        await self._store.write(work)
        await self._settle()
        return {"domain": domain}

    async def _settle(self) -> None:
        """Answer when what was changed is in force, not a moment before."""
        if self._followed is not None:
            await self._followed()

    async def message_list(self, limit: int = 50) -> list[dict[str, Any]]:
        """The newest messages first, with the number of recipients in each state."""

        def work(tx: Tx) -> list[dict[str, Any]]:
            page = messages.messages_page(tx, max(1, min(limit, MAX_LISTED)))
            return [summary(each, _states(tx, each.month, each.id)) for each in page]

        return await self._store.read(work)

    async def message_show(self, message: str) -> dict[str, Any]:
        """The timeline of a message, named by its number, its KEP identifier or its Message-ID."""

        def work(tx: Tx) -> dict[str, Any]:
            key = _find(tx, message)
            found = messages.message_by_id(tx, *key)
            if found is None:
                raise _no_message(message)
            dispatches = [
                (each, messages.recipients_of(tx, key.month, each.id)) for each in messages.dispatches_of(tx, *key)
            ]
            waiting = _tasks_of(tx, key)
            return build(found, dispatches, messages.evidence_of(tx, *key), waiting, self._now())

        return await self._store.read(work)

    async def evidence_list(self, message: str) -> list[dict[str, Any]]:
        """Every evidence of a message, in the order of the ledger."""

        def work(tx: Tx) -> list[dict[str, Any]]:
            return [_ledger_entry(tx, row) for row in messages.evidence_of(tx, *_find(tx, message))]

        return await self._store.read(work)

    async def evidence_export(self, message: str, after: int = 0) -> dict[str, Any]:
        """The evidence of a message with a number above ``after``: a page of them, octets as base64 in ``xml``.

        ``more`` says whether another page follows.
        """

        def work(tx: Tx) -> dict[str, Any]:
            key = _find(tx, message)
            page: list[dict[str, Any]] = []
            size = 0
            for row in messages.evidence_of(tx, *key):
                if row.seq <= after:
                    continue
                if size >= EXPORT_PAGE:
                    return {"message": str(key.id), "evidence": page, "more": True}
                xml = b"".join(read_blob(tx, row.month, row.blob))  # the ledger's octets, untouched
                size += len(xml)
                page.append(_ledger_entry(tx, row) | {"xml": base64.b64encode(xml).decode("ascii")})
            return {"message": str(key.id), "evidence": page, "more": False}

        return await self._store.read(work)

    async def queue_list(self) -> list[dict[str, Any]]:
        """What waits, by due time."""
        at = self._now()
        found = await self._store.read(lambda tx: tasks.queue(tx, MAX_LISTED))
        return [task_data(task, at) for task in found]

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

    async def ledger_head(self, fresh: bool = False) -> dict[str, Any]:
        """The newest signed tree head as a file; ``fresh`` has the whole ledger signed first."""
        sign = self._sign_head or ledgers.alone(self._store, self._config)
        return await ledgers.head(self._store, sign, fresh=fresh)

    async def ledger_inclusion(self, evidence: str) -> dict[str, Any]:
        """The proof, as a file, that an evidence is in the ledger under its newest head."""
        return await ledgers.inclusion(self._store, evidence)

    async def ledger_consistency(self, old: str) -> dict[str, Any]:
        """The proof, as a file, that the newest head continues an older one."""
        return await ledgers.consistency(self._store, old)

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

    def _own_address(self, address: str) -> str:
        try:
            parsed = parse(address)
        except Refusal as refusal:
            raise Refused(refusal.sentence()) from refusal
        if parsed.provider != self._config.provider.domain:
            raise Refused(
                f"{parsed} belongs to {parsed.provider}, not to this provider, {self._config.provider.domain}"
            )
        return str(parsed)

    def _peer(self, card: Card) -> dict[str, Any]:
        process, tls = describe(card.process_chain[0], self._now()), describe(card.tls_certificate, self._now())
        return {
            "domain": card.domain,
            "name": card.name,
            "domains": list(card.domains),
            "service_address": card.service_address,
            "relay": f"{card.relay_host}:{card.relay_port}",
            "profile": card.profile,
            "process_certificate": process.fingerprint,
            "process_days_left": process.days_left,
            "tls_certificate": tls.fingerprint,
            "tls_days_left": tls.days_left,
        }


def _credentials(argon2: str, scram_sha256: str) -> Credentials:
    if not argon2.startswith("$argon2id$") or not scram_sha256.startswith("SCRAM-SHA-256$"):
        raise Refused("the password was not hashed as this provider needs it; use kepgw of the same version")
    return Credentials(argon2, scram_sha256)


def _no_account(login: str) -> Refused:
    return Refused(f"there is no account {login}; see kepgw account list")


def _no_message(name: str) -> Refused:
    return Refused(f"no message is known by {name[:200]!r}; give its number, KEP identifier or Message-ID")


def _states(tx: Tx, month: int, message: int) -> dict[str, int]:
    rows = tx.rows(
        "SELECT r.state, count(*) FROM recipient r JOIN dispatch d ON d.month = r.month AND d.id = r.dispatch"
        " WHERE d.month = ? AND d.message = ? GROUP BY r.state ORDER BY r.state",
        month,
        message,
    )
    return dict(rows)


def _tasks_of(tx: Tx, key: _Key) -> list[tasks.Task]:
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


def _ledger_entry(tx: Tx, row: messages.EvidenceRow) -> dict[str, Any]:
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


def _find(tx: Tx, name: str) -> _Key:
    """The message that ``name`` means. Raises Refused when there is none, or more than one."""
    name = name.strip()
    keys: list[tuple[Any, ...]] = []
    if name.isascii() and name.isdigit() and len(name) < 20:
        number = int(name)
        # a number begins with its time, so the month need not be searched for
        month = month_of(moment((number >> 20) * 1000))
        keys = tx.rows("SELECT month, id FROM message WHERE month = ? AND id = ?", month, number) or tx.rows(
            "SELECT month, id FROM message WHERE id = ? LIMIT 2", number
        )
    if not keys:
        key = messages.dispatch_by_remmd(tx, name)
        if key is not None:
            keys = tx.rows("SELECT month, message FROM dispatch WHERE month = ? AND id = ?", *key)
    if not keys:
        keys = tx.rows("SELECT DISTINCT month, message FROM dispatch WHERE remmd_id = ? LIMIT 2", name)
    if not keys:
        bare = name.strip("<>")
        keys = tx.rows("SELECT month, id FROM message WHERE ua_message_id IN (?, ?) LIMIT 10", bare, f"<{bare}>")
    if not keys:
        raise _no_message(name)
    if len(keys) > 1:
        numbers = ", ".join(str(key[1]) for key in keys)
        raise Refused(f"several messages have this identifier; name one by its number: {numbers}")
    return _Key(*keys[0])
