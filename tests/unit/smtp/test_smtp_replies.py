"""Replies: built within their bounds, and read from peers within theirs."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kepgw.smtp
from kepgw.refusals import Refusal
from kepgw.smtp import replies
from kepgw.smtp.replies import REPLIES, Reply, ReplyInvalid, ReplyReader
from kepgw.texts import catalogue

ROOM = Path(kepgw.smtp.__file__).parent


def test_every_reply_has_its_texts_and_each_is_used():
    source = "".join(path.read_text() for path in ROOM.glob("*.py") if path.name != "replies.py")
    used = set(re.findall(r'"(smtp-[a-z0-9-]+)"', source))
    assert used == set(REPLIES)
    assert {key for key in catalogue() if key.startswith("smtp-")} == set(REPLIES)


def test_classes_of_code_and_enhanced_code_agree():
    for key, (code, enhanced) in REPLIES.items():
        assert not enhanced or enhanced[0] == str(code)[0], key


@given(st.lists(st.text(max_size=1500), min_size=1, max_size=4))
def test_no_text_breaks_out_of_its_lines(sentences):
    octets = replies.lines(250, "2.0.0", *sentences)
    reader = ReplyReader()
    reader.feed(octets)
    reply = reader.next()
    assert reply is not None
    assert reply.code == 250
    assert reader.next() is None
    assert reader.clean
    assert all(len(line) <= 512 for line in octets.split(b"\n"))
    assert re.fullmatch(rb"(?:250-2\.0\.0 [\x20-\x7e]*\r\n)*250 2\.0\.0[\x20-\x7e]*\r\n", octets)


def test_a_refusal_shows_nothing_private():
    octets = replies.refused(Refusal("unknown-recipient", "SELECT secret", recipient="a\r\n250 b@c"))
    assert octets.count(b"\r\n") == 1
    assert octets.startswith(b"550 5.1.1 ")
    assert b"secret" not in octets


def test_reading_in_pieces():
    reader = ReplyReader()
    for octet in b"250-hs91\r\n250-SIZE 10\r\n250 8BITMIME\r\n451 4.3.0 later\n220":
        reader.feed(bytes([octet]))
    assert reader.next() == Reply(250, ("hs91", "SIZE 10", "8BITMIME"))
    later = reader.next()
    assert str(later) == "451 4.3.0 later"
    assert not later.good
    assert not later.permanent
    assert reader.next() is None
    assert not reader.clean


@pytest.mark.parametrize(
    "octets", [b"hello\r\n", b"250-a\r\n251 b\r\n", b"250-a\r\n" * 129, b"2" * 2048, b"999 x\r\n", b"250x\r\n"]
)
def test_what_is_no_reply(octets):
    reader = ReplyReader()
    reader.feed(octets)
    with pytest.raises(ReplyInvalid):
        reader.next()
