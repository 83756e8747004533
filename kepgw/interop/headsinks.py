"""Tree heads leave the machine: every signed head goes to every place, in order, until it has arrived there."""

import asyncio
import json
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from kepgw.errors import KepError, StoreError
from kepgw.evidence.ledger import write_head
from kepgw.interop.programs import environment
from kepgw.store import headsinks
from kepgw.store.engine import Change, Store

RETRY_FIRST: Final = 5.0  # seconds until the second attempt
RETRY_MAX: Final = 3600.0
MOST_STDERR: Final = 2000  # octets of what a command says that are told

_log = logging.getLogger("kepgw.heads")


class Undelivered(KepError):
    """A head did not arrive; it is tried again."""


class Sink(Protocol):
    """A place for heads. A head may come twice, after a crash between its arrival and our knowing."""

    name: str

    async def deliver(self, file: str, octets: bytes) -> None:
        """Bring a head there under a file name; when it returns the head is durable there. Raises Undelivered."""


class FolderSink:
    """A folder that is there already: an empty mount point must not be taken for the disk."""

    def __init__(self, folder: Path) -> None:
        self.name = f"folder {folder}"
        self._folder = folder

    async def deliver(self, file: str, octets: bytes) -> None:
        """Write the file whole or not at all. Raises Undelivered."""
        try:
            await asyncio.to_thread(self._write, file, octets)
        except OSError as error:
            raise Undelivered(f"{self._folder}: {error.strerror or error}") from error

    def _write(self, file: str, octets: bytes) -> None:
        # in the same folder, otherwise the replacement would not be atomic
        descriptor, name = tempfile.mkstemp(prefix=".head-", dir=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as made:
                made.write(octets)
                made.flush()
                os.fchmod(made.fileno(), 0o444)
                os.fsync(made.fileno())
            Path(name).replace(self._folder / file)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class CommandSink:
    """A program that takes the head on standard input; ``KEPGW_HEAD`` in its environment is the file name.

    It has taken the head when it ends with status 0 within ``timeout`` seconds.
    """

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self.name = f"command {json.dumps(list(command), ensure_ascii=False)}"
        self._command = tuple(command)
        self._timeout = timeout

    async def deliver(self, file: str, octets: bytes) -> None:
        """Run the program. Raises Undelivered."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=environment(KEPGW_HEAD=file),
                start_new_session=True,  # what it starts ends with it
            )
        except OSError as error:
            raise Undelivered(f"{self._command[0]}: {error.strerror or error}") from error
        try:
            async with asyncio.timeout(self._timeout):
                told = await _talk(process, octets)
        except TimeoutError:
            raise Undelivered(f"{self._command[0]}: not ready after {self._timeout:g} s") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if process.stdin is not None and not process.stdin.is_closing():
                process.stdin.transport.abort()  # what it did not take keeps the pipe open
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):  # to the end of its pipe, which closes it
                    await _drained(process.stderr)
            await process.wait()
        if process.returncode:
            raise Undelivered(f"{self._command[0]}: status {process.returncode}: {told}")


async def _drained(stream: asyncio.StreamReader | None) -> None:
    while stream is not None and await stream.read(1 << 16):
        pass


async def _talk(process: asyncio.subprocess.Process, octets: bytes) -> str:
    assert process.stdin is not None
    assert process.stderr is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # its status says whether it had enough
        process.stdin.write(octets)
        await process.stdin.drain()
        process.stdin.close()
    said = bytearray()
    while piece := await process.stderr.read(4096):
        said = (said + piece)[-MOST_STDERR:]
    await process.wait()
    return said.decode("utf-8", "replace").strip()


class HeadSender:
    """Brings heads to their places until it is stopped; a slow place does not keep the others waiting."""

    def __init__(self, store: Store, domain: str, sinks: Sequence[Sink], now: Callable[[], datetime]) -> None:
        self._store = store
        self._domain = domain
        self._sinks = tuple(sinks)
        self._now = now
        self._news = {sink.name: asyncio.Event() for sink in sinks}
        self._loops: list[asyncio.Task[None]] = []
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        """Begin. Raises StoreError."""
        for sink in self._sinks:
            await self._store.write(partial(headsinks.enter, name=sink.name, at=self._now()))
        self._unsubscribe = self._store.subscribe(self._on_change)
        self._loops = [asyncio.create_task(self._run(sink), name=f"heads to {sink.name}") for sink in self._sinks]

    async def stop(self) -> None:
        """End; what did not arrive goes on after the next start."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    def _on_change(self, change: Change) -> None:
        if change.topic == "ledger-head":
            for event in self._news.values():
                event.set()

    async def _run(self, sink: Sink) -> None:
        failures = 0
        news = self._news[sink.name]
        while True:
            news.clear()
            try:
                await self._bring(sink)
                failures = 0
            except (Undelivered, StoreError) as error:
                _log.warning("a tree head does not leave the machine: %s", error)
                failures += 1
                with suppress(StoreError):
                    await self._store.write(partial(headsinks.failed, name=sink.name, error=str(error), at=self._now()))
            except Exception:  # the sender never ends by itself
                _log.exception("a tree head does not leave the machine")
                failures += 1
            if failures:
                await asyncio.sleep(min(RETRY_FIRST * 2 ** min(failures - 1, 12), RETRY_MAX))
            else:
                await news.wait()

    async def _bring(self, sink: Sink) -> None:
        """All heads that the place does not have, one after another."""
        while (found := await self._store.read(partial(headsinks.next_head, name=sink.name))) is not None:
            size, head = found
            await sink.deliver(f"{self._domain}-{size:012}.json", write_head(head))
            await self._store.write(partial(headsinks.arrived, name=sink.name, size=size, at=self._now()))
            _log.info("tree head sent: size=%d to %s", size, sink.name)
