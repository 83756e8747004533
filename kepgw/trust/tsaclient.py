"""Time-stamp authorities over HTTP (RFC 3161 3.4), asked in order until one gives a usable token."""

import secrets
from collections.abc import Callable, Sequence
from typing import Protocol

import httpx

from kepgw.errors import FormatError, SignatureInvalid, StampUnavailable
from kepgw.trust.tokens import LARGEST, build_request, read_response, verify_token

TIMEOUT = 10.0  # seconds for connecting and for each read; no text fixes it
_QUERY = "application/timestamp-query"


class Authority(Protocol):
    """Something that gives a TimeStampToken (DER) for a digest and a nonce; raises StampUnavailable."""

    name: str

    def token(self, digest: bytes, nonce: int | None = None) -> bytes:
        """The token over ``digest`` that answers ``nonce``."""


class HttpTsa:
    """One authority at an ``http`` or ``https`` URL, with a user name and password where it wants them.

    Each token is verified to ``anchors`` (DER) when it arrives: one that nobody can verify must not enter an evidence.
    Connections are kept; safe to use from many threads.
    """

    def __init__(
        self,
        url: str,
        *,
        anchors: Sequence[bytes],
        user: str = "",
        password: str = "",
        timeout: float = TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.name = url
        self._anchors = tuple(anchors)
        self._client = httpx.Client(
            auth=(user, password) if user else None, timeout=timeout, transport=transport, follow_redirects=False
        )

    def __call__(self, digest: bytes) -> bytes:
        """The TimeStampToken over ``digest``, with a fresh nonce."""
        return self.token(digest, secrets.randbits(64))

    def token(self, digest: bytes, nonce: int | None = None) -> bytes:
        """Ask for a token; raises StampUnavailable when none comes or when it does not verify (its cause tells)."""
        try:
            token = read_response(self._post(build_request(digest, nonce)))
            verify_token(token, digest, self._anchors, nonce=nonce)
        except (httpx.HTTPError, httpx.InvalidURL, SignatureInvalid, FormatError, StampUnavailable) as error:
            raise StampUnavailable(f"{self.name}: {type(error).__name__}: {error}") from error
        return token

    def close(self) -> None:
        """Close the kept connections."""
        self._client.close()

    def _post(self, request: bytes) -> bytes:
        """Send one query; the answer is read up to a bound, however long the server talks."""
        with self._client.stream("POST", self.name, content=request, headers={"Content-Type": _QUERY}) as response:
            if response.status_code != 200:
                raise StampUnavailable(f"HTTP {response.status_code}")
            octets = bytearray()
            for chunk in response.iter_bytes(16384):
                octets += chunk
                if len(octets) > LARGEST:
                    raise StampUnavailable(f"an answer over {LARGEST} octets")
        return bytes(octets)


class TsaOrder:
    """Authorities in order: the first that gives a token serves. It satisfies ``kepgw.evidence.xades.Stamp``.

    ``failed`` is told each authority that did not answer and why, for the log and the metrics.
    """

    def __init__(
        self, authorities: Sequence[Authority], failed: Callable[[str, StampUnavailable], None] | None = None
    ) -> None:
        self._authorities = tuple(authorities)
        self._failed = failed

    def __call__(self, digest: bytes) -> bytes:
        """The token (DER) over ``digest``. Raises StampUnavailable, with every reason, when all fail."""
        reasons = []
        for authority in self._authorities:
            try:
                return authority.token(digest, secrets.randbits(64))
            except StampUnavailable as error:
                reasons.append(str(error))
                if self._failed is not None:
                    self._failed(authority.name, error)
        raise StampUnavailable("; ".join(reasons) or "no time-stamp authority is configured")
