"""The hash tree of RFC 4998 4.2: one root for many data object groups, and the way from each group up to it.

Groups are sorted sets of digests. Nothing here knows what was hashed, nor when it was stamped.
"""

import hashlib
from collections.abc import Iterable, Sequence

from kepgw.errors import SignatureInvalid, Sub
from kepgw.evidence.ers_der import ALGORITHMS, CHECK

Path = list[list[bytes]]
"""The hashes that stand beside the way upwards, level by level; the first level is the group itself."""


def hashed(algorithm: str, octets: bytes) -> bytes:
    """The digest of octets. Raises SignatureInvalid for an algorithm that is refused."""
    if algorithm not in ALGORITHMS:
        raise SignatureInvalid(f"the digest {algorithm} is refused", CHECK, Sub.CRYPTO_CONSTRAINTS_FAILURE)
    return hashlib.new(algorithm, octets).digest()


def joined(hashes: Iterable[bytes], algorithm: str) -> bytes:
    """One hash for several: itself if it is one, else sorted binary ascending, concatenated, hashed (4.2)."""
    ascending = sorted(hashes)
    return ascending[0] if len(ascending) == 1 else hashed(algorithm, b"".join(ascending))


class HashTree:
    """A binary tree over groups of digests, equal groups once. Costs about two digests a group."""

    def __init__(self, groups: Sequence[Sequence[bytes]], algorithm: str) -> None:
        if not groups or any(not group for group in groups):
            raise ValueError("an archive time stamp needs documents in every group")
        distinct: dict[tuple[bytes, ...], int] = {}
        self._where = [distinct.setdefault(tuple(sorted(set(group))), len(distinct)) for group in groups]
        self._groups = list(distinct)
        # a group of one is its own hash and is not hashed again (4.2 step 3)
        level = [joined(group, algorithm) for group in distinct]
        self._levels = [level]
        while len(level) > 1:
            level = [joined(level[at : at + 2], algorithm) for at in range(0, len(level), 2)]
            self._levels.append(level)
        self.algorithm = algorithm
        self.root = level[0]

    def path(self, number: int) -> Path:
        """The way from group ``number`` to the root."""
        place = self._where[number]
        way = [list(self._groups[place])]
        for level in self._levels:
            if place ^ 1 < len(level):
                way.append([level[place ^ 1]])
            place >>= 1
        return way


def reduced(path: Path) -> Path:
    """The way upwards as 4.2 writes it: a single hash stands in one list with those that have the same father."""
    if len(path[0]) > 1:
        return path
    return [sorted(path[0] + path[1]), *path[2:]] if len(path) > 1 else []
