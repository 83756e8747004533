"""Any octets are read or refused by every reader of evidence, never anything else; and in bounded time and memory."""

import subprocess
import sys
from dataclasses import replace

import pytest
from erds_samples import make_erds
from evidence_samples import AT, make_signer
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from kepgw.errors import FormatError, SignatureInvalid
from kepgw.evidence import en319522, reading, render, xades
from kepgw.evidence.en319522_codes import ErdsEvent
from kepgw.evidence.markup import safe
from kepgw.evidence.model import Extension

SIGNED = xades.sign(
    en319522.write(
        make_erds(
            ErdsEvent.RELAY_FAILURE,
            refers_to_several=(1,),
            untrusted_path=(2,),
            log=("a",),
            extensions=(Extension(b"<a><?pi x?>b</a>tail"),),
        )
    ),
    make_signer("ecdsa-sha256"),
    AT,
    lambda digest: b"\x30\x00" + digest,
    enveloped=False,
)

PIECES = [b"<", b">", b"</", b"&", b'"', b"<?pi?>", b"<!--", b"]]>", b"\xff", b"&#0;", b"&lt;", b"tns:", b"\x00", b" "]


def outcome(function, octets):
    try:
        return function(octets)
    except (FormatError, SignatureInvalid) as error:
        return error


def check(octets, signed=SIGNED):
    """Every reader reads or refuses; what verifies says what was signed."""
    outcome(xades.read, octets)
    evidence, verified = outcome(reading.read, octets), outcome(xades.verify, octets)
    if not isinstance(evidence, Exception):
        assert render.to_text(evidence)
        assert render.to_html(evidence)
    if not isinstance(verified, Exception):
        assert evidence == reading.read(signed)


@settings(max_examples=400, deadline=None)
@given(
    at=st.integers(0, len(SIGNED) - 1),
    length=st.integers(0, 400),
    piece=st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)),
)
def test_any_alteration_is_read_or_refused(at, length, piece):
    check(SIGNED[:at] + piece + SIGNED[at + length :])


@settings(max_examples=300, deadline=None)
@given(first=st.integers(0, 90), second=st.integers(0, 90), copy=st.booleans())
def test_any_move_or_copy_of_elements_is_read_or_refused(first, second, copy):
    root = etree.fromstring(SIGNED)
    elements = list(root.iter(etree.Element))
    one, other = elements[first % len(elements)], elements[second % len(elements)]
    if one in list(other.iterancestors()) or one is other or one is root:
        return
    other.append(etree.fromstring(etree.tostring(one, with_tail=False)) if copy else one)
    check(etree.tostring(root))


def test_what_has_no_canonical_form_is_refused():
    # found by the test above: a relative namespace URI is well-formed, and libxml2 refuses to canonicalise it
    relative = SIGNED.replace(b"<a>", b'<a xmlns="relative">')
    for function in (reading.read, xades.verify):
        assert isinstance(outcome(function, relative), FormatError | SignatureInvalid)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_any_octets_are_refused(octets):
    check(octets)


NAMES = st.sampled_from(sorted({etree.QName(one).localname for one in etree.fromstring(SIGNED).iter(etree.Element)}))
TREES = st.recursive(
    st.builds(
        lambda name, text: f"<{name}>{text}</{name}>", NAMES, st.sampled_from(["", "1", "x", "2026-03-01T09:30:15Z"])
    ),
    lambda inner: st.builds(
        lambda name, parts: f"<{name}>{''.join(parts)}</{name}>", NAMES, st.lists(inner, max_size=6)
    ),
    max_leaves=40,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(TREES, max_size=12))
def test_any_tree_of_known_names_is_read_or_refused(parts):
    for root in (
        'Evidence xmlns="http://uri.etsi.org/19522/v1#"',
        'RelayREMMDFailure xmlns="http://uri.etsi.org/02640/v2#"',
    ):
        check(f"<{root}>{''.join(parts)}</{root.split()[0]}>".encode())


@settings(max_examples=150, deadline=None)
@given(subject=st.text(max_size=200), name=st.text(min_size=1, max_size=60), detail=st.text(max_size=60))
def test_any_words_survive(subject, name, detail):
    evidence = make_erds(ErdsEvent.RELAY_FAILURE)
    evidence = replace(
        evidence,
        message=replace(evidence.message, subject=f"s{subject}"),
        issuer=replace(evidence.issuer, name=f"n{name}n"),
        reasons=(replace(evidence.reasons[0], details=f"d{detail}d".replace("\n", " ")),),
    )
    octets = en319522.write(evidence)
    said = reading.read(octets)
    assert said.message.subject == f"s{safe(subject)}"
    assert said.issuer.name == f"n{safe(name)}n"
    assert said.reasons[0].details.replace("\n", "") == safe(f"d{detail}d".replace("\n", " ")).replace("\n", "")


# one megabyte of garbage: its kinds by name, made where they are read

MEGABYTE = 1_000_000
HEAD = b'<Evidence xmlns="http://uri.etsi.org/19522/v1#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">'
OLD_HEAD = b'<RelayREMMDFailure xmlns="http://uri.etsi.org/02640/v2#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">'


def fill(before: bytes, piece: bytes, after: bytes = b"") -> bytes:
    return before + piece * ((MEGABYTE - len(before) - len(after)) // len(piece)) + after


def in_signature(before: bytes, piece: bytes, after: bytes) -> bytes:
    """Our signed evidence with its signature's part ``before`` filled up."""
    start, end = SIGNED.split(before, 1)
    return start + before + piece * ((MEGABYTE - len(SIGNED)) // len(piece)) + after + end


def before(mark: bytes, piece: bytes) -> bytes:
    """Our signed evidence with much more of something, and still an evidence."""
    return SIGNED.replace(mark, piece * ((MEGABYTE - len(SIGNED)) // len(piece)) + mark, 1)


def in_extension(attributes: bytes, content: bytes) -> bytes:
    """Our signed evidence with more in its extension."""
    assert SIGNED.count(b"<a>") == 1
    return SIGNED.replace(b"<a>", b"<a" + attributes + b">" + content)


def inside(element: bytes, piece: bytes, head: bytes = HEAD) -> bytes:
    return fill(head + b"<" + element + b">", piece, b"</" + element + b"></" + head[1:].split()[0] + b">")


GARBAGE = {
    "zeros": lambda: bytes(MEGABYTE),
    "text": lambda: b"x" * MEGABYTE,
    "open elements": lambda: fill(HEAD, b"<a>"),
    "deep": lambda: fill(HEAD, b"<a>" * 200 + b"</a>" * 200, b"</Evidence>"),
    "recipients": lambda: fill(HEAD, b"<RecipientDetails/>", b"</Evidence>"),
    "addressed": lambda: fill(
        HEAD + b"<ERDSEventId>x/RelayFailure</ERDSEventId><SenderDetails/>",
        b"<RecipientDetails><Identifier>a@b</Identifier></RecipientDetails>",
        b"</Evidence>",
    ),
    "delegating": lambda: inside(b"RecipientsDelegateDetails", b"<DelegatingRecipients>1 1 1</DelegatingRecipients>"),
    "reasons": lambda: inside(b"EventReasons", b"<EventReason><Code>x</Code><Details>y</Details></EventReason>"),
    "extensions": lambda: inside(b"Extensions", b'<Extension><a xmlns="urn:a"/></Extension>'),
    "one extension": lambda: inside(b"Extensions", b"<Extension>" + b"<a/>" * 200_000 + b"</Extension>"),
    "signatures": lambda: fill(HEAD, b"<ds:Signature/>", b"</Evidence>"),
    "entities": lambda: fill(HEAD, b"&amp;", b"</Evidence>"),
    "foreign entities": lambda: fill(HEAD, b"&a;", b"</Evidence>"),
    "bomb": lambda: fill(b'<!DOCTYPE a [<!ENTITY a "' + b"x" * 9 + b'">', b'<!ENTITY b "&a;&a;&a;">', b"]><a>&b;</a>"),
    "attributes": lambda: HEAD[:-1] + b"".join(b' a%d=""' % i for i in range(90_000)) + b"></Evidence>",
    "namespaces": lambda: HEAD[:-1] + b"".join(b' xmlns:a%d="u"' % i for i in range(60_000)) + b"></Evidence>",
    "namespaces in depth": lambda: HEAD
    + b"".join(b"<a" + b"".join(b' xmlns:n%d_%d="u"' % (d, i) for i in range(160)) + b">" for d in range(240))
    + b"</a>" * 240
    + b"</Evidence>",
    "identifiers": lambda: HEAD + b"".join(b'<a Id="%d"/>' % i for i in range(60_000)) + b"</Evidence>",
    "comments": lambda: fill(HEAD, b"<!---->", b"</Evidence>"),
    "instructions": lambda: fill(HEAD, b"<?a?>", b"</Evidence>"),
    "pieces of one text": lambda: inside(b"EvidenceIdentifier", b"a<?b?>"),
    "base64": lambda: inside(b"PartsInfo", b"A" * 999_000),
    "utf-16": lambda: ("<Evidence>" + "<a/>" * 120_000 + "</Evidence>").encode("utf-16"),
    "old recipients": lambda: inside(b"RecipientsDetails", b"<EntityDetails/>", OLD_HEAD),
    # in an extension all the way to its canonical form
    "attributes, canonical": lambda: in_extension(b"".join(b' a%d=""' % i for i in range(80_000)), b""),
    "namespaces, canonical": lambda: in_extension(
        b"".join(b' xmlns:n%d="u:%d" n%d:a=""' % (i, i, i) for i in range(24_000)), b""
    ),
    "namespaces in depth, canonical": lambda: in_extension(
        b"",
        b"".join(b"<a" + b"".join(b' xmlns:n%d_%d="u:"' % (d, i) for i in range(200)) + b">" for d in range(200))
        + b"</a>" * 200,
    ),
    "prefixes in depth, canonical": lambda: in_extension(
        b"", b"".join(b'<n%d:a xmlns:n%d="u:%d">' % (d, d, d) for d in range(200)) + b"<n0:a/>" * 100_000
        + b"".join(b"</n%d:a>" % d for d in reversed(range(200))),
    ),
    "declarations": lambda: in_extension(
        b"".join(b' xmlns:n%d="u:%d"' % (i, i) for i in range(1000)), b"<n999:a/>" * 60_000
    ),
    "declarations that are just allowed": lambda: in_extension(
        b"".join(b' xmlns:n%d="u:%d"' % (i, i) for i in range(22)), b"<a/>" * 200_000
    ),
    "declarations beside each other": lambda: in_extension(b"", b'<n:a xmlns:n="u:n"/>' * 45_000),
    # read to the end, and rendered
    "recipients that are read": lambda: before(
        b"<tns:RecipientDetails>", b"<tns:RecipientDetails><Identifier>a@b</Identifier></tns:RecipientDetails>"
    ),
    "reasons that are read": lambda: before(
        b"<tns:EventReason>", b"<tns:EventReason><Code>urn:x</Code><Details>y</Details></tns:EventReason>"
    ),
    "policies that are read": lambda: before(b"<PolicyID>", b"<PolicyID>p</PolicyID>"),
    "indexes that are read": lambda: before(
        b"<ext:RelayEvidenceRefersTo>", b"<ext:RelayEvidenceRefersTo>1</ext:RelayEvidenceRefersTo>"
    ),
    "delegates that are read": lambda: before(
        b"<tns:SubmissionTime>",
        b"<RecipientsDelegateDetails><DelegatingRecipients>1 2</DelegatingRecipients></RecipientsDelegateDetails>",
    ),
    "log lines that are read": lambda: before(b"<TransactionLog>", b"<TransactionLog>a</TransactionLog>"),
    "elements, canonical": lambda: in_extension(b"", b"<a/>" * 200_000),
    "old extension": lambda: inside(b"Extensions", b"<Extension>" + b"<a/>" * 200_000 + b"</Extension>", OLD_HEAD),
    "certificates": lambda: in_signature(b"<ds:X509Data>", b"<ds:X509Certificate>MAA=</ds:X509Certificate>", b""),
    "references": lambda: in_signature(b"</ds:SignatureMethod>", b'<ds:Reference URI="x"></ds:Reference>', b""),
    "transforms": lambda: in_signature(b"<ds:Transforms>", b'<ds:Transform Algorithm="x"></ds:Transform>', b""),
    "stamps": lambda: in_signature(b"<xades:UnsignedSignatureProperties>", b"<xades:SignatureTimeStamp/>", b""),
    "signature value": lambda: SIGNED.replace(b"<ds:SignatureValue", b"<ds:SignatureValue" + b" " * 990_000),
}  # fmt: skip
LIMITED = """
import resource, sys, time
sys.path[:0] = {path!r}
import test_evidence_hostile as hostile
from kepgw.evidence import markup
octets = hostile.GARBAGE[sys.argv[1]]()
hostile.check(hostile.SIGNED)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert len(octets) <= 1 << 20, len(octets)
worst = 0.0
def inclusive(octets):
    # what a signature by any key may ask for
    markup.canonical_form(markup.parse(octets), exclusive=False)
def rendered(octets):
    said = hostile.reading.read(octets)
    hostile.render.to_text(said), hostile.render.to_html(said)
for read in (hostile.xades.read, hostile.xades.verify, hostile.reading.read, inclusive, rendered):
    start = time.process_time()
    try:
        read(octets)
    except (hostile.FormatError, hostile.SignatureInvalid):
        pass
    worst = max(worst, time.process_time() - start)
print(worst, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
if sys.argv[1].endswith("read"):
    hostile.reading.read(octets)
"""


@pytest.mark.parametrize("kind", GARBAGE)
def test_a_megabyte_of_garbage_takes_bounded_time_and_memory(kind):
    # a process of its own, so that its peak of memory is that of this garbage
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(path=[each for each in sys.path if each]), kind],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    seconds, megabytes = map(float, done.stdout.split())
    assert seconds < 2, seconds
    assert megabytes < 200, megabytes
