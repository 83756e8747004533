from pathlib import Path

import pytest

from kepgw.message.envelope import open_envelope
from kepgw.message.form import Span, rem_baseline, tr_kep
from kepgw.message.headers import fields, first, split
from kepgw.refusals import Refusal

VECTORS = Path(__file__).parents[3].parent / "shared" / "vectors" / "etsi-rem-baseline"
ORIGINAL = b"From: a@b\r\nMessage-Id:\r\n <1@x>\r\nSubject: y\r\n\r\nbody\r\n"


def test_tr_kep_is_the_original_itself() -> None:
    form = tr_kep(len(ORIGINAL))
    assert form == (Span(0, len(ORIGINAL)),)
    assert form.octets(ORIGINAL) == ORIGINAL
    assert form.size == len(ORIGINAL)


def test_rem_baseline_changes_one_line() -> None:
    form = rem_baseline(ORIGINAL[: split(ORIGINAL)[0]], len(ORIGINAL), "<new@hs90.kep.tr>")
    expected = ORIGINAL.replace(
        b"Message-Id:\r\n <1@x>\r\n", b"Message-ID: <new@hs90.kep.tr>\r\nREM-UAMessageIdentifier: <1@x>\r\n"
    )
    assert form.octets(memoryview(ORIGINAL)) == expected
    assert form.size == len(expected)
    assert list(form.chunks(ORIGINAL, 7)) != [expected]
    assert b"".join(form.chunks(ORIGINAL, 7)) == expected


@pytest.mark.parametrize("header", [b"From: a@b\r\n", b"Message-ID: <1@x>\r\nMESSAGE-ID: <2@x>\r\n"])
def test_rem_baseline_needs_one_message_id(header: bytes) -> None:
    with pytest.raises(Refusal, match="message-id"):
        rem_baseline(header, 100, "<new@x>")


@pytest.mark.oracle
@pytest.mark.skipif(not VECTORS.exists(), reason="the golden messages are not beside the checkout")
@pytest.mark.parametrize("scenario", ["S1", "S3", "S4"])
def test_rem_baseline_is_what_the_golden_dispatch_holds(scenario: str) -> None:
    original = (VECTORS / f"{scenario}_original_message.eml").read_bytes()
    dispatch = (VECTORS / f"{scenario}_REM_Dispatch.RA01.eml").read_bytes()
    envelope = open_envelope(dispatch)
    assert envelope.original is not None
    sealed = dispatch[slice(*envelope.original)]
    new = first(fields(sealed), "message-id")
    assert new is not None
    form = rem_baseline(original[: split(original)[0]], len(original), new.value.decode())
    assert form.octets(original) == sealed
