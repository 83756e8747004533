"""What a judgement says: checks with a verdict each, for ``kepgw verify``, relay-in and the verification page."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from kepgw.evidence.model import Evidence
from kepgw.evidence.xades import XadesReading
from kepgw.message.envelope import Envelope
from kepgw.texts import Language, text
from kepgw.trust.cmsreading import CmsReading
from kepgw.trust.tokens import Stamped

Verdict = Literal["ok", "bad", "warning", "not checked"]


@dataclass(frozen=True)
class Check:
    """One check. ``name`` is stable and for machines, ``detail`` an English sentence for the log and the command line.

    "not checked" means that the input cannot support the check; only "bad" fails.
    """

    name: str
    verdict: Verdict
    detail: str = ""

    def label(self, language: Language) -> str:
        """What was checked, for people."""
        return text(f"check-{self.name}", language)

    def word(self, language: Language) -> str:
        """The verdict in one word or two, for people."""
        return text(f"verdict-{self.verdict.replace(' ', '-')}", language)


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
