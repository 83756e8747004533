"""One time-stamp authority over HTTP (RFC 3161 3.4): asked, bounded, and believed only when its token verifies."""

import secrets
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import httpx

from kepgw.errors import ConfigurationError, SignatureInvalid, StampUnavailable
from kepgw.trust import paths
from kepgw.trust.tokens import LARGEST, Stamped, build_request, read_response, verify_token

TIMEOUT: Final = 10.0  # seconds for a whole request; no text fixes it
MAX_SECRET: Final = 4096  # octets of a password or token file
_QUERY: Final = "application/timestamp-query"


class Outcome(StrEnum):
    """What came of asking an authority; the label of its metrics."""

    GOOD = "good"
    CONNECT = "connect"  # no connection, or it broke
    TIMEOUT = "timeout"
    HTTP = "http"  # another status than 200, a redirect among them
    REFUSED = "refused"  # PKIStatus says no
    UNREADABLE = "unreadable"  # no TimeStampResp, or a too long one
    WRONG = "wrong"  # a token for another request, or with a signature that does not hold
    UNTRUSTED = "untrusted"  # its certificate is not an authority's, not valid at genTime, or leads to no anchor
    POLICY = "policy"  # another policy than the required one
    ACCURACY = "accuracy"  # accuracy missing or beyond the bound
    CLOCK = "clock"  # genTime too far from our clock
    UNAVAILABLE = "unavailable"  # an authority in this process that cannot stamp


# a token came that must not be used: worse than none, for it may be an attack or a broken authority
WRONG_OUTCOMES: Final = frozenset({Outcome.WRONG, Outcome.UNTRUSTED, Outcome.POLICY, Outcome.ACCURACY, Outcome.CLOCK})


class Authority(Protocol):
    """Something that gives a TimeStampToken (DER) for a digest and a nonce; raises StampUnavailable."""

    name: str

    def token(self, digest: bytes, nonce: int | None = None) -> bytes:
        """The token over ``digest`` that answers ``nonce``."""


@dataclass(frozen=True, slots=True)
class Access:
    """How an authority lets us in: at most one of user and password, or a bearer token; and TLS material (PEM).

    Secrets are read from files, so that they stand in no configuration, no process list and no log.
    """

    user: str = ""
    password_file: Path | None = None
    token_file: Path | None = None
    client_certificate: Path | None = None  # with its chain; the key in client_key
    client_key: Path | None = None
    tls_anchors: Path | None = None  # roots for https; None: those of the system


@dataclass(frozen=True, slots=True)
class Demands:
    """What a token must say beside being valid. ``policy`` is also asked for; None and "" demand nothing.

    ``accuracy``: the authority's own figure, which RFC 3161 2.4.2 leaves optional, must be there and at most this.
    ``clock``: genTime within this distance of our clock, before the question or after the answer.
    """

    policy: str = ""
    accuracy: timedelta | None = None
    clock: timedelta | None = None


class HttpTsa:
    """One authority at an ``http`` or ``https`` URL.

    Each token is verified to ``anchors`` (DER) when it arrives: one that nobody can verify must not enter an evidence.
    A request has ``timeout`` seconds in all; redirects are not followed (a question must not wander to a host that
    nobody named). Connections are kept; safe to use from many threads. Raises ConfigurationError for unusable access.
    """

    def __init__(
        self,
        url: str,
        *,
        anchors: Sequence[bytes],
        access: Access | None = None,
        demands: Demands | None = None,
        timeout: float = TIMEOUT,
        transport: httpx.BaseTransport | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.name = url
        self._anchors = tuple(anchors)
        self._demands = demands or Demands()
        self._timeout = timeout
        self._now = now or partial(datetime.now, UTC)
        self._open = partial(_client, access or Access(), timeout, transport)
        self._client = self._open()
        # a server that drips octets never lets a socket's time-out come: the whole is awaited from another thread
        self._worker = ThreadPoolExecutor(4, "tsa")

    def __call__(self, digest: bytes) -> bytes:
        """The TimeStampToken over ``digest``, with a fresh nonce."""
        return self.token(digest, secrets.randbits(64))

    def token(self, digest: bytes, nonce: int | None = None) -> bytes:
        """Ask for a token. Raises StampUnavailable with the outcome; its cause tells more."""
        asked = self._now()
        response = self._ask(build_request(digest, nonce, self._demands.policy))
        answered = self._now()
        try:
            token = read_response(response)
        except StampUnavailable as error:
            raise self._failure(error.outcome, str(error), error) from error
        try:
            stamped = verify_token(token, digest, self._anchors, nonce=nonce)
        except SignatureInvalid as error:
            path = isinstance(error.__cause__, SignatureInvalid) and error.__cause__.check == paths.CHECK
            raise self._failure(Outcome.UNTRUSTED if path else Outcome.WRONG, str(error), error) from error
        self._hold_to_demands(stamped, asked, answered)
        return token

    def close(self) -> None:
        """Close the kept connections."""
        self._worker.shutdown(wait=False)
        self._client.close()

    def _hold_to_demands(self, stamped: Stamped, asked: datetime, answered: datetime) -> None:
        demands = self._demands
        if demands.policy and stamped.policy != demands.policy:
            raise self._failure(Outcome.POLICY, f"stamped under {stamped.policy}, not {demands.policy}")
        if demands.accuracy is not None and (stamped.accuracy is None or stamped.accuracy > demands.accuracy):
            said = "no accuracy" if stamped.accuracy is None else f"{stamped.accuracy.total_seconds()} s"
            raise self._failure(Outcome.ACCURACY, f"{said}, not {demands.accuracy.total_seconds()} s or better")
        # how far genTime lies outside the time in which we waited for it
        ahead = max(stamped.time - answered, timedelta(0)) + min(stamped.time - asked, timedelta(0))
        if demands.clock is not None and abs(ahead) > demands.clock:
            offset = ahead.total_seconds()
            words = f"its clock is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} ours"
            raise self._failure(Outcome.CLOCK, words, offset=offset)

    def _ask(self, request: bytes) -> bytes:
        client = self._client
        try:
            answer = self._worker.submit(self._post, client, request)
            return answer.result(self._timeout * 1.5)  # past the socket's own time-outs, which tell more
        except TimeoutError as error:
            self._renew()
            raise self._failure(Outcome.TIMEOUT, f"no whole answer within {self._timeout} s", error) from error
        except httpx.TimeoutException as error:
            raise self._failure(Outcome.TIMEOUT, f"{type(error).__name__}: {error}", error) from error
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:  # the last: closed beside us
            raise self._failure(Outcome.CONNECT, f"{type(error).__name__}: {error}", error) from error
        except StampUnavailable as error:
            raise self._failure(error.outcome, str(error), error) from error

    def _renew(self) -> None:
        """Leave a request that does not end to its fate, and go on with fresh connections."""
        worker, self._worker = self._worker, ThreadPoolExecutor(4, "tsa")
        client, self._client = self._client, self._open()
        worker.shutdown(wait=False, cancel_futures=True)
        client.close()

    def _post(self, client: httpx.Client, request: bytes) -> bytes:
        """Send one query; the answer is read up to a bound in size and time, however long the server talks."""
        until = time.monotonic() + self._timeout
        with client.stream("POST", self.name, content=request, headers={"Content-Type": _QUERY}) as response:
            if response.status_code != 200:
                raise StampUnavailable(f"HTTP {response.status_code}", Outcome.HTTP)
            octets = bytearray()
            for chunk in response.iter_raw(16384):
                octets += chunk
                if len(octets) > LARGEST:
                    raise StampUnavailable(f"an answer over {LARGEST} octets", Outcome.UNREADABLE)
                if time.monotonic() > until:
                    raise StampUnavailable(f"no whole answer within {self._timeout} s", Outcome.TIMEOUT)
        return bytes(octets)

    def _failure(
        self, outcome: str, reason: str, cause: Exception | None = None, offset: float | None = None
    ) -> StampUnavailable:
        failure = StampUnavailable(f"{self.name}: {reason}", outcome, offset)
        failure.__cause__ = cause
        return failure


def _client(access: Access, timeout: float, transport: httpx.BaseTransport | None) -> httpx.Client:
    """A client that follows no redirect and asks for no coding (a token does not shrink; a bomb would grow)."""
    headers = {"Accept-Encoding": "identity"}
    if access.token_file is not None:
        headers["Authorization"] = f"Bearer {_secret(access.token_file)}"
    auth = None
    if access.user:
        auth = (access.user, _secret(access.password_file) if access.password_file else "")
    return httpx.Client(
        auth=auth,
        headers=headers,
        timeout=timeout,
        transport=transport,
        verify=_tls(access),
        follow_redirects=False,
    )


def _tls(access: Access) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=access.tls_anchors)
        if access.client_certificate is not None:
            context.load_cert_chain(access.client_certificate, access.client_key)
    except (OSError, ssl.SSLError) as error:
        files = [str(each) for each in (access.tls_anchors, access.client_certificate, access.client_key) if each]
        raise ConfigurationError(f"[[tsa]]: {', '.join(files)} cannot be used for TLS ({error})") from error
    return context


def _secret(path: Path) -> str:
    """The first line of a file. Raises ConfigurationError."""
    try:
        with path.open("rb") as file:
            line = file.read(MAX_SECRET + 1).split(b"\n", 1)[0].rstrip(b"\r")
        secret = line.decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read as a password or token ({error})") from error
    if not secret or len(line) > MAX_SECRET or not secret.isprintable():
        raise ConfigurationError(f"{path}: its first line is no password or token")
    return secret
