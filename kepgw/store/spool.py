"""The spool: octets of one incoming message between the socket and the commit.

Small messages stay in memory; larger ones go to an unlinked file in the spool folder, so that a killed process
leaves nothing behind and memory stays bounded.
"""

import errno
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from kepgw.errors import StoreError, StoreFull
from kepgw.store.octets import CHUNK

MEMORY: Final = 256 * 1024  # octets kept in memory before a file is made


def _spool_error(error: OSError) -> StoreError:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    return (StoreFull if full else StoreError)(f"spool: {error}")


class Spool:
    """Octets as they arrive: ``write`` them, then ``view`` or ``chunks``, then ``close``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._memory = bytearray()
        self._file: int | None = None
        self._map: mmap.mmap | None = None
        self.size = 0

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Add octets. Raises StoreFull when the disk is full, StoreError when it cannot be written."""
        try:
            if self._file is None and self.size + len(chunk) > MEMORY:
                descriptor, name = tempfile.mkstemp(dir=self._folder, prefix="spool-")
                Path(name).unlink()
                self._file = descriptor
                _write_all(descriptor, self._memory)
                self._memory = bytearray()
            if self._file is None:
                self._memory += chunk
            else:
                _write_all(self._file, chunk)
        except OSError as error:
            raise _spool_error(error) from error
        self.size += len(chunk)

    def view(self) -> bytes | mmap.mmap:
        """All octets to look at: bytes when small, else a read-only map of the file. Valid until ``close``."""
        if self._file is None:
            return bytes(self._memory)
        if self._map is None:
            self._map = mmap.mmap(self._file, 0, access=mmap.ACCESS_READ)
        return self._map

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The octets from ``start`` to ``end`` in pieces."""
        stop = self.size if end is None else end
        while start < stop:
            length = min(CHUNK, stop - start)
            if self._file is None:
                piece = bytes(self._memory[start : start + length])
            else:
                piece = os.pread(self._file, length, start)
            if not piece:
                raise StoreError("the spool ends early")
            yield piece
            start += len(piece)

    def close(self) -> None:
        """Let go of memory and file; safe to call twice."""
        if self._map is not None:
            with suppress(BufferError):  # somebody still looks at it: it goes with the last look
                self._map.close()
            self._map = None
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._memory = bytearray()


def _write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
