"""The way into a provider's folder: one owner of the store at a time, and a socket to talk to that owner.

``kepgw serve`` holds ``DIR/kepgw.lock`` and listens on ``DIR/control.sock``; commands talk to it there. On a stopped
provider a command takes the lock itself. One request line of JSON makes one reply line of JSON, both bounded. Who may
connect is decided by the file system: the folder is 0700, the socket 0600, and the kernel tells us the peer's user.
"""

import asyncio
import contextlib
import json
import logging
import os
import pwd
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kepgw.app.lock import Lock
from kepgw.errors import ConfigurationError, KepError, StoreError
from kepgw.refusals import Refusal

if TYPE_CHECKING:
    from kepgw.app.admin import Admin

SOCKET: Final = "control.sock"
MAX_REQUEST: Final = 1024 * 1024  # octets of a request line; the largest, a peer's card, is 256 KiB
MAX_REPLY: Final = 64 * 1024 * 1024  # octets of a reply line; exports come in pages far below it
REQUEST_SECONDS: Final = 10.0  # for a request line to arrive
REPLY_SECONDS: Final = 300.0  # for the longest command, the check of a large store
LOCK_SECONDS: Final = 12.0  # how long a command waits for another one, or for a provider that starts or stops
CONNECTIONS: Final = 16  # served at the same time

_log = logging.getLogger("kepgw.control")


class Refused(KepError):
    """A command cannot be done as it was asked; the text says why and what to do. Exit status 1."""


class Unanswered(KepError):
    """Nobody listens on the control socket."""


_KINDS: Final[dict[str, type[KepError]]] = {
    "refused": Refused,
    "configuration": ConfigurationError,
    "store": StoreError,
    "other": KepError,
}


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """A spelling of ``path`` that fits sun_path (108 octets), however deep the folder lies."""
    if len(os.fsencode(path)) < 100:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def call(path: Path, method: str, arguments: dict[str, Any]) -> Any:
    """Ask the provider that listens on ``path``. Raises Unanswered when none does, else what the command raises."""
    connection = _connect(path)
    with connection:
        try:
            connection.settimeout(REPLY_SECONDS)
            connection.sendall(json.dumps({"method": method, "arguments": arguments}).encode() + b"\n")
            octets = bytearray()
            while not octets.endswith(b"\n"):
                piece = connection.recv(1 << 18)
                if not piece or len(octets) > MAX_REPLY:
                    raise StoreError("the provider closed the control connection; see its log")
                octets += piece
        except OSError as error:
            raise StoreError(f"the provider does not answer on {path} ({error}); see its log") from error
    reply = json.loads(octets)
    if "result" in reply:
        return reply["result"]
    raise _KINDS.get(reply.get("kind"), KepError)(reply.get("error", "the provider gave no reason"))


def answers(path: Path) -> bool:
    """Whether a provider listens on ``path``."""
    try:
        _connect(path).close()
    except Unanswered:
        return False
    return True


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _reachable(path) as name:
            connection.connect(name)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        connection.close()
        raise Unanswered(f"{path}: {error.strerror}") from error
    except OSError as error:
        connection.close()
        raise StoreError(
            f"cannot talk to the provider through {path} ({error.strerror}); run the command as its user"
        ) from error
    return connection


class ControlServer:
    """Serves ``admin`` on the socket ``path`` of a running provider. The caller holds the Lock of the folder."""

    def __init__(self, admin: "Admin", path: Path) -> None:
        self._admin = admin
        self._path = path
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. A socket that a killed process left is replaced. Raises ConfigurationError."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if answers(self._path):
                raise ConfigurationError(f"a provider already listens on {self._path}; stop it first")
            self._path.unlink(missing_ok=True)
            before = os.umask(0o177)  # 0600 from the first moment
            try:
                with _reachable(self._path) as name:
                    listener.bind(name)
            finally:
                os.umask(before)
            listener.setblocking(False)
            self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=MAX_REQUEST)
        except OSError as error:
            listener.close()
            raise ConfigurationError(f"cannot listen on {self._path} ({error.strerror or error})") from error
        except BaseException:
            listener.close()
            raise

    async def stop(self) -> None:
        """Take no new requests, let those in hand finish for a short while, and remove the socket."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self._path.unlink(missing_ok=True)
        if self._serving:
            _, late = await asyncio.wait(self._serving, timeout=2.0)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._serving) >= CONNECTIONS:
            writer.close()
            return
        task = asyncio.create_task(self._serve(reader, writer), name="control")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            user = peer_user(writer.get_extra_info("socket"))
            if user is None:
                return
            async with asyncio.timeout(REQUEST_SECONDS):
                line = await reader.readuntil(b"\n")
            writer.write(await self._reply(line, user))
            async with asyncio.timeout(REPLY_SECONDS):
                await writer.drain()
        except asyncio.IncompleteReadError as error:
            if error.partial:  # nothing at all is a command that only looks whether we answer
                _log.info("control connection ended within a request")
        except (OSError, TimeoutError, asyncio.LimitOverrunError) as error:
            _log.info("control connection ended: %s", type(error).__name__)
        finally:
            writer.close()

    async def _reply(self, line: bytes, user: str) -> bytes:
        try:
            request = json.loads(line)
            method, arguments = request["method"], request["arguments"]
            if not isinstance(method, str) or not isinstance(arguments, dict):
                raise TypeError("method and arguments")
        except (ValueError, TypeError, KeyError, RecursionError):
            return _error("refused", "this is not a request to the control socket of kepgw")
        try:
            result = await self._admin.call(method, arguments, user)
        except Refusal as refusal:
            return _error("refused", refusal.sentence())
        except KepError as error:
            kind = next((name for name, of in _KINDS.items() if isinstance(error, of)), "other")
            return _error(kind, str(error))
        except Exception:
            _log.exception("control command failed: method=%s", method[:40])
            return _error("other", f"{method[:40]} failed inside the provider; its log has the reason")
        octets = json.dumps({"result": result}).encode() + b"\n"
        return octets if len(octets) <= MAX_REPLY else _error("refused", "the answer is too large; ask for less of it")


def _error(kind: str, sentence: str) -> bytes:
    return json.dumps({"error": sentence, "kind": kind}).encode() + b"\n"


def peer_user(connection: socket.socket) -> str | None:
    """The user at the other end of a Unix socket; None when it is neither ours nor root."""
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user_name(uid) if uid in _served() else None


def _served() -> set[int]:
    return {0, os.geteuid()}


def user_name(uid: int) -> str:
    """The name of a system user, for the audit trail."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def wait_for_lock(lock: Lock, path: Path, seconds: float = LOCK_SECONDS) -> bool:
    """Take ``lock``, waiting for another command to end; False when a provider answers on ``path`` instead.

    Raises ConfigurationError when the lock stays held and nobody answers.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            lock.take()
        except ConfigurationError as error:
            if answers(path):
                return False
            if time.monotonic() > end:
                raise ConfigurationError(
                    f"another kepgw process holds {path.parent}/kepgw.lock, but nothing answers on {path}: it is "
                    "starting, stopping or stuck. Try again; if it stays so, look at its log and end that process"
                ) from error
            time.sleep(0.05)
        else:
            return True
