"""A megabyte of garbage of every shape that could cost a reader more than its length.

``GARBAGE`` maps a name ``<readers>: <shape>`` to the octets; the words before the colon are names of READERS.
"""

import base64
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import count

import fuzz_samples as samples
from asn1crypto import cms as asn1
from asn1crypto import keys as asn1_keys
from asn1crypto import parser
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from fuzz_readers import READERS, SEEDS

from kepgw.trust import der

SIZE = 1 << 20
SMALL = 250_000  # for what has a bound of its own below a megabyte
_SIGNED_DATA = der.oid("1.2.840.113549.1.7.2")
_DATA = der.oid("1.2.840.113549.1.7.1")


def fill(piece: bytes, size: int = SIZE - 20_000) -> bytes:
    """``piece`` again and again."""
    return piece * (size // len(piece))


def numbered(template: bytes, size: int = SIZE - 20_000) -> bytes:
    """The template with a new number in each copy."""
    made, length = [], 0
    for number in count():
        made.append(template % number)
        length += len(made[-1])
        if length > size:
            return b"".join(made[:-1])
    raise AssertionError


def nested(levels: int, tag: int = 0x30, core: bytes = b"") -> bytes:
    """Elements one inside the other, with right lengths."""
    heads = []
    size = len(core)
    for _ in range(levels):
        head = der.tlv(tag, b"")[:1] + _length(size)
        heads.append(head)
        size += len(head)
    return b"".join(reversed(heads)) + core


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes((size,))
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


# -- CMS ----------------------------------------------------------------------------------------------------------


def signed_data(**parts: bytes) -> bytes:
    """The sample signature with some of its parts, DER, put in place of its own."""
    info = asn1.ContentInfo.load(samples.signature())["content"]
    signer = info["signer_infos"][0]
    signer_parts = {
        name: parts.get(name, signer[name].dump())
        for name in (
            "version", "sid", "digest_algorithm", "signed_attrs", "signature_algorithm", "signature", "unsigned_attrs"
        )
    }  # fmt: skip
    whole = {
        "version": parts.get("cms_version", info["version"].dump()),
        "digest_algorithms": info["digest_algorithms"].dump(),
        "encap_content_info": info["encap_content_info"].dump(),
        "certificates": info["certificates"].dump(),
        "crls": b"",
        "signer_infos": der.tlv(0x31, der.sequence(*signer_parts.values())),
    }
    whole |= {name: parts[name] for name in parts.keys() & whole.keys() - {"version"}}
    return der.sequence(_SIGNED_DATA, der.tagged(0, der.sequence(*whole.values())))


def _attributes(tag: int, more: bytes) -> bytes:
    signer = asn1.ContentInfo.load(samples.signature())["content"]["signer_infos"][0]
    return der.tlv(tag, signer["signed_attrs"].contents + more)


_TINY = der.attribute("1.2.840.113549.1.9.16.2.99", der.NULL)
_LEAF = samples.process_key


def _many(tag: int, piece: bytes) -> bytes:
    return der.tlv(tag, fill(piece))


CMS: dict[str, Callable[[], bytes]] = {
    "open for ever": lambda: fill(b"\x30\x80"),
    "sequences in sequences": lambda: nested(200_000),
    "octet strings in octet strings": lambda: nested(200_000, 0x24, der.octet_string(b"x")),
    "octet string in pieces": lambda: signed_data(
        encap_content_info=der.sequence(_DATA, der.tagged(0, der.tlv(0x24, fill(der.octet_string(b"x")))))
    ),
    "octet string in pieces within pieces": lambda: signed_data(
        encap_content_info=der.sequence(_DATA, der.tagged(0, nested(190_000, 0x24, der.octet_string(b"x"))))
    ),
    "indefinite octet string": lambda: signed_data(
        encap_content_info=der.sequence(_DATA, b"\xa0\x80\x24\x80" + fill(b"\x04\x01x") + b"\0\0\0\0")
    ),
    "signature in pieces within pieces": lambda: signed_data(signature=nested(190_000, 0x24, der.octet_string(b"x"))),
    "same certificates": lambda: signed_data(certificates=_many(0xA0, _LEAF().certificate)),
    "empty certificates": lambda: signed_data(certificates=_many(0xA0, b"\x30\x00")),
    "odd certificates": lambda: signed_data(certificates=_many(0xA0, b"\xa3\x00")),
    "revocation lists": lambda: signed_data(crls=_many(0xA1, b"\x30\x00")),
    "digest algorithms": lambda: signed_data(digest_algorithms=_many(0x31, der.sequence(der.oid("1.2.3")))),
    "signers": lambda: signed_data(signer_infos=_many(0x31, b"\x30\x00")),
    "signed attributes": lambda: signed_data(signed_attrs=_attributes(0xA0, fill(_TINY))),
    "unsigned attributes": lambda: signed_data(unsigned_attrs=_many(0xA1, _TINY)),
    "values of an attribute": lambda: signed_data(
        signed_attrs=_attributes(0xA0, der.sequence(der.oid("1.2.3"), _many(0x31, der.NULL)))
    ),
    "values of an unsigned attribute": lambda: signed_data(
        unsigned_attrs=der.tlv(0xA1, der.sequence(der.oid("1.2.840.113549.1.9.16.2.14"), _many(0x31, der.NULL)))
    ),
    "named certificates": lambda: signed_data(signed_attrs=_named(fill(der.sequence(der.octet_string(bytes(32)))))),
    "object identifier": lambda: signed_data(encap_content_info=der.sequence(_oid(fill(b"\x81")))),
    "object identifier of small arcs": lambda: signed_data(encap_content_info=der.sequence(_oid(fill(b"\x01")))),
    "digest identifier": lambda: signed_data(digest_algorithm=der.sequence(_oid(fill(b"\xff")))),
    "digest identifier of small arcs": lambda: signed_data(digest_algorithm=der.sequence(_oid(fill(b"\x02")))),
    "attribute identifier": lambda: signed_data(
        signed_attrs=_attributes(0xA0, der.sequence(_oid(fill(b"\x81")), der.tlv(0x31, der.NULL)))
    ),
    "serial number": lambda: signed_data(sid=der.sequence(_issuer(), der.tlv(2, fill(b"\x7f")))),
    "salt": lambda: signed_data(
        signature_algorithm=der.sequence(
            der.oid("1.2.840.113549.1.1.10"), der.sequence(der.tagged(2, der.tlv(2, fill(b"\x7f"))))
        )
    ),
    "issuer's name": lambda: signed_data(sid=der.sequence(der.sequence(fill(_rdn(b"a"))), der.integer(_serial()))),
    "issuer's name in one set": lambda: signed_data(
        sid=der.sequence(der.sequence(der.tlv(0x31, numbered(b"\x30\x0d\x06\x03\x55\x04\x03\x0c\x06%06d"))),
                         der.integer(_serial()))
    ),
    "issuer's name to be folded": lambda: signed_data(
        sid=der.sequence(der.sequence(_rdn(fill(b" \xc4\xb0"))), der.integer(_serial()))
    ),
    "signing time": lambda: signed_data(
        signed_attrs=_attributes(0xA0, der.attribute("1.2.840.113549.1.9.5", der.tlv(0x18, fill(b"9"))))
    ),
    "pss parameters nested": lambda: signed_data(
        signature_algorithm=der.sequence(der.oid("1.2.840.113549.1.1.10"), nested(190_000))
    ),
    "octets behind": lambda: samples.signature() + bytes(SIZE - 5000),
    "zeroes": lambda: bytes(SIZE),
}  # fmt: skip


def _oid(content: bytes) -> bytes:
    return der.tlv(6, b"\x2a" + content + b"\x01")


def _rdn(value: bytes) -> bytes:
    return der.tlv(0x31, der.sequence(der.oid("2.5.4.3"), der.tlv(0x0C, value)))


def _issuer() -> bytes:
    return asn1_x509.Certificate.load(_LEAF().certificate).issuer.dump()


def _serial() -> int:
    return asn1_x509.Certificate.load(_LEAF().certificate).serial_number


def _named(ids: bytes) -> bytes:
    return _attributes(0xA0, der.attribute("1.2.840.113549.1.9.16.2.47", der.sequence(der.sequence(ids))))


# -- tokens ---------------------------------------------------------------------------------------------------------


def token(**changes: bytes) -> bytes:
    """A token with parts of its TSTInfo replaced: signed content that lies about nothing else."""
    content = asn1.ContentInfo.load(samples.token())["content"]["encap_content_info"]["content"].parsed
    names = (
        "version",
        "policy",
        "message_imprint",
        "serial_number",
        "gen_time",
        "accuracy",
        "ordering",
        "nonce",
        "tsa",
    )
    info = der.sequence(*(changes.get(name, content[name].dump()) for name in names), changes.get("extensions", b""))
    return signed_data(
        cms_version=der.integer(3),
        encap_content_info=der.sequence(der.oid("1.2.840.113549.1.9.16.1.4"), der.tagged(0, der.octet_string(info))),
    )


def in_response(made: bytes, status: bytes = b"\x30\x03\x02\x01\x00") -> bytes:
    """A TimeStampResp around a token."""
    return der.sequence(status, made)


TOKENS: dict[str, Callable[[], bytes]] = {
    "policy": lambda: token(policy=_oid(fill(b"\x81", SMALL))),
    "time": lambda: token(gen_time=der.tlv(0x18, fill(b"9", SMALL))),
    "fraction of the time": lambda: token(gen_time=der.tlv(0x18, b"20260301120000." + fill(b"9", SMALL) + b"Z")),
    "serial number": lambda: token(serial_number=der.tlv(2, fill(b"\x7f", SMALL))),
    "accuracy": lambda: token(accuracy=der.sequence(der.tlv(2, fill(b"\x7f", SMALL)))),
    "authority": lambda: token(tsa=der.tagged(0, der.tagged(4, der.sequence(fill(_rdn(b"a"), SMALL))))),
    "extensions": lambda: token(extensions=der.tlv(0xA1, fill(der.sequence(der.oid("1.2.3"), b"\x04\x00"), SMALL))),
    "nested": lambda: token(extensions=nested(60_000)),
}
RESPONSES: dict[str, Callable[[], bytes]] = {
    "words of a refusal": lambda: der.sequence(
        der.sequence(der.integer(2), der.sequence(fill(der.tlv(0x0C, b"no"), SMALL)))
    ),
    "status": lambda: der.sequence(der.sequence(der.tlv(2, fill(b"\x7f", SMALL)))),
    "reason": lambda: der.sequence(der.sequence(der.integer(2), der.tlv(3, b"\x00" + fill(b"\xff", SMALL)))),
    "nested": lambda: in_response(nested(60_000)),
    "open for ever": lambda: fill(b"\x30\x80", SMALL),
}
REQUESTS: dict[str, Callable[[], bytes]] = {
    "nonce": lambda: samples.request()[:2] + der.tlv(2, fill(b"\x7f", SMALL)),
    "nested": lambda: nested(60_000),
}

# -- certificates ---------------------------------------------------------------------------------------------------


def certificate(*extensions: tuple[str, bytes, bool], subject: x509.Name | None = None, public: bytes = b"") -> bytes:
    """A certificate by our own root, so that a path is found and judged."""
    root_key = load_pem_private_key((samples.keys() / "root.key").read_bytes(), None)
    subject = subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hostile")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(samples.root().subject)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(77)
        .not_valid_before(samples.AT - timedelta(hours=1))
        .not_valid_after(samples.AT + timedelta(days=9))
    )
    for oid, value, critical in extensions:
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), critical)
    made = builder.sign(root_key, hashes.SHA256()).public_bytes(Encoding.DER)
    if not public:
        return made
    # sign anew with another public key: cryptography would not take a broken one
    read = asn1_x509.Certificate.load(made)
    tbs = read["tbs_certificate"]
    tbs["subject_public_key_info"] = asn1_keys.PublicKeyInfo.load(public)
    octets = tbs.dump(force=True)
    value = root_key.sign(octets, ec.ECDSA(hashes.SHA256()))
    return der.sequence(octets, read["signature_algorithm"].dump(), der.tlv(3, b"\x00" + value))


def _names(template: bytes, size: int = SIZE - 20_000) -> bytes:
    return der.sequence(numbered(template, size))


def _subject(value: bytes) -> bytes:
    """A certificate whose subject is these RDNs: signed octets altered afterwards."""
    tbs, *rest = _parts(certificate())
    elements = _parts(tbs)
    elements[5] = der.sequence(value)
    return der.sequence(der.sequence(*elements), *rest)


def _parts(element: bytes) -> list[bytes]:
    """The elements inside one."""
    inside, found = parser.parse(element)[4], []
    while inside:
        size = parser.peek(inside)
        found.append(inside[:size])
        inside = inside[size:]
    return found


def _rsa(modulus: int, exponent: int) -> bytes:
    key = der.sequence(der.integer(modulus), der.integer(exponent))
    algorithm = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL)
    return der.sequence(algorithm, der.tlv(3, b"\x00" + key))


_POLICIES = "2.5.29.32"
_MAPPINGS = "2.5.29.33"
_ALTERNATIVE = "2.5.29.17"
_CONSTRAINTS = "2.5.29.30"
_STATEMENTS = "1.3.6.1.5.5.7.1.3"


def _certificates(size: int) -> dict[str, Callable[[], bytes]]:
    return {
        "nested": lambda: nested(size // 5),
        "identifier of a policy": lambda: certificate(
            (_POLICIES, der.sequence(der.sequence(_oid(fill(b"\x81", size)))), False)
        ),
        "identifier of an extension": lambda: _with_extension(_oid(fill(b"\x81", size))),
        "identifier in the subject": lambda: _subject(
            der.tlv(0x31, der.sequence(_oid(fill(b"\x81", size)), b"\x0c\x01x"))
        ),
        "alternative names": lambda: certificate((_ALTERNATIVE, _names(b"\x82\x06%06d", size), False)),
        "nested alternative name": lambda: certificate((_ALTERNATIVE, der.sequence(nested(size // 5, 0xA4)), False)),
        "constraints": lambda: certificate(
            (_CONSTRAINTS, der.sequence(der.tlv(0xA0, numbered(b"\x30\x08\x82\x06%06d", size))), True)
        ),
        "constraints on names": lambda: certificate(
            (_ALTERNATIVE, _names(b"\x82\x06%06d", size // 2), False),
            (_CONSTRAINTS, der.sequence(der.tlv(0xA0, numbered(b"\x30\x08\x82\x06%06d", size // 3))), False),
        ),
        "policies": lambda: certificate((_POLICIES, _names(b"\x30\x08\x06\x06\x2a%05d", size), True)),
        "mapped policies": lambda: certificate(
            (_POLICIES, _names(b"\x30\x08\x06\x06\x2a%05d", size // 3), False),
            (_MAPPINGS, _names(b"\x30\x10\x06\x06\x2a%05d\x06\x06\x2b12345", size // 3), False),
        ),
        "purposes": lambda: certificate(("2.5.29.37", _names(b"\x06\x06\x2a%05d", size), False)),
        "purposes with mail": lambda: certificate(
            ("2.5.29.37", der.sequence(der.oid("1.3.6.1.5.5.7.3.4") + numbered(b"\x06\x06\x2a%05d", size)), False)
        ),
        "qualified statements": lambda: certificate((_STATEMENTS, _names(b"\x30\x08\x06\x06\x2a%05d", size), False)),
        "nested statements": lambda: certificate((_STATEMENTS, nested(size // 5), False)),
        "extensions": lambda: certificate(
            *((f"1.2.3.{each}", b"\x05\x00", False) for each in range(min(size // 18, 5_000)))
        ),
        "critical extensions": lambda: certificate(
            *((f"1.2.3.{each}", b"\x05\x00", True) for each in range(min(size // 18, 5_000)))
        ),
        "subject": lambda: _subject(numbered(b"\x31\x0f\x30\x0d\x06\x03\x55\x04\x03\x0c\x06%06d", size)),
        "subject in one set": lambda: _subject(
            der.tlv(0x31, numbered(b"\x30\x0d\x06\x03\x55\x04\x03\x0c\x06%06d", size))
        ),
        "long subject": lambda: _subject(_rdn(fill(b",\xc4\xb0", size))),
        "name of an odd type": lambda: _subject(
            fill(der.tlv(0x31, der.sequence(_oid(b"\x88"), der.tlv(0x1D, b"x"))), size)
        ),
        "RSA modulus": lambda: certificate(public=_rsa((1 << (7 * size)) + 1, 65537)),
        "RSA exponent": lambda: certificate(public=_rsa((1 << 4096) + 1, (1 << (7 * size)) + 1)),
        "RSA of 16384 bits": lambda: certificate(public=_rsa((1 << 16383) + 1, (1 << 63) + 1)),
    }


def _with_extension(oid: bytes) -> bytes:
    """A certificate with an extension of any identifier: signed octets altered afterwards."""
    return certificate(("1.2.3", b"\x05\x00", False)).replace(der.oid("1.2.3"), oid)


CERTIFICATES = _certificates(SIZE - 20_000)
LARGE_CERTIFICATES = _certificates(60_000)  # what a reader may still have to look into
REVOCATION: dict[str, Callable[[], bytes]] = {
    "nested": lambda: nested(200_000),
    "entries": lambda: _crl(numbered(b"\x30\x17\x02\x04%04x\x17\x0d260301120000Z\x30\x00")),
    "open for ever": lambda: fill(b"\x30\x80"),
}


def _crl(entries: bytes) -> bytes:
    root_key = load_pem_private_key((samples.keys() / "root.key").read_bytes(), None)
    algorithm = der.sequence(der.oid("1.2.840.10045.4.3.2"))
    tbs = der.sequence(
        der.integer(1), algorithm, samples.root().subject.public_bytes(), der.tlv(0x17, b"260301120000Z"),
        der.tlv(0x17, b"260401120000Z"), der.sequence(entries),
    )  # fmt: skip
    return der.sequence(tbs, algorithm, der.tlv(3, b"\x00" + root_key.sign(tbs, ec.ECDSA(hashes.SHA256()))))


# -- mail -----------------------------------------------------------------------------------------------------------


def message(head: bytes, body: bytes = b"") -> bytes:
    """A message with a plain From and these lines."""
    return b"From: ali@hs90.kep.tr\r\nMessage-ID: <1@x>\r\n" + head + b"\r\n" + body


def multipart(body: bytes, boundary: bytes = b"b", subtype: bytes = b"mixed") -> bytes:
    """A multipart message."""
    return message(b'Content-Type: multipart/%b; boundary="%b"\r\n' % (subtype, boundary), body)


def into_signed(part: bytes) -> bytes:
    """The sample dispatch with this put where its signed multipart begins."""
    octets = samples.dispatch()
    at = octets.index(b"\r\n\r\n", octets.index(b"multipart/mixed")) + 4
    return octets[:at] + part + octets[at:]


def _matryoshka(depth: int) -> bytes:
    heads = [b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (each, each) for each in range(depth)]
    return message(b"".join(heads)[: SIZE - 1000])


HEADERS: dict[str, Callable[[], bytes]] = {
    "one long line": lambda: message(b"Subject: " + fill(b"x") + b"\r\n"),
    "one folded field": lambda: message(b"Subject: x" + fill(b"\r\n x") + b"\r\n"),
    "fields": lambda: message(fill(b"a:\r\n")),
    "recipients' fields": lambda: message(fill(b"To: a@b\r\n")),
    "wide recipients' fields": lambda: message(fill(b"To: " + b"a@b," * 50 + b"\r\n")),
    "lines that are no field": lambda: message(fill(b"x\r\n")),
    "folds of nothing": lambda: message(b"X:" + fill(b"\r\n ")),
    "line ends": lambda: b"From: a@b" + fill(b"\n\r"),
    "carriage returns": lambda: message(b"Subject: " + fill(b"\r")),
    "addresses": lambda: message(b"To: " + fill(b"a@b,") + b"\r\n"),
    "addresses with names": lambda: message(b"To: " + fill(b'"a" <a@b>, ') + b"\r\n"),
    "words of a name": lambda: message(b"From: " + fill(b"a ") + b"<a@b>\r\n"),
    "dots": lambda: message(b"To: " + fill(b"a . ") + b"@b\r\n"),
    "groups": lambda: message(b"To: " + fill(b"g:;") + b"\r\n"),
    "open groups": lambda: message(b"To: " + fill(b"g:") + b"\r\n"),
    "open angles": lambda: message(b"To: " + fill(b"<") + b"\r\n"),
    "routes": lambda: message(b"To: <" + fill(b"@a,") + b":a@b>\r\n"),
    "many routes": lambda: message(b"To: " + fill(b"<@a:") + b"a@b>\r\n"),
    "comments": lambda: message(b"To: " + fill(b"(a)") + b" a@b\r\n"),
    "open comments": lambda: message(b"To: " + fill(b"(") + b" a@b\r\n"),
    "comments in comments": lambda: message(b"To: " + b"(" * 500_000 + b")" * 500_000 + b" a@b\r\n"),
    "escapes": lambda: message(b"To: " + fill(b"\\") + b" a@b\r\n"),
    "quotes": lambda: message(b"To: " + fill(b'"') + b" a@b\r\n"),
    "open quote": lambda: message(b'To: "' + fill(b"\\a") + b" a@b\r\n"),
    "domain literals": lambda: message(b"To: a@" + fill(b"[") + b"\r\n"),
    "date": lambda: message(b"Date: " + fill(b"1 ") + b"\r\n"),
    "dates in comments": lambda: message(b"Date: " + fill(b"(") + b"\r\n"),
    "references": lambda: message(b"References: " + fill(b"<a@b> ") + b"\r\n"),
}  # fmt: skip
WORDS: dict[str, Callable[[], bytes]] = {
    "encoded words": lambda: message(b"Subject: " + fill(b"=?utf-8?q?a?= ") + b"\r\n"),
    "encoded words of two charsets": lambda: message(b"Subject: " + fill(b"=?utf-8?q?a?= =?cp1254?q?a?= ") + b"\r\n"),
    "encoded words of unknown charsets": lambda: message(b"Subject: " + numbered(b"=?x-%d?q?a?= ") + b"\r\n"),
    "encoded words of slow charsets": lambda: message(
        b"Subject: =?utf-7?q?"
        + fill(b"+", 300_000)
        + b"?= =?hz?q?"
        + fill(b"~{", 300_000)
        + b"?= =?iso2022_jp_2?q?"
        + fill(b"=1B$B", 300_000)
        + b"?=\r\n"
    ),
    "one encoded word": lambda: message(b"Subject: =?punycode?b?" + fill(b"YWFh") + b"?=\r\n"),
    "open encoded words": lambda: message(b"Subject: " + fill(b"=?a?q?") + b"\r\n"),
    "question marks": lambda: message(b"Subject: " + fill(b"=?") + b"\r\n"),
}
STRUCTURES: dict[str, Callable[[], bytes]] = {
    "parts": lambda: multipart(fill(b"--b\r\n\r\n\r\n")),
    "empty parts": lambda: multipart(fill(b"--b\n")),
    "parts in parts": lambda: _matryoshka(20_000),
    "messages in messages": lambda: message(fill(b"Content-Type: message/rfc822\r\n\r\n")),
    "messages in a digest": lambda: multipart(fill(b"--b\r\n\r\na: b\r\n\r\n"), subtype=b"digest"),
    "lines like a delimiter": lambda: multipart(fill(b"--b-\r\n")),
    "delimiters in a line": lambda: multipart(fill(b"--b")),
    "hyphens": lambda: multipart(fill(b"-"), boundary=b"-" * 70),
    "delimiters and white space": lambda: multipart(fill(b"\n--b" + b" " * 5000 + b"x")),
    "parameters": lambda: message(b"Content-Type: text/plain" + fill(b";a=b") + b"\r\n"),
    "open parameters": lambda: message(b"Content-Type: text/plain" + fill(b';a="\\') + b"\r\n"),
    "parameters of parts": lambda: multipart(
        fill(b"--b\r\nContent-Type: text/plain" + b";a=b" * 250 + b"\r\n\r\n\r\n")
    ),
    "parameters of parts, white space": lambda: multipart(
        fill(b"--b\r\nContent-Type: text/plain;%b\r\nContent-Disposition: a;%b\r\n\r\n" % ((b" " * 1000,) * 2))
    ),
    "headers of parts": lambda: multipart(fill(b"--b\r\n" + b"a: b\r\n" * 100 + b"\r\n")),
    "languages": lambda: message(b"Content-Language: " + fill(b"a,") + b"\r\n"),
    "unclosed parts in parts": lambda: multipart(
        fill(b'--b\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n')
    ),
}  # fmt: skip
ENVELOPES: dict[str, Callable[[], bytes]] = {
    "preamble of delimiters": lambda: into_signed(fill(b"--x\r\n")),
    "evidence is white space": lambda: _evidence_part(fill(b" \r\n")),
    "evidence is base64 of nothing": lambda: _evidence_part(fill(b"=\r\n")),
    "evidence is large": lambda: _evidence_part(base64.b64encode(b"<a>" + fill(b"<b/>", 700_000) + b"</a>")),
    "signature is large": lambda: samples.dispatch() + fill(b"--"),
}
USERS: dict[str, Callable[[], bytes]] = {
    "dots": lambda: _user(fill(b"\r\n..")),
    "white space": lambda: _user(fill(b" ")),
    "preamble": lambda: _user(b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n' + fill(b"\r\n--x")),
    "signature in hostile base64": lambda: samples.user_signed()[: -len(b"--s--\r\n")] + fill(b"A=") + b"\r\n--s--\r\n",
    "opaque, nested": lambda: _opaque(nested(150_000)),
    "opaque, open for ever": lambda: _opaque(fill(b"\x30\x80", 700_000)),
    "opaque, in pieces": lambda: _opaque(
        signed_data(
            encap_content_info=der.sequence(_DATA, der.tagged(0, der.tlv(0x24, fill(der.octet_string(b"x"), 700_000))))
        )
    ),
}


def _evidence_part(body: bytes) -> bytes:
    octets = samples.dispatch()
    start = octets.index(b"\r\n\r\n", octets.index(b"application/xml")) + 4
    return octets[:start] + body + octets[octets.index(b"\r\n--", start) :]


def _user(content: bytes) -> bytes:
    return samples.user_signed().replace(samples.CONTENT, content)


def _opaque(octets: bytes) -> bytes:
    head = b"MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=signed-data\r\n"
    return message(head + b"Content-Transfer-Encoding: base64\r\n", base64.b64encode(octets))


# -- records, proofs, cards, commands -----------------------------------------------------------------------------

RECORDS: dict[str, Callable[[], bytes]] = {
    "nested": lambda: nested(200_000),
    "chains": lambda: _record(fill(der.sequence(der.sequence()))),
    "stamps": lambda: _record(der.sequence(fill(der.sequence(b"\x30\x00")))),
    "levels": lambda: _record(der.sequence(der.sequence(der.tlv(0xA2, fill(b"\x30\x00"))))),
    "hashes": lambda: _record(
        der.sequence(der.sequence(der.tlv(0xA2, der.sequence(fill(der.octet_string(bytes(32))))), samples.token()))
    ),
    "algorithms": lambda: der.sequence(der.integer(1), der.sequence(fill(der.sequence(der.oid("1.2.3")))), b"\x30\x00"),
    "algorithm": lambda: der.sequence(der.integer(1), der.sequence(der.sequence(_oid(fill(b"\x81")))), b"\x30\x00"),
    "token": lambda: _record(der.sequence(der.sequence(CMS["same certificates"]()))),
    "token, nested": lambda: _record(der.sequence(der.sequence(nested(190_000)))),
}


def _record(chains: bytes) -> bytes:
    sha256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))
    return der.sequence(der.integer(1), der.sequence(sha256), der.sequence(chains))


LEDGERS: dict[str, Callable[[], bytes]] = {
    "brackets": lambda: fill(b"["),
    "objects": lambda: fill(b'{"a":'),
    "keys": lambda: b"{" + numbered(b'"%d":0,') + b'"x":0}',
    "number": lambda: b'{"format":"kepgw-inclusion-proof/1","path":[],"index":' + fill(b"9") + b"}",
    "fraction": lambda: b'{"path":[],"index":1e' + fill(b"9") + b"}",
    "path": lambda: b'{"format":"kepgw-inclusion-proof/1","path":[' + fill(b'"",') + b'""]}',
    "hash": lambda: b'{"format":"kepgw-inclusion-proof/1","path":["' + fill(b" ") + b'"]}',
}
CARDS: dict[str, Callable[[], bytes]] = {
    "tables": lambda: numbered(b"[a%d]\n", SMALL),
    "dotted key": lambda: fill(b"a.", SMALL) + b"a=1\n",
    "dotted keys": lambda: numbered(b"a.a.a.b%d=1\n", SMALL),
    "deep tables": lambda: b"[" + b"a." * 100_000 + b"a]\n" + b"x=1\n",
    "brackets": lambda: b"a=" + fill(b"[", SMALL),
    "braces": lambda: b"a=" + fill(b"{a=", SMALL),
    "certificates": lambda: samples.card().replace(b"\ncertificates = [", b"\ncertificates = [" + b'"MAA=",' * 30_000),
    "number": lambda: b"kepgw_card=" + fill(b"9", SMALL),
}
COMMANDS: dict[str, Callable[[], bytes]] = {
    "open lists": lambda: b"a SEARCH " + fill(b"("),
    "negations": lambda: b"a SEARCH " + fill(b"NOT ") + b"ALL\r\n",
    "choices": lambda: b"a SEARCH " + fill(b"OR ") + b"ALL\r\n",
    "wide choices": lambda: b"a SEARCH " + fill(b"OR ALL ") + b"ALL ALL\r\n",
    "keys": lambda: b"a SEARCH " + fill(b"ALL ") + b"ALL\r\n",
    "set": lambda: b"a FETCH " + fill(b"1,") + b"1 UID\r\n",
    "section": lambda: b"a FETCH 1 BODY[" + fill(b"1.") + b"1]\r\n",
    "sections": lambda: b"a FETCH 1 (" + fill(b"BODY[1] ") + b"UID)\r\n",
    "header names": lambda: b"a FETCH 1 BODY[HEADER.FIELDS (" + fill(b"a ") + b"a)]\r\n",
    "flags": lambda: b"a STORE 1 FLAGS (" + fill(b"a ") + b"a)\r\n",
    "literals": lambda: b"a LOGIN " + fill(b"{1+}\r\na "),
    "quoted": lambda: b'a LOGIN "' + fill(b'\\"') + b'" x\r\n',
    "number": lambda: b"a FETCH " + fill(b"9") + b" UID\r\n",
    "mailbox": lambda: b"a SELECT " + fill(b"&AGE-") + b"\r\n",
    "mailbox in hostile base64": lambda: b'a SELECT "&' + fill(b"A") + b'-"\r\n',
    "patterns": lambda: b'a LIST "" (' + fill(b"* ") + b"*)\r\n",
    "identification": lambda: b"a ID (" + fill(b'"a" NIL ') + b'"a" NIL)\r\n',
}
LINES: dict[str, Callable[[], bytes]] = {
    "path": lambda: b"FROM:<" + fill(b"a") + b">",
    "quoted path": lambda: b'FROM:<"' + fill(b"\\a") + b'"@b>',
    "route": lambda: b"TO:<" + fill(b"@a,") + b":a@b>",
    "parameters": lambda: b"FROM:<a@b>" + fill(b" SIZE=1"),
    "parameter": lambda: b"FROM:<a@b> ENVID=" + fill(b"+2B"),
    "white space": lambda: b"FROM:" + fill(b" "),
    "number": lambda: fill(b"9"),
}

GARBAGE: dict[str, Callable[[], bytes]] = {
    f"{readers}: {shape}": make
    for readers, shapes in {
        "cms": CMS,
        "token": TOKENS,
        "response": RESPONSES
        | {f"token, {shape}": (lambda m=make: in_response(m())) for shape, make in TOKENS.items()},
        "request": REQUESTS,
        "certificate": CERTIFICATES | {f"large, {shape}": make for shape, make in LARGE_CERTIFICATES.items()},
        "revocation": REVOCATION,
        "header addresses structure": HEADERS,
        "words own-field": WORDS,
        "structure envelope user-signature": STRUCTURES,
        "message": ENVELOPES,
        "user-signature structure": USERS,
        "record": RECORDS,
        "ledger": LEDGERS,
        "card": CARDS,
        "imap": COMMANDS,
        "smtp": LINES,
    }.items()
    for shape, make in shapes.items()
}


def work(name: str) -> dict[str, Callable[[], object]]:
    """What each reader does with one piece of garbage; for ``fuzz_limits.cost``."""
    octets = GARBAGE[name]()
    if len(octets) > SIZE + 20_000:
        raise ValueError(f"{len(octets)} octets")
    readers = name.partition(":")[0].split()
    for reader in readers:
        for seed in SEEDS[reader]():  # what is made once is not counted
            READERS[reader](seed)
    return {reader: partial(READERS[reader], octets) for reader in readers}
