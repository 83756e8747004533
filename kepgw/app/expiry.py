"""When the certificates end that a provider lives by: its own and those that its peers' cards pin."""

from collections.abc import Callable, Mapping
from datetime import datetime

from kepgw.app.config import Config
from kepgw.interop.peers import Peers
from kepgw.interop.workshop import Workshop
from kepgw.trust.keys import describe, load_certificates, load_key


def ends_of(config: Config, workshop: Workshop, peers: Peers) -> Callable[[], Mapping[tuple[str, str], datetime]]:
    """A function that gives the end of each certificate by use (process, tls, tsa) and holder (a provider's domain).

    Of several process certificates the one that lasts longest counts, of ours among those that may sign. Files are
    read once, here. Raises ConfigurationError.
    """
    own = config.provider.domain
    fixed = {("tls", own): load_certificates(config.keys.tls_certificates[0])[0].not_valid_after_utc}
    if any(tsa.kind == "development" for tsa in config.tsa):
        fixed["tsa", own] = load_key(config.keys.tsa_key, *config.keys.tsa_certificates, purpose="tsa").not_after
    keys = workshop.certificates

    def ends() -> Mapping[tuple[str, str], datetime]:
        found = dict(fixed)
        usable = [key for key in keys.keys if key.fingerprint not in keys.barred]
        found["process", own] = max(key.not_after for key in usable or keys.keys)
        for card in peers.cards():
            found["process", card.domain] = max(describe(chain[0]).not_after for chain in card.process_chains)
            if card.tls_certificate:
                found["tls", card.domain] = describe(card.tls_certificate).not_after
        return found

    return ends
