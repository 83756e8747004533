"""Making the report of a case: its octets brought together, pressed in a process of its own, signed by the workshop."""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

from kepgw.app import cases
from kepgw.app.administration.messages import ledger_entry, timeline_of
from kepgw.app.cases import Case
from kepgw.app.config import Config
from kepgw.app.report.gather import Material, Record
from kepgw.app.report.press import Press, Pressed
from kepgw.errors import FormatError, SignatureInvalid
from kepgw.evidence import xades
from kepgw.interop.card import read_card
from kepgw.interop.peers import all_cards
from kepgw.interop.processes import Processes
from kepgw.store.engine import Store, Tx
from kepgw.store.material import material_for
from kepgw.store.octets import ContentRef, Span, cut, read_blob, read_spans, spans_of
from kepgw.trust import cms, tokens
from kepgw.trust.keys import load_certificates
from kepgw.trust.material import Material as Kept
from kepgw.trust.pades import complete
from kepgw.trust.paths import load_anchors

PIECE: Final = 4 * 1024 * 1024  # octets that one look into the store brings


class Sealer(Protocol):
    """Signs reports (kepgw.interop.workshop)."""

    async def report_digest(self) -> str:
        """The hashlib name of the digest that is signed. Raises SigningUnavailable."""

    async def sign_report(self, digest: bytes) -> bytes:
        """A DER ContentInfo over that digest, stamped. Raises SigningUnavailable or StampUnavailable."""


async def report(
    store: Store, config: Config, sealer: Sealer, key: tuple[int, int, int], made: datetime
) -> tuple[Pressed, bytes, tuple[Kept, ...]]:
    """The report of the case ``key`` (month, number, size of the head), its PDF signed, and what verifies it later.

    Raises StoreError, SigningUnavailable, StampUnavailable.
    """
    digest = await sealer.report_digest()
    with tempfile.TemporaryDirectory(prefix="report-", dir=config.directory) as folder:
        material = await _material(store, config, key, made, Path(folder))
        press = Processes(1, Press, None)
        try:
            await press.start()
            pressed: Pressed = await press.run("press", material, digest)
        finally:
            await press.close()
    signature = await sealer.sign_report(pressed.pdf.digest)
    return pressed, complete(pressed.pdf, signature), material.materials


def alone(config: Config) -> Sealer:
    """Who signs reports where no provider runs: this process, with keys that are loaded now."""
    from kepgw.app.wiring import tools_of  # noqa: PLC0415  (only a command on a stopped provider needs it)
    from kepgw.interop.workshop import Bench  # noqa: PLC0415

    bench = Bench(tools_of(config))

    class Workshop:
        async def report_digest(self) -> str:
            return bench.report_digest()

        async def sign_report(self, digest: bytes) -> bytes:
            return await asyncio.to_thread(bench.sign_report, digest)

    return Workshop()


async def _material(store: Store, config: Config, key: tuple[int, int, int], made: datetime, folder: Path) -> Material:
    def look(tx: Tx) -> tuple[Case, dict[str, Any], tuple[Record, ...], list[tuple[str, list[Span]]], list[str]]:
        case = cases.load(tx, *key)
        large = [("", cases.original_spans(tx, case))]
        large += [
            (each.remmd_id, spans_of(tx, ContentRef(case.month, each.content)))
            for each in case.dispatches
            if each.content is not None
        ]
        timeline = timeline_of(tx, case.message, case.evidence, made)
        return case, timeline, tuple(_records(tx, case)), large, all_cards(tx)

    case, timeline, records, large, cards = await store.read(look)
    files: list[tuple[str, Path]] = []
    for number, (name, spans) in enumerate(large):
        path = folder / f"{number}.eml"
        await _write(store, case.month, spans, path)
        files.append((name, path))
    signers = await asyncio.to_thread(_signers, records, case)
    materials = await store.read(
        lambda tx: tuple(dict.fromkeys(each for signer in signers for each in material_for(tx, *signer)))
    )
    anchors, intermediates = await asyncio.to_thread(_trusted, config, cards)
    return Material(
        domain=config.provider.domain,
        name=config.provider.name,
        service_address=config.provider.service_address,
        development=config.provider.development,
        timeline=timeline,
        facts=case.message.facts,
        records=records,
        head=case.head,
        original=files[0][1] if large[0][1] else None,
        dispatches=tuple(files[1:]),
        anchors=anchors,
        intermediates=intermediates,
        materials=materials,
        made=made,
    )


def _records(tx: Tx, case: Case) -> Sequence[Record]:
    found = []
    for row in case.evidence:
        leaf, path = cases.inclusion(tx, case, row)
        xml = b"".join(read_blob(tx, row.month, row.blob))
        found.append(Record(ledger_entry(tx, row), xml, leaf, tuple(path)))
    return found


def _signers(records: Sequence[Record], case: Case) -> list[tuple[bytes, datetime]]:
    """Who signed or stamped something of the case, each with the first and the last time of doing so."""
    times: dict[bytes, list[datetime]] = {}
    for record in records:
        with suppress(FormatError, SignatureInvalid):  # the report judges and tells
            reading = xades.read(record.xml)
            at = datetime.fromisoformat(record.entry["time"])
            times.setdefault(reading.signer, []).append(at)
            for token in reading.tokens:
                stamp = tokens.read_token(token)
                times.setdefault(stamp.cms.signer, []).append(stamp.time)
    with suppress(FormatError, SignatureInvalid):
        times.setdefault(cms.read(case.head.signature).signer, []).append(case.head.read().time)
    return [(signer, at) for signer, found in times.items() for at in sorted({min(found), max(found)})]


async def _write(store: Store, month: int, spans: Sequence[Span], path: Path) -> None:
    """Bring a message into a file, a piece a look: no reader of the store is kept for long."""
    total = sum(span.length for span in spans)
    with path.open("wb") as file:
        for offset in range(0, total, PIECE):
            part = cut(spans, offset, PIECE)
            octets = await store.read(lambda tx, part=part: b"".join(read_spans(tx, month, part)))  # type: ignore[misc]
            await asyncio.to_thread(file.write, octets)


def _trusted(config: Config, cards: Sequence[str]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """What this provider trusts, its peers included: anchors and intermediates (DER)."""
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    anchors = list(load_anchors(config.trust.anchors))
    intermediates: list[bytes] = []
    for text in cards:
        card = read_card(text)
        anchors += card.roots
        intermediates += [each for chain in card.process_chains for each in chain[1:-1]]
    for path in config.keys.process_certificates:
        intermediates += [each.public_bytes(Encoding.DER) for each in load_certificates(path)]
    return tuple(dict.fromkeys(anchors)), tuple(dict.fromkeys(intermediates))
