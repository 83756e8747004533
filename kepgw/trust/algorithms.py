"""Every signature and digest algorithm that kepgw makes or accepts, in one table.

SHA-1 and MD5 stand in no table: what names them is refused (TS 119 312; Elektronik İmza Tebliği m.6). RSA below 2048
bits and curves other than P-256, P-384 and P-521 are refused as well.
"""

from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from kepgw.errors import SignatureInvalid, Sub
from kepgw.evidence.certificates import UNREADABLE, load
from kepgw.trust import der

SMALLEST_RSA = 2048  # bits; TS 119 312 has called less unfit since 2019
LARGEST_RSA = 8192  # bits; a larger public key only costs the verifier time
CURVES = ("secp256r1", "secp384r1", "secp521r1")

DIGEST_SIZES = {32: "sha256", 48: "sha384", 64: "sha512"}
DIGEST_OIDS = {
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
HASHES: dict[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class SignatureAlgorithm(NamedTuple):
    """How a named algorithm signs, and its DER AlgorithmIdentifier in a CMS SignerInfo."""

    kind: str  # "rsa", "rsa-pss" or "ecdsa"
    digest: str  # "sha256", "sha384" or "sha512"
    identifier: bytes  # DER


def _pss(digest: str, salt: int) -> bytes:
    """RSASSA-PSS parameters with MGF1 over the same digest (RFC 4055 3.1)."""
    hash_identifier = der.sequence(der.oid(DIGEST_OIDS[digest]), der.NULL)
    mask = der.sequence(der.oid("1.2.840.113549.1.1.8"), hash_identifier)
    parameters = der.sequence(der.tagged(0, hash_identifier), der.tagged(1, mask), der.tagged(2, der.integer(salt)))
    return der.sequence(der.oid("1.2.840.113549.1.1.10"), parameters)


def _rsa(oid: str) -> bytes:
    return der.sequence(der.oid(oid), der.NULL)  # RFC 3370 3.2: the parameters are NULL


SIGNATURES: dict[str, SignatureAlgorithm] = {
    "rsa-sha256": SignatureAlgorithm("rsa", "sha256", _rsa("1.2.840.113549.1.1.11")),
    "rsa-sha384": SignatureAlgorithm("rsa", "sha384", _rsa("1.2.840.113549.1.1.12")),
    "rsa-sha512": SignatureAlgorithm("rsa", "sha512", _rsa("1.2.840.113549.1.1.13")),
    "rsa-pss-sha256": SignatureAlgorithm("rsa-pss", "sha256", _pss("sha256", 32)),
    "rsa-pss-sha384": SignatureAlgorithm("rsa-pss", "sha384", _pss("sha384", 48)),
    "rsa-pss-sha512": SignatureAlgorithm("rsa-pss", "sha512", _pss("sha512", 64)),
    "ecdsa-sha256": SignatureAlgorithm("ecdsa", "sha256", der.sequence(der.oid("1.2.840.10045.4.3.2"))),
    "ecdsa-sha384": SignatureAlgorithm("ecdsa", "sha384", der.sequence(der.oid("1.2.840.10045.4.3.3"))),
    "ecdsa-sha512": SignatureAlgorithm("ecdsa", "sha512", der.sequence(der.oid("1.2.840.10045.4.3.4"))),
}


def digest_identifier(digest: str) -> bytes:
    """The DER AlgorithmIdentifier of a digest; parameters NULL, as OpenSSL and the ETSI kit write them."""
    return der.sequence(der.oid(DIGEST_OIDS[digest]), der.NULL)


def signature_padding(digest: str, salt: int) -> padding.PSS:
    """RSASSA-PSS padding with MGF1 over the same digest."""
    return padding.PSS(mgf=padding.MGF1(HASHES[digest]), salt_length=salt)


def check_public_key(key: PublicKeyTypes) -> None:
    """Raise SignatureInvalid when a signer's key is too weak, absurdly large or of a kind we do not read."""
    if isinstance(key, rsa.RSAPublicKey):
        if not SMALLEST_RSA <= key.key_size <= LARGEST_RSA:
            raise SignatureInvalid(f"RSA key of {key.key_size} bits", "algorithm", Sub.CRYPTO_CONSTRAINTS_FAILURE)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in CURVES:
            raise SignatureInvalid(f"curve {key.curve.name}", "algorithm", Sub.CRYPTO_CONSTRAINTS_FAILURE)
    else:
        raise SignatureInvalid(f"public key of kind {type(key).__name__}", "algorithm", Sub.CRYPTO_CONSTRAINTS_FAILURE)


@lru_cache(maxsize=512)
def public_key(certificate: bytes) -> PublicKeyTypes:
    """The checked public key of a DER certificate; cached, for a peer signs thousands with one key.

    Raises SignatureInvalid(check="algorithm") for a key that is refused, (check="signature") for a broken certificate.
    """
    try:
        key = load(certificate).public_key()
    except UNREADABLE as error:
        raise SignatureInvalid(
            f"the signer's certificate cannot be read: {error}", sub=Sub.NO_SIGNING_CERTIFICATE_FOUND
        ) from error
    check_public_key(key)
    return key


def verify_signature(
    certificate: bytes, kind: str, digest: str, salt: int, signature: bytes, data: bytes, check: str
) -> None:
    """Verify ``signature`` over ``data``; raises SignatureInvalid(check) when it does not hold or kinds do not fit.

    ``kind`` is "rsa", "rsa-pss" or "ecdsa" (signature in DER); ``salt`` matters to RSASSA-PSS only.
    """
    key = public_key(certificate)
    try:
        if isinstance(key, rsa.RSAPublicKey) and kind == "rsa":
            key.verify(signature, data, padding.PKCS1v15(), HASHES[digest])
        elif isinstance(key, rsa.RSAPublicKey) and kind == "rsa-pss":
            key.verify(signature, data, signature_padding(digest, salt), HASHES[digest])
        elif isinstance(key, ec.EllipticCurvePublicKey) and kind == "ecdsa":
            key.verify(signature, data, ec.ECDSA(HASHES[digest]))
        else:
            raise SignatureInvalid(f"a {kind} signature with a key of another kind", check, Sub.SIG_CRYPTO_FAILURE)
    except InvalidSignature as error:
        raise SignatureInvalid(
            "the signature value does not fit the signed octets", check, Sub.SIG_CRYPTO_FAILURE
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:  # such as a salt longer than the key allows
        raise SignatureInvalid(f"the signature cannot be verified: {error}", check, Sub.SIG_CRYPTO_FAILURE) from error
