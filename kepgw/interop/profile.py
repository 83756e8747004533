"""A profile: how one kind of provider writes evidence, dispatch and receipt, and what it expects of an exchange.

Two are known: ``tr-kep`` (TS 102 640-2 and Turkish practice) and ``rem-baseline`` (EN 319 532-4 Annex C). A transaction
has one for all of its life, fixed before the 250 or by the peer's dispatch; whoever makes or takes something asks the
profile and never which one it is. Readers take both from anybody.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol, Self

from kepgw.errors import StoreError
from kepgw.evidence.model import Evidence
from kepgw.interop.card import Card
from kepgw.interop.case import Case, Order
from kepgw.message.envelope import Unsealed
from kepgw.message.form import Form

About = tuple[int, ...]
"""1-based recipients that an evidence speaks of, () for all that its issuer speaks for."""


class Profile(Protocol):
    """One profile of one provider. Pure: data in, unsigned octets out; plain data that travels to another process."""

    name: ClassVar[str]
    enveloped: ClassVar[bool]
    """The transform of evidence signatures: enveloped-signature, or XPath Filter 2."""
    stamped_dispatch: ClassVar[bool]
    """Whether a dispatch of a peer must carry a time stamp in its envelope."""
    message_identifier: ClassVar[re.Pattern[str]]
    """What an identifier of a peer's dispatch may be, so that evidence of ours can repeat it."""
    repeats_rejection: ClassVar[bool]
    """Whether the sender's provider answers a peer's rejection with a failure of its own to the sender."""

    def under(self, addresses: Sequence[str]) -> Self:
        """The profile of this provider as a certificate with these rfc822Names calls it."""

    def speaks(self, evidence: Evidence) -> bool:
        """Whether an evidence is of the generation that this profile writes."""

    def form(self, header: bytes, size: int, remmd_id: str) -> Form:
        """What stands in the dispatch for an original of ``size`` octets with this header block. Raises Refusal."""

    def scopes(self, group: Sequence[int], ours: Sequence[int]) -> list[About]:
        """The evidence 20 or 21 for ``group``, those alike among ``ours``: of whom each speaks."""

    def evidence(self, case: Case, order: Order, certificate: bytes | None) -> Evidence:
        """The evidence that ``order`` asks for; ``certificate`` (DER) is that of its signer to be."""

    def write(self, evidence: Evidence) -> bytes:
        """Its XML, unsigned. Raises ValueError for what the profile cannot say."""

    def dispatch(self, case: Case, evidence_10: Evidence, xml: bytes, digest_algorithm: str = "sha256") -> Unsealed:
        """The envelope around the form, with evidence 10 as signed inside."""

    def receipt(
        self, case: Case, order: Order, made: Evidence, xml: bytes, digest_algorithm: str = "sha256"
    ) -> Unsealed:
        """The envelope around the one evidence that ``order`` asked for, as signed."""


def own_name(name: str, domain: str) -> str:
    """What a profile is called as it is spelled for one peer."""
    return f"{name}@{domain}"


LOCAL_DEFAULT: Final = "tr-kep"


@dataclass(frozen=True, slots=True)
class Profiles:
    """The profiles of one provider, and which goes where.

    ``known`` has each by its name, and those that are spelled otherwise for one peer by their ``own_name``. ``local``
    is that of transactions that stay here; ``chosen`` overrides, by domain, what a peer's card prefers.
    """

    known: Mapping[str, Profile]
    local: str = LOCAL_DEFAULT
    chosen: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Profile:
        """The profile of a name; of a spelling that is set no more, the profile as for all."""
        try:
            return self.known.get(name) or self.known[name.partition("@")[0]]
        except KeyError:
            raise StoreError(f"a transaction of an unknown profile {name!r}") from None

    def toward(self, card: Card | None) -> str:
        """The name of the profile for messages to a peer, or to our own users when there is no card."""
        if card is None:
            return self.local
        return self._for(self.chosen.get(card.domain) or card.profiles[0], card.domain)

    def shown(self, card: Card) -> str:
        """What the profile for messages to a peer is called on cards, however it is spelled for that peer."""
        return self[self.toward(card)].name

    def answering(self, evidence: Evidence, card: Card) -> str:
        """The name of the profile for answers to a peer: the one it wrote in, whatever its card prefers."""
        return self._for(self.of(evidence).name, card.domain)

    def _for(self, name: str, domain: str) -> str:
        own = own_name(name, domain)
        return own if own in self.known else name

    def of(self, evidence: Evidence) -> Profile:
        """The profile that an evidence of a peer is of."""
        return next(each for each in self.known.values() if each.speaks(evidence))
