"""The table between evidence and delivery status notifications, cell by cell."""

import re

import pytest

from kepgw.evidence.codes import KEP_CODES, KepCode, Reason
from kepgw.evidence.en319522_codes import ErdsReason
from kepgw.evidence.outcomes import OUTCOMES, STATUSES, status_of
from kepgw.refusals import REFUSALS

ACTIONS = {  # KEP code: action, status without a reason, the word of NOTIFY
    10: None,
    11: ("failed", "5.0.0", "FAILURE"),
    20: ("relayed", "2.0.0", "SUCCESS"),
    21: ("failed", "5.0.0", "FAILURE"),
    31: ("failed", "4.4.7", "FAILURE"),
    40: ("delivered", "2.0.0", "SUCCESS"),
    41: ("failed", "4.4.7", "FAILURE"),
    60: None,
    61: None,
}
CELLS = [(code, reason) for code in (11, 21, 31, 41) for reason in Reason]


@pytest.mark.parametrize("code", KepCode)
def test_the_action_of_each_code(code: KepCode) -> None:
    assert OUTCOMES[code] == ACTIONS[int(code)]
    outcome = OUTCOMES[code]
    if outcome is None:
        with pytest.raises(KeyError):
            status_of(code, ())
        return
    assert status_of(code, ()) == outcome.status
    assert (outcome.action != "failed") == (outcome.status[0] == "2") == KEP_CODES[code].positive


@pytest.mark.parametrize(("code", "reason"), CELLS)
def test_the_status_of_each_failure(code: int, reason: Reason) -> None:
    status = status_of(KepCode(code), [reason])
    assert re.fullmatch(r"[45]\.[0-7]\.[0-9]{1,3}", status)
    assert status == STATUSES[reason]


@pytest.mark.parametrize("reason", sorted({rule.reason for rule in REFUSALS.values() if rule.code >= 500}))
def test_the_status_is_one_that_the_same_rule_replies_with(reason: str) -> None:
    replied = {rule.enhanced for rule in REFUSALS.values() if rule.reason == reason and rule.code >= 500}
    assert STATUSES[Reason(reason)] in replied


def test_reasons_that_differ_or_are_unknown_say_no_more_than_the_code() -> None:
    assert status_of(KepCode.RED, [Reason.MALWARE_FOUND, Reason.UNKNOWN_RECIPIENT]) == "5.0.0"
    assert status_of(KepCode.RED, [Reason.MALWARE_FOUND, Reason.POLICY_VIOLATION]) == "5.7.1"
    assert status_of(KepCode.ILETILMEDI, ["urn:x"]) == "5.0.0"
    assert status_of(KepCode.ULASILAMADI, [ErdsReason.RB22]) == "4.4.7"
