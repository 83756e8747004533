from datetime import timedelta

import pytest

from kepgw.interop.desk import Route
from kepgw.interop.settings import PeerSettings, RelaySettings

PLAIN = RelaySettings(retry_jitter=0.0)


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 30), (1, 60), (3, 240), (6, 1800), (7, 1800), (10**6, 1800)])
def test_waits_grow_to_a_bound(attempts, seconds):
    assert PLAIN.wait(attempts, 0.5) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 24), (0.5, 30), (1.0, 36)])
def test_jitter_goes_either_way(chance, seconds):
    assert RelaySettings(retry_jitter=0.2).wait(0, chance) == timedelta(seconds=seconds)


def test_a_huge_factor_is_no_error():
    assert RelaySettings(retry_factor=1e300, retry_jitter=0).wait(9, 0) == timedelta(minutes=30)


def test_what_is_set_for_a_peer_falls_back_to_what_holds_for_all():
    settings = RelaySettings(
        peers={"hs91.kep.tr": PeerSettings(window=timedelta(hours=1), connections=1, largest_octets=1000)}
    )
    own, other = settings.toward("hs91.kep.tr"), settings.toward("hs92.kep.tr")
    assert (own.window, own.connections_per_peer, own.largest_octets) == (timedelta(hours=1), 1, 1000)
    assert (own.answer_window, own.delivery_window) == (settings.answer_window, settings.delivery_window)
    assert other is settings


def test_a_static_route_comes_before_the_card():
    card = Route("hs91.kep.tr", "", 25, "aa", (), (("mx", 25),))

    def route(**own):
        return RelaySettings(connections_per_peer=3, peers={"hs91.kep.tr": PeerSettings(**own)}).route(card)

    assert route() == Route("hs91.kep.tr", "", 25, "aa", (), (("mx", 25),), 3)
    assert route(chunking=False, connections=1) == Route("hs91.kep.tr", "", 25, "aa", (), (("mx", 25),), 1, False)
    assert route(host="192.0.2.1") == Route("hs91.kep.tr", "192.0.2.1", 25, "aa", (), (), 3)
    assert route(host="r", port=2525, tls_sha256="bb") == Route("hs91.kep.tr", "r", 2525, "bb", (), (), 3)
    by_authority = Route("hs91.kep.tr", "h", 25, "", (b"ca",))
    settings = RelaySettings(peers={"hs91.kep.tr": PeerSettings(host="r", tls_sha256="bb")})
    assert settings.route(by_authority) == Route("hs91.kep.tr", "r", 25, "bb", connections=4)
