"""``kepgw evidence export``: the whole case, byte for byte, in a layout that anybody can read."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from datetime import UTC, datetime

import pytest

from kepgw.app import cases
from kepgw.app.config import load
from kepgw.errors import StoreError
from kepgw.evidence import ledger as documents
from kepgw.message.rendering import render
from kepgw.store import messages
from kepgw.store.engine import Store
from kepgw.store.ids import new_id
from kepgw.store.octets import ContentRef, Span, put_blob, put_content

CHANGING = {"case.json", "report/report.html", "report/report.pdf"}


def export(kepgw, filled, *arguments):
    done = kepgw("evidence", "export", filled.folder, "--message", filled.number, *arguments)
    assert done.status == 0, done.err
    return done


def unpacked(octets):
    with zipfile.ZipFile(io.BytesIO(octets)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def give_original(filled, octets):
    """Put the original into the store, as the submission of the message would have."""
    store = Store.open(load(filled.folder).store_path)
    blob, content = new_id(datetime.now(UTC)), new_id(datetime.now(UTC))

    def work(tx):
        month, number = tx.row("SELECT month, id FROM message")
        size = put_blob(tx, month, blob, [octets])
        put_content(tx, ContentRef(month, content), [Span(blob, 0, size)], render(octets))
        tx.run("UPDATE message SET content = ? WHERE month = ? AND id = ?", content, month, number)

    store.write_now(work)
    store.close()


@pytest.fixture
def whole(filled, original):
    give_original(filled, original)
    return filled


def test_the_layout(kepgw, whole, original, tmp_path):
    done = export(kepgw, whole, "--zip", "-", "--out", tmp_path / "out")
    files = unpacked(done.octets)
    folder = tmp_path / "out"
    assert {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()} == files
    manifest = json.loads(files["case.json"])
    assert manifest["format"] == "kepgw-case/1"
    assert (manifest["provider"], manifest["message"]["message_id"]) == ("hs90.kep.tr", "<1@ayse>")
    assert manifest["message"]["sha256"] == hashlib.sha256(original).hexdigest()
    assert manifest["development"] is True
    listed = {each["path"]: each for each in manifest["files"]}
    assert listed.keys() == files.keys() - {"case.json"}
    for path, entry in listed.items():
        assert (entry["sha256"], entry["size"]) == (hashlib.sha256(files[path]).hexdigest(), len(files[path])), path
    assert files["original/original.eml"] == original
    evidence = {each["id"]: files[each["path"]] for each in manifest["files"] if each["kind"] == "evidence"}
    assert evidence == whole.octets, "the ledger's octets, untouched"
    for path in (each for each in files if each.startswith("evidence/") and each.endswith(".xml")):
        readable = files[path.replace(".xml", ".txt")].decode()
        assert "Gönderen" in readable
        assert "Sender" in readable
    head = documents.read_head(files["ledger/head.json"])
    assert (head.statement, head.signature, head.token) == tuple(
        files[f"ledger/head.{each}"] for each in ("statement", "p7s", "tst")
    )
    for seq in range(1, 6):
        proof = documents.read_proof(files[f"ledger/proof-{seq}.json"])
        proof.check()
        assert proof.head == head
    for path, entry in listed.items():
        if entry["kind"] in ("certificate", "crl", "ocsp"):
            assert hashlib.sha256(files[path]).hexdigest() in path
    assert {each["kind"] for each in manifest["files"]} >= {"original", "evidence", "text", "report", "proof", "head"}


def test_names_are_safe_whatever_an_identifier_says(kepgw, whole):
    names = unpacked(export(kepgw, whole, "--zip", "-").octets)
    hostile = [name for name in names if "delil.d" in name]
    assert len(hostile) == 2
    for name in names:
        assert ".." not in name.split("/")
        assert not name.startswith(("/", "."))
        assert name.isascii()
        assert name.count("/") <= 2


def test_order_and_times_are_fixed(kepgw, whole, tmp_path):
    zips = []
    for name in ("a.zip", "b.zip"):
        export(kepgw, whole, "--zip", tmp_path / name)
        with zipfile.ZipFile(tmp_path / name) as archive:
            zips.append([(each.filename, each.date_time, each.CRC) for each in archive.infolist()])
    first, second = zips
    assert [each[:2] for each in first] == [each[:2] for each in second]
    assert {one[0] for one, two in zip(first, second, strict=True) if one != two} == CHANGING
    assert first[0][0] == "README.txt"
    assert first[-1][0] == "case.json"
    assert {each[1] for each in first} == {(2026, 3, 1, 9, 30, 0)}, "T0 of the message, UTC"


def test_in_small_pages(kepgw, whole, original, monkeypatch):
    small = unpacked(export(kepgw, whole, "--zip", "-").octets)
    monkeypatch.setattr(cases, "PAGE", 1000)
    pages = unpacked(export(kepgw, whole, "--zip", "-").octets)
    assert {name for name in small if small[name] != pages[name]} == CHANGING
    assert small.keys() == pages.keys()


def test_a_file_as_long_as_a_page(kepgw, whole, original, monkeypatch):
    monkeypatch.setattr(cases, "PAGE", len(original))
    assert unpacked(export(kepgw, whole, "--zip", "-").octets)["original/original.eml"] == original


def test_evidence_that_is_newer_than_the_head_stays_out(filled):
    store = Store.open(load(filled.folder).store_path)
    try:
        month, number = store.read_now(lambda tx: tx.row("SELECT month, id FROM message"))
        with pytest.raises(StoreError, match="tree head"):
            store.read_now(lambda tx: cases.load(tx, month, number, 5))
    finally:
        store.close()


def test_the_original_of_a_message_from_a_peer_lies_inside_the_dispatch(filled, original):
    """As reception stores it: one content, the dispatch; the message itself has none."""
    boundary = b"--x"
    dispatch = b"\r\n".join(
        [
            b"Content-Type: multipart/signed; boundary=s",
            b"",
            b"--s",
            b"Content-Type: multipart/mixed; boundary=x",
            b"",
            boundary,
            b"Content-Type: text/plain",
            b"",
            b"Tanitim",
            boundary,
            b"Content-Type: message/rfc822",
            b"",
            original,
            boundary + b"--",
            b"--s",
            b"Content-Type: application/pkcs7-signature",
            b"",
            b"AA==",
            b"--s--",
            b"",
        ]
    )
    store = Store.open(load(filled.folder).store_path)

    def work(tx):
        month, number = tx.row("SELECT month, id FROM message")
        size = put_blob(tx, month, 77, [dispatch])
        put_content(tx, ContentRef(month, 78), [Span(77, 0, size)], render(dispatch))
        tx.run("UPDATE dispatch SET content = 78 WHERE month = ? AND blind = 0", month)
        return month, number

    month, number = store.write_now(work)
    try:

        def look(tx):
            message = messages.message_by_id(tx, month, number)
            case = cases.Case(message, tuple(messages.dispatches_of(tx, month, number)), (), 0, None)
            first = next(cases.files(tx, case))
            return first.path, first.read(tx, 0, 10_000)

        assert store.read_now(look) == ("original/original.eml", original)
    finally:
        store.close()


def test_without_a_target_it_makes_a_folder(kepgw, filled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = export(kepgw, filled)
    folder = tmp_path / done.out.strip()
    assert folder.name == f"evidence-{filled.number}"
    assert {path.read_bytes() for path in (folder / "evidence").glob("*.xml")} == set(filled.octets.values())


def test_what_cannot_be_written(kepgw, filled, tmp_path):
    target = tmp_path / "no" / "e.zip"
    done = kepgw("evidence", "export", filled.folder, "--message", filled.number, "--zip", target)
    assert done.status == 2
    assert "cannot write" in done.err


def test_a_case_that_fails_half_way_leaves_no_zip(kepgw, whole, tmp_path, monkeypatch):
    def broken(tx, case, row):
        raise StoreError("evidence 1 is not what was recorded")

    export(kepgw, whole, "--zip", "-")  # the head is signed
    monkeypatch.setattr(cases, "inclusion", broken)
    done = kepgw("evidence", "export", whole.folder, "--message", whole.number, "--zip", tmp_path / "case.zip")
    assert done.status == 2
    assert "not what was recorded" in done.err
    assert list(tmp_path.glob("*.zip*")) == []
    assert list(tmp_path.glob(".*zip*")) == []
    assert not list(whole.folder.glob("report-*")), "nothing stays behind in the provider's folder"


def test_a_message_without_evidence(kepgw, filled):
    store = Store.open(load(filled.folder).store_path)
    store.write_now(lambda tx: tx.run("UPDATE evidence SET message = 1"))
    store.close()
    done = kepgw("evidence", "export", filled.folder, "--message", filled.number, "--zip", "-")
    assert done.status == 1
    assert "no evidence of this message yet" in done.err


def test_an_export_is_in_the_audit_trail(kepgw, whole):
    export(kepgw, whole, "--zip", "-")
    store = Store.open(load(whole.folder).store_path)
    try:
        rows = store.read_now(lambda tx: tx.rows("SELECT act, subject FROM audit WHERE act = 'case-exported'"))
    finally:
        store.close()
    assert rows == [("case-exported", whole.number)]


def peak_of_export(filled, octets, target):
    """KiB at the highest, of a process that exports (the provider is stopped: both ends are in it)."""
    give_original(filled, octets)
    program = (
        "import re, sys; from kepgw.app.cli import main\n"
        "status = main(sys.argv[1:])\n"
        # ru_maxrss would count what the test held before the fork
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1], status)"
    )
    arguments = ["evidence", "export", str(filled.folder), "--message", filled.number, "--zip", str(target)]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, check=True, timeout=100, env=os.environ
    )
    peak, status = map(int, done.stdout.split())
    assert status == 0, done.stderr
    with zipfile.ZipFile(target) as archive:
        assert archive.getinfo("original/original.eml").file_size == len(octets)
    return peak


def test_a_large_message_takes_little_memory(filled, tmp_path):
    head = b"From: <a@hs90.kep.tr>\r\nSubject: x\r\n\r\n"
    small = peak_of_export(filled, head + b"x\r\n", tmp_path / "small.zip")
    large = peak_of_export(filled, head + (b"x" * 76 + b"\r\n") * 900_000, tmp_path / "large.zip")
    assert large - small < 100_000, f"{small} KiB, {large} KiB: a page in a few forms, not copies of 70 MB"


def test_archive_records_come_along(kepgw, whole, original, tmp_path):
    assert kepgw("archive", "now", whole.folder).status == 0
    export(kepgw, whole, "--out", tmp_path / "case")
    records = sorted((tmp_path / "case" / "archive").glob("*.ers"))
    assert [each.name for each in records] == [f"{seq}.ers" for seq in range(1, 6)]
    (first,) = (tmp_path / "case" / "evidence").glob("000001-*.xml")
    done = kepgw("archive", "check", records[0], first, "--trust", whole.folder / "keys" / "root.pem")
    assert done.status == 0, done.out + done.err
