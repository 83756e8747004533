"""The transactions that a message of our own becomes: known before the commit that makes it durable.

A dispatch has one form of the original and one evidence 10 around which everything later turns, so it has one profile:
those named in the message are one transaction for each profile that their providers take, and each blind recipient is
one (ADR 20).
"""

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kepgw.interop.desk import Submission
from kepgw.interop.peers import Peers
from kepgw.interop.profile import Profile, Profiles
from kepgw.interop.work import new_identifier
from kepgw.message.form import Form, tr_kep
from kepgw.message.headers import MAX_HEADER, Octets, split
from kepgw.message.original import Original
from kepgw.refusals import Refusal

SMALL: Final = 8 * 1024  # octets that are looked at on the event loop: the worst of them take a few milliseconds


@dataclass(frozen=True, slots=True)
class Planned:
    """A transaction to be: its identifier, and the SHA-256 of what its profile seals."""

    recipients: tuple[str, ...]
    blind: bool
    profile: str
    remmd_id: str
    digest: bytes


async def plan(
    peers: Peers, profiles: Profiles, submission: Submission, original: Original | None
) -> tuple[Planned, ...]:
    """The transactions of a message, those with named recipients first; the last one is for who is refused."""
    found = []
    for recipients, blind, profile in _groups(peers, profiles, submission, original):
        identifier = new_identifier("remmd", peers.own_domain)
        digest = await _sealed_digest(profiles[profile], submission, identifier)
        found.append(Planned(recipients, blind, profile, identifier, digest))
    return tuple(found)


def _groups(
    peers: Peers, profiles: Profiles, submission: Submission, original: Original | None
) -> Iterator[tuple[tuple[str, ...], bool, str]]:
    named = {*original.to, *original.cc} if original else set()
    together: dict[str, list[str]] = {}
    alone: list[tuple[str, str]] = []
    for address in dict.fromkeys(submission.recipients):
        profile = _profile(peers, profiles, address)
        if address in named:
            together.setdefault(profile, []).append(address)
        else:
            alone.append((address, profile))
    for profile, addresses in together.items():
        yield tuple(addresses), False, profile
    for address, profile in alone:
        yield (address,), True, profile
    yield (), False, profiles.local


def _profile(peers: Peers, profiles: Profiles, address: str) -> str:
    try:
        owner = peers.owner(address)
    except Refusal:  # said where it counts, in the commit
        return profiles.local
    return profiles.toward(None if owner == peers.own_domain else peers.card(owner))


async def _sealed_digest(profile: Profile, submission: Submission, remmd_id: str) -> bytes:
    """The digest of what ``profile`` seals; of what is refused for its very header, that of the octets."""
    octets, checked = submission.spool.view(), submission.checked
    header_end, _ = split(octets)
    try:
        form = profile.form(bytes(octets[: min(header_end, MAX_HEADER)]), checked.size, remmd_id)
    except Refusal:
        return checked.sha256
    if form == tr_kep(checked.size):
        return checked.sha256
    return _digest(form, octets) if checked.size <= SMALL else await asyncio.to_thread(_digest, form, octets)


def _digest(form: Form, octets: Octets) -> bytes:
    digest = hashlib.sha256()
    for chunk in form.chunks(octets):
        digest.update(chunk)
    return digest.digest()
