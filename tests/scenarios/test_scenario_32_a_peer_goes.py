"""32 A peer goes without any list: its provider ends, or its certificate is revoked; 31 at once for what waits."""

import json
from datetime import UTC, datetime

from cryptography import x509
from laboratory import KEPGW, compose, evidences, run
from story import ACCEPTED, DELIVERED, RELAYED, UNREACHED, receipts

from kepgw.trust import devpki


def send(world, subject):
    message = compose(world.ali, [world.veli], subject, "Merhaba.\n")
    world.here.send(message, world.ali, [world.veli])
    assert receipts(world.here, world.ali, 1, world.judges, message["Message-ID"]) == {ACCEPTED: 1}
    return message["Message-ID"]


def failure(world, about):
    """The evidence 31 about a message."""
    assert receipts(world.here, world.ali, 2, world.judges, about) == {ACCEPTED: 1, UNREACHED: 1}
    with world.here.imap(world.ali) as reader:
        uids = reader.wait_for("Deliller", 2, "HEADER", "In-Reply-To", about)
        found = [xml.decode() for uid in uids for _, xml in evidences(reader.fetch(uid))]
    (xml,) = [each for each in found if "RelayREMMDFailure" in each]
    assert "R_REMMD_NotIdenified" in xml
    return xml


def refused_at_rcpt(world):
    with world.here.smtp(world.ali) as client:
        client.mail(world.ali)
        code, text = client.rcpt(world.veli)
    return code, text[:5]


def test_its_provider_has_ended(world):
    """By the table of providers, which a reload takes over; a held dispatch is given up as well."""
    here = world.here
    here.cli("queue", "hold", "--peer", "hs91.kep.tr", "--reason", "Bakım")
    about = send(world, "Bekliyor")
    with (here.folder / "providers.toml").open("a", encoding="utf-8") as file:
        file.write(
            '\n[[provider]]\ndomain = "hs91.kep.tr"\nname = "HS91"\nstate = "ended"\nstarted = 2012\nended = 2026\n'
        )
    run(*KEPGW, "reload", here.folder)
    assert "hizmetini sonlandırdı" in failure(world, about)
    assert refused_at_rcpt(world) == (550, b"5.1.2")
    assert not [each for each in here.json("queue", "list") if each["kind"] == "relay"]


def test_its_certificate_is_revoked(world):
    """Known from a list in the folder; lifted again, the post goes on and the receipts that waited leave."""
    here, there = world.here, world.there
    there.stop()
    about = send(world, "Bekliyor")
    process = x509.load_pem_x509_certificate((there.folder / "keys" / "process.pem").read_bytes())
    hold = x509.ReasonFlags.certificate_hold
    begin = datetime.now(UTC)
    devpki.revoke(there.folder, process, begin, hold)
    theirs = here.folder / "revocation" / "hs91.crl"
    theirs.write_bytes((there.folder / "revocation" / "intermediate.crl").read_bytes())
    here.cli("trust", "refresh")
    assert "iptal edildi" in failure(world, about)
    assert refused_at_rcpt(world) == (550, b"5.1.2")
    (peer,) = json.loads(run(*KEPGW, "peer", "list", here.folder, "--json").stdout)
    assert peer["standing"]["state"] == "out"
    devpki.revoke(there.folder, process, datetime.now(UTC), restore=True)
    theirs.write_bytes((there.folder / "revocation" / "intermediate.crl").read_bytes())
    here.cli("trust", "refresh")
    there.start()
    message = compose(world.ali, [world.veli], "Yine", "Merhaba.\n")
    here.send(message, world.ali, [world.veli])
    expected = {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    assert receipts(here, world.ali, 3, world.judges, message["Message-ID"]) == expected
