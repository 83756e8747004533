"""Trusted lists on the command line: update, show, doctor, and what verify says by them."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from list_house import Operator, service

from kepgw.app.doctor import examine
from kepgw.trust.paths import load_anchors

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


class Listed:
    """hs90 with a folder of a list; it speaks of hs90's own certificate."""

    def __init__(self, folder):
        self.folder, self.operator = folder, Operator(at=NOW)
        self.place = folder / "lists"
        self.place.mkdir()
        (folder / "signer.pem").write_bytes(self.operator.pem)
        (self.certificate,) = load_anchors([folder / "keys" / "process.pem"])
        with (folder / "kepgw.toml").open("a", encoding="utf-8") as file:
            file.write('\n[[trust_list]]\nname = "ulusal"\nsource = "lists"\nsigners = ["signer.pem"]\ngrace = 86400\n')

    def publish(self, number, *states, issued=NOW, next_update=30 * DAY):
        services = [service(self.certificate, *states, name="HS90")] if states else []
        octets = self.operator.list(number, services, issued, next_update)
        (self.place / f"{number}.xml").write_bytes(octets)


@pytest.fixture
def listed(folder):
    return Listed(folder)


def lines(folder):
    return {each.what: each for each in examine(folder) if "list" in each.what}


def test_update_and_show(kepgw, listed):
    folder = listed.folder
    shown = kepgw("trust", "show", folder)
    assert "ulusal (none): number -" in shown.out
    assert lines(folder)["trusted list ulusal"].level == "problem"
    listed.publish(1, ("granted", NOW - 9 * DAY), issued=NOW - 8 * DAY, next_update=DAY)
    listed.publish(2, ("withdrawn", NOW - DAY), ("granted", NOW - 9 * DAY))
    done = kepgw("trust", "update", folder)
    assert (done.status, "new editions: 2" in done.err) == (0, True)
    assert "ulusal (current): number 2 of " in done.out
    assert "withdrawn" in done.out
    (told,) = json.loads(kepgw("trust", "show", folder, "--at", (NOW - 7 * DAY).isoformat(), "--json").out)
    assert (told["sequence"], told["services"][0]["granted"], told["editions"]) == (1, True, 2)
    assert lines(folder)["trusted list ulusal"].level == "ok"
    (listed.place / "x.xml").write_bytes(b"<x/>")
    done = kepgw("trust", "update", folder)
    assert (done.status, "x.xml" in done.out) == (1, True)
    assert kepgw("trust", "show", folder, "--at", "yesterday").status == 2


def test_doctor_on_a_list_that_is_late(kepgw, listed):
    folder = listed.folder
    listed.publish(1, ("granted", NOW - 9 * DAY), issued=NOW - DAY, next_update=DAY + timedelta(seconds=3600))
    assert kepgw("trust", "update", folder).status == 0
    listed.publish(2, ("granted", NOW - 9 * DAY), issued=NOW - DAY, next_update=DAY / 2)
    assert kepgw("trust", "update", folder).status == 0
    late = lines(folder)["trusted list ulusal"]
    assert (late.level, "late" in late.detail, bool(late.remedy)) == ("warning", True, True)
    listed.publish(3, issued=NOW - DAY / 2, next_update=-3 * DAY)
    assert kepgw("trust", "update", folder).status == 0
    assert lines(folder)["trusted list ulusal"].level == "problem"


@pytest.mark.parametrize(
    ("states", "verdict", "words"),
    [
        ([("granted", NOW - DAY)], "ok", ("geçerli gösteriyordu (granted", "as granted on")),
        ([("withdrawn", NOW - DAY), ("granted", NOW - 9 * DAY)], "bad", ("durumu withdrawn", "it was withdrawn since")),
        ([], "bad", ("sertifikasını içermiyordu", "did not name the certificate")),
    ],
)
def test_verify_says_what_was_listed_then(kepgw, listed, signed, states, verdict, words):
    """Of a certificate that some edition has named; and nothing of others."""
    folder = listed.folder
    xml = folder / "delil.xml"
    xml.write_bytes(signed(10, "delil.1@hs90.kep.tr"))
    checked = json.loads(kepgw("verify", xml, "--dir", folder, "--json").out)
    assert "-listed" not in json.dumps(checked)
    listed.publish(1, ("granted", NOW - 9 * DAY), issued=NOW - 8 * DAY)
    listed.publish(2, *states, issued=NOW - DAY)
    assert kepgw("trust", "update", folder).status == 0
    done = kepgw("verify", xml, "--dir", folder, "--lang", "both")
    assert done.status == (0 if verdict == "ok" else 1)
    flat = " ".join(done.out.replace("│", " ").split())
    for each in words:
        assert each in flat
    checked = json.loads(kepgw("verify", xml, "--dir", folder, "--json").out)
    assert checked["status"] == ("good" if verdict == "ok" else "bad")
