"""The keeper of long-term material: finds out who signs what we keep, and gathers word of their certificates.

In the background only: an evidence is issued with its time stamp (B-T), and what proves later that its certificates
were good then comes with the next look. What is due follows from the store, so a killed process goes on where it was.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from kepgw.errors import ConfigurationError, MaterialUnavailable, SignatureInvalid
from kepgw.interop.peers import Peers
from kepgw.store import material as rows
from kepgw.store import signers as evidence
from kepgw.store.engine import Change, Store, Tx
from kepgw.trust.fetching import SKEW
from kepgw.trust.keys import CertifiedKey, describe
from kepgw.trust.material import Fetched, Good, Material, Revoked, Status, Unknown, fingerprint, sources, word
from kepgw.trust.paths import validate
from kepgw.trust.signers import TAIL, Recognition, Signer
from kepgw.trust.useranchors import Believed, UserAnchors

LOOK: Final = 60.0  # seconds between two looks at the folder and at new evidence
AGAIN: Final = timedelta(hours=1)  # after which what is known is judged anew though nothing came
RETRY_FIRST: Final = timedelta(minutes=1)
AT_ONCE: Final = 4  # questions under way
MOST_PAGES: Final = 50  # of evidence in one look; the rest comes with the next

Pair = tuple[bytes, bytes]
"""A certificate and its issuer's, DER."""

_log = logging.getLogger("kepgw.material")


class Fetcher(Protocol):
    """Whom to ask over the network (kepgw.trust.fetching)."""

    async def ask(self, certificate: bytes, issuer: bytes, lists: dict[str, bytes | str]) -> Fetched:
        """Word of a certificate; ``lists`` remembers those of this round. Raises MaterialUnavailable."""

    async def close(self) -> None:
        """Ask no more."""


@dataclass(frozen=True, slots=True)
class MaterialSettings:
    """``every``: between two questions about a certificate; ``distance``: between two editions that are kept."""

    every: timedelta = timedelta(hours=6)
    distance: timedelta = timedelta(hours=1)


class Standing(NamedTuple):
    """How a certificate that signs what we keep stands; ``problem`` is the last failure to ask, "" when none.

    ``mine``: of our own chain. ``stale``: word of it should be there and is not.
    """

    certificate: bytes
    status: Status
    mine: bool
    stale: bool
    problem: str


@dataclass(slots=True)
class _Question:
    """When a certificate is asked about next, and how often in a row nobody answered."""

    due: datetime
    failures: int = 0
    problem: str = ""


class MaterialKeeper:
    """Gathers until it is stopped. ``bar`` is told the fingerprints (hex) of our certificates that are revoked."""

    def __init__(
        self,
        store: Store,
        peers: Peers,
        keys: Sequence[CertifiedKey],
        anchors: Sequence[bytes],
        folder: UserAnchors,
        settings: MaterialSettings,
        now: Callable[[], datetime],
        *,
        fetcher: Fetcher | None = None,
        bar: Callable[[frozenset[str]], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._peers = peers
        self._keys = tuple(keys)
        self._anchors = tuple(anchors)
        self._folder = folder
        self._settings = settings
        self._now = now
        self._fetcher = fetcher
        self._bar = bar
        self.changed: Callable[[], None] = lambda: None  # hears that who is revoked was judged anew
        self.barred: frozenset[str] = frozenset()
        self.standings: list[Standing] = []
        self._revoked: dict[bytes, Revoked] = {}
        self._recognition = Recognition()
        self._kept: set[tuple[bytes, ...]] = set()
        self._read: tuple[Believed, frozenset[Pair]] | None = None
        self._judged: datetime | None = None
        self._questions: dict[bytes, _Question] = {}
        self._looking = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._changed = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        """Take what store and folder have, bar what is revoked, then begin to gather."""
        await self.look(scan=False)
        self._unsubscribe = self._store.subscribe(self._on_change)
        for step, wake in ((self.look, self._changed), (self.ask, asyncio.Event())):
            self._loops.append(asyncio.create_task(self._run(step, wake), name=f"material-{step.__name__}"))

    async def stop(self) -> None:
        """End; what was under way is asked again after the next start."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        for each in self._loops:
            each.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        if self._fetcher is not None:
            await self._fetcher.close()

    async def refresh(self) -> int:
        """Look and ask now, whatever is due. Returns how many lists and responses are new."""
        self._folder.look_again()
        return await self.look() + await self.ask(everything=True)

    def revoked(self, certificates: Iterable[bytes], at: datetime) -> Revoked | None:
        """The first of ``certificates`` (DER) that is known to be revoked at ``at``, from memory."""
        for each in certificates:
            found = self._revoked.get(fingerprint(each))
            if found is not None and found.at <= at:
                return found
        return None

    async def look(self, *, scan: bool = True) -> int:
        """Look at our keys, the peers, the folder, and new evidence when ``scan``. Returns how many words are new."""
        async with self._looking:
            at = self._now()
            signers, last = await self._new_signers() if scan else ([], None)
            believed = await asyncio.to_thread(self._folder.current)
            chains = await asyncio.to_thread(self._chains, signers, believed, at)
            stored = await self._store.read(lambda tx: rows.pairs(tx, at))
            pairs = frozenset(stored).union(*(itertools.pairwise(each) for each in chains))
            fetched: list[Fetched] = []
            if (believed, pairs) != self._read:
                fetched = await asyncio.to_thread(_from_folder, believed, pairs, at)
            new = await self._keep(chains, fetched, last)
            self._read = (believed, pairs)
            return new

    async def ask(self, *, everything: bool = False) -> int:
        """Ask about every certificate whose time has come, or about all. Returns how many words are new."""
        if self._fetcher is None:
            return 0
        async with self._asking:
            at = self._now()
            pairs = [pair for pair in await self._store.read(lambda tx: rows.pairs(tx, at)) if any(sources(pair[0]))]
            due = [pair for pair in pairs if (await self._question(pair)).due <= at or everything]
            if not due:
                return 0
            lists: dict[str, bytes | str] = {}
            room = asyncio.Semaphore(AT_ONCE)

            async def one(pair: Pair) -> Fetched | None:
                async with room:
                    return await self._ask(pair, lists)

            answers = await asyncio.gather(*(one(pair) for pair in due))
            async with self._looking:
                return await self._keep((), [each for each in answers if each is not None], None)

    def _on_change(self, change: Change) -> None:
        if change.topic == "peer":
            self._changed.set()

    async def _run(self, step: Callable[[], Awaitable[int]], wake: asyncio.Event) -> None:
        wake.set()  # at once, then every so often
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), LOOK)
            wake.clear()
            try:
                await self._peers.followed()
                await step()
            except Exception:  # the keeper never ends by itself
                _log.exception("material cannot be gathered; trying again")

    async def _new_signers(self) -> tuple[list[Signer], int | None]:
        found: dict[Signer, None] = {}
        last: int | None = None
        for _ in range(MOST_PAGES):
            page = await self._store.read(lambda tx, after=last: evidence.unseen(tx, TAIL, after))  # type: ignore[misc]
            if page is None:
                break
            found |= dict.fromkeys(await asyncio.to_thread(self._recognise, page))
            last = page.last
        return list(found), last

    def _recognise(self, page: evidence.Page) -> list[Signer]:
        found = [signer for xml in page.evidence for signer in self._recognition.of_evidence(xml)]
        return found + [signer for tail in page.tails for signer in self._recognition.of_message(tail)]

    def _chains(self, signers: Iterable[Signer], believed: Believed, at: datetime) -> list[tuple[bytes, ...]]:
        """The validated chains of our keys, the peers and ``signers`` that are not kept yet."""
        cards = self._peers.cards()
        roots = (*self._anchors, *dict.fromkeys(root for card in cards for root in card.roots))
        wanted = [Signer(key.certificate, key.chain, "sign") for key in self._keys]
        wanted += [Signer(chain[0], chain[1:], "sign") for card in cards for chain in card.process_chains]
        chains = []
        for signer in (*wanted, *signers):
            others = (*signer.others, *believed.anchors)
            try:
                told = describe(signer.certificate, at)
                moment = min(max(at, told.not_before), told.not_after)  # one that has ended signed in its time
                chain = validate(signer.certificate, others, roots, moment, usage=signer.usage)
            except (SignatureInvalid, ConfigurationError) as error:
                _log.debug("no chain of a signer: %s", error)
                continue
            if chain not in self._kept:
                chains.append(chain)
        return chains

    async def _keep(self, chains: Iterable[tuple[bytes, ...]], fetched: list[Fetched], last: int | None) -> int:
        """Store what is new in one commit, then judge anew where that can change something."""
        chains, at = list(dict.fromkeys(chains)), self._now()

        def work(tx: Tx) -> int:
            for chain in chains:
                rows.keep_chain(tx, chain, at)
            if last is not None:
                evidence.seen(tx, last)
            return rows.keep_words(tx, fetched, at, self._settings.distance)

        new = 0
        if chains or fetched or last is not None:
            new = await self._store.write(work)
        self._kept.update(chains)
        if new or chains or self._judged is None or at - self._judged >= AGAIN:
            await self._judge(at)
        return new

    async def _judge(self, at: datetime) -> None:
        pairs = await self._store.read(lambda tx: rows.pairs(tx, at))
        found = await self._store.read(lambda tx: rows.statuses(tx, pairs, at))
        mine = await self._store.read(
            lambda tx: {key.fingerprint: rows.chain_of(tx, key.certificate) for key in self._keys}
        )
        before = {each.certificate: each for each in self.standings}
        self._revoked = {
            fingerprint(pair[0]): each for pair, each in zip(pairs, found, strict=True) if isinstance(each, Revoked)
        }
        ours = {each for chain in mine.values() for each in chain}
        self.standings = [
            self._standing(pair[0], each, pair[0] in ours) for pair, each in zip(pairs, found, strict=True)
        ]
        for standing in self.standings:
            _tell(standing, before.get(standing.certificate))
        self.standings.sort(key=lambda each: not each.mine)
        barred = frozenset(
            name for name, chain in mine.items() if any(fingerprint(each) in self._revoked for each in chain)
        )
        if barred != self.barred:
            for name in barred - self.barred:
                _log.error("signing-certificate-revoked: sha256=%s nothing is signed with it any more", name)
            for name in self.barred - barred:
                _log.warning("signing-certificate-restored: sha256=%s it may sign again", name)
            if self._bar is not None:
                await self._bar(barred)
            self.barred = barred
        self._judged = at
        self.changed()

    def _standing(self, certificate: bytes, status: Status, mine: bool) -> Standing:
        expected = mine or (self._fetcher is not None and any(sources(certificate)))
        question = self._questions.get(fingerprint(certificate))
        problem = "" if question is None else question.problem
        return Standing(certificate, status, mine, expected and isinstance(status, Unknown), problem)

    async def _question(self, pair: Pair) -> _Question:
        name = fingerprint(pair[0])
        if name not in self._questions:
            before = await self._store.read(lambda tx: rows.asked(tx, *pair))
            due = self._now() if before is None else self._next(*before)
            self._questions[name] = _Question(due)
        return self._questions[name]

    def _next(self, at: datetime, until: datetime) -> datetime:
        """When to ask again after an answer at ``at`` that holds ``until``: before its end, and every so often."""
        return at + min(self._settings.every, max((until - at) * 0.8, RETRY_FIRST))

    async def _ask(self, pair: Pair, lists: dict[str, bytes | str]) -> Fetched | None:
        assert self._fetcher is not None
        question, at = self._questions[fingerprint(pair[0])], self._now()
        try:
            fetched = await self._fetcher.ask(*pair, lists)
        except MaterialUnavailable as error:
            question.failures += 1
            question.problem = str(error)
            question.due = at + min(RETRY_FIRST * 2 ** min(question.failures - 1, 10), self._settings.every)
            _log.warning("revocation-unanswered: %s; again at %s", error, f"{question.due:%Y-%m-%d %H:%M}Z")
            return None
        question.failures, question.problem = 0, ""
        question.due = self._next(at, fetched.word.until)
        return fetched


def _from_folder(believed: Believed, pairs: Iterable[Pair], at: datetime) -> list[Fetched]:
    """What the files of the folder say of the certificates that we know."""
    given = [
        *(Material("crl", each) for each in believed.crls),
        *(Material("ocsp", each) for each in believed.responses),
    ]
    found = []
    for material in given:
        for certificate, issuer in pairs:
            said = word(material, certificate, issuer)
            if said is not None and said.state != "unknown" and said.said <= at + SKEW:
                found.append(Fetched(material, certificate, issuer, said, "folder"))
    return found


def _tell(now: Standing, before: Standing | None) -> None:
    """One line when something about a certificate changed for the worse or back."""
    name = describe(now.certificate).subject
    if isinstance(now.status, Revoked) and not (before and isinstance(before.status, Revoked)):
        _log.error("certificate-revoked: %s since %s, reason %s", name, now.status.at, now.status.reason or "unsaid")
    elif now.stale and not (before and before.stale):
        _log.warning("revocation-unknown: nothing says that %s is not revoked %s", name, now.problem)
    elif before and before.stale and isinstance(now.status, Good):
        _log.info("revocation-known: %s is good until %s", name, now.status.until)
