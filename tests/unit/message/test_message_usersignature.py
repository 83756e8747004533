"""Where a sender's signature stands, and what its client may have signed."""

import mmap

import pytest
from nes import PART, headers, wrap

from kepgw.errors import FormatError
from kepgw.message.usersignature import find, forms

CMS = b"0\x82 not looked at here"


def signed_forms(octets):
    return {name: b"".join(pieces) for name, pieces in forms(octets, find(octets))}


@pytest.mark.parametrize(
    ("content_type", "signature_type"),
    [
        (
            'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="dis"',
            "x-pkcs7-signature",
        ),
        (
            'multipart/signed; protocol="application/x-pkcs7-signature"; micalg=sha256; boundary=dis; ',
            "pkcs7-signature",
        ),
        ("multipart/signed; boundary=dis;", "pkcs7-signature"),
        ('Multipart/Signed; micalg="md5"; protocol=nonsense; BOUNDARY="dis"', "X-PKCS7-Signature"),
    ],
)
def test_the_signature_is_found_whatever_the_labels_say(content_type, signature_type):
    octets = wrap(PART, CMS, content_type=content_type, signature_type=f"application/{signature_type}")
    found = find(octets)
    assert octets[slice(*found.content)] == PART  # the CRLF before the delimiter is not signed: RFC 2046 5.1.1
    assert found.octets(octets) == CMS
    assert next(iter(signed_forms(octets))) == "as-is"


def test_no_signature():
    assert find(headers() + b"Content-Type: text/plain\r\n\r\nMerhaba\r\n") is None
    assert find(headers() + b"\r\nMerhaba\r\n") is None
    assert find(headers() + b"Content-Type: multipart/mixed; boundary=dis\r\n\r\n" + wrap(PART, CMS)) is None
    assert find(headers() + b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nAAAA\r\n") is None
    pgp = 'multipart/signed; protocol="application/pgp-signature"; micalg=pgp-sha256; boundary=dis'
    assert find(wrap(PART, CMS, content_type=pgp, signature_type="application/pgp-signature")) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda octets: octets.replace(b"\r\n--dis\r\nContent-Type: application", b"\r\nContent-Type: application"),
        lambda octets: octets.replace(b"--dis--", b"--dis\r\n\r\nnoch ein Teil\r\n--dis--"),
        lambda octets: octets.replace(b"application/pkcs7-signature", b"text/plain"),
        lambda octets: octets.replace(b'boundary="dis"', b'boundary="yok"'),
        lambda octets: octets.replace(b'boundary="dis"', b""),
    ],
)
def test_what_can_be_read_in_two_ways_is_no_signature(spoil):
    octets = spoil(wrap(PART, CMS))
    assert octets != wrap(PART, CMS)
    with pytest.raises(FormatError):
        find(octets)


@pytest.mark.parametrize("body", [b"", b"=", b"AAA"])
def test_a_broken_signature_part(body):
    octets = wrap(PART, b"").replace(b"Signature\r\n\r\n", b"Signature\r\n\r\n" + body)
    with pytest.raises(FormatError):
        find(octets).octets(octets)


def test_a_huge_signature_part_is_not_decoded():
    octets = wrap(PART, bytes(2 << 20))
    with pytest.raises(FormatError, match="octets"):
        find(octets).octets(octets)


def test_the_crlf_before_the_first_inner_delimiter():
    close = PART.replace(b"\r\n\r\n--ic", b"\r\n\r\n\r\n--ic", 1)
    assert close != PART
    assert signed_forms(wrap(close, CMS))["preamble"] == PART
    assert signed_forms(wrap(PART, CMS))["preamble"] == close
    words = PART.replace(b"\r\n\r\n--ic", b"\r\n\r\nThis is a multipart message.\r\n--ic", 1)
    assert "preamble" not in signed_forms(wrap(words, CMS))
    assert signed_forms(wrap(words, CMS))["as-is"] == words
    assert "preamble" not in signed_forms(wrap(b"Content-Type: text/plain\r\n\r\nx", CMS))


def test_dots_that_a_client_added_after_signing():
    stuffed = PART.replace(b"\n.", b"\n..")
    assert stuffed != PART
    assert signed_forms(wrap(stuffed, CMS))["undotted"] == PART
    plain = PART.replace(b"..iki", b"iki")
    assert "undotted" not in signed_forms(wrap(plain, CMS))  # a single dot was not stuffed


def test_trimmed_text_with_one_line_end():
    loose = PART.rstrip() + b" \t\r\n\r\n"
    assert signed_forms(wrap(loose, CMS))["trimmed"] == PART.rstrip() + b"\r\n"
    stuffed = loose.replace(b"\n.", b"\n..")
    assert signed_forms(wrap(stuffed, CMS))["trimmed-undotted"] == PART.rstrip() + b"\r\n"


def test_large_messages_in_a_map(tmp_path):
    """Pieces are joined without loss, also where a piece would end inside a stuffed line end."""
    line = b"..nokta ve devami\r\n"
    part = b"Content-Type: text/plain\r\n\r\n" + line * (3 * (1 << 20) // len(line))
    octets = wrap(part, CMS)
    path = tmp_path / "large.eml"
    path.write_bytes(octets)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        made = signed_forms(mapped)
    assert made["as-is"] == part
    assert made["undotted"] == part.replace(b"\n..", b"\n.")
    assert made["trimmed"] == part.rstrip() + b"\r\n"
    assert made == signed_forms(octets) == signed_forms(memoryview(octets))
