"""The keeper of material: whom it finds, what it gathers and when, what it bars and whom the relay desk refuses."""

import shutil
from datetime import timedelta

import pytest
from cryptography import x509
from interop_house import HS90, HS91, SETTINGS, case, original, receipt, sealed

from kepgw.errors import MaterialUnavailable
from kepgw.evidence.codes import KepCode
from kepgw.interop.materials import MaterialKeeper, MaterialSettings
from kepgw.interop.reception import ReceptionCounter
from kepgw.refusals import Refusal
from kepgw.store import signers as evidence
from kepgw.store.material import chain_of, material_for, pairs
from kepgw.trust import devpki
from kepgw.trust.keys import load_key
from kepgw.trust.material import Fetched, Good, Material, Revoked, Unknown, fingerprint, sources, word
from kepgw.trust.paths import load_anchors
from kepgw.trust.signers import TAIL, Recognition
from kepgw.trust.useranchors import UserAnchors

OCTETS = original("ali@hs91.kep.tr", ["ayse@hs90.kep.tr"])
HOUR = timedelta(hours=1)


class Ears:
    """What the keeper bars."""

    def __init__(self):
        self.heard = []

    async def __call__(self, fingerprints):
        self.heard.append(fingerprints)


class Authorities:
    """Answers by certificate; ``down`` answers nobody."""

    def __init__(self, clock):
        self.clock, self.lists, self.down, self.asked = clock, {}, False, []

    async def ask(self, certificate, issuer, lists):
        self.asked.append((self.clock(), fingerprint(certificate)))
        if self.down or issuer not in self.lists:
            raise MaterialUnavailable("nobody there")
        material = Material("crl", self.lists[issuer])
        return Fetched(material, certificate, issuer, word(material, certificate, issuer), "http://a.example/")

    async def close(self):
        pass


@pytest.fixture
def own(identities, tmp_path):
    """A copy of our keys and lists that a test may spoil."""
    folder = tmp_path / "own"
    shutil.copytree(identities.folder / HS90, folder)
    return folder


def keys_of(folder):
    keys = folder / "keys"
    return load_key(keys / "process.key", keys / "process.pem", keys / "intermediate.pem")


def certificate(folder, name):
    return x509.load_pem_x509_certificate((folder / "keys" / f"{name}.pem").read_bytes())


@pytest.fixture
def make(house, identities, own):
    def make(**more):
        settings = MaterialSettings(timedelta(hours=6), timedelta(0))
        ears = Ears()
        folder = UserAnchors(own / "revocation", clock=lambda: house.clock().timestamp())
        keeper = MaterialKeeper(
            house.store, house.peers, [keys_of(own)], identities.anchors(HS90), folder, settings, house.clock, bar=ears,
            **more,
        )  # fmt: skip
        return keeper, ears

    return make


def standing(keeper, der):
    (found,) = [each for each in keeper.standings if each.certificate == der]
    return found


async def test_our_own_chain_with_its_lists(house, make, own):
    keeper, ears = make()
    assert await keeper.look() == 2
    assert await keeper.look() == 0
    key = keys_of(own)
    (root,) = load_anchors([own / "keys" / "root.pem"])
    found = await house.store.read(lambda tx: material_for(tx, key.certificate, house.clock()))
    lists = [(own / "revocation" / f"{name}.crl").read_bytes() for name in ("intermediate", "root")]
    assert found == [
        *(Material("certificate", each) for each in (key.certificate, *key.chain, root)),
        *(Material("crl", each) for each in lists),
    ]
    assert isinstance(standing(keeper, key.certificate).status, Good)
    assert [each.mine for each in keeper.standings[:2]] == [True, True]
    assert ears.heard == []


async def test_peers_and_everyone_who_stamped(house, make, identities, bench):
    """Peers by their cards; time-stamp authorities as they stand in the tokens of evidence and dispatches."""
    keeper, _ = make()
    await keeper.look()
    peer = identities.card(HS91).process_chains[0]
    assert await house.store.read(lambda tx: chain_of(tx, peer[0])) == list(peer)
    tsa, root = load_anchors([identities.folder / HS91 / "keys" / f"{name}.pem" for name in ("tsa", "root")])
    assert await house.store.read(lambda tx: chain_of(tx, tsa)) == []
    house.account("ayse")
    given = case(OCTETS)
    await house.receive(sealed(bench, given, OCTETS), "ayse@hs90.kep.tr")
    await keeper.look()
    assert await house.store.read(lambda tx: chain_of(tx, tsa)) == [tsa, root]
    assert await house.store.read(lambda tx: evidence.unseen(tx, TAIL)) is None  # looked at once only
    assert isinstance(standing(keeper, tsa).status, Unknown)
    assert not standing(keeper, tsa).stale  # names no address: nobody can be asked


def test_who_was_met_before_is_recognised(identities, bench):
    given = case(OCTETS)
    dispatch = sealed(bench, given, OCTETS)
    letters = [receipt(bench, given, KepCode.ILETILDI, identifier=f"{number}@hs91.kep.tr") for number in range(2)]
    from laboratory import evidences

    (_, first), (_, second) = (evidences(each)[0] for each in letters)
    (tsa,) = load_anchors([identities.folder / HS91 / "keys" / "tsa.pem"])
    recognition = Recognition()
    found = recognition.of_evidence(first)
    assert {(each.certificate, each.usage) for each in found} == {
        (bench.keys.keys[0].certificate, "sign"),
        (tsa, "stamp"),
    }
    assert recognition.of_evidence(second) == []
    found = recognition.of_message(dispatch[-TAIL:])
    assert [each.usage for each in found] == ["sign", "stamp"]
    again = sealed(bench, case(OCTETS, subject="Yine"), OCTETS)
    assert recognition.of_message(again[-TAIL:]) == []
    other = receipt(identities.benches[HS90], given, KepCode.ILETILDI)
    assert len(recognition.of_evidence(evidences(other)[0][1])) == 2
    hostile = (
        b"\n" * TAIL,
        b"\r\n" * 40_000 + b"--x--",
        b"<X509Certificate " * 60_000,
        b"<" + b"a" * 900_000,
        b"--" * 40_000,
    )
    for garbage in (b"", b"<a>", b"\r\n\r\nAAAA\r\n--x--\r\n", dispatch[-300:], bytes(500), *hostile):
        assert recognition.of_evidence(garbage) == []
        assert recognition.of_message(garbage) == []


async def test_a_list_that_revokes_us_bars_and_its_successor_lifts_the_bar(house, make, own):
    keeper, ears = make()
    await keeper.look()
    mine, at = keys_of(own), house.clock()
    devpki.revoke(own, certificate(own, "process"), at, x509.ReasonFlags.certificate_hold)
    assert await keeper.refresh() == 1
    assert ears.heard == [frozenset({mine.fingerprint})]
    assert isinstance(standing(keeper, mine.certificate).status, Revoked)
    house.clock.go(hours=1)
    devpki.revoke(own, certificate(own, "process"), house.clock(), restore=True)
    await keeper.refresh()
    assert ears.heard[1:] == [frozenset()]
    house.clock.go(hours=1)
    devpki.revoke(own, certificate(own, "intermediate"), house.clock())  # the authority above us
    await keeper.refresh()
    assert ears.heard[2:] == [frozenset({mine.fingerprint})]


async def test_barred_at_the_start_from_what_is_stored(house, make, own):
    keeper, _ = make()
    devpki.revoke(own, certificate(own, "process"), house.clock())
    await keeper.look()
    shutil.rmtree(own / "revocation")
    again, ears = make()
    await again.start()
    await again.stop()
    assert ears.heard == [frozenset({keys_of(own).fingerprint})]


@pytest.fixture
def addressed(monkeypatch, identities):
    """As if our process certificate named an address."""
    ours = (load_anchors([identities.folder / HS90 / "keys" / "process.pem"])[0],)
    monkeypatch.setattr(
        "kepgw.interop.materials.sources",
        lambda der: sources(der)._replace(crl=("http://a.example/",) if der in ours else ()),
    )
    return ours[0]


def edition(folder, at):
    """The intermediate's list, signed at a time, as it goes to whom it asks, and not into the folder."""
    devpki.revoke(folder, certificate(folder, "process"), at, restore=True)
    octets = (folder / "revocation" / "intermediate.crl").read_bytes()
    shutil.rmtree(folder / "revocation")
    return octets


async def test_asked_again_in_time_and_backed_off(house, make, own, addressed):
    authorities = Authorities(house.clock)
    keeper, _ = make(fetcher=authorities)
    shutil.move(own / "revocation", own / "away")
    await keeper.look()
    issuer = keys_of(own).chain[0]
    authorities.down = True
    waits = []
    for _ in range(12):
        before = len(authorities.asked)
        assert await keeper.ask() == 0
        assert len(authorities.asked) == before + 1
        (question,) = keeper._questions.values()
        waits.append((question.due - house.clock()).total_seconds())
        house.clock.time = question.due - timedelta(seconds=1)
        assert await keeper.ask() == 0
        assert len(authorities.asked) == before + 1  # not before its time
        house.clock.time = question.due
    assert waits == [*(60 * 2**each for each in range(9)), 21600, 21600, 21600]
    assert "nobody there" in question.problem
    await keeper._judge(house.clock())
    assert standing(keeper, addressed).stale
    authorities.down = False
    authorities.lists[issuer] = edition(own, house.clock())
    assert await keeper.ask() == 1
    assert not standing(keeper, addressed).stale
    assert question.due - house.clock() == 6 * HOUR
    house.clock.go(hours=6)
    assert await keeper.ask() == 0  # the same again is not kept again
    authorities.lists[issuer] = edition(own, house.clock())
    assert await keeper.refresh() == 1
    # a new process does not ask before it is due
    again, _ = make(fetcher=authorities)
    count = len(authorities.asked)
    await again.ask()
    assert len(authorities.asked) == count
    house.clock.go(hours=6)
    await again.ask()
    assert len(authorities.asked) == count + 1


async def test_evidence_gets_what_was_said_after_it(house, make, own, addressed):
    authorities = Authorities(house.clock)
    keeper, _ = make(fetcher=authorities)
    await keeper.look()
    signed = house.clock() + HOUR
    house.clock.go(hours=7)
    octets = edition(own, house.clock())
    authorities.lists[keys_of(own).chain[0]] = octets
    await keeper.ask()
    found = await house.store.read(lambda tx: material_for(tx, addressed, signed))
    assert Material("crl", octets) in found


async def test_a_peer_with_a_revoked_certificate(house, make, identities, bench, own):
    """Refused from the time of the revocation on; what was stamped before it holds. Its authority counts too."""
    shutil.copy(identities.folder / HS91 / "keys" / "intermediate.pem", own / "revocation" / "peer.pem")
    keeper, _ = make()
    house.reception = ReceptionCounter(
        house.store,
        house.peers,
        identities.anchors(HS90),
        SETTINGS,
        house.clock,
        lambda: None,
        house.profiles,
        keeper.revoked,
    )
    house.account("ayse")
    before = sealed(bench, case(OCTETS), OCTETS)
    other = original("ali@hs91.kep.tr", ["ayse@hs90.kep.tr"], number=2)
    peer = own.parent / "peer"
    shutil.copytree(identities.folder / HS91, peer)
    await keeper.look()

    async def revoked(name, at):
        devpki.revoke(peer, certificate(peer, name), at)
        for each in ("root", "intermediate"):
            shutil.copy(peer / "revocation" / f"{each}.crl", own / "revocation" / f"peer-{each}.crl")
        await keeper.refresh()

    await revoked("process", house.clock() + timedelta(minutes=1))
    assert await house.receive(before, "ayse@hs90.kep.tr")  # revoked after the stamp
    given = case(other, ua_message_id="<2@client>")
    late = sealed(bench, given, other)
    await revoked("process", house.clock() - HOUR)
    with pytest.raises(Refusal) as caught:
        await house.receive(late, "ayse@hs90.kep.tr")
    assert (caught.value.key, caught.value.rule.reason) == ("envelope-revoked", "UserCertExpiredOrRevoked")
    with pytest.raises(Refusal, match="envelope-revoked"):
        await house.receive(receipt(bench, given, KepCode.ILETILDI), "kep@hs90.kep.tr")


async def test_a_time_stamp_authority_that_was_revoked(house, make, identities, bench, own):
    keeper, _ = make()
    house.reception = ReceptionCounter(
        house.store,
        house.peers,
        identities.anchors(HS90),
        SETTINGS,
        house.clock,
        lambda: None,
        house.profiles,
        keeper.revoked,
    )
    house.account("ayse")
    await house.receive(sealed(bench, case(OCTETS), OCTETS), "ayse@hs90.kep.tr")
    peer = own.parent / "peer"
    shutil.copytree(identities.folder / HS91, peer)
    devpki.revoke(peer, certificate(peer, "tsa"), house.clock() - HOUR)
    shutil.copy(peer / "revocation" / "root.crl", own / "revocation" / "peer-root.crl")
    await keeper.refresh()
    other = original("ali@hs91.kep.tr", ["ayse@hs90.kep.tr"], number=2)
    with pytest.raises(Refusal, match="envelope-revoked"):
        await house.receive(sealed(bench, case(other, ua_message_id="<2@client>"), other), "ayse@hs90.kep.tr")


async def test_a_new_peer_is_looked_at_at_once(house, make, identities):
    keeper, _ = make()
    await house.know("hs92.kep.tr")
    await keeper.look()
    leaf = identities.card("hs92.kep.tr").process_chains[0][0]
    assert leaf in [pair[0] for pair in await house.store.read(lambda tx: pairs(tx, house.clock()))]
