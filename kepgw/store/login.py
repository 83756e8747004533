"""Logging in: one way for SMTP, IMAP and the web.

A wrong name costs the same time as a wrong password, and at most a few passwords are hashed at a time, since each
hash takes 19 MiB and 26 ms of one core.
"""

import asyncio
import hashlib
import secrets
import time
from typing import Final

from kepgw.accounts import passwords
from kepgw.store.accounts import Operator, operator_by_login
from kepgw.store.engine import Change, Store

CHECKS_AT_ONCE: Final = 2
REMEMBERED: Final = 4096  # logins whose password was found right a short while ago
REMEMBERED_SECONDS: Final = 300.0  # mail clients log in many times a minute


class Logins:
    """Checks passwords against the store."""

    def __init__(self, store: Store, checks_at_once: int = CHECKS_AT_ONCE) -> None:
        self._store = store
        self._hashing = asyncio.Semaphore(checks_at_once)
        self._secret = secrets.token_bytes(32)
        self._remembered: dict[bytes, float] = {}
        self._forget_all = store.subscribe(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.topic == "account":
            self._remembered.clear()

    async def authenticate(self, login: str, password: str) -> Operator | None:
        """The operator, or None when name or password is wrong or the account may not log in."""
        name = login.strip().encode("ascii", "replace").decode().lower()
        operator = await self._store.read(lambda tx: operator_by_login(tx, name))
        stored = operator.argon2 if operator else None
        # the key is bound to the stored hash, so that a changed password is never remembered
        told = f"{name}\0{stored}\0{password}".encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(told, key=self._secret).digest()
        if operator is None or self._remembered.get(key, 0.0) < time.monotonic():
            async with self._hashing:
                good = await asyncio.to_thread(passwords.verify, stored, password)
            if not good or operator is None:
                return None
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = time.monotonic() + REMEMBERED_SECONDS
        return operator if operator.active else None
