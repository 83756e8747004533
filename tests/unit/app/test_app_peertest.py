"""``kepgw peer test``: what is said of what was met."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kepgw.app.cards import own_card
from kepgw.app.config import load
from kepgw.app.peertest import findings
from kepgw.interop.peers import route_of
from kepgw.smtp.connection import Place
from kepgw.smtp.probe import Met
from kepgw.smtp.replies import Reply
from kepgw.trust.keys import describe

NOW = datetime.now(UTC)
TOLD = {"card": "", "standing": None, "clock": None, "tls_certificates": []}
OFFERED = {"8BITMIME": "", "SIZE": "38797312", "PIPELINING": "", "CHUNKING": ""}


@pytest.fixture
def config(folder):
    return load(folder)


@pytest.fixture
def card(peer_folder):
    return own_card(load(peer_folder), NOW)


@pytest.fixture
def met(card):
    place = Place("127.0.0.1", "127.0.0.1", 43025)
    return Met(
        places=(place,),
        place=place,
        greeting="220 hs91.kep.tr",
        plain_extensions={"STARTTLS": ""},
        extensions=dict(OFFERED),
        tls_version="TLSv1.3",
        cipher="TLS_AES_256_GCM_SHA384",
        certificate=card.tls_certificate,
        mail=Reply(250, ("ok",)),
        rcpt=Reply(250, ("ok",)),
    )


@pytest.fixture
def ills(config, card, met):
    """ills(...) -> {what: finding} of all that is not ok."""

    def found(card=card, told=TOLD, at=NOW, **changes):
        every = list(findings(config, card, told, route_of(card), replace(met, **changes), at))
        bad = [each for each in every if each.level != "ok"]
        assert all(each.remedy for each in bad)
        assert not any(each.remedy for each in every if each.level == "ok")
        assert len({each.what for each in bad}) == len(bad)
        return {each.what: each for each in bad}

    return found


def test_all_is_well(config, card, met):
    found = list(findings(config, card, TOLD, route_of(card), met, NOW))
    assert {each.level for each in found} == {"ok"}
    assert {each.what for each in found} == {
        "process certificate", "profile", "clock", "address", "connection", "greeting", "TLS", "TLS certificate",
        "8BITMIME", "SIZE", "PIPELINING", "CHUNKING", "MAIL FROM:<kep@hs90.kep.tr>", "RCPT TO:<kep@hs91.kep.tr>",
    }  # fmt: skip


def test_another_certificate(config, ills, card):
    other = own_card(config, NOW).tls_certificate
    found = ills(certificate=other)["TLS certificate"]
    assert found.level == "problem"
    assert hashlib.sha256(other).hexdigest() in found.detail
    assert hashlib.sha256(card.tls_certificate).hexdigest() in found.detail
    assert "hs90.kep.tr" in found.detail
    assert ills(certificate=b"")["TLS certificate"].level == "problem"


def test_certificates_that_end(ills, card):
    ends = describe(card.tls_certificate).not_after
    assert ills(at=ends - (ends - NOW) / 100)["TLS certificate"].level in {"warning", "problem"}
    found = ills(at=describe(card.signers[0]).not_after.replace(year=9000))
    assert found["process certificate"].level == found["TLS certificate"].level == "problem"


@pytest.mark.parametrize(
    ("extensions", "what", "level"),
    [
        ({"8BITMIME": None}, "8BITMIME", "problem"),
        ({"SIZE": None}, "SIZE", "warning"),
        ({"SIZE": "1000000"}, "SIZE", "warning"),
        ({"SIZE": "0"}, "", ""),
        ({"SIZE": ""}, "", ""),
        ({"SIZE": "9" * 400}, "", ""),
        ({"SIZE": "many"}, "", ""),
        ({"PIPELINING": None}, "PIPELINING", "warning"),
        ({"CHUNKING": None}, "CHUNKING", "warning"),
    ],
)
def test_extensions(ills, extensions, what, level):
    offered = {name: value for name, value in (OFFERED | extensions).items() if value is not None}
    found = ills(extensions=offered)
    assert {name: each.level for name, each in found.items()} == ({what: level} if what else {})


def test_it_does_not_take_us(ills):
    found = ills(mail=Reply(550, ("5.7.1 not known",)), rcpt=None)
    assert "peer card" in found["MAIL FROM:<kep@hs90.kep.tr>"].remedy
    found = ills(rcpt=Reply(550, ("5.1.1 nobody",)))
    assert found["RCPT TO:<kep@hs91.kep.tr>"].level == "problem"


@pytest.mark.parametrize(
    ("stage", "what"), [("dns", "address"), ("connect", "connection"), ("tls", "TLS"), ("mail", "MAIL")]
)
def test_where_it_ended(ills, stage, what):
    found = ills(
        stage=stage,
        reason="why",
        places=(),
        place=None,
        greeting="",
        extensions={},
        tls_version="",
        mail=None,
        rcpt=None,
    )
    assert (found[what].level, found[what].detail) == ("problem", "why")


def test_one_of_two_addresses_is_dead(ills):
    assert ills(unreached=["192.0.2.1:25: refused"])["connection"].level == "warning"


def test_what_needs_no_connection(ills, card):
    told = {
        "card": "",
        "standing": {"state": "out", "detail": "list national number 3: withdrawn"},
        "clock": {"time": "2026-03-01T12:00:00+00:00", "seconds": 90.0},
        "tls_certificates": ["ab" * 32],
    }
    found = ills(told=told)
    assert found["standing"].level == "problem"
    assert found["clock"].level == found["capability file"].level == "warning"
    assert "90 s later" in found["clock"].detail
    assert ills(told=told | {"clock": {"time": "x", "seconds": -4000.0}}).keys() == {"standing", "capability file"}
    same = told | {"tls_certificates": [hashlib.sha256(card.tls_certificate).hexdigest()]}
    assert "capability file" not in ills(told=same)
