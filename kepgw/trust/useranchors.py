"""Folders of files that we believe: certificates of qualified authorities for users' signatures, lists for all.

Every certificate in it is an anchor (``.pem``, ``.crt``, ``.cer``, ``.der``); ``.crl`` and ``.ocsp`` files say what
was revoked. The folder is read again when something in it changes: revocation lists are renewed every day.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kepgw.errors import ConfigurationError
from kepgw.trust.paths import load_anchors
from kepgw.trust.revocation import load_crl, load_response

CERTIFICATES = (".pem", ".crt", ".cer", ".der")
LISTS = (".crl",)
RESPONSES = (".ocsp", ".ors")
MOST_FILES = 1000
LARGEST = 64 << 20  # octets of one file: the list of a large authority has some MB
LOOK_AGAIN = 60.0  # seconds between two looks at the folder


@dataclass(frozen=True, slots=True)
class Believed:
    """Anchors, CRLs and OCSP responses in DER, and what could not be read."""

    anchors: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    responses: tuple[bytes, ...] = ()
    problems: tuple[str, ...] = ()


class UserAnchors:
    """The folder. Safe to use from many threads; a file that becomes unreadable is left out and named."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._mark: object = None
        self._looked = float("-inf")
        self._believed = Believed()

    def current(self) -> Believed:
        """What the folder holds; looked at again at most once in LOOK_AGAIN seconds. An absent folder holds nothing."""
        with self._lock:
            if self._clock() - self._looked >= LOOK_AGAIN:
                self._looked = self._clock()
                files, mark = self._list()
                if mark != self._mark:
                    self._believed, self._mark = _read(files), mark
            return self._believed

    def look_again(self) -> None:
        """Have the folder looked at by the next ``current``, however short ago that was."""
        with self._lock:
            self._looked = float("-inf")

    def _list(self) -> tuple[list[Path], object]:
        wanted = (*CERTIFICATES, *LISTS, *RESPONSES)
        try:
            files = sorted(each for each in self._folder.iterdir() if each.suffix.lower() in wanted)[:MOST_FILES]
            marks = [(each.name, stat.st_mtime_ns, stat.st_size) for each in files for stat in (each.stat(),)]
        except OSError as error:
            return [], str(error)
        return files, marks


def _read(files: list[Path]) -> Believed:
    anchors: dict[bytes, None] = {}
    crls, responses, problems = [], [], []
    for path in files:
        kind = path.suffix.lower()
        try:
            if path.stat().st_size > LARGEST:
                raise ConfigurationError(f"{path}: larger than {LARGEST} octets")
            if kind in CERTIFICATES:
                anchors |= dict.fromkeys(load_anchors([path]))
            elif kind in LISTS:
                crls.append(_crl(path))
            else:
                responses.append(_response(path))
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror})")
        except ConfigurationError as error:
            problems.append(str(error))
    return Believed(tuple(anchors), tuple(crls), tuple(responses), tuple(problems))


def _crl(path: Path) -> bytes:
    octets = path.read_bytes()
    try:
        if octets.lstrip().startswith(b"-----BEGIN"):
            octets = x509.load_pem_x509_crl(octets).public_bytes(Encoding.DER)
    except ValueError as error:
        raise ConfigurationError(f"{path}: holds no readable CRL ({error})") from error
    if load_crl(octets) is None:
        raise ConfigurationError(f"{path}: holds no complete CRL")
    return octets


def _response(path: Path) -> bytes:
    octets = path.read_bytes()
    if load_response(octets) is None:
        raise ConfigurationError(f"{path}: holds no successful OCSP response")
    return octets
