"""The archive: everything new under one stamp, renewed in both ways, verified by us and by openssl."""

import asyncio
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from kepgw.errors import StampUnavailable
from kepgw.evidence import ers_der, evidencerecord
from kepgw.evidence.hashtree import hashed
from kepgw.interop import archiving
from kepgw.interop.archiving import ArchiveSettings, Archivist
from kepgw.message.rendering import render
from kepgw.store import archive, archivecheck, archivedocuments, messages
from kepgw.store.archivecheck import examine
from kepgw.store.archivedocuments import documents_of, octets_of
from kepgw.store.archiverecords import archive_record
from kepgw.store.engine import Reader, Store
from kepgw.store.ids import month_of
from kepgw.store.octets import ContentRef, Span, put_blob, put_content
from kepgw.trust import devpki
from kepgw.trust.archivestamps import StampJudge
from kepgw.trust.keys import load_key
from kepgw.trust.paths import load_anchors
from kepgw.trust.stamping import DevelopmentTsa, read_token

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ROT = "UPDATE blob_chunk SET data = CAST(replace(data, 'elil', 'ELIL') AS BLOB) WHERE blob = 220"
MAIL = b"From: <a@hs90.kep.tr>\r\nSubject: %d\r\n\r\nMerhaba\r\n"


@dataclass
class Laboratory:
    """A store, and an authority whose clock we hold and whose certificates follow each other."""

    folder: object
    store: Store
    now: datetime = T0 + timedelta(hours=1)
    down: bool = False
    stamps: list = field(default_factory=list)
    roots: list = field(default_factory=list)

    def __post_init__(self):
        self.new_authority()

    def new_authority(self):
        folder = self.folder / f"tsa{len(self.roots)}"
        devpki.create(folder, "hs90.kep.tr", "kep@hs90.kep.tr", algorithm="p-256", at=self.now)
        self.use(folder)

    def use(self, folder):
        key = load_key(folder / "keys/tsa.key", folder / "keys/tsa.pem", purpose="tsa")
        self.tsa = DevelopmentTsa(key, lambda: self.now)
        self.roots.append(folder / "keys" / "root.pem")

    async def time_stamp(self, digest):
        if self.down:
            raise StampUnavailable("down")
        token = self.tsa(digest)
        self.stamps.append((token, digest))
        return token

    def archivist(self, **settings):
        return Archivist(self.store, self, ArchiveSettings(**settings), load_anchors(self.roots), lambda: self.now)

    def judge(self):
        return StampJudge(load_anchors(self.roots), self.now)

    def verify(self):
        reader = Reader(self.store.path)
        try:
            return examine(reader, self.judge())
        finally:
            reader.close()

    def message(self, number, evidence=3, size=100):
        """A message with original, dispatch around it, and evidence 10, 20, 40 with their receipts."""
        month = month_of(T0)
        base = number * 100
        original = MAIL % number + b"x" * size

        def content(tx, at, spans, octets):
            put_content(tx, ContentRef(month, at), spans, render(octets))

        def work(tx):
            put_blob(tx, month, base, [original])
            content(tx, base, [Span(base, 0, len(original))], original)
            messages.insert_message(
                tx,
                messages.Message(
                    month, base, "out", None, None, None, "a@hs90.kep.tr", "A", "konu", f"<{number}@x>", T0,
                    len(original), False, hashed("sha256", original), base, {}, "accepted",
                ),
            )  # fmt: skip
            dispatch = messages.Dispatch(
                month, base, base, f"r{number}", f"d{number}", False, "tr-kep", hashed("sha256", original), "accepted"
            )
            messages.insert_dispatch(tx, dispatch, [], T0)
            put_blob(tx, month, base + 1, [b"Subject: head\r\n\r\n"])
            spans = [Span(base + 1, 0, 17), Span(base, 0, len(original))]
            content(tx, base + 1, spans, b"Subject: head\r\n\r\n")
            tx.run("UPDATE dispatch SET content = ? WHERE id = ?", base + 1, base)

        self.store.write_now(work)
        for code in (10, 20, 40)[:evidence]:
            self.evidence(number, code)

    def evidence(self, number, code):
        month, base = month_of(T0), number * 100

        def work(tx):
            at = base + code
            put_blob(tx, month, at, [f"<delil m='{number}' code='{code}'/>".encode()])
            mail = b"Subject: receipt %d\r\n\r\n" % at
            put_blob(tx, month, at + 1, [mail])
            put_content(tx, ContentRef(month, at), [Span(at + 1, 0, len(mail))], render(mail))
            row = messages.EvidenceRow(
                month, f"delil.{number}.{code}", base, base, None, code, "hs90.kep.tr", True,
                T0 + timedelta(seconds=code), "", at, at,
            )  # fmt: skip
            messages.record_evidence(tx, row)

        self.store.write_now(work)

    def proves(self, seq):
        """The record of a ledger record, every document of its group held against it by the library."""

        def work(tx):
            record = archive_record(tx, seq)
            documents = [b"".join(octets_of(tx, *each)) for each in documents_of(tx, seq)]
            return record, documents

        record, documents = self.store.read_now(work)
        assert record is not None
        judge = self.judge()
        for each in documents:
            evidencerecord.verify(record, [each], judge.begin())
            judge.finish()
        return record, documents

    def openssl(self, record, tmp_path):
        """Every token of a record by itself, over the digest that the library says."""
        bundle = tmp_path / "roots.pem"
        bundle.write_bytes(b"".join(each.read_bytes() for each in self.roots))
        count = 0
        for chain in ers_der.read(record).chains:
            for each in chain:
                (tmp_path / "token").write_bytes(each.token)
                at = str(int(read_token(each.token).time.timestamp()))  # each is judged at its own time
                command = ["openssl", "ts", "-verify", "-digest", each.imprint.hex(), "-in", tmp_path / "token",
                           "-token_in", "-CAfile", bundle, "-attime", at]  # fmt: skip
                done = subprocess.run(command, capture_output=True, check=False)
                assert b"Verification: OK" in done.stdout + done.stderr, done.stderr
                count += 1
        return count


@pytest.fixture
def lab(tmp_path):
    store = Store.open(tmp_path / "store")
    yield Laboratory(tmp_path, store)
    store.close()


async def test_everything_new_goes_under_one_stamp(lab, tmp_path):
    for number in range(1, 8):
        lab.message(number)
    archivist = lab.archivist()
    done = await archivist.archive()
    assert (done.groups, done.stamps, done.problems) == (21, 1, [])
    assert (await archivist.archive()).stamps == 0, "nothing is new"
    kinds = [each.kind.value for each in lab.store.read_now(lambda tx: documents_of(tx, 1))]
    assert kinds == ["evidence", "receipt", "dispatch", "original"]
    assert [each.kind.value for each in lab.store.read_now(lambda tx: documents_of(tx, 2))] == ["evidence", "receipt"]
    for seq in range(1, 22):
        record, documents = lab.proves(seq)
        with pytest.raises(Exception, match="not what was archived"):
            evidencerecord.verify(record, [documents[0] + b" "], lab.judge())
    assert lab.openssl(record, tmp_path) == 1
    # evidence that comes later for an old message is a group of its own, under the next stamp
    lab.evidence(3, 60)
    assert lab.store.read_now(lambda tx: archive_record(tx, 22)) is None
    assert (await archivist.archive()).groups == 1
    lab.proves(22)
    report = lab.verify()
    assert (report.good, report.volumes, report.documents, report.waiting) == (True, 2, 7 * 8 + 2, 0)


async def test_three_renewals_of_both_kinds_hold_and_openssl_takes_every_token(lab, tmp_path):
    for number in range(1, 6):
        lab.message(number)
    archivist = lab.archivist()
    await archivist.archive()
    lab.now += timedelta(days=1)
    lab.message(6)
    await archivist.archive()
    for step in range(3):
        lab.now += timedelta(days=700)
        lab.new_authority()
        archivist = lab.archivist()
        done = await archivist.renew_stamps(lab.now + timedelta(days=20 * 365))
        assert done.stamps == 1, step
        if step == 1:
            done = await archivist.renew_trees("sha512")
            assert (done.stamps, done.groups, done.problems) == (1, 18, []), "one stamp over both volumes"
            assert (await archivist.renew_trees("sha512")).stamps == 0
    for seq in (1, 9, 15, 16, 18):
        record, _ = lab.proves(seq)
        read = ers_der.read(record)
        assert [len(chain) for chain in read.chains] == [3, 2]
        assert read.algorithms == ("sha256", "sha512")
        assert lab.openssl(record, tmp_path) == 5
    report = lab.verify()
    assert report.good, report.findings
    lab.now += timedelta(days=10 * 365)
    report = lab.verify()
    assert not report.good
    assert "not renewed in time" in report.findings[0]


async def test_a_stamp_that_lives_no_longer_is_not_a_renewal(lab):
    lab.message(1)
    archivist = lab.archivist()
    await archivist.archive()
    until = lab.now + timedelta(days=20 * 365)
    assert (await archivist.renew_stamps(until)).stamps == 0
    assert (await archivist.renew_stamps(lab.now)).stamps == 0, "nothing is due"
    lab.now += timedelta(days=30)
    lab.new_authority()
    assert (await lab.archivist().renew_stamps(until)).stamps == 1


async def test_a_renewal_that_came_too_late_is_told(lab):
    lab.message(1)
    await lab.archivist().archive()
    lab.now += timedelta(days=10 * 365)
    lab.new_authority()
    await lab.archivist().renew_stamps(force=True)
    report = lab.verify()
    assert report.count == 1
    assert "had ended" in report.findings[0]


async def test_no_authority_is_later_and_nothing_is_lost_or_hashed_twice(lab, monkeypatch):
    for number in range(1, 5):
        lab.message(number)
    lab.down = True
    with pytest.raises(StampUnavailable):
        await lab.archivist().archive()
    lab.message(5)
    lab.down = False
    monkeypatch.setattr(archiving, "hash_page", None)  # what is hashed is not hashed again
    with pytest.raises(TypeError):  # only the newer message needs it
        await lab.archivist().archive()
    monkeypatch.undo()
    await lab.archivist().archive()
    assert len(lab.stamps) == 2
    assert lab.verify().documents == 5 * 8
    for seq in range(1, 16):
        lab.proves(seq)


async def test_an_interrupted_run_goes_on(lab, monkeypatch):
    monkeypatch.setattr(archivedocuments, "PAGE_GROUPS", 2)
    for number in range(1, 5):
        lab.message(number)
    archivist = lab.archivist()
    ticks = iter(range(1000))
    monkeypatch.setattr(archiving, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    runs = 0
    while (done := await archivist.archive(2)).more:
        assert done.groups <= 4
        runs += 1
    assert runs > 1
    assert lab.verify().documents == 32
    monkeypatch.setattr(archivecheck, "PAGE_GROUPS", 2)
    runs = 0
    while (done := await archivist.renew_trees("sha384", 2)).more:
        runs += 1
    assert runs > 1
    report = lab.verify()
    assert report.good, report.findings
    lab.proves(12)


async def test_a_renewed_stamp_under_a_rehash_begins_it_anew(lab, monkeypatch):
    monkeypatch.setattr(archivedocuments, "PAGE_GROUPS", 2)
    lab.message(1)
    lab.message(2)
    await lab.archivist().archive()
    assert (await lab.archivist().renew_trees("sha512", -1)).more
    lab.new_authority()
    await lab.archivist().renew_stamps(force=True)
    await lab.archivist().renew_trees("sha512")
    record, _ = lab.proves(6)
    assert [len(chain) for chain in ers_der.read(record).chains] == [2, 1]
    assert lab.verify().good


async def test_tree_heads_are_archived(lab):
    lab.message(1)
    lab.store.write_now(
        lambda tx: tx.run("INSERT INTO ledger_head VALUES (3, 0, x'01', x'02', x'03'), (2, 0, x'04', x'05', x'06')")
    )
    assert (await lab.archivist().archive()).groups == 5
    assert lab.verify().documents == 8 + 6
    lab.store.write_now(lambda tx: tx.run("UPDATE ledger_head SET token = x'07' WHERE size = 2"))
    assert lab.verify().findings == ["volume 1: head-token of 2: it is not what was archived"]


def certificate(name):
    def work(tx):
        tx.run(
            "INSERT INTO material VALUES (?, 'certificate', x'00', NULL, 0, 0, 0, '', ?)", hashed("sha256", name), name
        )

    return work


async def test_validation_material_is_archived_once(lab):
    lab.message(1)
    lab.store.write_now(certificate(b"one"))
    assert (await lab.archivist().archive()).groups == 4
    lab.store.write_now(certificate(b"two"))
    lab.store.write_now(certificate(b"three"))
    assert (await lab.archivist().archive()).groups == 2
    assert (await lab.archivist().archive()).groups == 0
    assert lab.verify().documents == 8 + 3
    lab.store.write_now(lambda tx: tx.run("UPDATE material SET octets = x'00' WHERE octets = ?", b"two"))
    assert lab.verify().count == 1
    lab.store.write_now(lambda tx: tx.run("INSERT INTO material VALUES (x'05', 'crl', x'', NULL, 0, 0, 0, '', x'01')"))
    assert (await lab.archivist().archive()).problems == ["material 4: it is not what was kept"]


DAMAGES = {
    "an original": ("UPDATE blob_chunk SET data = x'00' WHERE blob = 200", "record 4: original"),
    "a dispatch's head": ("UPDATE blob_chunk SET data = zeroblob(17) WHERE blob = 201", "record 4: dispatch"),
    "an evidence": (ROT, "record 5: evidence"),
    "a receipt gone": ("DELETE FROM content WHERE id = 240", "record 6: receipt"),
    "spans": ("UPDATE content SET spans = 'x' WHERE id = 240", "record 6: receipt"),
    "a chunk gone": ("DELETE FROM blob_chunk WHERE blob = 240", "record 6: evidence"),
    "a digest": ("UPDATE archive_document SET hash = zeroblob(32) WHERE place = 4 AND ordinal = 0", "record 5"),
    "truncated rows": ("DELETE FROM archive_document WHERE place > 6", "changed or removed"),
    "a digest of the renewal": ("UPDATE archive_hash SET hash = zeroblob(64) WHERE place = 4", "chain 1"),
    "rows of the renewal": ("DELETE FROM archive_hash WHERE place = 4", "chain 1"),
    "a root": ("UPDATE archive_chain SET root = zeroblob(32) WHERE chain = 0", "chain 0"),
    "a chain": ("DELETE FROM archive_chain WHERE chain = 1", "do not lead"),
    "the first token": ("UPDATE archive_stamp SET token = (SELECT token FROM archive_stamp WHERE id = 2) WHERE id = 1",
                        "other octets"),
    "a token in the middle": ("UPDATE archive_stamp SET token = x'3000' WHERE id = 2", "volume 2"),
    "a stamp": ("DELETE FROM archive_stamp WHERE id = 2", "missing"),
    "a link": ("UPDATE archive_stamp SET next = NULL WHERE id = 1", "do not lead"),
    "a volume": ("DELETE FROM archive_volume WHERE id = 1", "was removed"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
async def test_damage_is_named(lab, name):
    for number in range(1, 4):
        lab.message(number)
    await lab.archivist().archive()
    lab.evidence(1, 60)
    await lab.archivist().archive()
    await lab.archivist().renew_stamps(force=True)
    await lab.archivist().renew_trees("sha512")
    assert lab.verify().good
    statement, expected = DAMAGES[name]
    lab.store.write_now(lambda tx: tx.run(statement))
    report = lab.verify()
    assert any(expected in each for each in report.findings), report.findings
    assert (await lab.archivist().archive()).stamps == 0


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            ROT,
            "record 5: evidence: it is not what was recorded",
        ),
        ("DELETE FROM blob_chunk WHERE blob = 220", "record 5: evidence"),
        (ROT.replace("220", "200").replace("elil", "erhaba"), "record 4: original"),
        ("DELETE FROM evidence WHERE seq = 5", "record 5 is missing"),
    ],
)
async def test_what_has_rotted_is_told_and_never_stamped(lab, statement, expected):
    for number in range(1, 4):
        lab.message(number)
    lab.store.write_now(lambda tx: tx.run(statement))
    done = await lab.archivist().archive()
    assert done.stamps == 1
    assert any(expected in each for each in done.problems), done.problems
    lab.proves(1)
    lab.proves(9)
    assert any("record " in each and "no stamp covers it" in each for each in lab.verify().findings)


async def test_a_renewal_does_not_cover_what_has_changed_since(lab):
    for number in range(1, 4):
        lab.message(number)
    await lab.archivist().archive()
    lab.store.write_now(lambda tx: tx.run(ROT))
    done = await lab.archivist().renew_trees("sha512")
    assert done.problems == ["record 5: evidence: it is not what was archived"]
    assert lab.verify().count == 1
    lab.proves(4)


async def test_volumes_are_bounded(lab, monkeypatch):
    monkeypatch.setattr(archive, "MOST_GROUPS", 4)
    for number in range(1, 5):
        lab.message(number)
    assert (await lab.archivist().archive()).stamps == 3
    assert lab.verify().good
    for seq in (1, 4, 5, 12):
        lab.proves(seq)


async def test_a_renewal_leaves_out_a_volume_that_does_not_hold_and_goes_on(lab):
    for number in (1, 2):
        lab.message(number)
        await lab.archivist().archive()
    lab.store.write_now(lambda tx: tx.run("UPDATE archive_chain SET root = zeroblob(32) WHERE volume = 1"))
    done = await lab.archivist().renew_trees("sha512")
    assert (done.groups, done.stamps, done.unsound) == (3, 1, 1)
    assert done.problems[0].startswith("volume 1: chain 0")
    record, _ = lab.proves(4)
    assert len(ers_der.read(record).chains) == 2


class News:
    """Waits for archive time stamps."""

    def __init__(self, store):
        self.event = asyncio.Event()
        store.subscribe(lambda change: self.event.set() if change.topic == archive.TOPIC else None)

    async def wait(self):
        await asyncio.wait_for(self.event.wait(), 20)
        self.event.clear()


async def scheduled(lab, monkeypatch, **settings):
    """An archivist at work that looks at the clock all the time."""
    monkeypatch.setattr(archiving, "RETRY_FIRST", 0.01)
    monkeypatch.setattr(archiving, "RETRY_MAX", 0.01)
    monkeypatch.setattr(archiving, "SHORTEST_SLEEP", 0.01)
    monkeypatch.setattr(archiving, "LONGEST_SLEEP", 0.01)
    archivist = lab.archivist(**settings)
    await archivist.start()
    return archivist


async def test_the_schedule(lab, monkeypatch):
    news = News(lab.store)
    lab.message(1)
    lab.down = True
    archivist = await scheduled(lab, monkeypatch, every=timedelta(days=1))
    lab.message(2)
    lab.down = False  # tried again by itself
    await news.wait()
    while lab.verify().waiting:  # both messages: in one volume or two
        await news.wait()
    stamps = len(lab.stamps)
    lab.message(3)
    lab.now += timedelta(hours=23)
    looked = await lab.store.read(archive.progress)
    assert (looked.waiting, len(lab.stamps)) == (3, stamps), "not due yet"
    lab.now += timedelta(hours=2)
    await news.wait()
    assert lab.verify().waiting == 0
    await archivist.stop()


async def test_stamps_are_renewed_before_they_age_by_themselves(lab, monkeypatch):
    news = News(lab.store)
    lab.message(1)
    archivist = await scheduled(lab, monkeypatch, renew_before=timedelta(days=90))
    await news.wait()
    lab.now += timedelta(days=5 * 365 - 100)
    lab.new_authority()
    assert lab.verify().stamps == 1
    lab.now += timedelta(days=20)
    await news.wait()
    assert lab.verify().stamps == 2
    record, _ = lab.proves(1)
    assert [len(chain) for chain in ers_der.read(record).chains] == [2]
    await archivist.stop()
