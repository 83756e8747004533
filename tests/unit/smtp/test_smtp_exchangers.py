"""Mail exchangers from a name server of our own: order, bounds, and everything that it may fail to say."""

import asyncio
import random

import dns.rcode
import pytest
import uvloop
from dns_house import NameServer

from kepgw.net.nameserver import nameserver
from kepgw.smtp.exchangers import MAX_ADDRESSES, MAX_EXCHANGERS, Exchangers, LookupFailed

DOMAIN = "hs91.kep.tr"


def mx(*records):
    return {(DOMAIN, "MX"): records}


async def found(server, implicit=True, chance=lambda: 0.5):
    hosts = await Exchangers([server.address], 5, chance).of(DOMAIN, implicit=implicit)
    return [each.host for each in hosts]


async def test_by_preference_and_equal_ones_by_chance():
    async with NameServer(mx("20 c.kep.tr.", "10 A.kep.tr.", "10 b.kep.tr.")) as server:
        first = {(await found(server, chance=random.Random(seed).random))[0] for seed in range(40)}
        assert first == {"a.kep.tr", "b.kep.tr"}
        assert (await found(server))[2] == "c.kep.tr"


async def test_without_exchangers_the_domain_is_one():
    async with NameServer({(DOMAIN, "A"): ["127.0.0.1"]}) as server:
        assert await found(server) == [DOMAIN]
        with pytest.raises(LookupFailed, match="no mail exchanger"):
            await found(server, implicit=False)


async def test_no_more_than_bounds():
    many = [f"{number} h{number}.kep.tr." for number in range(40)]
    addresses = [f"127.0.0.{number}" for number in range(1, 30)]
    async with NameServer({**mx(*many), ("h1.kep.tr", "A"): addresses}) as server:
        assert await found(server) == [f"h{number}.kep.tr" for number in range(MAX_EXCHANGERS)]
        assert len(await Exchangers([server.address], 5).addresses("h1.kep.tr")) == MAX_ADDRESSES


async def test_a_domain_that_takes_no_mail():
    async with NameServer(mx("0 .")) as server:
        with pytest.raises(LookupFailed, match="takes no mail"):
            await found(server)


async def test_addresses_ipv6_first():
    async with NameServer({("m.kep.tr", "A"): ["127.0.0.1"], ("m.kep.tr", "AAAA"): ["::1"]}) as server:
        assert await Exchangers([server.address], 5).addresses("m.kep.tr") == ["::1", "127.0.0.1"]
        with pytest.raises(LookupFailed):
            await Exchangers([server.address], 5).addresses("n.kep.tr")


@pytest.mark.parametrize("trouble", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NXDOMAIN, "silent"])
async def test_a_name_server_in_trouble(trouble):
    async with NameServer(mx("10 a.kep.tr.")) as server:
        if trouble == "silent":
            server.silent = True
        else:
            server.rcode = trouble
        with pytest.raises(LookupFailed):
            await Exchangers([server.address], 0.3).of(DOMAIN, implicit=True)


async def test_answers_are_kept_as_long_as_they_say():
    async with NameServer(mx("10 a.kep.tr.")) as server:
        exchangers = Exchangers([server.address], 5)
        for _ in range(3):
            await exchangers.of(DOMAIN, implicit=True)
        assert server.asked == [(DOMAIN, "MX")]


async def test_a_name_that_is_none():
    async with NameServer({}) as server:
        for name in ("a..b", "x" * 300, "ü" * 70):
            with pytest.raises(LookupFailed):
                await Exchangers([server.address], 5).of(name, implicit=True)


def test_on_uvloop():
    async def ask():
        async with NameServer(mx("10 a.kep.tr.")) as server:
            return await found(server)

    assert uvloop.run(ask()) == ["a.kep.tr"]


async def test_the_system_has_none(monkeypatch):
    def nothing(self, *_):
        raise FileNotFoundError("/etc/resolv.conf")

    monkeypatch.setattr("dns.resolver.BaseResolver.read_resolv_conf", nothing)
    with pytest.raises(LookupFailed):
        await asyncio.wait_for(Exchangers().of(DOMAIN, implicit=True), 5)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
        *(
            (text, None)
            for text in ("", "ns.kep.tr", "192.0.2.1:0", "192.0.2.1:x", "192.0.2.1:65536", "[::1]:", "[::1")
        ),
    ],
)
def test_nameserver(text, wanted):
    if wanted is None:
        with pytest.raises(ValueError, match=r".+"):
            nameserver(text)
    else:
        assert nameserver(text) == wanted
