import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kepgw.message.octets import OctetCheck
from kepgw.refusals import Refusal


def verdict(octets: bytes, cuts: list[int] | None = None) -> str:
    check = OctetCheck()
    at = 0
    for cut in sorted(cuts or []):
        check.feed(octets[at:cut])
        at = max(at, cut)
    check.feed(octets[at:])
    result = check.result()
    assert (result.size, result.sha256) == (len(octets), hashlib.sha256(octets).digest())
    assert result.eight_bit == any(octet > 127 for octet in octets)
    try:
        check.finish()
    except Refusal as refusal:
        return refusal.key
    return "good"


def by_line(octets: bytes) -> str:
    """The same rules, written the slow and obvious way."""
    run = 0
    for at, octet in enumerate(octets):
        run += 1
        if octet == 0:
            return "nul-octet"
        if run >= 1000 and octet != 10:
            return "line-too-long"
        if octet == 13 and octets[at + 1 : at + 2] not in (b"\n", b""):
            return "bare-line-end"
        if octet == 10:
            if octets[at - 1 : at] != b"\r" or at == 0:
                return "bare-line-end"
            run = 0
    return "good" if octets.endswith(b"\r\n") else "bare-line-end"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"a\r\n", "good"),
        (b"\r\n", "good"),
        (b"", "bare-line-end"),
        (b"a", "bare-line-end"),
        (b"a\r", "bare-line-end"),
        (b"a\n", "bare-line-end"),
        (b"a\rb\r\n", "bare-line-end"),
        (b"a\r\r\n", "bare-line-end"),
        (b"a\n\r\n", "bare-line-end"),
        (b"\n\r\n", "bare-line-end"),
        (b"a\0\r\n", "nul-octet"),
        (b"a" * 998 + b"\r\n", "good"),
        (b"a" * 999 + b"\r\n", "line-too-long"),
        (b"x\r\n" + b"a" * 998 + b"\r\n" + b"a" * 999 + b"\r\n", "line-too-long"),
        ("ş".encode() * 499 + b"\r\n", "good"),
    ],
)
def test_rules(octets: bytes, expected: str) -> None:
    assert verdict(octets) == expected
    assert by_line(octets) == expected
    assert verdict(octets, list(range(len(octets)))) == expected


# long runs of few letters, so that line ends, breaches and chunk borders meet
_pieces = st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b"\0", b"a", b"\xc5", b"a" * 497, b"b" * 998, b"c" * 999, b"a" * 78 + b"\r\n"]
    ),
    max_size=12,
)


@given(_pieces, st.lists(st.integers(0, 4000), max_size=8), st.booleans())
def test_verdict_does_not_depend_on_chunk_borders(pieces: list[bytes], cuts: list[int], ends: bool) -> None:
    octets = b"".join(pieces) + (b"\r\n" if ends else b"")
    assert verdict(octets) == verdict(octets, cuts) == by_line(octets)


def test_last_chunk_is_named_so() -> None:
    check = OctetCheck()
    check.feed(memoryview(b"no line end"))
    with pytest.raises(Refusal) as caught:
        check.finish(chunking=True)
    assert caught.value.key == "last-chunk"


def test_refusal_is_known_at_once_and_the_digest_still_covers_all() -> None:
    check = OctetCheck()
    check.feed(b"a\nb\r\n")
    assert check.refusal is not None
    check.feed(b"more\r\n")
    assert check.result().sha256 == hashlib.sha256(b"a\nb\r\nmore\r\n").digest()
