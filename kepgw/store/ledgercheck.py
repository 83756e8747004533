"""The examination of a ledger: every record, node and head against each other, in bounded memory.

The stored leaves are held against the evidence, the stored inner nodes against the leaves, and the signed heads, those
in the store and those that were taken off the machine, against the tree. Whoever changes an evidence has to change
its leaf; whoever changes that has to change every node above; and then no head fits any more.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, NamedTuple

from kepgw.errors import FormatError, SignatureInvalid, StoreError
from kepgw.evidence import merkle
from kepgw.evidence.ledger import Deletion, Head, Record
from kepgw.store import ledger
from kepgw.store.engine import Reader, Tx
from kepgw.trust.heads import JudgedHead

MOST_FINDINGS: Final = 1000  # kept; all are counted
MOST_MOVED: Final = 64  # changed records among which we look for some that only changed places
_LOST: Final = bytes(merkle.HASH_SIZE)  # stands for a leaf that nobody knows


class Finding(NamedTuple):
    """Something that does not hold. ``seq`` is a record's number, a head's size, or 0."""

    kind: str  # changed | missing | reordered | doubled | truncated | outside | tree | head | signature
    seq: int
    text: str


class Exported(NamedTuple):
    """A head from a file; ``name`` tells which."""

    name: str
    head: Head


@dataclass
class Report:
    """What an examination found. ``signed`` is the size of the largest head that holds, stamped at ``time``."""

    size: int = 0
    root: bytes = merkle.EMPTY
    deleted: int = 0  # evidence that is gone by a recorded deletion
    heads: int = 0
    signed: int = 0
    time: datetime | None = None
    findings: list[Finding] = field(default_factory=list)
    count: int = 0  # of all findings

    @property
    def good(self) -> bool:
        """Whether everything holds."""
        return not self.count

    def add(self, kind: str, seq: int, text: str) -> None:
        """Note a finding."""
        self.count += 1
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(kind, seq, text))


def examine(
    reader: Reader,
    judge: Callable[[Head], JudgedHead],
    exported: Sequence[Exported] = (),
    progress: Callable[[int, int], None] = lambda done, size: None,
) -> Report:
    """Examine a whole ledger. ``judge`` raises SignatureInvalid or FormatError for a head that does not hold.

    ``progress`` hears how many of how many records are done. Raises StoreError when the store cannot be read at all.
    """
    return _Examination(reader, judge, exported, progress).run()


class _Examination:
    def __init__(
        self,
        reader: Reader,
        judge: Callable[[Head], JudgedHead],
        exported: Sequence[Exported],
        progress: Callable[[int, int], None],
    ) -> None:
        self._reader = reader
        self._judge = judge
        self._progress = progress
        self._report = Report()
        self._exported = list(self._readable(exported))
        self._changed: list[tuple[str, Record | Deletion]] = []
        self._places: dict[int, bytes] = {}  # leaves that the record at their place does not have
        self._edge: list[bytes] = []

    def run(self) -> Report:
        report = self._report
        stored_edge = self._reader.look(self._begin)
        waiting = self._heads()
        head = next(waiting, None)
        for begin in range(0, report.size, ledger.PAGE):
            end = min(begin + ledger.PAGE, report.size)
            for size in self._leaves(begin, end):
                while head is not None and head[0] <= size:
                    self._hold(*head)
                    head = next(waiting, None)
            self._progress(end, report.size)
        while head is not None:
            self._hold(*head)
            head = next(waiting, None)
        report.root = merkle.edge_root(self._edge)
        if stored_edge != b"".join(self._edge):
            report.add("tree", report.size, "the stored edge of the tree is not that of its leaves")
        self._explain()
        report.findings.sort(key=lambda each: each.seq)
        return report

    def _begin(self, tx: Tx) -> bytes:
        """How large everything is, on one snapshot; what comes later is not examined. Returns the stored edge."""
        report = self._report
        if tx.row("SELECT 1 FROM sqlite_master WHERE name = 'deletion'") is None:
            raise StoreError("this store was made by an older version: let this version of kepgw open it once")
        row = tx.row("SELECT size, edge FROM ledger_tree WHERE id = 1") or (0, b"")
        report.size, edge = max(int(row[0]), 0), ledger.octets_of(row[1])
        rows, given = ledger.counted(tx)
        there = tx.row("SELECT count(*) FROM ledger_node")
        most = rows + (int(there[0]) if there else 0)
        if report.size > most:  # nobody makes us count to a number that was only written down
            report.add("truncated", most, f"the tree claims {report.size} leaves; neither records nor nodes are there")
            report.size = most
        if given != report.size:
            report.add("tree", report.size, f"{given} numbers were given, the tree has {report.size} leaves")
        for seq, identifier in ledger.strays(tx, report.size):
            report.add("outside", seq, f"{identifier} was put in past the ledger")
        if rows < report.size:
            report.add("truncated", rows, f"{rows} records are there of {report.size}")
        more = tx.row("SELECT count(*) FROM ledger_node WHERE id >= ? OR id < 0", merkle.count(report.size))
        if more and more[0]:
            report.add("truncated", report.size, f"the tree was larger: {more[0]} nodes lie beyond its end")
        return edge

    def _leaves(self, begin: int, end: int) -> Iterator[int]:
        """Examine the leaves of a page; gives the size of the tree after each."""
        found, nodes = self._reader.look(
            lambda tx: (ledger.records(tx, begin, end, 2 * ledger.PAGE), ledger.nodes(tx, begin, end))
        )
        by_seq: dict[int, ledger.Found] = {}
        for each in found:
            if each.seq in by_seq:
                self._report.add("doubled", each.seq, f"record {each.seq} is there twice")
            by_seq[each.seq] = each
            self._report.deleted += each.gone
        for index in range(begin, end):
            first = merkle.number(0, index)
            leaf = self._leaf(index + 1, by_seq.get(index + 1), nodes.get(first))
            self._edge, made = merkle.grow(index, self._edge, leaf)
            for level, hashed in enumerate(made[1:], 1):
                if nodes.get(first + level) != hashed:
                    self._report.add("tree", index + 1, f"the node at level {level} above record {index + 1} is wrong")
            yield index + 1

    def _leaf(self, seq: int, found: ledger.Found | None, stored: bytes | None) -> bytes:
        """The leaf that the tree has at a place, after holding the record against it."""
        own, problem = None, ""
        try:
            own = found.record.leaf() if found is not None and found.record is not None else None
        except FormatError as error:
            problem = str(error)
        if found is None:
            self._report.add("missing", seq, f"record {seq} is missing")
            self._open(seq, stored)
        elif found.record is None or own is None:
            self._report.add("changed", seq, f"record {seq} ({found.identifier}): {problem or found.problem}")
        elif stored is not None and stored != own:
            if len(self._changed) < MOST_MOVED:
                self._changed.append((found.identifier, found.record))
                self._open(seq, stored)
            else:
                self._report.add("changed", seq, f"record {seq} ({found.identifier}) is not what was recorded")
        if stored is None:
            self._report.add("tree", seq, f"the leaf of record {seq} is missing")
        return stored or own or _LOST

    def _open(self, seq: int, stored: bytes | None) -> None:
        if stored is not None and len(self._places) < MOST_MOVED:
            self._places[seq] = stored

    def _explain(self) -> None:
        """Tell records that only changed places from those that were changed."""
        for name, each in self._changed:
            seq = each.seq
            places = self._places.items()
            origin = next((place for place, leaf in places if replace(each, seq=place).leaf() == leaf), None)
            if origin is None:
                self._report.add("changed", seq, f"record {seq} ({name}) is not what was recorded")
            else:
                self._report.add("reordered", seq, f"record {seq} ({name}) was recorded as number {origin}")

    # -- heads --------------------------------------------------------------------------------------------------

    def _readable(self, exported: Sequence[Exported]) -> Iterator[tuple[int, str, Head]]:
        for each in exported:
            yield each.head.read().size, each.name, each.head

    def _heads(self) -> Iterator[tuple[int, str, Head]]:
        """All heads by size: those in the store, and the exported ones between them."""
        exported = sorted(self._exported, key=lambda each: each[0])
        after = -1
        while page := self._reader.look(lambda tx, after=after: ledger.heads(tx, after)):  # type: ignore[misc]
            for size, head in page:
                while exported and exported[0][0] <= size:
                    yield exported.pop(0)
                yield size, "", head
                after = size
        yield from exported

    def _hold(self, size: int, name: str, head: Head) -> None:
        """Judge a head by itself, and hold its root against the tree as it is at this size."""
        report = self._report
        report.heads += 1
        title = f"{name or 'head'} of {size} records"
        try:
            judged = self._judge(head)
        except (SignatureInvalid, FormatError) as error:
            report.add("signature", size, f"{title}: {error}")
            return
        said = judged.statement
        when = f"{judged.stamp.time:%Y-%m-%d %H:%M:%SZ}"
        if said.size != size:
            report.add("head", size, f"{title}: it speaks of {said.size}")
        elif size > report.size:
            report.add(
                "truncated", size, f"{title}: {size} were there at {when}, {report.size} are left: the newest are gone"
            )
        elif merkle.edge_root(self._edge) != said.root:
            report.add(
                "head",
                size,
                f"{title}: signed at {when} over other records: one between {report.signed + 1} and {size} was changed,"
                " with the tree above it",
            )
        else:
            report.signed, report.time = size, judged.stamp.time
