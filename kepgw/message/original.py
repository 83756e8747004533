"""The header of a submitted message: what the provider must know, and what it must refuse."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from kepgw.message.addresses import MAX_ADDRESSES, addresses
from kepgw.message.headers import MAX_FIELDS, MAX_HEADER, Field, decode_text, fields
from kepgw.refusals import Refusal

MAX_MESSAGE_ID = 998
# Headers that the user's client sets for the receiving office (kept and signed by the provider); a BTK suffix
TR_PREFIX = "x-tr-rem-"
MAX_TR_HEADERS = 32
MAX_TR_VALUE = 998

ILETI_TIPLERI = {"standart": "standart", "eyazisma": "eYazisma", "etebligat": "eTebligat"}

_OPAQUE = re.compile(rb"[!-~]+")
_PLAIN_ADDRESS = re.compile(r"[!-~]+@[!-~]+")
# Two of these make two readers show two messages; evidence names the subject (RFC 5322 3.6: at most one each)
_ONCE = ("subject", "date", "sender", "content-type", "content-transfer-encoding", "mime-version")


@dataclass(frozen=True, slots=True)
class Original:
    """The header of an original message as far as the provider needs it.

    ``message_id`` is opaque, as received, brackets included; addresses are lower-cased; ``subject`` is decoded and
    ``subject_raw`` unfolded but undecoded; ``date`` is UTC, None when absent or unreadable; ``ileti_tip`` is
    ``standart``, ``eYazisma`` or ``eTebligat`` (unknown reads as standart); ``tr_headers`` are the ``X-TR-REM-*``
    fields with name and value as received, unfolded.
    """

    message_id: str
    from_address: str
    from_name: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    subject: str
    subject_raw: bytes
    date: datetime | None
    ileti_tip: str
    ileti_id: str
    in_reply_to: str
    references: str
    tr_headers: tuple[tuple[str, str], ...]


def inspect(header: bytes) -> Original:
    """Read the header block of a submitted message (blank line or not).

    Raises Refusal: ``bad-header`` (no header block, too large, a line that is no field, a field twice that may stand
    once), ``bcc-header``, ``from-header`` (not exactly one From with exactly one mailbox), ``message-id``.
    """
    by_name = _by_name(header)
    if "bcc" in by_name or "resent-bcc" in by_name:
        raise Refusal("bcc-header", "the header has a Bcc field")
    name, address = _from(by_name.get("from", []))
    tr_headers = _tr_headers(by_name)
    subject = by_name.get("subject", [])
    values = {key.lower(): value for key, value in reversed(tr_headers)}  # the first of two counts
    return Original(
        message_id=_message_id(by_name.get("message-id", [])),
        from_address=address,
        from_name=name,
        to=_addresses(by_name.get("to", [])),
        cc=_addresses(by_name.get("cc", [])),
        subject=subject[0].text if subject else "",
        subject_raw=subject[0].value if subject else b"",
        date=_date(by_name.get("date", [])),
        ileti_tip=ILETI_TIPLERI.get(values.get("x-tr-rem-iletitip", "").strip().lower(), "standart"),
        ileti_id=values.get("x-tr-rem-iletiid", ""),
        in_reply_to=_identifiers(by_name.get("in-reply-to", [])),
        references=_identifiers(by_name.get("references", [])),
        tr_headers=tr_headers,
    )


def glance(header: bytes) -> tuple[str, str]:
    """Message-ID and subject of a header block that ``inspect`` may refuse; each empty when it cannot be told.

    The sender finds evidence of the refusal by them (TS 102 640-2 B.1.15.1), so they are as ``inspect`` has them.
    """
    named: dict[str, list[Field]] = {"message-id": [], "subject": []}
    for entry in fields(header[:MAX_HEADER]):
        if (kept := named.get(entry.name.lower())) is not None:
            kept.append(entry)
    try:
        message_id = _message_id(named["message-id"])
    except Refusal:
        message_id = ""
    subject = named["subject"]
    return message_id, subject[0].text if len(subject) == 1 else ""


def _by_name(header: bytes) -> dict[str, list[Field]]:
    if len(header) > MAX_HEADER:
        raise Refusal("bad-header", f"{len(header)} octets of header")
    entries = fields(header)
    if not entries or len(entries) >= MAX_FIELDS:
        raise Refusal("bad-header", f"{len(entries)} header fields")
    found: dict[str, list[Field]] = {}
    for entry in entries:
        if not entry.name:
            raise Refusal("bad-header", f"the line at octet {entry.start} is no header field")
        found.setdefault(entry.name.lower(), []).append(entry)
    for name in _ONCE:
        if len(found.get(name, ())) > 1:
            raise Refusal("bad-header", f"{name} stands {len(found[name])} times")
    return found


def _from(entries: list[Field]) -> tuple[str, str]:
    if len(entries) != 1:
        raise Refusal("from-header", f"{len(entries)} From fields")
    mailboxes = addresses(entries[0].raw)
    if len(mailboxes) != 1:
        raise Refusal("from-header", f"From has {len(mailboxes)} mailboxes")
    mailbox = mailboxes[0]
    if not mailbox.clean or not _PLAIN_ADDRESS.fullmatch(mailbox.address):
        raise Refusal("from-header", "From is not one well-formed mailbox")
    return mailbox.name, mailbox.address


def _message_id(entries: list[Field]) -> str:
    if len(entries) != 1:
        raise Refusal("message-id", f"{len(entries)} Message-ID fields")
    value = entries[0].value
    # An opaque string: Turkish clients send identifiers without a domain, and the evidence repeats it octet by octet
    if len(value) > MAX_MESSAGE_ID or not _OPAQUE.fullmatch(value):
        raise Refusal("message-id", f"Message-ID of {len(value)} octets is empty, too long or has other than ASCII")
    return value.decode("ascii")


def _addresses(entries: list[Field]) -> tuple[str, ...]:
    """Every address once, in order."""
    found: dict[str, None] = {}
    read = 0
    for entry in entries:
        mailboxes = addresses(entry.raw)
        read += len(mailboxes)
        if read > MAX_ADDRESSES:
            raise Refusal("bad-header", f"more than {MAX_ADDRESSES} addresses in the fields of one name")
        found |= dict.fromkeys(mailbox.address for mailbox in mailboxes)
    return tuple(found)


def _identifiers(entries: list[Field]) -> str:
    return decode_text(entries[0].raw)[:8192] if entries else ""


def _date(entries: list[Field]) -> datetime | None:
    if not entries:
        return None
    try:
        date = parsedate_to_datetime(entries[0].text[:100])
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _tr_headers(by_name: dict[str, list[Field]]) -> tuple[tuple[str, str], ...]:
    entries = [entry for name, found in by_name.items() if name.startswith(TR_PREFIX) for entry in found]
    if len(entries) > MAX_TR_HEADERS or any(len(entry.value) > MAX_TR_VALUE for entry in entries):
        raise Refusal("bad-header", "too many or too long X-TR-REM fields")
    entries.sort(key=lambda entry: entry.start)
    return tuple((entry.name, entry.value.decode("utf-8", "replace")) for entry in entries)
