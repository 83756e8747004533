"""The body of a message/delivery-status part (RFC 3464), and the xtext of ENVID and ORCPT (RFC 3461 4). Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

MAX_VALUE: Final = 900  # characters of a field's value; a line of a message has at most 998 octets (RFC 5322 2.1.1)

_ENCODED: Final = re.compile(r"\+([0-9A-F]{2})")
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """What happened for one recipient (RFC 3464 2.3).

    ``original`` is ORCPT as the client gave it (``rfc822;xtext``), ``diagnostic`` a type and the words of it
    (``smtp; 550 5.1.1 ...``). Empty strings and None stand for fields that are not written.
    """

    address: str
    action: str
    status: str
    original: str = ""
    remote: str = ""  # host name of the server that was spoken to
    diagnostic: str = ""
    last_attempt: datetime | None = None


def write(reporting: str, envid: str, arrived: datetime, recipients: Sequence[RecipientStatus]) -> bytes:
    """The body: fields of the message, then a block for each recipient, blank lines between (RFC 3464 2.1).

    ``reporting`` is a domain name, ``envid`` ENVID as the client gave it, ``arrived`` when it was taken.
    """
    blocks = [
        _block(
            ("Original-Envelope-Id", decode_xtext(envid)),  # RFC 3464 2.2.1: as it was before it became xtext
            ("Reporting-MTA", f"dns; {reporting}"),
            ("Arrival-Date", _date(arrived)),
        )
    ]
    for each in recipients:
        kind, _, original = each.original.partition(";")
        blocks.append(
            _block(
                ("Original-Recipient", f"{kind}; {decode_xtext(original)}" if original else ""),
                ("Final-Recipient", f"rfc822; {each.address}"),
                ("Action", each.action),
                ("Status", each.status),
                ("Remote-MTA", f"dns; {each.remote}" if each.remote else ""),
                ("Diagnostic-Code", each.diagnostic),
                ("Last-Attempt-Date", _date(each.last_attempt) if each.last_attempt else ""),
            )
        )
    return b"\r\n".join(blocks)


def decode_xtext(text: str) -> str:
    """What an xtext stands for (RFC 3461 4)."""
    return _ENCODED.sub(lambda found: chr(int(found[1], 16)), text)


def printable_xtext(text: str) -> bool:
    """Whether an xtext stands for printable ASCII, as ENVID and ORCPT must (RFC 3461 4.2, 4.4)."""
    return not _UNPRINTABLE.search(decode_xtext(text))


def _block(*fields: tuple[str, str]) -> bytes:
    return b"".join(_lines(fields))


def _lines(fields: Iterable[tuple[str, str]]) -> Iterable[bytes]:
    for name, value in fields:
        if value:
            # whatever a client or a peer said, it stays in its line
            yield f"{name}: {_UNPRINTABLE.sub('?', value)[:MAX_VALUE]}\r\n".encode("ascii")


def _date(at: datetime) -> str:
    return format_datetime(at.astimezone(UTC))
