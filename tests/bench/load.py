"""Submitting over TLS with AUTH on many connections at once, as ordinary clients do."""

import asyncio
import base64
import ssl
import time
from collections.abc import Callable


class Submitter:
    """One connection."""

    def __init__(self, host: str, port: int, login: str, password: str) -> None:
        self._where = host, port
        self._credentials = base64.b64encode(f"\0{login}\0{password}".encode())
        self._login = login

    async def open(self) -> None:
        """Connect, TLS, EHLO, AUTH."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._reader, self._writer = await asyncio.open_connection(*self._where, ssl=context, limit=1 << 20)
        await self._reply(b"220")
        await self._say(b"EHLO bench\r\n", b"250")
        await self._say(b"AUTH PLAIN " + self._credentials + b"\r\n", b"235")

    async def send(self, octets: bytes, recipient: str) -> float:
        """One message, commands pipelined; the seconds until the 250. ``octets`` has no line that begins with a dot."""
        began = time.perf_counter()
        self._writer.write(f"MAIL FROM:<{self._login}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode())
        await self._reply(b"250")
        await self._reply(b"250")
        await self._reply(b"354")
        for start in range(0, len(octets), 1 << 18):
            self._writer.write(octets[start : start + (1 << 18)])
            await self._writer.drain()
        self._writer.write(b".\r\n")
        await self._reply(b"250")
        return time.perf_counter() - began

    async def close(self) -> None:
        """QUIT."""
        await self._say(b"QUIT\r\n", b"221")
        self._writer.close()

    async def _say(self, line: bytes, wanted: bytes) -> None:
        self._writer.write(line)
        await self._reply(wanted)

    async def _reply(self, wanted: bytes) -> None:
        while True:
            line = await self._reader.readline()
            if not line.startswith(wanted):
                raise RuntimeError(f"wanted {wanted!r}, got {line!r}")
            if line[3:4] == b" ":
                return


async def submit(
    where: tuple[str, int],
    login: str,
    password: str,
    recipient: str,
    make: Callable[[int], bytes],
    count: int,
    connections: int,
) -> list[float]:
    """Send ``count`` messages over ``connections``; the seconds that each took to its 250."""
    numbers = iter(range(count))
    taken: list[float] = []

    async def one() -> None:
        submitter = Submitter(*where, login, password)
        await submitter.open()
        for number in numbers:
            taken.append(await submitter.send(make(number), recipient))
        await submitter.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return taken


async def pace(
    where: tuple[str, int],
    login: str,
    password: str,
    recipient: str,
    make: Callable[[int], bytes],
    count: int,
    connections: int,
) -> float:
    """As ``submit``; the seconds from the first MAIL to the last 250, all connections being logged in before."""
    numbers = iter(range(count))
    submitters = [Submitter(*where, login, password) for _ in range(connections)]
    await asyncio.gather(*(each.open() for each in submitters))

    async def one(submitter: Submitter) -> None:
        for number in numbers:
            await submitter.send(make(number), recipient)

    began = time.perf_counter()
    await asyncio.gather(*(one(each) for each in submitters))
    passed = time.perf_counter() - began
    await asyncio.gather(*(each.close() for each in submitters))
    return passed
