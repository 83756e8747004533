"""A pool of processes that serve jobs over a socket, one at a time each, in the order given.

concurrent.futures' pool costs three threads' wake-ups and a shared lock a job: measured, 1.2 ms of CPU in the process
and 0.5 ms in the owner, against 0.1 ms here (ADR 6). Both ends are this program: what is unpickled is our own.
"""

import asyncio
import logging
import multiprocessing
import os
import pickle
import signal
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

from kepgw.errors import KepError, SigningUnavailable

LENGTH: Final = struct.Struct("!Q")
STOP_SECONDS: Final = 5.0  # a process that does not end by then is killed

_log = logging.getLogger("kepgw.processes")


def serve(channel: socket.socket, make: Callable[[Any], Any], argument: Any) -> None:
    """The whole life of a process: make the bench, say whether that worked, then do jobs until the owner is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C and SIGTERM reach the whole group: the owner first
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # finishes what is in hand
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()
    # an owner that is gone needs no answer
    with suppress(BrokenPipeError, ConnectionResetError), channel, channel.makefile("rb") as jobs:
        try:
            bench, failure = make(argument), None
        except Exception as error:
            bench, failure = None, error
        _answer(channel, None, failure, ("", 0.0, None))
        while bench is not None and (size := jobs.read(LENGTH.size)):
            name, arguments = pickle.loads(jobs.read(*LENGTH.unpack(size)))  # noqa: S301  (from our owner)
            begun = time.monotonic()
            try:
                value, failure = getattr(bench, name)(*arguments), None
            except Exception as error:
                value, failure = None, error
            seconds = time.monotonic() - begun
            _answer(channel, value, failure, (name, seconds, bench.report() if hasattr(bench, "report") else None))


def _answer(channel: socket.socket, value: Any, failure: Exception | None, told: tuple[str, float, Any]) -> None:
    try:
        octets = pickle.dumps((value, failure, told), pickle.HIGHEST_PROTOCOL)
        if failure is not None:
            pickle.loads(octets)  # noqa: S301  (our own)
    except Exception:  # an exception that cannot travel, or not arrive: its words do
        words = KepError(f"{type(failure).__name__}: {failure}")
        octets = pickle.dumps((None, words, told), pickle.HIGHEST_PROTOCOL)
    channel.sendall(LENGTH.pack(len(octets)) + octets)


def _follow(sentinel: int) -> None:
    """End with the owner, also when it was killed."""
    wait([sentinel])
    os._exit(1)


@dataclass(frozen=True, slots=True)
class Told:
    """What a process tells beside an answer: the job, its seconds, and the ``report()`` of the bench; "", 0 and None
    when the process begins or ends. Counters travel so, since the process that makes them has no listener.
    """

    process: int
    job: str = ""
    seconds: float = 0.0
    news: Any = None


class _Process:
    """One process and the jobs that it was given and has not answered."""

    def __init__(
        self,
        process: BaseProcess,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        heard: Callable[[Told], None],
    ) -> None:
        self.process = process
        self._heard = heard
        self.waiting: deque[asyncio.Future[Any]] = deque()
        self._reader = reader
        self._writer = writer
        self.ready = self._expect()  # the first answer says whether the bench could be made
        self._answers = asyncio.create_task(self._read())

    @property
    def alive(self) -> bool:
        return not self._answers.done()

    def give(self, name: str, arguments: tuple[object, ...]) -> "asyncio.Future[Any]":
        octets = pickle.dumps((name, arguments), pickle.HIGHEST_PROTOCOL)
        self._writer.write(LENGTH.pack(len(octets)) + octets)
        return self._expect()

    def _expect(self) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        return future

    async def _read(self) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                size = await self._reader.readexactly(LENGTH.size)
                octets = await self._reader.readexactly(*LENGTH.unpack(size))
                value, failure, told = pickle.loads(octets)  # noqa: S301  (from our own process)
                self._heard(Told(self.process.pid or 0, *told))
                future = self.waiting.popleft()
                if future.cancelled():
                    continue
                if failure is None:
                    future.set_result(value)
                else:
                    future.set_exception(failure)
        self._heard(Told(self.process.pid or 0))
        while self.waiting:
            future = self.waiting.popleft()
            if not future.done():
                future.set_exception(SigningUnavailable("a signing process ended"))

    async def end(self) -> None:
        with suppress(OSError):
            self._writer.write_eof()  # the process ends when it has answered what it was given
        _, late = await asyncio.wait([self._answers], timeout=STOP_SECONDS)
        if late:
            self.process.kill()
        await self._answers
        self._writer.close()
        await asyncio.to_thread(self.process.join)


def _heard(answer: "asyncio.Future[Any]") -> None:
    if not answer.cancelled() and (error := answer.exception()) is not None:
        _log.error("a signing process cannot be told how things stand: %s", error)


class Processes:
    """``count`` processes, each with a bench made by ``make(argument)``; jobs are methods of the bench.

    ``heard`` is called with what each answer tells beside its value.
    """

    def __init__(
        self,
        count: int,
        make: Callable[[Any], Any],
        argument: Any,
        heard: Callable[[Told], None] = lambda _: None,
    ) -> None:
        self.count = count
        self._make = make
        self._argument = argument
        self._heard = heard
        self._processes: list[_Process] = []
        self._fresh: list[_Process] = []  # started, and not known yet to be ready
        self._standing: dict[str, tuple[object, ...]] = {}
        self._starting = asyncio.Lock()
        self._closed = False

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that run."""
        return tuple(each.process.pid for each in self._processes if each.alive and each.process.pid)

    async def start(self) -> None:
        """Start all, and wait until each has its bench. Raises what making the bench raised."""
        async with self._starting:
            self._processes = [each for each in self._processes if each.alive]
            for _ in range(self.count - len(self._processes) - len(self._fresh)):
                self._fresh.append(await self._open())
            fresh = self._fresh
            ready = await asyncio.gather(*(each.ready for each in fresh), return_exceptions=True)
            self._processes += [each for each, what in zip(fresh, ready, strict=True) if what is None]
            self._fresh = []
            for what in ready:
                if isinstance(what, BaseException):
                    raise what

    async def run(self, name: str, *arguments: object, among: int | None = None) -> Any:
        """Do a job in any process, or in one of the first ``among``.

        Raises what the job raises, or SigningUnavailable when its process ended.
        """
        if self._closed:
            raise SigningUnavailable("the signing processes have ended")
        # again: one may end while others start, and whatever is given to one that has ended is never answered
        while len(alive := [each for each in self._processes if each.alive]) < self.count:
            _log.warning("a signing process ended; starting another")
            await self.start()
        return await min(alive[:among], key=lambda each: len(each.waiting)).give(name, arguments)

    async def tell(self, name: str, *arguments: object) -> None:
        """Have every process do a job before whatever it is given after this call; one started later does it first.

        The last ``arguments`` of a ``name`` stand. Returns when all that run have done it. Raises what the job raises.
        """
        self._standing[name] = arguments
        given = [each.give(name, arguments) for each in (*self._processes, *self._fresh) if each.alive]
        for what in await asyncio.gather(*given, return_exceptions=True):
            if isinstance(what, BaseException) and not isinstance(what, SigningUnavailable):
                raise what  # that of a process which ended is done by the one that takes its place

    async def close(self) -> None:
        """Let each answer what it was given, then end all. Safe to call twice."""
        self._closed = True
        processes, self._processes = self._processes, []
        await asyncio.gather(*(each.end() for each in processes))

    async def _open(self) -> _Process:
        ours, theirs = socket.socketpair()
        context = multiprocessing.get_context("spawn")  # a fork would share the store's connections
        process = context.Process(target=serve, args=(theirs, self._make, self._argument), daemon=True)
        await asyncio.to_thread(process.start)
        theirs.close()
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        opened = _Process(process, reader, writer, self._heard)
        for name, arguments in self._standing.items():
            opened.give(name, arguments).add_done_callback(_heard)
        return opened
