"""The PROXY protocol: what is an address, what is none, and what is no header."""

import struct

import pytest

from kepgw.net import proxy
from kepgw.net.proxy import SIGNATURE, ProxyInvalid


def v2(command, family, rest):
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack(">H", len(rest)), rest


IPV4 = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + struct.pack(">HH", 4000, 465)
IPV6 = bytes.fromhex("20010db8000000000000000000000001") * 2 + struct.pack(">HH", 4000, 465)


@pytest.mark.parametrize(
    ("line", "address"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 465\r\n", "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 4000 465\r\n", "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    ],
)
def test_version_1(line, address):
    assert proxy.version(line[: proxy.START]) == 1
    assert proxy.read_v1(line) == address


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY TCP4 2001:db8::1 198.51.100.1 4000 465\r\n",
        b"PROXY TCP6 192.0.2.7 192.0.2.8 1 2\r\n",
        b"PROXY TCP4 192.0.2.700 198.51.100.1 4000 465\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 99999\r\n",
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 465\n",
        b"PROXY  TCP4 192.0.2.7 198.51.100.1 4000 465\r\n",
        b"PROXY UNKNOWN" + b"x" * 200 + b"\r\n",
        b"EHLO localhost\r\n",
    ],
)
def test_version_1_refused(line):
    with pytest.raises(ProxyInvalid):
        proxy.read_v1(line)


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (v2(1, 0x11, IPV4), "192.0.2.7"),
        (v2(1, 0x11, IPV4 + b"\x04\x00\x00"), "192.0.2.7"),  # additions are skipped
        (v2(1, 0x21, IPV6), "2001:db8::1"),
        (v2(1, 0x21, bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 7]) + IPV6[16:]), "192.0.2.7"),
        (v2(0, 0x00, b""), None),  # LOCAL: the proxy's own check
        (v2(0, 0x11, IPV4), None),
        (v2(1, 0x31, bytes(216)), None),  # a Unix socket
    ],
)
def test_version_2(header, address):
    start, rest = header
    assert proxy.version(start[: proxy.START]) == 2
    assert proxy.length_v2(start) == len(rest)
    assert proxy.read_v2(start, rest) == address


def test_version_2_refused():
    start, _ = v2(1, 0x11, IPV4)
    with pytest.raises(ProxyInvalid):
        proxy.read_v2(start, IPV4[:11])
    with pytest.raises(ProxyInvalid):
        proxy.length_v2(start[:12] + b"\x31" + start[13:])
    with pytest.raises(ProxyInvalid):
        proxy.length_v2(start[:12] + b"\x22" + start[13:])
    with pytest.raises(ProxyInvalid):
        proxy.length_v2(start[:14] + b"\xff\xff")
    with pytest.raises(ProxyInvalid):
        proxy.version(b"EHLO local\r\n")
