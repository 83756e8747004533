"""The process keys of a provider: where each lies, which may sign at a time, and which is barred.

There are several during a change-over. The newest certificate that is valid and not revoked signs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from kepgw.errors import SigningUnavailable
from kepgw.trust.keys import CertifiedKey, FileKey, load_key, read_leaf
from kepgw.trust.pkcs11key import TokenKey, TokenPlace


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where a process key lies: a PEM file, or a token; beside its certificates, leaf first.

    ``algorithm`` is a name of ``kepgw.trust.algorithms.SIGNATURES``, empty for the usual one of the key's kind.
    """

    certificates: tuple[Path, ...]
    where: Path | TokenPlace
    algorithm: str = ""

    def certified(self) -> CertifiedKey:
        """What is public of it. A token is not asked. Raises ConfigurationError."""
        if isinstance(self.where, Path):
            key = load_key(self.where, *self.certificates, algorithm=self.algorithm)
            return key.public_part()
        leaf, chain = read_leaf(*self.certificates)
        return CertifiedKey(leaf, chain, self.algorithm)

    def key(self) -> FileKey | TokenKey:
        """The key that signs; one on a token is opened when it is first asked to. Raises ConfigurationError."""
        if isinstance(self.where, Path):
            return load_key(self.where, *self.certificates, algorithm=self.algorithm)
        leaf, chain = read_leaf(*self.certificates)
        return TokenKey(self.where, leaf, chain, self.algorithm)


K = TypeVar("K", bound=CertifiedKey)


class ProcessKeys(Generic[K]):
    """Several keys with their certificates, or the certificates alone; knows which may sign at a time."""

    def __init__(self, keys: Iterable[K]) -> None:
        self.keys = tuple(keys)
        self.barred: frozenset[str] = frozenset()

    def bar(self, fingerprints: frozenset[str]) -> None:
        """Never choose a certificate with one of these ``fingerprints``: it is revoked. Replaces those of before."""
        self.barred = fingerprints

    def choose(self, at: datetime) -> K:
        """The key whose certificate is valid at ``at`` and not barred; of several the one that began last.

        Raises SigningUnavailable when none is: nothing may be signed with an expired or revoked certificate.
        """
        valid = [
            key for key in self.keys if key.not_before <= at <= key.not_after and key.fingerprint not in self.barred
        ]
        if valid:
            return max(valid, key=lambda key: key.not_before)
        if not self.keys:
            raise SigningUnavailable("no process certificate is configured")
        spans = "; ".join(
            f"{key.not_before:%Y-%m-%d} to {key.not_after:%Y-%m-%d}"
            + (" revoked" if key.fingerprint in self.barred else "")
            for key in self.keys
        )
        raise SigningUnavailable(f"no process certificate is valid at {at.astimezone(UTC):%Y-%m-%d %H:%M} ({spans})")

    def days_left(self, at: datetime) -> int:
        """Whole days for which signing stays possible, counted over all keys; negative when it no longer is."""
        return max((key.days_left(at) for key in self.keys if key.fingerprint not in self.barred), default=-1)
