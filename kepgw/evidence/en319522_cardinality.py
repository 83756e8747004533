"""Which component an EN 319 522 evidence must, may and must not carry, as tables.

``GENERAL`` is EN 319 522-2 table 13, ``REM_BASELINE`` the same with EN 319 532-4 table C.27 over it. The signature
(R03) is not of the data: it is made, and judged, over the whole.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from kepgw.evidence.cardinality import check_details
from kepgw.evidence.en319522_codes import (
    ERDS_EVENTS,
    ITALIAN,
    REM_BASELINE_POLICY,
    ErdsEvent,
    ErdsReason,
    erds_reason,
)
from kepgw.evidence.model import Evidence

_MANY = 1 << 30


class Range(NamedTuple):
    """How often a component stands, both ends included."""

    least: int
    most: int


RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "0": Range(0, 0),
        "0..1": Range(0, 1),
        "1": Range(1, 1),
        "*": Range(0, _MANY),
        "1..*": Range(1, _MANY),
        "2..*": Range(2, _MANY),
    }
)

# One row a component: what holds for every event, then what differs, by event (A.2) or family of events (B). G04 "shall
# appear" for negative events, so that what table 13 prints as * is 1..* there.
_NEGATIVE = dict.fromkeys(("A.2", "B.2", "B.3", "C.2", "C.4", "C.5", "D.2", "D.4", "E.2", "F.2"), "1..*")
_POSITIVE_ONCE = dict.fromkeys(("A.1", "B.1", "D.1"), "1")
_TO_RECIPIENT = ("C", "D", "E")
_SEVEN = ("A.1", "A.2", "B.1", "B.2", "B.3", "D.1", "D.2")  # the evidence of the baseline, table C.27
Row = tuple[str, Mapping[str, str]]
_GENERAL: Mapping[str, Row] = {
    "G01": ("1", {}),  # identifier
    "G02": ("1", {}),  # version
    "G03": ("1", {}),  # event
    "G04": ("0..1", _NEGATIVE),  # reason
    "G05": ("1", {}),  # time
    "G06": ("*", {}),  # log
    "R01": ("1..*", {}),  # policy
    "R02": ("1", {}),  # issuer
    "I01": ("0..1", {}),  # sender's identity
    "I02": ("1", {"F.3": "0..1"}),  # sender's identifier
    "I03": ("0..1", {"F.3": "0"}),  # sender's delegate: identity
    "I04": ("0..1", {"F.3": "0"}),  # and identifier
    "I05": ("*", {}),  # recipients' identity
    "I06": ("1..*", {}),  # and identifier
    "I07": ("0", dict.fromkeys(_TO_RECIPIENT, "0..1")),  # recipient's delegate: identity
    "I08": ("0", dict.fromkeys(_TO_RECIPIENT, "0..1")),  # and identifier
    "I09": ("0", dict.fromkeys(_TO_RECIPIENT, "1")),  # recipient referred to
    "I10": ("0..1", {"F.3": "0"}),  # assurance of the sender
    "I11": ("0..1", {"F.3": "0"}),  # and of the sender's delegate
    "I12": ("0", dict.fromkeys(("C.3", "C.4", "D.3", "E.1"), "0..1")),  # assurance of the recipient
    "I13": ("0", dict.fromkeys(("C.3", "C.4", "D.3", "E.1"), "0..1")),  # and of the recipient's delegate
    "M01": ("1", {}),  # message identifier
    "M02": ("1", {}),  # user content
    "M03": ("0..1", {"A": "1"}),  # submission time
    "M04": ("0", {"F": "1"}),  # external system
    "M05": ("0", {"B": "1"}),  # external provider
    "E01": ("*", {}),  # extensions; all stand in one element
    # EN 319 532-4 table C.27
    "Subject": ("0..1", {}),
    "UntrustedPathToRecipient": ("*", {}),
    "RelayEvidenceRefersTo": ("0", {"B": "*"}),
}
_BASELINE: Mapping[str, Row] = {
    **_GENERAL,
    "G04": ("0..1", _NEGATIVE | _POSITIVE_ONCE),
    "R01": ("2..*", {}),
    "I10": ("0..1", {"F.3": "0"} | dict.fromkeys(_SEVEN, "1")),
}
# where one of two shall be there (EN 319 522-2 table 13, notes)
ONE_OF: Mapping[ErdsEvent, tuple[str, str]] = MappingProxyType(
    dict.fromkeys(
        (ErdsEvent.CONSIGNMENT_ACCEPTANCE, ErdsEvent.CONSIGNMENT_REJECTION, ErdsEvent.CONTENT_HANDOVER), ("I12", "I13")
    )
)

# How often each component stands in an evidence.
COUNT: Mapping[str, Callable[[Evidence], int]] = MappingProxyType(
    {
        "G01": lambda one: bool(one.identifier),
        "G02": lambda one: one.is_erds,
        "G03": lambda one: one.erds_event is not None,
        "G04": lambda one: len(one.reasons),
        "G05": lambda one: one.event_time is not None,
        "G06": lambda one: len(one.log),
        "R01": lambda one: len([policy for policy in one.policies if policy]),
        "R02": lambda one: bool(one.issuer.name or one.issuer.identity),
        "I01": lambda one: bool(one.sender.identity),
        "I02": lambda one: bool(one.sender.address),
        "I03": lambda one: one.sender_delegate is not None and bool(one.sender_delegate.identity),
        "I04": lambda one: one.sender_delegate is not None and bool(one.sender_delegate.address),
        "I05": lambda one: len([each for each in one.recipients if each.identity]),
        "I06": lambda one: len([each for each in one.recipients if each.address]),
        "I07": lambda one: len([each for each in one.delegates if each.entity.identity]),
        "I08": lambda one: len([each for each in one.delegates if each.entity.address]),
        "I09": lambda one: one.refers_to is not None,
        "I10": lambda one: bool(one.sender.assurance and one.sender_authentication),
        "I11": lambda one: one.sender_delegate is not None and bool(one.sender_delegate.assurance),
        "I12": lambda one: len([each for each in one.recipients if each.assurance]),
        "I13": lambda one: len([each for each in one.delegates if each.entity.assurance]),
        "M01": lambda one: one.message is not None and bool(one.message.remmd_message_id),
        "M02": lambda one: one.message is not None and bool(one.message.digest),
        "M03": lambda one: one.submission_time is not None,
        "M04": lambda one: one.forwarded_to is not None,
        "M05": lambda one: one.external is not None,
        "E01": lambda one: len(one.extensions),
        "Subject": lambda one: one.message is not None and bool(one.message.subject),
        "UntrustedPathToRecipient": lambda one: len(one.untrusted_path),
        "RelayEvidenceRefersTo": lambda one: len(one.refers_to_several),
    }
)


class Rules(NamedTuple):
    """A table for every event: ``ranges[event][component]``, and the policies that every evidence must name."""

    ranges: Mapping[ErdsEvent, Mapping[str, Range]]
    policies: tuple[str, ...]


def _spread(rows: Mapping[str, Row], policies: tuple[str, ...]) -> Rules:
    def cell(row: Row, letter: str) -> Range:
        default, others = row
        return RANGES[others.get(letter, others.get(letter[0], default))]

    return Rules(
        MappingProxyType(
            {
                event: MappingProxyType({component: cell(row, rule.letter) for component, row in rows.items()})
                for event, rule in ERDS_EVENTS.items()
            }
        ),
        policies,
    )


GENERAL = _spread(_GENERAL, ())
REM_BASELINE = _spread(_BASELINE, (REM_BASELINE_POLICY,))


def check(evidence: Evidence, rules: Rules = REM_BASELINE) -> None:
    """Raise ValueError, naming the component, where the evidence is not what ``rules`` let an issuer write."""
    event = evidence.erds_event
    if event is None or not evidence.is_erds:
        raise ValueError(f"no evidence of EN 319 522: {evidence.element} {evidence.event}, version {evidence.version}")
    for component, (least, most) in rules.ranges[event].items():
        found = int(COUNT[component](evidence))
        if not least <= found <= most:
            raise ValueError(f"{event}: {component} stands {found} times, not {least} to {most}")
    pair = ONE_OF.get(event, ())
    if pair and not any(COUNT[component](evidence) for component in pair):
        raise ValueError(f"{event}: one of {' and '.join(pair)} shall be there")
    if missing := set(rules.policies) - set(evidence.policies):
        raise ValueError(f"{event}: R01 lacks {missing}")
    _check_reasons(evidence, event)
    indexes = [index for delegate in evidence.delegates for index in delegate.recipients]
    indexes += [*evidence.refers_to_several, *evidence.untrusted_path, evidence.refers_to or 1]
    if not all(1 <= index <= len(evidence.recipients) for index in indexes):
        raise ValueError("an index outside the recipients")
    if not all(entity.address for entity in evidence.recipients):
        raise ValueError("I06: a recipient without an address")
    if evidence.message is not None:
        check_details(evidence.message, notification=False)
        identifiers = (evidence.identifier, evidence.message.remmd_message_id)
        if any(character in identifier for identifier in identifiers for character in "<> \t\r\n"):
            raise ValueError("G01, M01: a msg-id with brackets or white space")  # EN 319 532-4 table C.18


def _check_reasons(evidence: Evidence, event: ErdsEvent) -> None:
    """G04: only the listed identifiers may be used (EN 319 522-2 8.2.4)."""
    for given in evidence.reasons:
        reason = erds_reason(given.reason, event)
        if reason not in ERDS_EVENTS[event].reasons or reason in ITALIAN or not isinstance(reason, ErdsReason):
            raise ValueError(f"{event}: G04 cannot be {reason!r}")
