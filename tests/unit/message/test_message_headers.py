import email.policy
import time
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kepgw.message.addresses import parse
from kepgw.message.headers import addresses, decode_text, every, field, fields, first, split, unfold


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"A: b\r\n\r\nbody", (6, 8)),
        (b"A: b\n\nbody", (5, 6)),
        (b"\r\nbody", (0, 2)),
        (b"A: b\r\n", (6, 6)),
        (b"", (0, 0)),
        (b"A: b\r\nC: d\r\n\r\n", (12, 14)),
    ],
)
def test_split(octets: bytes, expected: tuple[int, int]) -> None:
    assert split(octets) == expected
    assert split(memoryview(octets)) == expected
    assert split(b"xx" + octets, 2) == (expected[0] + 2, expected[1] + 2)


def test_fields_keep_offsets_folds_and_rubbish() -> None:
    header = b"From : a\r\nSubject: x\r\n\ty\r\nrubbish\r\nsubject: z\r\n\r\nBody: no\r\n"
    entries = fields(header)
    assert [entry.name for entry in entries] == ["From", "Subject", "", "subject"]
    assert [header[entry.start : entry.end] for entry in entries][1] == b"Subject: x\r\n\ty\r\n"
    assert entries[1].raw == b" x\r\n\ty"
    assert entries[1].value == b"x\ty"
    assert first(entries, "SUBJECT") is entries[1]
    assert [entry.value for entry in every(entries, "subject")] == [b"x\ty", b"z"]
    assert first(entries, "Body") is None


@pytest.mark.parametrize(
    "raw",
    [
        b"=?utf-8?b?w6fEnw==?= plain =?iso-8859-9?q?=DD=FE?=",
        b"=?utf-8?q?=C5?= =?utf-8?q?=9F?=",  # one letter over two words, as Outlook does
        b"plain",
        b"=?utf-8?q?a_b?=\r\n =?utf-8?q?c?=",
    ],
)
def test_decode_text_as_the_standard_library_does(raw: bytes) -> None:
    joined = raw.replace(b"=C5?= =?utf-8?q?=9F", b"=C5=9F")
    assert decode_text(raw) == str(make_header(decode_header(unfold(joined).decode())))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Şişli ğ".encode(), "Şişli ğ"),
        ("Şişli ğ".encode("cp1254"), "Şişli ğ"),
        (b"=?nosuch?q?a?=", "a"),
        (b"=?utf-8?b?####?=", ""),
        (b"=?utf-8?q?a=0D=0AEvil:_x?=", "a Evil: x"),
        (b"=?utf-8?q?unfinished", "=?utf-8?q?unfinished"),
        (b"=?utf-7?q?a+2AA-?=", "a\ufffd"),  # half a surrogate pair is no text: no store and no XML takes it
        (b"=?unicode-escape?q?=5Cud800?=", "\\ud800"),
        (b"=?punycode?q?a-b?=", "a-b"),  # its time is the square of the octets
    ],
)
def test_decode_text_survives(raw: bytes, expected: str) -> None:
    assert decode_text(raw) == expected


@given(st.binary(max_size=300))
def test_reading_never_raises(raw: bytes) -> None:
    decode_text(raw)
    addresses(raw)
    split(raw)
    for entry in fields(raw):
        assert raw[entry.start : entry.end]


@given(st.text(max_size=400))
def test_own_fields_are_safe_and_come_back(value: str) -> None:
    line = field("Subject", value)
    text = line.decode("ascii")
    assert text.endswith("\r\n")
    entries = fields(line + b"\r\n")
    assert [entry.name for entry in entries] == ["Subject"]
    assert b"\0" not in line
    assert all(len(one) <= 998 and one.strip() != "" for one in text[:-2].split("\r\n"))
    if "=?" not in value and value.isprintable():
        assert entries[0].text == value.strip()


@pytest.mark.parametrize("name", ["From", "Reply-To", "Subject", "X-TR-REM-iletiID"])
def test_a_value_cannot_make_a_line(name: str) -> None:
    line = field(name, '"Çağrı\r\nBcc: evil@x" <a@hs90.kep.tr>\r\n\r\nbody\0')
    assert [entry.name for entry in fields(line)] == [name]
    assert b"\0" not in line
    assert b"\n\r" not in line


def test_own_fields_fold_and_encode() -> None:
    line = field("To", ", ".join(f"<kisi{n}@hs90.kep.tr>" for n in range(20)))
    assert max(map(len, line.split(b"\r\n"))) <= 76
    assert len(addresses(line[3:])) == 20
    names = field("From", '"Çağrı Şahin, Av." <a@hs90.kep.tr>')
    assert addresses(names[5:])[0][:2] == ("Çağrı Şahin, Av.", "a@hs90.kep.tr")
    parsed = email.message_from_bytes(names + b"\r\n", policy=email.policy.default)
    assert parsed["from"].addresses[0].display_name == "Çağrı Şahin, Av."
    with pytest.raises(ValueError, match="not a header name"):
        field("X: y\r\nZ", "a")


@pytest.mark.parametrize(
    "raw",
    [
        "a@b.tr",
        "<a@b.tr>",
        '"Last, First" <a@b.tr>, c@d.tr',
        "Name (comment (nested)) <a@b.tr>",
        "a@b.tr (Display Name)",
        "group: a@b.tr, <c@d.tr>;, e@f.tr",
        '"quoted local"@b.tr',
        "A B <a@b.tr>,\r\n\tC <c@d.tr>",
        "a@[10.0.0.1]",
        '"esc \\" aped" <a@b.tr>',
    ],
)
def test_addresses_as_the_standard_library_reads_them(raw: str) -> None:
    ours = [entry.address for entry in addresses(raw.encode())]
    assert ours == [address.lower() for _, address in getaddresses([unfold(raw.encode()).decode()]) if address]


@pytest.mark.parametrize(
    "raw",
    [b"a@b.tr c@d.tr", b"<a@b.tr> <c@d.tr>", b"<a@b.tr", b"a b@c.tr", b"x <a@b.tr> y", b"a", b'"a@b.tr', b"a@b@"],
)
def test_ambiguous_addresses_are_marked(raw: bytes) -> None:
    assert not all(entry.clean for entry in addresses(raw))


def test_groups_and_routes() -> None:
    marks = [(entry.group, entry.name, entry.local) for entry in parse(b"Kurul: a@b.tr;, undisclosed:;")]
    assert marks == [
        ("start", b"Kurul", b""),
        ("", b"", b"a"),
        ("end", b"", b""),
        ("start", b"undisclosed", b""),
        ("end", b"", b""),
    ]
    assert addresses(b"<@x.tr,@y.tr:a@b.tr>")[0] == ("", "a@b.tr", True)
    assert addresses("IŞIK@B.TR".encode())[0].address == "iŞik@b.tr"  # ASCII letters only


@pytest.mark.parametrize(
    "raw", [b"(" * 1_000_000, b'"' * 1_000_001, b"a," * 500_000, b"<" * 1_000_000, b"a:" * 500_000, b"\\" * 10**6]
)
def test_hostile_address_fields_take_linear_time(raw: bytes) -> None:
    start = time.process_time()
    addresses(raw)
    assert time.process_time() - start < 5
