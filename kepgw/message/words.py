"""The words of a header value: unfolding, and RFC 2047 encoded words both ways."""

import codecs
import encodings
import encodings.aliases
import pkgutil
import re
from base64 import b64encode
from binascii import Error, a2b_base64, a2b_qp

_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_LINE_END = re.compile(rb"[\r\n\0]")
_ENCODED = re.compile(rb"=\?([^?\s*]{1,40})(?:\*[^?\s]{0,40})?\?([bBqQ])\?([^?\s]*)\?=")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_SURROGATE = re.compile("[\ud800-\udfff]")

# Codecs of Python that are no charsets of mail: they take the square of the octets in time, or undo escapes
_NO_CHARSET = frozenset(("punycode", "idna", "unicode-escape", "raw-unicode-escape"))

_KNOWN = frozenset(encodings.aliases.aliases) | {each.name for each in pkgutil.iter_modules(encodings.__path__)}

# RFC 2047 2: an encoded word has at most 75 characters. "=?utf-8?b?" and "?=" leave 63, so 45 octets of base64.
_WORD_OCTETS = 45


def unfold(raw: bytes) -> bytes:
    """The value on one line without surrounding white space (RFC 5322 2.2.3). Stray CR, LF and NUL are dropped."""
    value = _FOLD.sub(b"", raw) if b"\n" in raw else raw
    return _LINE_END.sub(b"", value).strip(b" \t") if _LINE_END.search(value) else value.strip(b" \t")


def _plain(octets: bytes) -> str:
    """Raw octets of a header as text: UTF-8, else Windows Turkish, which raw Turkish headers use in the field."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("cp1254", "replace")


def decode_charset(octets: bytes, charset: str) -> str:
    """Octets in a charset of mail; what is no character becomes U+FFFD. Raises LookupError or ValueError."""
    # Python looks for a module of every name that it does not know, and keeps each for ever
    if encodings.normalize_encoding(charset).lower() not in _KNOWN or codecs.lookup(charset).name in _NO_CHARSET:
        raise LookupError(charset)
    return _SURROGATE.sub("\ufffd", octets.decode(charset, "replace"))  # UTF-7 gives halves of pairs


def _charset(octets: bytes, name: bytes) -> str:
    try:
        return decode_charset(octets, name.decode("ascii"))
    except (LookupError, UnicodeError, ValueError):
        return _plain(octets)


def decode_text(raw: bytes) -> str:
    """An unstructured value for display: unfolded, encoded words decoded, control characters made spaces.

    Adjacent words of one charset are joined before decoding, because clients split inside a character.
    Never raises: what cannot be decoded stays or becomes U+FFFD.
    """
    value = unfold(raw)
    if b"=?" not in value:
        return _CONTROL.sub(" ", _plain(value))
    pieces: list[str] = []
    charset, pending, at = b"", bytearray(), 0
    for word in _ENCODED.finditer(value):
        between = value[at : word.start()]
        name = word[1].lower()
        try:
            octets = a2b_qp(word[3], header=True) if word[2] in b"qQ" else a2b_base64(word[3] + b"==")
        except Error:
            octets = word[0]
            name = b"ascii"
        # RFC 2047 6.2: white space between two encoded words is not shown
        gap = between if not pieces and not pending else between.strip(b" \t") and between
        if pending and (gap or name != charset):
            pieces.append(_charset(bytes(pending), charset))
            pending.clear()
        if gap:
            pieces.append(_plain(gap))
        charset = name
        pending += octets
        at = word.end()
    if pending:
        pieces.append(_charset(bytes(pending), charset))
    pieces.append(_plain(value[at:]))
    return _CONTROL.sub(" ", "".join(pieces))


def clean(value: str) -> str:
    """``value`` without anything that could end or fold a header line: control characters become one space."""
    return _CONTROL.sub(" ", value).strip()


def encode_text(value: str, *, always: bool = False) -> str:
    """Unstructured text as ASCII: unchanged when it is, else UTF-8 encoded words divided by spaces (RFC 2047).

    ``always`` encodes ASCII as well (for a word too long to be folded).
    """
    value = clean(value)
    if value.isascii() and not always:
        return value
    words: list[str] = []
    piece = bytearray()
    for character in value:
        octets = character.encode("utf-8", "replace")
        if len(piece) + len(octets) > _WORD_OCTETS:  # RFC 2047 5: a character is never split over two words
            words.append(_word(piece))
            piece.clear()
        piece += octets
    if piece:
        words.append(_word(piece))
    return " ".join(words)


def _word(octets: bytearray) -> str:
    return f"=?utf-8?b?{b64encode(octets).decode('ascii')}?="
