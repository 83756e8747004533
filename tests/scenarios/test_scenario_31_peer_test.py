"""31 kepgw peer test: against a real provider, one that has lost our card, one with a new certificate, and Postfix."""

import json
import shutil

from laboratory import KEPGW, compose, run
from story import receipts


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
