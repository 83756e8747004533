"""``kepgw doctor`` on trust: roots that end, certificates that are revoked, and those that nobody vouches for."""

from collections.abc import Iterator
from datetime import datetime

from kepgw.app.commands.access import ask
from kepgw.app.config import Config
from kepgw.app.finding import Finding, lifetime
from kepgw.errors import ConfigurationError, KepError
from kepgw.trust.keys import describe
from kepgw.trust.paths import load_anchors


def examine_trust(config: Config, at: datetime) -> Iterator[Finding]:
    """Findings about trust anchors, and about every certificate that signs what is kept."""
    try:
        anchors = load_anchors(config.trust.anchors)
    except ConfigurationError:
        anchors = ()  # told as a missing file
    for anchor in anchors:
        told = describe(anchor, at)
        if told.days_left < 0:
            detail = f"{told.subject} ended {told.not_after:%Y-%m-%d}; it only serves to verify what is old"
            yield Finding("ok", "trust anchor", detail)
        else:
            remedy = "ask its authority for the next root and add it to trust.anchors"
            yield lifetime(f"trust anchor {told.subject}", told.days_left, told.not_after, remedy)
    try:
        found = ask(config.directory, "trust_list")
    except KepError:
        return  # the store has told, or the keys
    for each in found:
        who, what = each["subject"], "own certificate" if each["own"] else "certificate"
        if each["status"] == "revoked":
            detail = f"{who} is revoked since {each['since']}, reason {each['reason'] or 'unsaid'}"
            remedy = (
                "nothing is signed with it: add a new one as another [[keys.process]] and send your new card"
                if each["own"]
                else "what it signs from then on is refused: ask the peer or the authority"
            )
            yield Finding("problem" if each["own"] else "warning", what, detail, remedy)
        elif each["stale"]:
            detail = f"nothing says that {who} is not revoked {each['problem']}".rstrip()
            yield Finding(
                "warning",
                what,
                detail,
                f"see to the way to its authority, or put its list into {config.material.folder}",
            )
    good = sum(each["status"] == "good" for each in found)
    yield Finding("ok", "revocation", f"{good} of {len(found)} certificates are known to be good")
