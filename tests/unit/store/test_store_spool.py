"""The spool: memory, then an unlinked file; a full disk is StoreFull."""

import errno
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kepgw.errors import StoreError, StoreFull
from kepgw.store import spool as module
from kepgw.store.spool import MEMORY, Spool


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path)
    yield spool
    spool.close()


def test_a_small_message_stays_in_memory(spool):
    spool.write(b"x" * MEMORY)
    assert spool._file is None
    assert isinstance(spool.view(), bytes)


def test_one_octet_more_makes_a_file_that_no_name_leads_to(spool, tmp_path):
    spool.write(b"x" * MEMORY)
    spool.write(memoryview(b"y"))
    assert spool._file is not None
    assert list(tmp_path.iterdir()) == []
    assert os.fstat(spool._file).st_mode & 0o077 == 0
    assert spool.view()[:] == b"x" * MEMORY + b"y"
    assert b"".join(spool.chunks()) == b"x" * MEMORY + b"y"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=40), max_size=10), st.data())
def test_any_pieces_in_any_range_out(tmp_path, monkeypatch, pieces, data):
    monkeypatch.setattr(module, "MEMORY", 50)
    monkeypatch.setattr(module, "CHUNK", 7)
    whole = b"".join(pieces)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    spool = Spool(tmp_path)
    for piece in pieces:
        spool.write(bytearray(piece))
    assert spool.size == len(whole)
    assert bytes(spool.view()[start:end]) == whole[start:end]
    assert b"".join(spool.chunks(start, end)) == whole[start:end]
    assert all(len(piece) <= 7 for piece in spool.chunks())
    spool.close()


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull), (errno.EIO, StoreError)]
)
def test_errors_of_the_disk(spool, monkeypatch, number, kind):
    def write(descriptor, data):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.os, "write", write)
    with pytest.raises(StoreError) as caught:
        spool.write(b"x" * (MEMORY + 1))
    assert type(caught.value) is kind


def test_a_folder_that_is_gone(tmp_path):
    spool = Spool(tmp_path / "gone")
    spool.write(b"small is no matter")
    with pytest.raises(StoreError):
        spool.write(b"x" * MEMORY)


def test_a_write_that_takes_only_a_part_goes_on(spool, monkeypatch):
    real = os.write
    monkeypatch.setattr(module.os, "write", lambda descriptor, data: real(descriptor, data[:1000]))
    spool.write(b"a" * MEMORY + b"b" * 1234)
    monkeypatch.undo()
    assert b"".join(spool.chunks()) == b"a" * MEMORY + b"b" * 1234


def test_a_spool_that_ends_early_is_an_error(spool):
    spool.write(b"x" * (MEMORY + 10))
    os.ftruncate(spool._file, 5)
    with pytest.raises(StoreError, match="ends early"):
        b"".join(spool.chunks())


def test_closing_twice_and_while_somebody_looks(spool):
    spool.write(b"x" * (MEMORY + 10))
    look = memoryview(spool.view())
    spool.close()
    spool.close()
    assert look[0] == ord("x")  # what they see stays
    look.release()
