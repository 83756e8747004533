"""What a judgement trusts, and the checks that follow from it: path, time stamp, revocation.

Anchors are only what the caller gives. Certificates that travel along, or lie in a bundle, may stand between; where a
path ends in a root that nobody has called trusted, its fingerprint is shown for people to compare.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from kepgw.errors import FormatError, SignatureInvalid, Sub
from kepgw.evidence import xades
from kepgw.trust import material, paths, tokens
from kepgw.trust.certificates import highest, summary
from kepgw.trust.digests import digest_span
from kepgw.trust.judgement import Check, Value
from kepgw.trust.listing import Listing
from kepgw.trust.speaking import owns, providers
from kepgw.trust.tokens import Stamped

_NO_ANCHORS = "no trusted certificates were given"
_OUT_OF_TIME = {Sub.EXPIRED, Sub.NOT_YET_VALID}


@dataclass(frozen=True)
class Trusted:
    """The certificates that one judgement trusts or uses (DER), and what says who was revoked.

    ``stamp_anchors`` None: time-stamp authorities are trusted by ``anchors`` too. ``sender_anchors`` are trusted
    beside ``anchors`` for signatures of senders only: the authorities of qualified certificates. ``listings`` are what
    trusted lists say of signers at the time of their signatures. ``owners`` has the roots that came with the card of a
    peer, and its domains: such a root vouches for nobody else, for the peer itself may hold its key.
    """

    anchors: tuple[bytes, ...] = ()
    intermediates: tuple[bytes, ...] = ()
    materials: tuple[material.Material, ...] = ()
    stamp_anchors: tuple[bytes, ...] | None = None
    sender_anchors: tuple[bytes, ...] = ()
    listings: tuple[Listing, ...] = ()
    owners: Mapping[bytes, frozenset[str]] = field(default_factory=dict)

    def chain(
        self,
        name: str,
        signer: bytes,
        others: Sequence[bytes],
        at: datetime,
        *,
        proved: bool,
        usage: paths.Usage = "sign",
        made_by: datetime | None = None,
    ) -> list[Check]:
        """The checks of a signer's path and of its revocation at ``at``; their names begin with ``name``.

        ``proved``: something shows that the signature existed at ``at``, so that it is the time to judge at.
        ``made_by``: it carries no stamp of its own and may have been made as late as then; a revocation up to then is a
        warning.
        """
        anchors = (*self.anchors, *self.sender_anchors) if usage == "user" else self.anchors
        if not anchors:
            sub, values = Sub.NO_CERTIFICATE_CHAIN_FOUND, self._about(signer, others, at)
            return [Check(f"{name}-chain", "not checked", _NO_ANCHORS, sub, "untrusted", values, signer)]
        try:
            path = paths.validate(signer, (*others, *self.intermediates), anchors, at, usage=usage)
        except SignatureInvalid as error:
            # without proof of existence nobody knows whether it was made while the certificate held (5.2.6.4)
            sub = Sub.OUT_OF_BOUNDS_NO_POE if error.sub in _OUT_OF_TIME and not proved else error.sub
            return [Check(f"{name}-chain", "bad", str(error), sub, "", self._about(signer, others, at), signer)]
        shown = summary(signer).name
        values = {"name": shown, "time": at, "root": summary(path[-1]).name}
        strange = [each for each in providers(signer) if not self._vouches(path[-1], each)]
        if usage == "sign" and strange:
            why = f"{values['root']} is trusted for its own provider, not for {strange[0]}"
            sub, values["domain"] = Sub.CHAIN_CONSTRAINTS_FAILURE, strange[0]
            return [Check(f"{name}-chain", "bad", why, sub, "not-its-own", values, signer)]
        checks = [Check(f"{name}-chain", "ok", f"{shown}, valid at {at:%Y-%m-%d %H:%M}Z", None, "", values, signer)]
        revocation = self._revocation(f"{name}-revocation", path, at, proved=proved)
        if made_by is not None and all(each.verdict != "bad" for each in revocation):
            late = self._revocation(f"{name}-revocation", path, made_by, proved=False)
            revocation = [replace(each, verdict="warning") for each in late if each.verdict == "bad"] or revocation
        checks += revocation
        return checks + self._listed(f"{name}-listed", signer, at)

    def stamp(self, name: str, token: bytes, stamped: bytes | xades.XadesReading) -> tuple[list[Check], Stamped | None]:
        """The checks of a token over ``stamped`` (octets, or the signature value of an evidence), and of its authority.

        The authority's path and its revocation are judged at the token's own time.
        """
        name = f"{name}-stamp"
        reading: tokens.TokenReading | None = None
        anchors = self.anchors if self.stamp_anchors is None else self.stamp_anchors
        try:
            reading = tokens.read_token(token)
            digest = (
                digest_span(stamped, (0, len(stamped)), reading.digest_algorithm)
                if isinstance(stamped, bytes)
                else stamped.stamped_digest(reading.digest_algorithm)
            )
            if not anchors:
                tokens.check_token(token, digest)
                sub, why = Sub.NO_CERTIFICATE_CHAIN_FOUND, f"fits the signature, but {_NO_ANCHORS}"
                return [
                    Check(name, "not checked", why, sub, "untrusted", self._stamped(reading), reading.cms.signer)
                ], None
            good = tokens.verify_token(token, digest, anchors, self.intermediates)
        except (SignatureInvalid, FormatError) as error:
            values = {} if reading is None else self._stamped(reading)
            told = "unreadable" if reading is None else ""
            certificate = None if reading is None else reading.cms.signer
            return [Check(name, "bad", str(error), error.sub, told, values, certificate)], None
        told = f"{good.time:%Y-%m-%d %H:%M:%S}Z by {summary(good.tsa_certificate).name}"
        values = {"name": summary(good.tsa_certificate).name, "time": good.time, "root": summary(good.chain[-1]).name}
        checks = [Check(name, "ok", told, None, "", values, good.tsa_certificate)]
        checks += self._revocation(f"{name}-revocation", good.chain, good.time, proved=True)
        if checks[-1].verdict == "bad":  # a token of a revoked authority proves no time
            return checks, None
        return checks, good

    def _revocation(self, name: str, path: Sequence[bytes], at: datetime, *, proved: bool) -> list[Check]:
        """What the material says of every certificate below the anchor; the worst answer counts."""
        unknown: bytes | None = None
        for certificate, issuer in itertools.pairwise(path):
            said = material.status(certificate, issuer, self.materials, at)
            if isinstance(said, material.Revoked):
                values: dict[str, Value] = {"name": summary(certificate).name, "time": at, "revoked": said.at}
                detail = f"{values['name']} was revoked on {said.at:%Y-%m-%d %H:%M}Z"
                # revoked by now, yet perhaps signed before
                sub = Sub.REVOKED if proved else Sub.REVOKED_NO_POE
                return [Check(name, "bad", detail, sub, "", values, certificate)]
            if isinstance(said, material.Unknown) and unknown is None:
                unknown = certificate
        if len(path) == 1:  # trusted as it is
            return []
        values = {"name": summary(unknown or path[0]).name, "time": at}
        if unknown is not None:
            return [Check(name, "not checked", "no revocation information", Sub.TRY_LATER, "", values, unknown)]
        return [Check(name, "ok", f"not revoked at {at:%Y-%m-%d %H:%M}Z", None, "", values, path[0])]

    def _vouches(self, root: bytes, domain: str) -> bool:
        owned = self.owners.get(root)
        return owned is None or any(owns(each, domain) for each in owned)

    def _listed(self, name: str, signer: bytes, at: datetime) -> list[Check]:
        """What lists say of a provider's certificate then (EN 319 532-4 C.2.3.3.3); one that grants is enough."""
        said = [each for each in self.listings if each.certificate == signer and each.at == at]
        if not said:
            return []
        best = max(said, key=lambda each: each.granted)
        status = best.status.rpartition("/")[2] or "-"
        values: dict[str, Value] = {"name": summary(signer).name, "time": at, "list": best.name, "status": status}
        values |= {"number": best.sequence, "since": best.since or "-", "provider": best.provider}
        detail = f"list {best.name} number {best.sequence}: {status} at {at:%Y-%m-%d %H:%M}Z"
        told = "" if best.status else "unnamed"
        return [Check(name, "ok" if best.granted else "bad", detail, None, told, values, signer)]

    def _stamped(self, reading: tokens.TokenReading) -> dict[str, Value]:
        return self._about(reading.cms.signer, reading.cms.certificates, reading.time)

    def _about(self, certificate: bytes, others: Sequence[bytes], at: datetime) -> dict[str, Value]:
        """What a sentence about a path may name."""
        shown, top = summary(certificate), summary(highest(certificate, (*others, *self.intermediates)))
        values: dict[str, Value] = {"name": shown.name, "time": at, "top": top.name, "fingerprint": top.sha256}
        values |= {"issuer": top.issuer, "begins": shown.not_before or "?", "ends": shown.not_after or "?"}
        return values


def unsigned(name: str, why: str) -> list[Check]:
    """The checks that cannot be made of a signature that does not hold: nobody knows whose it is."""
    return [Check(f"{name}-{each}", "not checked", why, None, "no-signature", {}) for each in ("chain", "stamp")]
