"""A look at a peer's relay: against our own server, and against one that misbehaves at each step."""

import socket
import ssl
from dataclasses import replace

import pytest
from smtp_peer import SENDER, Peer, route_to

from kepgw.interop.desk import Route
from kepgw.smtp.client import SmtpRelayClient
from kepgw.smtp.limits import ClientLimits
from kepgw.smtp.probe import look
from kepgw.trust.tls import PeerContexts

OTHER = "kep@hs90.kep.tr"


@pytest.fixture
def see():
    async def see(route, recipient=OTHER, authorities=()):
        contexts, limits = PeerContexts(), ClientLimits(connect=5, greeting=0.5, mail=5, rcpt=5)
        client = SmtpRelayClient("hs91.kep.tr", contexts, limits)
        return await look(client, route, contexts.toward(authorities), "hs91.kep.tr", limits, (SENDER, recipient))

    return see


async def test_our_own_server(house, certificate, see):
    async with house() as servers:
        met = await see(route_to(servers.ports["relay"], certificate), "ali@hs90.kep.tr")
        assert (met.stage, met.reason, met.unreached) == ("", "", [])
        assert met.greeting.startswith("220 ")
        assert met.plain_extensions.keys() >= {"STARTTLS", "8BITMIME"}
        assert met.extensions.keys() >= {"8BITMIME", "SIZE", "CHUNKING", "PIPELINING"}
        assert met.tls_version in {"TLSv1.2", "TLSv1.3"}
        assert met.cipher
        assert met.certificate == ssl.PEM_cert_to_DER_cert(certificate.pem.read_text().split("-----BEGIN PRIVATE")[0])
        assert (met.mail.code, met.rcpt.code) == (250, 250)
        assert not servers.relay_desk.taken
        met = await see(route_to(servers.ports["relay"], certificate), "yok@hs90.kep.tr")
        assert (met.stage, met.rcpt.code) == ("", 550)


async def test_no_message_is_given(certificate, see):
    async with Peer(certificate) as peer:
        await see(peer.route)
        await peer.said_goodbye.wait()
        assert [each.split(":")[0] for each in peer.heard] == [
            "EHLO hs91.kep.tr", "STARTTLS", "EHLO hs91.kep.tr", "MAIL FROM", "RCPT TO", "RSET", "QUIT",
        ]  # fmt: skip


async def test_another_certificate_is_told_and_the_look_goes_on(certificate, see):
    async with Peer(certificate) as peer:
        met = await see(replace(peer.route, tls_sha256="00" * 32))
        assert met.certificate
        assert met.stage == ""


@pytest.mark.parametrize(
    ("command", "answer", "stage", "said"),
    [
        ("EHLO", b"554 no\r\n", "connect", "554 no"),
        ("EHLO", b"rubbish\r\n", "connect", "no reply code"),
        ("EHLO", None, "connect", "closed the connection"),
        ("STARTTLS", b"454 4.7.0 no\r\n", "tls", "454 4.7.0 no"),
        ("STARTTLS", b"220 go\r\n250 injected\r\n", "tls", "octets behind"),
        ("STARTTLS", b"220 go\r\n", "tls", "TLS handshake failed"),
        ("MAIL", None, "mail", "closed the connection"),
        ("RCPT", b"421 4.3.2 bye\r\n", "rcpt", "421 4.3.2 bye"),
        ("RSET", None, "rcpt", "closed the connection"),
    ],
)
async def test_where_it_ends(certificate, see, command, answer, stage, said):
    async with Peer(certificate, answers=[(command, answer)]) as peer:
        met = await see(peer.route)
        assert met.stage == stage
        assert said in met.reason
        assert met.place.port == peer.route.port


@pytest.mark.parametrize(("command", "field"), [("MAIL", "mail"), ("RCPT", "rcpt")])
async def test_what_it_refuses_is_told(certificate, see, command, field):
    async with Peer(certificate, answers=[(command, b"550 5.7.1 who are you\r\n")]) as peer:
        met = await see(peer.route)
        assert (met.stage, str(getattr(met, field))) == ("", "550 5.7.1 who are you")
        assert (met.rcpt is None) is (field == "mail")
        assert peer.heard.count("RSET") == 1


async def test_no_starttls_and_a_greeting_that_refuses(certificate, see):
    async with Peer(certificate, tls=False) as peer:
        met = await see(peer.route)
        assert (met.stage, "STARTTLS" in met.reason, met.extensions) == ("tls", True, {})
    async with Peer(certificate) as peer:
        peer.greeting = lambda: b"554 5.3.2 not today\r\n"
        met = await see(peer.route)
        assert (met.stage, met.greeting) == ("connect", "554 5.3.2 not today")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
async def test_old_tls_is_refused(certificate, see):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(certificate.pem)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with Peer(replace(certificate, server=old)) as peer:
        met = await see(peer.route)
        assert met.stage == "tls"
        assert "handshake" in met.reason


async def test_nobody_listens(see):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        met = await see(Route("hs90", "127.0.0.1", closed.getsockname()[1], "00" * 32))
    assert met.stage == "connect"
    assert len(met.unreached) == 1
    assert met.place is None


async def test_a_name_that_is_not_there(see):
    met = await see(Route("hs90", "nobody.invalid", 25, "00" * 32))
    assert met.stage == "dns"
    assert met.places == ()


async def test_held_against_an_authority(certificate, see):
    """The certificate is for localhost: by that name it is good, by the address it is not."""
    async with Peer(certificate) as peer:
        below = replace(peer.route, tls_sha256="")
        met = await see(replace(below, host="localhost"), authorities=(_der(certificate),))
        assert (met.stage, met.certificate) == ("", _der(certificate))
        met = await see(below, authorities=(_der(certificate),))
        assert met.stage == "tls"
        assert "handshake" in met.reason


def _der(certificate):
    return ssl.PEM_cert_to_DER_cert(certificate.pem.read_text().split("-----BEGIN PRIVATE")[0])
