"""Every reader of octets from outside reads or refuses whatever comes; what fuzzing once found is read for ever."""

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_readers import READERS, SEEDS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HERE = Path(__file__).parent
CRASHERS = sorted(path for path in (HERE / "crashers").glob("*/*") if path.is_file())
PIECES = [
    b"",
    b"\0",
    b"\xff",
    b"\x80",
    b"\x30\x80",
    b"\0\0",
    b"\r\n",
    b"--",
    b"=",
    b'"',
    b"(",
    b"\x7f" * 8,
    b"\x84\xff",
]


@pytest.mark.parametrize("reader", READERS)
def test_honest_octets(reader):
    for seed in SEEDS[reader]():
        READERS[reader](seed)


@pytest.mark.parametrize("path", CRASHERS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once(path):
    READERS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_alteration_is_read_or_refused(reader, data):
    octets = data.draw(st.sampled_from(SEEDS[reader]()))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(len(octets) - 1, 0)))
        length = data.draw(st.one_of(st.integers(0, 4), st.integers(0, 300)))
        piece = data.draw(st.one_of(st.sampled_from(PIECES), st.binary(min_size=1, max_size=6)))
        again = data.draw(st.sampled_from((1, 1, 1, 50)))
        octets = octets[:at] + piece * again + octets[at + length :]
    READERS[reader](octets)


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=60, deadline=None)
@given(octets=st.one_of(st.binary(max_size=400), st.text(max_size=200).map(str.encode)))
def test_any_octets_are_read_or_refused(reader, octets):
    READERS[reader](octets)


@pytest.mark.parametrize("reader", ["cms", "response", "certificate", "revocation", "record", "user-signature"])
def test_octet_by_octet(reader):
    """Each octet in turn becomes one that means much to BER, or its neighbour."""
    for seed in SEEDS[reader]():
        for at in range(0, len(seed), max(1, len(seed) // 150)):
            for octet in (0, 0xFF, 0x80, seed[at] ^ 1):
                READERS[reader](seed[:at] + bytes((octet,)) + seed[at + 1 :])


def test_atheris_runs_where_it_is_installed():
    pytest.importorskip("atheris", reason="make fuzz installs it")
    command = [sys.executable, str(HERE), "--seconds", "1", "request"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[0] == "request"
