"""The profiles of this provider, from the configuration."""

from kepgw.app.config import Config
from kepgw.interop.case import Identity
from kepgw.interop.profile import Profile, Profiles, own_name
from kepgw.interop.rem_baseline import RemBaseline
from kepgw.interop.tr_kep import TrKep


def identity_of(config: Config) -> Identity:
    """This provider, as it appears in what it signs."""
    return Identity(
        domain=config.provider.domain,
        name=config.provider.name,
        service_address=config.provider.service_address,
        policies=tuple(config.policies),
        development=config.provider.development,
    )


def profiles_of(config: Config) -> Profiles:
    """The profiles that this provider speaks, and with whom."""
    identity, rem = identity_of(config), config.rem_baseline
    known: tuple[Profile, ...] = (
        TrKep(identity, config.spelling, config.evidence.type_header, config.evidence.delivery_status),
        RemBaseline(identity, rem.country, rem.assurance_level, rem.assurance_policy, config.evidence.methods),
    )
    spelled: dict[str, Profile] = {
        own_name(TrKep.name, peer.domain): TrKep(identity, *config.spelling_of(peer))
        for peer in config.peer
        if peer.evidence is not None
    }
    chosen = {peer.domain: peer.profile for peer in config.peer if peer.profile is not None}
    return Profiles({each.name: each for each in known} | spelled, config.profiles.local, chosen)
