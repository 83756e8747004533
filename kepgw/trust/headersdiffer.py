"""Unsigned and signed headers against the signed XML: where they differ the XML rules, and verification warns."""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping

from kepgw.errors import FormatError
from kepgw.evidence import codes, en319522_codes
from kepgw.evidence.model import Evidence
from kepgw.message.addresses import addresses
from kepgw.message.headers import Field

_PREFIXES = ("x-rem-", "rem-")  # TS 102 640-2 4.1, EN 319 532-3 6.2


def differences(inner: Iterable[Field], outer: Iterable[Field], evidence: Evidence, kind: str = "") -> list[str]:
    """A sentence for each header whose value is not what the evidence says, the inner (signed) header first.

    Headers that say nothing about the evidence, and those that its XML leaves empty, are passed over. ``kind`` of the
    envelope (``Dispatch`` or ``Message``, by its content) is compared with the header that tells it, where given.
    """
    told: list[str] = []
    for place, entries in (("inner", inner), ("outer", outer)):
        for entry in entries:
            meaning = _meaning(entry.name)
            value, check = entry.value.decode("utf-8", "replace").strip(), _CHECKS.get(meaning)
            if check is not None and not check(value, evidence):
                told.append(f"{place} {entry.name} differs from the evidence")
            if meaning in _KINDS and kind and _KINDS[meaning](value) not in (kind, None):
                told.append(f"{place} {entry.name} differs from what the envelope holds")
    return told


def _meaning(name: str) -> str:
    """The component that a header is named after; spellings differ in case, hyphens and prefix."""
    lower = name.lower()
    prefix = next((each for each in _PREFIXES if lower.startswith(each)), None)
    return "" if prefix is None else lower[len(prefix) :].replace("-", "")


def _plain(identifier: str) -> str:
    return identifier.strip().removeprefix("<").removesuffix(">")


def _identifier(value: str, evidence: Evidence) -> bool:
    return _plain(value) == _plain(evidence.identifier)


def _remmd_identifier(value: str, evidence: Evidence) -> bool:
    return evidence.message is None or _plain(value) == _plain(evidence.message.remmd_message_id)


def _ua_identifier(value: str, evidence: Evidence) -> bool:
    said = "" if evidence.message is None else evidence.message.ua_message_id
    return not said or _plain(value) == _plain(said)


def _digest(value: str, evidence: Evidence) -> bool:
    said = b"" if evidence.message is None else evidence.message.digest
    if not said or value.lower() == said.hex():
        return True
    try:
        return base64.b64decode(value, validate=True) == said
    except (binascii.Error, ValueError):
        return False


def _algorithm(value: str, evidence: Evidence) -> bool:
    said = "" if evidence.message is None else evidence.message.digest_algorithm
    return not said or "".join(filter(str.isalnum, value.lower())).endswith(said)


def _element(value: str, evidence: Evidence) -> bool:
    return codes.element_of(value) in (evidence.element, None)  # a name of some other catalogue says nothing


def _event(value: str, evidence: Evidence) -> bool:
    return codes.event_of(value) == evidence.event


def _erds_event(value: str, evidence: Evidence) -> bool:
    try:
        return en319522_codes.event_of(value) == evidence.erds_event
    except FormatError:
        return False


def _erds_reason(value: str, evidence: Evidence) -> bool:
    """One header a reason (EN 319 532-3 6.2): each is one of the evidence's."""
    return en319522_codes.reason_of(value) in [given.reason for given in evidence.reasons]


def _sender(value: str, evidence: Evidence) -> bool:
    """MD08 is the sender's mailbox."""
    told = [box.address.lower() for box in addresses(value.encode())]
    return not evidence.sender.address or told == [evidence.sender.address.lower()]


_KINDS: Mapping[str, Callable[[str], str | None]] = {
    # EN 319 532-3 table 2: a receipt and a notification carry no original
    "messagetype": lambda value: {"dispatch": "Dispatch", "receipt": "Message", "notification": "Message"}.get(
        value.rpartition("/")[2].lower()
    ),
    # TS 102 640-2 4.1
    "msgtype": lambda value: {"dispatch": "Dispatch", "message": "Message"}.get(value.lower()),
}
_CHECKS: Mapping[str, Callable[[str, Evidence], bool]] = {
    "evidenceidentifier": _identifier,
    "evidenceid": _identifier,
    "messageidentifierbyremmd": _remmd_identifier,
    "uamessageidentifier": _ua_identifier,
    "hashvalue": _digest,
    "digestvalue": _digest,
    "hashalgorithm": _algorithm,
    "digestmethod": _algorithm,
    "digestalgorithm": _algorithm,
    "evidencetype": _element,
    "eventcode": _event,
    # EN 319 532-3 6.2
    "eventidentifier": _erds_event,
    "reasonidentifier": _erds_reason,
    "md08": _sender,
}
