"""Writing a case: into a zip, into a folder, or both, as its octets come; the manifest is written last.

Names of files are made here or by the provider, never taken from a stranger. Two exports of the same state differ in
the report and in the time of the export alone: order and times of the files are fixed.
"""

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, Protocol

from kepgw.errors import StoreError

FORMAT: Final = "kepgw-case/1"
MANIFEST: Final = "case.json"
_SAFE: Final = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._@-]*/){0,3}[A-Za-z0-9][A-Za-z0-9._@-]*")


class Sink(Protocol):
    """Where files go."""

    def begin(self, path: str) -> None:
        """Begin a file."""

    def write(self, octets: bytes) -> None:
        """Octets of the file that was begun."""

    def end(self) -> None:
        """End the file."""

    def close(self, *, whole: bool) -> None:
        """End all; what is not ``whole`` does not stay under its name."""


class FolderSink:
    """Files in a folder, which is made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] | None = None

    def begin(self, path: str) -> None:
        """Begin a file."""
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self._file = target.open("wb")

    def write(self, octets: bytes) -> None:
        """Octets of the file that was begun."""
        assert self._file is not None
        self._file.write(octets)

    def end(self) -> None:
        """End the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def close(self, *, whole: bool) -> None:
        """End all; what was written stays."""
        self.end()


class ZipSink:
    """One zip, to a file that appears when it is whole, or to a stream."""

    def __init__(self, target: Path | IO[bytes], at: datetime) -> None:
        self._target = target if isinstance(target, Path) else None
        self._part = None if self._target is None else self._target.with_name(f".{self._target.name}.{os.getpid()}")
        self._stream: Any = self._part.open("wb") if self._part else _Forward(target)  # type: ignore[arg-type]
        self._zip = zipfile.ZipFile(self._stream, "w", zipfile.ZIP_DEFLATED)
        at = max(at.astimezone(UTC), datetime(1980, 1, 1, tzinfo=UTC))  # a zip knows no earlier time
        self._time = (at.year, at.month, at.day, at.hour, at.minute, at.second)
        self._file: IO[bytes] | None = None

    def begin(self, path: str) -> None:
        """Begin a file."""
        entry = zipfile.ZipInfo(path, self._time)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o100644 << 16
        entry.create_system = 3
        self._file = self._zip.open(entry, "w", force_zip64=False)

    def write(self, octets: bytes) -> None:
        """Octets of the file that was begun."""
        assert self._file is not None
        self._file.write(octets)

    def end(self) -> None:
        """End the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def close(self, *, whole: bool) -> None:
        """Write the zip's directory and give the file its name, or take the beginning away."""
        if whole:
            self._zip.close()
        else:
            self.end()
            self._zip.fp = None  # no directory: what was written so far must not look whole
        if self._part is None or self._target is None:
            self._stream.flush()
            return
        self._stream.close()
        if whole:
            self._part.replace(self._target)
        else:
            self._part.unlink(missing_ok=True)


class _Forward(io.RawIOBase):
    """A stream that only goes forward, as standard output does, whatever it is tied to."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, octets: Any) -> int:
        return self._stream.write(octets)

    def flush(self) -> None:
        self._stream.flush()


class CaseWriter:
    """Writes files and keeps the manifest."""

    def __init__(self, sinks: list[Sink]) -> None:
        self._sinks = sinks
        self._listed: list[dict[str, Any]] = []
        self._digest = hashlib.sha256()
        self._size = 0
        self._open: tuple[str, str, Mapping[str, Any]] | None = None

    def piece(self, path: str, kind: str, about: Mapping[str, Any], octets: bytes, *, ended: bool) -> None:
        """Octets of a file; the files come one after another. Raises StoreError for a name that is not safe."""
        if self._open is None:
            if not _SAFE.fullmatch(path) or ".." in path:
                raise StoreError(f"a case has no file {path[:120]!r}")
            self._open = (path, kind, about)
            self._digest, self._size = hashlib.sha256(), 0
            for sink in self._sinks:
                sink.begin(path)
        elif self._open[0] != path:
            raise StoreError(f"{path[:120]} came before {self._open[0]} ended")
        self._digest.update(octets)
        self._size += len(octets)
        for sink in self._sinks:
            sink.write(octets)
        if ended:
            self._end()

    def add(self, path: str, kind: str, octets: bytes, about: Mapping[str, Any] | None = None) -> None:
        """A whole file."""
        self.piece(path, kind, about or {}, octets, ended=True)

    def finish(self, about: Mapping[str, Any]) -> None:
        """Write the manifest: ``about`` the case, then every file with its digest."""
        if self._open is not None:
            raise StoreError(f"{self._open[0]} never ended")
        manifest = {"format": FORMAT, **about, "files": self._listed}
        octets = json.dumps(manifest, ensure_ascii=False, indent=2).encode("utf-8") + b"\n"
        for sink in self._sinks:
            sink.begin(MANIFEST)
            sink.write(octets)
            sink.end()

    @property
    def count(self) -> int:
        """Files written so far."""
        return len(self._listed)

    def _end(self) -> None:
        assert self._open is not None
        path, kind, about = self._open
        for sink in self._sinks:
            sink.end()
        listed = {"path": path, "kind": kind, "sha256": self._digest.hexdigest(), "size": self._size}
        self._listed.append({**listed, **about})
        self._open = None
