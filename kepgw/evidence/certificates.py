"""What a signature needs of a certificate: its key and its IssuerSerial, made once per certificate."""

from functools import lru_cache
from typing import Final

from asn1crypto import core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from kepgw.errors import FormatError
from kepgw.evidence import bounds

# Octets; certificates in the field have 1 to 4 KB. Names, policies and extensions cost their number and more
LARGEST: Final = 64 << 10

# What cryptography raises for a broken certificate, most of it only when a field is asked for; a name with a string of
# an unknown type is a KeyError.
UNREADABLE: Final = (
    ValueError,
    KeyError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def load(certificate: bytes) -> x509.Certificate:
    """A DER certificate of a stranger. Raises one of UNREADABLE, as its fields do later; also when over LARGEST."""
    if len(certificate) > LARGEST:
        raise ValueError(f"a certificate of {len(certificate)} octets")
    return x509.load_der_x509_certificate(certificate)


@lru_cache(maxsize=64)
def public_key(certificate: bytes) -> CertificatePublicKeyTypes:
    """The public key of a DER certificate. Raises ValueError when it cannot be read."""
    try:
        return load(certificate).public_key()
    except UNREADABLE as error:
        raise ValueError(str(error)) from error


@lru_cache(maxsize=64)
def issuer_serial(certificate: bytes) -> bytes:
    """DER IssuerSerial of a certificate (RFC 5035 5), as IssuerSerialV2 carries it (EN 319 132-1 5.2.2)."""
    leaf = asn1_x509.Certificate.load(certificate)
    name = asn1_x509.GeneralName(name="directory_name", value=leaf.issuer).dump()
    names: bytes = asn1_x509.GeneralNames([asn1_x509.GeneralName.load(name)]).dump()
    serial: bytes = core.Integer(leaf.serial_number).dump()
    return b"0" + _length(len(names) + len(serial)) + names + serial


def names_certificate(given: bytes, certificate: bytes) -> bool:
    """Whether a DER IssuerSerial names ``certificate``. Raises ValueError when it cannot be read."""
    if given == issuer_serial(certificate):
        return True
    # the name may be encoded otherwise than in the certificate (RFC 5280 7.1)
    try:
        bounds.check(given)
        bounds.check(certificate)
        leaf = asn1_x509.Certificate.load(certificate, strict=True)
        pair = core.SequenceOf.load(given, spec=core.Any, strict=True)
        names = asn1_x509.GeneralNames.load(pair[0].dump())
        return bool(
            len(pair) == 2
            and core.Integer.load(pair[1].dump()).native == leaf.serial_number
            and len(names) == 1
            and names[0].chosen.hashable == leaf.issuer.hashable
        )
    except (FormatError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(str(error)) from error


def _length(size: int) -> bytes:
    """DER length octets (X.690 8.1.3)."""
    if size < 128:
        return bytes([size])
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([128 | len(octets)]) + octets
