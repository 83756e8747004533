"""``kepgw evidence export``: the whole case of a message, in pages, and its report."""

import base64
from typing import Any

from kepgw.app import cases, ledgers, reporting
from kepgw.app.administration.base import Commands, command
from kepgw.app.administration.finding import find
from kepgw.app.control import Refused
from kepgw.store import accounts, ledger, messages, retention
from kepgw.store.engine import Tx
from kepgw.trust.material import Material


class CaseCommands(Commands):
    """The case of one message."""

    @command
    async def case_open(self, message: str) -> dict[str, Any]:
        """Begin an export: what the case is, and the size of the tree head that fixes it.

        The ledger is signed first when evidence of the message is newer than the newest head. Raises Refused,
        StampUnavailable, SigningUnavailable.
        """
        sign = self.surroundings.sign_head or ledgers.alone(self._store, self._config)

        def newest(tx: Tx) -> tuple[tuple[int, int], int, int]:
            key = find(tx, message)
            deletion = retention.deletion_of(tx, *key)
            if deletion is not None:
                raise Refused(f"the message was deleted; its proof: kepgw ledger prove DIR --evidence {deletion}")
            head = ledger.newest_head(tx)
            rows = messages.evidence_of(tx, *key)
            return key, rows[-1].seq if rows else 0, head[0] if head else 0

        key, last, size = await self._store.read(newest)
        if last == 0:
            raise Refused("there is no evidence of this message yet; it waits for its signature or time stamp")
        if size < last:
            await sign()
            key, last, size = await self._store.read(newest)

        def look(tx: Tx) -> dict[str, Any]:
            case = cases.load(tx, *key, size)
            found = case.message
            return {
                "provider": self._config.provider.domain,
                "month": found.month,
                "number": str(found.id),
                "records": size,
                "t0": found.t0.isoformat(),
                "exported": self._now().isoformat(),
                "message": {
                    "number": str(found.id),
                    "message_id": found.ua_message_id,
                    "direction": found.direction,
                    "sender": found.sender,
                    "subject": found.subject,
                    "t0": found.t0.isoformat(),
                    "size": found.size,
                    "sha256": found.digest.hex(),
                },
            }

        return await self._store.read(look)

    @command
    async def case_page(self, month: int, number: str, records: int, file: int, offset: int) -> dict[str, Any]:
        """Pieces of the case's files (base64) from ``offset`` of file ``file`` on, and where the next page begins."""

        def work(tx: Tx) -> dict[str, Any]:
            found = cases.page(tx, cases.load(tx, month, int(number), records), file, offset)
            if found is None:
                return {"pieces": [], "more": False}
            pieces, at, next_offset = found
            return {
                "pieces": [
                    {
                        "path": each.path,
                        "kind": each.kind,
                        "about": each.about,
                        "octets": base64.b64encode(octets).decode("ascii"),
                        "ended": ended,
                    }
                    for each, octets, ended in pieces
                ],
                "file": at,
                "offset": next_offset,
                "more": True,
            }

        return await self._store.read(work)

    @command
    async def case_report(self, month: int, number: str, records: int) -> dict[str, Any]:
        """The report (HTML, signed PDF), certificates and revocation of the case; octets as base64."""
        sealer = self.surroundings.sealer or reporting.alone(self._config)
        key = (month, int(number), records)
        pressed, pdf, materials = await reporting.report(self._store, self._config, sealer, key, self._now())

        material = [*(Material("certificate", each) for each in pressed.certificates), *materials]
        note = f"{pressed.short_id}, {records} records"
        await self._store.write(lambda tx: accounts.audit(tx, self._now(), self.actor, "case-exported", number, note))
        return {
            "html": base64.b64encode(pressed.html).decode("ascii"),
            "pdf": base64.b64encode(pdf).decode("ascii"),
            "development": pressed.development,
            "short_id": pressed.short_id,
            "material": [
                {"kind": kind, "octets": base64.b64encode(octets).decode("ascii")}
                for kind, octets in dict.fromkeys(material)
            ],
        }
