"""Certificates for people and programs: who, by whom, from when until when, and the fingerprint to compare."""

import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from kepgw.evidence.certificates import UNREADABLE, load

LONGEST_NAME = 200  # characters of a name from a stranger's certificate
_HIGHEST = 6  # certificates above the first one, and signature checks for each
_UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Summary:
    """What is shown of a certificate; ``serial`` and ``sha256`` in hex, times aware UTC, None when unreadable.

    Names are the common name, else the organisation: never the serialNumber, a Turkish citizen's number.
    """

    sha256: str
    name: str = _UNKNOWN
    issuer: str = _UNKNOWN
    serial: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    root: bool = False


@lru_cache(maxsize=1024)
def summary(certificate: bytes) -> Summary:
    """Describe a DER certificate; never raises."""
    fingerprint = hashlib.sha256(certificate).hexdigest()
    try:
        read = load(certificate)
        return Summary(
            fingerprint,
            name_of(read.subject),
            name_of(read.issuer),
            f"{read.serial_number:x}",
            read.not_valid_before_utc,
            read.not_valid_after_utc,
            read.subject == read.issuer,
        )
    except UNREADABLE:
        return Summary(fingerprint)


def name_of(name: x509.Name) -> str:
    """The common name, else the organisation, of a distinguished name; "?" when there is neither."""
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in name.get_attributes_for_oid(oid):
            value = attribute.value if isinstance(attribute.value, str) else ""
            if value := " ".join(value.split()):
                return value[:LONGEST_NAME]
    return _UNKNOWN


def highest(certificate: bytes, others: Iterable[bytes]) -> bytes:
    """The certificate (DER) at the end of the chain above ``certificate`` that can be built from ``others``.

    For people to compare, not for trust: nothing is judged but who signed whom. A bounded number of signatures is
    tried: the certificates come from strangers.
    """
    pool = tuple(dict.fromkeys(others))
    for _ in range(_HIGHEST):
        above = _issuer(certificate, pool)
        if above is None or above == certificate:
            break
        certificate = above
    return certificate


@lru_cache(maxsize=256)
def _issuer(certificate: bytes, others: tuple[bytes, ...]) -> bytes | None:
    read = _readable(certificate)
    if read is None or read.subject == read.issuer:
        return None
    named = (each for each in others if (found := _readable(each)) is not None and found.subject == read.issuer)
    for each in itertools.islice(named, _HIGHEST):
        candidate = _readable(each)
        try:
            if candidate is not None:
                read.verify_directly_issued_by(candidate)
                return each
        except (InvalidSignature, *UNREADABLE):
            continue
    return None


def _readable(certificate: bytes) -> x509.Certificate | None:
    try:
        read = load(certificate)
        _ = read.subject, read.issuer
    except UNREADABLE:
        return None
    return read
