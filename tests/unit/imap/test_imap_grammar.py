"""Every construct writes what it reads; nothing but ParseError comes out of hostile octets."""

import contextlib
import unicodedata
from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kepgw.errors import FormatError
from kepgw.imap import grammar as g
from kepgw.imap import grammar_command as c
from kepgw.imap import grammar_fetch as f
from kepgw.imap import grammar_search as s
from kepgw.imap import utf7

octets = st.binary(max_size=60).map(lambda value: value.replace(b"\0", b"x"))
names = st.text(st.characters(exclude_categories=("Cs",)), max_size=30).filter(lambda name: "\0" not in name)
atoms = st.text("abcXYZ019$-_.", min_size=1, max_size=12).map(str.encode)
numbers = st.integers(1, g.MAX_NUMBER)
flags = st.one_of(
    st.sampled_from(("\\Seen", "\\Deleted", "\\Draft", "\\Answered", "\\Flagged")),
    st.text("abcX$", min_size=1, max_size=8),
)
flag_lists = st.lists(flags, max_size=5).map(lambda each: g.FlagList(tuple(each)))
sets = st.lists(st.tuples(st.integers(0, g.MAX_NUMBER), st.integers(0, g.MAX_NUMBER)), min_size=1, max_size=6).map(
    lambda pairs: g.SequenceSet(tuple(pairs))
)
days = st.dates(date(1000, 1, 1), date(9999, 1, 1)).map(g.Day)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(1000, 1, 2), datetime(9999, 1, 1), timezones=zones).map(  # noqa: DTZ001
    lambda value: value.replace(microsecond=0)
)
sections = st.builds(
    f.Section,
    st.lists(st.integers(1, 99), max_size=5).map(tuple),
    st.sampled_from((b"", b"HEADER", b"TEXT")),
) | st.builds(
    f.Section,
    st.lists(st.integers(1, 99), min_size=1, max_size=5).map(tuple),
    st.sampled_from((b"HEADER.FIELDS", b"HEADER.FIELDS.NOT")),
    st.lists(octets.filter(bool), min_size=1, max_size=3).map(tuple),
)
items = st.builds(f.FetchItem, st.sampled_from(sorted(f.PLAIN))) | st.builds(
    f.FetchItem,
    st.just(b"BODY"),
    sections,
    st.booleans(),
    st.none() | st.tuples(st.integers(0, g.MAX_NUMBER), numbers),
)
plain_keys = st.one_of(
    st.sampled_from((b"ALL", b"SEEN", b"NEW", b"UNDELETED")).map(s.Plain),
    st.builds(s.Keyword, atoms, st.booleans()),
    st.builds(s.Contains, st.sampled_from((b"BODY", b"TO", b"TEXT")), octets),
    st.builds(s.Header, octets, octets),
    st.builds(s.OnDay, st.sampled_from((b"SINCE", b"SENTON")), days),
    st.builds(s.Size, st.sampled_from((b"LARGER", b"SMALLER")), st.integers(0, g.MAX_NUMBER)),
    st.builds(s.Numbers, sets, st.booleans()),
)
keys = st.recursive(
    plain_keys,
    lambda inner: st.one_of(
        st.builds(s.Not, inner),
        st.builds(s.Or, inner, inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: s.And(tuple(each))),
    ),
    max_leaves=8,
)
searches = st.builds(
    s.Search, st.lists(keys, min_size=1, max_size=4).map(tuple), st.none() | st.sampled_from((b"UTF-8", b"x"))
)
fetches = st.builds(
    c.Fetch,
    sets,
    st.lists(items, min_size=1, max_size=5, unique=True).map(lambda each: f.FetchItems(tuple(each))),
)
option_lists = st.lists(st.sampled_from(sorted(c.SELECTIONS)), unique=True).map(tuple)
return_lists = st.none() | st.lists(st.sampled_from(sorted(c.RETURNS)), unique=True).map(tuple)
ids = st.none() | st.lists(st.tuples(octets, st.none() | octets), max_size=4).map(tuple)
status_lists = st.lists(st.sampled_from(sorted(c.STATUS_ITEMS)), min_size=1, unique=True).map(tuple)
arguments = {
    b"NOOP": st.just(c.Nothing()),
    b"LOGIN": st.builds(c.Login, octets, octets),
    b"AUTHENTICATE": st.builds(c.Authenticate, st.just(b"PLAIN"), st.none() | st.just(b"AGEAYg==")),
    b"SELECT": st.builds(c.Named, names),
    b"RENAME": st.builds(c.Rename, names, names),
    b"LIST": st.builds(c.List, names, st.tuples(names), option_lists, return_lists)
    | st.builds(
        c.List, names, st.lists(names, min_size=1, max_size=3).map(tuple), option_lists, return_lists, st.just(True)
    ),
    b"STATUS": st.builds(c.Status, names, status_lists),
    b"APPEND": st.builds(c.Append, names, st.none() | flag_lists, st.none() | times, numbers, st.booleans()),
    b"SEARCH": st.builds(c.Find, searches),
    b"FETCH": fetches,
    b"STORE": st.builds(c.Store, sets, st.sampled_from(("", "+", "-")), st.booleans(), flag_lists),
    b"COPY": st.builds(c.Copy, sets, names),
    b"ID": st.builds(c.Id, ids),
}
commands = st.one_of(
    *(st.builds(c.Command, atoms, st.just(name), each, st.just(False)) for name, each in arguments.items()),
    st.builds(c.Command, atoms, st.just(b"FETCH"), fetches, st.just(True)),
    st.builds(c.Command, atoms, st.just(b"EXPUNGE"), st.builds(c.Numbers, sets), st.just(True)),
)


@pytest.mark.parametrize(
    ("construct", "values"),
    [
        (g.AString, octets.map(g.AString)),
        (g.MailboxName, names.map(g.MailboxName)),
        (g.ListPattern, names.map(g.ListPattern)),
        (g.FlagList, flag_lists),
        (g.SequenceSet, sets),
        (g.Day, days),
        (g.DateTime, times.map(g.DateTime)),
        (f.Section, sections),
        (f.FetchItem, items),
        (s.Search, searches),
    ],
)
def test_constructs_read_what_they_write(construct, values):
    @given(values)
    def check(value):
        assert construct.parse(bytes(value)) == (value, b"")

    check()


@settings(max_examples=400)
@given(commands)
def test_commands_read_what_they_write(command):
    assert c.Command.parse(bytes(command)) == (command, b"")


@settings(max_examples=500)
@given(
    st.one_of(octets, st.sampled_from(list(c.COMMANDS)).flatmap(lambda n: octets.map(lambda o: b"a " + n + b" " + o)))
)
def test_random_octets_raise_nothing_but_parse_errors(value):
    try:
        c.Command.parse(value)
    except g.ParseError as error:
        str(error).encode("ascii")  # fit for the wire


@settings(max_examples=300)
@given(commands, st.data())
def test_damaged_commands_raise_nothing_but_parse_errors(command, data):
    written = bytearray(bytes(command))
    at = data.draw(st.integers(0, len(written) - 1))
    written[at : at + data.draw(st.integers(0, 3))] = data.draw(octets)
    with contextlib.suppress(g.ParseError):
        c.Command.parse(bytes(written))


@given(names)
def test_utf7_goes_both_ways(name):
    assert utf7.decode(utf7.encode(name)) == name


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("Gönderilmiş", b"G&APY-nderilmi&AV8-"),
        ("Çöp", b"&AMcA9g-p"),
        ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),  # RFC 3501 5.1.3
        ("a & b", b"a &- b"),
    ],
)
def test_utf7_as_the_rfc_writes_it(name, wire):
    assert utf7.encode(name) == wire
    assert utf7.decode(wire) == name


@pytest.mark.parametrize(
    "wire", [b"&AGE-", b"&", b"&A", b"&AMc", b"&AMc-&APY-", b"&2D0-", b"&AMd-", b"&-&A-", b"\xff", b"&AMcA9g==-"]
)
def test_wrong_utf7_is_refused(wire):
    with pytest.raises(FormatError):
        utf7.decode(wire)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"a",
        b"a ",
        b"+ NOOP",
        b"a NOOP ",
        b"a NOOP x",
        b"a UID NOOP",
        b"a UID",
        b"a FETCH 0 FLAGS",
        b"a FETCH 4294967296 FLAGS",
        b"a FETCH 1 BODY[1.]",
        b"a FETCH 1 BODY[0]",
        b"a FETCH 1 BODY[MIME]",
        b"a FETCH 1 BODY[HEADER.FIELDS ()]",
        b"a FETCH 1 BODY[]<1.0>",
        b"a FETCH 1 (FLAGS",
        b"a FETCH 1 ()",
        b"a STORE 1 FLAGS (\\Recent)",
        b"a STORE 1 FLAGS (\\Unknown)",
        b"a SEARCH",
        b"a SEARCH (ALL",
        b"a SEARCH OR ALL",
        b"a SEARCH ON 32-Jan-2026",
        b'a LOGIN "x" "y',
        b"a LOGIN {3}\r\nab",
        b"a LOGIN {3}\r\na\0b c",
        b'a APPEND x "32-Jan-2026 00:00:00 +0000" {1}\r\n',
        b'a APPEND x " 1-Jan-2026 00:00:00 +9999" {1}\r\n',
        b"a SELECT INBOX (CONDSTORE)",
        b"x" * 129 + b" NOOP",
        b"a SEARCH " + b"(" * 60_000,
        b"a SEARCH " + b"NOT " * 16_000 + b"ALL",
        b"a SEARCH " + b" ".join([b"SEEN"] * 12_000),
        b"a FETCH 1 BODY[" + b"1." * 30_000 + b"1]",
    ],
)
def test_what_is_wrong_is_refused(line):
    with pytest.raises(g.ParseError):
        c.Command.parse(line)


@pytest.mark.parametrize(
    ("text", "largest", "spans"),
    [
        (b"1", 9, [(1, 1)]),
        (b"5:3,4", 9, [(3, 5)]),
        (b"*", 9, [(9, 9)]),
        (b"7:*", 5, [(5, 7)]),  # RFC 3501 9: * with a larger number
        (b"1:2,3,9:*", 9, [(1, 3), (9, 9)]),
    ],
)
def test_sets_become_ascending_spans(text, largest, spans):
    assert g.SequenceSet.parse(text)[0].spans(largest) == spans


def test_a_set_is_written_short():
    assert bytes(g.SequenceSet.of([1, 2, 3, 7, 9, 10])) == b"1:3,7,9:10"


def test_names_outside_nfc_are_read_as_they_are():
    decomposed = unicodedata.normalize("NFD", "Çöp")
    assert g.MailboxName.parse(bytes(g.MailboxName(decomposed)))[0].name == decomposed
