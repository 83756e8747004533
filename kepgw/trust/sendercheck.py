"""The sender's own signature inside an original, as one check of a judgement.

It is the sender's, not the provider's: whether a message without one, or with a broken one, was to be taken was the
provider's rule at the time, and evidence 10 says what it found. So nothing here fails a dispatch; it warns.
"""

from datetime import datetime

from kepgw.errors import FormatError, SignatureInvalid
from kepgw.message.usersignature import find
from kepgw.trust.digests import Octets
from kepgw.trust.judgement import Check, Value
from kepgw.trust.trusted import Trusted
from kepgw.trust.useranchors import Believed
from kepgw.trust.usersignature import verify

NAME = "sender"


def sender_checks(octets: Octets, span: tuple[int, int] | None, trusted: Trusted, at: datetime) -> list[Check]:
    """The check of the sender's signature over the original at ``span``, at ``at``; none when there is no signature."""
    if span is None:
        return []
    original = bytes(octets[span[0] : span[1]])
    try:
        signature = find(original)
        if signature is None:
            return []
        held = verify(original, signature, _believed(trusted), at)
    except (FormatError, SignatureInvalid) as error:
        return [Check(NAME, "warning", str(error), error.sub, "warning")]
    values: dict[str, Value] = {
        "name": held.name,
        "authority": held.authority,
        "serial": held.serial,
        "method": held.method,
        "time": at,
    }
    if held.doubt:
        return [Check(NAME, "not checked", f"{held.name}: {held.doubt}", None, "authority", values)]
    return [Check(NAME, "ok", f"{held.name}, {held.method}", None, "", values)]


def _believed(trusted: Trusted) -> Believed:
    of = {kind: tuple(each.octets for each in trusted.materials if each.kind == kind) for kind in ("crl", "ocsp")}
    return Believed((*trusted.anchors, *trusted.sender_anchors), of["crl"], of["ocsp"])
