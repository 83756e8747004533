"""Whose an address is, and which peers there are."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from interop_house import HS90, HS91, HS92, House

from kepgw.errors import ConfigurationError, SignatureInvalid
from kepgw.interop.card import write_card
from kepgw.interop.peers import add_peer, remove_peer, signed_by
from kepgw.refusals import Refusal

KNOWN = {
    HS91: SimpleNamespace(name="Active", state="active"),
    HS92: SimpleNamespace(name="Ended", state="ended"),
    "hs93.kep.tr": SimpleNamespace(name="No card", state="active"),
}


@pytest.fixture
async def house(identities, tmp_path):
    house = await House(identities, tmp_path / HS90, providers=KNOWN).start()
    await house.know(HS91, HS92)
    yield house
    house.close()


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("a@hs90.kep.tr", HS90),
        ("a@firma.hs90.kep.tr", HS90),
        ("A@HS91.KEP.TR", HS91),
        ("a@firma.hs91.kep.tr", HS91),
    ],
)
def test_owner(house, address, owner):
    assert house.peers.owner(address) == owner


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("a@hs92.kep.tr", "provider-ended"),  # although there is a card
        ("a@sub.hs92.kep.tr", "provider-ended"),
        ("a@hs93.kep.tr", "no-peer"),
        ("a@hs94.kep.tr", "unknown-provider"),
        ("a@b.c.hs91.kep.tr", "not-kep-address"),
        ("a@evil-hs91.kep.tr", "not-kep-address"),
        ("a@hs91.kep.tr.example", "not-kep-address"),
        ("a", "not-kep-address"),
    ],
)
def test_nobody_s(house, address, key):
    with pytest.raises(Refusal) as caught:
        house.peers.owner(address)
    assert caught.value.key == key
    assert caught.value.sentence("tr")


def test_an_ended_provider_is_no_peer_whatever_its_card_says(house):
    assert house.peers.card(HS92) is None
    assert house.peers.route(HS92) is None
    with pytest.raises(Refusal, match="peer-out"):
        house.peers.by_service_address("kep@hs92.kep.tr")
    assert house.peers.by_service_address("KEP@hs91.kep.tr").domain == HS91


async def test_a_route_is_pinned_and_ends_with_the_peer(house):
    route = house.peers.route(HS91)
    assert (route.provider, route.host, route.port, len(route.tls_sha256)) == (HS91, "127.0.0.1", 2525, 64)
    assert await house.store.write(lambda tx: remove_peer(tx, HS91))
    await house.store.read(lambda tx: None)
    await house.peers.followed()
    assert house.peers.route(HS91) is None
    with pytest.raises(Refusal, match="no-peer"):
        house.peers.owner("a@hs91.kep.tr")
    assert not await house.store.write(lambda tx: remove_peer(tx, HS91))


async def test_changes_of_the_store_are_followed_without_reading_on_the_loop(house, monkeypatch):
    monkeypatch.setattr(house.store, "read_now", None)
    monkeypatch.setattr(house.peers, "_store", house.store)
    reads = []

    async def read(work):
        reads.append(work)
        return [], {}

    monkeypatch.setattr(house.store, "read", read)
    await house.store.write(lambda tx: tx.announce("peer", 0))
    await house.store.write(lambda tx: tx.announce("other", 0))
    await house.peers.followed()
    assert len(reads) == 1
    assert house.peers.card(HS91) is None


async def test_a_stored_card_that_cannot_be_read_costs_one_peer_only(house, caplog):
    await house.store.write(lambda tx: tx.run("UPDATE peer SET card = 'x' WHERE domain = ?", HS92))
    await house.peers.load()
    assert house.peers.card(HS91) is not None
    assert "cannot be read" in caplog.text


def test_adding_peers(house, identities):
    def add(domain, **changes):
        text = write_card(identities.card(domain, **changes))
        return house.store.write_now(lambda tx: add_peer(tx, text, HS90, house.clock()))

    with pytest.raises(ConfigurationError, match="own domain"):
        add(HS90)
    assert add(HS91, relay_port=99).relay_port == 99  # replaced
    assert house.rows("SELECT count(*) FROM peer") == [(2,)]


def test_the_signer_is_a_process_certificate_of_the_card(identities):
    card = identities.card(HS91)
    (chain,), (other,) = card.process_chains, identities.card(HS92).process_chains
    signed_by(card, chain[0])
    signed_by(replace(card, process_chains=(other, chain)), chain[0])
    for signer in (None, chain[1], other[0]):
        with pytest.raises(SignatureInvalid) as caught:
            signed_by(card, signer)
        assert caught.value.check == "signer"
