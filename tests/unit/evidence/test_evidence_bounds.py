"""What passes the bounds is whole BER that is neither deep nor wide; all else is refused before anybody reads it."""

import pytest
from asn1crypto import core
from hypothesis import given
from hypothesis import strategies as st

from kepgw.errors import FormatError
from kepgw.evidence import bounds
from kepgw.evidence.ers_der import sequence, tlv


def nested(depth, inner=b""):
    for _ in range(depth):
        inner = sequence([inner])
    return inner


GOOD = [
    b"\x05\x00",
    b"\x30\x00",
    b"\x30\x80\x00\x00",
    b"\x30\x80\x30\x80\x00\x00\x05\x00\x00\x00",
    b"\x30\x82\x00\x02\x05\x00",  # more octets of length than needed
    b"\x24\x80\x04\x01x\x00\x00",
    nested(32, b"\x05\x00"),
    sequence([b"\x05\x00"] * 4000),
    tlv(0x02, bytes(1024)),
]
BAD = {
    "nothing": b"",
    "a tag alone": b"\x30",
    "cut off in the length": b"\x30\x82\x01",
    "cut off in the value": b"\x04\x03ab",
    "longer than its holder": b"\x30\x02\x04\x03abc",
    "longer than its holder, inside an open one": b"\x30\x04\x30\x80\x04\x03abc\x00\x00",
    "octets behind": b"\x05\x00\x00",
    "an open element without end": b"\x30\x80\x05\x00",
    "an open primitive": b"\x04\x80ab\x00\x00",
    "five octets of length": b"\x30\x85\x00\x00\x00\x00\x00",
    "a long tag": b"\x3f\x81\x01\x00",
    "too deep": nested(40),
    "too deep and open": b"\x30\x80" * 40 + b"\x00\x00" * 40,
    "too many": sequence([b"\x05\x00"] * 6000),
    "a large number": tlv(0x02, bytes(1025)),
    "a long identifier": tlv(0x06, b"\x81" * 64 + b"\x01"),
    "a long time": tlv(0x18, b"9" * 65),
    "a long truth": tlv(0x01, b"\xff\xff"),
}


@pytest.mark.parametrize("octets", GOOD, ids=lambda octets: octets[:8].hex())
def test_within(octets):
    bounds.check(octets)


@pytest.mark.parametrize("name", BAD)
def test_beyond(name):
    with pytest.raises(FormatError):
        bounds.check(BAD[name])


def test_what_is_closed_is_passed_over():
    wide = sequence([b"\x05\x00"] * 9000)
    closed = {0x30: {0xA0: None, 0xA1: {0x30: None}}}
    bounds.check(sequence([tlv(0xA0, wide)]), closed)
    bounds.check(sequence([tlv(0xA1, wide)]), closed)
    with pytest.raises(FormatError, match="too many"):
        bounds.check(sequence([tlv(0xA2, wide)]), closed)
    with pytest.raises(FormatError, match="too many"):  # many closed ones are many
        bounds.check(sequence([tlv(0xA1, b"\x30\x00" * 9000)]), closed)
    with pytest.raises(FormatError, match="too many"):  # where the length is open everything has to be seen
        bounds.check(b"\x30\x80\xa0\x80" + b"\x05\x00" * 9000 + b"\x00\x00\x00\x00", closed)


@given(
    st.recursive(st.binary(max_size=8).map(lambda octets: tlv(4, octets)), lambda inner: st.lists(inner).map(sequence))
)
def test_everything_small_passes(octets):
    bounds.check(octets)


@given(st.binary(max_size=60))
def test_what_passes_asn1crypto_takes_for_one_element(octets):
    try:
        bounds.check(octets)
    except FormatError:
        return
    if octets[0]:  # end of contents alone is an element to us and nothing to asn1crypto
        header = octets[0] & 0xC0
        if header == 0:
            core.Any.load(octets, strict=True)
