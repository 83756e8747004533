"""How a peer is reached and known on the way: exchangers from the DNS, authorities, client certificates."""

import datetime
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from dns_house import NameServer
from smtp_peer import Peer, outgoing

from kepgw.interop.desk import RelayProblem, Route
from kepgw.smtp.client import MAX_PLACES, SmtpRelayClient
from kepgw.smtp.exchangers import Exchangers
from kepgw.smtp.limits import ClientLimits
from kepgw.smtp.relay_in import RelayServer
from kepgw.trust.tls import PeerContexts, fingerprint, server_context

DOMAIN = "hs90.kep.tr"
NOW = datetime.datetime.now(datetime.UTC)


def issue(folder, name, issuer=None, usage=None, hosts=(), days=1, ca=False):
    """A PEM file with certificate and key; the certificate and key too, to issue others."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by, by_key = issuer or (subject, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=2))
        .not_valid_after(NOW + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in hosts]), False)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    made = builder.sign(by_key, hashes.SHA256())
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path, made.public_bytes(serialization.Encoding.DER), (subject, key)


@pytest.fixture
async def dns():
    async with NameServer({}) as server:
        yield server


@pytest.fixture
async def client(dns):
    limits = ClientLimits(connect=5, greeting=5)
    client = SmtpRelayClient("hs91.kep.tr", PeerContexts(), limits, Exchangers([dns.address], 5))
    yield client
    await client.close()


def by_mx(peer, **changes):
    return replace(peer.route, provider=DOMAIN, host="", **changes)


# -- exchangers -----------------------------------------------------------------------------------------------------


async def test_the_exchanger_of_the_domain(certificate, dns, client):
    dns.records |= {(DOMAIN, "MX"): ["10 mx.kep.tr."], ("mx.kep.tr", "A"): ["127.0.0.1"]}
    async with Peer(certificate) as peer:
        assert (await client.send(by_mx(peer), outgoing())).reply.startswith("250")


async def test_the_next_one_when_the_first_is_dead(certificate, dns, client):
    dns.records |= {
        (DOMAIN, "MX"): ["10 dead.kep.tr.", "20 nameless.kep.tr.", "30 mx.kep.tr."],
        ("dead.kep.tr", "A"): ["127.0.0.2"],
        ("mx.kep.tr", "A"): ["127.0.0.1"],
    }
    async with Peer(certificate) as peer:
        assert (await client.send(by_mx(peer), outgoing())).reply.startswith("250")
    dns.records |= {(DOMAIN, "MX"): ["10 dead.kep.tr."]}
    with pytest.raises(RelayProblem, match=r"dead\.kep\.tr \(127\.0\.0\.2") as caught:
        await SmtpRelayClient("x", PeerContexts(), exchangers=Exchangers([dns.address], 5)).send(
            by_mx(peer), outgoing()
        )
    assert (caught.value.stage, caught.value.permanent) == ("connect", False)


async def test_one_that_turns_us_away_is_left_for_the_next(certificate, dns, client):
    dns.records |= {
        (DOMAIN, "MX"): ["10 a.kep.tr.", "20 b.kep.tr."],
        ("a.kep.tr", "A"): ["127.0.0.1"],
        ("b.kep.tr", "A"): ["127.0.0.1"],
    }
    busy = iter([b"421 4.3.2 busy\r\n", b"250 OK\r\n", b"250 OK\r\n"])
    async with Peer(certificate) as peer:
        peer.greeting = lambda: next(busy).replace(b"250 OK", b"220 peer")
        assert (await client.send(by_mx(peer), outgoing())).reply.startswith("250")
        assert peer.connections == 2


@pytest.mark.parametrize("records", [{}, {(DOMAIN, "MX"): ["0 ."]}, {(DOMAIN, "MX"): ["10 gone.kep.tr."]}])
async def test_what_the_dns_says_ends_no_message(certificate, dns, client, records):
    """It is not signed for us: whoever can forge it must not make evidence."""
    dns.records |= records
    async with Peer(certificate) as peer:
        with pytest.raises(RelayProblem) as caught:
            await client.send(by_mx(peer), outgoing())
        assert (caught.value.stage, caught.value.permanent) == ("dns", False)
        assert peer.connections == 0


async def test_only_service_supply_points(certificate, dns, client):
    """EN 319 532-4 C.2.3.3.3: an exchanger that the card does not name gets nothing."""
    dns.records |= {
        (DOMAIN, "MX"): ["10 evil.kep.tr.", "20 mx.kep.tr."],
        ("evil.kep.tr", "A"): ["127.0.0.3"],
        ("mx.kep.tr", "A"): ["127.0.0.1"],
    }
    async with Peer(certificate) as peer:
        points = (("mx.kep.tr", peer.route.port),)
        await client.send(by_mx(peer, supply_points=points, port=9), outgoing())
        assert ("evil.kep.tr", "A") not in dns.asked
        dns.records[DOMAIN, "MX"] = ["10 evil.kep.tr."]
        fresh = SmtpRelayClient("x", PeerContexts(), exchangers=Exchangers([dns.address], 5))
        with pytest.raises(RelayProblem, match="service supply point") as caught:
            await fresh.send(by_mx(peer, supply_points=points), outgoing())
        assert (caught.value.stage, caught.value.permanent) == ("dns", False)
        del dns.records[DOMAIN, "MX"]
        dns.records[DOMAIN, "A"] = ["127.0.0.1"]
        fresh = SmtpRelayClient("x", PeerContexts(), exchangers=Exchangers([dns.address], 5))
        with pytest.raises(RelayProblem, match="no mail exchanger"):
            await fresh.send(by_mx(peer, supply_points=points), outgoing())


async def test_no_more_places_than_bounds(certificate, dns, client, monkeypatch):
    dns.records |= {(DOMAIN, "MX"): [f"{number} m{number}.kep.tr." for number in range(9)]}
    dns.records |= {(f"m{number}.kep.tr", "A"): [f"127.1.{number}.{each}" for each in (1, 2, 3)] for number in range(9)}
    tried = []

    async def refuse(self, place, context):
        tried.append(place)
        raise RelayProblem("dead", permanent=False, stage="connect")

    monkeypatch.setattr("kepgw.smtp.connection.Connection.open", refuse)
    with pytest.raises(RelayProblem, match="dead"):
        await client.send(Route(DOMAIN, "", 25, "00" * 32), outgoing())
    assert len(tried) == MAX_PLACES


async def test_the_pin_holds_whatever_the_dns_says(certificate, dns, client):
    dns.records |= {(DOMAIN, "MX"): ["10 evil.kep.tr."], ("evil.kep.tr", "A"): ["127.0.0.1"]}
    async with Peer(certificate) as peer:
        with pytest.raises(RelayProblem, match="its card says") as caught:
            await client.send(by_mx(peer, tls_sha256="00" * 32), outgoing())
        assert caught.value.stage == "tls"
        assert not [line for line in peer.heard if line.startswith("MAIL")]


# -- authorities ----------------------------------------------------------------------------------------------------


class Shown:
    """What a scripted peer shows."""

    def __init__(self, path):
        self.server = server_context(path, path)
        self.sha256 = "00" * 32


@pytest.mark.parametrize(
    ("hosts", "days", "known", "why"),
    [
        (["mx.kep.tr"], 1, True, ""),
        (["*.kep.tr"], 1, True, ""),
        (["other.kep.tr"], 1, True, "mismatch"),
        (["mx.kep.tr"], -1, True, "expired"),
        (["mx.kep.tr"], 1, False, "issuer"),
    ],
)
async def test_below_an_authority_and_for_this_host(tmp_path, dns, client, hosts, days, known, why):
    dns.records |= {(DOMAIN, "MX"): ["10 mx.kep.tr."], ("mx.kep.tr", "A"): ["127.0.0.1"]}
    _, root, issuer = issue(tmp_path, "root", ca=True)
    _, other, _ = issue(tmp_path, "other", ca=True)
    path, _, _ = issue(tmp_path, "leaf", issuer, ExtendedKeyUsageOID.SERVER_AUTH, hosts, days)
    async with Peer(Shown(path)) as peer:
        points = (("mx.kep.tr", peer.route.port),)
        route = by_mx(peer, tls_sha256="", tls_authorities=(root if known else other,), supply_points=points)
        if not why:
            assert (await client.send(route, outgoing())).reply.startswith("250")
            return
        with pytest.raises(RelayProblem, match=why) as caught:
            await client.send(route, outgoing())
        assert (caught.value.stage, caught.value.permanent) == ("tls", False)
        assert not [line for line in peer.heard if line.startswith("MAIL")]


# -- our own certificate --------------------------------------------------------------------------------------------


@pytest.fixture
def door(house):
    """A relay port that asks for the certificates it is given, and its desk."""

    async def open_door(servers, path, asked):
        clients = {"asked": asked}
        server = RelayServer(
            servers.relay_desk,
            hostname="hs90.kep.tr",
            spool_folder=servers.folder,
            limits=servers.limits,
            clients=lambda: clients["asked"],
        )
        port = await server.start("127.0.0.1", 0, server_context(path, path), False)
        return server, port, clients

    return open_door


async def test_it_is_shown_to_who_asks(house, door, tmp_path, certificate):
    mine, der, _ = issue(tmp_path, "mine", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    other, other_der, _ = issue(tmp_path, "other", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    for_servers, servers_der, _ = issue(tmp_path, "srv", usage=ExtendedKeyUsageOID.SERVER_AUTH)
    async with house() as servers:
        server, port, clients = await door(servers, certificate.pem, frozenset())
        route = Route("hs90", "127.0.0.1", port, certificate.sha256)

        async def shown(*own):
            client = SmtpRelayClient("hs91.kep.tr", PeerContexts(*own))
            try:
                await client.send(route, outgoing())
            finally:
                await client.close()
            met = servers.relay_desk.certificate
            return None if met is None else fingerprint(met)

        assert await shown(mine, mine) is None, "nobody asks"
        clients["asked"] = frozenset({der})  # a card came in while the port is open
        assert await shown(mine, mine) == fingerprint(der)
        assert await shown() is None, "who has none is heard all the same: the desk decides"
        with pytest.raises(RelayProblem) as caught:
            await shown(other, other)
        assert not caught.value.permanent
        clients["asked"] = frozenset({der, other_der, servers_der})
        assert await shown(other, other) == fingerprint(other_der)
        with pytest.raises(RelayProblem):
            await shown(for_servers, for_servers)  # EKU is not clientAuth
        await server.stop(1)
