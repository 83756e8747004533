import base64
import email
import hashlib
import mmap
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kepgw.errors import FormatError
from kepgw.message.envelope import Envelope, OriginalPart, begin, open_envelope
from kepgw.message.headers import first

VECTORS = Path(__file__).parents[3].parent / "shared" / "vectors" / "etsi-rem-baseline"
GOLDEN = sorted(VECTORS.glob("S*_REM_*.eml"))
ORIGINAL = "From: a@hs90.kep.tr\r\nSubject: x\r\nMessage-ID: <1@x>\r\n\r\nMerhaba İstanbul\r\n".encode()
OUTER = [("From", '"Sağlayıcı" <kep@hs90.kep.tr>'), ("To", "b@hs91.kep.tr"), ("Subject", "KEP iletisi: Şartname")]
INNER = [("X-REM-Msg-Type", "Dispatch"), ("X-TR-REM-iletiTip", "eYazisma")]
EVIDENCE = b'<?xml version="1.0"?>\n<a>\xc5\x9f</a>' * 20
INTRODUCTION = ("Merhaba şöyle: " + "uzun " * 40 + "\n.\nson", "<p>Merhaba şöyle</p>")


def build(
    original: bytes | None = ORIGINAL, seed: bytes = b"seed", evidence: int = 1, cms: bytes = b"0\x82cms"
) -> bytes:
    part = None if original is None else OriginalPart(len(original), not original.isascii())
    names = [(f"Kanit{n}.xml", EVIDENCE) for n in range(evidence)]
    unsealed = begin(OUTER, INNER, INTRODUCTION, part, names, seed=seed)
    return unsealed.head + (original or b"") + unsealed.seal(cms)


def openssl_verifies(tmp_path: Path, octets: bytes, envelope: Envelope) -> bool:
    (tmp_path / "content").write_bytes(octets[slice(*envelope.signed)])
    (tmp_path / "cms").write_bytes(envelope.signature)
    command = [
        "openssl",
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        "cms",
        "-content",
        "content",
        "-noverify",
        "-out",
        "out",
    ]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


@pytest.mark.oracle
@pytest.mark.skipif(not GOLDEN, reason="the golden messages are not beside the checkout")
@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_golden_messages_open_and_verify(file: Path, tmp_path: Path) -> None:
    octets = file.read_bytes()
    envelope = open_envelope(octets)
    assert openssl_verifies(tmp_path, octets, envelope)
    assert envelope.kind == ("Dispatch" if "Dispatch" in file.name else "Message")
    assert len(envelope.evidence) >= 1
    for name, xml in envelope.evidence:
        assert name.endswith(".xml")
        assert b"Signature" in xml
    assert envelope.introduction_text.startswith("REM ")
    if envelope.original:
        digest = hashlib.sha256(octets[slice(*envelope.original)]).digest()
        header = first(envelope.outer, "REM-DigestValue")
        assert header is not None
        assert base64.b64decode(header.value) == digest


@pytest.mark.skipif(not GOLDEN, reason="the golden messages are not beside the checkout")
def test_the_golden_set_is_whole() -> None:
    assert len(GOLDEN) == 30
    assert sum(open_envelope(file.read_bytes()).original is not None for file in GOLDEN) == 3


@pytest.mark.oracle
@pytest.mark.parametrize("original", [None, ORIGINAL, b"From: a@b\r\n\r\nascii\r\n"])
def test_what_we_build_opens_and_openssl_verifies_it(original: bytes | None, tmp_path: Path) -> None:
    for command in (
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out pem -days 2 -subj /CN=x",
        "openssl cms -sign -binary -in signed -signer pem -inkey key -outform DER -out cms.in -md sha256",
    ):
        part = None if original is None else OriginalPart(len(original), not original.isascii())
        unsealed = begin(OUTER, INNER, INTRODUCTION, part, [("Kanit.xml", EVIDENCE)], seed=b"s")
        (tmp_path / "signed").write_bytes(unsealed.signed_head + (original or b"") + unsealed.tail)
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    octets = unsealed.head + (original or b"") + unsealed.seal((tmp_path / "cms.in").read_bytes())
    envelope = open_envelope(octets)
    assert openssl_verifies(tmp_path, octets, envelope)
    assert not openssl_verifies(tmp_path, octets.replace(b"eYazisma", b"standart", 1), envelope)
    assert envelope.evidence == [("Kanit.xml", EVIDENCE)]
    assert envelope.introduction_text == INTRODUCTION[0].replace("\n", "\r\n") + "\r\n"
    assert first(envelope.inner, "x-tr-rem-iletitip").text == "eYazisma"
    assert (envelope.original and octets[slice(*envelope.original)]) == original
    # openssl reads our S/MIME by itself as well
    (tmp_path / "mail").write_bytes(octets)
    smime = [
        "openssl",
        "cms",
        "-verify",
        "-binary",
        "-crlfeol",
        "-in",
        "mail",
        "-inform",
        "SMIME",
        "-noverify",
        "-out",
        "out",
    ]
    assert (
        subprocess.run([*smime, "-noverify", "-out", "out"], cwd=tmp_path, check=False, capture_output=True).returncode
        == 0
    )


def test_layout_as_another_parser_sees_it() -> None:
    octets = build(evidence=2)
    message = email.message_from_bytes(octets)
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/signed",
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "message/rfc822",
        "text/plain",
        "application/xml",
        "application/xml",
        "application/pkcs7-signature",
    ]
    assert not [part for part in message.walk() if part.defects]
    mixed, signature = message.get_payload()
    assert (message["content-transfer-encoding"], mixed["content-transfer-encoding"]) == ("8bit", "8bit")
    assert message.get_param("micalg") == "sha-256"
    assert signature.get_payload(decode=True) == b"0\x82cms"
    assert mixed.get_payload(2).get_payload(decode=True) == EVIDENCE
    assert all(len(line) <= 78 for line in octets.replace(ORIGINAL, b"").split(b"\r\n"))
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", octets)
    assert build(b"From: a@b\r\n\r\nascii\r\n").isascii()
    assert b"8bit" not in build(b"From: a@b\r\n\r\nascii\r\n")


def test_boundaries_depend_on_the_seed_only() -> None:
    assert build() == build()
    assert (
        begin(OUTER, [], INTRODUCTION, None, [], seed=b"a").boundary
        != begin(OUTER, [], INTRODUCTION, None, [], seed=b"b").boundary
    )
    with pytest.raises(ValueError, match="seed"):
        build(seed=b"")
    with pytest.raises(ValueError, match="file name"):
        begin(OUTER, [], INTRODUCTION, None, [('a"\r\nX: y.xml', b"x")], seed=b"a")


def test_a_delivery_status_part() -> None:
    unsealed = begin(OUTER, [], INTRODUCTION, None, [("K.xml", b"<a/>")], b"Reporting-MTA: dns; x\r\n\r\n", seed=b"s")
    message = email.message_from_bytes(unsealed.head + unsealed.seal(b"0"))
    assert message.get_payload(0).get_payload(2).get_content_type() == "message/delivery-status"
    assert open_envelope(unsealed.head + unsealed.seal(b"0")).kind == "Message"


def test_opens_from_any_buffer(tmp_path: Path) -> None:
    octets = build()
    (tmp_path / "m").write_bytes(octets)
    with (tmp_path / "m").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        assert open_envelope(view) == open_envelope(octets) == open_envelope(memoryview(octets))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"X-REM-Section-Type", b"x-rem-section-TYPE"),
        (b"application/pkcs7-signature", b"Application/X-PKCS7-Signature"),
        (b"message/rfc822", b"message/rfc5322"),
        (b"Content-Disposition: attachment; filename=smime.p7s\r\n", b""),
        (b"X-REM-Section-Type: rem_message/original\r\n", b""),
        (b"application/xml; charset=UTF-8;", b"application/octet-stream;"),
    ],
)
def test_lenient_as_the_field_needs(old: bytes, new: bytes) -> None:
    octets = build()
    assert old in octets
    envelope = open_envelope(octets.replace(old, new))
    assert (envelope.kind, envelope.evidence, envelope.signature) == (
        "Dispatch",
        [("Kanit0.xml", EVIDENCE)],
        b"0\x82cms",
    )


def test_a_file_name_cannot_leave_its_folder() -> None:
    octets = build().replace(b'filename="Kanit0.xml"', b'filename="../..\\a/b c.xml"')
    assert open_envelope(octets).evidence[0][0] == "_..a_b_c.xml"


def test_an_extension_is_no_evidence() -> None:
    octets = build().replace(b"rem_message/xml_evidence", b"rem_message/extension")
    assert open_envelope(octets).evidence == []


def mixed_boundary(octets: bytes) -> bytes:
    match = re.search(rb'multipart/mixed;\s+boundary="([^"]+)"', octets)
    assert match
    return match[1]


def hostile(kind: str) -> bytes:
    octets = build()
    mixed = mixed_boundary(octets)
    signed = re.search(rb'sha-256; boundary="([^"]+)"', octets)[1]
    second = b"\r\n--" + mixed + b"\r\nContent-Type: message/rfc822\r\n\r\nFrom: x@y\r\n\r\nother\r\n"
    return {
        "plain": b"From: a@b\r\n\r\nhello\r\n",
        "empty": b"",
        "second original": octets.replace(b"\r\n--" + mixed + b"--", second + b"\r\n--" + mixed + b"--"),
        "split by its content": build(ORIGINAL + second),
        "no outer close": octets.replace(b"\r\n--" + signed + b"--", b""),
        "no inner close": octets.replace(b"\r\n--" + mixed + b"--", b""),
        "third part": octets.replace(
            b"\r\n--" + signed + b"--", b"\r\n--" + signed + b"\r\n\r\nx\r\n--" + signed + b"--"
        ),
        "encoded original": octets.replace(b"8bit\r\nContent-Disp", b"base64\r\nContent-Disp", 1),
        "17 evidence": build(evidence=17),
        "33 parts": build(evidence=33),
        "empty signature": build(cms=b""),
        "big signature": build(cms=b"x" * ((1 << 20) + 1)),
        "big evidence": build().replace(base64.b64encode(EVIDENCE)[:76], b"A" * (3 << 20)),
        "not pkcs7": octets.replace(b"application/pkcs7-signature; name", b"application/pgp-signature; name"),
        "not mixed": octets.replace(b"multipart/mixed", b"multipart/other"),
        "no boundary": octets.replace(b'boundary="' + mixed, b'bound="' + mixed),
        "outer not signed": octets.replace(b"multipart/signed", b"multipart/mixed"),
        "big header": octets.replace(b"X-TR-REM-iletiTip: ", b"X: " + b"a" * (1 << 20)),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "plain",
        "empty",
        "second original",
        "split by its content",
        "no outer close",
        "no inner close",
        "third part",
        "encoded original",
        "17 evidence",
        "33 parts",
        "empty signature",
        "big signature",
        "big evidence",
        "not pkcs7",
        "not mixed",
        "no boundary",
        "outer not signed",
        "big header",
    ],
)
def test_hostile_envelopes_are_refused(kind: str) -> None:
    if kind == "split by its content":  # as if the sender had guessed the boundary
        plain = build()
        mixed = mixed_boundary(plain)
        guessed = ORIGINAL + b"\r\n--" + mixed + b"\r\nContent-Type: message/rfc822\r\n\r\nFrom: x@y\r\n\r\nother\r\n"
        octets = build(guessed)
    else:
        octets = hostile(kind)
    with pytest.raises(FormatError):
        open_envelope(octets)


def test_a_line_that_begins_like_our_boundary_is_content() -> None:
    mixed = mixed_boundary(build())
    original = ORIGINAL + b"--" + mixed + b"x\r\n --" + mixed + b"\r\nx--" + mixed + b"--\r\n"
    octets = build(original)
    envelope = open_envelope(octets)
    assert envelope.original is not None
    assert octets[slice(*envelope.original)] == original


@given(st.data())
def test_opening_damaged_octets_raises_nothing_else(data: st.DataObject) -> None:
    octets = bytearray(build())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=8))
    try:
        open_envelope(bytes(octets))
    except FormatError:
        return
