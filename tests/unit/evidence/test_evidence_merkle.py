"""The Merkle tree against the published vectors of RFC 6962's own implementation, and against the definition."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kepgw.errors import SignatureInvalid
from kepgw.evidence import merkle

# google/certificate-transparency, merkle tree tests
INPUTS = [
    bytes.fromhex(each)
    for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): PATHS[0, 8],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


class Tree:
    """A tree grown leaf by leaf, its nodes in a list by their numbers, as a store keeps them."""

    def __init__(self, records):
        self.edge, self.nodes, self.roots = [], [], [merkle.EMPTY]
        for size, record in enumerate(records):
            self.edge, made = merkle.grow(size, self.edge, merkle.leaf_hash(record))
            assert len(self.nodes) == merkle.number(0, size)
            self.nodes += made
            self.roots.append(merkle.edge_root(self.edge))

    def node(self, level, index):
        return self.nodes[merkle.number(level, index)]


def naive(records):
    """MTH of RFC 6962 2.1, as it is written there."""
    if not records:
        return hashlib.sha256(b"").digest()
    if len(records) == 1:
        return hashlib.sha256(b"\x00" + records[0]).digest()
    k = 1
    while k * 2 < len(records):
        k *= 2
    return hashlib.sha256(b"\x01" + naive(records[:k]) + naive(records[k:])).digest()


def naive_path(m, records):
    """PATH of RFC 6962 2.1.1, as it is written there."""
    if len(records) == 1:
        return []
    k = 1
    while k * 2 < len(records):
        k *= 2
    if m < k:
        return [*naive_path(m, records[:k]), naive(records[k:])]
    return [*naive_path(m - k, records[k:]), naive(records[:k])]


def naive_subproof(m, records, whole):
    """SUBPROOF of RFC 6962 2.1.2, as it is written there."""
    n = len(records)
    if m == n:
        return [] if whole else [naive(records)]
    k = 1
    while k * 2 < n:
        k *= 2
    if m <= k:
        return [*naive_subproof(m, records[:k], whole), naive(records[k:])]
    return [*naive_subproof(m - k, records[k:], False), naive(records[:k])]


def climb(leaf, index, size, path):
    """The root above a leaf, by RFC 6962 2.1.1 read backwards: another way than the one under test."""
    if size == 1:
        assert not path
        return leaf
    k = 1
    while k * 2 < size:
        k *= 2
    *below, top = path
    if index < k:
        return hashlib.sha256(b"\x01" + climb(leaf, index, k, below) + top).digest()
    return hashlib.sha256(b"\x01" + top + climb(leaf, index - k, size - k, below)).digest()


def test_published_roots():
    assert [each.hex() for each in Tree(INPUTS).roots[1:]] == ROOTS
    assert merkle.EMPTY.hex().startswith("e3b0c44298fc1c14")


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_published_audit_paths(index, size):
    path = merkle.inclusion(index, size, Tree(INPUTS).node)
    assert [each.hex() for each in path] == PATHS[index, size]
    merkle.verify_inclusion(merkle.leaf_hash(INPUTS[index]), index, size, path, bytes.fromhex(ROOTS[size - 1]))


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_published_consistency_proofs(old, new):
    path = merkle.consistency(old, new, Tree(INPUTS).node)
    assert [each.hex() for each in path] == CONSISTENCY[old, new]
    merkle.verify_consistency(old, new, bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[new - 1]), path)


def test_every_proof_of_small_trees_is_the_one_of_the_definition():
    records = [str(number).encode() for number in range(40)]
    tree = Tree(records)
    for size in range(1, 41):
        assert tree.roots[size] == naive(records[:size]) == merkle.root(size, tree.node)
        for index in range(size):
            path = merkle.inclusion(index, size, tree.node)
            assert path == naive_path(index, records[:size])
            merkle.verify_inclusion(merkle.leaf_hash(records[index]), index, size, path, tree.roots[size])
        for old in range(1, size + 1):
            proof = merkle.consistency(old, size, tree.node)
            assert proof == naive_subproof(old, records[:size], True)
            merkle.verify_consistency(old, size, tree.roots[old], tree.roots[size], proof)


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=200), st.data())
@settings(max_examples=60, deadline=None)
def test_proofs_hold_and_nothing_else_does(records, data):
    tree, size = Tree(records), len(records)
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    leaf, root = merkle.leaf_hash(records[index]), tree.roots[size]
    path = merkle.inclusion(index, size, tree.node)
    assert len(path) <= size.bit_length()
    assert climb(leaf, index, size, path) == root == naive(records)
    merkle.verify_inclusion(leaf, index, size, path, root)
    proof = merkle.consistency(old, size, tree.node)
    merkle.verify_consistency(old, size, tree.roots[old], root, proof)
    wrong = hashlib.sha256(root).digest()
    for spoilt in ([*path, wrong], [*path[:-1], wrong] if path else [wrong], path[1:] if path else [wrong]):
        with pytest.raises(SignatureInvalid):
            merkle.verify_inclusion(leaf, index, size, spoilt, root)
    with pytest.raises(SignatureInvalid):
        merkle.verify_inclusion(wrong, index, size, path, root)
    with pytest.raises(SignatureInvalid):
        merkle.verify_consistency(old, size, wrong, root, proof)
    with pytest.raises(SignatureInvalid):
        merkle.verify_consistency(old, size, tree.roots[old], wrong, proof)
    with pytest.raises(SignatureInvalid):
        merkle.verify_consistency(old, size, tree.roots[old], root, [*proof, wrong])
    if proof:
        with pytest.raises(SignatureInvalid):
            merkle.verify_consistency(old, size, tree.roots[old], root, proof[:-1])


def test_impossible_places_are_refused():
    leaf = merkle.leaf_hash(b"")
    for index, size in ((-1, 1), (1, 1), (0, 0)):
        with pytest.raises(SignatureInvalid):
            merkle.verify_inclusion(leaf, index, size, [], leaf)
        with pytest.raises(ValueError, match="leaf"):
            merkle.inclusion(index, size, Tree(INPUTS).node)
    for old, new in ((0, 3), (4, 3), (-1, 2)):
        with pytest.raises(SignatureInvalid):
            merkle.verify_consistency(old, new, leaf, leaf, [])
        with pytest.raises(ValueError, match="leaves"):
            merkle.consistency(old, new, Tree(INPUTS).node)
    with pytest.raises(SignatureInvalid):
        merkle.verify_consistency(3, 4, leaf, leaf, [])
    with pytest.raises(SignatureInvalid):
        merkle.verify_inclusion(leaf, 0, 2**200, [leaf] * 200, leaf)


def test_a_leaf_cannot_pose_as_a_node():
    left, right = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)
