"""What ``kepgw verify`` is given, and how each of it is judged: messages, evidence, detached signatures, cases.

What a file is its first octets say, not its name. A detached signature belongs to the file that follows it, or, at the
end, to the one before.
"""

import mmap
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from kepgw.errors import FormatError
from kepgw.evidence.model import Evidence
from kepgw.texts import LANGUAGES, text
from kepgw.trust import tree
from kepgw.trust.case import CaseJudgement, judge_case
from kepgw.trust.casezip import CaseZip
from kepgw.trust.detached import is_signature, judge_detached
from kepgw.trust.judge import judge_evidence, judge_message
from kepgw.trust.material import Material
from kepgw.trust.sendercheck import sender_checks
from kepgw.trust.tree import Branch
from kepgw.trust.trusted import Trusted
from kepgw.trust.useranchors import UserAnchors

FORMAT: Final = "kepgw-verify/1"
STDIN: Final = "-"
MAX_FILE: Final = 1 << 30  # octets; a message is at most a few dozen MB, a case half of this
EXIT: Final = {"good": 0, "bad": 1, "unreadable": 2, "indeterminate": 3}
_WORST: Final = ("unreadable", "bad", "indeterminate", "good")
_SMALL: Final = 1 << 20
_PIECE: Final = 1 << 20
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True)
class Verified:
    """One thing that was verified. ``error`` is the private reason why it could not be read, "" when it could.

    ``trouble`` is the key of the sentence about that. ``evidence`` tells each evidence in a few words.
    """

    file: str
    tree: Branch | None = None
    error: str = ""
    trouble: str = "verify-unreadable"
    evidence: tuple[dict[str, Any], ...] = ()
    case: CaseJudgement | None = None

    @property
    def status(self) -> str:
        """That of its tree, or "unreadable"."""
        return "unreadable" if self.tree is None else self.tree.status

    @property
    def kind(self) -> str:
        """What it is: the kind of its tree, "" when nobody knows."""
        return "" if self.tree is None else self.tree.kind


@dataclass
class _Input:
    """A file with its octets, mapped when it is large; a case stays a file."""

    name: str
    octets: Any
    file: BinaryIO | None = None
    error: str = ""

    @property
    def signature(self) -> bool:
        return not self.error and is_signature(bytes(self.octets[:4096]))


@dataclass(frozen=True)
class Question:
    """What is to be verified, by whose word and for which time; ``original`` is a file for the digest."""

    files: Sequence[str]
    trusted: Trusted
    at: datetime | None = None
    original: str | None = None


Learn = Callable[[dict[bytes, datetime]], Trusted | None]


def verify(question: Question, learn: Learn | None = None) -> tuple[Question, list[Verified]]:
    """Judge every file; the question as it was answered in the end.

    ``learn`` is told whose signatures were found and gives more to judge them by, None when it knows nothing: then the
    first judgement stands. Raises OSError or FormatError for an ``original`` that cannot be read.
    """
    with ExitStack() as opened:
        original = None
        if question.original is not None:
            original = opened.enter_context(_opened(question.original)).octets
        inputs: list[_Input] = []
        for name in question.files:
            try:
                inputs.append(opened.enter_context(_opened(name)))
            except (OSError, FormatError) as error:
                reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
                inputs.append(_Input(name, b"", error=reason))
        results = _all(inputs, question, original)
        found = None if learn is None else learn(signers(results))
        if found is not None:
            question = replace(question, trusted=found)
            results = _all(inputs, question, original)
    return question, results


def _all(inputs: Sequence[_Input], question: Question, original: Any) -> list[Verified]:
    return [each for pair in _paired(inputs) for each in _judged(*pair, question, original)]


def status_of(results: Iterable[Verified]) -> str:
    """The worst status of all."""
    found = {each.status for each in results}
    return next((each for each in _WORST if each in found), "good")


def signers(results: Iterable[Verified]) -> dict[bytes, datetime]:
    """Whose certificates (DER) were judged, and for which time: what revocation is to be asked for."""
    checks = (check for each in results if each.tree is not None for check in each.tree.checks())
    return {
        check.certificate: time
        for check in checks
        if check.family in ("chain", "stamp")
        and check.certificate is not None
        and isinstance(time := check.values.get("time"), datetime)
    }


def read_folder(folder: Path) -> tuple[tuple[bytes, ...], tuple[Material, ...], tuple[str, ...]]:
    """The certificates (DER) of a folder, its lists and responses, and what in it cannot be read."""
    found = UserAnchors(folder).current()
    materials = [
        *(Material("crl", each) for each in found.crls),
        *(Material("ocsp", each) for each in found.responses),
    ]
    return found.anchors, tuple(materials), found.problems


def as_json(question: Question, results: Sequence[Verified]) -> dict[str, Any]:
    """Everything for programs, as docs/verify.md and kepgw/app/verify.schema.json describe it."""
    certificates: dict[str, dict[str, Any]] = {}
    for each in results:
        if each.tree is not None:
            certificates |= tree.certificates(each.tree)
    return {
        "format": FORMAT,
        "status": status_of(results),
        "at": None if question.at is None else tree.iso(question.at),
        "anchors": [tree.certificate_json(each) for each in question.trusted.anchors],
        "results": [_result_json(each) for each in results],
        "certificates": dict(sorted(certificates.items())),
    }


def _result_json(verified: Verified) -> dict[str, Any]:
    said = {language: text(verified.trouble, language, file=verified.file) for language in LANGUAGES}
    result: dict[str, Any] = {
        "file": verified.file,
        "kind": verified.kind,
        "status": verified.status,
        "error": None if verified.tree is not None else {**said, "detail": verified.error},
        "tree": None if verified.tree is None else tree.as_json(verified.tree),
        "evidence": list(verified.evidence),
    }
    if verified.case is not None:
        result["case"] = {
            "provider": verified.case.provider,
            "exported": verified.case.exported,
            "recipients": [
                {
                    "recipient": course.recipient,
                    "state": course.state or None,
                    "since": None if course.decided is None else tree.iso(course.decided.time),
                    "trusted": course.trusted,
                    "missing": [int(code) for code in course.missing],
                    "steps": [
                        {
                            "code": None if step.code is None else int(step.code),
                            "time": tree.iso(step.time),
                            "issuer": step.issuer,
                            "identifier": step.identifier,
                            "file": step.path,
                            "title": step.title._asdict(),
                            "trusted": step.trusted,
                            "counts": step.entitled,
                        }
                        for step in course.steps
                    ],
                }
                for course in verified.case.courses
            ],
        }
    return result


def _paired(inputs: Sequence[_Input]) -> Iterator[tuple[_Input, _Input | None]]:
    """Each input, a detached signature as second where one belongs to it."""
    taken: dict[int, int] = {}
    for at, each in enumerate(inputs):
        if not each.signature:
            continue
        for other in (at + 1, at - 1):
            if 0 <= other < len(inputs) and not inputs[other].signature and other not in taken.values():
                taken[at] = other
                break
    signed = {other: at for at, other in taken.items()}
    for at, each in enumerate(inputs):
        if at not in taken:
            yield each, inputs[signed[at]] if at in signed else None


def _judged(given: _Input, signature: _Input | None, question: Question, original: Any) -> Iterator[Verified]:
    if given.error:
        yield Verified(given.name, error=given.error)
        return
    if signature is not None:
        trusted, at = question.trusted, question.at
        judged = judge_detached(bytes(signature.octets), given.octets, trusted, at, f"{given.name} + {signature.name}")
        yield Verified(given.name, judged)
    try:
        yield _alone(given, question, original)
    except FormatError as error:
        if signature is None:  # a signed file need not be a KEP message
            trouble = "verify-alone" if given.signature else "verify-unreadable"
            yield Verified(given.name, error=str(error), trouble=trouble)


def _alone(given: _Input, question: Question, original: Any) -> Verified:
    trusted = question.trusted
    if given.file is not None:
        judged = judge_case(CaseZip(given.file), trusted, question.at, given.name)
        return Verified(given.name, judged.tree, evidence=judged.evidence, case=judged)
    how: dict[str, Any] = {
        "anchors": trusted.anchors,
        "at": question.at,
        "original": original,
        "intermediates": trusted.intermediates,
        "stamp_anchors": trusted.stamp_anchors,
        "materials": trusted.materials,
        "listings": trusted.listings,
        "owners": trusted.owners,
    }
    if given.signature:
        raise FormatError("a detached signature without its message")
    if _is_xml(given.octets):
        evidence = judge_evidence(bytes(given.octets), name=given.name, **how)
        if evidence.evidence is None and evidence.signature is None:
            raise FormatError(next(each.detail for each in evidence.checks))
        return Verified(given.name, tree.of_evidence(evidence), evidence=_words([(given.name, evidence.evidence)]))
    message = judge_message(given.octets, **how)
    words = _words([(each.name, each.evidence) for each in message.evidences])
    sender = sender_checks(given.octets, message.envelope.original, trusted, message.time)
    return Verified(given.name, tree.of_message(message, given.name, *sender), evidence=words)


def _words(found: Iterable[tuple[str, Evidence | None]]) -> tuple[dict[str, Any], ...]:
    return tuple(tree.evidence_json(name, evidence) for name, evidence in found if evidence is not None)


def _is_xml(octets: Any) -> bool:
    return bytes(octets[:64]).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


@contextmanager
def _opened(name: str) -> Iterator[_Input]:
    """A file or standard input. Raises OSError or FormatError."""
    with ExitStack() as opened:
        if name == STDIN:
            file: Any = opened.enter_context(tempfile.TemporaryFile())
            _copy(sys.stdin.buffer, file)
        else:
            file = opened.enter_context(Path(name).open("rb"))
        size = file.seek(0, 2)
        file.seek(0)
        if size > MAX_FILE:
            raise FormatError("larger than any message or case")
        if file.read(4) in _ZIP:
            yield _Input(name, b"", file)
            return
        file.seek(0)
        if size <= _SMALL:
            yield _Input(name, file.read(_SMALL))
            return
        yield _Input(name, opened.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    size = 0
    while piece := source.read(_PIECE):
        size += len(piece)
        if size > MAX_FILE:
            raise FormatError("larger than any message or case")
        target.write(piece)
    target.flush()
