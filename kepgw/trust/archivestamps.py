"""The time stamps of evidence records, each judged at the time of the one that renewed it (RFC 4998 5.3)."""

from collections.abc import Sequence
from datetime import datetime

from kepgw.errors import ConfigurationError, FormatError, SignatureInvalid, Sub
from kepgw.trust.keys import describe
from kepgw.trust.tokens import Stamped, read_token, verify_token

CHECK = "archive-stamp"


def stamped(token: bytes) -> tuple[datetime, datetime]:
    """Time of a token, and when the certificate of its authority ends. Raises FormatError or SignatureInvalid."""
    read = read_token(token)
    return read.time, _ends(read.cms.signer)


def _ends(certificate: bytes) -> datetime:
    try:
        return describe(certificate).not_after
    except ConfigurationError as error:
        raise FormatError(str(error)) from error


class StampJudge:
    """Judges the tokens of one record after another; it satisfies ``kepgw.evidence.evidencerecord.Judge``.

    ``begin`` before each record, ``finish`` after it. A token that many records share is judged once.
    """

    def __init__(self, anchors: Sequence[bytes], now: datetime, intermediates: Sequence[bytes] = ()) -> None:
        self._anchors = tuple(anchors)
        self._intermediates = tuple(intermediates)
        self._now = now
        self._known: dict[tuple[bytes, bytes], tuple[Stamped, datetime]] = {}
        self._ends: datetime | None = None

    def begin(self) -> "StampJudge":
        """A new record: no stamp stands before the next one."""
        self._ends = None
        return self

    def __call__(self, token: bytes, digest: bytes) -> datetime:
        """The time of a token over ``digest``. Raises SignatureInvalid, also when it came too late for the last one."""
        known = self._known.get((token, digest))
        if known is None:
            judged = verify_token(token, digest, self._anchors, self._intermediates)
            known = self._known[token, digest] = judged, _ends(judged.tsa_certificate)
        judged, ends = known
        if self._ends is not None and judged.time > self._ends:
            raise SignatureInvalid(
                f"renewed on {judged.time:%Y-%m-%d}, when the authority of the stamp before had ended on"
                f" {self._ends:%Y-%m-%d}",
                CHECK,
                Sub.TIMESTAMP_ORDER_FAILURE,
            )
        self._ends = ends
        return judged.time

    def finish(self) -> datetime | None:
        """When the certificate behind the last stamp ends. Raises SignatureInvalid when it has ended already."""
        if self._ends is not None and self._ends < self._now:
            raise SignatureInvalid(
                f"the certificate behind the last stamp ended on {self._ends:%Y-%m-%d}: it was not renewed in time",
                CHECK,
                Sub.NO_POE,
            )
        return self._ends
