"""13 A process certificate is renewed and its key moves to a token: no message is lost or refused on the way."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from laboratory import Judges, compose, evidences
from softhsm import PIN, SoftHsm
from story import ACCEPTED, DELIVERED, RELAYED, receipts

from kepgw.evidence import xades
from kepgw.trust import devpki


@pytest.fixture
def hsm(tmp_path):
    return SoftHsm(tmp_path / "hsm")


def der(path):
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)


def renewed(node, hsm):
    """New keys of the provider below ``new``, the process key on a token; the old table stays."""
    devpki.create(node.folder / "new", node.domain, f"kep@{node.domain}", algorithm="rsa-2048")
    hsm.take(node.folder / "new/keys/process.key")
    path = node.folder / "kepgw.toml"
    table = hsm.settings('["new/keys/process.pem", "new/keys/intermediate.pem"]')
    path.write_text(path.read_text("utf-8").replace("[trust]\n", f"{table}[trust]\n", 1), "utf-8")
    node.configure(trust__anchors=["keys/root.pem", "new/keys/root.pem"])
    node.environment = hsm.environment


def test_from_a_file_to_a_token_with_messages_under_way(make_world, hsm):
    world = make_world()
    here, there = world.here, world.there
    here.start()  # the peer is away: what is sealed now is under way
    old = compose(world.ali, [world.veli], "Eski anahtarla", "Yolda.\n")
    here.send(old, world.ali, [world.veli])
    receipts(here, world.ali, 1, world.judges, old["Message-ID"])
    renewed(here, hsm)
    there.peer_with(here)  # the card has both, before the new one signs
    here.stop()
    here.start()
    new = compose(world.ali, [world.veli], "Yeni anahtarla", "Belirteçten.\n")
    here.send(new, world.ali, [world.veli])
    there.start()
    roots = [node.folder / "keys" / "root.pem" for node in (here, there)] + [here.folder / "new/keys/root.pem"]
    judges = Judges(roots)
    certificates = {der(here.folder / "keys/process.pem"), der(here.folder / "new/keys/process.pem")}
    with there.imap(world.veli) as reader:
        reader.wait_for("INBOX", 2)
        dispatches = reader.all("INBOX")
    judges.messages(dispatches)
    assert {xades.read(xml).signer for each in dispatches for _, xml in evidences(each)} == certificates
    for message in (old, new):
        found = receipts(here, world.ali, 3, judges, message["Message-ID"])
        assert found == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}


def test_the_token_is_away_for_a_while(make_world, hsm):
    world = make_world()
    here = world.here
    renewed(here, hsm)
    mehmet = here.account("mehmet", "Mehmet")
    judges = Judges([here.folder / "keys/root.pem", here.folder / "new/keys/root.pem"])
    here.start()
    first, second = (compose(world.ali, [mehmet], subject, "Yerel.\n") for subject in ("Önce", "Sonra"))
    here.send(first, world.ali, [mehmet])
    assert receipts(here, world.ali, 2, judges, first["Message-ID"]) == {ACCEPTED: 1, DELIVERED: 1}
    hsm.pull()
    assert here.send(second, world.ali, [mehmet]) == {}, "taken, for it is durable; it waits"
    while not [task for task in here.json("queue", "list") if "token" in task["last_error"]]:
        pass
    hsm.put_back()
    assert receipts(here, world.ali, 2, judges, second["Message-ID"]) == {ACCEPTED: 1, DELIVERED: 1}


def test_a_wrong_pin_waits_for_a_person(make_world, hsm):
    world = make_world()
    here = world.here
    renewed(here, hsm)
    mehmet = here.account("mehmet", "Mehmet")
    hsm.pin_file.write_text("wrong-1234")
    here.start()  # and goes on running: a service manager has no reason to start it again and again
    message = compose(world.ali, [mehmet], "Bekler", "Yerel.\n")
    here.send(message, world.ali, [mehmet])
    while not [task for task in here.json("queue", "list") if "until a restart" in task["last_error"]]:
        pass
    assert here.log().count("refuses the PIN: PinIncorrect") == 1
    hsm.pin_file.write_text(PIN)
    here.stop()
    here.start()
    judges = Judges([here.folder / "keys/root.pem", here.folder / "new/keys/root.pem"])
    assert receipts(here, world.ali, 2, judges, message["Message-ID"]) == {ACCEPTED: 1, DELIVERED: 1}
