"""What trusted lists said of a certificate at a time, from the editions that were kept (EN 319 532-4 C.2.3.3.3).

"For old messages the list of that time": the edition in force is the newest that was issued by then. For a time before
the first kept edition, that one's own service history speaks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kepgw.trust.trustedlist import TrustedList


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list, by its ``name`` in the configuration, says of ``certificate`` (DER) at ``at``.

    ``status`` is a URI; "" with ``since`` None: the edition in force does not name the certificate. ``sequence`` is
    the number of that edition, ``provider`` its name for the holder.
    """

    name: str
    certificate: bytes
    at: datetime
    granted: bool
    status: str
    since: datetime | None
    provider: str
    sequence: int


def in_force(editions: Sequence[TrustedList], at: datetime) -> TrustedList | None:
    """The edition for a time, of ``editions`` in the order of their numbers; None when there is none at all."""
    return next((each for each in reversed(editions) if each.issued <= at), editions[0] if editions else None)


def listing(name: str, editions: Sequence[TrustedList], certificate: bytes, at: datetime) -> Listing | None:
    """What the list says; None when there is no edition. Of several services one that is granted counts."""
    edition = in_force(editions, at)
    if edition is None:
        return None
    found = [(each, state) for each in edition.naming(certificate) if (state := each.at(at)) is not None]
    if not found:
        return Listing(name, certificate, at, False, "", None, "", edition.sequence)
    service, state = max(found, key=lambda each: (each[1].granted, each[1].since))
    return Listing(name, certificate, at, state.granted, state.status, state.since, service.provider, edition.sequence)
