"""A time-stamp authority for development and tests (RFC 3161), inside the process and without legal effect.

Its policy OID says so: it stands under the arc that is set aside for examples and belongs to no authority.
"""

import hashlib
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from kepgw.errors import FormatError, StampUnavailable
from kepgw.trust import cms, der
from kepgw.trust.algorithms import DIGEST_SIZES, SIGNATURES, digest_identifier
from kepgw.trust.cmsreading import TST_INFO
from kepgw.trust.tokens import read_request

if TYPE_CHECKING:
    from kepgw.evidence.xades import Signer

DEVELOPMENT_POLICY = "2.999.5070.1"  # 2.999 = joint-iso-itu-t example (X.660); no authority's policy, no legal effect
_ACCURACY = der.sequence(der.integer(1))  # one second: the clock of a development machine

_VERSION = der.integer(1)
_GRANTED = der.sequence(der.integer(0))
_BAD_REQUEST = der.sequence(der.sequence(der.integer(2), der.tlv(0x03, b"\x02\x04")))  # rejection, badDataFormat
_UNACCEPTED_POLICY = der.sequence(der.sequence(der.integer(2), der.tlv(0x03, b"\x00\x00\x01")))  # bit 15


class DevelopmentTsa:
    """Makes time-stamp tokens with a key of its own; calling it with a SHA-2 digest gives the token's DER.

    It satisfies ``kepgw.evidence.xades.Stamp``. The time is that of ``now`` at the call (the machine's clock when not
    given). Serial numbers are random 64 bit, so several processes may share a key. Raises StampUnavailable when the
    key's certificate is not valid at that time. Safe to use from many threads.
    """

    name = "development TSA"

    def __init__(self, key: "Signer", now: Callable[[], datetime] | None = None) -> None:
        self._key = key
        self._now = now or partial(datetime.now, UTC)
        self._policy = der.oid(DEVELOPMENT_POLICY)
        self._digest = SIGNATURES[key.algorithm].digest

    def __call__(self, digest: bytes) -> bytes:
        """The TimeStampToken (DER ContentInfo) over ``digest``."""
        return self.token(digest)

    def token(self, digest: bytes, nonce: int | None = None) -> bytes:
        """The TimeStampToken over ``digest``, with the requester's ``nonce`` in it when given."""
        at = self._now()
        begins, ends = getattr(self._key, "not_before", at), getattr(self._key, "not_after", at)
        if not begins <= at <= ends:
            raise StampUnavailable(f"the development TSA's certificate is valid from {begins} to {ends} only")
        info = der.sequence(
            _VERSION,
            self._policy,
            der.sequence(digest_identifier(DIGEST_SIZES[len(digest)]), der.octet_string(digest)),
            der.integer(secrets.randbits(63) | 1 << 63),
            der.generalized_time(at),
            _ACCURACY,
            b"" if nonce is None else der.integer(nonce),
        )
        return cms.envelop(TST_INFO, info, hashlib.new(self._digest, info).digest(), self._key, at)

    def respond(self, request: bytes) -> bytes:
        """The TimeStampResp (DER) to a TimeStampReq: for a small HTTP server of tests and of ``--dev`` providers."""
        try:
            asked = read_request(request)
        except FormatError:
            return _BAD_REQUEST
        if asked.policy not in {"", DEVELOPMENT_POLICY}:
            return _UNACCEPTED_POLICY
        return der.sequence(_GRANTED, self.token(asked.digest, asked.nonce))
