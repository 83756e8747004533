"""The list of files of a case, ``case.json``: read with bounds, and held against the files that are there.

It is signed by nobody: it tells whether the case is whole, not who made it. What the files prove they prove by
themselves.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from kepgw.errors import FormatError, Sub
from kepgw.trust.casezip import MOST_ENTRIES, safe_path
from kepgw.trust.judgement import Check

NAME: Final = "case.json"
README: Final = "README.txt"
FORMAT: Final = "kepgw-case/1"
LARGEST: Final = 8 << 20  # octets
MOST_TOLD: Final = 50  # findings of one kind that are told one by one


class Listed(NamedTuple):
    """A file of the manifest; ``sha256`` in hex."""

    path: str
    kind: str
    sha256: str
    size: int


class Manifest(NamedTuple):
    """What ``case.json`` says: who exported the case when, as it stands there, and its files in order."""

    provider: str
    exported: str
    files: tuple[Listed, ...]

    def of(self, kind: str) -> Iterator[str]:
        """The paths of a kind."""
        return (each.path for each in self.files if each.kind == kind)


def read(octets: bytes) -> Manifest:
    """Read a manifest. Raises FormatError when it is none, names a file twice or names one that cannot be."""
    if len(octets) > LARGEST:
        raise FormatError(f"a manifest of {len(octets)} octets")
    try:
        data = json.loads(octets)
        if data["format"] != FORMAT:
            raise FormatError(f"a case of the format {str(data['format'])[:40]!r}")
        listed = data["files"]
        if len(listed) > MOST_ENTRIES:
            raise FormatError(f"a manifest of {len(listed)} files")
        files = tuple(_listed(each) for each in listed)
        provider, exported = str(data.get("provider", ""))[:255], str(data.get("exported", ""))[:64]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(f"not a manifest of a case: {error}") from error
    if len({each.path for each in files}) != len(files):
        raise FormatError("a manifest that names a file twice")
    return Manifest(provider, exported, files)


def _listed(entry: Mapping[str, Any]) -> Listed:
    path, kind, digest, size = entry["path"], entry["kind"], entry["sha256"], entry["size"]
    if not (isinstance(path, str) and isinstance(kind, str) and isinstance(digest, str) and isinstance(size, int)):
        raise FormatError("a manifest with an entry of another form")
    if not safe_path(path) or len(kind) > 40 or len(digest) != 64:
        raise FormatError(f"a manifest with an entry {path[:120]!r}")
    return Listed(path, kind, digest.lower(), size)


def compare(manifest: Manifest, files: Mapping[str, bytes]) -> list[Check]:
    """What is missing, altered, unreadable, or there without being listed; one check when nothing is."""
    found: list[tuple[str, str, str, Sub | None]] = []
    for each in manifest.files:
        if each.path not in files:
            found.append(("missing", each.path, f"{each.path} is not there", Sub.SIGNED_DATA_NOT_FOUND))
            continue
        try:
            octets = files[each.path]
        except FormatError as error:
            found.append(("unreadable", each.path, str(error), Sub.FORMAT_FAILURE))
            continue
        if len(octets) != each.size or hashlib.sha256(octets).hexdigest() != each.sha256:
            found.append(("altered", each.path, f"{each.path} is not what was listed", Sub.HASH_FAILURE))
    listed = {each.path for each in manifest.files} | {NAME, README}
    found += [("extra", path, f"{path} is not listed", None) for path in files if path not in listed]
    checks = [
        Check("manifest", "bad", detail, sub, f"manifest-{kind}", {"file": path})
        for kind, path, detail, sub in found[:MOST_TOLD]
    ]
    if len(found) > MOST_TOLD:
        more = len(found) - MOST_TOLD
        checks.append(Check("manifest", "bad", f"and {more} more", None, "manifest-more", {"count": more}))
    return checks or [Check("manifest", "ok", values={"count": len(manifest.files)})]
