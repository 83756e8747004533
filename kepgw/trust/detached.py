"""A detached signature that lies beside its message: ``x.p7s`` and ``x.eml``.

It may be over the file as it is; or be the signature part of a multipart/signed that a webmail saved by itself: then
what it covers is the other part, in one of the forms in which Turkish clients sign (``kepgw.message.usersignature``),
of the message or of the original inside a dispatch.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kepgw.errors import FormatError, SignatureInvalid, Sub
from kepgw.message.envelope import open_envelope
from kepgw.message.headers import Octets
from kepgw.message.usersignature import UserSignature, around, find, forms
from kepgw.trust import cmsreading
from kepgw.trust.certificates import summary
from kepgw.trust.devtsa import DEVELOPMENT_POLICY
from kepgw.trust.digests import digest_canonical, digest_span
from kepgw.trust.judgement import Check
from kepgw.trust.tokens import Stamped
from kepgw.trust.tree import Branch, signature_branch
from kepgw.trust.trusted import Trusted, unsigned

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")  # 1.2.840.113549.1.7.2


@dataclass(frozen=True)
class _Found:
    """A form of the message whose digest is the signed one, and what to call it."""

    told: str
    digest: bytes


def is_signature(octets: bytes) -> bool:
    """Whether octets are a CMS SignedData: DER or BER, PEM, or base64 as it stands in a mail."""
    decoded = _decoded(octets[:4096])
    return decoded[:1] == b"\x30" and _SIGNED_DATA in decoded[:64]


def judge_detached(
    signature: bytes, message: Octets, trusted: Trusted, at: datetime | None = None, name: str = "message.eml"
) -> Branch:
    """The tree of a detached signature (DER, PEM or base64) over ``message``.

    Raises FormatError when ``signature`` is no CMS SignedData.
    """
    if not is_signature(signature):
        raise FormatError("not a detached signature (CMS SignedData)")
    what = "file-signature"
    stamp: Stamped | None = None
    checks: list[Check] = []
    try:
        reading = cmsreading.read(_decoded(signature))
        if reading.content is not None or reading.content_type != cmsreading.DATA:
            raise SignatureInvalid("a signature that is not over a message beside it", what, Sub.SIGNED_DATA_NOT_FOUND)
        found = _signed(message, reading)
        cmsreading.verify_reading(reading, found.digest, what)
    except (FormatError, SignatureInvalid) as error:
        checks = [Check(what, "bad", str(error), error.sub), *unsigned("file", "the signature does not hold")]
        return Branch("signed-file", name, (signature_branch("file", checks),))
    values = {"name": summary(reading.signer).name, "algorithm": reading.algorithm}
    checks.append(Check(what, "ok", f"{reading.algorithm}, {found.told}", None, found.told, values, reading.signer))
    stamp_checks = [Check("file-stamp", "not checked", "the signature carries no time stamp", Sub.NO_POE)]
    if reading.token is not None:
        stamp_checks, stamp = trusted.stamp("file", reading.token, reading.signature)
    moment = at or (datetime.now(UTC) if stamp is None else stamp.time)
    proved = at is not None or stamp is not None
    checks += trusted.chain("file", reading.signer, reading.certificates, moment, proved=proved, usage="user")
    checks += stamp_checks
    more = []
    if stamp is not None and stamp.policy == DEVELOPMENT_POLICY:
        more.append(Check("development", "warning", "stamped by a development authority"))
    return Branch("signed-file", name, (signature_branch("file", checks), *more))


def _signed(message: Octets, reading: cmsreading.CmsReading) -> _Found:
    """The first form of the message that has the signed digest. Raises SignatureInvalid when none has."""
    algorithm, whole = reading.digest_algorithm, (0, len(message))
    if digest_span(message, whole, algorithm) == reading.message_digest:
        return _Found("whole-file", reading.message_digest)
    if digest_canonical(message, whole, algorithm) == reading.message_digest:
        return _Found("line-ends", reading.message_digest)
    for told, octets, place in _places(message):
        for form, pieces in forms(octets, place):
            if _digest(pieces, algorithm) == reading.message_digest:
                return _Found(told if form == "as-is" else f"{told}-altered", reading.message_digest)
        assert place.content is not None
        if digest_canonical(octets, place.content, algorithm) == reading.message_digest:
            return _Found(told, reading.message_digest)
    raise SignatureInvalid(
        "the message is not what was signed: its digest differs in every known form", "file-signature", Sub.HASH_FAILURE
    )


def _places(message: Octets) -> Iterator[tuple[str, Octets, UserSignature]]:
    """Where what was signed may stand: the signed part, the file in a form of it, the original of a dispatch."""
    data = bytes(message) if isinstance(message, memoryview) else message
    part = _part(data)
    if part is not None:
        yield "signed-part", data, part
    yield "whole-file", data, around(data)
    try:
        span = open_envelope(data).original
    except FormatError:
        return
    if span is not None:
        original = bytes(data[span[0] : span[1]])
        inner = _part(original)
        if inner is not None:
            yield "signed-part-of-original", original, inner
        yield "original", original, around(original)


def _part(data: Octets) -> UserSignature | None:
    try:
        found = find(data)
    except FormatError:
        return None
    return None if found is None or found.content is None else found


def _digest(pieces: Iterable[bytes], algorithm: str) -> bytes:
    hasher = hashlib.new(algorithm)
    for piece in pieces:
        hasher.update(piece)
    return hasher.digest()


def _decoded(octets: bytes) -> bytes:
    """DER, from PEM or base64 where it is that."""
    if octets[:1] == b"\x30":
        return octets
    lines: Sequence[bytes] = [line.strip() for line in octets.strip().splitlines()]
    packed = b"".join(line for line in lines if not line.startswith(b"-----"))
    try:
        return base64.b64decode(packed[: len(packed) // 4 * 4], validate=True)
    except (binascii.Error, ValueError):
        return b""
