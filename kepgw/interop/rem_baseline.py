"""The profile ``rem-baseline``: evidence of EN 319 522-3 and messages of EN 319 532-3, by Annex C of EN 319 532-4.

Pure: data in, unsigned octets out. The structure is that of the example messages published with EN 319 532-4; where we
depart from them, ADR 20 says why.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import ClassVar, Final, Self

from kepgw.evidence import en319522
from kepgw.evidence.algorithms import DIGESTS
from kepgw.evidence.codes import KEP_CODES, Reason
from kepgw.evidence.en319522_cardinality import GENERAL, REM_BASELINE
from kepgw.evidence.en319522_codes import (
    ASSURANCE_SUBSTANTIAL,
    ERDS_EVENTS,
    REM_BASELINE_POLICY,
    ErdsEvent,
    ErdsReason,
    erds_event,
    erds_reason,
)
from kepgw.evidence.identity import person_identifier
from kepgw.evidence.model import (
    ERDS_VERSION,
    Assurance,
    Authentication,
    Entity,
    Evidence,
    GivenReason,
    Issuer,
    MessageDetails,
)
from kepgw.evidence.render import render
from kepgw.interop.case import Case, Identity, Order
from kepgw.interop.profile import About
from kepgw.interop.writing import (
    UNDISCLOSED,
    date,
    introduce_dispatch,
    introduce_receipt,
    mailbox,
    seed,
    shown,
    threading,
)
from kepgw.message import form
from kepgw.message.envelope import OriginalPart, Unsealed, begin
from kepgw.texts import LANGUAGES

METADATA_VERSION: Final = "EN31953203V010201"  # EN 319 532-3 V1.2.1 (REM-MetadataVersion)
SECTION_HEADER: Final = "REM-Section-Type"  # EN 319 532-3 6.2
_TYPES: Final = "http://uri.etsi.org/19522/v1#/ERDMessageType/"  # EN 319 522-3 4.3
_BASIC: Final = "http://uri.etsi.org/19522/v1#/consignment/basic"  # EN 319 522-3 4.3
# A failure that speaks of a refusal at the door is of the relay (B.3), not the answer of the peer that RB21 repeats
_OF_FAILURE: Final = {Reason.UNKNOWN_RECIPIENT: ErdsReason.RB10}
# To the relaying provider go what answers a relay, to the sender all others (EN 319 522-1 table 1)
_BETWEEN_PROVIDERS: Final = frozenset({ErdsEvent.RELAY_ACCEPTANCE, ErdsEvent.RELAY_REJECTION})


@dataclass(frozen=True, slots=True)
class RemBaseline:
    """Implements ``profile.Profile``.

    ``country`` (ISO 3166-1 alpha-2) is that of our users and of us, for identifiers of persons; ``assurance_level`` the
    URI of the level by which we know our users, ``assurance_policy`` that of its policy, empty for the first of ours;
    ``methods`` stands before the name of an authentication method.
    """

    name: ClassVar[str] = "rem-baseline"
    enveloped: ClassVar[bool] = False
    stamped_dispatch: ClassVar[bool] = False  # EN 319 532-4 C.4: B-B is enough; its evidence is stamped
    message_identifier: ClassVar[re.Pattern[str]] = re.compile(r"[!-;=?-~]{1,998}")  # table C.18: a msg-id, no brackets
    repeats_rejection: ClassVar[bool] = True  # EN 319 532-4 Annex C: RelayFailure when RelayRejection was received

    identity: Identity
    country: str = "TR"
    assurance_level: str = ASSURANCE_SUBSTANTIAL
    assurance_policy: str = ""
    methods: str = "http:uri.etsi.org/REM/AuthMethod#"

    def under(self, addresses: Sequence[str]) -> Self:
        """The same for another certificate of ours (TS 102 640-2 4.1: From names the signer)."""
        return replace(self, identity=self.identity.of(addresses))

    def speaks(self, evidence: Evidence) -> bool:
        """Evidence of EN 319 522."""
        return evidence.is_erds

    def form(self, header: bytes, size: int, remmd_id: str) -> form.Form:
        """The original with our Message-ID, its own in REM-UAMessageIdentifier (EN 319 532-4 C.22). Raises Refusal."""
        return form.rem_baseline(header, size, f"<{remmd_id}>")

    def scopes(self, group: Sequence[int], ours: Sequence[int]) -> list[About]:
        """One evidence a dispatch and provider, with its recipients listed (EN 319 532-4 Annex C)."""
        return [tuple(group)]

    def evidence(self, case: Case, order: Order, certificate: bytes | None) -> Evidence:
        """The evidence that ``order`` asks for, with the reason that a positive event has (table C.27)."""
        rule = KEP_CODES[order.code]
        event = erds_event(rule.element, rule.event)
        assert event is not None
        one = (order.about or (1,))[0] if event.letter[0] in "CDE" else None  # I09: exactly one there, none elsewhere
        several = order.about if event.letter[0] == "B" else ()  # listed even when they are all, as in the examples
        read = one if event is ErdsEvent.CONTENT_HANDOVER else None  # by a user of ours: I12 shall be there
        return en319522.with_reason(
            Evidence(
                element=rule.element,
                event=rule.event,
                identifier=order.identifier,
                policies=(REM_BASELINE_POLICY, *self.identity.policies),  # R01: both, table C.18
                issuer=Issuer(self.identity.service_address, self.identity.name, self.identity.domain),
                event_time=order.event_time,
                submission_time=case.t0,  # table C.18: T0, copied into all later evidence
                sender=self._own(case.sender, assured=True) if case.own_sender else case.sender,
                recipients=tuple(
                    self._own(each, assured=read == ordinal) if ordinal in case.here or read == ordinal else each
                    for ordinal, each in enumerate(case.recipients, 1)
                ),
                message=MessageDetails(case.subject, case.ua_message_id, case.remmd_id, "sha256", case.digest),
                reasons=tuple(_reason(given, event) for given in order.reasons),
                refers_to=one,
                refers_to_several=several,
                sender_authentication=case.authentication,
                recipient_authentication=Authentication(order.event_time, "Basic") if read else None,
                external=_external(case) if event.letter[0] == "B" else None,
                version=ERDS_VERSION,
            )
        )

    def write(self, evidence: Evidence) -> bytes:
        """The XML, unsigned. What a peer did not say of its sender (I10) we cannot repeat: then EN 319 522 rules."""
        assured = evidence.sender.assurance and evidence.sender_authentication
        return en319522.write(evidence, en319522.Shape(REM_BASELINE if assured else GENERAL, self.methods))

    def dispatch(self, case: Case, evidence_10: Evidence, xml: bytes, digest_algorithm: str = "sha256") -> Unsealed:
        """The REM dispatch: the form of the original, and the SubmissionAcceptance."""
        outer = [
            ("Reply-To", mailbox(case.sender.name, case.sender.address)),  # table 3: = the original From
            ("From", mailbox(self.identity.name, self.identity.service_address)),
            ("To", case.to or UNDISCLOSED),
            *([("Cc", case.cc)] if case.cc else []),
            ("Subject", f"REM Dispatch: {shown(case.subject)}"),
            ("Date", date(case.t0)),
            ("Message-ID", f"<{case.remmd_id}>"),
            *threading(case),
            *self._metadata(case, evidence_10, "dispatch", case.t0),
            *case.tr_headers,
        ]
        return begin(
            outer,
            case.tr_headers,  # again under the signature: these are the ones to trust
            introduce_dispatch(self.identity, case, changed=True),
            OriginalPart(case.size, case.eight_bit),
            [(f"{evidence_10.erds_event}.xml", xml)],
            seed=seed(case, evidence_10.identifier),
            digest_algorithm=digest_algorithm,
            section_header=SECTION_HEADER,
        )

    def receipt(
        self, case: Case, order: Order, made: Evidence, xml: bytes, digest_algorithm: str = "sha256"
    ) -> Unsealed:
        """The REM receipt: one evidence."""
        event = made.erds_event
        to = mailbox(case.sender.name, case.sender.address)
        if event in _BETWEEN_PROVIDERS and case.counterpart is not None:
            to = f"<{case.counterpart.service_address}>"
        # table C.26: none in the receipt of a SubmissionAcceptance
        relayed = None if event is ErdsEvent.SUBMISSION_ACCEPTANCE else made.event_time
        outer = [
            ("From", mailbox(self.identity.name, self.identity.service_address)),
            ("To", to),
            ("Subject", f"REM {event}: {shown(case.subject)}"),  # EN 319 532-3 table 3
            ("Date", date(made.event_time)),
            ("Message-ID", f"<rem.{made.identifier}>"),
            *threading(case),
            ("Auto-Submitted", "auto-generated"),  # RFC 3834 5
            *self._metadata(case, made, "receipt", relayed),
        ]
        return begin(
            outer,
            [],
            introduce_receipt(
                self.identity,
                made,
                {language: render(made, language)[0] for language in LANGUAGES},
                changed=event is ErdsEvent.SUBMISSION_ACCEPTANCE,  # the sender must be told too
            ),
            None,
            [(f"{event}.xml", xml)],
            seed=seed(case, made.identifier),
            digest_algorithm=digest_algorithm,
            section_header=SECTION_HEADER,
        )

    def _own(self, entity: Entity, *, assured: bool) -> Entity:
        """A user of ours: who it is and, where asked, by which level we know it (table C.18)."""
        policy = self.assurance_policy or next(iter(self.identity.policies), "")
        return replace(
            entity,
            identity=(person_identifier(entity.address, self.country, self.country),),
            assurance=(Assurance(self.assurance_level, policy),) if assured else (),
        )

    def _metadata(self, case: Case, made: Evidence, kind: str, relayed: datetime | None) -> list[tuple[str, str]]:
        """The relay metadata of table C.26, in the order of the published examples."""
        event = made.erds_event
        assert event is not None
        return [
            ("REM-MetadataVersion", METADATA_VERSION),
            *([("REM-RelayDate", format_datetime(relayed.astimezone(UTC)))] if relayed else []),
            *(("REM-ApplicablePolicy", policy) for policy in made.policies),
            *([("REM-ModeOfConsignment", _BASIC)] if kind == "dispatch" else []),
            ("REM-MessageType", _TYPES + kind),
            ("REM-DigestAlgorithm", DIGESTS["sha256"]),
            ("REM-DigestValue", b64encode(case.digest).decode("ascii")),
            *([("REM-UAMessageIdentifier", case.ua_message_id)] if case.ua_message_id else []),
            ("REM-EventIdentifier", event.uri),
            ("REM-Evidence-ID", f"<{made.identifier}>"),
            *(("REM-ReasonIdentifier", _uri(given)) for given in made.reasons),
            ("REM-MD08", mailbox(case.sender.name, case.sender.address)),
        ]


def _external(case: Case) -> Issuer:
    """The other provider of a relay (M05), by the name on its card."""
    other = case.counterpart
    assert other is not None
    return Issuer(other.service_address, other.name, other.domain)


def _reason(given: GivenReason, event: ErdsEvent) -> GivenReason:
    """A reason as ordered, in any generation's words, as this event may say it: OTHER where it has no word (G04)."""
    said = given.reason
    if event is ErdsEvent.RELAY_FAILURE and isinstance(said, Reason):
        said = _OF_FAILURE.get(said, said)
    said = erds_reason(said, event)
    allowed = isinstance(said, ErdsReason) and said in ERDS_EVENTS[event].reasons
    return replace(given, reason=said if allowed else ErdsReason.OTHER)


def _uri(given: GivenReason) -> str:
    return given.reason.uri if isinstance(given.reason, ErdsReason) else str(given.reason)
