"""What the envelopes of all profiles share: texts for people, header values, the seed of the boundaries."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Final
from zoneinfo import ZoneInfo

from kepgw.evidence.model import Evidence
from kepgw.evidence.render import is_development, render
from kepgw.interop.case import Case, Identity
from kepgw.message.introduction import dispatch_introduction, local_time, receipt_introduction
from kepgw.message.words import encode_text
from kepgw.texts import LANGUAGES, Language, text

MAX_SHOWN_SUBJECT: Final = 200  # characters of an original subject repeated in our own
UNDISCLOSED: Final = "undisclosed-recipients:;"  # RFC 5322 3.4: an empty group
ISTANBUL: Final = ZoneInfo("Europe/Istanbul")


def introduce_dispatch(identity: Identity, case: Case, *, changed: bool = False) -> tuple[str, str]:
    """The introduction of a dispatch, as text and html; ``changed`` as in ``dispatch_introduction``."""
    return dispatch_introduction(
        case.sender.address,
        [each.address for each in case.recipients],
        case.subject,
        case.t0,
        case.remmd_id,
        identity.name,
        identity.development,
        signature=_signature(case),
        changed=changed,
    )


def introduce_receipt(
    identity: Identity, made: Evidence, titles: Mapping[Language, str], *, changed: bool = False
) -> tuple[str, str]:
    """The introduction of a receipt, as text and html: the readable evidence under a title in each language."""
    turkish, english = (
        (titles[language], [*_rows(made, language), *(_change(language) if changed else [])]) for language in LANGUAGES
    )
    return receipt_introduction(turkish, english, identity.development)


def _change(language: Language) -> list[tuple[str, str]]:
    return [(text("introduction-change", language), text("introduction-changed-message-id", language))]


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


def threading(case: Case) -> list[tuple[str, str]]:
    """What puts a dispatch or receipt under the sent message in any client."""
    if not case.ua_message_id:
        return []
    return [("In-Reply-To", case.ua_message_id), ("References", case.ua_message_id)]


def seed(case: Case, identifier: str) -> bytes:
    """The seed of an envelope's boundaries: the digest of the original, and identifiers that no sender can know."""
    return hashlib.sha256(case.digest + case.remmd_id.encode() + identifier.encode()).digest()


def shown(subject: str) -> str:
    """The original's subject as ours repeats it."""
    return subject if len(subject) <= MAX_SHOWN_SUBJECT else subject[: MAX_SHOWN_SUBJECT - 1] + "…"


def mailbox(name: str, address: str) -> str:
    """A mailbox for a header; the name in quotes or encoded (RFC 5322 3.4, RFC 2047)."""
    if name.isascii():
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>' if name else f"<{address}>"
    return f"{encode_text(name)} <{address}>"


def date(at: datetime) -> str:
    """A date in Turkish civil time (RFC 5322 3.3)."""
    return format_datetime(at.astimezone(ISTANBUL))
