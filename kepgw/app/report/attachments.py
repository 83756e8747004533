"""The attachments of an original message, with digests of what they hold: found by structure, decoded in pieces."""

import hashlib
from binascii import Error, a2b_base64
from collections.abc import Iterator
from typing import Any, Final

from kepgw.app.report.model import Attachment
from kepgw.evidence.render import flat
from kepgw.message.mime import decode_body
from kepgw.message.structure import Part, scan
from kepgw.message.words import decode_charset, decode_text

MAX_LISTED: Final = 100
PIECE: Final = 78 * 4096  # octets decoded at once
_NO_BASE64: Final = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))


def attachments(octets: Any) -> tuple[tuple[Attachment, ...], int]:
    """The parts with a file name (at most 100), and how many more there are. ``octets`` may be mapped."""
    named = [(part, name) for part in _leaves(scan(octets)) if (name := _name(part))]
    listed = tuple(
        Attachment(flat(name), flat(f"{part.type}/{part.subtype}"), *_digest(octets, part))
        for part, name in named[:MAX_LISTED]
    )
    return listed, len(named) - len(listed)


def _leaves(root: Part) -> Iterator[Part]:
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.is_multipart:
            waiting += reversed(part.children)
        else:
            yield part


def _name(part: Part) -> str:
    """The file name by Content-Disposition or, as older clients do it, by Content-Type (RFC 2183, RFC 2231)."""
    pairs = (*(part.disposition[1] if part.disposition else ()), *part.parameters)
    for wanted in ("filename", "name"):
        extended = {key.lower(): value for key, value in pairs if key.lower().startswith(f"{wanted}*")}
        if extended:
            return _extended(extended, wanted)
        for key, value in pairs:
            if key.lower() == wanted:
                return decode_text(value.encode("latin-1", "replace"))
    return ""


def _extended(values: dict[str, str], wanted: str) -> str:
    """A value in the extended form: charset, percent signs, perhaps in numbered pieces (RFC 2231 3, 4)."""
    pieces: list[tuple[str, bool]] = []
    if f"{wanted}*" in values:
        pieces.append((values[f"{wanted}*"], True))
    else:
        for number in range(64):
            plain, coded = f"{wanted}*{number}", f"{wanted}*{number}*"
            if coded in values:
                pieces.append((values[coded], True))
            elif plain in values:
                pieces.append((values[plain], False))
            else:
                break
    if not pieces:
        return ""
    charset, octets = "utf-8", b""
    first, percents = pieces[0]
    if percents and first.count("'") >= 2:
        charset, _, first = first.split("'", 2)
        pieces[0] = (first, True)
    for piece, percents in pieces:
        raw = piece.encode("latin-1", "replace")
        octets += _percent(raw) if percents else raw
    try:
        return decode_charset(octets, charset or "utf-8")
    except (LookupError, ValueError):
        return octets.decode("utf-8", "replace")


def _percent(raw: bytes) -> bytes:
    from urllib.parse import unquote_to_bytes  # noqa: PLC0415  (only names in the extended form need it)

    return unquote_to_bytes(raw)


def _digest(octets: Any, part: Part) -> tuple[int, str]:
    """Size and SHA-256 of what a part holds after its transfer encoding; no digest when that is broken."""
    digest, size = hashlib.sha256(), 0
    if part.encoding == "base64":
        try:
            for piece in _base64(octets, part.body, part.end):
                digest.update(piece)
                size += len(piece)
        except Error:
            return part.size, ""
        return size, digest.hexdigest()
    if part.encoding == "quoted-printable":
        decoded = decode_body(bytes(octets[part.body : part.end]), b"quoted-printable")
        return len(decoded), hashlib.sha256(decoded).hexdigest()
    for at in range(part.body, part.end, PIECE):
        piece = bytes(octets[at : min(at + PIECE, part.end)])
        digest.update(piece)
        size += len(piece)
    return size, digest.hexdigest()


def _base64(octets: Any, start: int, end: int) -> Iterator[bytes]:
    """Decode in pieces; characters that are no base64 are passed over (RFC 2045 6.8)."""
    rest = b""
    for at in range(start, end, PIECE):
        piece = rest + bytes(octets[at : min(at + PIECE, end)]).translate(None, _NO_BASE64)
        whole = len(piece) - len(piece) % 4
        rest = piece[whole:]
        yield a2b_base64(piece[:whole])
    if rest:
        yield a2b_base64(rest)
