"""The desk for peers: opens what they send, judges it, holds it against who may say what, and takes it durably.

Identity of a peer is the signer of the envelope, matched to its card; headers outside the signature prove nothing.
A dispatch or receipt that comes twice is kept once and answered once.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Final

from kepgw.accounts.address import ascii_lower, parse
from kepgw.errors import FormatError, SignatureInvalid, StoreError
from kepgw.evidence.codes import Reason, kep_code
from kepgw.interop.answering import Answer
from kepgw.interop.arrival import Opened
from kepgw.interop.card import Card
from kepgw.interop.consigning import EARLIEST, MAX_AHEAD, Consignment
from kepgw.interop.desk import Relayed
from kepgw.interop.malware import MalwareDesk
from kepgw.interop.peers import Peers, signed_by
from kepgw.interop.profile import Profiles
from kepgw.interop.settings import RelaySettings
from kepgw.interop.trustlists import Word
from kepgw.message.rendering import render
from kepgw.refusals import Refusal
from kepgw.store.accounts import audit
from kepgw.store.engine import Store
from kepgw.trust.digests import digest_span
from kepgw.trust.judge import judge_message
from kepgw.trust.material import Revoked
from kepgw.trust.tls import fingerprint

DIGEST: Final = "sha256"
IDENTIFIER: Final = re.compile(r"[ -~]{1,998}")  # what can be repeated in a header of ours
MAX_REASON: Final = 1000  # characters of a private reason in the audit trail: peers' octets stand in it


class ReceptionCounter:
    """Implements ``desk.RelayDesk``."""

    def __init__(
        self,
        store: Store,
        peers: Peers,
        anchors: Sequence[bytes],
        settings: RelaySettings,
        now: Callable[[], datetime],
        ready: Callable[[], None],
        profiles: Profiles,
        revoked: Callable[[Iterable[bytes], datetime], Revoked | None] = lambda _certificates, _at: None,
        malware: MalwareDesk | None = None,
        listed: Callable[[str, bytes, datetime], Word | None] = lambda _domain, _certificate, _at: None,
    ) -> None:
        self._store = store
        self._peers = peers
        self._anchors = tuple(anchors)  # DER; the peer's own root comes with its card
        self._settings = settings
        self._now = now
        self._profiles = profiles
        self._malware = malware or MalwareDesk(())
        self.ready = ready
        self._listed = listed  # of a peer's domain and certificate (DER) at a time: ListKeeper.word
        self._revoked = revoked  # of certificates (DER) at a time: MaterialKeeper.revoked

    def reconfigure(self, settings: RelaySettings, malware: MalwareDesk) -> None:
        """Take what comes from now on by other settings."""
        self._settings = settings
        self._malware = malware

    async def sender(self, address: str, certificate: bytes | None) -> None:
        """The envelope sender is the service address of a known peer, whose relay shows its certificate if it has one.

        Raises Refusal.
        """
        card = self._peers.by_service_address(address)
        if card.client_certificates and certificate not in card.client_certificates:
            shown = "none" if certificate is None else fingerprint(certificate)
            raise Refusal("client-certificate", f"{card.domain} shows {shown}", peer=card.domain)

    async def recipient(self, sender: str, address: str) -> str:
        """Ours: an address under our domain (whether it exists evidence 20 or 21 will say), or our service address."""
        if ascii_lower(address) == self._peers.own_service_address:
            return self._peers.own_service_address
        canonical = parse(address)
        if canonical.provider != self._peers.own_domain:
            raise Refusal("foreign-recipient", f"{sender} to {canonical}", recipient=str(canonical))
        return str(canonical)

    async def receive(self, relayed: Relayed) -> str:
        """Take a dispatch or receipt. Returns its identifier when it is durable; raises Refusal or StoreError."""
        card = self._peers.by_service_address(relayed.service_address)
        try:
            at = self._now()
            opened = await asyncio.to_thread(_open, relayed, card, self._anchors, at, self._profiles, self._revoked)
            for signer, moment in opened.signers:
                word = self._listed(card.domain, signer, moment)
                if word is not None and not word.granted:  # EN 319 532-4 C.2.3.3.3: after receipt, 2 to 4
                    key = "peer-unknown" if word.granted is None else "envelope-not-listed"
                    raise Refusal(key, f"{card.domain} at {moment}: {word.detail}")
            infected = await self._malware.examine(relayed.spool, card.domain)
            if infected is not None:
                # a dispatch is taken, and answered by evidence 21; a receipt has no answer but the reply
                if opened.original is None:
                    raise infected
                opened = replace(opened, refused=Reason(infected.rule.reason))
            arrival = (self._peers, self._profiles, self._settings, relayed, opened, at)
            work = Consignment(*arrival).dispatch if opened.original else Answer(*arrival).receipt
            return await self._store.write(work)
        except Refusal as refusal:
            what = f"{str(refusal)[:MAX_REASON]} from {relayed.remote}"
            with suppress(StoreError):  # the peer gets its answer all the same; the log has the reason too
                await self._store.write(
                    lambda tx: audit(tx, self._now(), card.domain, "relay-refused", card.domain, what)
                )
            raise


def _open(
    relayed: Relayed,
    card: Card,
    anchors: Sequence[bytes],
    at: datetime,
    profiles: Profiles,
    revoked: Callable[[Iterable[bytes], datetime], Revoked | None],
) -> Opened:
    """Open and judge a message of ``card``. Raises Refusal."""
    view = relayed.spool.view()
    try:
        # its chains are judged when they were stamped: what a certificate signed in time it signed for good
        judgement = judge_message(view, (*anchors, *card.roots))
    except FormatError as error:
        raise Refusal("not-an-envelope", str(error)) from error
    bad = [f"{name} {check.name}: {check.detail}" for name, check in judgement.every() if check.verdict == "bad"]
    if bad:
        raise Refusal("envelope-invalid", "; ".join(bad))
    if len(judgement.evidences) != 1 or judgement.evidences[0].evidence is None:
        raise Refusal("not-an-envelope", f"{len(judgement.evidences)} evidences; one is needed")
    judged = judgement.evidences[0]
    evidence = judged.evidence
    assert evidence is not None
    # every evidence is time-stamped; the envelope of a dispatch where its profile has it so, and a profile that the
    # peer's card does not name excuses from nothing
    stamped = {check.name for _, check in judgement.every() if check.verdict == "ok"}
    profile = profiles.of(evidence)
    wants = judgement.envelope.original is not None and (profile.stamped_dispatch or profile.name not in card.profiles)
    missing = {"evidence-stamp", *(["envelope-stamp"] if wants else [])} - stamped
    if missing:
        raise Refusal("envelope-invalid", f"without a time stamp: {', '.join(sorted(missing))}")
    try:
        signed_by(card, judgement.signer)
        signed_by(card, judged.signer)
    except SignatureInvalid as error:
        raise Refusal("envelope-signer", str(error)) from error
    signers: list[tuple[bytes, datetime]] = []
    # what was stamped before the revocation still holds; of a receipt the stamp is that of its evidence
    for signer, stamp in ((judgement.signer, judgement.stamp), (judged.signer, judged.stamp)):
        assert signer is not None
        signers.append((signer, at if stamp is None else stamp.time))
        if stamp is None:
            continue
        chain = next(each for each in card.process_chains if each[0] == signer)
        if (found := revoked((*chain, *(stamp.chain or (stamp.tsa_certificate,))), stamp.time)) is not None:
            raise Refusal("envelope-revoked", f"a certificate was revoked at {found.at}, stamped {stamp.time}")
    # a dispatch whose envelope bears no stamp may have been signed just now
    if judgement.envelope.original is not None and judgement.stamp is None:
        chain = next(each for each in card.process_chains if each[0] == judgement.signer)
        if (found := revoked(chain, at)) is not None:
            raise Refusal("envelope-revoked", f"a certificate was revoked at {found.at}, no stamp is before")
    code = kep_code(evidence.element, evidence.event)  # of either generation: what it means is the same (ADR 14)
    if evidence.message is None or code is None:
        raise Refusal("not-an-envelope", f"an evidence of type {evidence.element} without message details")
    if not EARLIEST < evidence.event_time < at + MAX_AHEAD:
        raise Refusal("envelope-invalid", f"an event at {evidence.event_time}")
    details = evidence.message
    for told, form in (
        (evidence.identifier, IDENTIFIER),
        (details.remmd_message_id, profiles.of(evidence).message_identifier),
        (details.ua_message_id or "-", IDENTIFIER),
    ):
        if not form.fullmatch(told):
            raise Refusal("not-an-envelope", f"an identifier {told[:80]!r}")
    original = judgement.envelope.original
    digest = details.digest
    if original is not None:
        # without a digest that was compared, evidence 10 says nothing about this original
        if not any(check.name == "digest" and check.verdict == "ok" for check in judged.checks):
            raise Refusal("envelope-invalid", "the evidence has no digest of the original")
        if details.digest_algorithm != DIGEST:  # ours speak of the message by SHA-256
            digest = digest_span(view, original, DIGEST)
    return Opened(card, judged.xml, evidence, details, code, render(view), original, digest, signers=tuple(signers))
