"""The REM envelope, built: a head and a tail around the octets of the original, which are never touched.

Layout of TS 102 640-2 clause 4. The message is ``head + form + seal(cms)``; what the CMS covers is
``head[signed_from:] + form + tail``. So the original is hashed and written as it streams, and kept once.
"""

import hashlib
import re
from base64 import b64encode
from binascii import b2a_qp
from collections.abc import Sequence
from dataclasses import dataclass

from kepgw.message.headers import block

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LINE_END = re.compile(r"\r\n|\r|\n")
_BASE64_LINE = 76  # RFC 2045 6.8
_PREAMBLE = b"This is a signed message in MIME format.\r\n"


@dataclass(frozen=True, slots=True)
class OriginalPart:
    """What the envelope must know of the form of the original that it will carry: octets, any octet over 127."""

    size: int
    eight_bit: bool


_MICALG = {"sha256": b"sha-256", "sha384": b"sha-384", "sha512": b"sha-512"}  # RFC 8551 3.5.3.2


@dataclass(frozen=True, slots=True)
class Unsealed:
    """An envelope without its signature. Octets before and after the form; where in ``head`` the signed ones begin.

    ``digest_algorithm`` ("sha256", "sha384" or "sha512") is what the signature must use: ``micalg`` says it.
    """

    head: bytes
    tail: bytes
    signed_from: int
    boundary: bytes
    digest_algorithm: str = "sha256"

    @property
    def signed_head(self) -> bytes:
        """The octets of ``head`` that the signature covers."""
        return self.head[self.signed_from :]

    def seal(self, cms: bytes) -> bytes:
        """All octets that follow the form: the tail and the signature part with ``cms`` (DER, detached)."""
        header = (
            b"Content-Type: application/pkcs7-signature; name=smime.p7s;\r\n"
            b" smime-type=signed-data\r\n"
            b"Content-Transfer-Encoding: base64\r\n"
            b"Content-Disposition: attachment; filename=smime.p7s\r\n"
            b"Content-Description: S/MIME Cryptographic Signature\r\n\r\n"
        )
        delimiter = b"\r\n--" + self.boundary
        return b"".join((self.tail, delimiter, b"\r\n", header, _base64(cms), delimiter, b"--\r\n"))


def begin(
    outer: Sequence[tuple[str, str]],
    inner: Sequence[tuple[str, str]],
    introduction: tuple[str, str],
    original: OriginalPart | None,
    evidence: Sequence[tuple[str, bytes]],
    delivery_status: bytes | None = None,
    seed: bytes = b"",
    digest_algorithm: str = "sha256",
    section_header: str = "X-REM-Section-Type",
) -> Unsealed:
    """Everything of an envelope but the original's octets and the signature.

    ``outer`` are the header fields of the message (names and text; MIME fields are added), ``inner`` those repeated
    under the signature, ``introduction`` its text and html forms, ``evidence`` file names with the octets exactly as
    the ledger has them, ``delivery_status`` the body of a message/delivery-status part (RFC 3464).

    Boundaries come from ``seed`` alone, so a retry builds the same octets. It must hold the digest of the original and
    an identifier that its sender cannot know: then nobody can write our delimiter lines into a message beforehand.
    ``digest_algorithm`` is that of the signature to come. ``section_header`` is the name of the field
    that says what a part is: without ``X-`` since EN 319 532-3. Raises ValueError for an empty seed or a file name that
    is not plain ASCII (our own mistakes).
    """
    if not seed:
        raise ValueError("an envelope needs a seed for its boundaries")
    signed, mixed, both = (_boundary(seed, use) for use in (b"signed", b"mixed", b"alternative"))
    # RFC 2045 6.4: every part around an 8-bit one says so. RFC 2046 5.2.1: message/rfc822 is never encoded
    encoding = b"8bit" if original is not None and original.eight_bit else b"7bit"
    head = [
        block(outer),
        b'MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n',
        b' micalg=%b; boundary="%b"\r\nContent-Transfer-Encoding: %b\r\n\r\n'
        % (_MICALG[digest_algorithm], signed, encoding),
        _PREAMBLE,
        b"\r\n--%b\r\n" % signed,
    ]
    signed_from = sum(map(len, head))
    section = section_header.encode("ascii")
    head += [
        b'Content-Type: multipart/mixed;\r\n boundary="%b"\r\nContent-Transfer-Encoding: %b\r\n' % (mixed, encoding),
        block(inner),
        b"\r\n--%b\r\n" % mixed,
        _introduction(introduction, both, section),
    ]
    rest = [_evidence(name, octets, section) for name, octets in evidence]
    if delivery_status is not None:
        rest.append(
            b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + delivery_status
        )
    delimiter = b"\r\n--" + mixed
    tail = [piece for part in rest for piece in (delimiter, b"\r\n", part)]
    tail += [delimiter, b"--\r\n"]
    if original is not None:
        head += [delimiter, b"\r\n", _original_header(encoding, section)]
    return Unsealed(b"".join(head), b"".join(tail), signed_from, signed, digest_algorithm)


def _boundary(seed: bytes, use: bytes) -> bytes:
    # "=_" stands in neither quoted-printable nor base64 (RFC 2045 6.7)
    return b"=_kep_" + hashlib.sha256(seed + b"\0" + use).hexdigest()[:40].encode("ascii")


def _introduction(introduction: tuple[str, str], boundary: bytes, section: bytes) -> bytes:
    plain, html = introduction
    return b"".join(
        (
            b'Content-Type: multipart/alternative;\r\n boundary="%b"\r\n' % boundary,
            b"%b: rem_message/introduction\r\n\r\n" % section,
            b"--%b\r\nContent-Type: text/plain; charset=UTF-8\r\n" % boundary,
            b"Content-Disposition: inline\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
            _quoted_printable(plain),
            b"\r\n--%b\r\nContent-Type: text/html; charset=UTF-8\r\n" % boundary,
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\n",
            _quoted_printable(html),
            b"\r\n--%b--\r\n" % boundary,
        )
    )


def _original_header(encoding: bytes, section: bytes) -> bytes:
    return b"".join(
        (
            b"Content-Type: message/rfc822; name=AttachedMimeMessage\r\n",
            b"Content-Transfer-Encoding: %b\r\n" % encoding,
            b"Content-Disposition: attachment; filename=AttachedMimeMessage\r\n",
            b"%b: rem_message/original\r\n\r\n" % section,
        )
    )


def _evidence(name: str, octets: bytes, section: bytes) -> bytes:
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(f"not a plain file name: {name!r}")
    file = name.encode("ascii")
    return b"".join(
        (
            b'Content-Type: application/xml; charset=UTF-8; name="%b"\r\n' % file,
            b"Content-Transfer-Encoding: base64\r\n",
            b'Content-Disposition: attachment; filename="%b"\r\n' % file,
            b"%b: rem_message/xml_evidence\r\n\r\n" % section,  # EN 319 532-3; 640-2 names none for evidence
            _base64(octets),
        )
    )


def _quoted_printable(text: str) -> bytes:
    """Text with CRLF line ends as quoted-printable (RFC 2045 6.7)."""
    octets = _LINE_END.sub("\r\n", text).encode("utf-8", "replace")
    return b2a_qp(octets if octets.endswith(b"\r\n") else octets + b"\r\n")


def _base64(octets: bytes) -> bytes:
    """Base64 in lines of 76, the last without a line end: that one belongs to the delimiter."""
    text = b64encode(octets)
    return b"\r\n".join([text[at : at + _BASE64_LINE] for at in range(0, len(text), _BASE64_LINE)])
