"""The sender's own signature inside an original, as a judgement shows it."""

from datetime import UTC, datetime

import pytest
from nes import PART, Eshs, by_openssl, headers, wrap

from kepgw.trust.sendercheck import sender_checks
from kepgw.trust.trusted import Trusted

NOW = datetime.now(UTC)
ENVELOPE = b"head of the dispatch"


@pytest.fixture(scope="module")
def eshs():
    return Eshs(at=NOW)


def checked(original, *anchors):
    span = (len(ENVELOPE), len(ENVELOPE) + len(original))
    trusted = Trusted(sender_anchors=anchors)
    return sender_checks(ENVELOPE + original + b"tail", span, trusted, NOW)


def test_one_that_holds_names_the_signer(eshs):
    original = wrap(PART, by_openssl(PART, eshs.issue("Ali Yılmaz")))
    (check,) = checked(original, eshs.der())
    assert (check.name, check.verdict, check.sub) == ("sender", "ok", None)
    assert "Ali Yılmaz tarafından imzalanmış (QES" in check.sentence("tr")
    assert "signed by Ali Yılmaz (QES" in check.sentence("en")


def test_an_authority_that_nobody_trusts_is_said(eshs):
    original = wrap(PART, by_openssl(PART, eshs.issue("Ali Yılmaz")))
    for anchors in ((), (Eshs(at=NOW).der(),)):
        (check,) = checked(original, *anchors)
        assert check.verdict == "not checked"
        assert "güvendikleriniz arasında değil" in check.sentence("tr")


def test_one_that_does_not_hold_only_warns(eshs):
    original = wrap(PART, by_openssl(PART, eshs.issue("Ali Yılmaz")))
    (check,) = checked(original.replace(PART[-12:], PART[-12:].swapcase()), eshs.der())
    assert check.verdict == "warning"
    assert check.sub is not None
    assert "geçerli değil" in check.sentence("tr")


def test_none_is_no_check():
    assert checked(headers() + b"\r\nmerhaba\r\n") == []
    assert sender_checks(b"", None, Trusted(), NOW) == []
