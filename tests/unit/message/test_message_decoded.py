"""Size before transfer encoding, from the structure alone."""

import base64

import pytest

from kepgw.message.decoded import content_octets
from kepgw.message.rendering import render


def message(body, encoding="base64", kind="application/pdf"):
    head = f"From: <a@hs90.kep.tr>\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + body


def lines(octets, width=76):
    text = base64.b64encode(octets)
    return b"\r\n".join(text[at : at + width] for at in range(0, len(text), width)) + b"\r\n"


def measure(octets):
    return content_octets(render(octets), len(octets))


@pytest.mark.parametrize("count", [0, 1, 57, 100, 5000, 1_000_003])
@pytest.mark.parametrize("width", [60, 64, 76])
def test_base64_counts_as_what_it_encodes(count, width):
    octets = message(lines(b"\0" * count, width))
    head = len(message(b""))
    assert measure(octets) - head == pytest.approx(count, rel=0.012, abs=6)


@pytest.mark.parametrize("encoding", ["7bit", "8bit", "quoted-printable", "x-unknown"])
def test_all_else_counts_as_it_stands(encoding):
    octets = message(b"=41" * 500, encoding, "text/plain")
    assert measure(octets) == len(octets)


def test_parts_inside_parts_are_counted_once():
    attachment = message(lines(b"\1" * 30_000))
    inner = b"Content-Type: message/rfc822\r\n\r\n" + attachment
    head = b"From: <a@hs90.kep.tr>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    octets = head + b"--b\r\n" + inner + b"\r\n--b\r\n" + attachment + b"\r\n--b--\r\n"
    assert measure(octets) == pytest.approx(60_000, rel=0.02)
    assert measure(octets) <= len(octets)


def test_a_multipart_that_calls_itself_base64_gains_nothing():
    octets = message(b"x" * 10_000, "base64", "multipart/mixed; boundary=b")
    assert len(octets) * 0.7 < measure(octets) <= len(octets)
