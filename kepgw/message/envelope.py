"""The REM envelope, opened: a signed multipart that carries an introduction, an original message, evidence.

TS 102 640-2 clause 4 with what the field makes of it. Nothing here says that a signature holds: trust does that, over
the ``signed`` span. Building stands in `kepgw.message.sealing` and is offered here as well.
"""

import re
from dataclasses import dataclass, field
from mmap import mmap

from kepgw.errors import FormatError
from kepgw.message.headers import MAX_HEADER, Field, Octets, decode_text, every, fields, first, split
from kepgw.message.mime import MAX_BOUNDARY, ContentType, Region, content_type, decode_body, regions, structured
from kepgw.message.sealing import OriginalPart, Unsealed, begin

__all__ = ["Envelope", "OriginalPart", "Unsealed", "begin", "open_envelope"]

MAX_PARTS = 32  # beside each other in the signed multipart/mixed
MAX_EVIDENCE = 16
MAX_EVIDENCE_SIZE = 1 << 20
MAX_SIGNATURE_SIZE = 1 << 20
MAX_INTRODUCTION_SIZE = 1 << 18

_UNPLAIN = re.compile(r"[^\w.+-]")
_PLAIN = ContentType(b"text", b"plain")
_SIGNATURE_TYPES = (b"pkcs7-signature", b"x-pkcs7-signature")  # the second is what older signers write
_ORIGINAL_TYPES = (b"rfc822", b"rfc5322")  # TS 102 640-2 4.5 prints a type that was never registered
_IDENTITY = (b"", b"7bit", b"8bit", b"binary")


@dataclass(slots=True)
class Envelope:
    """What stands where in a REM envelope; spans are offsets into the octets that were opened.

    ``signed`` is what the detached ``signature`` (DER) covers (RFC 1847 2.1); ``original`` the octets of the original
    message, without the CRLF that belongs to the delimiter (EN 319 532-4 C.22). ``outer`` are the unsigned header
    fields of the message, ``inner`` those of the signed multipart/mixed, which are the ones to trust.
    ``evidence`` holds file name and octets of each XML evidence. ``kind`` tells by content, not by header:
    ``Dispatch`` with an original, else ``Message``.
    """

    outer: list[Field]
    inner: list[Field]
    signed: tuple[int, int]
    signature: bytes
    original: tuple[int, int] | None = None
    evidence: list[tuple[str, bytes]] = field(default_factory=list)
    introduction_text: str = ""

    @property
    def kind(self) -> str:
        """``Dispatch`` or ``Message`` (TS 102 640-2 4.1, X-REM-Msg-Type)."""
        return "Message" if self.original is None else "Dispatch"


@dataclass(slots=True)
class _Part:
    fields: list[Field]
    body: int
    end: int
    type: ContentType
    encoding: bytes

    def name(self) -> str:
        entry = first(self.fields, "content-disposition")
        value = structured(entry.raw).get(b"filename") if entry else None
        # a peer's word: nothing of a path may be left when somebody saves a file under it
        return _UNPLAIN.sub("_", decode_text(value or self.type.get(b"name") or b"")).lstrip(".")[:100]

    def section_type(self) -> str:
        # "REM-" since EN 319 532-3, "X-REM-" before
        entry = first(self.fields, "x-rem-section-type") or first(self.fields, "rem-section-type")
        return entry.text.lower() if entry else ""


def open_envelope(octets: Octets) -> Envelope:
    """Find the parts of a REM envelope. Raises FormatError when it is none or when it can be read in two ways.

    Strict where two readers could differ (parts, close delimiters, a second original, an encoded original), lenient
    where the field is: header case, X-REM and REM names, x-pkcs7-signature, message/rfc5322, no disposition.
    """
    data = bytes(octets) if isinstance(octets, memoryview) else octets
    top = _part(data, Region(0, len(data), True))
    if top.type[:2] != (b"multipart", b"signed"):
        raise FormatError("the message is not multipart/signed")
    signed, signature = _signed_and_signature(data, top)
    mixed = _part(data, signed)
    if mixed.type[:2] != (b"multipart", b"mixed"):
        raise FormatError("the signed part is not multipart/mixed")
    envelope = Envelope(top.fields, mixed.fields, signed[:2], _signature(data, signature))
    for region in _whole(data, mixed, MAX_PARTS):
        _sort(data, _part(data, region), envelope)
    return envelope


def _part(data: bytes | mmap, region: Region) -> _Part:
    header_end, body = split(data, region.start, region.end)
    if header_end - region.start > MAX_HEADER:
        raise FormatError("a header block is too large")
    entries = fields(data[region.start : header_end])
    # two of one name make two readers take the part apart in two ways (RFC 5322 3.6, RFC 2045 3)
    if any(len(every(entries, name)) > 1 for name in ("content-type", "content-transfer-encoding")):
        raise FormatError("a part has two content types or transfer encodings")
    kind, encoding = first(entries, "content-type"), first(entries, "content-transfer-encoding")
    return _Part(
        entries,
        body,
        region.end,
        (content_type(kind.raw) if kind else None) or _PLAIN,
        structured(encoding.raw).token if encoding else b"",
    )


def _whole(data: bytes | mmap, part: _Part, most: int) -> list[Region]:
    """The parts of a multipart that is complete. Raises FormatError otherwise."""
    boundary = part.type.get(b"boundary")
    if not boundary or len(boundary) > MAX_BOUNDARY:
        raise FormatError("a multipart has no usable boundary")
    found: list[Region] = []
    for region in regions(data, part.body, part.end, boundary):
        found.append(region)
        if len(found) > most or not region.closed:
            raise FormatError("a multipart has too many parts or no close delimiter")
    if not found:
        raise FormatError("a multipart has no part")
    return found


def _signed_and_signature(data: bytes | mmap, top: _Part) -> tuple[Region, _Part]:
    parts = _whole(data, top, 2)
    if len(parts) != 2:  # RFC 1847 2.1: exactly two
        raise FormatError("multipart/signed does not have two parts")
    signature = _part(data, parts[1])
    if signature.type.type != b"application" or signature.type.subtype not in _SIGNATURE_TYPES:
        raise FormatError("the second part is not a PKCS #7 signature")
    return parts[0], signature


def _signature(data: bytes | mmap, part: _Part) -> bytes:
    return _decode(data, part, MAX_SIGNATURE_SIZE, "signature")


def _decode(data: bytes | mmap, part: _Part, most: int, what: str) -> bytes:
    if part.end - part.body > 2 * most:
        raise FormatError(f"the {what} part is too large")
    try:
        decoded = decode_body(data[part.body : part.end], part.encoding)
    except ValueError as error:
        raise FormatError(f"the {what} part is not base64") from error
    if not decoded or len(decoded) > most:
        raise FormatError(f"the {what} part is empty or too large")
    return decoded


def _sort(data: bytes | mmap, part: _Part, envelope: Envelope) -> None:
    main, subtype = part.type[:2]
    if main == b"message" and subtype in _ORIGINAL_TYPES:
        if envelope.original is not None:
            raise FormatError("there is more than one original message")
        if part.encoding not in _IDENTITY:  # RFC 2046 5.2.1
            raise FormatError("the original message has a transfer encoding")
        envelope.original = (part.body, part.end)
    elif main in (b"multipart", b"text") and subtype in (b"alternative", b"plain") and not envelope.introduction_text:
        envelope.introduction_text = _introduction(data, part)
    elif _is_evidence(part):
        if len(envelope.evidence) == MAX_EVIDENCE:
            raise FormatError("there are too many evidence parts")
        envelope.evidence.append((part.name(), _decode(data, part, MAX_EVIDENCE_SIZE, "evidence")))


def _is_evidence(part: _Part) -> bool:
    """XML that is not a REM-MD Extension (TS 102 640-2 4.6, 4.7); other forms of evidence are not read."""
    if part.section_type().endswith("/extension") or part.name().lower() == "remextensions.xml":
        return False
    if part.type.subtype == b"xml" and part.type.type in (b"application", b"text"):
        return True
    return part.type[:2] == (b"application", b"octet-stream") and part.name().lower().endswith(".xml")


def _introduction(data: bytes | mmap, part: _Part) -> str:
    """The text form of the introduction; empty when it cannot be read: nothing depends on it."""
    if part.type.type == b"multipart":
        boundary = part.type.get(b"boundary")
        region = next(regions(data, part.body, part.end, boundary), None) if boundary else None
        if region is None:
            return ""
        part = _part(data, region)
    if part.type[:2] != (b"text", b"plain") or part.end - part.body > MAX_INTRODUCTION_SIZE:
        return ""
    try:
        octets = decode_body(data[part.body : part.end], part.encoding)
    except ValueError:
        return ""
    return octets.decode("utf-8", "replace")
