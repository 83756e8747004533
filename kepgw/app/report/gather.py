"""From the octets of a case to a report: everything is judged here, nothing is taken from the store's word alone.

Pure but for reading the files that hold the large messages.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Final, NamedTuple

from kepgw.app.report.attachments import attachments
from kepgw.app.report.model import (
    Addressee,
    Finding,
    Happening,
    LedgerFacts,
    Report,
    Sending,
    Subject,
    UsedCertificate,
    Verification,
)
from kepgw.errors import ConfigurationError, FormatError, SignatureInvalid
from kepgw.evidence import merkle
from kepgw.evidence.codes import METHODS, Reason
from kepgw.evidence.ledger import Head
from kepgw.evidence.render import flat, is_development
from kepgw.texts import LANGUAGES, Text, catalogue
from kepgw.trust import cms, tokens
from kepgw.trust.devpki import MARK
from kepgw.trust.devtsa import DEVELOPMENT_POLICY
from kepgw.trust.heads import verify_head
from kepgw.trust.judge import judge_evidence, judge_message
from kepgw.trust.judgement import Check, Verdict
from kepgw.trust.keys import describe
from kepgw.trust.material import Material as Kept

MAX_FINDINGS: Final = 200  # written out; the table of checks has them all
_GOOD: Final = frozenset({"delivered", "read", "delivered-late"})
_BAD: Final = frozenset({"refused", "unreached", "undelivered", "unproved"})
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: nothing that is read as another


@dataclass(frozen=True)
class Record:
    """An evidence: what the store says of it, its octets, and its place in the ledger."""

    entry: Mapping[str, Any]
    xml: bytes
    leaf: bytes  # the record's octets
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class Material:
    """What a report is made of. Times are aware UTC, certificates DER, ``timeline`` as kepgw.app.timeline builds it."""

    domain: str
    name: str
    service_address: str
    development: bool
    timeline: Mapping[str, Any]
    facts: Mapping[str, Any]
    records: tuple[Record, ...]
    head: Head
    original: Path | None
    dispatches: tuple[tuple[str, Path], ...]  # KEP identifier and file
    anchors: tuple[bytes, ...]
    intermediates: tuple[bytes, ...]
    materials: tuple[Kept, ...]  # who was revoked
    made: datetime


@dataclass
class _Found:
    """What judging brings together."""

    happenings: list[Happening] = field(default_factory=list)
    rows: list[Verification] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    left_out: int = 0
    certificates: dict[bytes, set[str]] = field(default_factory=dict)
    development: bool = False

    def finding(self, of: str, check: Check) -> None:
        if check.verdict not in ("bad", "warning"):
            return
        if len(self.findings) >= MAX_FINDINGS:
            self.left_out += 1
            return
        label, said = (Text(*(tell(language) for language in LANGUAGES)) for tell in (check.label, check.sentence))
        self.findings.append(Finding(of, label, check.verdict, said))

    def certificate(self, der: bytes, role: str = "") -> None:
        self.certificates.setdefault(der, set()).update({role} - {""})

    def token(self, der: bytes | None) -> None:
        """Keep the certificates of a time-stamp token, and see whether it is a development one."""
        if der is None:
            return
        try:
            reading = tokens.read_token(der)
        except (FormatError, SignatureInvalid):
            return  # judged and told elsewhere
        self.development |= reading.policy == DEVELOPMENT_POLICY
        self.certificate(reading.cms.signer, "tsa")
        for each in reading.cms.certificates:
            self.certificate(each)


class Gathered(NamedTuple):
    """A report, and every certificate (DER) of the case, each once, in the order of their SHA-256."""

    report: Report
    certificates: tuple[bytes, ...]


def gather(material: Material) -> Gathered:
    """Judge a case and say what was found. Raises FormatError when its tree head cannot be read."""
    found = _Found(development=material.development)
    with _mapped(material.original) as original:
        attached, left_out = attachments(original) if original is not None else ((), 0)
        for record in material.records:
            _judge_record(material, record, original, found)
    for number, (kep_id, path) in enumerate(material.dispatches, 1):
        with _mapped(path) as octets:
            _judge_dispatch(material, f"dispatch/{number}.eml", kep_id, octets, found)
    ledger = _ledger(material, found)
    for each in material.intermediates:
        found.certificate(each)
    for each in material.anchors:
        found.certificate(each, "root")
    certificates = _described(found)
    report = Report(
        short_id=short_id(material.domain, material.timeline["number"]),
        provider=material.domain,
        provider_name=flat(material.name),
        service_address=material.service_address,
        made=material.made,
        development=found.development or any(each.development for each in certificates),
        message=_subject(material, attached, left_out),
        sendings=tuple(_sending(each) for each in material.timeline["dispatches"]),
        happenings=tuple(sorted(found.happenings, key=lambda each: (each.time.replace(microsecond=0), each.code))),
        verifications=tuple(found.rows),
        findings=tuple(found.findings),
        findings_left_out=found.left_out,
        certificates=certificates,
        ledger=ledger,
    )
    ordered = sorted(found.certificates, key=lambda der: hashlib.sha256(der).digest())
    return Gathered(report, tuple(ordered))


def short_id(domain: str, number: str) -> str:
    """Twelve characters that name a case: 60 bits of the SHA-256 of "domain/number", in Crockford's base 32."""
    value = int.from_bytes(hashlib.sha256(f"{domain}/{number}".encode()).digest()[:8], "big") >> 4
    letters = "".join(_ALPHABET[value >> shift & 31] for shift in range(55, -1, -5))
    return "-".join(letters[at : at + 4] for at in (0, 4, 8))


@contextmanager
def _mapped(path: Path | None) -> Iterator[Any]:
    if path is None:
        yield None
        return
    with path.open("rb") as file:
        if path.stat().st_size < 1 << 20:
            yield file.read()
            return
        with mmap(file.fileno(), 0, access=ACCESS_READ) as view:
            yield view


def _given(material: Material) -> dict[str, Any]:
    return {
        "anchors": material.anchors,
        "intermediates": material.intermediates,
        "materials": material.materials,
    }


def _judge_record(material: Material, record: Record, original: Any, found: _Found) -> None:
    entry, seq = record.entry, record.entry["seq"]
    judged = judge_evidence(record.xml, original=original, **_given(material))
    statement = material.head.read()
    try:
        merkle.verify_inclusion(merkle.leaf_hash(record.leaf), seq - 1, statement.size, record.path, statement.root)
        in_ledger: Verdict = "ok"
    except SignatureInvalid as error:
        in_ledger = "bad"
        found.finding(f"{seq:06}", Check("ledger", "bad", str(error)))
    found.rows.append(_row(f"{seq:06}", seq, entry["code"], judged.checks, "evidence", in_ledger))
    for check in judged.checks:
        if check.name != "development":  # said on every page
            found.finding(f"{seq:06}", check)
    signer = ""
    if judged.signature is not None:
        signer = _common_name(judged.signature.signer)
        found.certificate(judged.signature.signer, "process")
        for each in judged.signature.certificates:
            found.certificate(each)
        for token in judged.signature.tokens:
            found.token(token)
    development = judged.evidence is not None and is_development(judged.evidence)
    found.development |= development
    found.happenings.append(
        Happening(
            seq=seq,
            code=entry["code"],
            title=Text(entry["title_tr"], entry["title_en"]),
            identifier=flat(entry["id"]),
            time=datetime.fromisoformat(entry["time"]),
            stamped=judged.stamp.time if judged.stamp else None,
            issuer=flat(entry["issuer"]),
            signer=flat(signer),
            about=flat(entry["recipient"]),
            reason=_reason(entry["reason"]),
            development=development,
        )
    )


def _judge_dispatch(material: Material, name: str, kep_id: str, octets: Any, found: _Found) -> None:
    of = f"{name} ({flat(kep_id)})"
    try:
        judged = judge_message(octets, **_given(material))
    except FormatError as error:
        found.finding(of, Check("envelope-signature", "bad", str(error)))
        found.rows.append(_row(of, None, None, [Check("envelope-signature", "bad")], "envelope", None))
        return
    checks = [*judged.checks, *(check for each in judged.evidences for check in each.checks if check.name == "digest")]
    found.rows.append(_row(of, None, None, checks, "envelope", None))
    for check in checks:
        found.finding(of, check)
    if judged.cms is not None:
        found.certificate(judged.cms.signer, "process")
        for each in judged.cms.certificates:
            found.certificate(each)
        found.token(judged.cms.token)


def _row(
    name: str, seq: int | None, code: int | None, checks: Sequence[Check], kind: str, in_ledger: Verdict | None
) -> Verification:
    def worst(check: str) -> Verdict:
        verdicts = {each.verdict for each in checks if each.name == check}
        order: tuple[Verdict, ...] = ("bad", "warning", "ok")
        return next((each for each in order if each in verdicts), "not checked")

    signature = worst(f"{kind}-signature")
    if kind == "evidence" and "bad" in (worst("evidence-content"), worst("evidence-issuer")):
        signature = "bad"
    others = (worst(f"{kind}-chain"), worst(f"{kind}-revocation"), worst(f"{kind}-stamp"), worst("digest"))
    return Verification(name, seq, code, signature, *others, in_ledger)


def _ledger(material: Material, found: _Found) -> LedgerFacts:
    head = material.head
    statement = head.read()
    holds: Verdict = "ok"
    try:
        verify_head(head, material.domain, material.service_address, material.anchors, material.intermediates)
    except (SignatureInvalid, FormatError) as error:
        holds = "bad"
        found.finding("ledger/head.json", Check("head", "bad", str(error)))
    try:
        reading = cms.read(head.signature)
        found.certificate(reading.signer, "process")
        for each in reading.certificates:
            found.certificate(each)
    except (SignatureInvalid, FormatError):
        pass  # told above
    found.token(head.token)
    return LedgerFacts(
        domain=statement.domain,
        size=statement.size,
        root=statement.root.hex(),
        time=statement.time,
        statement_digest=hashlib.sha256(head.statement).hexdigest(),
        seqs=tuple(record.entry["seq"] for record in material.records),
        holds=holds,
    )


def _described(found: _Found) -> tuple[UsedCertificate, ...]:
    """Those that signed or stamped, and the roots and intermediates above them."""
    made = []
    for der, roles in found.certificates.items():
        try:
            said = describe(der)
        except ConfigurationError:
            continue
        made.append(
            UsedCertificate(
                roles=tuple(role for role in ("process", "tsa", "root") if role in roles) or ("intermediate",),
                subject=flat(said.subject),
                issuer=flat(said.issuer),
                serial=said.serial,
                not_before=said.not_before,
                not_after=said.not_after,
                fingerprint=said.fingerprint,
                key=said.key,
                development=MARK in said.subject,
            )
        )
    needed = _above(made)
    order = {"process": 0, "tsa": 1, "intermediate": 2, "root": 3}
    return tuple(
        sorted(
            (each for each in made if each.subject in needed),
            key=lambda each: (order[each.roles[0]], each.subject, each.fingerprint),
        )
    )


def _above(made: Sequence[UsedCertificate]) -> set[str]:
    """The names of the signers and of every issuer above them: what is trusted beside plays no part in this case."""
    issuers = {each.subject: each.issuer for each in made}
    needed: set[str] = set()
    for each in made:
        if not {"process", "tsa"} & set(each.roles):
            continue
        name = each.subject
        while name in issuers and name not in needed:
            needed.add(name)
            name = issuers[name]
    return needed


def _subject(material: Material, attached: tuple[Any, ...], left_out: int) -> Subject:
    data = material.timeline
    method = str(material.facts.get("authentication") or "")
    key = f"evidence-method-{method.lower()}"
    signature = material.facts.get("signature") or {}
    names = (str(signature.get("name") or ""), str(signature.get("authority") or ""))
    return Subject(
        number=data["number"],
        message_id=flat(data["message_id"]),
        sender=flat(data["sender"]),
        sender_name=flat(data["sender_name"]),
        subject=flat(data["subject"]),
        t0=datetime.fromisoformat(data["t0"]).astimezone(UTC),
        size=data["size"],
        digest=data["digest"],
        outgoing=data["direction"] == "out",
        peer=flat(data["peer"] or ""),
        refused=data["state"] == "refused",
        authentication=catalogue()[key] if method in METHODS and key in catalogue() else None,
        kept=material.original is not None,
        signed_by=flat(", ".join(name for name in names if name)),
        attachments=attached,
        attachments_left_out=left_out,
    )


def _sending(dispatch: Mapping[str, Any]) -> Sending:
    return Sending(
        kep_id=flat(dispatch["remmd_id"]),
        blind=dispatch["blind"],
        recipients=tuple(
            Addressee(
                address=flat(each["address"]),
                name=flat(each["name"]),
                provider=flat(each["provider"]),
                state=Text(each["state_tr"], each["state_en"]),
                good=True if each["state"] in _GOOD else False if each["state"] in _BAD else None,
                codes=tuple(sorted({row["code"] for row in each["evidence"]})),
            )
            for each in dispatch["recipients"]
        ),
    )


def _reason(uri: str) -> Text | None:
    if not uri:
        return None
    fragment = uri.rpartition("#")[2]
    known = catalogue().get(f"evidence-reason-{fragment.lower()}") if fragment in set(Reason) else None
    return known or Text(flat(fragment), flat(fragment))


def _common_name(der: bytes) -> str:
    try:
        subject = describe(der).subject
    except ConfigurationError:
        return ""
    return next((part[3:] for part in subject.split(",") if part.startswith("CN=")), subject)
