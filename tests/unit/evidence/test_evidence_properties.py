"""Properties: any words survive writing and reading; any octets are read or refused, never anything else."""

from dataclasses import replace

from evidence_samples import AT, make_evidence, make_signer
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from kepgw.errors import FormatError, SignatureInvalid
from kepgw.evidence import render, ts102640, xades
from kepgw.evidence.codes import KepCode
from kepgw.evidence.markup import safe
from kepgw.evidence.model import Entity, Extension

SIGNED = xades.sign(
    ts102640.write(make_evidence(KepCode.OKUNDU, extensions=(Extension(b"<a><?pi x?>b</a><?pi y?>tail"),))),
    make_signer("ecdsa-sha256"),
    AT,
    lambda digest: b"\x30\x00" + digest,
)
PIECES = [b"<", b">", b"</", b"&", b'"', b"<?pi?>", b"<!--", b"]]>", b"\xff", b"&#0;", b"&lt;", b"rem:", b"\x00", b" "]


@settings(max_examples=150, deadline=None)
@given(subject=st.text(max_size=200), name=st.text(max_size=60), identifier=st.text(min_size=1, max_size=60))
def test_any_words_survive(subject, name, identifier):
    evidence = make_evidence(
        sender=Entity("a@hs90.kep.tr", name),
        message=replace(make_evidence().message, subject=f"s{subject}", remmd_message_id=f"x{identifier}x"),
    )
    octets = ts102640.write(evidence)
    found = ts102640.read(octets)
    assert found.message.subject == f"s{safe(subject)}"
    assert found.sender.name == safe(name)
    assert found.message.remmd_message_id == f"x{safe(identifier)}x"
    assert octets.split(b"?>\n", 1)[1] == etree.tostring(etree.fromstring(octets), method="c14n", exclusive=True)
    assert len(render.to_text(found).splitlines()) == len(render.to_text(make_evidence()).splitlines())


def outcome(function, octets):
    try:
        return function(octets)
    except (FormatError, SignatureInvalid) as error:
        return error


def check(octets):
    """Every reader reads or refuses; what verifies says what was signed."""
    outcome(xades.read, octets)
    evidence, reading = outcome(ts102640.read, octets), outcome(xades.verify, octets)
    if not isinstance(reading, Exception):
        assert evidence == ts102640.read(SIGNED)
        assert (reading.signer, reading.signing_time) == (make_signer("ecdsa-sha256").certificate, AT)


@settings(max_examples=400, deadline=None)
@given(
    at=st.integers(0, len(SIGNED) - 1),
    length=st.integers(0, 400),
    piece=st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)),
)
def test_any_alteration_is_read_or_refused(at, length, piece):
    altered = SIGNED[:at] + piece + SIGNED[at + length :]
    check(altered)


@settings(max_examples=200, deadline=None)
@given(first=st.integers(0, 60), second=st.integers(0, 60))
def test_any_move_of_elements_is_read_or_refused(first, second):
    root = etree.fromstring(SIGNED)
    elements = list(root.iter(etree.Element))
    one, other = elements[first % len(elements)], elements[second % len(elements)]
    if one in list(other.iterancestors()) or one is other or one is root:
        return
    other.append(one)
    moved = etree.tostring(root)
    check(moved)
