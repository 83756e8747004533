"""Material: each thing once, the right thing for a time, and no more than is sensible."""

from datetime import UTC, datetime, timedelta

import pytest
from nes import Eshs

from kepgw.store import material
from kepgw.store.material import chain_of, keep_chain, keep_words, material_for, pairs, statuses
from kepgw.trust.material import Fetched, Good, Material, Revoked, Unknown, word

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(scope="module")
def root():
    return Eshs("Kök", at=NOW - 9 * DAY)


@pytest.fixture(scope="module")
def middle(root):
    return Eshs("Ara", above=root, at=NOW - 8 * DAY)


@pytest.fixture(scope="module")
def leaf(middle):
    return middle.issue(begins=NOW - 7 * DAY)


@pytest.fixture
def chain(root, middle, leaf):
    return leaf.der(), middle.der(), root.der()


def fetched(kind, octets, certificate, issuer):
    given = Material(kind, octets)
    return Fetched(given, certificate, issuer, word(given, certificate, issuer), "folder")


def kept(store, chain, *words, distance=timedelta(0)):
    store.write_now(lambda tx: keep_chain(tx, chain, NOW))
    return store.write_now(lambda tx: keep_words(tx, words, NOW, distance))


def found(store, certificate, at):
    return store.read_now(lambda tx: material_for(tx, certificate, at))


def test_the_whole_set_for_one_signer_at_one_time(store, root, middle, leaf, chain):
    above = fetched("crl", root.crl(at=NOW - 2 * HOUR), middle.der(), root.der())
    early = fetched("crl", middle.crl(at=NOW - 2 * DAY), *chain[:2])
    late = fetched("ocsp", middle.response(leaf, at=NOW + HOUR), *chain[:2])
    assert kept(store, chain, above, early, late) == 3
    assert kept(store, chain, above, early, late) == 0  # each thing once
    certificates = [Material("certificate", each) for each in chain]
    # said after the moment where there is one, else the last before it that still held
    assert found(store, leaf.der(), NOW) == [*certificates, late.material, above.material]
    assert found(store, leaf.der(), NOW - 3 * DAY) == [*certificates, early.material, above.material]
    assert found(store, leaf.der(), NOW + 2 * HOUR) == [*certificates, late.material, above.material]
    assert found(store, leaf.der(), NOW + 9 * DAY) == certificates
    assert found(store, middle.issue().der(), NOW) == []
    assert store.read_now(lambda tx: chain_of(tx, chain[1])) == list(chain[1:])


def test_a_revocation_is_the_proof(store, root, middle, leaf, chain):
    good = fetched("crl", middle.crl(at=NOW - HOUR), *chain[:2])
    revoked = fetched("crl", middle.crl(leaf, at=NOW, when=NOW - timedelta(minutes=5)), *chain[:2])
    kept(store, chain, good, revoked)
    pair = chain[:2]
    assert store.read_now(lambda tx: statuses(tx, [pair], NOW)) == [Revoked(NOW - timedelta(minutes=5), "")]
    assert revoked.material in found(store, leaf.der(), NOW)
    (before,) = store.read_now(lambda tx: statuses(tx, [pair], NOW - timedelta(minutes=10)))
    assert isinstance(before, Good)
    assert store.read_now(lambda tx: statuses(tx, [chain[1:]], NOW)) == [Unknown()]


def test_editions_that_follow_close_on_each_other_are_left_out_unless_they_say_otherwise(store, middle, leaf, chain):
    def edition(minutes, *revoked):
        return fetched("crl", middle.crl(*revoked, at=NOW + timedelta(minutes=minutes)), *chain[:2])

    assert kept(store, chain, edition(0), distance=HOUR) == 1
    assert kept(store, chain, edition(20), distance=HOUR) == 0
    assert kept(store, chain, edition(30, leaf), distance=HOUR) == 1
    assert kept(store, chain, edition(40, leaf), distance=HOUR) == 0
    assert kept(store, chain, edition(91, leaf), distance=HOUR) == 1


def test_an_authority_without_end(store, root, middle, chain, monkeypatch):
    monkeypatch.setattr(material, "MOST_BELOW", 3)
    for _ in range(5):
        kept(store, (middle.issue().der(), *chain[1:]))
    assert len(store.read_now(lambda tx: pairs(tx, NOW))) == 3 + 1


def test_a_certificate_whose_issuer_is_learnt_later(store, chain):
    kept(store, chain[:1])
    assert store.read_now(lambda tx: chain_of(tx, chain[0])) == [chain[0]]
    kept(store, chain)
    assert store.read_now(lambda tx: chain_of(tx, chain[0])) == list(chain)
