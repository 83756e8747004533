"""The keeper of trusted lists: what it takes and refuses, and what it answers, by a clock that we hold."""

from datetime import timedelta

import pytest
from interop_house import HS91, HS92
from list_house import Operator, service

from kepgw.errors import MaterialUnavailable
from kepgw.interop.trustlists import ListKeeper, ListSource
from kepgw.store.trustlists import editions

DAY = timedelta(days=1)
URL = "https://lists.example/tl.xml"
FILE = "https://hs91.example/csi.xml"


class Net:
    """Pages by address; ``down`` answers nobody."""

    def __init__(self):
        self.pages, self.down, self.asked, self.closed = {}, False, [], False

    async def get(self, url, largest, *, plain=False):
        self.asked.append(url)
        if self.down or url not in self.pages:
            raise MaterialUnavailable("nobody there")
        return self.pages[url]

    async def close(self):
        self.closed = True


@pytest.fixture
def operator(house):
    return Operator(at=house.clock())


@pytest.fixture
def net():
    return Net()


@pytest.fixture
def make(house, operator, net):
    def make(place=URL, **more):
        source = ListSource("ulusal", place, (operator.certificate,), fetcher=net, **more)
        heard = []
        keeper = ListKeeper(house.store, [source], house.clock, lambda: heard.append(1))
        return keeper, heard

    return make


@pytest.fixture
def signer(identities):
    return identities.card(HS91).signers[0]


def problem(keeper):
    return keeper.kept["ulusal"].problem


async def test_an_edition_is_taken_once_and_survives_a_restart(house, make, net, operator, signer):
    keeper, heard = make()
    await keeper.load()
    assert keeper.word(HS91, signer, house.clock()).granted is None
    net.pages[URL] = operator.list(1, [service(signer, ("granted", house.clock() - DAY))], house.clock())
    assert (await keeper.update(), await keeper.update(), heard) == (1, 0, [1])
    assert keeper.word(HS91, signer, house.clock()).granted
    assert not keeper.word(HS91, signer, house.clock() - 2 * DAY).granted
    again, _ = make()
    await again.load()
    assert again.word(HS91, signer, house.clock()).granted
    assert await again.update() == 0
    (row,) = await house.store.read(lambda tx: editions(tx, "ulusal"))
    assert row.octets == net.pages[URL]


async def test_nothing_goes_back(house, make, net, operator, signer):
    keeper, _ = make()
    at = house.clock()
    good, gone = [service(signer, ("granted", at - DAY))], [service(signer, ("withdrawn", at - DAY))]
    net.pages[URL] = operator.list(5, good, at)
    await keeper.update()
    first = net.pages[URL]
    house.clock.go(days=1)
    net.pages[URL] = operator.list(6, gone, house.clock())
    assert await keeper.update() == 1
    for rollback in (
        operator.list(5, good, house.clock()),
        operator.list(6, good, house.clock()),
        operator.list(7, good, at - DAY),
    ):
        net.pages[URL] = rollback
        assert await keeper.update() == 0
        assert "rollback" in problem(keeper)
    assert not keeper.word(HS91, signer, house.clock()).granted
    # the very first, as it is kept: no news, and no way back either
    net.pages[URL] = first
    assert await keeper.update() == 0
    assert "served again" in problem(keeper)
    assert not keeper.word(HS91, signer, house.clock()).granted
    net.pages[URL] = operator.list(7, good, house.clock())
    assert await keeper.update() == 1
    assert problem(keeper) == ""
    assert keeper.word(HS91, signer, house.clock()).granted


async def test_what_is_refused_leaves_the_last_good_one(house, make, net, operator, signer):
    keeper, heard = make()
    at = house.clock()
    good = [service(signer, ("granted", at - DAY))]
    net.pages[URL] = operator.list(1, good, at - 5 * DAY, DAY)
    assert await keeper.update() == 0
    assert "old edition" in problem(keeper)  # the first one must be current
    net.pages[URL] = operator.list(1, good, at + DAY)
    assert await keeper.update() == 0
    assert "future" in problem(keeper)
    net.pages[URL] = operator.list(1, good, at)
    assert await keeper.update() == 1
    for octets, why in (
        (Operator(at=at).list(2, [], at), "signer"),
        (operator.list(2, good, at).replace(b"granted", b"ganted"), "signature"),
        (b"<html/>", "signatures"),
        (b"", "XML"),
    ):
        net.pages[URL] = octets
        assert await keeper.update() == 0
        assert why in problem(keeper)
    net.down = True
    assert await keeper.update() == 0
    assert "nobody there" in problem(keeper)
    assert keeper.word(HS91, signer, at).granted
    assert heard == [1]


async def test_a_late_list_serves_in_its_grace_and_then_says_nothing(house, make, net, operator, signer):
    keeper, _ = make(grace=2 * DAY)
    net.pages[URL] = operator.list(1, [service(signer, ("granted", house.clock() - DAY))], house.clock(), DAY)
    await keeper.update()
    net.down = True
    house.clock.go(days=2)
    await keeper.update()
    assert keeper.word(HS91, signer, house.clock()).granted
    house.clock.go(days=2)
    word = keeper.word(HS91, signer, house.clock())
    assert (word.granted, "was due" in word.detail) == (None, True)
    # news is taken, however late it comes
    net.down = False
    net.pages[URL] = operator.list(2, [service(signer, ("granted", house.clock() - DAY))], house.clock() - DAY, DAY / 2)
    assert await keeper.update() == 1
    assert keeper.word(HS91, signer, house.clock()).granted


async def test_a_closed_list_never_grows_old(house, make, net, operator, signer):
    keeper, _ = make()
    net.pages[URL] = operator.list(1, [service(signer, ("withdrawn", house.clock() - DAY))], house.clock(), None)
    await keeper.update()
    house.clock.go(days=1000)
    assert keeper.word(HS91, signer, house.clock()).granted is False
    assert keeper.boundaries() == []


async def test_whom_a_list_binds(house, make, net, operator, signer, identities):
    keeper, _ = make(peers=frozenset({HS91}))
    net.pages[URL] = operator.list(1, [service(signer, ("granted", house.clock() - DAY))], house.clock())
    await keeper.update()
    other = identities.card(HS92).signers[0]
    assert keeper.word(HS92, other, house.clock()) is None
    assert keeper.word(HS91, other, house.clock()).granted is False
    assert keeper.listings(other, house.clock()) == []
    (said,) = keeper.listings(signer, house.clock())
    assert (said.name, said.granted, said.sequence) == ("ulusal", True, 1)


async def test_of_two_lists_one_that_grants_is_enough(house, operator, net, signer):
    second = Operator("İkinci", at=house.clock())
    sources = [
        ListSource("bir", URL, (operator.certificate,), fetcher=net),
        ListSource("iki", f"{URL}2", (second.certificate,), fetcher=net),
    ]
    keeper = ListKeeper(house.store, sources, house.clock)
    net.pages[URL] = operator.list(1, [], house.clock())
    await keeper.update()
    assert keeper.word(HS91, signer, house.clock()).granted is None  # the other may know it
    net.pages[f"{URL}2"] = second.list(9, [service(signer, ("granted", house.clock() - DAY))], house.clock())
    await keeper.update()
    assert keeper.word(HS91, signer, house.clock()).granted


async def test_a_folder_with_several_editions(house, make, operator, signer, tmp_path):
    folder = tmp_path / "lists"
    keeper, _ = make(folder)
    assert await keeper.update() == 0
    assert "No such file" in problem(keeper)
    folder.mkdir()
    at = house.clock()
    (folder / "a.xml").write_bytes(operator.list(2, [service(signer, ("granted", at - DAY))], at))
    (folder / "b.xml").write_bytes(
        operator.list(1, [service(signer, ("withdrawn", at - 20 * DAY))], at - 10 * DAY, DAY)
    )
    (folder / "c.xml").write_bytes(b"<x/>")
    (folder / "notes.txt").write_bytes(b"x")
    assert await keeper.update() == 2
    assert problem(keeper).startswith("c.xml ")
    assert keeper.word(HS91, signer, at).granted
    assert keeper.word(HS91, signer, at - 5 * DAY).granted is False
    (folder / "c.xml").unlink()
    assert await keeper.update() == 0
    assert problem(keeper) == ""


async def test_capability_files(house, make, net, operator, signer, identities):
    """Taken from the supply point of a granted service, signed by the operator or the service; no way back."""
    keeper, _ = make()
    at, tls = house.clock(), identities.card(HS91).tls_certificate
    points = ("smtp://mx.hs91.kep.tr:25", FILE, "http://hs91.example/plain.xml")
    net.pages[URL] = operator.list(1, [service(signer, ("granted", at - DAY), points=points)], at)
    net.pages[FILE] = operator.capabilities(3, tls, at)
    assert await keeper.update() == 2
    assert keeper.kept["ulusal"].capabilities[FILE].tls_certificate == tls
    assert net.asked == [URL, FILE]
    for octets, why in (
        (operator.capabilities(2, tls, at), "rollback"),
        (operator.capabilities(4, tls, at - 40 * DAY), "old edition"),
        (Operator(at=at).capabilities(4, tls, at), "signer"),
    ):
        net.pages[FILE] = octets
        assert await keeper.update() == 0
        assert why in problem(keeper)
    again, _ = make()
    await again.load()
    assert again.kept["ulusal"].capabilities[FILE].sequence == 3


async def test_when_a_list_is_asked_for(house, make, net, operator):
    keeper, _ = make(every=timedelta(hours=1))
    net.pages[URL] = operator.list(1, [], house.clock())
    await keeper.update(everything=False)
    await keeper.update(everything=False)
    assert len(net.asked) == 1
    house.clock.go(hours=1)
    net.down = True
    await keeper.update(everything=False)
    house.clock.go(seconds=59)
    await keeper.update(everything=False)
    assert len(net.asked) == 2
    house.clock.go(seconds=1)  # a minute after a failure, then two
    await keeper.update(everything=False)
    assert len(net.asked) == 3
    await keeper.stop()
    assert net.closed
