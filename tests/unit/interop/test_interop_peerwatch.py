"""A peer that may not be dealt with: at the doors, in the queue, and what evidence says of it."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest
from interop_house import HS90, HS91, HS92, SETTINGS, case, original, receipt, sealed
from list_house import Operator, service

from kepgw.evidence.codes import KepCode, Reason
from kepgw.interop.dropping import give_up_all
from kepgw.interop.peers import Standing, hold_peer, remove_peer
from kepgw.interop.peerwatch import PeerWatch
from kepgw.interop.reception import ReceptionCounter
from kepgw.interop.trustlists import ListKeeper, ListSource
from kepgw.interop.work import order_of
from kepgw.refusals import Refusal
from kepgw.store.tasks import Kind, hold
from kepgw.trust.keys import describe
from kepgw.trust.material import Revoked

DAY = timedelta(days=1)
VELI = "veli@hs91.kep.tr"
AYSE = "ayse@hs90.kep.tr"
OCTETS = original("ali@hs91.kep.tr", [AYSE])


class World:
    """The house with a list that binds hs91, and a watch over its peers."""

    def __init__(self, house, identities, folder):
        self.house, self.identities, self.folder = house, identities, folder
        self.operator = Operator(at=house.clock())
        self.revoked = {}
        self.number = 0
        source = ListSource("ulusal", folder, (self.operator.certificate,), frozenset({HS91}))
        self.lists = ListKeeper(house.store, [source], house.clock)
        self.watch = PeerWatch(house.store, house.peers, self.lists, self._revoked, house.clock)
        house.reception = ReceptionCounter(
            house.store, house.peers, identities.anchors(HS90), SETTINGS, house.clock, lambda: None, house.profiles,
            listed=self.lists.word,
        )  # fmt: skip

    def _revoked(self, certificates, at):
        return next((self.revoked[each] for each in certificates if each in self.revoked), None)

    async def list(self, *states, of=None):
        """Publish an edition that has these states (status, since) of hs91, and look."""
        self.number += 1
        certificate = of or self.identities.card(HS91).signers[0]
        services = [service(certificate, *states)] if states else []
        octets = self.operator.list(self.number, services, self.house.clock())
        (self.folder / "list.xml").write_bytes(octets)
        assert await self.lists.update() == 1
        return await self.watch.look()

    def reasons(self):
        orders = [order_of(task.payload) for task in self.house.tasks(Kind.EVIDENCE)]
        return [(int(each.code), reason.reason, reason.details) for each in orders for reason in each.reasons]


@pytest.fixture
async def world(house, identities, tmp_path):
    folder = tmp_path / "lists"
    folder.mkdir()
    world = World(house, identities, folder)
    assert await world.list(("granted", house.clock() - DAY)) == {}
    house.account("ayse")
    return world


@pytest.fixture
async def waiting(world):
    """Two dispatches wait for hs91, one of them held back by an administrator, and one for hs92."""
    house = world.house
    ali = house.account("ali")
    for number, to in enumerate((VELI, VELI, "can@hs92.kep.tr"), 1):
        await house.submit(ali, original(to=[to], number=number), to)
    await house.work(Kind.ISSUE)
    held = house.tasks(Kind.RELAY)[0]
    await house.store.write(lambda tx: hold(tx, held, "bakım"))
    return world


async def refused(work, key):
    with pytest.raises(Refusal) as caught:
        await work
    assert caught.value.key == key
    assert caught.value.sentence("tr")
    return caught.value.rule


async def test_withdrawn_while_something_waits(waiting, bench):
    house = waiting.house
    coming = sealed(bench, case(OCTETS), OCTETS)
    standing = (await waiting.list(("withdrawn", house.clock()), ("granted", house.clock() - DAY)))[HS91]
    assert (standing.state, standing.key) == ("out", "peer-not-listed")
    assert "number 2: withdrawn since" in standing.detail
    # both dispatches, the held one too; not that of another peer
    assert [each.lane for each in house.tasks(Kind.RELAY)] == [HS92]
    told = "hs91.kep.tr sağlayıcısı güven listesinde geçerli değil."
    assert waiting.reasons() == [(31, Reason.R_REMMD_NOT_IDENTIFIED, told)] * 2
    await house.work(Kind.EVIDENCE)
    assert [house.states(message=number) for number in range(3)].count(["unreached"]) == 2
    # both doors
    rule = await refused(house.reception.sender(f"kep@{HS91}", None), "peer-out")
    assert (rule.code, rule.enhanced) == (550, "5.7.1")
    await refused(house.receive(coming, AYSE), "peer-out")
    with pytest.raises(Refusal, match="recipient-peer-out"):
        house.peers.owner(VELI)
    assert house.peers.route(HS91) is None
    acts = [row[0] for row in house.rows("SELECT act FROM audit WHERE actor = 'peer-watch' ORDER BY id")]
    assert acts == ["peer-out", "dispatches-given-up"]
    # and back
    await waiting.list(("granted", house.clock()))
    assert await house.receive(coming, AYSE)
    assert house.peers.owner(VELI) == HS91


async def test_what_comes_into_the_queue_while_the_peer_goes(world):
    house = world.house
    ali = house.account("ali")
    await house.submit(ali, original(to=[VELI]), VELI)
    await world.list()  # accepted, not yet sealed
    await house.work(Kind.ISSUE)
    assert await house.work(Kind.RELAY, Kind.EVIDENCE) == 2
    assert not house.client.sent
    assert house.codes() == [10, 31]


async def test_receipts_wait(world, bench):
    house = world.house
    assert await house.receive(sealed(bench, case(OCTETS), OCTETS), AYSE)
    await world.list(("withdrawn", house.clock()))
    await house.work(Kind.EVIDENCE, Kind.RECEIPT)
    waiting = house.tasks(Kind.RECEIPT)
    assert len(waiting) == 2
    assert any("no peer at present" in each.last_error for each in waiting)  # the other one waits for it
    assert not house.client.sent
    await world.list(("granted", house.clock()))
    await house.work(Kind.RECEIPT)  # at once, not at its next turn
    assert not house.tasks(Kind.RECEIPT)
    assert len(house.client.sent) == 2


async def test_a_receipt_of_a_withdrawn_peer(waiting, bench):
    house = waiting.house
    await waiting.list(("withdrawn", house.clock()))
    octets = receipt(bench, case(OCTETS), KepCode.ILETILDI)
    await refused(house.receive(octets, f"kep@{HS90}"), "peer-out")


async def test_one_of_two_certificates_is_withdrawn(world, bench, identities):
    """The peer stays, and so does what the withdrawn one signed before."""
    house = world.house
    other = identities.card(HS92).process_chains[0]
    await house.know(HS91, process_chains=(identities.card(HS91).process_chains[0], other))
    early = sealed(bench, case(OCTETS), OCTETS)
    house.clock.go(minutes=1)
    await world.list(("granted", house.clock()), of=other[0])
    assert await world.watch.look() == {}
    assert await house.receive(early, AYSE)  # stamped while the first edition was in force


async def test_what_a_withdrawn_certificate_signs_afterwards(world, bench, identities):
    house = world.house
    other = identities.card(HS92).process_chains[0]
    await house.know(HS91, process_chains=(identities.card(HS91).process_chains[0], other))
    assert await world.list(("granted", house.clock() - DAY), of=other[0]) == {}
    rule = await refused(house.receive(sealed(bench, case(OCTETS), OCTETS), AYSE), "envelope-not-listed")
    assert (rule.code, rule.enhanced) == (554, "5.7.7")


async def test_while_nobody_can_say_everything_waits(waiting, bench):
    house = waiting.house
    waiting.folder.joinpath("list.xml").unlink()
    house.clock.go(days=38)
    standing = (await waiting.watch.look())[HS91]
    assert standing.state == "unknown"
    rule = await refused(house.reception.sender(f"kep@{HS91}", None), "peer-unknown")
    assert (rule.code, rule.enhanced) == (451, "4.7.1")
    assert house.peers.owner(VELI) == HS91
    assert house.peers.route(HS91) is None
    assert house.peers.card(HS91) is not None
    assert len(house.tasks(Kind.RELAY)) == 3


async def test_every_certificate_has_ended(waiting):
    house = waiting.house
    ends = describe(waiting.identities.card(HS91).signers[0]).not_after
    await house.know(HS91)
    waiting.lists.kept["ulusal"].editions.clear()  # expired comes before what a list may say
    house.clock.time = ends
    assert (await waiting.watch.look())[HS91].state == "unknown"
    house.clock.go(seconds=1)
    assert (await waiting.watch.look())[HS91].key == "peer-expired"
    assert waiting.reasons()[0][:2] == (31, Reason.R_REMMD_NOT_IDENTIFIED)


async def test_every_certificate_is_revoked(waiting):
    house = waiting.house
    chain = waiting.identities.card(HS91).process_chains[0]
    waiting.revoked[chain[1]] = Revoked(house.clock(), "keyCompromise")
    assert (await waiting.watch.look())[HS91].key == "peer-revoked"
    assert len(waiting.reasons()) == 2
    waiting.revoked.clear()
    assert await waiting.watch.look() == {}


async def test_a_provider_that_has_ended(waiting):
    house = waiting.house
    house.peers.reconfigure({HS91: SimpleNamespace(name="X", state="ended")})
    await waiting.watch.look()
    assert {each[1] for each in waiting.reasons()} == {Reason.R_REMMD_NOT_IDENTIFIED}
    assert "sonlandırdı" in waiting.reasons()[0][2]
    await refused(house.reception.sender(f"kep@{HS91}", None), "peer-out")


async def test_a_removed_peer_that_was_held(waiting):
    house = waiting.house
    await house.store.write(lambda tx: hold_peer(tx, HS91, "bakım", house.clock()))
    await house.store.write(lambda tx: remove_peer(tx, HS91))
    removed = Standing("out", "peer-removed", "x")
    given = await house.store.write(lambda tx: give_up_all(tx, HS91, removed, HS90, house.clock()))
    assert given == 2


async def test_it_looks_by_itself(world):
    """When a peer changes, when a list does, and when a certificate ends."""
    house, watch = world.house, world.watch
    looked = []
    look = watch.look

    async def listened():
        found = await look()
        looked.append(found)
        heard.set()
        return found

    heard = asyncio.Event()
    watch.look = listened
    await watch.start()

    async def next_look():
        heard.clear()
        async with asyncio.timeout(20):
            await heard.wait()
        return looked[-1]

    assert looked == [{}]
    waiting = asyncio.ensure_future(next_look())
    await asyncio.sleep(0)
    watch.wake()
    assert await waiting == {}
    waiting = asyncio.ensure_future(next_look())
    await asyncio.sleep(0)
    await house.know(HS91)
    assert await waiting == {}
    house.clock.time = describe(world.identities.card(HS91).signers[0]).not_after - timedelta(seconds=2)
    assert 0 < watch._pause() <= 3.0
    await watch.stop()
