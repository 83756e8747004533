"""Who signed and stamped what we keep: certificates as they stand in evidence and envelopes, read cheaply.

Nothing is judged here. A signer that was met before is recognised by its octets: reading every token of a busy day
anew would cost more than making it.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from asn1crypto import x509

from kepgw.errors import FormatError, SignatureInvalid
from kepgw.evidence import xades_reader
from kepgw.trust import cmsreading, der
from kepgw.trust.material import fingerprint

MOST_KNOWN: Final = 200  # signers and sets of certificates remembered
TAIL: Final = 96 * 1024  # octets at the end of a message in which its signature stands

# nothing in them can be read over twice: a stranger wrote the octets
_CARRIED: Final = re.compile(rb"<(?:\w{1,64}:)?X509Certificate\b[^<>]{0,256}>([^<]*)<")
_TOKEN: Final = re.compile(rb"<(?:\w{1,64}:)?EncapsulatedTimeStamp\b[^<>]{0,256}>([^<]*)<")


class Signer(NamedTuple):
    """A signer's certificate (DER), others that travelled with it, and what it did."""

    certificate: bytes
    others: tuple[bytes, ...]
    usage: Literal["sign", "stamp"]


class Recognition:
    """Remembers whom it has seen; used by one thread at a time."""

    def __init__(self) -> None:
        self._sets: set[bytes] = set()
        self._marks: dict[bytes, tuple[bytes, str]] = {}  # certificate: how a SignerInfo names it, usage

    def of_evidence(self, xml: bytes) -> list[Signer]:
        """The signer and the time-stamp authorities of an evidence that were not met before."""
        carried = fingerprint(b"".join(b"".join(each.split()) for each in _CARRIED.findall(xml)))
        tokens = [_decoded(each) for each in _TOKEN.findall(xml)]
        if carried in self._sets and all(self._known(each, "stamp") for each in tokens):
            return []
        try:
            reading = xades_reader.read(xml)
        except (FormatError, SignatureInvalid):
            return []
        self._remember_set(carried)
        found = [Signer(reading.signer, reading.certificates, "sign")]
        return [*found, *(signer for token in reading.tokens for signer in self._of_cms(token, "stamp"))]

    def of_message(self, tail: bytes) -> list[Signer]:
        """Those of an envelope that were not met before; ``tail`` is its end, with the signature in it."""
        octets = _last_part(tail)
        if not octets or (self._known(octets, "sign") and self._known(octets, "stamp")):
            return []
        return list(self._of_cms(octets, "sign"))

    def _of_cms(self, octets: bytes, usage: Literal["sign", "stamp"]) -> Iterator[Signer]:
        try:
            reading = cmsreading.read(octets)
            self._remember(reading.signer, usage)
        except (FormatError, SignatureInvalid):
            return
        yield Signer(reading.signer, reading.certificates, usage)
        if reading.token is not None and usage == "sign":
            yield from self._of_cms(reading.token, "stamp")

    def _known(self, octets: bytes, usage: str) -> bool:
        """Whether the signer of a CMS was met: its certificate and its name as a signer both stand in the octets."""
        return any(used == usage and mark in octets and each in octets for each, (mark, used) in self._marks.items())

    def _remember(self, certificate: bytes, usage: str) -> None:
        if len(self._marks) >= MOST_KNOWN:
            self._marks.clear()
        try:
            read = x509.Certificate.load(certificate)
            mark = der.sequence(read.issuer.dump(), der.integer(read.serial_number))  # RFC 5652 10.2.4
        except (ValueError, TypeError) as error:
            raise FormatError(str(error)) from error
        self._marks[certificate] = (mark, usage)

    def _remember_set(self, carried: bytes) -> None:
        if len(self._sets) >= MOST_KNOWN:
            self._sets.clear()
        self._sets.add(carried)


def _last_part(tail: bytes) -> bytes:
    """The octets of the base64 part at the end of a multipart; none when there is no such part."""
    lines = tail.rstrip(b"\r\n").replace(b"\r\n", b"\n")
    if not lines.endswith(b"--"):
        return b""
    ends = lines.rfind(b"\n--")
    begins = lines.rfind(b"\n\n", 0, max(ends, 0) + 1)
    return _decoded(lines[begins + 2 : ends]) if 0 <= begins < ends else b""


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        return b""
