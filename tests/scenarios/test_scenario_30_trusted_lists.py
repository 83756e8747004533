"""30 A trusted list binds the peers: withdrawn while something waits, rolled back, its server down, old messages.

The operator of the list is a small site with a key of its own; the providers are real processes.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest
from authorities import Site
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from laboratory import KEPGW, compose, evidences, run
from list_house import Operator, service
from story import ACCEPTED, DELIVERED, RELAYED, UNREACHED, keywords, receipts

DAY = timedelta(days=1)
PAGE = "/tl.xml"


class Listed:
    """A world in which hs90 has a list that binds hs91."""

    def __init__(self, world, site):
        self.world, self.site, self.operator = world, site, Operator()
        here = world.here
        pem = (world.there.folder / "keys" / "process.pem").read_bytes()
        self.certificate = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
        self.begin = datetime.now(UTC) - timedelta(minutes=10)
        (here.folder / "trust").mkdir()
        (here.folder / "trust" / "signer.pem").write_bytes(self.operator.pem)
        with (here.folder / "kepgw.toml").open("a", encoding="utf-8") as file:
            file.write(
                f'\n[[trust_list]]\nname = "ulusal"\nsource = "{site.url(PAGE)}"\nsigners = ["trust/signer.pem"]\n'
                'peers = ["hs91.kep.tr"]\nplain_http = true\nfetch_private = true\n'
            )

    def publish(self, number, *states, issued=None):
        services = [service(self.certificate, *states)] if states else []
        self.site.pages[PAGE] = self.operator.list(number, services, issued or datetime.now(UTC))
        return self.site.pages[PAGE]

    def update(self):
        """``kepgw trust update``: its status, and the list as it then stands."""
        done = run(*KEPGW, "trust", "update", self.world.here.folder, "--json", check=False)
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, json.loads(done.stdout)["lists"][0]


@pytest.fixture
def listed(make_world):
    world, site = make_world(), Site()
    made = Listed(world, site)
    made.publish(1, ("granted", made.begin))
    world.start()
    assert made.update()[1]["state"] == "current"
    yield made
    site.stop()


def send(world, subject):
    message = compose(world.ali, [world.veli], subject, "Merhaba.\n")
    world.here.send(message, world.ali, [world.veli])
    return message["Message-ID"]


def test_withdrawn_while_something_waits(listed):
    """31 at once for what waits, 550 at both doors, receipts wait; granted again, all goes on."""
    world, here, there = listed.world, listed.world.here, listed.world.there
    first = send(world, "Önce")
    assert receipts(here, world.ali, 3, world.judges, first) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    there.stop()
    second = send(world, "Bekliyor")
    assert receipts(here, world.ali, 1, world.judges, second) == {ACCEPTED: 1}
    listed.publish(2, ("withdrawn", datetime.now(UTC) - timedelta(seconds=2)), ("granted", listed.begin))
    assert listed.update()[0] == 0
    assert receipts(here, world.ali, 2, world.judges, second) == {ACCEPTED: 1, UNREACHED: 1}
    keywords(here, world.ali, second, {"$KepKabul", "$KepTeslimEdilemedi"})
    with here.imap(world.ali) as reader:
        found = [
            xml
            for uid in reader.wait_for("Deliller", 2, "HEADER", "In-Reply-To", second)
            for _, xml in evidences(reader.fetch(uid))
        ]
    (failure,) = [xml.decode() for xml in found if b"RelayREMMDFailure" in xml]
    assert "R_REMMD_NotIdenified" in failure
    assert "güven listesinde geçerli değil" in failure
    with here.smtp(world.ali) as client:
        client.mail(world.ali)
        code, text = client.rcpt(world.veli)
        assert (code, text[:5]) == (550, b"5.1.2")
    (peer,) = here.json("peer", "list")
    assert peer["standing"]["state"] == "out"
    # the peer's own message is refused for good
    there.start()
    message = compose(world.veli, [world.ali], "Reddedilir", "Merhaba.\n")
    there.send(message, world.veli, [world.ali])
    assert receipts(there, world.veli, 2, world.judges, message["Message-ID"]) == {ACCEPTED: 1, UNREACHED: 1}
    with here.imap(world.ali) as reader:
        assert reader.select("INBOX") == 0
    # the first one was sealed while the peer was granted: it verifies by the list of its time
    with here.imap(world.ali) as reader:
        for uid in reader.wait_for("Deliller", 3, "HEADER", "In-Reply-To", first):
            (here.folder / f"{uid}.eml").write_bytes(reader.fetch(uid))
    old = [each for each in here.folder.glob("*.eml") if b"hs91.kep.tr>" in each.read_bytes().split(b"\r\n\r\n")[0]]
    verified = json.loads(run(*KEPGW, "verify", "--json", "--dir", here.folder, *map(str, old)).stdout)
    assert verified["status"] == "good"
    told = [each for each in _checks(verified) if each["name"].endswith("-listed")]
    assert {each["verdict"] for each in told} == {"ok"}
    assert {each["facts"]["number"] for each in told} == {1}
    # granted again
    listed.publish(3, ("granted", datetime.now(UTC) - timedelta(seconds=2)))
    assert listed.update()[0] == 0
    third = send(world, "Yeniden")
    assert receipts(here, world.ali, 3, world.judges, third) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}


def _checks(data):
    """Every check of a verification, whatever depth it stands in."""
    waiting, found = [data["results"]], []
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            found += [each] if each.get("kind") == "check" else []
            waiting += each.values()
    return found


def test_rollback_forgery_and_a_dead_server(listed):
    """None of them changes anything; the last good edition serves on, over a restart too."""
    world, here = listed.world, listed.world.here
    gone = [("withdrawn", datetime.now(UTC) - timedelta(seconds=2)), ("granted", listed.begin)]
    granted = listed.site.pages[PAGE]
    listed.publish(2, *gone)
    assert listed.update()[1]["sequence"] == 2
    listed.site.pages[PAGE] = granted  # the old edition, signed as ever
    status, told = listed.update()
    assert (status, told["sequence"], "rollback" in told["problem"]) == (1, 2, True)
    listed.publish(1, ("granted", listed.begin))  # an old number on a new list
    status, told = listed.update()
    assert (status, told["sequence"], "rollback" in told["problem"]) == (1, 2, True)
    own, listed.operator = listed.operator, Operator()
    listed.publish(3, ("granted", listed.begin))  # somebody else's
    status, told = listed.update()
    assert (status, told["sequence"], "signer" in told["problem"]) == (1, 2, True)
    listed.operator = own
    (peer,) = here.json("peer", "list")
    assert peer["standing"]["state"] == "out"
    listed.publish(3, ("granted", datetime.now(UTC) - timedelta(seconds=2)))
    assert listed.update()[0] == 0
    del listed.site.pages[PAGE]
    status, told = listed.update()
    assert (status, told["state"], "404" in told["problem"]) == (1, "current", True)
    here.stop()
    assert here.json("trust", "show")[0]["sequence"] == 3
    here.start()
    about = send(world, "Sunucu yok")
    assert receipts(here, world.ali, 3, world.judges, about) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    old = here.json("trust", "show", "--at", (listed.begin - DAY).isoformat())[0]
    assert (old["sequence"], old["services"][0]["granted"], old["editions"]) == (1, False, 3)
