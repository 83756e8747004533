"""The course of a message as its evidence proves it: for each recipient what happened when, where it stands, and what
is missing. Only evidence whose signature holds counts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from kepgw.errors import FormatError
from kepgw.evidence.codes import KepCode, kep_code
from kepgw.evidence.model import Evidence
from kepgw.evidence.render import render
from kepgw.texts import LANGUAGES, Text
from kepgw.trust.certificates import summary
from kepgw.trust.judgement import Check, Value, Verdict
from kepgw.trust.speaking import owns, providers
from kepgw.trust.tree import Branch

MOST_STEPS: Final = 20_000  # of all recipients together; a case of thousands of recipients is no case of one message

# what the latest word is worth: the first code of a recipient's evidence that stands here says where it stands
_STATES: Final = (
    (KepCode.OKUNDU, "read"),
    (KepCode.TESLIM, "delivered"),
    (KepCode.TESLIM_EDILEMEDI, "undelivered"),
    (KepCode.ILETILMEDI, "refused"),
    (KepCode.ILETILDI, "relayed"),
    (KepCode.ULASILAMADI, "unreached"),
    (KepCode.RED, "rejected"),
    (KepCode.KABUL, "accepted"),
)
# whoever has the mailbox says what came of it; 41 the sender's provider says as well, when it hears nothing
_BY_THE_SENDERS_PROVIDER = frozenset({KepCode.KABUL, KepCode.RED, KepCode.ULASILAMADI, KepCode.TESLIM_EDILEMEDI})
_BY_THE_RECIPIENTS_PROVIDER = frozenset(
    {
        KepCode.ILETILDI,
        KepCode.ILETILMEDI,
        KepCode.TESLIM,
        KepCode.TESLIM_EDILEMEDI,
        KepCode.OKUNDU,
        KepCode.OKUNMADI,
    }
)
_NO_PROOF_UNTIL = frozenset({KepCode.ULASILAMADI, KepCode.TESLIM_EDILEMEDI})
_ENDS = frozenset(
    {KepCode.RED, KepCode.ILETILMEDI, KepCode.ULASILAMADI, KepCode.TESLIM, KepCode.TESLIM_EDILEMEDI, KepCode.OKUNDU}
)


@dataclass(frozen=True, slots=True)
class Step:
    """One evidence about one recipient. ``code`` is the KEP code, that of the same meaning for EN 319 522.

    ``trusted``: its signature is that of somebody trusted. ``entitled``: whoever signed may say it of this recipient.
    """

    code: KepCode | None
    time: datetime
    issuer: str
    identifier: str
    path: str
    title: Text
    trusted: bool
    entitled: bool


@dataclass
class Course:
    """A recipient: the steps in the order of time, the state they prove ("" when none) and what is missing.

    ``missing`` holds the codes of evidence that should be there and is not. ``trusted``: the state rests on evidence
    of somebody trusted.
    """

    recipient: str
    steps: list[Step] = field(default_factory=list)
    state: str = ""
    decided: Step | None = None
    missing: tuple[KepCode, ...] = ()

    @property
    def trusted(self) -> bool:
        """Whether somebody trusted signed what decides."""
        return self.decided is not None and self.decided.trusted


class Courses:
    """Takes evidence one after another and tells the course of each recipient."""

    def __init__(self) -> None:
        self._found: dict[str, Course] = {}
        self._seen: set[tuple[str, str]] = set()
        self._count = 0

    def add(self, evidence: Evidence, signer: bytes, path: str, *, trusted: bool) -> None:
        """Evidence whose signature, by ``signer`` (DER), holds; the same one twice counts once.

        Raises FormatError beyond MOST_STEPS.
        """
        provider = _provider(evidence, signer)
        issuer = provider or summary(signer).name
        key = (issuer, evidence.identifier)
        if key in self._seen:
            return
        self._seen.add(key)
        self._count += len(evidence.about)
        if self._count > MOST_STEPS:
            raise FormatError(f"evidence about more than {MOST_STEPS} recipients")
        code = kep_code(evidence.element, evidence.event)
        title = Text(*(render(evidence, each)[0] for each in LANGUAGES))
        for entity in evidence.about:
            entitled = _entitled(provider, code, evidence.sender.address, entity.address)
            step = Step(code, evidence.event_time, issuer, evidence.identifier, path, title, trusted, entitled)
            self._found.setdefault(entity.address.lower(), Course(entity.address)).steps.append(step)

    def told(self) -> list[Course]:
        """Every recipient, in the order of their names."""
        courses = sorted(self._found.values(), key=lambda each: each.recipient.lower())
        for course in courses:
            course.steps.sort(key=lambda step: (step.time, step.code or 0))
            _decide(course)
        return courses


def _provider(evidence: Evidence, signer: bytes) -> str:
    """The provider that signed: what the evidence claims where the signer's certificate bears it out, "" for none."""
    claimed = (evidence.issuer.domain or evidence.issuer.address).lower().rpartition("@")[2]
    signed = providers(signer)
    return claimed if claimed in signed else next(iter(signed), "")


def _entitled(provider: str, code: KepCode | None, sender: str, recipient: str) -> bool:
    if code is None:  # proves no state
        return True
    return (code in _BY_THE_SENDERS_PROVIDER and owns(provider, sender)) or (
        code in _BY_THE_RECIPIENTS_PROVIDER and owns(provider, recipient)
    )


def _decide(course: Course) -> None:
    entitled = [step for step in course.steps if step.entitled]
    codes = {step.code for step in entitled}
    for code, state in _STATES:
        if code not in codes:
            continue
        deciding = [step for step in entitled if step.code is code]
        course.decided = next((step for step in deciding if step.trusted), deciding[0])
        # 31 and 41 say "no proof until then": what comes later overrules them
        late = code is KepCode.TESLIM and codes & _NO_PROOF_UNTIL
        course.state = "delivered-late" if late else state
        break
    course.missing = tuple(_missing(entitled, codes))


def _missing(steps: Sequence[Step], codes: set[KepCode | None]) -> Iterator[KepCode]:
    if not codes & {KepCode.KABUL, KepCode.RED}:
        yield KepCode.KABUL
    accepted = {step.issuer for step in steps if step.code is KepCode.KABUL}
    later = {step.issuer for step in steps if step.code in (KepCode.TESLIM, KepCode.OKUNDU)}
    if accepted and later - accepted and KepCode.ILETILDI not in codes:  # another provider has it: it said so by 20
        yield KepCode.ILETILDI
    if KepCode.TESLIM not in codes and (KepCode.OKUNDU in codes or not codes & _ENDS):
        yield KepCode.TESLIM


def branches(courses: Sequence[Course]) -> Iterable[Branch]:
    """A branch for each recipient."""
    return (_branch(each) for each in courses)


def _branch(course: Course) -> Branch:
    checks = []
    for step in course.steps:
        verdict: Verdict = "ok" if step.trusted else "not checked"
        told = "step"
        if not step.entitled:
            verdict, told = "warning", "step-not-entitled"
        values: dict[str, Value] = {"time": step.time, "title": step.title, "issuer": step.issuer, "file": step.path}
        checks.append(Check("step", verdict, step.identifier, None, told, values))
    values = {"recipient": course.recipient}
    if course.decided is None:
        checks.append(Check("state", "not checked", "no evidence of Turkish KEP", None, "state-none", values))
    else:
        values |= {"time": course.decided.time, "issuer": course.decided.issuer}
        verdict = "ok" if course.trusted else "not checked"
        checks.append(Check("state", verdict, course.state, None, f"state-{course.state}", values))
    if course.missing:
        listed = ", ".join(str(int(code)) for code in course.missing)
        checks.append(Check("completeness", "warning", f"missing: {listed}", None, "", {"codes": listed}))
    return Branch("recipient", course.recipient, tuple(checks))
