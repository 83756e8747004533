"""The profile ``tr-kep``: evidence, dispatch and receipt as TS 102 640-2 and Turkish practice shape them.

Pure: data in, unsigned octets out. One receipt carries one evidence; the attachment's octets are the ledger's.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Final
from zoneinfo import ZoneInfo

from kepgw.evidence import ts102640
from kepgw.evidence.codes import KEP_CODES, KepCode
from kepgw.evidence.model import Evidence, Issuer, MessageDetails
from kepgw.evidence.render import is_development, render
from kepgw.interop.case import Case, Identity, Order
from kepgw.message.envelope import OriginalPart, Unsealed, begin
from kepgw.message.introduction import dispatch_introduction, local_time, receipt_introduction
from kepgw.message.words import encode_text
from kepgw.texts import LANGUAGES, Language, text

MAX_SHOWN_SUBJECT: Final = 200  # characters of an original subject repeated in our own
HASH_NAME: Final = "SHA-256"
ISTANBUL: Final = ZoneInfo("Europe/Istanbul")


def evidence(identity: Identity, case: Case, order: Order, certificate: bytes | None) -> Evidence:
    """The evidence that ``order`` asks for. EventTime is the time of the event, not of the signature."""
    rule = KEP_CODES[order.code]
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
        refers_to=order.refers_to if len(case.recipients) > 1 else None,
        reply_to=case.sender.address if submission else None,
        sender_authentication=case.authentication if submission else None,
        version=identity.spelling.version,
    )


def write(identity: Identity, made: Evidence) -> bytes:
    """The XML of an evidence in the spelling of this provider, unsigned."""
    return ts102640.write(made, identity.spelling)


def dispatch(identity: Identity, case: Case, evidence_10: bytes, digest_algorithm: str = "sha256") -> Unsealed:
    """The envelope of a KEP iletisi: original and evidence 10 inside (Yönetmelik m.4: it contains the evidence)."""
    outer = [
        ("Message-ID", f"<{case.remmd_id}>"),
        ("Date", _date(case.t0)),
        ("From", _mailbox(identity.name, identity.service_address)),
        ("Reply-To", case.sender.address),  # TS 102 640-2 4.1: shall match the From of the original
        ("To", case.to or _undisclosed()),
        *([("Cc", case.cc)] if case.cc else []),
        ("Subject", text("subject-dispatch", "tr", subject=_shown(case.subject))),
        *_threading(case),
        ("X-REM-Msg-Type", "Dispatch"),
        *_common_headers(case, case.evidence_id),
        *case.tr_headers,
    ]
    introduction = dispatch_introduction(
        case.sender.address,
        [each.address for each in case.recipients],
        case.subject,
        case.t0,
        case.remmd_id,
        identity.name,
        identity.development,
        signature=_signature(case),
    )
    element = KEP_CODES[KepCode.KABUL].element
    return begin(
        outer,
        case.tr_headers,  # again under the signature: these are the ones to trust
        introduction,
        OriginalPart(case.size, case.eight_bit),
        [(f"{element}.xml", evidence_10)],
        seed=_seed(case, case.evidence_id),
        digest_algorithm=digest_algorithm,
    )


def receipt(identity: Identity, case: Case, made: Evidence, xml: bytes, digest_algorithm: str = "sha256") -> Unsealed:
    """The envelope of a receipt (delil iletisi) with exactly one evidence."""
    code = made.kep_code
    assert code is not None
    title = f"evidence-{code.value}"
    recipient = made.about[0].address if len(made.about) == 1 else ""
    subject = text(
        "subject-receipt-to" if recipient and code >= KepCode.ILETILDI else "subject-receipt",
        "tr",
        title=text(title, "tr"),
        subject=_shown(case.subject),
        recipient=recipient,
    )
    kind = str(made.element) if identity.type_header == "element" else str(code.value)
    outer = [
        ("Message-ID", f"<{made.identifier}>"),
        ("Date", _date(made.event_time)),
        ("From", _mailbox(identity.name, identity.service_address)),
        ("To", case.sender.address),
        ("Subject", subject),
        *_threading(case),
        ("Auto-Submitted", "auto-generated"),  # RFC 3834 5
        ("X-REM-Msg-Type", "Message"),
        ("X-REM-EvidenceType", kind),
        ("X-REM-EventCode", identity.spelling.event(made.element, made.event)),
        *_common_headers(case, made.identifier),
    ]
    return begin(
        outer,
        [],
        receipt_introduction(
            (text(title, "tr"), _rows(made, "tr")), (text(title, "en"), _rows(made, "en")), identity.development
        ),
        None,
        [(f"{made.element}.xml", xml)],
        seed=_seed(case, made.identifier),
        digest_algorithm=digest_algorithm,
    )


def _signature(case: Case) -> Mapping[Language, str] | None:
    """What the introduction says of the sender's own signature, in each language."""
    signed_by = case.signed_by
    if signed_by is None:
        return None
    return {
        language: text(
            f"signed-{signed_by.method.lower()}",
            language,
            name=signed_by.name,
            authority=signed_by.authority,
            time=local_time(case.t0, language),
        )
        for language in LANGUAGES
    }


def _rows(made: Evidence, language: Language) -> list[tuple[str, str]]:
    """The readable evidence; the introduction has a warning of its own for development keys."""
    _, rows = render(made, language)
    return rows[1:] if is_development(made) else rows


def _common_headers(case: Case, evidence_id: str) -> list[tuple[str, str]]:
    return [
        ("X-REM-UAMessageIdentifier", case.ua_message_id),
        ("X-REM-MessageIdentifierByREMMD", case.remmd_id),
        ("X-REM-EvidenceIdentifier", evidence_id),
        ("X-REM-hashAlgorithm", HASH_NAME),
        ("X-REM-hashValue", b64encode(case.digest).decode("ascii")),
    ]


def _threading(case: Case) -> list[tuple[str, str]]:
    # the receipts stand under the sent message in any client
    if not case.ua_message_id:
        return []
    return [("In-Reply-To", case.ua_message_id), ("References", case.ua_message_id)]


def _seed(case: Case, identifier: str) -> bytes:
    return hashlib.sha256(case.digest + case.remmd_id.encode() + identifier.encode()).digest()


def _shown(subject: str) -> str:
    return subject if len(subject) <= MAX_SHOWN_SUBJECT else subject[: MAX_SHOWN_SUBJECT - 1] + "…"


def _mailbox(name: str, address: str) -> str:
    if name.isascii():
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    return f"{encode_text(name)} <{address}>"


def _undisclosed() -> str:
    return "undisclosed-recipients:;"  # RFC 5322 3.4: an empty group


def _date(at: datetime) -> str:
    return format_datetime(at.astimezone(ISTANBUL))
