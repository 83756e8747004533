"""One process owns a store: the lock that says which."""

import fcntl
import os
from pathlib import Path

from kepgw.errors import ConfigurationError


class Lock:
    """An advisory lock on DIR/kepgw.lock; the system lets go of it when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "kepgw.lock"
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises ConfigurationError when another process holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ConfigurationError(
                f"{self._path.parent} is in use by another kepgw process; stop it first, or use the commands while it runs"
            ) from None
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go; safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
