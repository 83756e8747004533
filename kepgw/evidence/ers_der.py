"""The DER of RFC 4998 Appendix A (implicit tags), read and written octet by octet.

What stands in a record already must stay exactly as it was encoded, for later stamps are over these octets.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from asn1crypto import algos, cms, core, tsp

from kepgw.errors import FormatError, SignatureInvalid, Sub
from kepgw.evidence import bounds

CHECK: Final = "evidence-record"
ALGORITHMS: Final = ("sha256", "sha384", "sha512")
LARGEST: Final = 4 << 20  # octets of a record
MOST_STAMPS: Final = 256  # in one record: a renewal every year for centuries
MOST_LEVELS: Final = 64  # of a reduced hash tree
MOST_HASHES: Final = 4096  # on one level: the documents of a group

_SEQUENCE, _OCTETS, _OID = 0x30, 0x04, 0x06
_VERSION_1: Final = b"\x02\x01\x01"


@dataclass(frozen=True, slots=True)
class ArchiveTimeStamp:
    """RFC 4998 4.1: ``octets`` is the whole in DER, ``token`` its timeStamp, ``tree`` the reduced hash tree.

    ``algorithm`` is the digest named, or that of the token's imprint where none is.
    """

    octets: bytes
    algorithm: str
    tree: tuple[tuple[bytes, ...], ...]
    token: bytes
    imprint: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """RFC 4998 3.1, without the encryption information, which kepgw refuses. ``crypto_infos`` is DER, or empty."""

    algorithms: tuple[str, ...]
    crypto_infos: bytes
    chains: tuple[tuple[ArchiveTimeStamp, ...], ...]


# -- reading ------------------------------------------------------------------------------------------------------


def read(octets: bytes) -> Record:
    """Read an EvidenceRecord. Raises FormatError, or SignatureInvalid for a refused digest."""
    if len(octets) > LARGEST:
        raise FormatError(f"an evidence record of {len(octets)} octets")
    try:
        return _record(octets)
    except (FormatError, SignatureInvalid):
        raise
    except Exception as error:  # asn1crypto raises errors of many kinds
        raise FormatError(f"not a readable evidence record: {error}") from error


def _record(octets: bytes) -> Record:
    (whole,) = _elements(octets)
    version, named, *more = _elements(_body(whole, _SEQUENCE))
    infos = b""
    if more and more[0][0] == 0xA0:
        infos = more.pop(0)
    if len(more) != 1 or version != _VERSION_1:  # [1] is data encrypted after archiving: another thing (6)
        raise FormatError("not an evidence record of version 1 over plain data")
    algorithms = tuple(_algorithm(each, _SEQUENCE) for each in _elements(_body(named, _SEQUENCE)))
    chains = []
    left = MOST_STAMPS
    for chain in _elements(_body(more[0], _SEQUENCE)):
        stamps = tuple(_stamp(each) for each in _elements(_body(chain, _SEQUENCE), left))
        left -= len(stamps)
        if not stamps:
            raise FormatError("an empty chain of archive time stamps")
        chains.append(stamps)
    if not chains:
        raise FormatError("an evidence record without a time stamp")
    return Record(algorithms, infos, tuple(chains))


def _stamp(octets: bytes) -> ArchiveTimeStamp:
    parts = list(_elements(_body(octets, _SEQUENCE)))
    named = parts.pop(0) if parts and parts[0][0] == 0xA0 else None
    if parts and parts[0][0] == 0xA1:
        parts.pop(0)  # attributes say nothing that we need (4.1)
    tree: tuple[tuple[bytes, ...], ...] = ()
    if parts and parts[0][0] == 0xA2:
        tree = tuple(
            tuple(_body(each, _OCTETS) for each in _elements(_body(level, _SEQUENCE), MOST_HASHES))
            for level in _elements(_body(parts.pop(0), 0xA2), MOST_LEVELS)
        )
    (token,) = parts
    imprint, hashed = _imprint(token)
    return ArchiveTimeStamp(octets, imprint if named is None else _algorithm(named, 0xA0), tree, token, hashed)


def _imprint(token: bytes) -> tuple[str, bytes]:
    """Digest algorithm and digest that a token is over."""
    bounds.check(token, bounds.SIGNATURE)
    content = cms.ContentInfo.load(token, strict=True)["content"]["encap_content_info"]["content"]
    bounds.check(bytes(content))
    imprint = tsp.TSTInfo.load(bytes(content), strict=True)["message_imprint"]
    return _known(str(imprint["hash_algorithm"]["algorithm"].native)), bytes(imprint["hashed_message"].native)


def _algorithm(octets: bytes, tag: int) -> str:
    oid, *_ = _elements(_body(octets, tag))
    _body(oid, _OID)
    bounds.check(oid)
    return _known(str(algos.DigestAlgorithmId.load(oid, strict=True).native))


def _known(algorithm: str) -> str:
    if algorithm not in ALGORITHMS:
        raise SignatureInvalid(f"the digest {algorithm} is refused", CHECK, Sub.CRYPTO_CONSTRAINTS_FAILURE)
    return algorithm


def _elements(octets: bytes, most: int = 1024) -> Iterator[bytes]:
    """The encoded elements that stand one after another in ``octets``."""
    at = 0
    while at < len(octets):
        if not most:
            raise FormatError("an evidence record with too many parts")
        most -= 1
        _, end = _extent(octets, at)
        yield octets[at:end]
        at = end


def _body(octets: bytes, tag: int) -> bytes:
    if octets[:1] != bytes((tag,)):
        raise FormatError(f"an evidence record with tag {octets[:1].hex()} in place of {tag:02x}")
    start, end = _extent(octets, 0)
    if end != len(octets):
        raise FormatError("an evidence record with octets behind its end")
    return octets[start:end]


def _extent(octets: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at ``at`` begins and ends: one octet of tag, definite length (X.690 10.1)."""
    start = at + 2
    if start > len(octets) or octets[at] & 0x1F == 0x1F:
        raise FormatError("an evidence record that ends in a tag, or with a long tag")
    length = octets[at + 1]
    if length >= 0x80:
        width = length & 0x7F
        if not 0 < width <= 4:
            raise FormatError("an evidence record that is not DER")
        start += width
        length = int.from_bytes(octets[start - width : start], "big")
    if start + length > len(octets):
        raise FormatError("an evidence record that is cut off")
    return start, start + length


# -- writing ------------------------------------------------------------------------------------------------------


def tlv(tag: int, content: bytes) -> bytes:
    """Tag, definite length, content (X.690 8.1.3, 10.1)."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def sequence(parts: Iterable[bytes], tag: int = _SEQUENCE) -> bytes:
    """SEQUENCE of encoded parts; ``tag`` for an implicit one."""
    return tlv(tag, b"".join(parts))


def digest_algorithm(name: str, tag: int = _SEQUENCE) -> bytes:
    """AlgorithmIdentifier of a digest without parameters (RFC 5754 2)."""
    return tlv(tag, core.ObjectIdentifier(algos.DigestAlgorithmId.unmap(name)).dump())


def time_stamp(token: bytes, algorithm: str, tree: Iterable[Iterable[bytes]] = ()) -> bytes:
    """An ArchiveTimeStamp."""
    levels = [sequence(tlv(_OCTETS, each) for each in level) for level in tree]
    return sequence((digest_algorithm(algorithm, 0xA0), sequence(levels, 0xA2) if levels else b"", token))


def chains(given: Iterable[Iterable[bytes]]) -> bytes:
    """An ArchiveTimeStampSequence of encoded archive time stamps."""
    return sequence(sequence(chain) for chain in given)


def record(given: Iterable[Iterable[bytes]], algorithms: Iterable[str], crypto_infos: bytes = b"") -> bytes:
    """An EvidenceRecord of encoded archive time stamps."""
    named = sequence(digest_algorithm(each) for each in dict.fromkeys(algorithms))
    return sequence((_VERSION_1, named, crypto_infos, chains(given)))
