"""Cards: what is written is read, and what a hostile card may not say."""

import tomllib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interop_house import HS91

from kepgw.errors import ConfigurationError
from kepgw.interop.card import MAX_CARD, MAX_CHAIN, MAX_CHAINS, read_card, supply_point, write_card


@pytest.fixture(scope="module")
def card(identities):
    return identities.card(HS91)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": 'Çağrı "KEP" A.Ş. \\ Ltd.'},
        {"name": "kep'ler = [x] # y"},
        {"domains": (HS91, "tuzel." + HS91), "service_address": "kep@tuzel." + HS91},
        {"relay_host": "2001:db8::1"},
        {"relay_host": "relay.hs91.kep.tr", "relay_port": 65535},
        {"relay_host": "", "relay_port": 25},
        {"relay_host": "", "supply_points": (("mx1.hs91.kep.tr", 25), ("mx2.hs91.kep.tr", 2525))},
        {"tls_certificate": b"", "tls_authorities": True},
        {"tls_certificate": b"", "tls_authorities": True, "relay_host": "", "supply_points": (("mx", 25),)},
        {"client_certificates": True},
    ],
)
def test_round_trip(card, changes):
    if changes.get("tls_authorities") or changes.get("client_certificates"):
        changes = {
            name: (card.tls_certificate, card.roots[0]) if value is True else value for name, value in changes.items()
        }
    changed = replace(card, **changes)
    assert read_card(write_card(changed)) == changed


@settings(max_examples=100, deadline=None)
@given(name=st.text(min_size=1, max_size=60))
def test_any_name_makes_toml_with_that_name_and_nothing_else(identities, name):
    name = name.encode("utf-8", "replace").decode()
    document = tomllib.loads(write_card(replace(identities.card(HS91), name=name)))
    assert document["name"] == name
    assert set(document) == {
        "kepgw_card", "domain", "name", "domains", "service_address", "profiles", "process", "relay",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("kepgw_card = 2", "kepgw_card = 3", "no provider card"),
        ("kepgw_card = 2", "", "no provider card"),
        ('domain = "hs91.kep.tr"', "domain = 91", "domain is missing"),
        ('domain = "hs91.kep.tr"', 'domain = "timer"', "not that of a provider"),  # a lane of the queue
        ('domain = "hs91.kep.tr"', 'domain = "kep.tr"', "not that of a provider"),
        ('domains = ["hs91.kep.tr"]', "domains = []", "do not name its own"),
        ('domains = ["hs91.kep.tr"]', 'domains = ["hs91.kep.tr", "hs92.kep.tr"]', "not under its own"),
        ('domains = ["hs91.kep.tr"]', 'domains = ["hs91.kep.tr", "xhs91.kep.tr"]', "not under its own"),
        ('domains = ["hs91.kep.tr"]', "domains = [1, {a = 2}]", "do not name its own"),
        ('"kep@hs91.kep.tr"', '"kep@hs92.kep.tr"', "not in its domains"),
        ('"kep@hs91.kep.tr"', '"hs91.kep.tr"', "not a KEP address"),
        ('"kep@hs91.kep.tr"', '"kep\\r\\nRCPT@hs91.kep.tr"', "not a KEP address"),
        ('name = "hs91.kep.tr"', 'name = "a\\nb"', "name is empty"),
        ('name = "hs91.kep.tr"', 'name = ""', "name is empty"),
        ("port = 2525", "port = 0", "not a port"),
        ("port = 2525", "port = 65536", "not a port"),
        ("port = 2525", "port = true", "port is missing"),
        ("port = 2525", "port = 25.0", "port is missing"),
        ('host = "127.0.0.1"', 'host = "a b"', "relay.host"),
        ('host = "127.0.0.1"', 'host = "-oProxyCommand=x"', "relay.host"),
        ("[relay]", "[other]", "relay is missing"),
        ("tls_certificate", "tls_pin", "tls_certificate is missing"),
        ("tls_certificate", "tls_authorities = []\ntls_pin", "neither a certificate nor an authority"),
        ("port = 2525", 'port = 2525\nsupply_points = ["mx"]', "a host and supply_points"),
        ("port = 2525", 'port = 2525\nsupply_points = ["mx:0"]', "no service supply point"),
        ("port = 2525", 'port = 2525\nsupply_points = ["a b"]', "no service supply point"),
        ("port = 2525", "port = 2525\nsupply_points = [25]", "no service supply point"),
        ("port = 2525", 'port = 2525\nsupply_points = "mx"', "not a list"),
        ("port = 2525", f"port = 2525\nsupply_points = {['mx'] * 11}", "not a list"),
        ("port = 2525", "port = 2525\ntls_authorities = [1]", "readable certificate"),
        ("port = 2525", "port = 2525\nclient_certificates = ['x']", "readable certificate"),
        ("port = 2525", f"port = 2525\nclient_certificates = {['x'] * 9}", "not a list"),
        ('profiles = ["tr-kep"]', 'profiles = ["pec"]', "no profile that is known"),
        ('profiles = ["tr-kep"]', "profiles = []", "no profile that is known"),
        ('profiles = ["tr-kep"]', 'profiles = [["tr-kep"], {}]', "no profile that is known"),
        ('profiles = ["tr-kep"]', 'profiles = "tr-kep"', "no list"),
        ('profiles = ["tr-kep"]', f"profiles = {['tr-kep'] * 17}", "no list"),
        ("MII", "MIX", "readable certificate"),
        ("MII", "###", "readable certificate"),
    ],
)
def test_hostile_cards(card, old, new, says):
    text = write_card(card)
    assert old in text
    with pytest.raises(ConfigurationError, match=says):
        read_card(text.replace(old, new, 1))


@pytest.mark.parametrize(
    "text", ["", "x", "a = [" * 50_000, "x = " + "[" * 100_000, "\0", "kepgw_card = 1\n" * 2, "#" * (MAX_CARD + 1)]
)
def test_what_is_no_card_at_all(text):
    with pytest.raises(ConfigurationError):
        read_card(text)


def test_a_card_without_certificates(card):
    with pytest.raises(ConfigurationError, match="no process certificate"):
        read_card(write_card(replace(card, process_chains=((),))).replace("[\n,\n]", "[]"))
    with pytest.raises(ConfigurationError, match="process is missing"):
        read_card(write_card(replace(card, process_chains=())))
    with pytest.raises(ConfigurationError, match="readable certificate"):
        read_card(write_card(card).replace("\ncertificates = [", "\ncertificates = [1, "))


def test_several_process_certificates(card, identities):
    chains = (*card.process_chains, *identities.card("hs92.kep.tr").process_chains, *card.process_chains)
    several = read_card(write_card(replace(card, process_chains=chains)))
    assert several.signers == tuple(chain[0] for chain in chains)
    assert several.roots == tuple(chain[-1] for chain in chains[:2])
    for hostile in (card.process_chains * (MAX_CHAINS + 1), (card.process_chains[0] * MAX_CHAIN,)):
        with pytest.raises(ConfigurationError, match=r"process is not a list|more than"):
            read_card(write_card(replace(card, process_chains=hostile)))
    no_table = write_card(replace(card, process_chains=())).replace("kepgw_card = 2", "kepgw_card = 2\nprocess = [1]")
    with pytest.raises(ConfigurationError, match="process is not a list"):
        read_card(no_table)


def test_a_card_of_the_version_before_is_read(card):
    text = write_card(card).replace("kepgw_card = 2", "kepgw_card = 1")
    head, process = text.split("\n[[process]]\ncertificates")
    comment, version, rest = head.split("\n", 2)
    assert read_card(f"{comment}\n{version}\nprocess_certificates{process}{rest}") == card


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("smtp://mx.sa-rems.rem:25", ("mx.sa-rems.rem", 25)),  # EN 319 532-4 C.3
        ("smtp:mx.sa-rems.rem:25", ("mx.sa-rems.rem", 25)),  # its published examples
        ("smtp://MX.sa-rems.rem/", ("mx.sa-rems.rem", 25)),
        ("mx.sa-rems.rem:2525", ("mx.sa-rems.rem", 2525)),
    ],
)
def test_supply_points_as_they_are_written(text, wanted):
    assert supply_point(text) == wanted


def test_authorities_need_a_host_to_hold_them_to(card):
    """Else whoever can answer for the DNS could name a host of his own, with a certificate of that authority."""
    open_card = replace(card, relay_host="", tls_certificate=b"", tls_authorities=(card.roots[0],))
    with pytest.raises(ConfigurationError, match="to hold them to"):
        read_card(write_card(open_card))
    both = replace(card, tls_authorities=(card.roots[0],))
    with pytest.raises(ConfigurationError, match="one of them says what is met"):
        read_card(write_card(both))
