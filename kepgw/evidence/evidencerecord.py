"""Evidence records (RFC 4998): archived octets stay provable after keys, certificates and hashes have aged.

One time stamp covers many data objects through a hash tree; each object gets a record of its own with the way from
its hash to the root. Before the stamp ages it is stamped again (time-stamp renewal, 5.2); before the hash does, the
objects are hashed anew together with all earlier stamps (hash-tree renewal, 5.2).

Nothing here reads a clock or asks an authority: ``stamp`` and ``judge`` are given. An object is a data object group of
one or more documents (4.2).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kepgw.errors import SignatureInvalid, Sub
from kepgw.evidence import ers_der
from kepgw.evidence.ers_der import ALGORITHMS, CHECK, ArchiveTimeStamp
from kepgw.evidence.hashtree import HashTree, hashed, joined, reduced

__all__ = ["ALGORITHMS", "Proved", "initial", "renew_stamp", "renew_trees", "renewed", "verify", "verify_digests"]

Stamp = Callable[[bytes], bytes]
"""Takes a digest, gives an RFC 3161 TimeStampToken over it (DER); the digest's length tells the algorithm."""

Judge = Callable[[bytes, bytes], datetime]
"""Takes a token and the digest it must be over; gives its time. Raises SignatureInvalid when it does not hold."""

Chains = Sequence[Sequence[ArchiveTimeStamp]]

Documents = Sequence[bytes]
"""A data object group: the octets of its documents, in any order."""

Digests = Callable[[str], Sequence[bytes]]
"""A data object group whose octets are elsewhere: takes a digest algorithm, gives the digests of its documents."""


@dataclass(frozen=True, slots=True)
class Proved:
    """What a record proves: the group existed at ``time``; ``stamps`` are the times of all stamps, chain by chain."""

    time: datetime
    stamps: tuple[tuple[datetime, ...], ...]
    algorithm: str  # of the last chain: what the proof rests on now


# -- the hash tree (4.2) ------------------------------------------------------------------------------------------


def initial(groups: Sequence[Documents], stamp: Stamp, algorithm: str = "sha256") -> list[bytes]:
    """An evidence record (DER) for each group, all under one time stamp (RFC 4998 4.2). Raises what ``stamp`` does."""
    hashes = [[hashed(algorithm, each) for each in group] for group in groups]
    return [ers_der.record([[each]], [algorithm]) for each in _archive_time_stamps(hashes, stamp, algorithm)]


def _archive_time_stamps(groups: Sequence[Sequence[bytes]], stamp: Stamp, algorithm: str) -> list[bytes]:
    """The ArchiveTimeStamp of each group of hashes: one token over the root, and the reduced tree to each."""
    tree = HashTree(groups, algorithm)
    token = stamp(tree.root)
    return [ers_der.time_stamp(token, algorithm, reduced(tree.path(number))) for number in range(len(groups))]


# -- renewal (5.2) ------------------------------------------------------------------------------------------------


def renew_stamp(record: bytes, stamp: Stamp) -> bytes:
    """Time-stamp renewal: the last token is stamped again, by the same hash algorithm, in the same chain.

    Do it before the last token's certificate or signature algorithm ages. Raises FormatError, and what ``stamp`` does.
    """
    read = ers_der.read(record)
    last = read.chains[-1][-1]
    again = stamp(hashed(last.algorithm, last.token))
    encoded = _encoded(read.chains)
    encoded[-1].append(ers_der.time_stamp(again, last.algorithm))
    return ers_der.record(encoded, read.algorithms, read.crypto_infos)


def renew_trees(
    records: Sequence[tuple[bytes, Documents]], stamp: Stamp, algorithm: str = "sha512", *, sort: bool = False
) -> list[bytes]:
    """Hash-tree renewal: everything hashed anew with ``algorithm``, under one new stamp that begins a new chain.

    Each record comes with the documents of its group. For a document with hash h and ha, the hash of all earlier
    stamps (the DER of the ArchiveTimeStampSequence), the new hash is H(h + ha): the text of 5.2 step 4. ``sort`` makes
    the other reading, figure 4 of the RFC: the two "binary sorted and concatenated".
    """
    read = [ers_der.read(record) for record, _ in records]
    hashes = [
        [
            renewed(hashed(algorithm, each), ers_der.chains(_encoded(old.chains)), algorithm, sort=sort)
            for each in documents
        ]
        for old, (_, documents) in zip(read, records, strict=True)
    ]
    made = _archive_time_stamps(hashes, stamp, algorithm)
    return [
        ers_der.record([*_encoded(old.chains), [new]], [*old.algorithms, algorithm], old.crypto_infos)
        for old, new in zip(read, made, strict=True)
    ]


def _encoded(chains: Chains) -> list[list[bytes]]:
    """The stamps as they were encoded: not an octet of what was stamped may change."""
    return [[each.octets for each in chain] for chain in chains]


def renewed(digest: bytes, sequence: bytes, algorithm: str, *, sort: bool = False) -> bytes:
    """The hash of a document in a new chain (5.2 step 4): ``digest`` of it, and the DER of all earlier chains."""
    pair = [digest, hashed(algorithm, sequence)]
    return hashed(algorithm, b"".join(sorted(pair) if sort else pair))


# -- verification (4.3, 5.3) ---------------------------------------------------------------------------------------


def verify(record: bytes, documents: Documents, judge: Judge, *, complete: bool = True) -> Proved:
    """``verify_digests`` for documents that are at hand."""
    return verify_digests(
        record, lambda algorithm: [hashed(algorithm, each) for each in documents], judge, complete=complete
    )


def verify_digests(record: bytes, digests: Digests, judge: Judge, *, complete: bool = True) -> Proved:
    """Verify all chains of a record over the documents of its group (RFC 4998 5.3).

    ``judge`` is asked for every token with the digest that it must be over, in the order of the stamps; judging each
    at the time of the next one, and the last one now, is its business (kepgw.trust.archivestamps). With ``complete``
    a group of several has no further ones (4.3). Both readings of hash-tree renewal pass, each within one chain.
    Raises FormatError or SignatureInvalid.
    """
    read = ers_der.read(record)
    if not digests(read.chains[0][0].algorithm):
        raise SignatureInvalid("a record proves nothing without documents", CHECK, Sub.SIGNED_DATA_NOT_FOUND)
    times: list[tuple[datetime, ...]] = []
    before: datetime | None = None
    for number, chain in enumerate(read.chains):
        algorithm = chain[0].algorithm
        if algorithm not in read.algorithms:
            raise SignatureInvalid(f"{algorithm} is not among the digest algorithms of the record", CHECK)
        root = _first(chain[0], read.chains[:number], digests(algorithm), complete=complete)
        stamps: list[datetime] = []
        for at, each in enumerate(chain):
            if each.algorithm != algorithm:
                raise SignatureInvalid("a chain with two hash algorithms", CHECK, Sub.FORMAT_FAILURE)  # 5.1
            if at:  # renewals of many records may share a tree
                root = _root(each, [hashed(algorithm, chain[at - 1].token)], complete=False)
            time = judge(each.token, root)
            if before is not None and time < before:
                raise SignatureInvalid(
                    "the stamps are not in the order of time", CHECK, Sub.TIMESTAMP_ORDER_FAILURE
                )  # 5.3
            before = time
            stamps.append(time)
        times.append(tuple(stamps))
    return Proved(times[0][0], tuple(times), read.chains[-1][0].algorithm)


def _first(stamp: ArchiveTimeStamp, earlier: Chains, digests: Sequence[bytes], *, complete: bool) -> bytes:
    """The root above the first stamp of a chain: over the documents, and what was stamped before them."""
    algorithm = stamp.algorithm
    if not earlier:
        return _root(stamp, digests, complete=complete)
    sequence = ers_der.chains(_encoded(earlier))
    try:
        return _root(stamp, [renewed(each, sequence, algorithm) for each in digests], complete=complete)
    except SignatureInvalid as problem:
        try:
            other = [renewed(each, sequence, algorithm, sort=True) for each in digests]
            return _root(stamp, other, complete=complete)
        except SignatureInvalid:
            raise problem from None


def _root(stamp: ArchiveTimeStamp, hashes: Sequence[bytes], *, complete: bool) -> bytes:
    """Climb the reduced hash tree (4.3). Raises SignatureInvalid when the hashes are not where they must be."""
    wanted = set(hashes)
    found = b""
    if not stamp.tree:
        if len(wanted) != 1:
            raise SignatureInvalid("several documents, yet no hash tree over them", CHECK, Sub.FORMAT_FAILURE)
        (found,) = wanted
    size = hashlib.new(stamp.algorithm).digest_size
    for level, listed in enumerate(stamp.tree):
        if not listed or any(len(each) != size for each in listed):
            raise SignatureInvalid("a hash tree with hashes of another algorithm", CHECK, Sub.FORMAT_FAILURE)
        if level == 0:
            if not wanted <= set(listed):
                raise SignatureInvalid("a document is not what was archived", CHECK, Sub.HASH_FAILURE)
            # one document alone cannot tell its group's members from its neighbours in the tree (4.3)
            if complete and len(wanted) > 1 and set(listed) != wanted:
                raise SignatureInvalid("the group has documents that are not at hand", CHECK)
            found = joined(listed, stamp.algorithm)
        else:
            found = joined([*listed, found], stamp.algorithm)
    if found != stamp.imprint:
        raise SignatureInvalid("the hash tree does not lead to what was stamped", CHECK, Sub.HASH_FAILURE)
    return found
