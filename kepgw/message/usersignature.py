"""The sender's own S/MIME signature around a message, found as spans of the octets as they came (RFC 8551, RFC 1847).

Only a signature around the whole message counts: one inside another multipart leaves its neighbours unsigned. Turkish
clients alter a message after they have signed it; ``forms`` lists what they may have signed, in the order in which a
verifier should try. Nothing is ever written back.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from mmap import mmap

from kepgw.errors import FormatError
from kepgw.message.headers import MAX_HEADER, Octets, fields, first, split
from kepgw.message.mime import MAX_BOUNDARY, ContentType, Region, content_type, decode_body, regions, structured

MAX_SIGNATURE = 2 << 20  # octets of a detached signature in its transfer encoding; a chain and a token are below 40 KB
MAX_OPAQUE = 64 << 20  # octets of a signed message inside a CMS, in its transfer encoding

_DETACHED = (b"pkcs7-signature", b"x-pkcs7-signature")
_OPAQUE = (b"pkcs7-mime", b"x-pkcs7-mime")
_NOT_SIGNED = (b"enveloped-data", b"authenveloped-data", b"compressed-data", b"certs-only")
_PIECE = 1 << 20
_SPACE = b" \t\r\n\f\v"
_CRLF = b"\r\n"
_PLAIN = ContentType(b"text", b"plain")
_STUFFED = re.compile(rb"\n\.\.")


@dataclass(frozen=True, slots=True)
class UserSignature:
    """Where a sender's signature stands, as offsets in the message.

    ``content`` is the signed part with its header, None when the CMS carries it (opaque). ``body`` and ``delimiter``
    are where the body of the signed part starts and where its first inner delimiter line does, equal offsets when
    nothing stands between; None when the signed part is no multipart.
    """

    content: tuple[int, int] | None
    body: int
    delimiter: int | None
    signature: tuple[int, int]
    encoding: bytes

    def octets(self, message: Octets) -> bytes:
        """The CMS in DER or BER. Raises FormatError when its transfer encoding is broken or it is too large."""
        start, end = self.signature
        if end - start > (MAX_SIGNATURE if self.content else MAX_OPAQUE):
            raise FormatError(f"a signature part of {end - start} octets")
        try:
            decoded = decode_body(bytes(message[start:end]), self.encoding)
        except ValueError as error:
            raise FormatError(f"the signature part is not base64: {error}") from error
        if not decoded:
            raise FormatError("the signature part is empty")
        return decoded


def find(octets: Octets) -> UserSignature | None:
    """The S/MIME signature around a message, None when there is none (OpenPGP and encrypted messages have none).

    ``protocol`` and ``micalg`` do not decide: the type of the second part does, for clients write one and send the
    other. Raises FormatError when the message claims to be signed and cannot be taken apart in exactly one way.
    """
    data = bytes(octets) if isinstance(octets, memoryview) else octets
    kind, encoding, body, end = _part(data, 0, len(data))
    if kind.type == b"application" and kind.subtype in _OPAQUE:
        return None if (kind.get(b"smime-type") or b"").lower() in _NOT_SIGNED else _opaque(body, end, encoding)
    if kind[:2] != (b"multipart", b"signed"):
        return None
    boundary = kind.get(b"boundary")
    claimed = (kind.get(b"protocol") or b"").lower().endswith(b"pkcs7-signature")
    parts: list[Region] = []
    if boundary and len(boundary) <= MAX_BOUNDARY:
        for region in regions(data, body, end, boundary):
            parts.append(region)
            if len(parts) > 2:
                break
    signature = _part(data, parts[1].start, parts[1].end) if len(parts) > 1 else None
    smime = signature is not None and signature[0].type == b"application" and signature[0].subtype in _DETACHED
    if not smime and not claimed:
        return None
    if signature is None or not smime or len(parts) != 2 or not parts[0].closed:  # RFC 1847 2.1: exactly two
        raise FormatError(f"multipart/signed with {len(parts)} parts that is no S/MIME signature")
    content = parts[0]
    inner, _, inner_body, _ = _part(data, content.start, content.end)
    return UserSignature(
        (content.start, content.end),
        inner_body,
        _first_delimiter(data, inner, inner_body, content.end),
        (signature[2], signature[3]),
        signature[1],
    )


def around(octets: Octets) -> UserSignature:
    """The whole of ``octets`` as what a signature kept elsewhere may cover; for ``forms``."""
    data = bytes(octets) if isinstance(octets, memoryview) else octets
    kind, _, body, end = _part(data, 0, len(data))
    return UserSignature((0, end), body, _first_delimiter(data, kind, body, end), (0, 0), b"")


def forms(octets: Octets, found: UserSignature) -> Iterator[tuple[str, Iterable[bytes]]]:
    """What a client may have signed, with the name of the form: pieces to be hashed in order.

    ``as-is``; ``preamble``, with or without the CRLF that stands before the first inner delimiter; ``undotted``, with
    one dot less on each line that begins with two (a client that stuffs dots into what it has signed); ``trimmed``,
    without white space around and with one CRLF after, undotted too. Forms that equal an earlier one are left out.
    """
    assert found.content is not None
    data = bytes(octets) if isinstance(octets, memoryview) else octets
    start, end = found.content
    yield "as-is", _pieces(data, start, end)
    at = found.delimiter
    if at is not None and at == found.body:
        yield "preamble", _chain(_pieces(data, start, at), (_CRLF,), _pieces(data, at, end))
    elif at is not None and data[found.body : at] == _CRLF:
        yield "preamble", _chain(_pieces(data, start, found.body), _pieces(data, at, end))
    stuffed = _STUFFED.search(data, start, end) is not None
    if stuffed:
        yield "undotted", _undotted(data, start, end)
    first_octet, last = _trimmed(data, start, end)
    yield "trimmed", _chain(_pieces(data, first_octet, last), (_CRLF,))
    if stuffed:
        yield "trimmed-undotted", _chain(_undotted(data, first_octet, last), (_CRLF,))


def _opaque(body: int, end: int, encoding: bytes) -> UserSignature:
    return UserSignature(None, body, None, (body, end), encoding)


def _part(data: bytes | mmap, start: int, end: int) -> tuple[ContentType, bytes, int, int]:
    """Type, transfer encoding, and the span of the body of a part."""
    header_end, body = split(data, start, end)
    entries = fields(data[start : min(header_end, start + MAX_HEADER)])
    kind, encoding = first(entries, "content-type"), first(entries, "content-transfer-encoding")
    return (
        (content_type(kind.raw) if kind else None) or _PLAIN,
        structured(encoding.raw).token if encoding else b"",
        body,
        end,
    )


def _first_delimiter(data: bytes | mmap, kind: ContentType, body: int, end: int) -> int | None:
    boundary = kind.get(b"boundary") if kind.type == b"multipart" else None
    if not boundary or len(boundary) > MAX_BOUNDARY:
        return None
    region = next(regions(data, body, end, boundary), None)
    return None if region is None else data.rfind(b"--" + boundary, body, region.start)


def _pieces(data: bytes | mmap, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, _PIECE):
        yield data[at : min(at + _PIECE, end)]


def _undotted(data: bytes | mmap, start: int, end: int) -> Iterator[bytes]:
    """Pieces that end with a line where they can, each with one dot less on the lines that begin with two."""
    while start < end:
        stop = min(start + _PIECE, end)
        if stop < end:
            stop = data.rfind(b"\n", start, stop) + 1 or stop
        piece = data[start:stop].replace(b"\n..", b"\n.")
        yield piece[1:] if piece.startswith(b"..") else piece
        start = stop


def _trimmed(data: bytes | mmap, start: int, end: int) -> tuple[int, int]:
    while start < end and data[start] in _SPACE:
        start += 1
    while end > start and data[end - 1] in _SPACE:
        end -= 1
    return start, end


def _chain(*pieces: Iterable[bytes]) -> Iterator[bytes]:
    for each in pieces:
        yield from each
