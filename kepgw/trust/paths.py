"""Certificate paths at a given time (RFC 5280 6.1), without fetching anything.

Candidates are built here under a budget, for the certificates come from strangers: a mesh of cross-certificates must
not cost us hours. Each candidate is then judged by pyhanko-certvalidator. Revocation data, where a context has none,
is not looked for (soft failure).
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from kepgw.errors import ConfigurationError, SignatureInvalid, Sub
from kepgw.evidence import bounds
from kepgw.evidence.certificates import UNREADABLE, load

Usage = Literal["sign", "stamp", "user"]
CHECK = "chain"

DEEPEST = 6  # certificates above the leaf
MOST_CHECKS = 96  # signature checks while candidates are built
MOST_CANDIDATES = 8  # candidates judged
REMEMBERED = 1024  # good paths kept; a provider meets some ten peers and a few authorities

# The profile of the process certificate (2012/DK-15/259) was not published: these purposes pass, as does none at all.
SIGNING_PURPOSES = frozenset(
    {
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36"),  # id-kp-documentSigning, RFC 9336
    }
)
# Users' certificates are made for more: no text narrows what stands beside the signing of documents and mail.
USER_PURPOSES = SIGNING_PURPOSES | {
    ExtendedKeyUsageOID.CLIENT_AUTH,
    x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.12"),  # document signing as Microsoft has it
}
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    }
)


class _Good(NamedTuple):
    """A path that held, and the span in which all its certificates are valid."""

    chain: tuple[bytes, ...]
    begins: datetime
    ends: datetime


_remembered: OrderedDict[tuple[object, ...], _Good] = OrderedDict()
_lock = threading.Lock()


def validate(
    leaf: bytes, others: Iterable[bytes], anchors: Iterable[bytes], at: datetime, *, usage: Usage = "sign"
) -> tuple[bytes, ...]:
    """The path from ``leaf`` to one of ``anchors`` (all DER, anchor last) that holds at ``at``.

    ``others`` are certificates that may stand between. An anchor that is the leaf itself is trusted as it is. ``usage``
    is "sign" (envelopes, evidence), "stamp" (RFC 3161 2.3: critical and sole timeStamping) or "user" (senders). Good
    results are remembered within their span of validity. Raises SignatureInvalid(check="chain") with the reason.
    """
    others, anchors = tuple(others), tuple(anchors)
    key = (leaf, others, anchors, usage)
    with _lock:
        known = _remembered.get(key)
    if known is not None and known.begins <= at <= known.ends:
        return known.chain
    good = _validate(leaf, others, anchors, at, usage)
    with _lock:
        _remembered[key] = good
        if len(_remembered) > REMEMBERED:
            _remembered.popitem(last=False)
    return good.chain


def load_anchors(paths: Iterable[Path]) -> tuple[bytes, ...]:
    """Every certificate (DER) of PEM or DER files. Raises ConfigurationError that names the file."""
    anchors: dict[bytes, None] = {}
    for path in paths:
        try:
            octets = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
        try:
            if b"-----BEGIN" in octets:
                found = x509.load_pem_x509_certificates(octets)
            else:
                found = [x509.load_der_x509_certificate(octets)]
        except UNREADABLE as error:
            raise ConfigurationError(f"{path}: holds no readable certificate ({error})") from error
        anchors.update((each.public_bytes(Encoding.DER), None) for each in found)
    return tuple(anchors)


def _validate(leaf: bytes, others: Sequence[bytes], anchors: Sequence[bytes], at: datetime, usage: Usage) -> _Good:
    read = _load(leaf)
    _check_usage(read, usage)
    _check_time(read, at)
    if leaf in anchors:
        return _Good((leaf,), read.not_valid_before_utc, read.not_valid_after_utc)
    reason, sub = "no path to a trusted certificate", Sub.NO_CERTIFICATE_CHAIN_FOUND
    for candidate in _candidates(read, others, anchors, at):
        try:
            _judge(candidate, at)
        except SignatureInvalid as error:
            reason, sub = str(error), error.sub
            continue
        return _Good(
            tuple(each.public_bytes(Encoding.DER) for each in candidate),
            max(each.not_valid_before_utc for each in candidate),
            min(each.not_valid_after_utc for each in candidate),
        )
    raise SignatureInvalid(f"{reason} at {at.astimezone(UTC):%Y-%m-%d %H:%M} for {_subject(read)}", CHECK, sub)


def _candidates(
    leaf: x509.Certificate, others: Sequence[bytes], anchors: Sequence[bytes], at: datetime
) -> Iterator[tuple[x509.Certificate, ...]]:
    """Paths whose names and signatures link up, anchor last; depth, number and work are bounded."""
    ends = [each for each in map(_readable, anchors) if each is not None and _in_time(each, at)]
    between = [each for each in map(_readable, others) if each is not None and _in_time(each, at)]
    between = [each for each in dict.fromkeys(between) if each not in ends and each != leaf]
    budget = MOST_CHECKS
    found = 0
    waiting: list[tuple[x509.Certificate, ...]] = [(leaf,)]
    while waiting and found < MOST_CANDIDATES:
        path = waiting.pop(0)
        for issuer in (*ends, *between):
            if issuer.subject != path[-1].issuer or issuer in path:
                continue
            if budget <= 0:
                return
            budget -= 1
            if not _signed(path[-1], issuer):
                continue
            if issuer in ends:
                found += 1
                yield (*path, issuer)
            elif len(path) < DEEPEST:
                waiting.append((*path, issuer))


def _judge(candidate: Sequence[x509.Certificate], at: datetime) -> None:
    """RFC 5280 6.1 by pyhanko-certvalidator. Raises SignatureInvalid."""
    # late: the import costs 0.3 s and 50 MB, and a provider without peers never needs it
    from asn1crypto import x509 as asn1  # noqa: PLC0415
    from pyhanko_certvalidator.authority import CertTrustAnchor  # noqa: PLC0415
    from pyhanko_certvalidator.context import ValidationContext  # noqa: PLC0415
    from pyhanko_certvalidator.errors import PathError, ValidationError  # noqa: PLC0415
    from pyhanko_certvalidator.path import ValidationPath  # noqa: PLC0415
    from pyhanko_certvalidator.validate import async_validate_path  # noqa: PLC0415

    try:
        octets = [each.public_bytes(Encoding.DER) for each in candidate]
        for each in octets:
            bounds.check(each)
        leaf, *between, end = map(asn1.Certificate.load, octets)
        anchor = CertTrustAnchor(end)
        context = ValidationContext(
            trust_roots=[anchor], moment=at, allow_fetching=False, revocation_mode="soft-fail",
            time_tolerance=timedelta(0),
        )  # fmt: skip
        _run(async_validate_path(context, ValidationPath(anchor, list(reversed(between)), leaf)))
    except (PathError, ValidationError) as error:
        raise SignatureInvalid(str(error).replace("\n", " "), CHECK, Sub.CHAIN_CONSTRAINTS_FAILURE) from error
    except Exception as error:  # a stranger's certificate may break the library in ways of its own
        raise SignatureInvalid(
            f"the path cannot be judged: {error}", CHECK, Sub.CERTIFICATE_CHAIN_GENERAL_FAILURE
        ) from error


def _run(work: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that waits for nothing, also where an event loop runs in this thread already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as beside:
        beside.submit(asyncio.run, work).result()


def _load(certificate: bytes) -> x509.Certificate:
    read = _readable(certificate)
    if read is None:
        raise SignatureInvalid("the signer's certificate cannot be read", CHECK, Sub.NO_SIGNING_CERTIFICATE_FOUND)
    return read


def _readable(certificate: bytes) -> x509.Certificate | None:
    """The certificate if its names and dates can be read: cryptography reads them late, and would raise then."""
    try:
        read = load(certificate)
        _ = read.subject, read.issuer, read.not_valid_before_utc, read.not_valid_after_utc
    except UNREADABLE:
        return None
    return read


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:200]


def _in_time(certificate: x509.Certificate, at: datetime) -> bool:
    return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc


def _check_time(certificate: x509.Certificate, at: datetime) -> None:
    if not _in_time(certificate, at):
        sub = Sub.EXPIRED if at > certificate.not_valid_after_utc else Sub.NOT_YET_VALID
        span = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
        raise SignatureInvalid(f"{_subject(certificate)} is valid {span}, not at {at:%Y-%m-%d %H:%M}", CHECK, sub)


def _check_usage(certificate: x509.Certificate, usage: Usage) -> None:
    """What the leaf may be used for, and that we understand all of its critical extensions (RFC 5280 4.2)."""
    try:
        extensions = {each.oid: each for each in certificate.extensions}
    except UNREADABLE as error:
        raise SignatureInvalid(
            f"broken certificate extensions: {error}", CHECK, Sub.CHAIN_CONSTRAINTS_FAILURE
        ) from error
    strange = [oid.dotted_string for oid, each in extensions.items() if each.critical and oid not in _UNDERSTOOD]
    if strange:
        raise SignatureInvalid(
            f"critical certificate extensions that we do not know: {', '.join(strange)}",
            CHECK,
            Sub.CHAIN_CONSTRAINTS_FAILURE,
        )
    key_usage = extensions.get(ExtensionOID.KEY_USAGE)
    if key_usage is not None and not (key_usage.value.digital_signature or key_usage.value.content_commitment):
        raise SignatureInvalid(
            f"the key of {_subject(certificate)} may not sign (KeyUsage)", CHECK, Sub.CHAIN_CONSTRAINTS_FAILURE
        )
    extended = extensions.get(ExtensionOID.EXTENDED_KEY_USAGE)
    purposes = set(extended.value) if extended is not None else set()
    if usage == "stamp":
        if extended is None or not extended.critical or purposes != {ExtendedKeyUsageOID.TIME_STAMPING}:
            raise SignatureInvalid(
                "the certificate is not a time-stamp authority's: RFC 3161 2.3", CHECK, Sub.CHAIN_CONSTRAINTS_FAILURE
            )
        basic = extensions.get(ExtensionOID.BASIC_CONSTRAINTS)
        if (basic is not None and basic.value.ca) or (key_usage is not None and key_usage.value.key_cert_sign):
            # a key that certifies is not reserved for time stamps
            raise SignatureInvalid(
                "a certificate authority's key stamps nothing: RFC 3161 2.3", CHECK, Sub.CHAIN_CONSTRAINTS_FAILURE
            )
    elif purposes and not purposes & (USER_PURPOSES if usage == "user" else SIGNING_PURPOSES):
        raise SignatureInvalid(
            f"the key of {_subject(certificate)} is for another purpose", CHECK, Sub.CHAIN_CONSTRAINTS_FAILURE
        )


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True
