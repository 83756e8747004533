"""One process owns a store: the lock that says which."""

import fcntl
import os
import time
from pathlib import Path

from kepgw.errors import ConfigurationError


class Lock:
    """An advisory lock on DIR/kepgw.lock; the system lets go of it when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "kepgw.lock"
        self._descriptor: int | None = None

    def take(self, wait: float = 0.0) -> None:
        """Raises ConfigurationError when another process still holds it after ``wait`` seconds."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = time.monotonic() + wait
        while not _locked(descriptor):
            if time.monotonic() < end:
                time.sleep(0.05)
                continue
            os.close(descriptor)
            raise ConfigurationError(
                f"{self._path.parent} is in use by another kepgw process; stop it first, or use the commands"
                " while it runs"
            )
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go; safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
