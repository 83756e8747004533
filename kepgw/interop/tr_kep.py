"""The profile ``tr-kep``: evidence, dispatch and receipt as TS 102 640-2 and Turkish practice shape them.

Pure: data in, unsigned octets out. One receipt carries one evidence; the attachment's octets are the ledger's.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Self

from kepgw.evidence import ts102640
from kepgw.evidence.codes import KEP_CODES, KepCode
from kepgw.evidence.model import Evidence, Issuer, MessageDetails
from kepgw.evidence.ts102640 import TR_KEP, Spelling
from kepgw.interop.case import Case, Identity, Order
from kepgw.interop.notifying import Wanted, delivery_status
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
from kepgw.texts import LANGUAGES, text

HASH_NAME: Final = "SHA-256"


@dataclass(frozen=True, slots=True)
class TrKep:
    """Implements ``profile.Profile``. ``type_header``: X-REM-EvidenceType is the ETSI element name or the KEP code.

    ``delivery_status``: when receipts to our own users carry the part of RFC 3464 too.
    """

    name: ClassVar[str] = "tr-kep"
    enveloped: ClassVar[bool] = True  # ADR 11
    stamped_dispatch: ClassVar[bool] = True  # Yönetmelik, "KEP iletisi"
    message_identifier: ClassVar[re.Pattern[str]] = re.compile(r"[ -~]{1,998}")  # what fits a header of ours
    repeats_rejection: ClassVar[bool] = False  # the peer's 21 itself goes on to the sender

    identity: Identity
    spelling: Spelling = TR_KEP
    type_header: str = "element"
    delivery_status: Wanted = "asked"

    def under(self, addresses: Sequence[str]) -> Self:
        """The same for another certificate of ours (TS 102 640-2 4.1: From names the signer)."""
        return replace(self, identity=self.identity.of(addresses))

    def speaks(self, evidence: Evidence) -> bool:
        """Evidence of TS 102 640."""
        return not evidence.is_erds

    def form(self, header: bytes, size: int, remmd_id: str) -> form.Form:
        """The original, untouched."""
        return form.tr_kep(size)

    def scopes(self, group: Sequence[int], ours: Sequence[int]) -> list[About]:
        """One evidence when all of our recipients are alike, else one for each: B.1 has room for one index."""
        return [()] if len(group) == len(ours) else [(each,) for each in group]

    def evidence(self, case: Case, order: Order, certificate: bytes | None) -> Evidence:
        """The evidence that ``order`` asks for. EventTime is the time of the event, not of the signature."""
        identity, rule = self.identity, KEP_CODES[order.code]
        submission = order.code in {KepCode.KABUL, KepCode.RED}
        return Evidence(
            element=rule.element,
            event=rule.event,
            identifier=order.identifier,
            policies=identity.policies,
            issuer=Issuer(identity.service_address, identity.name, identity.domain, certificate),
            event_time=order.event_time,
            submission_time=case.t0,  # TS 102 640-2 M03
            sender=case.sender,
            recipients=case.recipients,
            message=MessageDetails(case.subject, case.ua_message_id, case.remmd_id, "sha256", case.digest),
            reasons=order.reasons,
            # B.1: present only when some, not all, of the recipients are meant
            refers_to=order.about[0] if order.about and len(case.recipients) > 1 else None,
            reply_to=case.sender.address if submission else None,
            sender_authentication=case.authentication if submission else None,
            version=self.spelling.version,
        )

    def write(self, evidence: Evidence) -> bytes:
        """The XML of an evidence in the spelling of this provider, unsigned."""
        return ts102640.write(evidence, self.spelling)

    def dispatch(self, case: Case, evidence_10: Evidence, xml: bytes, digest_algorithm: str = "sha256") -> Unsealed:
        """The envelope of a KEP iletisi: original and evidence 10 inside (Yönetmelik m.4: it contains the evidence)."""
        identity = self.identity
        outer = [
            ("Message-ID", f"<{case.remmd_id}>"),
            ("Date", date(case.t0)),
            ("From", mailbox(identity.name, identity.service_address)),
            ("Reply-To", case.sender.address),  # TS 102 640-2 4.1: shall match the From of the original
            ("To", case.to or UNDISCLOSED),
            *([("Cc", case.cc)] if case.cc else []),
            ("Subject", text("subject-dispatch", "tr", subject=shown(case.subject))),
            *threading(case),
            ("X-REM-Msg-Type", "Dispatch"),
            *_common_headers(case, evidence_10),
            *case.tr_headers,
        ]
        return begin(
            outer,
            case.tr_headers,  # again under the signature: these are the ones to trust
            introduce_dispatch(identity, case),
            OriginalPart(case.size, case.eight_bit),
            [(f"{evidence_10.element}.xml", xml)],
            seed=seed(case, evidence_10.identifier),
            digest_algorithm=digest_algorithm,
        )

    def receipt(
        self, case: Case, order: Order, made: Evidence, xml: bytes, digest_algorithm: str = "sha256"
    ) -> Unsealed:
        """The envelope of a receipt (delil iletisi) with exactly one evidence."""
        identity, code = self.identity, made.kep_code
        assert code is not None
        title = f"evidence-{code.value}"
        recipient = made.about[0].address if len(made.about) == 1 else ""
        subject = text(
            "subject-receipt-to" if recipient and code >= KepCode.ILETILDI else "subject-receipt",
            "tr",
            title=text(title, "tr"),
            subject=shown(case.subject),
            recipient=recipient,
        )
        kind = str(made.element) if self.type_header == "element" else str(code.value)
        outer = [
            ("Message-ID", f"<{made.identifier}>"),
            ("Date", date(made.event_time)),
            ("From", mailbox(identity.name, identity.service_address)),
            ("To", case.sender.address),
            ("Subject", subject),
            *threading(case),
            ("Auto-Submitted", "auto-generated"),  # RFC 3834 5
            ("X-REM-Msg-Type", "Message"),
            ("X-REM-EvidenceType", kind),
            ("X-REM-EventCode", self.spelling.event(made.element, made.event)),
            *_common_headers(case, made),
        ]
        return begin(
            outer,
            [],
            introduce_receipt(identity, made, {language: text(title, language) for language in LANGUAGES}),
            None,
            [(f"{made.element}.xml", xml)],
            delivery_status=delivery_status(self.delivery_status, case, order, made),
            seed=seed(case, made.identifier),
            digest_algorithm=digest_algorithm,
        )


def _common_headers(case: Case, made: Evidence) -> list[tuple[str, str]]:
    return [
        ("X-REM-UAMessageIdentifier", case.ua_message_id),
        ("X-REM-MessageIdentifierByREMMD", case.remmd_id),
        ("X-REM-EvidenceIdentifier", made.identifier),
        ("X-REM-hashAlgorithm", HASH_NAME),
        ("X-REM-hashValue", b64encode(case.digest).decode("ascii")),
    ]
