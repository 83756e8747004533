"""Dot transparency against a slow definition that goes line by line."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kepgw.smtp.data import DataReader, DataWriter

# octets that matter, and one that does not
octets = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"a", b"\r\n.", b"\r\n.\r\n"]), max_size=40).map(
    b"".join
)


def definition(wire):
    """RFC 5321 4.5.2 read aloud: lines end in CRLF; a line of one dot ends; else a first dot goes."""
    content = b""
    while True:
        line, end, wire = wire.partition(b"\r\n")
        if not end:
            return None
        if line == b".":
            return content, wire
        content += line.removeprefix(b".") + end


def read(chunks):
    reader, content, rest = DataReader(), b"", b""
    for chunk in chunks:
        if reader.done:
            rest += chunk
        else:
            content += reader.feed(chunk)
    return (content, reader.rest + rest) if reader.done else None


def cut(data, places):
    places = sorted(place % (len(data) + 1) for place in places)
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@given(octets, st.lists(st.integers(0, 200), max_size=12))
@example(b".\r\n", [1, 2])
@example(b"..\r\n.\r\nQUIT\r\n", [1, 2, 3, 4, 5])
def test_any_cut_reads_as_the_definition(wire, places):
    assert read(cut(wire, places)) == definition(wire)
    assert read([bytes([octet]) for octet in wire]) == definition(wire)


@given(octets, st.lists(st.integers(0, 200), max_size=8), st.lists(st.integers(0, 300), max_size=8))
def test_what_is_written_is_read(content, places, cuts):
    content = content + b"\r\n" if content and not content.endswith(b"\r\n") else content
    writer = DataWriter()
    wire = b"".join(writer.feed(chunk) for chunk in cut(content, places)) + writer.finish()
    assert read(cut(wire + b"QUIT\r\n", cuts)) == (content, b"QUIT\r\n")


@pytest.mark.parametrize(
    "middle",
    [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r\n\x00.\r\n", b"\r\n.\0\r\n"],
)
def test_no_other_end_is_an_end(middle):
    reader = DataReader()
    content = reader.feed(b"a" + middle + b"MAIL FROM:<x@y>\r\n")
    assert not reader.done
    assert b"MAIL FROM" in content
    reader.feed(b".\r\n")
    assert reader.done
    with pytest.raises(ValueError, match="ended"):
        reader.feed(b"x")


def test_content_without_a_last_crlf_is_given_one():
    writer = DataWriter()
    assert writer.feed(b"a") + writer.finish() == b"a\r\n.\r\n"
    assert DataWriter().finish() == b".\r\n"
