"""11 The ledger between two providers: heads by themselves, proofs while they run, a cut-off that a head betrays."""

import json
import sqlite3

from laboratory import KEPGW, compose, run
from story import receipts


def test_ledger(world):
    for number in range(3):
        message = compose(world.ali, [world.veli], f"Defter {number}", "Kayda geçsin.\n")
        world.here.send(message, world.ali, [world.veli])
        receipts(world.here, world.ali, 3, world.judges, message["Message-ID"])
    root = world.here.folder / "keys" / "root.pem"
    head = world.here.folder.parent / "head.json"

    # running: what we issued (10) and what the peer did (20, 40) is in the tree, each provable from outside
    world.here.cli("ledger", "head", "--fresh", "--out", head)
    said = json.loads(json.loads(head.read_text("utf-8"))["statement"])
    assert said["size"] == 9
    evidence = world.here.json("evidence", "list", "--message", message["Message-ID"])
    assert len(evidence) == 3
    for each in evidence:
        proof = world.here.folder.parent / "proof.json"
        proof.write_bytes(world.here.cli("ledger", "prove", "--evidence", each["id"]))
        done = run(*KEPGW, "ledger", "check", proof, "--trust", root)
        assert each["id"].encode() in done.stdout
    assert run(*KEPGW, "ledger", "verify", world.there.folder).returncode == 0, "the peer has a ledger of its own"

    # the tree goes on, and the newer head continues the one that left the machine
    mehmet = world.here.account("mehmet", "Mehmet")
    world.here.send(compose(world.ali, [mehmet], "Yerel", "Bir daha.\n"), world.ali, [mehmet])
    receipts(world.here, world.ali, 11, world.judges)
    world.here.cli("ledger", "head", "--fresh")
    run(*KEPGW, "ledger", "prove", world.here.folder, "--head", head, "--out", proof)
    assert b"continues" in run(*KEPGW, "ledger", "check", proof, "--trust", root).stdout
    report = json.loads(run(*KEPGW, "ledger", "verify", world.here.folder, "--head", head, "--json").stdout)
    assert (report["good"], report["records"], report["signed"]) == (True, 11, 11)

    world.witness()
    # stopped, and somebody cuts off the newest rows with their leaves and heads
    assert world.here.stop() == 0
    assert run(*KEPGW, "ledger", "verify", world.here.folder, "--head", head).returncode == 0
    store = sqlite3.connect(world.here.folder / "kepgw.sqlite")
    store.execute("DELETE FROM evidence WHERE seq > 8")
    store.execute("DELETE FROM ledger_head WHERE size > 8")
    store.execute("DELETE FROM ledger_node WHERE id >= 15")
    store.execute("UPDATE ledger_tree SET size = 8, edge = (SELECT hash FROM ledger_node WHERE id = 14)")
    store.execute("UPDATE counter SET value = 8 WHERE name = 'evidence'")
    store.commit()
    store.close()
    done = run(*KEPGW, "ledger", "verify", world.here.folder, "--head", head, check=False)
    assert done.returncode == 1
    assert b"the newest are gone" in done.stdout
