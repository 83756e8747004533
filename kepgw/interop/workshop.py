"""The signing processes: evidence and envelopes are made, signed and stamped beside the process that owns the store.

Signing releases the GIL, but beside a busy Python thread it drops to a fraction of its speed; processes of their own
keep the event loop free and use every core. A job is plain data in, octets out; nothing here touches the store.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from kepgw.errors import SigningUnavailable
from kepgw.evidence import xades
from kepgw.evidence.algorithms import Stamp
from kepgw.evidence.ledger import Head, Statement
from kepgw.evidence.model import Evidence
from kepgw.interop.case import Case, Identity, Order
from kepgw.interop.processes import Processes, Told
from kepgw.interop.profile import Profiles
from kepgw.interop.stamps import News, Reporter, Stamping, StampWatch
from kepgw.message.envelope import Unsealed
from kepgw.message.form import Form
from kepgw.message.rendering import Rendered, reheaded, render, render_grafted
from kepgw.trust import cms
from kepgw.trust.algorithms import SIGNATURES
from kepgw.trust.heads import sign_head
from kepgw.trust.pkcs11key import PinRefused, TokenKey, TokenPlace
from kepgw.trust.processkeys import KeyPlace, ProcessKeys

_log = logging.getLogger("kepgw.workshop")


@dataclass(frozen=True, slots=True)
class Tools:
    """What a signing process needs to begin: who we are, where the keys lie, whom to ask for the time."""

    identity: Identity
    profiles: Profiles
    process_keys: tuple[KeyPlace, ...]
    stamping: Stamping


@dataclass(frozen=True, slots=True)
class Made:
    """An evidence with its receipt, and the dispatch around evidence 10 as far as it goes without the original."""

    evidence: Evidence
    xml: bytes
    receipt: bytes
    rendered: Rendered
    unsealed: Unsealed | None
    form: Form | None  # of the original, in that dispatch


@dataclass(frozen=True, slots=True)
class Sealed:
    """A dispatch without the original's octets: what stands before and after its form."""

    head: bytes
    tail: bytes
    rendered: Rendered


class Bench:
    """Keys and authorities, loaded once in each process."""

    def __init__(self, tools: Tools) -> None:
        self.identity = tools.identity
        self.profiles = tools.profiles
        self.keys = ProcessKeys([place.key() for place in tools.process_keys])
        self._reporter = Reporter()
        self._order = tools.stamping.order(self._reporter.attempted)
        self.stamp: Stamp = self._order

    def report(self) -> News:
        """What goes to the owner with the next answer."""
        return self._reporter.news(self._order)

    def bar(self, fingerprints: frozenset[str]) -> None:
        """Sign nothing any more with certificates of these fingerprints."""
        self.keys.bar(fingerprints)

    def check(self, number: int) -> None:
        """Open the token of the key of this ``number``. Raises ConfigurationError, PinRefused or SigningUnavailable."""
        key = self.keys.keys[number]
        if isinstance(key, TokenKey):
            key.check()

    def stop_logins(self, refused: dict[str, str]) -> None:
        """Log in no more at tokens whose PIN another process found refused; why, by the token's name."""
        for key in self.keys.keys:
            if isinstance(key, TokenKey) and key.place.name in refused:
                key.stop_logins(refused[key.place.name])

    def make(self, case: Case, order: Order, original: Rendered | None = None) -> Made:
        """Sign and stamp an evidence and wrap it into its receipt; around ``original`` make the dispatch too.

        Raises SigningUnavailable or StampUnavailable.
        """
        self._order.check()
        at = datetime.now(UTC)
        key = self.keys.choose(at)
        profile = self.profiles[case.profile].under(key.addresses)
        evidence = profile.evidence(case, order, key.certificate)
        xml = xades.sign(profile.write(evidence), key, at, self.stamp, enveloped=profile.enveloped)
        used = SIGNATURES[key.algorithm].digest  # CMS has one digest for content and attributes (RFC 5652 5.4)
        receipt = profile.receipt(case, order, evidence, xml, used)
        # a receipt's envelope is CAdES B-B; the evidence in it carries the stamp
        octets = receipt.head + receipt.seal(
            cms.sign_detached(_digest(used, receipt.signed_head, receipt.tail), key, at, None)
        )
        if original is None:
            return Made(evidence, xml, octets, render(octets), None, None)
        form = profile.form(original.header, case.size, case.remmd_id)
        return Made(evidence, xml, octets, render(octets), profile.dispatch(case, evidence, xml, used), form)

    def seal(self, unsealed: Unsealed, digest: bytes, original: Rendered, form: Form) -> Sealed:
        """Sign and stamp a dispatch whose signed octets, the form among them, have this digest."""
        self._order.check()
        at = datetime.now(UTC)
        key = self.keys.choose(at)
        tail = unsealed.seal(cms.sign_detached(digest, key, at, self.stamp))  # stamped: Yönetmelik, "KEP iletisi"
        header = form.octets(original.header)
        shown = original if header == original.header else reheaded(original, header)
        return Sealed(unsealed.head, tail, render_grafted(unsealed.head, shown, form.size, tail))

    def issue(self, case: Case, order: Order, original: Rendered, octets: bytes | None) -> tuple[Made, Sealed | None]:
        """Evidence 10 and the dispatch at once when the original's ``octets`` are here; else all but the sealing."""
        made = self.make(case, order, original)
        unsealed, form = made.unsealed, made.form
        if octets is None or unsealed is None or form is None:
            return made, None
        digest = _digest(unsealed.digest_algorithm, unsealed.signed_head, *form.chunks(octets), unsealed.tail)
        return replace(made, unsealed=None), self.seal(unsealed, digest, original, form)

    def head(self, size: int, root: bytes) -> Head:
        """Sign and stamp the ledger's tree of ``size`` records. Raises SigningUnavailable or StampUnavailable."""
        at = datetime.now(UTC)
        statement = Statement(self.identity.domain, size, root, at, self.identity.policies)
        return sign_head(statement, self.keys.choose(at), self.stamp)

    def time_stamp(self, digest: bytes) -> bytes:
        """An RFC 3161 token over a SHA-2 digest. Raises StampUnavailable."""
        return self.stamp(digest)

    def report_digest(self) -> str:
        """The hashlib name of the digest that a report is signed by."""
        return SIGNATURES[self.keys.choose(datetime.now(UTC)).algorithm].digest

    def sign_report(self, digest: bytes) -> bytes:
        """The CMS of a report in PDF: CAdES B-T without a signing time, which the PDF itself states (PAdES B-T)."""
        return cms.sign_detached(digest, self.keys.choose(datetime.now(UTC)), None, self.stamp)


def _digest(algorithm: str, *pieces: bytes) -> bytes:
    digest = hashlib.new(algorithm)
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


class Workshop:
    """The pool of signing processes. A key on a token is used in as many of them as its token serves at once.

    ``certificates`` are those of all process keys; making a Workshop raises ConfigurationError when one is unusable.
    """

    def __init__(self, tools: Tools, workers: int = 0) -> None:
        self.workers = workers or os.cpu_count() or 1
        # here to know who may sign when, there to sign
        self.certificates = ProcessKeys([place.certified() for place in tools.process_keys])
        places = zip(self.certificates.keys, tools.process_keys, strict=True)
        self._tokens = {key.fingerprint: each.where for key, each in places if isinstance(each.where, TokenPlace)}
        self._refused: dict[str, str] = {}
        self.stamps = StampWatch(
            tuple(dict.fromkeys(each.name for each in tools.stamping.authorities)), tools.stamping.clock
        )
        self.signed: Callable[[str, float], None] = lambda _job, _seconds: None  # told each job and its seconds
        self._processes = Processes(self.workers, Bench, tools, self._heard)

    @property
    def pids(self) -> tuple[int, ...]:
        """The signing processes."""
        return self._processes.pids

    def _heard(self, told: Told) -> None:
        self.stamps.heard(told.process, told.news)
        if told.job:
            self.signed(told.job, told.seconds)

    async def start(self) -> None:
        """Start all processes, wait until they are ready, and open the tokens.

        Raises ConfigurationError when a key cannot be loaded or is not that of its certificate. A token that does not
        serve, or refuses the PIN, is only logged: what needs it waits. A restart would try a wrong PIN once more.
        """
        await self._processes.start()
        for number, key in enumerate(self.certificates.keys):
            if key.fingerprint in self._tokens and datetime.now(UTC) <= key.not_after:
                try:
                    await self._run("check", number, among=1)
                except SigningUnavailable as error:
                    _log.error("token does not serve: certificate=%s reason=%s", key.fingerprint, error)

    async def make(self, case: Case, order: Order) -> Made:
        """As Bench.make, in a signing process. Raises also SigningUnavailable when the process ended."""
        made: Made = await self._sign("make", case, order)
        return made

    async def issue(
        self, case: Case, order: Order, original: Rendered, octets: bytes | None
    ) -> tuple[Made, Sealed | None]:
        """As Bench.issue, in a signing process."""
        issued: tuple[Made, Sealed | None] = await self._sign("issue", case, order, original, octets)
        return issued

    async def seal(self, unsealed: Unsealed, digest: bytes, original: Rendered, form: Form) -> Sealed:
        """As Bench.seal, in a signing process."""
        sealed: Sealed = await self._sign("seal", unsealed, digest, original, form)
        return sealed

    async def head(self, size: int, root: bytes) -> Head:
        """As Bench.head, in a signing process."""
        head: Head = await self._sign("head", size, root)
        return head

    async def bar(self, fingerprints: frozenset[str]) -> None:
        """Sign nothing any more with certificates of these SHA-256 fingerprints (hex): they are revoked.

        Holds for every job that is given after this call, also in processes that start later; those given before are
        finished. The whole set each time: a certificate that is no longer in it may sign again (a hold that ended).
        """
        self.certificates.bar(fingerprints)
        await self._processes.tell("bar", fingerprints)

    async def time_stamp(self, digest: bytes) -> bytes:
        """As Bench.time_stamp, in a signing process."""
        token: bytes = await self._processes.run("time_stamp", digest)
        return token

    async def report_digest(self) -> str:
        """As Bench.report_digest, in a signing process."""
        name: str = await self._processes.run("report_digest")
        return name

    async def sign_report(self, digest: bytes) -> bytes:
        """As Bench.sign_report, in a signing process."""
        signature: bytes = await self._processes.run("sign_report", digest)
        return signature

    async def close(self) -> None:
        """Let each process answer what it was given, then end all."""
        await self._processes.close()

    async def _sign(self, name: str, *arguments: object) -> Any:
        try:
            token = self._tokens.get(self.certificates.choose(datetime.now(UTC)).fingerprint)
        except SigningUnavailable:
            token = None  # the process says it, at the time when it comes to it
        return await self._run(name, *arguments, among=token.workers if token else self.workers)

    async def _run(self, name: str, *arguments: object, among: int) -> Any:
        try:
            return await self._processes.run(name, *arguments, among=among)
        except PinRefused as error:
            self._refused.setdefault(error.token, str(error))
            await self._processes.tell("stop_logins", dict(self._refused))
            raise
