"""What an administrator can ask of the ledger: its newest signed head, and proofs from it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from kepgw.app.config import Config
from kepgw.app.control import Refused
from kepgw.errors import FormatError, StoreError
from kepgw.evidence import ledger as documents
from kepgw.evidence.ledger import Head
from kepgw.interop.heads import HeadKeeper, HeadSettings
from kepgw.store import ledger
from kepgw.store.engine import Store, Tx

SignNow = Callable[[], Awaitable[int]]


async def head(store: Store, sign: SignNow, *, fresh: bool) -> dict[str, Any]:
    """The file of the newest head in ``head``, and how many records are newer; ``fresh`` has the whole tree signed."""
    if fresh:
        await sign()

    def work(tx: Tx) -> dict[str, Any]:
        size, time, found = _newest(tx)
        newer = ledger.tree(tx).size - size
        return {"size": size, "time": time.isoformat(), "newer": newer, "head": documents.write_head(found).decode()}

    return await store.read(work)


async def inclusion(store: Store, evidence: str) -> dict[str, Any]:
    """The file in ``proof`` that shows an evidence, named by identifier or number, to be under the newest head."""

    def work(tx: Tx) -> dict[str, Any]:
        seq = seq_of(tx, evidence.strip())
        size, _, found = _newest(tx)
        if seq > size:
            raise Refused(
                f"evidence {seq} is newer than the newest tree head, of {size} records; sign one with:"
                " kepgw ledger head --fresh"
            )
        (row,) = ledger.records(tx, seq - 1, seq)
        if row.record is None or row.record.leaf() != ledger.node(tx, 0, seq - 1):
            raise StoreError(f"evidence {seq} is not what was recorded; run kepgw ledger verify")
        path = ledger.inclusion(tx, seq, size)
        return {"seq": seq, "proof": documents.write_inclusion(row.record.octets(), seq - 1, path, found).decode()}

    return await store.read(work)


async def consistency(store: Store, old: str) -> dict[str, Any]:
    """The file in ``proof`` that shows the newest head to continue an older one, given as its file."""
    before = documents.read_head(old.encode("utf-8", "replace"))
    said = before.read()

    def work(tx: Tx) -> dict[str, Any]:
        size, _, found = _newest(tx)
        if said.size > size:
            raise Refused(f"that head is over {said.size} records, the newest one here over {size}")
        if said.size == 0 or ledger.root_at(tx, said.size) != said.root:
            raise Refused("the ledger does not continue that head: one of them was falsified; run kepgw ledger verify")
        path = ledger.consistency(tx, said.size, size)
        return {"from": said.size, "to": size, "proof": documents.write_consistency(before, found, path).decode()}

    return await store.read(work)


def alone(store: Store, config: Config) -> SignNow:
    """How a head is signed where no provider runs: in this process."""
    from kepgw.app.wiring import tools_of  # noqa: PLC0415  (only a command on a stopped provider needs it)
    from kepgw.interop.workshop import Bench  # noqa: PLC0415

    class Workshop:
        async def head(self, size: int, root: bytes) -> Head:
            """Sign and stamp with keys that are loaded now."""
            return await asyncio.to_thread(lambda: Bench(tools_of(config)).head(size, root))

    return HeadKeeper(store, Workshop(), HeadSettings(), lambda: datetime.now(UTC)).sign_now


def _newest(tx: Tx) -> tuple[int, Any, Head]:
    newest = ledger.newest_head(tx)
    if newest is None:
        raise Refused("no tree head is signed yet; sign one with: kepgw ledger head --fresh")
    try:
        newest[2].read()
    except FormatError as error:
        raise StoreError(f"the newest tree head is broken ({error}); run kepgw ledger verify") from error
    return newest


def seq_of(tx: Tx, name: str) -> int:
    """The number of the record that an administrator means by identifier or number. Raises Refused."""
    if name.isascii() and name.isdigit() and len(name) < 16:
        rows = [(int(name), "")] if 0 < int(name) <= ledger.tree(tx).size else []
    else:
        rows = ledger.seq_of(tx, name)
    if not rows:
        raise Refused(f"no evidence is known by {name[:200]!r}; give its identifier or its number")
    if len(rows) > 1:
        raise Refused(
            "several evidence have this identifier; name one by its number: "
            + ", ".join(f"{seq} ({domain})" for seq, domain in rows)
        )
    return rows[0][0]
