"""One message on its way in: the transaction that names it and the spool that takes it."""

import logging
from dataclasses import dataclass, field

from kepgw.errors import SigningUnavailable, StoreFull
from kepgw.message.octets import Checked, OctetCheck
from kepgw.refusals import Refusal
from kepgw.smtp.grammar import MailFrom
from kepgw.store.spool import Spool

log = logging.getLogger("kepgw.smtp")


class Intake:
    """Content as it arrives: hashed, checked and spooled while it is within the limit.

    Past the limit, or once the disk has failed, octets are only counted: the client must be heard to the end of its
    data before it can be answered (RFC 5321 4.5.3.1.9). ``failure`` says why nothing was kept.
    """

    def __init__(self, spool: Spool, limit: int, opening: bytes = b"") -> None:
        self.spool = spool
        self.limit = limit
        self.received = 0
        self.opening = len(opening)
        self.failure: Refusal | None = None
        self._check = OctetCheck()
        if opening:
            self.spool.write(opening)

    def take(self, content: bytes) -> None:
        """The next octets of content, dots already unstuffed."""
        self.received += len(content)
        if self.failure is not None:
            return
        if self.received > self.limit:
            self._fail(Refusal("too-large", f"more than {self.limit} octets", limit=self.limit))
            return
        try:
            self._check.feed(content)
            self.spool.write(content)
        except Exception as error:
            self._fail(as_refusal(error))

    @property
    def endless(self) -> bool:
        """So far past the limit that listening on is no courtesy any more."""
        return self.received > 4 * self.limit

    def finish(self, *, chunking: bool) -> tuple[Checked, Refusal | None]:
        """What the octets are, and what they are refused for. Raises Refusal when nothing was kept."""
        if self.failure is not None:
            raise self.failure
        try:
            return self._check.finish(chunking=chunking), None
        except Refusal as refusal:
            return self._check.result(), refusal

    def close(self) -> None:
        """Let go of the spool; whoever still looks at a map of it does not turn a taken message into a failure."""
        try:
            self.spool.close()
        except BufferError:
            log.exception("a view of the spool outlives its message")

    def _fail(self, refusal: Refusal) -> None:
        self.failure = refusal
        self.spool.close()


@dataclass(slots=True)
class Transaction:
    """From MAIL to the end of data (RFC 5321 3.3)."""

    mail: MailFrom
    recipients: list[str] = field(default_factory=list)
    refused: list[tuple[str, Refusal]] = field(default_factory=list)  # for good, by 5xx
    asked: int = 0  # RCPT commands
    chunks: int = 0  # BDAT commands
    notify: dict[str, str] = field(default_factory=dict)
    orcpt: dict[str, str] = field(default_factory=dict)
    intake: Intake | None = None

    def close(self) -> None:
        """Forget what was received."""
        if self.intake is not None:
            self.intake.close()
            self.intake = None


def as_refusal(error: Exception) -> Refusal:
    """What the client is told when a desk fails: nothing private, and 4xx unless a rule refused."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, StoreFull):
        return Refusal("store-full", str(error))
    if isinstance(error, SigningUnavailable):
        return Refusal("signing-unavailable", str(error))
    return Refusal("try-later", f"{type(error).__name__}: {error}")
