"""Hostile zips: each is refused, and nothing of it is believed."""

import contextlib
import io
import struct
import tracemalloc
import zipfile
import zlib

import pytest

from kepgw.errors import FormatError
from kepgw.trust import casezip
from kepgw.trust.casezip import CaseZip, safe_path


def packed(files, **options):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, octets in files:
            archive.writestr(name, octets)
    return bytearray(made.getvalue())


def opened(octets):
    return CaseZip(io.BytesIO(bytes(octets)))


def refused(octets, match=None):
    with pytest.raises(FormatError, match=match):
        dict(opened(octets))


GOOD = [("case.json", b"{}"), ("evidence/000001-10-çğ.xml", b"<x/>" * 100), ("original/original.eml", b"")]


def test_what_is_packed_comes_out():
    archive = opened(packed(GOOD))
    assert dict(archive) == dict(GOOD)
    assert len(archive) == 3
    assert "case.json" in archive
    assert "other" not in archive
    assert archive.get("other") is None


def test_stored_entries_and_those_whose_sizes_follow():
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a", b"stored")
    assert opened(made.getvalue())["a"] == b"stored"

    class Forward(io.RawIOBase):
        def __init__(self):
            self.octets = b""

        def writable(self):
            return True

        def write(self, octets):
            self.octets += bytes(octets)
            return len(octets)

    stream = Forward()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"streamed" * 100)
    assert opened(stream.octets)["a"] == b"streamed" * 100


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "a/../../x", "a\\..\\x", "C:x", "a//b", "a/./b", "a/b.", "a/b ", " a", "a\x00b", "a\nb",
     "a" * 300, "nul:", "a|b"],
)  # fmt: skip
def test_no_path_leaves_the_archive(path):
    assert not safe_path(path)
    made = packed([("x" * len(path.encode()), b"octets")])
    spoilt = bytes(made).replace(b"x" * len(path.encode()), path.encode())
    refused(spoilt)


def test_names_have_one_form():
    assert safe_path("\u00e9.eml")
    assert not safe_path("e\u0301.eml")


def test_folders_are_no_files():
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.mkdir("ledger") if hasattr(archive, "mkdir") else archive.writestr("ledger/", b"")
        archive.writestr("ledger/head.json", b"{}")
    assert list(opened(made.getvalue())) == ["ledger/head.json"]


@pytest.mark.parametrize("second", ["a.xml", "A.xml"])
def test_names_that_stand_twice(second):
    made = bytes(packed([("a.xml", b"1"), ("b.xml", b"2")]))
    refused(made.replace(b"b.xml", second.encode()), "stands twice")


def test_encrypted_and_unknown_methods():
    made = packed([("a", b"octets")])
    for at in (6, made.index(b"PK\x01\x02") + 8):
        made[at] |= 1
    refused(made, "encrypted")
    for method in (12, 14, 9, 99):
        made = packed([("a", b"octets")])
        for at in (8, made.index(b"PK\x01\x02") + 10):
            made[at : at + 2] = struct.pack("<H", method)
        refused(made)


def test_a_bomb_by_its_headers(monkeypatch):
    monkeypatch.setattr(casezip, "HARMLESS", 1 << 20)
    bomb = packed([(f"{number}", bytes(600_000)) for number in range(4)])
    assert len(bomb) < 20_000
    refused(bomb, "unpacks to")
    assert opened(packed([("a", bytes(600_000))]))  # small as a whole, whatever its ratio


def test_an_entry_too_large(monkeypatch):
    monkeypatch.setattr(casezip, "LARGEST_ENTRY", 1000)
    refused(packed([("a", bytes(1001))]), "more than 1000")
    monkeypatch.setattr(casezip, "LARGEST_ENTRY", 1001)
    assert opened(packed([("a", bytes(1001))]))["a"] == bytes(1001)


def test_the_total_is_bounded(monkeypatch):
    monkeypatch.setattr(casezip, "LARGEST_TOTAL", 3000)
    refused(packed([(str(number), bytes(1001)) for number in range(3)]), "unpacks to")


def test_the_number_of_entries(monkeypatch):
    monkeypatch.setattr(casezip, "MOST_ENTRIES", 10)
    assert len(opened(packed([(str(number), b"") for number in range(10)]))) == 10
    refused(packed([(str(number), b"") for number in range(11)]), "11 entries")


def lie(octets, size, crc=None):
    """The directory and the local header claim another size; the CRC fits the beginning."""
    at = octets.index(b"PK\x01\x02")
    octets[22:26] = octets[at + 24 : at + 28] = struct.pack("<L", size)
    if crc is not None:
        octets[14:18] = octets[at + 16 : at + 20] = struct.pack("<L", crc)
    return octets


def test_real_octets_count_not_what_the_header_says():
    """10 octets announced with a CRC that fits them, 50 MB behind: zipfile itself would hand out the ten."""
    content = bytes(50_000_000)
    made = lie(packed([("a", content)]), 10, zlib.crc32(content[:10]))
    assert zipfile.ZipFile(io.BytesIO(bytes(made))).read("a") == bytes(10)
    archive = opened(made)
    tracemalloc.start()
    with pytest.raises(FormatError, match="more octets"):
        _ = archive["a"]
    assert tracemalloc.get_traced_memory()[1] < 2 << 20
    tracemalloc.stop()
    refused(lie(packed([("a", b"octets")]), 7), "not what the directory")


def test_octets_that_were_altered():
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a", b"stored octets")
    refused(made.getvalue().replace(b"stored octets", b"stored octetz"), "not what the directory")


def test_overlapping_entries():
    """Two entries that share their octets (Fifield 2019)."""
    made = bytes(packed([("a", b"octets" * 50)]))
    directory = made.index(b"PK\x01\x02")
    entry, end = made[directory:-22], bytearray(made[-22:])
    end[8:12] = struct.pack("<2H", 2, 2)
    end[12:16] = struct.pack("<L", 2 * len(entry))
    other = bytearray(entry)
    other[46:47] = b"b"
    refused(made[:directory] + entry + bytes(other) + bytes(end))


@pytest.mark.parametrize("around", [(b"", b"x"), (b"x", b""), (b"GIF89a", b"")])
def test_something_before_or_behind(around):
    refused(around[0] + bytes(packed(GOOD)) + around[1])


def test_a_comment():
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a", b"")
        archive.comment = b"comment"
    refused(made.getvalue(), "not a zip")


def test_local_header_and_directory_differ():
    made = packed([("a.xml", b"octets")])
    made[30:31] = b"b"
    refused(made, "differs")


def test_a_zip_inside_is_only_octets():
    inner = bytes(packed(GOOD))
    assert opened(packed([("inner.zip", inner)]))["inner.zip"] == inner


@pytest.mark.parametrize("octets", [b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"rubbish" * 100])
def test_rubbish(octets):
    with contextlib.suppress(FormatError):
        assert len(opened(octets)) == 0


def test_every_octet_altered_is_read_right_or_refused():
    made = bytes(packed([("case.json", b"{}" * 20), ("b", b"12345")]))
    good = dict(opened(made))
    for at in range(len(made)):
        for flip in (0x01, 0x80):
            spoilt = made[:at] + bytes([made[at] ^ flip]) + made[at + 1 :]
            try:
                found = dict(opened(spoilt))
            except FormatError:
                continue
            assert set(found.values()) <= set(good.values())  # a name or a time, never the octets


def test_an_archive_too_large(monkeypatch):
    monkeypatch.setattr(casezip, "LARGEST_ARCHIVE", 100)
    refused(packed(GOOD), "more than 100")
