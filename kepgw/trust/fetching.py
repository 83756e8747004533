"""Asking authorities over the network: OCSP (RFC 6960 A.1) first, else the CRL (RFC 5280 4.2.1.13).

The addresses stand in certificates that somebody else wrote, so every answer is bounded in size, time and redirects,
and no address of a private network is touched unless the configuration allows it: the name is resolved here, and the
connection goes to the address that was looked at. Proxies of the environment are not used.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from kepgw.errors import MaterialUnavailable
from kepgw.evidence.certificates import UNREADABLE
from kepgw.trust.material import Fetched, Material, sources, word

MOST_REDIRECTS: Final = 3
LARGEST_RESPONSE: Final = 256 << 10  # octets of an OCSP response with a responder's chain in it
SKEW: Final = timedelta(minutes=10)  # an answer of the future is none, but clocks differ

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class HttpFetcher:
    """Asks about one certificate at a time, for many tasks of one event loop.

    ``timeout`` in seconds bounds one answer as a whole, ``largest`` its octets. ``private`` allows addresses that are
    not of the public internet.
    """

    def __init__(
        self,
        *,
        timeout: float = 15.0,
        largest: int = 16 << 20,
        private: bool = False,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._timeout = timeout
        self._largest = largest
        self._private = private
        self._now = now or partial(datetime.now, UTC)
        self._client = httpx.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False)
        self._one_list = asyncio.Lock()  # certificates of one issuer share its list: it is fetched once

    async def ask(self, certificate: bytes, issuer: bytes, lists: dict[str, bytes | str]) -> Fetched:
        """Word of a certificate (DER) from the first of its addresses that gives a usable one.

        ``lists`` remembers the lists of one round, or why they could not be had. Raises MaterialUnavailable with every
        reason.
        """
        where, problems = sources(certificate), []
        for url in where.ocsp:
            try:
                octets = await self._fetch(
                    "POST", url, min(LARGEST_RESPONSE, self._largest), ocsp_request(certificate, issuer)
                )
                return await asyncio.to_thread(self._usable, Material("ocsp", octets), certificate, issuer, url)
            except MaterialUnavailable as error:
                problems.append(f"{url}: {error}")
        for url in where.crl:
            try:
                octets = await self._list(url, lists)
                return await asyncio.to_thread(self._usable, Material("crl", octets), certificate, issuer, url)
            except MaterialUnavailable as error:
                problems.append(f"{url}: {error}")
        raise MaterialUnavailable("; ".join(problems) or "the certificate names no address to ask")

    async def get(self, url: str, largest: int, *, plain: bool = False) -> bytes:
        """What stands at an address: at most ``largest`` octets, over https alone unless ``plain``.

        Raises MaterialUnavailable.
        """
        return await self._fetch("GET", url, largest, schemes=("http", "https") if plain else ("https",))

    async def close(self) -> None:
        """Close the kept connections."""
        await self._client.aclose()

    def _usable(self, material: Material, certificate: bytes, issuer: bytes, url: str) -> Fetched:
        said = word(material, certificate, issuer)
        if said is None:
            raise MaterialUnavailable("the answer is none, speaks of another certificate, or its signer may not say it")
        if said.state == "unknown":
            raise MaterialUnavailable("the certificate is unknown to its own authority")
        if said.said > self._now() + SKEW:
            raise MaterialUnavailable(f"an answer of the future, {said.said:%Y-%m-%d %H:%M}Z")
        if said.state != "revoked" and said.until < self._now():
            raise MaterialUnavailable(f"an old answer: it held until {said.until:%Y-%m-%d %H:%M}Z")
        return Fetched(material, certificate, issuer, said, url)

    async def _list(self, url: str, lists: dict[str, bytes | str]) -> bytes:
        async with self._one_list:
            if url not in lists:
                try:
                    lists[url] = await self._fetch("GET", url, self._largest)
                except MaterialUnavailable as error:
                    lists[url] = str(error)
            found = lists[url]
        if isinstance(found, str):
            raise MaterialUnavailable(found)
        return found

    async def _fetch(
        self,
        method: str,
        url: str,
        largest: int,
        content: bytes | None = None,
        schemes: tuple[str, ...] = ("http", "https"),
    ) -> bytes:
        try:
            async with asyncio.timeout(self._timeout):  # over all: a server that drips never times out by itself
                for _ in range(MOST_REDIRECTS + 1):
                    asked = httpx.URL(url)
                    if asked.scheme not in schemes or not asked.host or asked.userinfo:
                        raise MaterialUnavailable(f"an address that is not asked: {url[:200]}")
                    answer = await self._once(method, asked, largest, content)
                    if isinstance(answer, bytes):
                        return answer
                    url = str(answer)
        except TimeoutError as error:
            raise MaterialUnavailable(f"no whole answer within {self._timeout:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise MaterialUnavailable(f"{type(error).__name__}: {error}") from error
        raise MaterialUnavailable(f"more than {MOST_REDIRECTS} redirects")

    async def _once(self, method: str, url: httpx.URL, largest: int, content: bytes | None) -> bytes | httpx.URL:
        """One request: the octets, or where to go instead."""
        headers = {"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"}
        if content is not None:
            headers["Content-Type"] = "application/ocsp-request"
        request = self._client.build_request(
            method,
            url.copy_with(host=await self._address(url)),
            headers=headers,
            content=content,
            extensions={"sni_hostname": url.host},
        )
        answer = await self._client.send(request, stream=True)
        try:
            if answer.status_code in _REDIRECTS and "location" in answer.headers:
                return url.join(answer.headers["location"])
            if answer.status_code != 200:
                raise MaterialUnavailable(f"HTTP {answer.status_code}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise MaterialUnavailable("a compressed answer, which was not asked for")
            octets = bytearray()
            async for chunk in answer.aiter_raw():
                octets += chunk
                if len(octets) > largest:
                    raise MaterialUnavailable(f"an answer over {largest} octets")
            return bytes(octets)
        finally:
            await answer.aclose()

    async def _address(self, url: httpx.URL) -> str:
        """The address of the host that may be connected to. Raises MaterialUnavailable when it has none."""
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        for *_, address in await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM):
            told = str(address[0])
            if self._private or public(told):
                return told
        raise MaterialUnavailable(f"{url.host} is in a private network; fetch_private = true would allow it")


def public(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    read = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(read, "ipv4_mapped", None)
    return (mapped or read).is_global and not read.is_multicast


def ocsp_request(certificate: bytes, issuer: bytes) -> bytes:
    """The DER of an OCSPRequest without nonce, so that responders may answer from what they have signed before.

    SHA-1 in the CertID is only a name, and the one that every responder knows (RFC 5019 2.1.1). Raises
    MaterialUnavailable when a certificate cannot be read.
    """
    try:
        builder = ocsp.OCSPRequestBuilder().add_certificate(
            x509.load_der_x509_certificate(certificate),
            x509.load_der_x509_certificate(issuer),
            hashes.SHA1(),  # noqa: S303
        )
        return builder.build().public_bytes(Encoding.DER)
    except UNREADABLE as error:
        raise MaterialUnavailable(f"a certificate cannot be read: {error}") from error
