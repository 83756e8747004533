"""Blobs in chunks and contents as spans: any pieces in, any range out."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kepgw.errors import StoreError
from kepgw.message.rendering import Rendered
from kepgw.store import octets
from kepgw.store.octets import ContentRef, Span, cut, put_blob, put_content, read_blob, read_content, spans_of

RENDERED = Rendered(b"h", b"e", b"b", b"bs", b"[]")
SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PIECES = st.lists(st.binary(max_size=70), max_size=12)


class Undo(Exception):
    pass


def undone(store, work):
    """Run a work and undo it; its value."""
    found = []

    def undoing(tx):
        found.append(work(tx))
        raise Undo

    with pytest.raises(Undo):
        store.write_now(undoing)
    return found[0]


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(octets, "CHUNK", 16)


@SOME
@given(PIECES, st.integers(0, 300), st.integers(0, 300))
def test_any_pieces_in_any_range_out(store, small_chunks, pieces, start, length):
    whole = b"".join(pieces)
    start = min(start, len(whole))
    length = min(length, len(whole) - start)

    def work(tx):
        size = put_blob(tx, 202601, 5, pieces)
        chunks = tx.rows("SELECT length(data) FROM blob_chunk ORDER BY seq")
        return size, chunks, b"".join(read_blob(tx, 202601, 5)), b"".join(read_blob(tx, 202601, 5, start, length))

    size, chunks, all_of_it, part = undone(store, work)
    assert size == len(whole)
    assert all_of_it == whole
    assert part == whole[start : start + length]
    assert all(count == 16 for (count,) in chunks[:-1])
    assert all(0 < count <= 16 for (count,) in chunks)


@SOME
@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 10), st.integers(0, 40)), max_size=6), st.data())
def test_a_content_is_its_spans_and_any_part_of_it_can_be_read(store, small_chunks, parts, data):
    spans, whole = [], b""
    for number, (blob, offset, length) in enumerate(parts):
        offset = min(offset, len(blob))
        length = min(length, len(blob) - offset)
        spans.append(Span(number, offset, length))
        whole += blob[offset : offset + length]
    offset = data.draw(st.integers(0, len(whole) + 3))
    length = data.draw(st.integers(0, len(whole) + 3))
    ref = ContentRef(202601, 9)

    def work(tx):
        for number, (blob, _, _) in enumerate(parts):
            put_blob(tx, 202601, number, [blob])
        size = put_content(tx, ref, spans, RENDERED)
        return (
            size,
            octets.size_of(tx, ref),
            b"".join(read_content(tx, ref)),
            b"".join(read_content(tx, ref, offset, length)),
            b"".join(read_content(tx, ref, offset)),
            octets.rendered_of(tx, ref),
        )

    size, again, all_of_it, part, rest, rendered = undone(store, work)
    assert size == again == len(whole)
    assert all_of_it == whole
    assert part == whole[offset : offset + length]
    assert rest == whole[offset:]
    assert rendered == RENDERED


@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 50), st.integers(0, 30)), max_size=8),
    st.integers(0, 250),
    st.integers(0, 250),
)
def test_cut_takes_the_same_octets_as_a_slice(listed, offset, length):
    spans = [Span(*each) for each in listed]
    flat = [(span.blob, span.offset + n) for span in spans for n in range(span.length)]
    pieces = cut(spans, offset, length)
    assert [(span.blob, span.offset + n) for span in pieces for n in range(span.length)] == flat[
        offset : offset + length
    ]
    assert all(span.length for span in pieces)


def test_a_missing_chunk_is_never_passed_over(store, small_chunks):
    store.write_now(lambda tx: put_blob(tx, 202601, 1, [b"x" * 40]))
    store.write_now(lambda tx: tx.run("DELETE FROM blob_chunk WHERE seq = 1"))
    with pytest.raises(StoreError, match="chunk 1"):
        store.read_now(lambda tx: b"".join(read_blob(tx, 202601, 1)))
    with pytest.raises(StoreError, match="missing"):
        store.read_now(lambda tx: b"".join(read_blob(tx, 202601, 2)))


def test_reading_past_the_end_is_an_error(store, small_chunks):
    store.write_now(lambda tx: put_blob(tx, 202601, 1, [b"x" * 32]))
    with pytest.raises(StoreError):
        store.read_now(lambda tx: b"".join(read_blob(tx, 202601, 1, 30, 3)))


def test_a_content_that_is_not_there(store):
    ref = ContentRef(202601, 1)
    for read in (spans_of, octets.rendered_of, octets.size_of, read_content):
        with pytest.raises(StoreError, match="missing"):
            store.read_now(lambda tx, read=read: read(tx, ref))


def test_the_same_number_in_two_months_is_two_blobs(store):
    store.write_now(lambda tx: (put_blob(tx, 202601, 1, [b"january"]), put_blob(tx, 202602, 1, [b"february"])))
    assert store.read_now(lambda tx: b"".join(read_blob(tx, 202601, 1))) == b"january"
    with pytest.raises(StoreError, match="UNIQUE"):
        store.write_now(lambda tx: put_blob(tx, 202601, 1, [b"other"]))


def test_a_write_holds_no_more_than_a_chunk_beside_what_it_is_given():
    pieces = list(octets._even([b"a" * (octets.CHUNK * 2 + 5), b"b"]))
    assert [len(piece) for piece in pieces] == [octets.CHUNK, octets.CHUNK, 6]
