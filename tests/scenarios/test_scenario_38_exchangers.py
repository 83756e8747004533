"""38 A peer that is found by its mail exchanger and known by an authority; the DNS alone decides nothing."""

from dns_house import name_server
from laboratory import compose
from story import ACCEPTED, DELIVERED, RELAYED, receipts

from kepgw.trust import devpki

MX = "mx.hs91.kep.tr"


def send(world, subject, text="Merhaba, ğüşiöç.\n"):
    message = compose(world.ali, [world.veli], subject, text)
    world.here.send(message, world.ali, [world.veli])
    return message


def waiting(world, word):
    """The relay task, once its last attempt says so."""
    while True:
        found = [each for each in world.here.json("queue", "list") if each["kind"] == "relay"]
        if found and word in found[0]["last_error"]:
            return found[0]


def test_by_mx_below_an_authority_at_a_supply_point(make_world, tmp_path):
    world = make_world()
    here, there = world.here, world.there
    devpki.create(tmp_path / "pki", "hs91.kep.tr", "kep@hs91.kep.tr", [MX])
    keys = tmp_path / "pki" / "keys"
    for name in ("tls.pem", "tls.key"):
        (there.folder / "keys" / name).write_bytes((keys / name).read_bytes())
    (there.folder / "keys" / "authority.pem").write_bytes((keys / "root.pem").read_bytes())
    there.configure(
        listen__relay_host="",
        listen__relay_supply_points=[f"{MX}:{there.base + 25}"],
        listen__relay_authorities=["keys/authority.pem"],
    )
    card = there.cli("peer", "card").decode()
    assert "tls_certificate" not in card
    here.peer_with(there)
    (shown,) = here.json("peer", "list")
    assert (shown["relay"], shown["supply_points"]) == (f"MX:{there.base + 25}", [f"{MX}:{there.base + 25}"])
    records = {("hs91.kep.tr", "MX"): [f"10 {MX}."], (MX, "A"): ["127.0.0.1"]}
    with name_server(dict(records)) as dns:
        here.configure(relay__nameservers=[dns.address])
        world.start()
        large = send(world, "Büyük", "Satır. ğ\n.\n" * 200_000)  # several chunks, full of lines with one dot
        small = send(world, "Küçük")
        found = receipts(here, world.ali, 6, world.judges)
        assert found == {ACCEPTED: 2, RELAYED: 2, DELIVERED: 2}
        with there.imap(world.veli) as reader:
            mails = [reader.fetch(uid) for uid in reader.wait_for("INBOX", 2)]
        world.judges.messages(mails)
        for message in (large, small):
            original = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
            assert sum(original in mail for mail in mails) == 1, "byte for byte"
        # somebody who can answer for the DNS names a host of his own
        dns.records[("hs91.kep.tr", "MX")] = ["10 evil.kep.tr."]
        dns.records[("evil.kep.tr", "A")] = ["127.0.0.1"]
        here.cli("reload")
        third = send(world, "Yanlış yere gitmez")
        waiting(world, "service supply point")
        assert ("evil.kep.tr", "A") not in dns.asked
        dns.records |= records
        here.cli("reload")
        here.cli("queue", "retry")
        found = receipts(here, world.ali, 3, world.judges, third["Message-ID"])
        assert found == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
