"""``kepgw archive``: records that leave the provider, holds, and deletions that leave their proof."""

import hashlib
import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from kepgw.app.config import load
from kepgw.message.rendering import render
from kepgw.store import messages, tasks
from kepgw.store.accounts import account_by_address
from kepgw.store.engine import Store
from kepgw.store.ids import month_of
from kepgw.store.mailboxes import INBOX, Standard, deliver
from kepgw.store.octets import ContentRef, Span, put_blob, put_content
from kepgw.store.retention import kept_until

OLD = datetime(2003, 5, 5, 9, 0, tzinfo=UTC)
NEW = datetime(2026, 5, 5, 9, 0, tzinfo=UTC)


def add(store, number, t0=OLD, shared=None, account=None):
    """A message with evidence 10 and 40; ``shared``: its dispatch is the blob of another message's dispatch."""
    month, base = month_of(t0), number * 100
    original = f"Subject: gizli {number}\r\n\r\nMerhaba\r\n".encode()
    head = f"Subject: zarf {number}\r\n\r\n".encode()

    def work(tx):
        put_blob(tx, month, base, [original])
        put_content(tx, ContentRef(month, base), [Span(base, 0, len(original))], render(original))
        messages.insert_message(
            tx,
            messages.Message(
                month, base, "out", None, None, None, "ayse@hs90.kep.tr", "Ayşe", f"gizli {number}", f"<{number}@x>",
                t0, len(original), False, hashlib.sha256(original).digest(), base, {"to": ["x"]}, "accepted",
            ),
        )  # fmt: skip
        if shared is None:
            put_blob(tx, month, base + 1, [head])
            spans = [Span(base + 1, 0, len(head)), Span(base, 0, len(original))]
            put_content(tx, ContentRef(month, base + 1), spans, render(head))
        content, digest = (base + 1 if shared is None else shared), hashlib.sha256(original).digest()
        dispatch = messages.Dispatch(
            month, base, base, f"r{number}", f"d{number}", False, "tr-kep", digest, "issued", content
        )
        person = messages.Recipient(1, "ali@hs91.kep.tr", "Ali", "hs91.kep.tr", None, messages.State.DELIVERED)
        messages.insert_dispatch(tx, dispatch, [person], t0)
        if account:
            found = account_by_address(tx, account)
            deliver(
                tx, Standard(found.id, INBOX), ContentRef(month, content), size=1, kind="dispatch", at=t0, message=base
            )
        for code in (10, 40):
            put_blob(tx, month, base + code, [f"<delil m='{number}' code='{code}' kime='gizli'/>".encode()])
            row = messages.EvidenceRow(
                month, f"delil.{number}.{code}@hs90.kep.tr", base, base, None, code, "hs90.kep.tr", True,
                t0 + timedelta(seconds=code), "", base + code, None,
            )  # fmt: skip
            messages.record_evidence(tx, row)

    store.write_now(work)


@pytest.fixture
def fill(folder):
    """fill(add, ...) works on the provider's store."""

    def work(*calls):
        store = Store.open(load(folder).store_path)
        try:
            for arguments, more in calls:
                add(store, *arguments, **more)
        finally:
            store.close()

    return work


def message(*arguments, **more):
    return arguments, more


def rows(folder, sql):
    connection = sqlite3.connect(folder / "kepgw.sqlite")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def dumped(folder):
    """Everything that the store still says."""
    connection = sqlite3.connect(folder / "kepgw.sqlite")
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()


DELETE = ("--before", "2010-01-01", "--reason", "saklama süresi doldu", "--by", "Hukuk Müşaviri")


def verified(kepgw, folder, *more):
    ledger = kepgw("ledger", "verify", folder, "--json", *more)
    archive = kepgw("archive", "verify", folder, "--json")
    return json.loads(ledger.out), json.loads(archive.out)


def test_a_record_leaves_and_is_judged_over_files(kepgw, folder, fill, tmp_path):
    fill(message(1, NEW), message(2, NEW))
    assert kepgw("archive", "record", folder, "1").status == 1, "nothing is stamped yet"
    assert kepgw("archive", "now", folder).status == 0
    ers, xml, original = tmp_path / "1.ers", tmp_path / "1.xml", tmp_path / "original.eml"
    assert kepgw("archive", "record", folder, "delil.1.10@hs90.kep.tr", "--out", ers).status == 0
    xml.write_bytes(b"<delil m='1' code='10' kime='gizli'/>")
    original.write_bytes(b"Subject: gizli 1\r\n\r\nMerhaba\r\n")
    root = folder / "keys" / "root.pem"
    good = kepgw("archive", "check", ers, xml, original, "--trust", root)
    assert (good.status, good.out.count("ok ")) == (0, 2)
    original.write_bytes(b"Subject: gizli 1\r\n\r\nMerhabb\r\n")
    bad = kepgw("archive", "check", ers, xml, original, "--trust", root)
    assert (bad.status, bad.out.count("BAD ")) == (1, 1)
    assert kepgw("archive", "check", xml, xml, "--trust", root).status == 2, "not a record"
    assert kepgw("archive", "check", ers, tmp_path / "none", "--trust", root).status == 2
    # renewed, an older record still holds, and the new one says more
    assert kepgw("archive", "renew", folder).status == 0
    assert kepgw("archive", "renew", folder, "--hash", "sha512").status == 0
    assert kepgw("archive", "renew", folder, "--hash", "md5").status == 1
    assert kepgw("archive", "check", ers, xml, "--trust", root).status == 0
    assert kepgw("archive", "record", folder, "1", "--out", ers).status == 0
    assert "3 stamps hold" in kepgw("archive", "check", ers, xml, "--trust", root).out
    assert kepgw("archive", "verify", folder).status == 0
    status = json.loads(kepgw("archive", "status", folder, "--json").out)
    assert (status["volumes"], status["waiting"], status["newest_seq"]) == (1, 0, 4)


def test_a_deletion_leaves_its_proof_and_nothing_of_the_message(kepgw, folder, fill, tmp_path):
    fill(message(1), message(2, NEW))
    kepgw("archive", "now", folder)
    kepgw("ledger", "head", folder, "--fresh", "--out", tmp_path / "before.json")
    listed = kepgw("archive", "delete", folder, *DELETE)
    assert "would go     message 100" in listed.out
    assert "message 200" not in listed.out
    assert dumped(folder).count("gizli 1") > 0, "a list changes nothing"
    done = kepgw("archive", "delete", folder, *DELETE, "--execute")
    assert done.status == 0
    assert "message 100: 4 documents, record 5" in done.out
    ledger, archive = verified(kepgw, folder, "--head", tmp_path / "before.json")
    assert (ledger["good"], ledger["records"], ledger["deleted"]) == (True, 5, 2), ledger["findings"]
    assert (archive["good"], archive["documents"], archive["deleted"]) == (True, 8, 4), archive["findings"]
    left = dumped(folder)
    for gone in ("gizli 1", "delil m=''1''", "zarf 1"):
        assert gone not in left
    assert rows(folder, "SELECT count(*) FROM recipient WHERE dispatch = 100") == [(0,)]
    assert b"gizli 1" not in (folder / "kepgw.sqlite").read_bytes(), "overwritten, not only forgotten"
    assert b"gizli 2" in (folder / "kepgw.sqlite").read_bytes()

    # the proof: who, when, why, which digests, under a signed head, judged without the provider
    kepgw("ledger", "head", folder, "--fresh")
    assert kepgw("ledger", "prove", folder, "--evidence", "5", "--out", tmp_path / "proof.json").status == 0
    record = json.loads(json.loads((tmp_path / "proof.json").read_text("utf-8"))["record"])
    digest = hashlib.sha256(b"<delil m='1' code='40' kime='gizli'/>").hexdigest()
    assert record["by"] == "Hukuk Müşaviri"
    assert {"digest": digest, "kind": "evidence", "seq": 2, "size": 37} in record["documents"]
    assert {each["kind"] for each in record["documents"]} == {"evidence", "dispatch", "original"}
    (tmp_path / "x.xml").write_bytes(b"<delil m='1' code='40' kime='gizli'/>")
    root = folder / "keys" / "root.pem"
    checked = kepgw("ledger", "check", tmp_path / "proof.json", "--trust", root, "--evidence", tmp_path / "x.xml")
    assert checked.status == 0
    assert "deleted by Hukuk Müşaviri" in checked.out
    # the record of a deleted evidence still proves a copy that somebody kept
    assert kepgw("archive", "record", folder, "2", "--out", tmp_path / "2.ers").status == 0
    assert kepgw("archive", "check", tmp_path / "2.ers", tmp_path / "x.xml", "--trust", root).status == 0
    # what is left goes on: the deletion is archived, renewed, and nothing is deleted twice
    assert kepgw("archive", "now", folder).status == 0
    assert kepgw("archive", "renew", folder, "--hash", "sha512").status == 0
    assert kepgw("archive", "record", folder, "5").status == 0
    assert "0 messages deleted" in kepgw("archive", "delete", folder, *DELETE, "--execute").err
    ledger, archive = verified(kepgw, folder)
    assert (ledger["good"], archive["good"]) == (True, True), archive["findings"]
    assert kepgw("message", "show", folder, "100").status == 0
    assert "was deleted" in kepgw("evidence", "export", folder, "--message", "100", "--out", tmp_path / "x").err


def test_holds_and_retention_stand_against_a_deletion(kepgw, folder, fill):
    fill(message(1), message(2), message(3, datetime(2009, 1, 1, tzinfo=UTC)))
    hold = ("--message", "100", "--by", "Savcılık", "--reason", "soruşturma 2026/1")
    assert kepgw("archive", "hold", folder, *hold).status == 0
    assert kepgw("archive", "hold", folder, "--message", "100", "--by", " ", "--reason", "x").status == 1
    listed = kepgw("archive", "delete", folder, *DELETE).out
    assert "legal hold: message 100" in listed
    assert "would go     message 200" in listed
    assert "within retention: message 300" in listed
    done = kepgw("archive", "delete", folder, *DELETE, "--execute")
    assert [line.split()[2] for line in done.out.splitlines()] == ["200:"]
    (held,) = json.loads(kepgw("archive", "holds", folder, "--json").out)
    assert (held["message"], held["placed_by"], held["released"]) == ("100", "Savcılık", None)
    assert kepgw("archive", "release", folder, *hold).status == 0
    assert kepgw("archive", "release", folder, *hold).status == 1, "there is none any more"
    assert json.loads(kepgw("archive", "holds", folder, "--json").out) == []
    (held,) = json.loads(kepgw("archive", "holds", folder, "--all", "--json").out)
    assert held["release_reason"] == "soruşturma 2026/1"
    assert "message 100" in kepgw("archive", "delete", folder, *DELETE, "--execute").out
    acts = [act for (act,) in rows(folder, "SELECT act FROM audit ORDER BY id")]
    assert acts == ["hold-placed", "message-deleted", "hold-released", "message-deleted"]
    assert verified(kepgw, folder)[0]["good"]


def test_a_message_under_way_stays(kepgw, folder, fill):
    fill(message(1))
    store = Store.open(load(folder).store_path)
    waiting = tasks.Task(tasks.Kind.RELAY, 200305, 100, 100, "hs91.kep.tr", OLD, {}, OLD)
    store.write_now(lambda tx: tasks.add(tx, waiting))
    store.close()
    assert "still under way: message 100" in kepgw("archive", "delete", folder, *DELETE).out
    assert "0 messages deleted" in kepgw("archive", "delete", folder, *DELETE, "--execute").err


def test_shared_contents_survive_as_long_as_one_needs_them(kepgw, folder, fill):
    assert kepgw("account", "add", folder, "veli@hs90.kep.tr", "--password-stdin", stdin=b"parola123456\n").status == 0
    fill(message(1, account="veli@hs90.kep.tr"), message(2, shared=101, account="veli@hs90.kep.tr"))
    by = ("--by", "x", "--reason", "y")
    kepgw("archive", "now", folder)
    kepgw("archive", "hold", folder, "--message", "200", *by)
    assert "message 100" in kepgw("archive", "delete", folder, *DELETE, "--execute").out
    # the dispatch of 200 is spans over blobs of 100, which is gone
    assert rows(folder, "SELECT id FROM blob ORDER BY id") == [(100,), (101,), (200,), (210,), (240,)]
    assert rows(folder, "SELECT id FROM content ORDER BY id") == [(101,), (200,)]
    assert rows(folder, "SELECT message FROM mail") == [(200,)]
    ledger, archive = verified(kepgw, folder)
    assert (ledger["good"], archive["good"], archive["deleted"]) == (True, True, 3), archive["findings"]
    kepgw("archive", "release", folder, "--message", "200", *by)
    assert "message 200" in kepgw("archive", "delete", folder, *DELETE, "--execute").out
    for table in ("blob", "blob_chunk", "content", "mail"):
        assert rows(folder, f"SELECT count(*) FROM {table}") == [(0,)], table


def test_damage_is_never_covered_by_a_deletion(kepgw, folder, fill):
    fill(message(1), message(2))
    connection = sqlite3.connect(folder / "kepgw.sqlite")
    connection.execute("UPDATE blob_chunk SET data = x'3c612f3e' WHERE blob = 140")
    connection.commit()
    connection.close()
    done = kepgw("archive", "delete", folder, *DELETE, "--execute")
    assert done.status == 1
    assert "BAD          message 100" in done.out
    assert "deleted      message 200" in done.out
    report = verified(kepgw, folder)[0]
    assert [each["seq"] for each in report["findings"]] == [2]


FORGERIES = {
    "evidence without a deletion": "INSERT INTO deleted_evidence VALUES (3, (SELECT digest FROM d), 9)",
    "more than its deletion names": "UPDATE deleted_evidence SET deletion = 5 WHERE seq = 1;"
    "INSERT INTO deleted_evidence VALUES (3, x'00', 5)",
    "another digest": "UPDATE deleted_evidence SET digest = zeroblob(32) WHERE seq = 1",
    "another reason": "UPDATE deletion SET record = CAST(replace(record, 'saklama', 'baskaca') AS BLOB)",
    "no deletion": "DELETE FROM deletion",
    "no mark": "DELETE FROM deleted_evidence WHERE seq = 2",
    "rubbish": "UPDATE deletion SET record = 'x'",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_deletion_that_was_not_recorded_is_found(kepgw, folder, fill, name):
    fill(message(1), message(2, NEW))
    assert kepgw("archive", "delete", folder, *DELETE, "--execute").status == 0
    assert verified(kepgw, folder)[0]["good"]
    connection = sqlite3.connect(folder / "kepgw.sqlite")
    connection.execute("CREATE TEMP TABLE d AS SELECT zeroblob(32) AS digest")
    connection.executescript(FORGERIES[name])
    connection.commit()
    connection.close()
    report = verified(kepgw, folder)[0]
    assert not report["good"]


def test_what_cannot_be_asked(kepgw, folder, fill):
    fill(message(1))
    assert kepgw("archive", "delete", folder, "--before", "gestern", "--reason", "x", "--by", "y").status == 2
    assert (
        kepgw("archive", "delete", folder, "--before", "2010-01-01", "--reason", "x", "--by", " ", "--execute").status
        == 1
    )
    assert kepgw("archive", "hold", folder, "--message", "999", "--reason", "x", "--by", "y").status == 1
    assert kepgw("archive", "verify", folder / "nowhere").status == 2


@pytest.mark.parametrize(
    ("last", "years", "expected"),
    [
        (datetime(2004, 2, 29, 12, tzinfo=UTC), 20, datetime(2024, 2, 29, 12, tzinfo=UTC)),
        (datetime(2004, 2, 29, 12, tzinfo=UTC), 21, datetime(2025, 3, 1, 12, tzinfo=UTC)),
        (datetime(2003, 5, 5, tzinfo=UTC), 20, datetime(2023, 5, 5, tzinfo=UTC)),
    ],
)
def test_retention_is_counted_in_calendar_years(last, years, expected):
    assert kept_until(last, years) == expected
