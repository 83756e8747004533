"""Tokens (HSM, smart card) through PKCS#11: modules, sessions and logins, one of each a process.

A lost session is opened anew by initialising the module again, which also finds a token that was put back. A PIN that
the token refuses is never given twice: a few more would lock the token. Uses of a module never overlap, for many
modules crash or fail when two threads are inside.
"""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from kepgw.errors import ConfigurationError, SigningUnavailable

try:
    import pkcs11
    from pkcs11 import exceptions as ck
    from pkcs11.constants import TokenFlag
except ImportError:  # the extra "hsm" is not installed: told when a setting asks for a token
    HAVE_PKCS11 = False
else:
    HAVE_PKCS11 = True

if TYPE_CHECKING:
    from pkcs11.types import Session

REST_SECONDS: Final = 5.0  # after a failed opening the token is left alone for so long
LONGEST_PIN: Final = 255  # octets

_log = logging.getLogger("kepgw.token")
T = TypeVar("T")


class PinRefused(SigningUnavailable):
    """The token did not take the PIN; ``token`` names it. No login is tried any more until a restart."""

    def __init__(self, reason: str, token: str) -> None:
        super().__init__(reason)
        self.token = token

    def __reduce__(self) -> tuple[type["PinRefused"], tuple[str, str]]:
        return PinRefused, (str(self), self.token)


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """Where a key lies on a token: the path of the module, the token's label, and the key's label or CKA_ID.

    The PIN stands in a file or in an environment variable. ``workers`` processes may use the token at once.
    """

    module: Path
    token: str
    label: str | None = None
    identifier: bytes | None = None
    pin_file: Path | None = None
    pin_variable: str | None = None
    workers: int = 1

    @property
    def name(self) -> str:
        """The token and its module, as the log and refusals name it."""
        return f"{self.token} of {self.module}"

    def pin(self) -> str:
        """Read the PIN, without the line end behind it. Raises ConfigurationError."""
        if self.pin_file is None:
            pin = os.environ.get(self.pin_variable or "", "")
            source = f"the environment variable {self.pin_variable}"
        else:
            source = str(self.pin_file)
            try:
                with self.pin_file.open("rb") as file:
                    pin = file.read(LONGEST_PIN + 2).decode("utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(f"{source}: the PIN of the token cannot be read ({error})") from error
        if not pin or len(pin.encode()) > LONGEST_PIN:
            raise ConfigurationError(f"{source}: holds no PIN; put the PIN of the token {self.token} there")
        return pin


class Module:
    """A PKCS#11 module in this process and the sessions that are open with its tokens."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._sessions: dict[str, Session] = {}
        self._refused: dict[str, str] = {}  # why, by token
        self._rest_until: dict[str, float] = {}  # by token

    def use(self, place: TokenPlace, work: Callable[["Session"], T], *, careful: bool = False) -> T:
        """Do ``work`` in the session of a token; once more in a new session when the one at hand proves lost.

        Raises PinRefused, SigningUnavailable (any other trouble of module or token), ConfigurationError (the module
        cannot be loaded, there is no PIN), and what ``work`` raises of its own.
        """
        with self._lock:
            session = self._sessions.get(place.token)
            if session is not None:
                try:
                    return work(session)
                except ck.PKCS11Error as error:
                    _log.warning("session lost, opening another: token=%s reason=%s", place.name, _told(error))
                    self.forget()
            try:
                return work(self._open(place, careful=careful))
            except ck.PKCS11Error as error:
                self.forget()
                self._rest_until[place.token] = monotonic() + REST_SECONDS
                raise SigningUnavailable(f"the token {place.name} does not serve: {_told(error)}") from error

    def refuse(self, token: str, why: str) -> None:
        """Try no login at this token any more: elsewhere its PIN was refused."""
        with self._lock:
            self._refused.setdefault(token, why)

    def forget(self) -> None:
        """Drop all sessions and have the module look for its tokens again."""
        with self._lock:
            self._sessions.clear()
            if (loaded := pkcs11._loaded.get(str(self._path))) is not None:
                try:
                    loaded.finalize()  # ends every session and login of this process; the next use initialises
                except ck.PKCS11Error as error:
                    _log.warning("module does not end cleanly: module=%s reason=%s", self._path, _told(error))

    def _open(self, place: TokenPlace, *, careful: bool) -> "Session":
        if place.token in self._refused:
            raise PinRefused(f"no login at {place.name} until a restart: {self._refused[place.token]}", place.name)
        if monotonic() < self._rest_until.get(place.token, 0.0):
            raise SigningUnavailable(f"the token {place.name} did not serve a moment ago")
        pin = place.pin()
        try:
            library = pkcs11.lib(str(self._path))
        except ck.PKCS11Error as error:
            if not self._path.is_file():
                raise ConfigurationError(f"{self._path}: there is no PKCS#11 module; correct module") from error
            raise
        token = library.get_token(token_label=place.token)
        if token.flags & (TokenFlag.USER_PIN_LOCKED | TokenFlag.USER_PIN_FINAL_TRY):
            self._stop(place, "the PIN is locked, or one wrong try away from it; log in once by other means")
        if careful and token.flags & TokenFlag.USER_PIN_COUNT_LOW:
            self._stop(place, "the last PIN that was given was wrong, and none is tried here")
        try:
            session = token.open(user_pin=pin)
        except (
            ck.PinIncorrect,
            ck.PinInvalid,
            ck.PinLenRange,
            ck.PinLocked,
            ck.PinExpired,
            ck.UserPinNotInitialized,
        ) as error:
            self.forget()  # a session stands open that is not logged in
            self._stop(place, _told(error))
        self._sessions[place.token] = session
        return session

    def _stop(self, place: TokenPlace, why: str) -> NoReturn:
        self._refused[place.token] = why
        _log.error("PIN refused, no further login: token=%s reason=%s", place.name, why)
        raise PinRefused(f"the token {place.name} refuses the PIN: {why}", place.name)


_modules: dict[Path, Module] = {}
_modules_lock = threading.Lock()


def module_of(path: Path) -> Module:
    """The module of this path, loaded when it is first used. Raises ConfigurationError without python-pkcs11."""
    if not HAVE_PKCS11:
        raise ConfigurationError('keys on a token need python-pkcs11; install it with: pip install "kepgw[hsm]"')
    with _modules_lock:
        return _modules.setdefault(path, Module(path))


def _told(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
