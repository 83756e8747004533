"""The error tree.

KepError                  every error of ours; its text is the private reason, for the log only
├── FormatError           octets from outside that are not what they should be
├── ConfigurationError    a setting, key or file is missing or unusable; the text says what to do
├── SignatureInvalid      a signature, digest, token or certificate does not hold
├── StampUnavailable      no time-stamp authority answered: try again later
├── SigningUnavailable    no valid process certificate or key: nothing may be signed
├── StoreError            the store could not do its work
│   └── StoreFull         no room left: 452 4.3.1 on the wire, never 5xx
└── Refusal               a rule refuses the input (kepgw.refusals); carries what goes on the wire
"""


class KepError(Exception):
    """Root of all errors of kepgw. ``str(error)`` is the private reason: logged, never sent."""


class FormatError(KepError):
    """Octets from outside do not have the form they must have."""


class ConfigurationError(KepError):
    """A setting, key or file is missing or unusable; the text tells the administrator what to do."""


class SignatureInvalid(KepError):
    """A signature, digest, time-stamp token or certificate does not hold.

    ``check`` names the check that failed, as shown by ``kepgw verify`` (for example ``"chain"``).
    """

    def __init__(self, reason: str, check: str = "signature") -> None:
        super().__init__(reason)
        self.check = check


class StampUnavailable(KepError):
    """No time-stamp authority gave a usable token; the work waits and is tried again."""


class SigningUnavailable(KepError):
    """There is no valid process certificate (expired, not yet valid, missing): nothing may be signed."""


class StoreError(KepError):
    """The store could not do what was asked; nothing of it was committed."""


class StoreFull(StoreError):
    """The disk or a quota of the store is full; the client is told to try again later."""
