"""Evidence records (RFC 4998) out of the rows of the archive: made when somebody asks, never stored.

A volume's digests are kept in the order of its groups, and every stamp once; the reduced hash tree of each group
follows from them.
"""

from collections.abc import Iterable
from typing import NamedTuple

from kepgw.errors import StoreError
from kepgw.evidence import ers_der
from kepgw.evidence.hashtree import HashTree, Path, hashed, reduced
from kepgw.store import archive
from kepgw.store.archive import Chain, Stamp, Volume
from kepgw.store.engine import Tx


def archive_record(tx: Tx, seq: int) -> bytes | None:
    """The evidence record (DER) over what came with ledger record ``seq``; None when it has no stamp yet.

    The evidence, the mail that carried it, the dispatch of an evidence 10, the original of a message's first evidence
    are its documents; each can be proved alone. Raises StoreError when the archive is damaged.
    """
    return archive_records(tx, [seq]).get(seq)


def archive_records(tx: Tx, seqs: Iterable[int]) -> dict[int, bytes]:
    """``archive_record`` of several, those that there are; each volume is looked at once."""
    found: dict[int, bytes] = {}
    loaded: VolumeRecords | None = None
    for seq in sorted(seqs):
        volume = archive.volume_of(tx, seq)
        if volume is None or volume.stamp is None:
            continue
        if loaded is None or loaded.volume.id != volume.id:
            loaded = VolumeRecords(tx, volume, Renewals(tx))
        record = loaded.record(seq - volume.first_seq)
        if record is not None:
            found[seq] = record
    return found


class Renewal(NamedTuple):
    """What a token became a part of: the stamp that renewed it, and the unreduced way to that one's root."""

    stamp: Stamp
    way: Path


class Renewals:
    """The stamps of an archive and the trees above them, each looked up once."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._stamps: dict[int, Stamp] = {}
        self._over_tokens: dict[int, tuple[HashTree, list[int]]] = {}
        self._over_roots: dict[int, tuple[HashTree, dict[tuple[int, int], int]]] = {}

    def stamp(self, number: int) -> Stamp:
        """A stamp. Raises StoreError when it is not there."""
        if number not in self._stamps:
            found = archive.stamp_by_id(self._tx, number)
            if found is None:
                raise StoreError(f"archive time stamp {number} is missing")
            self._stamps[number] = found
        return self._stamps[number]

    def tokens_tree(self, stamp: Stamp) -> HashTree:
        """The tree of a stamp that renewed others: over the digests of their tokens (RFC 4998 5.2)."""
        return self._tokens(stamp)[0]

    def _tokens(self, stamp: Stamp) -> tuple[HashTree, list[int]]:
        if stamp.id not in self._over_tokens:
            old = archive.renewed_by(self._tx, stamp.id)
            if not old:
                raise StoreError(f"archive time stamp {stamp.id} renews nothing")
            tree = HashTree([[digest] for _, digest in old], stamp.algorithm)
            self._over_tokens[stamp.id] = tree, [number for number, _ in old]
        return self._over_tokens[stamp.id]

    def roots_tree(self, stamp: Stamp) -> HashTree:
        """The tree of a stamp that begins chains: over the roots of their volumes."""
        return self._roots(stamp)[0]

    def _roots(self, stamp: Stamp) -> tuple[HashTree, dict[tuple[int, int], int]]:
        if stamp.id not in self._over_roots:
            under = archive.roots_under(self._tx, stamp.id)
            if not under or any(each.root is None for each in under):
                raise StoreError(f"no chain begins under archive time stamp {stamp.id}")
            tree = HashTree([[each.root] for each in under if each.root], stamp.algorithm)
            self._over_roots[stamp.id] = tree, {(each.volume, each.chain): at for at, each in enumerate(under)}
        return self._over_roots[stamp.id]

    def above_root(self, chain: Chain) -> tuple[Stamp, Path]:
        """The stamp that begins a chain, and the siblings on the way from the volume's root to that of the stamp."""
        stamp = self.stamp(chain.stamp or 0)
        tree, where = self._roots(stamp)
        place = where.get((chain.volume, chain.chain))
        if place is None:
            raise StoreError(f"volume {chain.volume} is not under its archive time stamp {stamp.id}")
        return stamp, tree.path(place)[1:]

    def after(self, stamp: Stamp, last: int) -> list[Renewal]:
        """The renewals after a stamp up to number ``last``. Raises StoreError when they do not get there."""
        found: list[Renewal] = []
        while stamp.id != last:
            if stamp.next is None or len(found) > ers_der.MOST_STAMPS:
                raise StoreError(f"the renewals of archive time stamp {stamp.id} do not lead to {last}")
            above = self.stamp(stamp.next)
            if above.algorithm != stamp.algorithm:
                raise StoreError(f"archive time stamp {above.id} renews one of another algorithm")
            tree, numbers = self._tokens(above)
            found.append(Renewal(above, tree.path(numbers.index(stamp.id))))
            stamp = above
        return found


class _Loaded(NamedTuple):
    """A stamped chain of a volume, ready to give the stamps of each group."""

    chain: Chain
    tree: HashTree
    numbers: dict[int, int]  # of the groups in the tree, by place
    covered: dict[tuple[int, int], bytes]  # digests by place and ordinal
    first: Stamp
    above: Path
    renewals: list[Renewal]


class VolumeRecords:
    """The records of one volume. Raises StoreError when rows are missing or do not lead to each other."""

    def __init__(self, tx: Tx, volume: Volume, renewals: Renewals) -> None:
        self.volume = volume
        stamped = [each for each in archive.chains(tx, volume.id) if each.stamp is not None]
        if volume.stamp is None or [each.chain for each in stamped] != list(range(len(stamped))) or not stamped:
            raise StoreError(f"volume {volume.id} of the archive has no whole row of chains")
        ends = [each.ends or 0 for each in stamped[1:]] + [volume.stamp]
        self.loaded = [self._load(tx, chain, renewals, end) for chain, end in zip(stamped, ends, strict=True)]

    @staticmethod
    def _load(tx: Tx, chain: Chain, renewals: Renewals, end: int) -> _Loaded:
        made = volume_tree(tx, chain)
        first, above = renewals.above_root(chain)
        return _Loaded(chain, *made, first, above, renewals.after(first, end))

    @property
    def algorithms(self) -> list[str]:
        """The digest algorithms of the chains, in order."""
        return [each.chain.algorithm for each in self.loaded]

    def encoded(self, place: int) -> list[list[bytes]]:
        """The archive time stamps (DER) of a group, chain by chain; chains that do not cover it are left out."""
        found = []
        for each in self.loaded:
            number = each.numbers.get(place)
            if number is None:
                break  # a later chain is over the earlier ones
            algorithm = each.chain.algorithm
            way = each.tree.path(number) + each.above
            first = ers_der.time_stamp(each.first.token, algorithm, reduced(way))
            after = [ers_der.time_stamp(it.stamp.token, algorithm, reduced(it.way)) for it in each.renewals]
            found.append([first, *after])
        return found

    def record(self, place: int) -> bytes | None:
        """The evidence record of a group; None when no chain covers it."""
        stamps = self.encoded(place)
        return ers_der.record(stamps, self.algorithms[: len(stamps)]) if stamps else None


class VolumeTree(NamedTuple):
    """The tree of a chain over a volume's groups, their numbers in it by place, and the digests it is over."""

    tree: HashTree
    numbers: dict[int, int]
    covered: dict[tuple[int, int], bytes]


def volume_tree(tx: Tx, chain: Chain) -> VolumeTree:
    """The hash tree of a chain over the groups of its volume.

    Groups without a document, all deleted or unsound, are not in it; when none is left the tree is over nothing.
    """
    groups: dict[int, list[bytes]] = {}
    covered: dict[tuple[int, int], bytes] = {}
    for place, ordinal, octets in archive.hashes(tx, chain.volume, chain.chain):
        groups.setdefault(place, []).append(octets)
        covered[place, ordinal] = octets
    listed = list(groups.values()) or [[hashed(chain.algorithm, b"")]]
    return VolumeTree(HashTree(listed, chain.algorithm), {place: at for at, place in enumerate(groups)}, covered)
