"""31 kepgw peer test: against a real provider, one that has lost our card, one with a new certificate, and Postfix."""

import json
import shutil
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from laboratory import KEPGW, compose, run
from postfix_house import PostfixHouse, why_not
from story import receipts

from kepgw.interop.card import read_card, write_card


def peer_test(node, domain="hs91.kep.tr"):
    """Its status, and what is not ok by name."""
    done = run(*KEPGW, "peer", "test", node.folder, domain, "--json", check=False)
    assert done.returncode in (0, 1), done.stderr
    every = json.loads(done.stdout)
    return done.returncode, {each["what"]: each for each in every if each["level"] != "ok"}, every


def test_a_real_peer(world):
    here, there = world.here, world.there
    status, ills, every = peer_test(here)
    assert (status, ills) == (0, {})
    assert {"TLS", "TLS certificate", "SIZE", "8BITMIME", "clock"} <= {each["what"] for each in every}
    here.send(compose(world.ali, [world.veli], "Saat", "Kaç?\n"), world.ali, [world.veli])
    receipts(here, world.ali, 3, world.judges)
    status, ills, every = peer_test(here)
    (clock,) = [each for each in every if each["what"] == "clock"]
    assert (status, ills, "its evidence of" in clock["detail"]) == (0, {}, True)
    with there.imap(world.veli) as reader:
        assert reader.select("INBOX") == 1  # looking brings nothing
    shown = run(*KEPGW, "peer", "test", here.folder, "hs91.kep.tr").stdout.decode()
    assert "ok       TLS certificate: " in shown
    # the peer has lost our card
    there.cli("peer", "remove", "hs90.kep.tr")
    status, ills, _ = peer_test(here)
    assert status == 1
    assert list(ills) == ["MAIL FROM:<kep@hs90.kep.tr>"]
    there.peer_with(here)
    # another certificate than that of its card
    there.stop()
    keys = there.folder / "keys"
    for name in ("tls.key", "tls.pem"):
        shutil.copy(here.folder / "keys" / name, keys / name)
    there.start()
    status, ills, _ = peer_test(here)
    assert (status, list(ills)) == (1, ["TLS certificate"])
    there.stop()
    status, ills, _ = peer_test(here)
    assert (status, set(ills)) == (1, {"connection"})
    done = run(*KEPGW, "peer", "test", here.folder, "hs99.kep.tr", check=False)
    assert (done.returncode, b"not a peer" in done.stderr) == (1, True)


@pytest.fixture
def behind_postfix(make_world):
    """behind_postfix(**settings) -> a world in which hs91's card names a Postfix, with these settings, as its relay."""
    if reason := why_not():
        pytest.skip(reason)
    houses = []

    def make(**settings):
        world = make_world()
        house = PostfixHouse("mx.hs91.kep.tr", **settings)
        houses.append(house)
        tls = x509.load_pem_x509_certificate((world.there.folder / "keys" / "tls.pem").read_bytes())
        house.hand_on("hs91.kep.tr", world.there.base + 25, tls.public_bytes(Encoding.DER))
        shown = x509.load_pem_x509_certificate(house.certificate.read_bytes()).public_bytes(Encoding.DER)
        card = read_card(run(*KEPGW, "peer", "card", world.there.folder).stdout.decode())
        card = replace(card, relay_port=house.port, tls_certificate=shown)
        run(*KEPGW, "peer", "add", world.here.folder, "-", stdin=write_card(card).encode())
        house.start()
        return world

    yield make
    for house in houses:
        house.stop()


def test_a_postfix_in_front_of_a_peer(behind_postfix):
    status, ills, every = peer_test(behind_postfix().here)
    assert list(ills) == ["TLS certificate"]  # a real one holds longer
    assert (status, "1 days left" in ills["TLS certificate"]["detail"]) == (1, True)
    (greeting,) = [each for each in every if each["what"] == "greeting"]
    assert "ESMTP Postfix" in greeting["detail"]


def test_a_postfix_that_lacks_things(behind_postfix):
    world = behind_postfix(
        smtpd_discard_ehlo_keywords="8bitmime, chunking, pipelining",
        message_size_limit=1_000_000,
        smtpd_relay_restrictions="reject",
    )
    status, ills, _ = peer_test(world.here)
    assert status == 1
    assert {what: each["level"] for what, each in ills.items()} == {
        "TLS certificate": "problem",
        "8BITMIME": "problem",
        "CHUNKING": "warning",
        "PIPELINING": "warning",
        "SIZE": "warning",
        "RCPT TO:<kep@hs91.kep.tr>": "problem",
    }
    assert "1000000 octets" in ills["SIZE"]["detail"]
