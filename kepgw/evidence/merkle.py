"""The append-only Merkle tree of RFC 6962: hashing, growing leaf by leaf, proofs and their verification.

A tree is a sequence of leaf hashes. Its perfect subtrees never change once they are complete; they are its *nodes*,
each named by (level, index) and numbered in the order in which they come to be, so that a store only ever appends.
The *edge* is the hashes of the perfect subtrees that the tree consists of now, the largest first: enough to go on.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from kepgw.errors import SignatureInvalid, Sub

HASH_SIZE: Final = 32  # octets of SHA-256
EMPTY: Final = hashlib.sha256().digest()  # RFC 6962 2.1: the hash of an empty list
LONGEST_PROOF: Final = 128  # hashes; a tree of 2**63 leaves needs no more

Nodes = Callable[[int, int], bytes]
"""Gives the hash of the node (level, index); level 0 are the leaves."""


def leaf_hash(record: bytes) -> bytes:
    """The hash of a leaf (RFC 6962 2.1)."""
    return hashlib.sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node (RFC 6962 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def grow(size: int, edge: Sequence[bytes], leaf: bytes) -> tuple[list[bytes], list[bytes]]:
    """Append a leaf hash to a tree of ``size`` leaves. Returns the new edge, and the nodes that came to be.

    The first of the nodes is the leaf itself, each further one the parent of the one before; the first has the number
    ``number(0, size)`` and the others follow it.
    """
    left = list(edge)
    made = [leaf]
    while size & 1:  # a subtree of this size waits for its right half
        made.append(node_hash(left.pop(), made[-1]))
        size >>= 1
    left.append(made[-1])
    return left, made


def edge_root(edge: Sequence[bytes]) -> bytes:
    """The root of the tree with this edge: the smaller subtrees are joined first (RFC 6962 2.1)."""
    if not edge:
        return EMPTY
    root = edge[-1]
    for subtree in reversed(edge[:-1]):
        root = node_hash(subtree, root)
    return root


def count(size: int) -> int:
    """How many nodes a tree of ``size`` leaves has."""
    return 2 * size - size.bit_count()


def number(level: int, index: int) -> int:
    """The number of a node, from 0, in the order in which nodes come to be: after its last leaf and lower nodes."""
    return count(((index + 1) << level) - 1) + level


def subtrees(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The perfect subtrees that RFC 6962 splits the leaves ``begin``..``end`` into, left to right.

    ``begin`` is a multiple of the largest power of two below the number of leaves, as in every split of 2.1.
    """
    while begin < end:
        level = (end - begin).bit_length() - 1
        yield level, begin >> level
        begin += 1 << level


def root(size: int, nodes: Nodes) -> bytes:
    """The root of the first ``size`` leaves."""
    return _range(0, size, nodes)


def _range(begin: int, end: int, nodes: Nodes) -> bytes:
    return edge_root([nodes(level, index) for level, index in subtrees(begin, end)])


def _split(size: int) -> int:
    """The largest power of two smaller than ``size``, which is at least 2 (RFC 6962 2.1)."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """The audit path of leaf ``index`` in the tree of ``size`` leaves, from the leaf upwards (RFC 6962 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} of {size}")
    begin, end = 0, size
    path: list[bytes] = []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(_range(middle, end, nodes))
            end = middle
        else:
            path.append(_range(begin, middle, nodes))
            begin = middle
    return path[::-1]


def consistency(old: int, new: int, nodes: Nodes) -> list[bytes]:
    """The proof that the tree of ``new`` leaves begins with the tree of ``old`` leaves (RFC 6962 2.1.2)."""
    if not 0 < old <= new:
        raise ValueError(f"from {old} to {new} leaves")
    begin, end = 0, new
    path: list[bytes] = []
    while old < end:
        middle = begin + _split(end - begin)
        if old <= middle:
            path.append(_range(middle, end, nodes))
            end = middle
        else:
            path.append(_range(begin, middle, nodes))
            begin = middle
    if begin:  # the old tree does not end in a subtree that begins with the first leaf: name what is left of it
        path.append(_range(begin, end, nodes))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> None:
    """Raise SignatureInvalid unless ``leaf`` is number ``index`` of the tree of ``size`` leaves with this root.

    RFC 9162 2.1.3.2, the algorithm for the trees of RFC 6962.
    """
    if not 0 <= index < size or len(path) > LONGEST_PROOF:
        raise SignatureInvalid("the place in the ledger cannot be", "inclusion", Sub.FORMAT_FAILURE)
    place, last = index, size - 1
    found = leaf
    for hashed in path:
        if last == 0:
            raise SignatureInvalid("the audit path is too long", "inclusion", Sub.FORMAT_FAILURE)
        if place & 1 or place == last:
            found = node_hash(hashed, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, hashed)
        place, last = place >> 1, last >> 1
    if last or found != expected:
        raise SignatureInvalid(
            "the audit path does not lead to the root of the tree head", "inclusion", Sub.HASH_FAILURE
        )


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Raise SignatureInvalid unless the tree of ``new`` leaves begins with that of ``old`` leaves.

    RFC 9162 2.1.4.2, the algorithm for the trees of RFC 6962.
    """
    if not 0 < old <= new or len(path) > LONGEST_PROOF:
        raise SignatureInvalid("the sizes of the two tree heads cannot be", "consistency", Sub.FORMAT_FAILURE)
    if old == new:
        if path or old_root != new_root:
            raise SignatureInvalid("two tree heads of the same size differ", "consistency", Sub.HASH_FAILURE)
        return
    proof = list(path) if old & (old - 1) else [old_root, *path]
    if not proof:
        raise SignatureInvalid("the consistency proof is empty", "consistency", Sub.FORMAT_FAILURE)
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = proof[0]
    for hashed in proof[1:]:
        if last == 0:
            raise SignatureInvalid("the consistency proof is too long", "consistency", Sub.FORMAT_FAILURE)
        if place & 1 or place == last:
            first, second = node_hash(hashed, first), node_hash(hashed, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, hashed)
        place, last = place >> 1, last >> 1
    if last or first != old_root or second != new_root:
        raise SignatureInvalid("the newer tree is not a continuation of the older one", "consistency", Sub.HASH_FAILURE)
