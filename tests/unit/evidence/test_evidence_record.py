"""Evidence records of RFC 4998: made, renewed in both ways, verified, and read by a reader of the test's own."""

import hashlib
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kepgw.errors import FormatError, SignatureInvalid
from kepgw.evidence import ers_der
from kepgw.evidence import evidencerecord as ers
from kepgw.trust import devpki
from kepgw.trust.keys import load_key
from kepgw.trust.paths import load_anchors
from kepgw.trust.stamping import DevelopmentTsa, read_token, verify_token

AT = datetime(2026, 1, 1, tzinfo=UTC)
GROUPS = [[b"one"], [b"two a", b"two b", b"two c"], [b"three"], [b"four", b"five"], [b"six"]]


class World:
    """A TSA whose clock we hold, and a judge that trusts it."""

    def __init__(self, folder):
        devpki.create(folder, "hs90.kep.tr", "kep@hs90.kep.tr", algorithm="p-256", at=AT)
        self.root = folder / "keys" / "root.pem"
        self.now = AT + timedelta(days=1)
        self.tsa = DevelopmentTsa(load_key(folder / "keys/tsa.key", folder / "keys/tsa.pem", purpose="tsa"), self.clock)
        self.anchors = load_anchors([self.root])
        self.stamped = 0

    def clock(self):
        return self.now

    def stamp(self, digest):
        self.now += timedelta(days=1)
        self.stamped += 1
        return self.tsa(digest)

    def judge(self, token, digest):
        return verify_token(token, digest, self.anchors).time


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("tsa"))


def rebuilt(chains, algorithms):
    return ers_der.record([[each.octets for each in chain] for chain in chains], algorithms)


def times(proved):
    return [len(chain) for chain in proved.stamps]


@pytest.mark.parametrize("count", range(1, 6))
@pytest.mark.parametrize("algorithm", ers.ALGORITHMS)
def test_one_stamp_covers_all_groups(world, count, algorithm):
    before = world.stamped
    records = ers.initial(GROUPS[:count], world.stamp, algorithm)
    assert world.stamped == before + 1
    for record, group in zip(records, GROUPS[:count], strict=True):
        proved = ers.verify(record, list(reversed(group)), world.judge)
        assert (times(proved), proved.algorithm, proved.time) == ([1], algorithm, world.now)
        for other in ([b"x"], [*group, b"x"], [group[0] + b"."]):
            with pytest.raises(SignatureInvalid):
                ers.verify(record, other, world.judge)


def test_a_member_is_proved_alone_a_part_of_a_group_is_not_the_group(world):
    record = ers.initial(GROUPS, world.stamp)[1]
    ers.verify(record, [b"two b"], world.judge)
    with pytest.raises(SignatureInvalid, match="not at hand"):
        ers.verify(record, [b"two a", b"two b"], world.judge)
    ers.verify(record, [b"two a", b"two b"], world.judge, complete=False)
    with pytest.raises(SignatureInvalid):
        ers.verify(record, [], world.judge)


def test_the_layout_is_that_of_the_rfc(world):
    """RFC 4998 4.2 by a reader of our own: DER walked tag by tag, hashes joined as the text says."""
    records = ers.initial([[b"1"], [b"2"], [b"3"]], world.stamp)
    h = [hashlib.sha256(each).digest() for each in (b"1", b"2", b"3")]
    pair = hashlib.sha256(b"".join(sorted(h[:2]))).digest()
    root = hashlib.sha256(b"".join(sorted([pair, h[2]]))).digest()
    expected = [[sorted(h[:2]), [h[2]]], [sorted(h[:2]), [h[2]]], [sorted([h[2], pair])]]
    for record, wanted in zip(records, expected, strict=True):
        version, algorithms, sequence = children(record)
        assert version == b"\x02\x01\x01"
        assert algorithms[:2] == b"\x30\x0d"
        (chain,) = children(sequence)
        (stamp,) = children(chain)
        algorithm, tree, token = children(stamp)
        assert (algorithm[0], tree[0], token[0]) == (0xA0, 0xA2, 0x30)
        assert [[body(each) for each in children(level)] for level in children(tree)] == wanted
        assert read_token(token).digest == root


def children(der):
    found, octets = [], body(der)
    while octets:
        whole = len(octets) - len(rest(octets))
        found.append(octets[:whole])
        octets = octets[whole:]
    return found


def header(der):
    if der[1] < 0x80:
        return 2, der[1]
    size = der[1] & 0x7F
    return 2 + size, int.from_bytes(der[2 : 2 + size], "big")


def body(der):
    start, length = header(der)
    return der[start : start + length]


def rest(der):
    start, length = header(der)
    return der[start + length :]


@pytest.mark.oracle
def test_openssl_accepts_every_stamp_of_a_renewed_record(world, tmp_path):
    (record,) = ers.initial([[b"one"]], world.stamp)
    renewed = ers.renew_stamp(record, world.stamp)
    (chain,) = children(children(renewed)[2])
    first, second = (children(each)[-1] for each in children(chain))
    for token, data in ((first, b"one"), (second, first)):
        (tmp_path / "token").write_bytes(token)
        (tmp_path / "data").write_bytes(data)
        done = subprocess.run(
            ["openssl", "ts", "-verify", "-data", "data", "-in", "token", "-token_in", "-CAfile", world.root],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("sort", [False, True])
def test_renewals_keep_what_was_and_verify_whole(world, sort):
    records = ers.initial(GROUPS, world.stamp)
    first = world.now
    once = [ers.renew_stamp(each, world.stamp) for each in records]
    assert children(children(children(once[1])[2])[0])[0] == children(children(children(records[1])[2])[0])[0]
    before = world.stamped
    twice = ers.renew_trees(list(zip(once, GROUPS, strict=True)), world.stamp, "sha512", sort=sort)
    assert world.stamped == before + 1, "one stamp renews the whole archive"
    thrice = [ers.renew_stamp(each, world.stamp) for each in twice]
    last = ers.renew_trees(list(zip(thrice, GROUPS, strict=True)), world.stamp, "sha384", sort=sort)
    for record, group in zip(last, GROUPS, strict=True):
        proved = ers.verify(record, group, world.judge)
        assert times(proved) == [2, 2, 1]
        assert (proved.time, proved.algorithm) == (first, "sha384")
        flat = [each for chain in proved.stamps for each in chain]
        assert flat == sorted(flat)
        with pytest.raises(SignatureInvalid):
            ers.verify(record, [*group[:-1], b"x"], world.judge)


def test_renewed_hash_is_that_of_the_text(world):
    """RFC 4998 5.2 step 4: H(h + ha), in this order, whichever is smaller."""
    for document in (b"a", b"b", b"c", b"d"):
        (record,) = ers.initial([[document]], world.stamp)
        (renewed,) = ers.renew_trees([(record, [document])], world.stamp)
        sequence = children(record)[2]
        h, ha = hashlib.sha512(document).digest(), hashlib.sha512(sequence).digest()
        token = children(children(children(children(renewed)[2])[1])[0])[-1]
        assert read_token(token).digest == hashlib.sha512(h + ha).digest()
        (other,) = ers.renew_trees([(record, [document])], world.stamp, sort=True)
        token = children(children(children(children(other)[2])[1])[0])[-1]
        assert read_token(token).digest == hashlib.sha512(b"".join(sorted((h, ha)))).digest()


def test_every_earlier_stamp_stays_protected(world):
    """A chain or stamp taken out, or put in another order, does not pass."""
    (record,) = ers.initial([[b"one"]], world.stamp)
    renewed = ers.renew_stamp(record, world.stamp)
    (record,) = ers.renew_trees([(renewed, [b"one"])], world.stamp)
    read = ers_der.read(record)
    (one, two), (three,) = read.chains
    algorithms = read.algorithms
    assert ers.verify(rebuilt([[one, two], [three]], algorithms), [b"one"], world.judge)
    for chains in (
        [[one], [three]],
        [[two], [three]],
        [[three]],
        [[two, one], [three]],
        [[three], [one, two]],
        [[one, two, three]],
        [[one, two], [three], [three]],
    ):
        with pytest.raises(SignatureInvalid):
            ers.verify(rebuilt(chains, algorithms), [b"one"], world.judge)
    with pytest.raises(SignatureInvalid, match="among the digest algorithms"):
        ers.verify(rebuilt([[one, two], [three]], ["sha256"]), [b"one"], world.judge)


def test_stamps_go_forward_in_time(world):
    (record,) = ers.initial([[b"one"]], world.stamp)
    world.now -= timedelta(days=30)
    late = ers.renew_stamp(record, world.stamp)
    world.now += timedelta(days=30)
    with pytest.raises(SignatureInvalid, match="order of time"):
        ers.verify(late, [b"one"], world.judge)


def test_what_the_judge_refuses_does_not_pass(world):
    (record,) = ers.initial([[b"one"]], world.stamp)

    def judge(token, digest):
        raise SignatureInvalid("not this authority", "time-stamp")

    with pytest.raises(SignatureInvalid, match="not this authority"):
        ers.verify(record, [b"one"], judge)


def test_equal_groups_and_a_group_that_equals_a_node(world):
    groups = [[b"a"], [b"b"], [b"a", b"b"], [b"a"], [b"c", b"c"], [b"c"]]
    for record, group in zip(ers.initial(groups, world.stamp), groups, strict=True):
        ers.verify(record, group, world.judge)
    for empty in ([], [[]], [[b"a"], []]):
        with pytest.raises(ValueError, match="documents"):
            ers.initial(empty, world.stamp)


@given(st.lists(st.lists(st.binary(max_size=3), min_size=1, max_size=4), min_size=1, max_size=20), st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_archive_is_proved_and_renewed(world, groups, sort):
    records = ers.initial(groups, world.stamp)
    renewed = ers.renew_trees(list(zip(records, groups, strict=True)), world.stamp, sort=sort)
    for record, after, group in zip(records, renewed, groups, strict=True):
        assert times(ers.verify(record, group, world.judge)) == [1]
        assert times(ers.verify(after, group, world.judge)) == [1, 1]


def test_every_altered_octet_is_noticed(world):
    record = ers.initial(GROUPS, world.stamp)[1]
    record = ers.renew_stamp(record, world.stamp)
    passed = []
    for at in range(len(record)):
        spoilt = record[:at] + bytes([record[at] ^ 0x04]) + record[at + 1 :]
        try:
            ers.verify(spoilt, GROUPS[1], world.judge)
        except (SignatureInvalid, FormatError):
            continue
        passed.append(at)
    # the certificates and unsigned parts of the last token are not under a later stamp; nothing else may change
    tokens = [children(each)[-1] for each in children(children(children(record)[2])[0])]
    last = record.index(tokens[1])
    assert all(at >= last for at in passed), passed


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_garbage_is_a_FormatError(octets):
    with pytest.raises((FormatError, SignatureInvalid)):
        ers.verify(octets, [b"x"], lambda token, digest: AT)


def test_bounds(world):
    (record,) = ers.initial([[b"one"]], world.stamp)
    stamp = ers_der.read(record).chains[0][0]
    for chains in ([[stamp] * 300], [[stamp], []], []):
        with pytest.raises(FormatError):
            ers.verify(rebuilt(chains, ["sha256"]), [b"one"], world.judge)
    with pytest.raises(FormatError):
        ers.verify(b"0" * (ers_der.LARGEST + 1), [b"one"], world.judge)
    deep = ers_der.time_stamp(stamp.token, "sha256", [[hashlib.sha256(b"one").digest()]] * 100)
    with pytest.raises(FormatError, match="too many"):
        ers.verify(ers_der.record([[deep]], ["sha256"]), [b"one"], world.judge)
    with pytest.raises(SignatureInvalid, match="refused"):
        ers.initial([[b"one"]], world.stamp, "sha1")


def test_the_tokens_algorithm_serves_where_none_is_named(world):
    (record,) = ers.initial([[b"one"]], world.stamp)
    read = ers_der.read(record)
    bare = ers_der.sequence([read.chains[0][0].token])
    assert ers.verify(ers_der.record([[bare]], ["sha256"]), [b"one"], world.judge).algorithm == "sha256"
