"""The zip of a case, opened as if its maker were hostile; a mapping of paths to octets, read one at a time.

Nothing is ever written to disk, a zip inside is octets like any other, and what the headers say is held against what
the octets are. Two programs must not read two cases out of one file: names that stand twice, entries that overlap,
local headers that differ from the directory, octets behind the end of an entry or of the archive are all refused.
"""

import io
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

from kepgw.errors import FormatError

LARGEST_ARCHIVE = 512 << 20  # octets of the file
LARGEST_ENTRY = 64 << 20  # octets, unpacked: the largest message has 36 MB and 1 MiB of envelope
LARGEST_TOTAL = 1 << 30  # octets of everything, unpacked
MOST_ENTRIES = 16_384  # a message to 500 recipients may have 1,500 evidence, each with five files
# a message may hold pages of one repeated line: below this size nothing is a bomb, whatever its ratio
HARMLESS = 64 << 20
HIGHEST_RATIO = 100  # unpacked to packed, of the archive as a whole
LONGEST_PATH = 240
_LARGEST_DIRECTORY = MOST_ENTRIES * 512  # octets

_END = struct.Struct("<4s4H2LH")  # APPNOTE 4.3.16
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_ENCRYPTED, _UTF8 = 0x0001, 0x0800
_SIZES_FOLLOW = 0x0008  # 4.4.4 bit 3: the local header has no sizes
_PIECE = 1 << 18


class _Entry(NamedTuple):
    """Where an entry's octets are, and what the directory says of them."""

    start: int
    packed: int
    size: int
    crc: int
    deflated: bool


class CaseZip(Mapping[str, bytes]):
    """The entries of a zip by path. Reading one raises FormatError when it is not what the directory says.

    The constructor raises FormatError for an archive that is broken, ambiguous, encrypted, too large or a bomb. The
    file must stay open as long as the mapping is used.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._entries = _directory(file)

    def __getitem__(self, path: str) -> bytes:
        return _read(self._file, path, self._entries[path])

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: object) -> bool:
        return path in self._entries


def safe_path(path: str) -> bool:
    """Whether a path is a plain one below the archive: it names no other place, on no system."""
    if not 0 < len(path) <= LONGEST_PATH or not path.isprintable() or path != unicodedata.normalize("NFC", path):
        return False
    if any(each in path for each in '\\:*?"<>|'):
        return False
    return all(part not in ("", ".", "..") and part == part.strip(" ").rstrip(".") for part in path.split("/"))


def _directory(file: BinaryIO) -> dict[str, _Entry]:
    size = file.seek(0, io.SEEK_END)
    if size > LARGEST_ARCHIVE:
        raise FormatError(f"an archive of {size} octets, more than {LARGEST_ARCHIVE}")
    start = _directory_start(file, size)
    try:
        found = zipfile.ZipFile(file).infolist()
    except Exception as error:  # zipfile raises errors of many kinds for broken directories
        raise FormatError(f"not a readable zip: {error}") from error
    entries: dict[str, _Entry] = {}
    seen: set[str] = set()
    for info in found:
        folder = info.filename.endswith("/")
        name = info.filename.removesuffix("/")
        if info.orig_filename != info.filename or not safe_path(name):
            raise FormatError(f"an entry with the path {info.orig_filename[:LONGEST_PATH]!r}")
        folded = name.casefold()  # two that are one file on some systems
        if folded in seen:
            raise FormatError(f"{name!r} stands twice")
        seen.add(folded)
        if info.flag_bits & ~(_UTF8 | _SIZES_FOLLOW | 0x0006):  # the last: how hard the packer tried
            what = "encrypted" if info.flag_bits & _ENCRYPTED else "of a kind that is not read"
            raise FormatError(f"{name!r} is {what}")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FormatError(f"{name!r} is packed by method {info.compress_type}")
        if info.file_size > LARGEST_ENTRY:
            raise FormatError(f"{name!r} has {info.file_size} octets, more than {LARGEST_ENTRY}")
        if folder and info.file_size:
            raise FormatError(f"the folder {name!r} has octets of its own")
        place = _octets_at(file, info, start)
        if not folder:
            entries[name] = _Entry(
                place, info.compress_size, info.file_size, info.CRC, info.compress_type == zipfile.ZIP_DEFLATED
            )
    _bounded(entries, size)
    _apart(found, entries, start)
    return entries


def _directory_start(file: BinaryIO, size: int) -> int:
    """Where the central directory starts; it and the end record are all that may follow the entries."""
    if size < _END.size:
        raise FormatError("not a zip")
    file.seek(size - _END.size)
    mark, disk, first, here, total, length, start, comment = _END.unpack(file.read(_END.size))
    if mark != b"PK\x05\x06" or comment or disk or first or here != total:
        raise FormatError("not a zip of one piece, without a comment")
    if total > MOST_ENTRIES or length > _LARGEST_DIRECTORY:
        raise FormatError(f"a zip of {total} entries with a directory of {length} octets")
    start, length = int(start), int(length)
    if start + length != size - _END.size:  # ZIP64 has records between, and is not needed below 4 GB
        raise FormatError("octets that belong to no entry of the zip")
    return start


def _octets_at(file: BinaryIO, info: zipfile.ZipInfo, directory: int) -> int:
    """Where the octets of an entry start, its local header saying the same as the directory."""
    file.seek(info.header_offset)
    head = file.read(_LOCAL.size)
    if len(head) != _LOCAL.size:
        raise FormatError(f"{info.filename!r} has no local header")
    mark, _, flags, method, _, _, _, _, _, name_length, extra = _LOCAL.unpack(head)
    name = file.read(name_length)
    start = int(info.header_offset + _LOCAL.size + name_length + extra)
    encoded = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
    same = mark == b"PK\x03\x04" and (flags, method, name) == (info.flag_bits, info.compress_type, encoded)
    if not same or start + info.compress_size > directory:
        raise FormatError(f"the local header of {info.filename!r} differs from the directory")
    return start


def _bounded(entries: Mapping[str, _Entry], archive: int) -> None:
    total = sum(each.size for each in entries.values())
    if total > LARGEST_TOTAL or (total > HARMLESS and total > HIGHEST_RATIO * archive):
        raise FormatError(f"a zip of {archive} octets that unpacks to {total}")


def _apart(found: list[zipfile.ZipInfo], entries: Mapping[str, _Entry], directory: int) -> None:
    """No octet belongs to two entries: a bomb of overlapping ones needs no nesting."""
    order = sorted(found, key=lambda info: info.header_offset)
    if order and order[0].header_offset:  # a picture, a program: the file is something else as well
        raise FormatError("octets before the first entry of the zip")
    starts = [*(info.header_offset for info in order[1:]), directory]
    for info, following in zip(order, starts, strict=False):
        entry = entries.get(info.filename)
        ends = info.header_offset + _LOCAL.size if entry is None else entry.start + entry.packed
        if ends > following:
            raise FormatError(f"{info.filename!r} overlaps another entry")


def _read(file: BinaryIO, path: str, entry: _Entry) -> bytes:
    """The octets of an entry, never more than it may have; size and CRC are those of the octets themselves."""
    file.seek(entry.start)
    left, pieces, size = entry.packed, [], 0
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS) if entry.deflated else None
    try:
        while left:
            packed = file.read(min(left, _PIECE))
            if not packed:
                raise FormatError(f"{path!r} is cut off")
            left -= len(packed)
            piece = packed if unpacker is None else unpacker.decompress(packed, entry.size - size + 1)
            size += len(piece)
            pieces.append(piece)
            if size > entry.size:
                raise FormatError(f"{path!r} has more octets than the directory says")
    except zlib.error as error:
        raise FormatError(f"{path!r} cannot be unpacked: {error}") from error
    whole = unpacker is None or (unpacker.eof and not unpacker.unused_data and not unpacker.unconsumed_tail)
    octets = b"".join(pieces)
    if not whole or size != entry.size or zlib.crc32(octets) != entry.crc:
        raise FormatError(f"{path!r} is not what the directory of the zip says")
    return octets
