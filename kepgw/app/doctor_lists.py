"""``kepgw doctor`` on trusted lists, and on peers that may not be dealt with."""

from collections.abc import Iterator

from kepgw.app.commands.access import ask
from kepgw.app.config import Config
from kepgw.app.finding import Finding
from kepgw.errors import KepError


def examine_lists(config: Config) -> Iterator[Finding]:
    """Findings about every trusted list, and about peers that are out."""
    try:
        lists = ask(config.directory, "trust_show")
        peers = ask(config.directory, "peer_list")
    except KepError:
        return  # the store has told
    for each in lists:
        what = f"trusted list {each['name']}"
        remedy = f"see to {each['source']} and to its signers, then kepgw trust update"
        shown = f"number {each['sequence']}, next {each['next_update'] or 'never'}"
        if each["state"] in ("none", "stale"):
            why = "no edition was ever taken" if each["state"] == "none" else f"{shown} is long past"
            yield Finding("problem", what, f"{why}: everything for and from its peers waits {each['problem']}", remedy)
        elif each["state"] == "late" or each["problem"]:
            yield Finding("warning", what, f"{shown}; {each['problem'] or 'the next edition is late'}", remedy)
        else:
            yield Finding("ok", what, f"{shown}; {len(each['services'])} services")
    for each in peers:
        standing = each["standing"]
        if standing is not None:
            remedy = "ask the peer, or the operator of the list; what waited for it got evidence 31"
            yield Finding("warning", f"peer {each['domain']}", f"{standing['state']}: {standing['detail']}", remedy)
