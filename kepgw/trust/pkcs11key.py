"""A process key on a token: signs where it lies, and satisfies ``kepgw.evidence.xades.Signer`` as a FileKey does.

The token hashes where it can; else the digest is taken here and the token signs that.
"""

import hashlib
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kepgw.errors import ConfigurationError, SignatureInvalid, SigningUnavailable
from kepgw.trust import der
from kepgw.trust.algorithms import SIGNATURES, digest_identifier, verify_signature
from kepgw.trust.keys import CertifiedKey
from kepgw.trust.pkcs11session import HAVE_PKCS11, PinRefused, TokenPlace, module_of

if HAVE_PKCS11:
    from pkcs11 import exceptions as ck
    from pkcs11.constants import ObjectClass
    from pkcs11.mechanisms import MGF, KeyType, Mechanism

if TYPE_CHECKING:
    from pkcs11.types import Session, SignMixin

__all__ = ["PinRefused", "TokenKey", "TokenPlace"]


class _Way(NamedTuple):
    """How a token signs by one algorithm: with a mechanism that hashes, or by the bare one over a digest."""

    mechanism: "Mechanism"
    parameter: "tuple[Mechanism, MGF, int] | None"
    hashes: bool


class TokenKey(CertifiedKey):
    """A key on a token with its certificate. Opened when it is first used; safe to use from many threads."""

    def __init__(
        self,
        place: TokenPlace,
        certificate: x509.Certificate,
        chain: Sequence[x509.Certificate] = (),
        algorithm: str = "",
    ) -> None:
        super().__init__(certificate, chain, algorithm)
        self.place = place
        self._module = module_of(place.module)
        self._how = SIGNATURES[self.algorithm]
        public = certificate.public_key()
        self._coordinate = (public.curve.key_size + 7) // 8 if isinstance(public, ec.EllipticCurvePublicKey) else 0
        self._opened: tuple[Session, SignMixin, _Way] | None = None

    def sign(self, data: bytes) -> bytes:
        """Sign ``data``, which is hashed here or on the token; an ECDSA signature comes as DER.

        Raises SigningUnavailable when the token does not serve, PinRefused when it refuses the PIN.
        """
        try:
            return self._module.use(self.place, lambda session: self._sign(session, data))
        except ConfigurationError as error:  # while messages wait: they go on waiting
            raise SigningUnavailable(str(error)) from error

    def check(self, *, careful: bool = False) -> None:
        """Open the token and see that its key belongs to the certificate: one signature, verified.

        ``careful`` gives no PIN when the last one that somebody gave was wrong. Raises ConfigurationError for another
        key or none, PinRefused, or SigningUnavailable.
        """
        self._opened = None
        self._module.use(self.place, self._ready, careful=careful)

    def stop_logins(self, why: str) -> None:
        """Try no login at this token any more: another process found the PIN refused."""
        self._module.refuse(self.place.token, why)

    def _sign(self, session: "Session", data: bytes) -> bytes:
        _, key, way = self._ready(session)
        return self._signature(key, way, data)

    def _ready(self, session: "Session") -> "tuple[Session, SignMixin, _Way]":
        """The handle of the key in this session, checked once in each."""
        if self._opened is None or self._opened[0] is not session:
            key = self._find(session)
            way = _way(self.algorithm, frozenset(session.token.slot.get_mechanisms()))
            probe = secrets.token_bytes(32)
            signature = self._signature(key, way, probe)
            salt = hashlib.new(self._how.digest).digest_size
            try:
                verify_signature(
                    self.certificate, self._how.kind, self._how.digest, salt, signature, probe, "signature"
                )
            except SignatureInvalid as error:
                raise ConfigurationError(
                    f"the key {self._named} on {self.place.name} does not belong to its certificate"
                ) from error
            self._opened = session, key, way
        return self._opened

    def _find(self, session: "Session") -> "SignMixin":
        kind = KeyType.EC if self._how.kind == "ecdsa" else KeyType.RSA
        try:
            found: Any = session.get_key(
                object_class=ObjectClass.PRIVATE_KEY, key_type=kind, label=self.place.label, id=self.place.identifier
            )
        except ck.NoSuchKey as error:
            raise ConfigurationError(f"there is no {kind.name} key {self._named} on {self.place.name}") from error
        except ck.MultipleObjectsReturned as error:
            raise ConfigurationError(
                f"there are several private keys {self._named} on {self.place.name}; give their id too"
            ) from error
        key: SignMixin = found
        return key

    def _signature(self, key: "SignMixin", way: _Way, data: bytes) -> bytes:
        given = data if way.hashes else self._digested(data)
        try:
            value = key.sign(given, mechanism=way.mechanism, mechanism_param=way.parameter)
        except (ck.KeyTypeInconsistent, ck.KeySizeRange, ck.MechanismInvalid, ck.FunctionNotSupported) as error:
            raise ConfigurationError(
                f"the key {self._named} on {self.place.name} does not sign by {self.algorithm}: {type(error).__name__}"
            ) from error
        if self._how.kind != "ecdsa":
            return value
        half = len(value) // 2  # PKCS#11 2.40 2.3.1: r and s side by side, equally long
        return encode_dss_signature(int.from_bytes(value[:half], "big"), int.from_bytes(value[half:], "big"))

    def _digested(self, data: bytes) -> bytes:
        digest = hashlib.new(self._how.digest, data).digest()
        if self._how.kind == "rsa":
            return der.sequence(digest_identifier(self._how.digest), der.octet_string(digest))  # RFC 8017 9.2
        return digest if self._how.kind == "rsa-pss" else digest[: self._coordinate]  # FIPS 186-5 6.4.1: the left bits

    @property
    def _named(self) -> str:
        label = "" if self.place.label is None else repr(self.place.label)
        identifier = "" if self.place.identifier is None else f"id {self.place.identifier.hex()}"
        return f"{label} {identifier}".strip()


def _way(algorithm: str, offered: "frozenset[Mechanism | int]") -> _Way:
    """How to sign by an algorithm with the mechanisms that a token offers. Raises ConfigurationError."""
    kind, digest, _ = SIGNATURES[algorithm]
    name = digest.upper()
    parameter = None
    hashing, bare = {
        "rsa": (f"{name}_RSA_PKCS", "RSA_PKCS"),
        "rsa-pss": (f"{name}_RSA_PKCS_PSS", "RSA_PKCS_PSS"),
        "ecdsa": (f"ECDSA_{name}", "ECDSA"),
    }[kind]
    if kind == "rsa-pss":
        parameter = Mechanism[name], MGF[name], hashlib.new(digest).digest_size
    for mechanism, hashes in ((Mechanism[hashing], True), (Mechanism[bare], False)):
        if mechanism in offered:
            return _Way(mechanism, parameter, hashes)
    raise ConfigurationError(f"the token has no mechanism for {algorithm}; choose another algorithm")
