"""41 What is set for one peer: its window, a way that its card does not know, a size, a spelling; by a reload."""

import re
import tempfile

from laboratory import KEPGW, compose, evidences, run
from story import ACCEPTED, DELIVERED, RELAYED, UNREACHED, receipts


def send(world, subject, text="Merhaba.\n"):
    message = compose(world.ali, [world.veli], subject, text)
    world.here.send(message, world.ali, [world.veli])
    return message["Message-ID"]


def test_a_table_for_one_peer(make_world):
    world = make_world()
    here, there = world.here, world.there
    card = there.cli("peer", "card").decode()
    wrong = re.sub(r"(?m)^port = \d+$", "port = 9", card)  # nobody takes mail there
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(wrong.encode())
        file.flush()
        run(*KEPGW, "peer", "add", here.folder, file.name)
    plain = (here.folder / "kepgw.toml").read_text("utf-8")
    spelled = '[peer.evidence]\nother_events = "http://uri.etsi.org/REM/Event#"\n'
    here.append(f'[[peer]]\ndomain = "hs91.kep.tr"\nwindow = 3\n{spelled}')
    world.start()
    first = send(world, "Penceresi kısa")
    assert receipts(here, world.ali, 2, world.judges, first) == {ACCEPTED: 1, UNREACHED: 1}, "not after a day"
    with here.imap(world.ali) as reader:
        xmls = [evidences(reader.fetch(uid))[0][1] for uid in reader.wait_for("Deliller", 2)]
    assert sum(b">http://uri.etsi.org/REM/Event#DeliveryExpiration<" in xml for xml in xmls) == 1, "spelled for it"
    # the way, and a size, without a restart
    (here.folder / "kepgw.toml").write_text(plain, "utf-8")
    way = f'host = "127.0.0.1"\nport = {there.base + 25}'
    here.append(f'[[peer]]\ndomain = "hs91.kep.tr"\n{way}\nlargest_octets = 60000\n{spelled}')
    found = here.json("reload")
    assert found["changed"] == [f"peer.hs91.kep.tr.{name}" for name in ("host", "largest_octets", "port", "window")]
    assert found["restart"] == []
    second = send(world, "Yolu bulundu")
    assert receipts(here, world.ali, 3, world.judges, second) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    third = send(world, "Çok büyük", "Satır.\n" * 20_000)
    assert receipts(here, world.ali, 2, world.judges, third) == {ACCEPTED: 1, UNREACHED: 1}, "it is not even tried"
    with here.imap(world.ali) as reader:
        uids = reader.wait_for("Deliller", 2, "HEADER", "In-Reply-To", third)
        told = [xml for uid in uids for _, xml in evidences(reader.fetch(uid)) if b"DeliveryExpiration" in xml]
    assert b"60000" in told[0]
    with there.imap(world.veli) as reader:
        assert len(reader.wait_for("INBOX", 1)) == 1
