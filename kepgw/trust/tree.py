"""The tree of checks: what ``kepgw verify`` draws and prints as JSON, and what the report of a case is made of.

A branch is a file, an evidence or one signature; its leaves are checks. A branch that is a signature has the status of
EN 319 102-1 5.1.3: TOTAL-PASSED, TOTAL-FAILED or INDETERMINATE, with the sub-indication of the check that decides. A
time stamp that does not hold is passed over there (5.5.4): the signature is judged without it, and the tree says so.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from kepgw.errors import Sub
from kepgw.evidence.model import Evidence
from kepgw.evidence.render import flat, render
from kepgw.texts import LANGUAGES, Language, text
from kepgw.trust.certificates import summary
from kepgw.trust.judgement import Check, JudgedEvidence, Judgement, Value, Verdict, settled, shown, verdict_word

Total = Literal["TOTAL-PASSED", "TOTAL-FAILED", "INDETERMINATE"]
Status = Literal["good", "bad", "indeterminate"]

WIDTH = 100  # columns of a drawn line, unless the tree itself is deeper
_SIGNATURE = "signature-of-"
_DECIDING = ("signature", "chain", "revocation", "listed")
_STATUS: Mapping[Verdict, Status] = {"bad": "bad", "not checked": "indeterminate"}
_NARROWEST = 40


@dataclass(frozen=True)
class Branch:
    """A part of what is verified. ``kind`` is stable and for machines (docs/verify.md lists them).

    ``name`` is the file's or evidence's own, as it came; ``values`` fill the title.
    """

    kind: str
    name: str
    nodes: tuple["Check | Branch", ...]
    values: Mapping[str, Value] = field(default_factory=dict)

    @property
    def is_signature(self) -> bool:
        """Whether it is one signature, which has a status of EN 319 102-1."""
        return self.kind.startswith(_SIGNATURE)

    @property
    def verdict(self) -> Verdict:
        """Bad when anything in it is; "not checked" when a signature in it is not shown to be anybody's."""
        checks, signatures = list(self.checks()), [each for each in self.branches() if each.is_signature]
        if any(each.verdict == "bad" for each in checks):
            return "bad"
        if any(each.indication != "TOTAL-PASSED" for each in signatures):
            return "not checked"
        return "warning" if any(each.verdict == "warning" for each in checks) else "ok"

    @property
    def status(self) -> Status:
        """The verdict for whoever acts on it: "indeterminate" is neither good nor bad."""
        return _STATUS.get(self.verdict, "good")

    @property
    def deciding(self) -> Check | None:
        """The check that keeps a signature from TOTAL-PASSED; None when there is none.

        Revocation that nobody could look up does not: the policy of this verification does not require it.
        """
        own = [each for each in self.nodes if isinstance(each, Check) and each.family in _DECIDING]
        return next((each for each in own if _decides(each)), None) if self.is_signature else None

    @property
    def indication(self) -> Total | None:
        """The status of EN 319 102-1 5.1.3; None for a branch that is no signature."""
        if not self.is_signature:
            return None
        check = self.deciding
        if check is None:
            return "TOTAL-PASSED"
        return "TOTAL-FAILED" if check.sub is not None and check.sub.fails else "INDETERMINATE"

    @property
    def sub(self) -> Sub | None:
        """The sub-indication of the deciding check."""
        return None if self.deciding is None else self.deciding.sub

    def title(self, language: Language) -> str:
        """What it is, for people."""
        values = {key: shown(value, language) for key, value in self.values.items()}
        return text(f"branch-{self.kind}", language, name=flat(self.name), **values)

    def checks(self) -> Iterator[Check]:
        """Every check in it, in order."""
        for node in self.nodes:
            if isinstance(node, Check):
                yield node
            else:
                yield from node.checks()

    def branches(self) -> Iterator["Branch"]:
        """Itself and every branch in it."""
        yield self
        for node in self.nodes:
            if isinstance(node, Branch):
                yield from node.branches()


Node = Check | Branch


def of_message(judgement: Judgement, name: str, *more: Node) -> Branch:
    """The tree of a dispatch or receipt; ``more`` stands at its end."""
    signature, others = _signature("envelope", judgement.checks)
    evidences = (of_evidence(each) for each in judgement.evidences)
    kind = "dispatch" if judgement.kind == "Dispatch" else "receipt"
    return Branch(kind, name, (signature, *others, *evidences, *more))


def of_evidence(judged: JudgedEvidence, name: str = "", *more: Node) -> Branch:
    """The tree of an evidence, under its own name or another; ``more`` stands at its end."""
    signature, (content, *rest) = _signature("evidence", [settled(each) for each in judged.checks])
    name = name or judged.name
    if judged.evidence is None:
        return Branch("unread-evidence", name, (content, signature, *rest, *more))
    title = content.values["title"]
    return Branch("evidence", name, (content, signature, *rest, *more), {"title": title})


def signature_branch(whose: str, checks: Sequence[Check]) -> Branch:
    """One signature: of an "envelope", "evidence", "file" or "head"."""
    return Branch(_SIGNATURE + whose, "", tuple(checks))


def as_json(branch: Branch) -> dict[str, Any]:
    """A branch with everything in it for programs, in the form that docs/verify.md describes."""
    return {
        "kind": branch.kind,
        "name": branch.name,
        "title": {language: branch.title(language) for language in LANGUAGES},
        "verdict": branch.verdict,
        "indication": branch.indication,
        "sub_indication": branch.sub,
        "checks": [as_json(node) if isinstance(node, Branch) else _check_json(node) for node in branch.nodes],
    }


def certificates(branch: Branch) -> dict[str, dict[str, Any]]:
    """Summaries of the certificates that its checks speak of, by fingerprint."""
    found = {each.certificate for each in branch.checks() if each.certificate is not None}
    return {each.sha256: certificate_json(certificate) for certificate in found for each in (summary(certificate),)}


def certificate_json(certificate: bytes) -> dict[str, Any]:
    """The summary of a certificate for programs."""
    said = summary(certificate)
    return {
        "sha256": said.sha256,
        "name": said.name,
        "issuer": said.issuer,
        "serial": said.serial,
        "not_before": None if said.not_before is None else iso(said.not_before),
        "not_after": None if said.not_after is None else iso(said.not_after),
    }


def evidence_json(name: str, evidence: Evidence) -> dict[str, Any]:
    """What an evidence says in a few words, for programs."""
    code = evidence.kep_code
    return {
        "name": name,
        "identifier": evidence.identifier,
        "code": None if code is None else int(code),
        "event": str(evidence.erds_event or evidence.event),
        "time": iso(evidence.event_time),
        "issuer": evidence.issuer.domain or evidence.issuer.address or evidence.issuer.name,
        "recipients": [each.address for each in evidence.about],
        "title": {language: render(evidence, language)[0] for language in LANGUAGES},
    }


def iso(at: datetime) -> str:
    """A time for programs: ISO 8601, UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def draw(branch: Branch, languages: Sequence[Language]) -> Iterator[str]:
    """The lines of the tree for a terminal, without line ends; values of strangers are made flat."""
    yield _head(branch, languages)
    yield from _below(branch, languages, "")


def _below(branch: Branch, languages: Sequence[Language], margin: str) -> Iterator[str]:
    for node in branch.nodes:
        last = node is branch.nodes[-1]
        yield f"{margin}{'└─' if last else '├─'} {_head(node, languages)}"
        inner = f"{margin}{'  ' if last else '│ '} "
        if isinstance(node, Branch):
            yield from _below(node, languages, inner)
            continue
        for language in languages:
            sentence = _wrapped(node.sentence(language), len(inner) + 3)
            yield from (f"{inner}   {line}" for line in sentence)


def _wrapped(sentence: str, indented: int) -> list[str]:
    width = max(WIDTH - indented, _NARROWEST)
    return textwrap.wrap(sentence, width, break_long_words=False, break_on_hyphens=False)


def _head(node: Node, languages: Sequence[Language]) -> str:
    words = " / ".join(verdict_word(node.verdict, language) for language in languages)
    if isinstance(node, Check):
        names = " / ".join(node.label(language) for language in languages)
        mark = node.sub or ""
    else:
        names = " / ".join(dict.fromkeys(node.title(language) for language in languages))
        mark = " ".join(filter(None, (node.indication, node.sub)))
    return f"[{words}] {names}{f' ({mark})' if mark else ''}"


def _decides(check: Check) -> bool:
    if check.family == "revocation":
        return check.verdict == "bad" and not check.name.endswith("-stamp-revocation")
    return check.verdict == "bad" if check.family == "listed" else check.verdict != "ok"


def _signature(whose: str, checks: Sequence[Check]) -> tuple[Branch, list[Check]]:
    """The checks of a signature as a branch, and the others."""
    parts = {f"{whose}-{each}" for each in ("signature", "chain", "revocation", "listed", "stamp", "stamp-revocation")}
    own = [each for each in checks if each.name in parts]
    return signature_branch(whose, own), [each for each in checks if each.name not in parts]


def _check_json(check: Check) -> dict[str, Any]:
    return {
        "kind": "check",
        "name": check.name,
        "verdict": check.verdict,
        "indication": check.indication,
        "sub_indication": check.sub,
        "label": {language: check.label(language) for language in LANGUAGES},
        "sentence": {language: check.sentence(language) for language in LANGUAGES},
        "detail": check.detail,
        "facts": {key: _fact(value) for key, value in check.values.items() if isinstance(value, str | int | datetime)},
        "certificate": None if check.certificate is None else summary(check.certificate).sha256,
    }


def _fact(value: str | int | datetime) -> str | int:
    return iso(value) if isinstance(value, datetime) else value
