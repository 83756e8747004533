"""The error tree.

KepError                  every error of ours; its text is the private reason, for the log only
├── FormatError           octets from outside that are not what they should be
├── ConfigurationError    a setting, key or file is missing or unusable; the text says what to do
├── SignatureInvalid      a signature, digest, token or certificate does not hold
├── StampUnavailable      no time-stamp authority answered: try again later
├── MaterialUnavailable   nobody said whether a certificate is revoked: asked again later
├── ListRefused           a trusted list is not taken: the last good one stays
├── SigningUnavailable    no valid process certificate or key: nothing may be signed
├── StoreError            the store could not do its work
│   └── StoreFull         no room left: 452 4.3.1 on the wire, never 5xx
└── Refusal               a rule refuses the input (kepgw.refusals); carries what goes on the wire
"""

from enum import StrEnum


class Sub(StrEnum):
    """Why a signature is not shown to be valid: the sub-indications of EN 319 102-1 5.1.3, those that we give."""

    FORMAT_FAILURE = "FORMAT_FAILURE"
    HASH_FAILURE = "HASH_FAILURE"
    SIG_CRYPTO_FAILURE = "SIG_CRYPTO_FAILURE"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    NOT_YET_VALID = "NOT_YET_VALID"
    SIG_CONSTRAINTS_FAILURE = "SIG_CONSTRAINTS_FAILURE"
    CHAIN_CONSTRAINTS_FAILURE = "CHAIN_CONSTRAINTS_FAILURE"
    CERTIFICATE_CHAIN_GENERAL_FAILURE = "CERTIFICATE_CHAIN_GENERAL_FAILURE"
    CRYPTO_CONSTRAINTS_FAILURE = "CRYPTO_CONSTRAINTS_FAILURE"
    TIMESTAMP_ORDER_FAILURE = "TIMESTAMP_ORDER_FAILURE"
    NO_SIGNING_CERTIFICATE_FOUND = "NO_SIGNING_CERTIFICATE_FOUND"
    NO_CERTIFICATE_CHAIN_FOUND = "NO_CERTIFICATE_CHAIN_FOUND"
    REVOKED_NO_POE = "REVOKED_NO_POE"
    OUT_OF_BOUNDS_NO_POE = "OUT_OF_BOUNDS_NO_POE"
    NO_POE = "NO_POE"
    TRY_LATER = "TRY_LATER"
    SIGNED_DATA_NOT_FOUND = "SIGNED_DATA_NOT_FOUND"

    @property
    def fails(self) -> bool:
        """Whether it says FAILED (TOTAL-FAILED of a whole signature); all others say INDETERMINATE."""
        return self in _FAILED


_FAILED = frozenset(
    {Sub.FORMAT_FAILURE, Sub.HASH_FAILURE, Sub.SIG_CRYPTO_FAILURE, Sub.REVOKED, Sub.EXPIRED, Sub.NOT_YET_VALID}
)


class KepError(Exception):
    """Root of all errors of kepgw. ``str(error)`` is the private reason: logged, never sent."""


class FormatError(KepError):
    """Octets from outside do not have the form they must have."""

    sub = Sub.FORMAT_FAILURE


class ConfigurationError(KepError):
    """A setting, key or file is missing or unusable; the text tells the administrator what to do."""


class SignatureInvalid(KepError):
    """A signature, digest, time-stamp token or certificate does not hold.

    ``check`` names the check that failed, as shown by ``kepgw verify`` (for example ``"chain"``); ``sub`` says in the
    words of EN 319 102-1 what that means for the signature.
    """

    def __init__(self, reason: str, check: str = "signature", sub: Sub = Sub.SIG_CONSTRAINTS_FAILURE) -> None:
        super().__init__(reason)
        self.check = check
        self.sub = sub

    def under(self, check: str) -> "SignatureInvalid":
        """The same error under the name of another check, of which the failed one is a part."""
        return SignatureInvalid(str(self), check, self.sub)


class StampUnavailable(KepError):
    """No time-stamp authority gave a usable token; the work waits and is tried again.

    ``outcome`` is what happened, as counted in the metrics (``kepgw.trust.tsaclient.Outcome``); ``offset`` how far the
    authority's clock was ahead of ours, in seconds, where a token told.
    """

    def __init__(self, reason: str, outcome: str = "none", offset: float | None = None) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.offset = offset


class MaterialUnavailable(KepError):
    """Nobody gave a usable word on whether a certificate is revoked; it is asked about again."""


class ListRefused(KepError):
    """A trusted list or capability file is not taken; the last good one stays."""


class SigningUnavailable(KepError):
    """There is no valid process certificate (expired, not yet valid, missing): nothing may be signed."""


class StoreError(KepError):
    """The store could not do what was asked; nothing of it was committed."""


class StoreFull(StoreError):
    """The disk or a quota of the store is full; the client is told to try again later."""
