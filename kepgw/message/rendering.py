"""What IMAP clients ask for again and again, rendered once when a message is stored (RFC 3501 7.4.2, RFC 9051)."""

from dataclasses import dataclass

from kepgw.message.headers import Octets
from kepgw.message.imaplist import NIL, envelope, nstring, parameters, string
from kepgw.message.structure import Part, dump, graft, load, rehead, scan

__all__ = ["ORIGINAL_PATH", "Rendered", "body", "bodystructure", "envelope", "reheaded", "render", "render_grafted"]

# Where the original stands in our envelopes: signed > mixed > after the introduction (TS 102 640-2 4)
ORIGINAL_PATH = (1, 2)


@dataclass(frozen=True, slots=True)
class Rendered:
    """Ready for FETCH: header block with its blank line, ENVELOPE, BODY, BODYSTRUCTURE; ``tree`` is a dumped Part."""

    header: bytes
    envelope: bytes
    body: bytes
    bodystructure: bytes
    tree: bytes


def body(part: Part) -> bytes:
    """BODY: the structure without extension data."""
    return _both(part)[0]


def bodystructure(part: Part) -> bytes:
    """BODYSTRUCTURE: the structure with all extension data."""
    return _both(part)[1]


def _both(part: Part) -> tuple[bytes, bytes]:
    """BODY and BODYSTRUCTURE in one pass."""
    if part.is_multipart:
        pairs = [_both(child) for child in part.children]
        end = b" " + string(part.subtype.encode("ascii"))
        return (
            b"(%b%b)" % (b"".join([pair[0] for pair in pairs]), end),
            b"(%b%b %b%b)"
            % (b"".join([pair[1] for pair in pairs]), end, parameters(part.parameters), _extension(part)),
        )
    basic = b"%b %b %b %b %b %b %d" % (
        string(part.type.encode("ascii")),
        string(part.subtype.encode("ascii")),
        parameters(part.parameters),
        _text(part.id),
        _text(part.description),
        string(part.encoding.encode("ascii")),
        part.size,
    )
    extension = b" " + _text(part.md5) + _extension(part)
    if part.is_message:
        message = part.children[0]
        basic += b" " + (message.envelope or NIL)
        short, full = _both(message)
        return b"(%b %b %d)" % (basic, short, part.lines), b"(%b %b %d%b)" % (basic, full, part.lines, extension)
    if part.type == "text":
        basic += b" %d" % part.lines
    return b"(" + basic + b")", b"(" + basic + extension + b")"


def _extension(part: Part) -> bytes:
    """Disposition, language and location, with the space before them."""
    disposition = NIL
    if part.disposition is not None:
        token, pairs = part.disposition
        disposition = b"(%b %b)" % (string(token.encode("ascii")), parameters(pairs))
    language = NIL
    if part.language:
        tags = [string(tag.encode("latin-1")) for tag in part.language]
        language = tags[0] if len(tags) == 1 else b"(" + b" ".join(tags) + b")"
    return b" %b %b %b" % (disposition, language, _text(part.location))


def _text(value: str | None) -> bytes:
    return nstring(None if value is None else value.encode("latin-1"))


def _rendered(header: bytes, part: Part) -> Rendered:
    short, full = _both(part)
    return Rendered(header, part.envelope or NIL, short, full, dump(part))


def render(octets: Octets) -> Rendered:
    """Everything of a whole message. Never raises for malformed mail."""
    part = scan(octets)
    return _rendered(bytes(octets[: part.body]), part)


def reheaded(original: Rendered, header: bytes) -> Rendered:
    """The rendering of a message with another header block (blank line included) that says the same of its MIME."""
    return _rendered(header, rehead(load(original.tree), original.header, header))


def render_grafted(head: bytes, original: Rendered, size: int, tail: bytes) -> Rendered:
    """The rendering of ``head + form + tail`` without reading the form again.

    ``head`` and ``tail`` (the signature part included) are those of `envelope.begin` and `Unsealed.seal`; ``original``
    is the rendering of the form, ``size`` its octets.
    """
    skeleton = scan(head + tail)
    tree = load(original.tree)
    part = graft(skeleton, ORIGINAL_PATH, tree, size, tree.total)
    return _rendered((head + tail)[: part.body], part)
