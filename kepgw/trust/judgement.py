"""What a judgement says: checks with a verdict each, for ``kepgw verify``, relay-in and the verification page."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from kepgw.errors import Sub
from kepgw.evidence.model import Evidence
from kepgw.evidence.render import flat, render, show_time
from kepgw.evidence.xades import XadesReading
from kepgw.message.envelope import Envelope
from kepgw.texts import LANGUAGES, Language, Text, catalogue, text
from kepgw.trust.cmsreading import CmsReading
from kepgw.trust.tokens import Stamped

Verdict = Literal["ok", "bad", "warning", "not checked"]
Indication = Literal["PASSED", "FAILED", "INDETERMINATE"]
Value = str | int | datetime | Text | Evidence
"""What fills a sentence: shown as the reader's language has it, times in Istanbul time, an evidence by its title."""

FAMILIES = ("revocation", "listed", "signature", "chain", "stamp")
"""The last word of the names of checks that say the same of different signatures."""
_IN_ADES = ("revocation", "signature", "chain", "stamp", "digest", "content")


@dataclass(frozen=True)
class Check:
    """One check. ``name`` is stable and for machines, ``detail`` an English sentence for the log.

    "not checked" means that the input cannot support the check; only "bad" fails. ``sub`` is the sub-indication of EN
    319 102-1 where the check is not passed. ``told`` with ``values`` chooses the sentence for people, see
    ``sentence``. ``certificate`` (DER) is whose signature the check speaks of.
    """

    name: str
    verdict: Verdict
    detail: str = ""
    sub: Sub | None = None
    told: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)
    certificate: bytes | None = None

    @property
    def family(self) -> str:
        """The kind of check: "signature" of whatever is signed, "chain", "stamp", "revocation"; else the name."""
        last = self.name.rpartition("-")[2]
        return last if last in FAMILIES else self.name

    @property
    def indication(self) -> Indication | None:
        """The status of the check in EN 319 102-1 5.1.3, None for a check that is no part of validating a signature."""
        if self.sub is not None:
            return "FAILED" if self.sub.fails else "INDETERMINATE"
        return "PASSED" if self.verdict == "ok" and self.family.removeprefix("evidence-") in _IN_ADES else None

    def label(self, language: Language) -> str:
        """What was checked, for people."""
        return text(f"check-{self.name}", language)

    def word(self, language: Language) -> str:
        """The verdict in one word or two, for people."""
        return verdict_word(self.verdict, language)

    def sentence(self, language: Language) -> str:
        """What was found and what it means, for people.

        The text of ``told``, else that of the sub-indication, else that of the verdict, each first for this family
        of checks and then for all.
        """
        chosen = self.told or self.sub or self.verdict.replace(" ", "-")
        keys = (f"told-{self.family}-{chosen}", f"told-{chosen}")
        key = next(each for each in keys if each in catalogue())
        return text(key, language, **{name: shown(value, language) for name, value in self.values.items()})


def verdict_word(verdict: Verdict, language: Language) -> str:
    """A verdict in one word or two, for people."""
    return text(f"verdict-{verdict.replace(' ', '-')}", language)


def shown(value: Value, language: Language) -> str:
    """A value as people read it, on one line."""
    if isinstance(value, datetime):
        return show_time(value)
    if isinstance(value, Evidence):
        return flat(render(value, language)[0])
    if isinstance(value, Text):
        return flat(getattr(value, language))
    return flat(str(value))


def settled(check: Check) -> Check:
    """The same check without the evidence it speaks of: only its title stays."""
    values: dict[str, Value] = {}
    for key, value in check.values.items():
        values[key] = Text(*(shown(value, each) for each in LANGUAGES)) if isinstance(value, Evidence) else value
    return replace(check, values=values)


@dataclass(frozen=True)
class JudgedEvidence:
    """One evidence: its octets, what it says (None when it is in a form that we do not read), and its checks.

    ``time`` is the moment at which its chain was judged; ``signer`` the DER certificate when the signature holds.
    """

    name: str
    xml: bytes
    evidence: Evidence | None
    signature: XadesReading | None
    stamp: Stamped | None
    checks: tuple[Check, ...]
    time: datetime

    @property
    def good(self) -> bool:
        """No check is bad."""
        return all(check.verdict != "bad" for check in self.checks)

    @property
    def signer(self) -> bytes | None:
        """The DER certificate that signed, None when the signature does not hold."""
        return None if self.signature is None else self.signature.signer


@dataclass(frozen=True)
class Judgement:
    """A whole message: ``checks`` are those of the envelope, each evidence has its own.

    ``kind`` is "Dispatch" or "Message"; ``cms`` is None when the envelope's signature does not hold; ``time`` the
    moment at which the envelope's chain was judged.
    """

    kind: str
    checks: tuple[Check, ...]
    envelope: Envelope
    cms: CmsReading | None
    stamp: Stamped | None
    time: datetime
    evidences: list[JudgedEvidence] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """No check of the envelope or of an evidence is bad."""
        return all(check.verdict != "bad" for check in self.checks) and all(each.good for each in self.evidences)

    @property
    def signer(self) -> bytes | None:
        """The DER certificate that signed the envelope, None when the signature does not hold."""
        return None if self.cms is None else self.cms.signer

    def every(self) -> Iterator[tuple[str, Check]]:
        """Every check with the name of the evidence it belongs to, ``""`` for the envelope's."""
        yield from (("", check) for check in self.checks)
        for evidence in self.evidences:
            yield from ((evidence.name, check) for check in evidence.checks)
