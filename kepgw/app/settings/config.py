"""The whole configuration of one provider."""

from dataclasses import replace
from pathlib import Path
from typing import Self

from pydantic import Field, PrivateAttr
from pydantic import model_validator as whole
from pydantic_core import PydanticCustomError

from kepgw.app.settings.kinds import Section
from kepgw.app.settings.provider import Keys, KnownProvider, Listen, Log, Metrics, Provider, Signing, StoreSection
from kepgw.app.settings.traffic import (
    EvidenceSection,
    Limits,
    Mailbox,
    Malware,
    PeerSection,
    Policy,
    ProfilesSection,
    Relay,
    RemBaselineSection,
    Submission,
)
from kepgw.app.settings.trust import Archive, Ledger, MaterialSection, StampingSection, Trust, TrustListSection, Tsa
from kepgw.evidence.codes import DEVELOPMENT_POLICY
from kepgw.evidence.ts102640 import Spelling


class Config(Section):
    """Everything that one provider is told, immutable. Attributes are the tables of the file."""

    provider: Provider
    listen: Listen
    keys: Keys
    trust: Trust
    trust_list: tuple[TrustListSection, ...] = Field((), strict=False, max_length=8)
    material: MaterialSection
    tsa: tuple[Tsa, ...] = Field(strict=False, min_length=1, max_length=16)
    stamping: StampingSection
    limits: Limits
    relay: Relay
    peer: tuple[PeerSection, ...] = Field((), strict=False, max_length=100)
    evidence: EvidenceSection
    profiles: ProfilesSection
    rem_baseline: RemBaselineSection
    mailbox: Mailbox
    policy: Policy
    malware: Malware
    submission: Submission
    store: StoreSection
    signing: Signing
    ledger: Ledger
    archive: Archive
    log: Log
    metrics: Metrics

    _directory: Path = PrivateAttr(default=Path())
    _known: dict[str, KnownProvider] = PrivateAttr(default_factory=dict)

    @whole(mode="after")
    def _honest(self) -> Self:
        # What is made without authorisation must say so inside itself.
        if not self.provider.development:
            if any(tsa.kind == "development" for tsa in self.tsa):
                raise PydanticCustomError(
                    "tsa", 'a [[tsa]] of kind "development" needs provider.development = true; name a real authority'
                )
            if not self.evidence.policies:
                raise PydanticCustomError(
                    "policies", "evidence.policies is empty; name the URI of your practice statement (KEPUE)"
                )
        if self.limits.message_octets < self.limits.content_octets:
            raise PydanticCustomError("limits", "limits.message_octets must not be below limits.content_octets")
        stamping = self.stamping
        if stamping.retry_max < stamping.retry_first or stamping.wrong_max < stamping.wrong_first:
            raise PydanticCustomError("stamping", "stamping.retry_max and wrong_max must not be below their first")
        if len({tsa.url or tsa.kind for tsa in self.tsa}) != len(self.tsa):
            raise PydanticCustomError("tsa", "a [[tsa]] stands twice; keep one table an authority")
        if len({peer.domain for peer in self.peer}) != len(self.peer):
            raise PydanticCustomError("peer", "a [[peer]] stands twice; keep one table a domain")
        if len({each.name for each in self.trust_list}) != len(self.trust_list):
            raise PydanticCustomError("trust_list", "two [[trust_list]] have the same name")
        if self.relay.retry_max < self.relay.retry_first:
            raise PydanticCustomError("relay", "relay.retry_max must not be below relay.retry_first")
        return self

    @property
    def directory(self) -> Path:
        """The provider's folder."""
        return self._directory

    @property
    def hostname(self) -> str:
        """The name in greetings and EHLO (RFC 5321 4.1.1.1)."""
        return self.listen.hostname or self.provider.domain

    @property
    def store_path(self) -> Path:
        """The SQLite file of the store."""
        return self._directory / self.store.url.removeprefix("sqlite:///")

    @property
    def spelling(self) -> Spelling:
        """How evidence XML is spelled."""
        names = (
            "namespace",
            "version",
            "decision_events",
            "other_events",
            "retrieval_expiration",
            "reasons",
            "methods",
        )
        return Spelling(**{name: getattr(self.evidence, name) for name in names})

    def spelling_of(self, peer: PeerSection) -> tuple[Spelling, str]:
        """How evidence is spelled for a peer, and what its type header names."""
        own = {} if peer.evidence is None else peer.evidence.model_dump(exclude_none=True)
        type_header = own.pop("type_header", self.evidence.type_header)
        return replace(self.spelling, **own), type_header

    @property
    def policies(self) -> tuple[str, ...]:
        """The policy URIs of all evidence; under development the one that denies legal effect is always first."""
        return ((DEVELOPMENT_POLICY,) if self.provider.development else ()) + self.evidence.policies

    @property
    def known_providers(self) -> dict[str, KnownProvider]:
        """The table of providers by domain (``conf/providers.toml``)."""
        return self._known
