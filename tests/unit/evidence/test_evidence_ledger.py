"""The ledger's documents: one form for each, and nothing else is read as one."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kepgw.errors import FormatError
from kepgw.evidence import ledger, merkle

AT = datetime(2026, 11, 24, 9, 0, 0, 5, tzinfo=UTC)
SAID = ledger.Statement("hs90.kep.tr", 7, b"r" * 32, AT, ("urn:kepgw:policy:development",))
HEAD = ledger.Head(SAID.octets(), b"\x30\x00", b"\x30\x01")


def test_a_statement_reads_as_it_was_written():
    assert ledger.read_statement(SAID.octets()) == SAID
    assert SAID.octets() == (
        b'{"ledger":"hs90.kep.tr","policies":["urn:kepgw:policy:development"],"root":"'
        + b"72" * 32
        + b'","size":7,"time":"2026-11-24T09:00:00.000005Z","v":1}'
    )


@pytest.mark.parametrize(
    "change",
    [
        {"size": 7.0},
        {"size": "7"},
        {"size": -1},
        {"size": True},
        {"v": 2},
        {"root": "72" * 31},
        {"root": "72" * 31 + "7 2"},
        {"time": "2026-11-24T09:00:00Z"},
        {"time": None},
        {"policies": "x"},
        {"policies": None},
        {"more": 1},
        {"ledger": "\ud800"},
    ],
)
def test_a_statement_has_one_form(change):
    octets = json.dumps(json.loads(SAID.octets()) | change, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(FormatError):
        ledger.read_statement(octets)
    with pytest.raises(FormatError):
        ledger.read_statement(SAID.octets() + b" ")


def test_files_read_as_they_were_written():
    assert ledger.read_head(ledger.write_head(HEAD)) == HEAD
    path = [b"a" * 32, b"b" * 32]
    proof = ledger.read_proof(ledger.write_inclusion('{"ç":1}'.encode(), 3, path, HEAD))
    assert proof == ledger.Inclusion('{"ç":1}'.encode(), 3, tuple(path), HEAD)
    assert ledger.read_proof(ledger.write_consistency(HEAD, HEAD, [])) == ledger.Consistency(HEAD, HEAD, ())


@given(st.one_of(st.binary(max_size=200), st.text(max_size=50).map(lambda text: json.dumps([text]).encode())))
@settings(max_examples=150, deadline=None)
def test_garbage_is_a_FormatError(octets):
    for read in (ledger.read_statement, ledger.read_head, ledger.read_proof):
        with pytest.raises(FormatError):
            read(octets)


def test_bounds():
    for octets in (b"[" * 200_000, b" " * (ledger.LARGEST + 1), b"9" * 5000):
        for read in (ledger.read_statement, ledger.read_head, ledger.read_proof):
            with pytest.raises(FormatError):
                read(octets)
    data = json.loads(ledger.write_inclusion(b"{}", 0, [], HEAD)) | {"path": ["00" * 32] * (merkle.LONGEST_PROOF + 1)}
    with pytest.raises(FormatError):
        ledger.read_proof(json.dumps(data).encode())
