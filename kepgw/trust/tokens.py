"""RFC 3161 requests, responses and tokens: building, reading, and judging a token at its own time.

One reader serves every token, our own and foreign ones whose certificate SET is not sorted: two readers of the same
octets may disagree, and what one accepts is then what counts.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from asn1crypto import cms, core, tsp

from kepgw.errors import FormatError, SignatureInvalid, StampUnavailable, Sub
from kepgw.evidence import bounds
from kepgw.trust import cmsreading, der, paths
from kepgw.trust.algorithms import DIGEST_OIDS, DIGEST_SIZES, digest_identifier
from kepgw.trust.cmsreading import TST_INFO

CHECK = "time-stamp"
LARGEST = 256 << 10  # octets of a request or response
# PKIStatusInfo has none of the tags that are closed in a token
_RESPONSE: bounds.Closed = {0x30: bounds.SIGNATURE}
_TRUE = b"\x01\x01\xff"
_VERSION = der.integer(1)
_GEN_TIME = re.compile(rb"[0-9]{14}(\.[0-9]{1,9})?Z")
_DIGESTS = {oid: name for name, oid in DIGEST_OIDS.items()}


class _Response(core.Sequence):  # type: ignore[misc]
    """TimeStampResp with the token optional, as RFC 3161 2.4.2 has it and asn1crypto does not."""

    _fields = [  # noqa: RUF012 - asn1crypto's way to describe a structure
        ("status", tsp.PKIStatusInfo),
        ("time_stamp_token", cms.ContentInfo, {"optional": True}),
    ]


@dataclass(frozen=True)
class Asked:
    """A TimeStampReq: the digest (SHA-2, known by its length), the nonce if any, the wanted policy or ""."""

    digest: bytes
    nonce: int | None
    policy: str = ""


@dataclass(frozen=True)
class TokenReading:
    """A TimeStampToken taken apart, nothing of it trusted yet. ``time`` is genTime, ``accuracy`` None when unsaid."""

    cms: cmsreading.CmsReading
    time: datetime
    accuracy: timedelta | None
    digest_algorithm: str
    digest: bytes
    policy: str
    serial: int
    nonce: int | None


@dataclass(frozen=True)
class Stamped:
    """A verified time stamp: its time (aware UTC), the authority's DER certificate and chain, accuracy, policy OID."""

    time: datetime
    tsa_certificate: bytes
    accuracy: timedelta | None
    policy: str
    serial: int
    chain: tuple[bytes, ...] = ()


def build_request(digest: bytes, nonce: int | None = None, policy: str = "") -> bytes:
    """A TimeStampReq (DER) for a SHA-2 ``digest``, asking for the authority's certificate (RFC 3161 2.4.1).

    ``policy`` is the OID of the policy to stamp under, dotted; empty leaves it to the authority.
    """
    imprint = der.sequence(digest_identifier(DIGEST_SIZES[len(digest)]), der.octet_string(digest))
    wanted = der.oid(policy) if policy else b""
    return der.sequence(_VERSION, imprint, wanted, b"" if nonce is None else der.integer(nonce), _TRUE)


def read_request(request: bytes) -> Asked:
    """The digest and nonce of a TimeStampReq. Raises FormatError for anything but SHA-2 of the right length."""
    read = _load(tsp.TimeStampReq, request, "time-stamp request")
    try:
        nonce, policy = read["nonce"], read["req_policy"]
        return Asked(
            _imprint(read["message_imprint"])[1],
            None if isinstance(nonce, core.Void) else nonce.native,
            "" if isinstance(policy, core.Void) else policy.dotted,
        )
    except Exception as error:  # ours, and asn1crypto's of many kinds, which parses lazily
        raise FormatError(f"not a usable time-stamp request: {error}") from error


def read_response(response: bytes) -> bytes:
    """The token (DER) of a TimeStampResp. Raises StampUnavailable with the authority's words when it refused."""
    try:
        read = _load(_Response, response, "time-stamp response")
        status = read["status"]
        granted = status["status"].native
        words = "; ".join(status["status_string"].native or ()) if "status_string" in status else ""
        reason = status["fail_info"].native
        token = b"" if isinstance(read["time_stamp_token"], core.Void) else der.as_given(read["time_stamp_token"])
    except FormatError as error:
        raise StampUnavailable(str(error), "unreadable") from error
    except Exception as error:  # asn1crypto parses lazily and raises errors of many kinds
        raise StampUnavailable(f"not a readable time-stamp response: {error}", "unreadable") from error
    if granted not in ("granted", "granted_with_mods") or not token:
        said = f"the time-stamp authority refused: {granted} {reason or ''} {words[:200]}"
        raise StampUnavailable(said.rstrip(), "refused")
    return bytes(token)


@lru_cache(maxsize=16)
def read_token(token: bytes) -> TokenReading:
    """Take a TimeStampToken apart. Raises FormatError, or SignatureInvalid for refused algorithms."""
    reading = cmsreading.read(token)
    if reading.content_type != TST_INFO or reading.content is None:
        raise FormatError(f"a time-stamp token with content of type {reading.content_type}")
    info = _load(tsp.TSTInfo, reading.content, "TSTInfo")
    try:
        if info["version"].native != "v1":
            raise FormatError(f"a TSTInfo of version {info['version'].native}")
        if not _GEN_TIME.fullmatch(info["gen_time"].contents):
            raise FormatError("a genTime that is not in UTC")  # RFC 3161 2.4.2: a local time means nothing
        algorithm, digest = _imprint(info["message_imprint"])
        nonce, accuracy = info["nonce"], info["accuracy"]
        return TokenReading(
            cms=reading,
            time=info["gen_time"].native.astimezone(UTC),
            accuracy=None if isinstance(accuracy, core.Void) else _accuracy(accuracy.native),
            digest_algorithm=algorithm,
            digest=digest,
            policy=info["policy"].dotted if hasattr(info["policy"], "dotted") else str(info["policy"].native),
            serial=info["serial_number"].native,
            nonce=None if isinstance(nonce, core.Void) else nonce.native,
        )
    except (FormatError, SignatureInvalid):
        raise
    except Exception as error:  # asn1crypto parses lazily and raises errors of many kinds
        raise FormatError(f"not a readable TSTInfo: {error}") from error


def verify_token(
    token: bytes,
    digest: bytes,
    anchors: Sequence[bytes],
    intermediates: Sequence[bytes] = (),
    nonce: int | None = None,
) -> Stamped:
    """Verify a TimeStampToken over ``digest`` at its own genTime; all certificates are DER.

    Imprint, nonce when given, signature, signing certificate (ESSCertID v1 or v2, RFC 5816), the critical and sole
    extended key usage timeStamping (RFC 3161 2.3), genTime inside the authority's validity, and the path to one of
    ``anchors`` at genTime. ``digest`` must have the imprint's algorithm. Raises SignatureInvalid(check="time-stamp").
    """
    reading = check_token(token, digest, nonce)
    others = (*reading.cms.certificates, *intermediates)
    try:
        chain = paths.validate(reading.cms.signer, others, anchors, reading.time, usage="stamp")
    except SignatureInvalid as error:
        raise error.under(CHECK) from error
    return Stamped(reading.time, reading.cms.signer, reading.accuracy, reading.policy, reading.serial, chain)


def check_token(token: bytes, digest: bytes, nonce: int | None = None) -> TokenReading:
    """What ``verify_token`` checks apart from the authority's certificate and path, so nothing is proved yet.

    Raises SignatureInvalid(check="time-stamp").
    """
    try:
        reading = read_token(token)
    except (FormatError, SignatureInvalid) as error:
        raise SignatureInvalid(str(error), CHECK, error.sub) from error
    if reading.digest != digest:
        raise SignatureInvalid("the time stamp is for other octets", CHECK, Sub.HASH_FAILURE)
    if nonce is not None and reading.nonce != nonce:
        raise SignatureInvalid("the time stamp answers another request: its nonce differs", CHECK)
    content = reading.cms.content or b""
    hashed = hashlib.new(reading.cms.digest_algorithm, content).digest()
    cmsreading.verify_reading(reading.cms, hashed, CHECK, sha1_id=True)
    return reading


def _load(kind: Any, octets: bytes, name: str) -> Any:
    if len(octets) > LARGEST:
        raise FormatError(f"a {name} of {len(octets)} octets")
    try:
        bounds.check(octets, _RESPONSE if kind is _Response else None)
        return kind.load(octets, strict=True)
    except Exception as error:  # asn1crypto raises errors of many kinds
        raise FormatError(f"not a readable {name}: {error}") from error


def _imprint(imprint: Any) -> tuple[str, bytes]:
    oid = imprint["hash_algorithm"]["algorithm"].dotted
    digest: bytes = imprint["hashed_message"].native
    if oid not in _DIGESTS:
        raise SignatureInvalid(f"an imprint by {oid} is refused", CHECK, Sub.CRYPTO_CONSTRAINTS_FAILURE)
    if DIGEST_SIZES.get(len(digest)) != _DIGESTS[oid]:
        raise SignatureInvalid("the imprint has the length of another digest", CHECK, Sub.FORMAT_FAILURE)
    return _DIGESTS[oid], digest


def _accuracy(parts: dict[str, int | None]) -> timedelta:
    """RFC 3161 2.4.2: seconds, and 1 to 999 of the smaller units; anything else would subtract, or hide seconds."""
    small = [parts[unit] for unit in ("millis", "micros") if parts.get(unit) is not None]
    if not 0 <= (parts.get("seconds") or 0) < 1 << 31 or not all(1 <= (each or 0) <= 999 for each in small):
        raise FormatError(f"an accuracy of {parts}")
    return timedelta(
        seconds=parts.get("seconds") or 0,
        milliseconds=parts.get("millis") or 0,
        microseconds=parts.get("micros") or 0,
    )
