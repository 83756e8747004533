"""The examination of the archive: every document against every chain over it, every chain against its time stamps.

The same look serves hash-tree renewal, which must not stamp anew what does not hold any more (RFC 4998 5.2, 5.3).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, Protocol

from kepgw.errors import FormatError, SignatureInvalid, StoreError
from kepgw.evidence import ers_der
from kepgw.evidence.evidencerecord import Judge, renewed
from kepgw.evidence.hashtree import hashed
from kepgw.store import archive
from kepgw.store.archive import HashedDocument, Volume
from kepgw.store.archivedocuments import PAGE_GROUPS, PAGE_OCTETS, Kind, Page, digest, named
from kepgw.store.archiverecords import Renewals, VolumeRecords
from kepgw.store.engine import Reader, Tx

MOST_FINDINGS: Final = 1000  # kept; all are counted


class RecordJudge(Protocol):
    """Judges the stamps of one record after another (kepgw.trust.archivestamps.StampJudge)."""

    def begin(self) -> Judge:
        """A new record."""

    def finish(self) -> object:
        """Its last stamp holds now. Raises SignatureInvalid."""


# -- documents ----------------------------------------------------------------------------------------------------


class Checked(NamedTuple):
    """Groups up to ``end``: digests for a new chain if asked for, what is not sound, how many documents were deleted
    by the recorded procedure.
    """

    page: Page
    documents: int
    deleted: int


def check_page(tx: Tx, records: VolumeRecords, begin: int, algorithm: str = "") -> Checked:
    """Read the documents of some groups and hold them against all chains; hash them for a new one when asked."""
    volume = records.volume
    rows = archive.documents(tx, volume.id, begin, begin + PAGE_GROUPS)
    groups: dict[int, list[HashedDocument]] = {}
    for each in rows:
        groups.setdefault(each.place, []).append(each)
    check = _Groups(tx, records, algorithm)
    end = begin
    while end < min(begin + PAGE_GROUPS, volume.groups) and check.octets < PAGE_OCTETS:
        check.group(end, groups.get(end, []))
        end += 1
    return Checked(Page(end, check.rows, check.problems), check.documents, check.deleted)


class _Groups:
    """One look over some groups."""

    def __init__(self, tx: Tx, records: VolumeRecords, algorithm: str) -> None:
        self._tx = tx
        self._records = records
        self._new = algorithm
        self._wanted = {*records.algorithms, *([algorithm] if algorithm else [])}
        self.rows: list[HashedDocument] = []
        self.problems: list[str] = []
        self.octets = self.documents = self.deleted = 0

    def group(self, place: int, documents: list[HashedDocument]) -> None:
        """Check the documents of a group."""
        if not documents:
            return
        volume = self._records.volume
        seq = volume.first_seq + place if place < volume.records else 0
        stamps = self._records.encoded(place)
        for each in documents:
            self.documents += 1
            name = named(seq, each)
            if not each.hash:
                self.problems.append(f"{name}: it was not sound when it was archived, no stamp covers it")
                continue
            try:
                found = digest(self._tx, each, self._wanted)
            except StoreError as error:
                if seq and self._was_deleted(seq, each):
                    self.deleted += 1
                else:
                    self.problems.append(f"{name}: {error}")
                continue
            self.octets += found.size
            problem = self._against(place, each, found.digests, stamps)
            if problem:
                self.problems.append(f"{name}: {problem}")
            elif self._new:
                value = renewed(found.digests[self._new], ers_der.chains(stamps), self._new)
                self.rows.append(each._replace(hash=value))

    def _against(
        self, place: int, document: HashedDocument, digests: Mapping[str, bytes], stamps: list[list[bytes]]
    ) -> str:
        """Why a document is not what a chain covers; empty when it is."""
        for number, loaded in enumerate(self._records.loaded):
            algorithm = loaded.chain.algorithm
            value = digests[algorithm]
            if number:
                if place not in loaded.numbers:
                    return f"chain {number} does not cover it"
                value = renewed(value, ers_der.chains(stamps[:number]), algorithm)
            if value != loaded.covered.get((place, document.ordinal)):
                return "it is not what was archived" if not number else f"it is not what chain {number} covers"
        return ""

    def _was_deleted(self, seq: int, document: HashedDocument) -> bool:
        row = self._tx.row("SELECT digest FROM deleted_evidence WHERE seq = ?", seq)
        if row is None:
            return False
        first = self._records.algorithms[0]
        return document.kind != Kind.EVIDENCE or first != "sha256" or row[0] == document.hash


# -- stamps -------------------------------------------------------------------------------------------------------


def check_stamps(records: VolumeRecords, renewals: Renewals, judge: RecordJudge) -> None:
    """Hold the trees of a volume against its stamps, and judge these in order.

    Raises StoreError when a tree does not lead to what was stamped, SignatureInvalid or FormatError for a token.
    """
    verdict = judge.begin()
    for loaded in records.loaded:
        if loaded.tree.root != loaded.chain.root:
            raise StoreError(
                f"chain {loaded.chain.chain}: its digests are not those that were stamped: some were changed or removed"
            )
        verdict(loaded.first.token, renewals.roots_tree(loaded.first).root)
        below = loaded.first
        for each in loaded.renewals:
            if hashed(below.algorithm, below.token) != below.hash:
                raise StoreError(f"archive time stamp {below.id} is not the one that {each.stamp.id} renewed")
            verdict(each.stamp.token, renewals.tokens_tree(each.stamp).root)
            below = each.stamp
    judge.finish()


# -- the whole ----------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """What an examination of the archive found. ``expires``: when the first protecting stamp's authority ends."""

    volumes: int = 0
    documents: int = 0
    deleted: int = 0
    waiting: int = 0  # ledger records that no stamp covers yet
    stamps: int = 0
    expires: int | None = None
    findings: list[str] = field(default_factory=list)
    count: int = 0

    @property
    def good(self) -> bool:
        """Whether everything holds."""
        return not self.count

    def add(self, text: str) -> None:
        """Note a finding."""
        self.count += 1
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(text)


def examine(
    reader: Reader, judge: RecordJudge, progress: Callable[[int, int], None] = lambda done, groups: None
) -> Report:
    """Examine every stamped volume. Raises StoreError when the store cannot be read at all."""
    report = Report()

    def begin(tx: Tx) -> int:
        if tx.row("SELECT 1 FROM sqlite_master WHERE name = 'archive_volume'") is None:
            raise StoreError("this store has no archive yet: let this version of kepgw open it once")
        known = archive.progress(tx)
        report.volumes, report.waiting, report.expires = known.volumes, known.waiting, known.expires
        row = tx.row("SELECT count(*) FROM archive_stamp")
        report.stamps = row[0] if row else 0
        return known.covered

    groups = reader.look(begin)
    done = 0
    before = archive.FIRST
    for volume in _volumes(reader):
        begins = (volume.id, volume.first_seq, volume.after_head, volume.after_material)
        if begins != (before.id + 1, before.last_seq + 1, before.last_head, before.last_material):
            report.add(f"volume {volume.id} does not continue volume {before.id}: one between them was removed")
        before = volume
        if volume.stamp is None:
            continue
        for problem in _volume(reader, volume, judge, report):
            report.add(f"volume {volume.id}: {problem}")
        done += volume.groups
        progress(done, groups)
    return report


def _volumes(reader: Reader) -> Iterator[Volume]:
    after = 0
    while page := reader.look(partial(archive.volumes, after=after)):
        yield from page
        after = page[-1].id


def _volume(reader: Reader, volume: Volume, judge: RecordJudge, report: Report) -> Iterator[str]:
    try:
        records = reader.look(lambda tx: judged(tx, volume, judge))
    except (StoreError, SignatureInvalid, FormatError, TypeError, ValueError) as error:
        yield str(error)
        try:
            records = reader.look(lambda tx: VolumeRecords(tx, volume, Renewals(tx)))
        except (StoreError, SignatureInvalid, TypeError, ValueError):
            return
    begin = 0
    while begin < volume.groups:
        checked = reader.look(partial(check_page, records=records, begin=begin))
        report.documents += checked.documents
        report.deleted += checked.deleted
        yield from checked.page.problems
        begin = checked.page.end


def judged(tx: Tx, volume: Volume, judge: RecordJudge) -> VolumeRecords:
    """The records of a volume whose trees and stamps hold. Raises as check_stamps does."""
    renewals = Renewals(tx)
    records = VolumeRecords(tx, volume, renewals)
    check_stamps(records, renewals, judge)
    return records
