"""Every cell of EN 319 522-2 table 13 and of EN 319 532-4 table C.27, written down here once more and tried."""

from dataclasses import replace

import pytest
from erds_samples import LEVEL, make_delegate, make_erds

from kepgw.evidence.en319522 import with_reason
from kepgw.evidence.en319522_cardinality import COUNT, GENERAL, ONE_OF, REM_BASELINE, check
from kepgw.evidence.en319522_codes import ERDS_EVENTS, REM_BASELINE_POLICY, ErdsEvent, ErdsReason
from kepgw.evidence.identity import person_identifier
from kepgw.evidence.model import Authentication, Entity, Extension, GivenReason, Issuer

# as printed: one column an event; where * is printed for the reason of a negative event it "shall appear"
TABLE_13 = """
        A.1  A.2  B.1  B.2  B.3  C.1  C.2  C.3  C.4  C.5  D.1  D.2  D.3  D.4  E.1  E.2  F.1  F.2  F.3
G01     1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1
G04     0..1 1..* 0..1 1..* 1..* 0..1 1..* 0..1 1..* 1..* 0..1 1..* 0..1 1..* 0..1 1..* 0..1 1..* 0..1
G06     *    *    *    *    *    *    *    *    *    *    *    *    *    *    *    *    *    *    *
R01     1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..*
R02     1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1
I01     0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1
I02     1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    0..1
I03     0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0
I04     0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0
I05     *    *    *    *    *    *    *    *    *    *    *    *    *    *    *    *    *    *    *
I06     1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..* 1..*
I07     0    0    0    0    0    0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0    0    0
I08     0    0    0    0    0    0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0    0    0
I09     0    0    0    0    0    1    1    1    1    1    1    1    1    1    1    1    0    0    0
I10     0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0
I11     0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0
I12     0    0    0    0    0    0    0    0..1 0..1 0    0    0    0..1 0    0..1 0    0    0    0
I13     0    0    0    0    0    0    0    0..1 0..1 0    0    0    0..1 0    0..1 0    0    0    0
M01     1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1
M02     1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1    1
M03     1    1    0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1 0..1
M04     0    0    0    0    0    0    0    0    0    0    0    0    0    0    0    0    1    1    1
M05     0    0    1    1    1    0    0    0    0    0    0    0    0    0    0    0    0    0    0
E01     *    *    *    *    *    *    *    *    *    *    *    *    *    *    *    *    *    *    *
"""
# the seven of table C.27, where it differs; the last three rows are its additions
TABLE_C27 = """
                          A.1  A.2  B.1  B.2  B.3  D.1  D.2
G04                       1    1..* 1    1..* 1..* 1    1..*
R01                       2..* 2..* 2..* 2..* 2..* 2..* 2..*
I10                       1    1    1    1    1    1    1
I12                       0    0    0    0    0    0    0
M04                       0    0    0    0    0    0    0
Subject                   0..1 0..1 0..1 0..1 0..1 0..1 0..1
UntrustedPathToRecipient  *    *    *    *    *    *    *
RelayEvidenceRefersTo     0    0    *    *    *    0    0
"""
ENDS = {"0": (0, 0), "0..1": (0, 1), "1": (1, 1), "*": (0, 99), "1..*": (1, 99), "2..*": (2, 99)}
EVENTS = {event.letter: event for event in ErdsEvent}
PERSON = (person_identifier("x@hs90.kep.tr", "TR", "TR"),)


def cells(table: str) -> dict[tuple[str, str], tuple[int, int]]:
    head, *rows = table.strip("\n").splitlines()
    letters = head.split()
    return {
        (letter, row.split()[0]): ENDS[cell]
        for row in rows
        for letter, cell in zip(letters, row.split()[1:], strict=True)
    }


PRINTED_13 = cells(TABLE_13)
PRINTED_C27 = {key: ends for key, ends in PRINTED_13.items() if key[0] in "A.1 A.2 B.1 B.2 B.3 D.1 D.2"} | cells(
    TABLE_C27
)


def _delegate(one, count, **kind):
    entity = replace(
        one.sender_delegate or Entity(""), **{name: value if count else type(value)() for name, value in kind.items()}
    )
    return replace(one, sender_delegate=entity if entity != Entity("") else None)


def _deputies(one, count, **kind):
    given = [
        replace(each, entity=replace(each.entity, **{name: type(value)() for name, value in kind.items()}))
        for each in one.delegates
    ]
    given += [replace(make_delegate(1), entity=Entity("")) for _ in range(count - len(given))]
    filled = [
        replace(each, entity=replace(each.entity, **kind)) if place < count else each
        for place, each in enumerate(given)
    ]
    return replace(one, delegates=tuple(each for each in filled if each.entity != Entity("")))


def _recipients(one, count, **kind):
    """Of three recipients so many with ``kind``."""
    blank = {name: type(value)() for name, value in kind.items()}
    three = (*one.recipients, Entity("a@hs91.kep.tr"))[:3]
    return replace(
        one, recipients=tuple(replace(each, **(kind if at < count else blank)) for at, each in enumerate(three))
    )


# what gives an evidence so many of a component; None where it cannot have so many
SET = {
    "G01": lambda one, n: replace(one, identifier="x@y" * n) if n < 2 else None,
    "G04": lambda one, n: replace(one, reasons=(GivenReason(ERDS_EVENTS[one.erds_event].reasons[0]),) * n),
    "G06": lambda one, n: replace(one, log=("satır",) * n),
    "R01": lambda one, n: replace(one, policies=(REM_BASELINE_POLICY, *(f"urn:p:{i}" for i in range(3)))[:n]),
    "R02": lambda one, n: replace(one, issuer=Issuer("", "x" * n, "")) if n < 2 else None,
    "I01": lambda one, n: replace(one, sender=replace(one.sender, identity=PERSON * n)) if n < 2 else None,
    "I02": lambda one, n: replace(one, sender=replace(one.sender, address="a@b" * n)) if n < 2 else None,
    "I03": lambda one, n: _delegate(one, n, identity=PERSON) if n < 2 else None,
    "I04": lambda one, n: _delegate(one, n, address="v@hs90.kep.tr") if n < 2 else None,
    "I05": lambda one, n: _recipients(one, n, identity=PERSON),
    "I06": lambda one, n: replace(one, recipients=(one.recipients * 2)[:n], refers_to=one.refers_to and 1),
    "I07": lambda one, n: _deputies(one, n, identity=PERSON),
    "I08": lambda one, n: _deputies(one, n, address="v@hs91.kep.tr"),
    "I09": lambda one, n: replace(one, refers_to=n or None) if n < 2 else None,
    "I10": lambda one, n: replace(
        one,
        sender=replace(one.sender, assurance=LEVEL * n),
        sender_authentication=Authentication(one.event_time, "Basic") if n else None,
    ) if n < 2 else None,
    "I11": lambda one, n: _delegate(one, n, assurance=LEVEL) if n < 2 else None,
    "I12": lambda one, n: _recipients(one, n, assurance=LEVEL),
    "I13": lambda one, n: _deputies(one, n, assurance=LEVEL),
    "M01": lambda one, n: replace(one, message=replace(one.message, remmd_message_id="a@b" * n)) if n < 2 else None,
    "M02": lambda one, n: replace(one, message=replace(one.message, digest=bytes(32) * n)) if n < 2 else None,
    "M03": lambda one, n: replace(one, submission_time=one.event_time if n else None) if n < 2 else None,
    "M04": lambda one, n: replace(one, forwarded_to="mail" if n else None) if n < 2 else None,
    "M05": lambda one, n: replace(one, external=Issuer("", "y", "") if n else None) if n < 2 else None,
    "E01": lambda one, n: replace(one, extensions=(Extension(b"<a/>"),) * n),
    "Subject": lambda one, n: replace(one, message=replace(one.message, subject="s" * n)) if n < 2 else None,
    "UntrustedPathToRecipient": lambda one, n: replace(one, untrusted_path=(1, 2, 1)[:n]),
    "RelayEvidenceRefersTo": lambda one, n: replace(one, refers_to_several=(1, 2, 1)[:n]),
}  # fmt: skip


def test_the_tables_have_the_printed_size():
    assert len(PRINTED_13) == 24 * 19
    assert {key[1] for key in PRINTED_C27} == set(SET)
    assert set(COUNT) - set(SET) == {"G02", "G03", "G05"}  # an evidence cannot be without them


@pytest.mark.parametrize("event", ErdsEvent)
def test_least_evidence_is_allowed(event):
    check(make_erds(event), GENERAL)
    check(with_reason(make_erds(event)), REM_BASELINE)


def allowed(one, rules) -> bool:
    try:
        check(one, rules)
    except ValueError:
        return False
    return True


def tries(printed):
    return [pytest.param(*key, ends, id=" ".join(key)) for key, ends in printed.items()]


def try_cell(letter, component, ends, rules):
    base = make_erds(EVENTS[letter])
    if EVENTS[letter] in ONE_OF and component in ("I06", "I12"):
        # the delegate's assurance stands in for the recipient's
        base = _deputies(_recipients(base, 0, assurance=LEVEL), 1, assurance=LEVEL)
    seen = 0
    for count in range(4):
        one = SET[component](base, count)
        if one is None:
            continue
        assert COUNT[component](one) == count
        seen += 1
        assert allowed(one, rules) is (ends[0] <= count <= ends[1]), (component, count)
    assert seen >= 2


@pytest.mark.parametrize(("letter", "component", "ends"), tries(PRINTED_13))
def test_each_cell_of_table_13(letter, component, ends):
    try_cell(letter, component, ends, GENERAL)


@pytest.mark.parametrize(("letter", "component", "ends"), tries(PRINTED_C27))
def test_each_cell_of_table_c27(letter, component, ends):
    try_cell(letter, component, ends, REM_BASELINE)


@pytest.mark.parametrize("letter", ["C.3", "C.4", "E.1"])
def test_assurance_of_the_recipient_or_of_the_delegate_shall_be_there(letter):
    base = make_erds(EVENTS[letter])
    without = _recipients(base, 0, assurance=LEVEL)
    with pytest.raises(ValueError, match="one of I12 and I13"):
        check(without, GENERAL)
    check(_deputies(without, 1, assurance=LEVEL), GENERAL)


@pytest.mark.parametrize("event", ErdsEvent)
def test_only_the_listed_reasons(event):
    for reason in ErdsReason:
        one = make_erds(event, reasons=(GivenReason(reason),))
        listed = reason in ERDS_EVENTS[event].reasons and not reason.name.endswith("51")
        assert allowed(one, REM_BASELINE) is listed, reason
    assert not allowed(make_erds(event, reasons=(GivenReason("urn:example:why"),)), REM_BASELINE)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"policies": ("urn:a", "urn:b")}, "R01 lacks"),
        ({"version": "2"}, "no evidence of EN 319 522"),
        ({"refers_to": 3}, "index"),
        ({"untrusted_path": (3,)}, "index"),
        ({"identifier": "<x@y>"}, "brackets"),
        ({"identifier": "x@y z"}, "white space"),
        ({"recipients": (Entity("a@b"), Entity(""))}, "I06"),
        ({"delegates": (make_delegate(7),)}, "index"),
    ],
)
def test_what_is_wrong_elsewhere(changes, word):
    with pytest.raises(ValueError, match=word):
        check(make_erds(ErdsEvent.CONTENT_CONSIGNMENT, **changes))
