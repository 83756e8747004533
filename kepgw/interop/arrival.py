"""A message of a peer, opened and judged, on its way into the store: what dispatches and receipts have in common."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from kepgw.evidence.codes import KepCode, Reason
from kepgw.evidence.model import Evidence, MessageDetails
from kepgw.interop.card import Card
from kepgw.interop.desk import Relayed
from kepgw.interop.peers import Peers
from kepgw.interop.profile import Profiles
from kepgw.interop.settings import RelaySettings
from kepgw.interop.work import new_identifier
from kepgw.message.rendering import Rendered
from kepgw.refusals import Refusal
from kepgw.store.engine import Tx
from kepgw.store.ids import new_id
from kepgw.store.messages import Dispatch, EvidenceRow, Message, evidence_by_id, record_evidence
from kepgw.store.octets import ContentRef, Span, put_blob, put_content


@dataclass(frozen=True, slots=True)
class Opened:
    """A message of a peer whose signatures hold and whose signer is the peer. ``xml`` is its one evidence as signed."""

    card: Card
    xml: bytes
    evidence: Evidence
    details: MessageDetails  # of the evidence
    code: KepCode  # of the evidence
    rendered: Rendered
    original: tuple[int, int] | None
    digest: bytes  # SHA-256 of the original; of a receipt: what the evidence says
    signers: tuple[
        tuple[bytes, datetime], ...
    ] = ()  # of envelope and evidence (DER), and when each is shown to have signed
    refused: Reason | None = None  # a dispatch that goes to nobody here: why, for evidence 21


class Arrival:
    """One message of a peer on its way into the store."""

    def __init__(
        self,
        peers: Peers,
        profiles: Profiles,
        settings: RelaySettings,
        relayed: Relayed,
        opened: Opened,
        at: datetime,
    ) -> None:
        self._peers = peers
        self._profiles = profiles
        self._settings = settings
        self._relayed = relayed
        self._opened = opened
        self._at = at

    def _put_octets(self, tx: Tx, month: int) -> ContentRef:
        """Store the message as it came, under our Received line."""
        blob, content = new_id(self._at), ContentRef(month, new_id(self._at))
        size = put_blob(tx, month, blob, self._relayed.spool.chunks())
        put_content(tx, content, [Span(blob, 0, size)], self._opened.rendered)
        return content

    def _keep_evidence(
        self, tx: Tx, message: Message, dispatch: Dispatch, ordinal: int | None, receipt: int | None
    ) -> None:
        evidence = self._opened.evidence
        # an identifier is its issuer's own: what another peer used does not matter, what we used does
        for issuer in (self._opened.card.domain, self._peers.own_domain):
            if evidence_by_id(tx, dispatch.month, issuer, evidence.identifier) is not None:
                raise Refusal("envelope-invalid", f"the identifier {evidence.identifier!r} is that of another evidence")
        blob = new_id(self._at)
        put_blob(tx, dispatch.month, blob, [self._opened.xml])
        record_evidence(
            tx,
            EvidenceRow(
                month=dispatch.month,
                id=evidence.identifier,
                dispatch=dispatch.id,
                message=message.id,
                ordinal=ordinal,
                code=int(self._opened.code),
                issuer=self._opened.card.domain,
                own=False,
                event_time=evidence.event_time,
                reason=str(evidence.reasons[0].reason) if evidence.reasons else "",
                blob=blob,
                receipt=receipt,
            ),
            hashlib.sha256(self._opened.xml).digest(),
        )

    def _new_id(self) -> str:
        return new_identifier("delil", self._peers.own_domain)
