"""The judgement of a whole message or a bare evidence: the heart of ``kepgw verify`` and of relay-in.

The signed XML rules: headers are for clients' convenience and can only warn. A check
that the input cannot support is "not checked". Time-stamp tokens are judged at their own time; the chains of
signatures at the given time, else at that of a good stamp, else now.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from kepgw.errors import FormatError, SignatureInvalid, Sub
from kepgw.evidence import codes, reading, xades
from kepgw.evidence.en319522_codes import UnknownEvent
from kepgw.evidence.model import Evidence, MessageDetails
from kepgw.message.addresses import addresses as mailboxes
from kepgw.message.envelope import open_envelope
from kepgw.message.form import rem_baseline
from kepgw.message.headers import MAX_HEADER, Field, first, split
from kepgw.refusals import Refusal
from kepgw.trust import cms, cmsreading
from kepgw.trust.certificates import summary
from kepgw.trust.devtsa import DEVELOPMENT_POLICY
from kepgw.trust.digests import Octets, digest_canonical, digest_span
from kepgw.trust.headersdiffer import differences
from kepgw.trust.judgement import Check, JudgedEvidence, Judgement, Value, Verdict
from kepgw.trust.listing import Listing
from kepgw.trust.material import Material
from kepgw.trust.speaking import addresses, is_persons, owns, providers
from kepgw.trust.tokens import Stamped
from kepgw.trust.trusted import Trusted, unsigned

__all__ = ["Check", "JudgedEvidence", "Judgement", "judge_evidence", "judge_message"]

Original = tuple[Octets, tuple[int, int]]
"""Octets and the span in them that is the original message."""

_OTHER = "the original is not the one that the evidence speaks of: its digest differs"
_NO_SIGNATURE = "the signature does not hold"
# an event may be told this much later than its stamp says: clocks differ, and stamps mostly have whole seconds; no text
# fixes it
LATEST_EVENT = timedelta(seconds=60)
# a stamp that comes so long after the event leaves the time of the event to the word of its issuer; an outage of the
# authorities is over by then; no text fixes it
LONGEST_DELAY = timedelta(days=1)


def judge_message(
    octets: Octets,
    anchors: Sequence[bytes],
    at: datetime | None = None,
    original: Octets | None = None,
    *,
    intermediates: Sequence[bytes] = (),
    stamp_anchors: Sequence[bytes] | None = None,
    materials: Sequence[Material] = (),
    listings: Sequence[Listing] = (),
    owners: Mapping[bytes, frozenset[str]] = MappingProxyType({}),
) -> Judgement:
    """Judge a dispatch or receipt with everything inside it.

    ``anchors`` and ``intermediates`` are DER; time-stamp authorities are trusted by ``stamp_anchors``, or by
    ``anchors`` when that is None. ``at`` is the time at which chains must hold (see the module); ``materials`` say who
    was revoked, ``listings`` who was in a trusted list, ``owners`` for whom alone a root vouches. ``original`` is the
    original message where the envelope does not carry it. Large ``octets`` may be mapped; nothing of the original is
    copied. Raises FormatError when the octets are no REM envelope.
    """
    trusted = _trusted(anchors, intermediates, stamp_anchors, materials, listings, owners)
    envelope = open_envelope(octets)
    found = _originals(octets, envelope.original, original)
    check, reading = _envelope_signature(octets, envelope.signed, envelope.signature)
    checks = [check]
    stamp: Stamped | None = None
    stamp_checks: list[Check] = []
    if reading is not None:
        lacking = Check("envelope-stamp", "not checked", "the envelope carries no time stamp", Sub.NO_POE)
        stamp_checks = [lacking]
        if reading.token is not None:
            stamp_checks, stamp = trusted.stamp("envelope", reading.token, reading.signature)
    evidences = [_judge_evidence(xml, name, trusted, at, found) for name, xml in envelope.evidence]
    stamps = [each for each in (stamp, *(evidence.stamp for evidence in evidences)) if each is not None]
    moment = at or (stamps[0].time if stamps else datetime.now(UTC))
    if reading is None:
        checks += unsigned("envelope", _NO_SIGNATURE)
    else:
        proved = at is not None or bool(stamps)
        # the stamp of the evidence inside says nothing about when the envelope was signed
        made_by = datetime.now(UTC) if stamp is None and at is None else None
        signer, others = reading.signer, reading.certificates
        checks += trusted.chain("envelope", signer, others, moment, proved=proved, made_by=made_by)
        checks += stamp_checks
        checks.append(_from(envelope.outer, reading.signer))
    if not evidences:
        checks.append(Check("evidence", "bad", "the envelope carries no evidence"))
    if len(evidences) == 1 and evidences[0].evidence is not None:
        told = differences(envelope.inner, envelope.outer, evidences[0].evidence, envelope.kind)
        said = "; ".join(told)[:1000]
        checks.append(Check("headers", "warning" if told else "ok", said, values={"differences": said}))
    else:
        checks.append(Check("headers", "not checked", "no single evidence that can be read"))
    return Judgement(envelope.kind, tuple(checks), envelope, reading, stamp, moment, evidences)


def judge_evidence(
    xml: bytes,
    anchors: Sequence[bytes],
    at: datetime | None = None,
    original_digest: bytes | None = None,
    *,
    original: Octets | None = None,
    name: str = "evidence.xml",
    intermediates: Sequence[bytes] = (),
    stamp_anchors: Sequence[bytes] | None = None,
    materials: Sequence[Material] = (),
    listings: Sequence[Listing] = (),
    owners: Mapping[bytes, frozenset[str]] = MappingProxyType({}),
) -> JudgedEvidence:
    """Judge a bare evidence; never raises for bad octets: the checks say it.

    The digest is compared with ``original_digest`` (SHA-256), or with that of ``original``; without both it is not
    checked. The rest as in ``judge_message``.
    """
    trusted = _trusted(anchors, intermediates, stamp_anchors, materials, listings, owners)
    found = _originals(b"", None, original)
    return _judge_evidence(xml, name, trusted, at, found, original_digest)


def _trusted(
    anchors: Sequence[bytes],
    intermediates: Sequence[bytes],
    stamp_anchors: Sequence[bytes] | None,
    materials: Sequence[Material],
    listings: Sequence[Listing],
    owners: Mapping[bytes, frozenset[str]],
) -> Trusted:
    stamping = None if stamp_anchors is None else tuple(stamp_anchors)
    return Trusted(
        tuple(anchors), tuple(intermediates), tuple(materials), stamping, listings=tuple(listings), owners=owners
    )


def _originals(octets: Octets, embedded: tuple[int, int] | None, given: Octets | None) -> list[Original]:
    found: list[Original] = [] if embedded is None else [(octets, embedded)]
    return found if given is None else [*found, (given, (0, len(given)))]


def _envelope_signature(
    octets: Octets, signed: tuple[int, int], signature: bytes
) -> tuple[Check, cmsreading.CmsReading | None]:
    name = "envelope-signature"
    told = ""
    try:
        algorithm = cms.read(signature).digest_algorithm
        digest = digest_span(octets, signed, algorithm)
        try:
            reading = cms.verify(signature, {algorithm: digest})
        except SignatureInvalid:
            canonical = digest_canonical(octets, signed, algorithm)
            if canonical is None:
                raise
            reading = cms.verify(signature, {algorithm: canonical})
            told = "line-ends"
    except (SignatureInvalid, FormatError) as error:
        return Check(name, "bad", str(error), error.sub), None
    detail = reading.algorithm + ("; the file has LF line ends, judged with CRLF" if told else "")
    return _holds(name, reading.algorithm, reading.signer, detail, told), reading


def _holds(name: str, algorithm: str, signer: bytes, detail: str = "", told: str = "") -> Check:
    values = {"name": summary(signer).name, "algorithm": algorithm}
    return Check(name, "ok", detail or algorithm, None, told, values, signer)


def _judge_evidence(
    xml: bytes,
    name: str,
    trusted: Trusted,
    at: datetime | None,
    originals: Sequence[Original],
    original_digest: bytes | None = None,
) -> JudgedEvidence:
    content, evidence = _content(xml)
    checks = [content]
    reading: xades.XadesReading | None = None
    stamp: Stamped | None = None
    moment = at or datetime.now(UTC)
    try:
        reading = xades.verify(xml)
    except (SignatureInvalid, FormatError) as error:
        checks.append(Check("evidence-signature", "bad", str(error), error.sub))
        checks += unsigned("evidence", _NO_SIGNATURE)
    if reading is not None:
        checks.append(_holds("evidence-signature", reading.algorithm, reading.signer))
        # the law has every evidence time-stamped (KEP Yönetmeliği m.4); a stamp can be cut off, so lack only warns
        stamp_checks = [Check("evidence-stamp", "warning", "the evidence carries no time stamp", Sub.NO_POE)]
        if reading.token is not None:
            stamp_checks, stamp = trusted.stamp("evidence", reading.token, reading)
        moment = at or (moment if stamp is None else stamp.time)
        proved = at is not None or stamp is not None
        checks += trusted.chain("evidence", reading.signer, reading.certificates, moment, proved=proved)
        checks += stamp_checks
        if evidence is not None:
            checks += _issuer(evidence, reading.signer)
            checks += [] if stamp is None else _order(evidence, stamp)
    checks += _digest(evidence, originals, original_digest)
    if _development(evidence, stamp):
        checks.append(Check("development", "warning", "made with development keys or a development time stamp"))
    return JudgedEvidence(name, xml, evidence, reading, stamp, tuple(checks), moment)


def _content(xml: bytes) -> tuple[Check, Evidence | None]:
    """What the evidence says. A namespace that we do not read is no fault; one that we read must be readable."""
    name = "evidence-content"
    try:
        evidence = reading.read(xml)
    except UnknownEvent as error:
        # of an edition later than those that we read: no fault of the evidence
        return Check(name, "not checked", str(error), told="later-edition"), None
    except FormatError as error:
        bad = _unread(xml) == "bad"
        return Check(name, "bad", str(error), error.sub) if bad else Check(name, "not checked", str(error)), None
    said = evidence.erds_event if evidence.is_erds else f"{evidence.element} {evidence.event}"
    values: dict[str, Value] = {"title": evidence, "identifier": evidence.identifier, "time": evidence.event_time}
    return Check(name, "ok", f"{said}, {evidence.identifier}", values=values), evidence


def _order(evidence: Evidence, stamp: Stamped) -> list[Check]:
    """A stamp proves that the evidence existed then: what it tells cannot have happened later (EN 319 102-1 5.5.4)."""
    values = {"event": evidence.event_time, "time": stamp.time}
    if evidence.event_time < stamp.time - LONGEST_DELAY:
        why = "stamped long after the event is said to have been"
        return [Check("evidence-time", "warning", why, None, "delayed", values)]
    if evidence.event_time <= stamp.time + (stamp.accuracy or timedelta(0)) + LATEST_EVENT:
        return []
    why = "the event is said to be later than the time stamp"
    return [Check("evidence-time", "warning", why, Sub.TIMESTAMP_ORDER_FAILURE, "", values)]


def _unread(xml: bytes) -> Verdict:
    try:
        return "not checked" if reading.generation_of(xml) is None else "bad"
    except FormatError:
        return "bad"


def _digest(evidence: Evidence | None, originals: Sequence[Original], original_digest: bytes | None) -> list[Check]:
    """The evidence's digest against the original: embedded, given, or its SHA-256 (TS 102 640-2 M00)."""
    details = None if evidence is None else evidence.message
    if evidence is None or details is None or not details.digest:
        why = "no digest of the message can be read from the evidence"
        return [Check("digest", "not checked", why, told="none")]
    if details.is_notification:
        return [Check("digest", "not checked", "the digest is that of a notification", told="notification")]
    if details.digest_algorithm not in ("sha256", "sha384", "sha512"):
        why, values = f"a digest by {details.digest_algorithm} proves nothing", {"algorithm": details.digest_algorithm}
        return [Check("digest", "bad", why, Sub.CRYPTO_CONSTRAINTS_FAILURE, "", values)]
    checks = [_compare(details, octets, span, evidence.is_erds) for octets, span in originals]
    if original_digest is not None and details.digest_algorithm == "sha256":
        same = original_digest == details.digest
        checks.append(_same(details, "") if same else Check("digest", "bad", _OTHER, Sub.HASH_FAILURE))
    return checks or [Check("digest", "not checked", "the original message is not at hand", Sub.SIGNED_DATA_NOT_FOUND)]


def _same(details: MessageDetails, detail: str, told: str = "") -> Check:
    values = {"algorithm": details.digest_algorithm, "digest": details.digest.hex()}
    return Check("digest", "ok", detail, None, told, values)


def _compare(details: MessageDetails, octets: Octets, span: tuple[int, int], reformed: bool) -> Check:
    """The digest of an original as it is here; ``reformed`` evidence may also speak of the form made of it."""
    algorithm = details.digest_algorithm
    if digest_span(octets, span, algorithm) == details.digest:
        return _same(details, f"{algorithm} of {span[1] - span[0]} octets")
    canonical = digest_canonical(octets, span, algorithm)
    if canonical == details.digest:
        return _same(details, f"{algorithm}; the original has LF line ends here, judged with CRLF", "line-ends")
    # one inside a dispatch is the form already
    whole = span == (0, len(octets))
    if reformed and whole and _form_digest(details, octets, canonical is not None) == details.digest:
        return _same(details, f"{algorithm} of the form with the Message-ID of its dispatch", "form")
    return Check("digest", "bad", _OTHER, Sub.HASH_FAILURE)


def _form_digest(details: MessageDetails, original: Octets, bare_lines: bool) -> bytes:
    """The digest of what a dispatch of the REM baseline makes of an original as submitted (EN 319 532-4 C.22)."""
    if bare_lines:
        original = bytes(original).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    header_end, _ = split(original)
    if header_end > MAX_HEADER:
        return b""
    try:
        form = rem_baseline(bytes(original[:header_end]), len(original), f"<{details.remmd_message_id.strip('<>')}>")
    except Refusal:
        return b""
    hasher = hashlib.new(details.digest_algorithm)
    for chunk in form.chunks(original):
        hasher.update(chunk)
    return hasher.digest()


def _issuer(evidence: Evidence, signer: bytes) -> list[Check]:
    """Who signed is the issuer that the evidence names: by its certificate where it carries one, by its domain."""
    name: Final = "evidence-issuer"
    values: dict[str, Value] = {"name": summary(signer).name}
    carried = evidence.issuer.certificate
    if carried is not None and carried != signer:
        why = "signed by another certificate than that of the issuer it names"
        values["named"] = summary(carried).name
        return [Check(name, "bad", why, Sub.NO_SIGNING_CERTIFICATE_FOUND, "", values, signer)]
    claimed = (evidence.issuer.domain or evidence.issuer.address).lower().rpartition("@")[2]
    found = providers(signer)
    if not claimed or any(owns(each, claimed) for each in found):
        return []
    values["domain"] = claimed
    if not found:
        told = "person" if is_persons(signer) else "unnamed"
        why = f"the signer's certificate does not say that it signs for {claimed}"
        return [Check(name, "warning", why, None, told, values, signer)]
    values["address"] = ", ".join(addresses(signer))[:200]
    why = f"issued in the name of {claimed}, signed by {values['address']}"
    return [Check(name, "bad", why, Sub.NO_SIGNING_CERTIFICATE_FOUND, "stranger", values, signer)]


def _from(outer: list[Field], signer: bytes) -> Check:
    """The From of the envelope is the service address in the signer's certificate (TS 102 640-2 4.1)."""
    allowed = addresses(signer)
    entry = first(outer, "from")
    told = [box.address for box in mailboxes(entry.raw)] if entry is not None else []
    shown = ", ".join(told)[:200]
    if len(told) == 1 and told[0] in allowed:
        return Check("envelope-from", "ok", told[0], values={"address": shown})
    who = ", ".join(allowed)[:200] or summary(signer).name
    return Check(
        "envelope-from", "warning", f"From is {told}, the signer {who}"[:400], values={"address": shown, "name": who}
    )


def _development(evidence: Evidence | None, stamp: Stamped | None) -> bool:
    marked = evidence is not None and codes.DEVELOPMENT_POLICY in evidence.policies
    return marked or (stamp is not None and stamp.policy == DEVELOPMENT_POLICY)
