"""``kepgw ledger``: heads and proofs that anybody can check, and every damage that plain SQL can do is found."""

import base64
import hashlib
import json
import shutil
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from kepgw.app.config import load
from kepgw.store import ledger, messages
from kepgw.store.engine import Store
from kepgw.store.octets import put_blob

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
COUNT = 13


def add(store, first, last):
    def work(tx):
        for number in range(first, last + 1):
            put_blob(tx, 202611, number, [f"<delil n='{number}'/>".encode()])
            row = messages.EvidenceRow(
                202611, f"delil.{number}@hs90.kep.tr", 5, 1, None, 10, "hs90.kep.tr", True,
                AT + timedelta(seconds=number), "", number, None,
            )  # fmt: skip
            messages.record_evidence(tx, row)

    store.write_now(work)


@pytest.fixture(scope="module")
def kept(made, tmp_path_factory):
    """A provider with 13 evidence under heads of 4, 9 and 11, and the files of these heads."""
    from kepgw.app.cli import main

    folder = shutil.copytree(made / "hs90", tmp_path_factory.mktemp("kept") / "hs90")
    done = 0
    for size in (4, 9, 11):
        store = Store.open(load(folder).store_path)
        add(store, done + 1, size)
        store.close()
        done = size
        assert main(["ledger", "head", str(folder), "--fresh", "--out", str(folder / f"head-{size}.json")]) == 0
    store = Store.open(load(folder).store_path)
    add(store, done + 1, COUNT)
    store.close()
    return folder


@pytest.fixture
def spoilt(kept, tmp_path):
    """spoilt(sql) -> a copy of the provider, its store changed by plain SQL from outside."""

    def spoil(*statements):
        folder = shutil.copytree(kept, tmp_path / f"spoilt-{len(list(tmp_path.iterdir()))}")
        connection = sqlite3.connect(folder / "kepgw.sqlite")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()
        return folder

    return spoil


def verify(kepgw, folder, *heads):
    arguments = [part for size in heads for part in ("--head", folder / f"head-{size}.json")]
    done = kepgw("ledger", "verify", folder, "--json", *arguments)
    return done, json.loads(done.out)


def kinds(report):
    return {(each["kind"], each["seq"]) for each in report["findings"]}


def test_a_sound_ledger(kepgw, kept):
    done, report = verify(kepgw, kept, 4, 9, 11)
    assert done.status == 0
    assert (report["good"], report["records"], report["signed"], report["heads"]) == (True, COUNT, 11, 6)
    shown = kepgw("ledger", "verify", kept)
    assert b"ok           13 records" in shown.octets
    assert b"2 records are newer" in shown.octets


SWAP = (
    "UPDATE evidence SET seq = -1 WHERE seq = 3",
    "UPDATE evidence SET seq = 3 WHERE seq = 7",
    "UPDATE evidence SET seq = 7 WHERE seq = -1",
)
DAMAGES = {
    "octets": (["UPDATE blob_chunk SET data = x'3c612f3e' WHERE blob = 5"], {("changed", 5)}),
    "one octet of the newest": (
        ["UPDATE blob_chunk SET data = replace(data, '13', '31') WHERE blob = 13"],
        {("changed", 13)},
    ),
    "no octets": (["DELETE FROM blob_chunk WHERE blob = 5"], {("changed", 5)}),
    "other octets": (["UPDATE evidence SET blob = 6 WHERE seq = 5"], {("changed", 5)}),
    "code": (["UPDATE evidence SET code = 40 WHERE seq = 5"], {("changed", 5)}),
    "event time": (["UPDATE evidence SET event_time = event_time + 1 WHERE seq = 5"], {("changed", 5)}),
    "issuer": (["UPDATE evidence SET issuer = 'hs91.kep.tr' WHERE seq = 1"], {("changed", 1)}),
    "identifier": (["UPDATE evidence SET id = 'x' WHERE seq = 13"], {("changed", 13)}),
    "message": (["UPDATE evidence SET message = 2 WHERE seq = 2"], {("changed", 2)}),
    "dispatch": (["UPDATE evidence SET dispatch = NULL WHERE seq = 2"], {("changed", 2)}),
    "recipient": (["UPDATE evidence SET ordinal = 1 WHERE seq = 2"], {("changed", 2)}),
    "reason": (["UPDATE evidence SET reason = 'UnknownRecipient' WHERE seq = 2"], {("changed", 2)}),
    "whose": (["UPDATE evidence SET own = 0 WHERE seq = 2"], {("changed", 2)}),
    "not a text": (["UPDATE evidence SET id = CAST(x'ff00' AS TEXT) WHERE seq = 2"], {("changed", 2)}),
    "not a number": (["UPDATE evidence SET event_time = 'soon' WHERE seq = 2"], {("changed", 2)}),
    "no time at all": (["UPDATE evidence SET event_time = 9223372036854775807 WHERE seq = 2"], {("changed", 2)}),
    "a blob for a name": (["UPDATE evidence SET issuer = x'00' WHERE seq = 2"], {("changed", 2)}),
    "missing": (["DELETE FROM evidence WHERE seq = 6"], {("missing", 6)}),
    "missing at the end": (["DELETE FROM evidence WHERE seq = 13"], {("missing", 13)}),
    "missing, others moved up": (
        [
            "DELETE FROM evidence WHERE seq = 11",
            "UPDATE evidence SET seq = 11 WHERE seq = 12",
            "UPDATE evidence SET seq = 12 WHERE seq = 13",
            "UPDATE counter SET value = 12 WHERE name = 'evidence'",
        ],
        {("reordered", 11), ("reordered", 12), ("missing", 13)},
    ),
    "reordered": (SWAP, {("reordered", 3), ("reordered", 7)}),
    "put in past the ledger": (
        ["INSERT INTO evidence SELECT month, 'x', 14, dispatch, message, ordinal, code, issuer, own, event_time,"
         " reason, blob, receipt FROM evidence WHERE seq = 1"],
        {("outside", 14)},
    ),
    "leaf": (["UPDATE ledger_node SET hash = randomblob(32) WHERE id = 0"], {("changed", 1), ("tree", 2), ("head", 4)}),
    "leaf of another kind": (["UPDATE ledger_node SET hash = 'x' WHERE id = 0"], {("tree", 1)}),
    "node": (["UPDATE ledger_node SET hash = randomblob(32) WHERE id = 2"], {("tree", 2)}),
    "no node": (["DELETE FROM ledger_node WHERE id = 2"], {("tree", 2)}),
    "edge": (["UPDATE ledger_tree SET edge = randomblob(96)"], {("tree", 13)}),
    "no tree": (["DELETE FROM ledger_tree"], {("truncated", 0), ("outside", 1), ("truncated", 4)}),
    "size": (["UPDATE ledger_tree SET size = 4611686018427387904"], {("truncated", 36)}),
    "counter": (["UPDATE counter SET value = 99 WHERE name = 'evidence'"], {("tree", 13)}),
    "statement": (
        ["UPDATE ledger_head SET statement = replace(statement, 'hs90', 'hs91') WHERE size = 9"],
        {("signature", 9)},
    ),
    "signature": (
        ["UPDATE ledger_head SET signature = (SELECT signature FROM ledger_head WHERE size = 4) WHERE size = 9"],
        {("signature", 9)},
    ),
    "signature is rubbish": (["UPDATE ledger_head SET signature = 'rubbish' WHERE size = 9"], {("signature", 9)}),
    "token": (
        ["UPDATE ledger_head SET token = (SELECT token FROM ledger_head WHERE size = 4) WHERE size = 9"],
        {("signature", 9)},
    ),
    "no token": (["UPDATE ledger_head SET token = x'' WHERE size = 9"], {("signature", 9)}),
    "head of another size": (["UPDATE ledger_head SET size = 10 WHERE size = 9"], {("head", 10)}),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found(kepgw, spoilt, name):
    statements, expected = DAMAGES[name]
    done, report = verify(kepgw, spoilt(*statements))
    assert done.status == 1
    assert not report["good"]
    assert expected <= kinds(report), report["findings"]
    if all(kind in {"changed", "missing", "reordered", "signature"} for kind, _ in expected):
        precise = {each for each in kinds(report) if each[0] not in {"truncated", "tree"}}
        assert precise == expected, "and nothing else is accused"


def rewrite(folder, last, *, change=None, heads="DELETE FROM ledger_head WHERE size > ?"):
    """A forger with the whole store and the program, but without the keys: a tree that fits itself again."""
    connection = sqlite3.connect(folder / "kepgw.sqlite")
    connection.execute("DELETE FROM evidence WHERE seq > ?", (last,))
    connection.execute("UPDATE counter SET value = ? WHERE name = 'evidence'", (last,))
    if change:
        connection.execute(change)
    connection.execute(heads, (last,))
    connection.execute("DELETE FROM ledger_node")
    connection.execute("DELETE FROM ledger_tree")
    connection.commit()
    connection.close()
    store = Store(folder / "kepgw.sqlite")

    def work(tx):
        for row in ledger.records(tx, 0, last):
            ledger.append(tx, row.record)

    store.write_now(work)
    store.close()


def test_a_ledger_made_to_fit_again_does_not_fit_its_heads(kepgw, spoilt):
    folder = spoilt()
    rewrite(folder, COUNT, change="UPDATE evidence SET code = 40 WHERE seq = 6")
    done, report = verify(kepgw, folder)
    assert done.status == 1
    assert kinds(report) == {("head", 9), ("head", 11)}
    assert "between 5 and 9" in report["findings"][0]["text"]


def test_the_newest_rows_cut_off_with_all_traces_are_missed_by_an_exported_head(kepgw, spoilt):
    folder = spoilt()
    rewrite(folder, 10)
    done, report = verify(kepgw, folder)
    assert done.status == 0, "from inside nothing can be seen: that is what exported heads are for"
    done, report = verify(kepgw, folder, 11)
    assert done.status == 1
    assert kinds(report) == {("truncated", 11)}


def test_changed_rows_under_deleted_heads_are_missed_by_an_exported_head(kepgw, spoilt):
    folder = spoilt()
    rewrite(
        folder,
        COUNT,
        change="UPDATE evidence SET code = 40 WHERE seq = 11",
        heads="DELETE FROM ledger_head WHERE size > 9 AND ? > 0",
    )
    assert verify(kepgw, folder, 9)[0].status == 0
    done, report = verify(kepgw, folder, 9, 11)
    assert done.status == 1
    assert kinds(report) == {("head", 11)}


def test_a_head_of_another_provider_or_a_forged_one(kepgw, kept, made, tmp_path):
    other = shutil.copytree(made / "hs91", tmp_path / "hs91")
    store = Store.open(load(other).store_path)
    add(store, 1, 2)
    store.close()
    assert kepgw("ledger", "head", other, "--fresh", "--out", tmp_path / "other.json").status == 0
    done = kepgw("ledger", "verify", kept, "--head", tmp_path / "other.json", "--json")
    assert done.status == 1
    assert kinds(json.loads(done.out)) == {("signature", 2)}


def test_what_cannot_be_examined_is_unusable(kepgw, kept, tmp_path):
    assert kepgw("ledger", "verify", tmp_path / "nowhere").status == 2
    (tmp_path / "x.json").write_text("{}")
    for content in ("{}", "", '{"format": "kepgw-tree-head/1", "statement": 7}', "[" * 100_000):
        (tmp_path / "x.json").write_text(content)
        done = kepgw("ledger", "verify", kept, "--head", tmp_path / "x.json")
        assert done.status == 2
        assert "Traceback" not in done.err
    assert kepgw("ledger", "verify", kept, "--head", tmp_path / "none.json").status == 2
    broken = shutil.copytree(kept, tmp_path / "broken")
    (broken / "kepgw.sqlite").write_bytes(b"not a database" * 5000)
    assert kepgw("ledger", "verify", broken).status == 2
    (broken / "kepgw.sqlite").unlink()
    assert kepgw("ledger", "verify", broken).status == 2


# -- heads and proofs, judged by nothing of ours ----------------------------------------------------------------------


def sha(octets):
    return hashlib.sha256(octets).digest()


def climb(proof, size):
    """RFC 6962 2.1.1 by itself: the root that a proof leads to."""

    def up(index, size, path):
        if size == 1:
            assert not path
            return sha(b"\0" + proof["record"].encode())
        half = 1
        while half * 2 < size:
            half *= 2
        top = bytes.fromhex(path[-1])
        if index < half:
            return sha(b"\1" + up(index, half, path[:-1]) + top)
        return sha(b"\1" + top + up(index - half, size - half, path[:-1]))

    return up(proof["index"], size, proof["path"]).hex()


def openssl_agrees(head, root, folder):
    for name in ("signature", "token"):
        (folder / name).write_bytes(base64.b64decode(head[name]))
    (folder / "statement").write_bytes(head["statement"].encode())
    for command in (
        "cms -verify -cades -binary -inform DER -in signature -content statement -out /dev/null -purpose any",
        "ts -verify -data signature -in token -token_in",
    ):
        done = subprocess.run(
            ["openssl", *command.split(), "-CAfile", root], cwd=folder, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_a_proof_leads_to_a_root_that_openssl_finds_signed_and_stamped(kepgw, kept, tmp_path):
    for number in range(1, 12):
        name = str(number) if number % 2 else f"delil.{number}@hs90.kep.tr"
        done = kepgw("ledger", "prove", kept, "--evidence", name)
        proof = json.loads(done.out)
        said = json.loads(proof["head"]["statement"])
        assert (said["ledger"], said["size"], proof["index"]) == ("hs90.kep.tr", 11, number - 1)
        assert climb(proof, said["size"]) == said["root"]
        record = json.loads(proof["record"])
        assert record["digest"] == sha(f"<delil n='{number}'/>".encode()).hex()
        assert record["id"] == f"delil.{number}@hs90.kep.tr"
    openssl_agrees(proof["head"], kept / "keys" / "root.pem", tmp_path)


def test_check_judges_proofs_and_heads_without_the_ledger(kepgw, kept, made, tmp_path):
    root = kept / "keys" / "root.pem"
    proof, xml = tmp_path / "proof.json", tmp_path / "x.xml"
    assert kepgw("ledger", "prove", kept, "--evidence", "7", "--out", proof).status == 0
    xml.write_bytes(b"<delil n='7'/>")
    good = kepgw("ledger", "check", proof, "--trust", root, "--evidence", xml, "--signer", "kep@hs90.kep.tr")
    assert good.status == 0
    assert b"delil.7@hs90.kep.tr" in good.octets
    assert b"DEVELOPMENT" in good.octets
    xml.write_bytes(b"<delil n='8'/>")
    assert kepgw("ledger", "check", proof, "--trust", root, "--evidence", xml).status == 1
    assert kepgw("ledger", "check", proof, "--trust", root, "--signer", "kep@hs91.kep.tr").status == 1
    assert kepgw("ledger", "check", proof, "--trust", made / "hs91/keys/root.pem").status == 1
    assert kepgw("ledger", "check", kept / "head-4.json", "--trust", root).status == 0
    data = json.loads(proof.read_text("utf-8"))
    for change in ({"record": data["record"].replace("10", "40")}, {"index": 5}, {"path": data["path"][:-1]}):
        proof.write_text(json.dumps(data | change), "utf-8")
        assert kepgw("ledger", "check", proof, "--trust", root).status == 1
    for change in ({"path": ["00"]}, {"path": 5}, {"head": 5}, {"format": "x"}, {"index": None}):
        proof.write_text(json.dumps(data | change), "utf-8")
        assert kepgw("ledger", "check", proof, "--trust", root).status == 2


def test_the_newest_head_continues_each_older_one(kepgw, kept, spoilt, tmp_path):
    root = kept / "keys" / "root.pem"
    for size in (4, 9, 11):
        proof = tmp_path / f"{size}.json"
        assert kepgw("ledger", "prove", kept, "--head", kept / f"head-{size}.json", "--out", proof).status == 0
        good = kepgw("ledger", "check", proof, "--trust", root)
        assert good.status == 0
        assert b"continues" in good.octets
    data = json.loads((tmp_path / "4.json").read_text("utf-8"))
    data["path"][0] = "00" * 32
    (tmp_path / "4.json").write_text(json.dumps(data), "utf-8")
    assert kepgw("ledger", "check", tmp_path / "4.json", "--trust", root).status == 1
    folder = spoilt()
    rewrite(folder, COUNT, change="UPDATE evidence SET code = 40 WHERE seq = 2")
    assert kepgw("ledger", "prove", folder, "--head", kept / "head-4.json").status == 1


def test_what_cannot_be_proved(kepgw, kept, spoilt, folder):
    for name in ("delil.99@hs90.kep.tr", "0", "99", "", "12"):
        done = kepgw("ledger", "prove", kept, "--evidence", name)
        assert done.status == 1, name
    assert "--fresh" in done.err, "12 is newer than the newest head"
    assert kepgw("ledger", "prove", kept).status == 2
    assert kepgw("ledger", "head", folder).status == 1, "nothing is signed yet"
    changed = spoilt("UPDATE evidence SET code = 40 WHERE seq = 2")
    assert kepgw("ledger", "prove", changed, "--evidence", "2").status == 2, "we prove nothing that was changed"
