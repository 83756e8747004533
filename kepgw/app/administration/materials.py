"""What a provider keeps of certificates and revocation, for whoever verifies."""

import base64
from datetime import datetime

from kepgw.app.administration.base import Commands, command
from kepgw.store.engine import Tx
from kepgw.store.material import material_for
from kepgw.trust.material import Material

MOST_SIGNERS = 64


class MaterialCommands(Commands):
    """Certificates, lists and responses of the store."""

    @command
    async def material(self, signers: list[dict[str, str]]) -> list[dict[str, str]]:
        """What verifying signatures takes: ``signers`` with ``certificate`` (DER, base64) and ``at`` (ISO 8601).

        Each thing once, with its ``kind`` and ``octets`` (base64). At most MOST_SIGNERS are looked at.
        """
        asked = [
            (base64.b64decode(each["certificate"]), datetime.fromisoformat(each["at"]))
            for each in signers[:MOST_SIGNERS]
        ]

        def work(tx: Tx) -> dict[Material, None]:
            return dict.fromkeys(found for each in asked for found in material_for(tx, *each))

        return [
            {"kind": kind, "octets": base64.b64encode(octets).decode("ascii")}
            for kind, octets in await self._store.read(work)
        ]
