"""The desk for our own users: checks a message and takes it durably, or refuses it with a proof of the refusal."""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Final

from kepgw.accounts.address import ascii_lower, parse
from kepgw.accounts.rights import Right
from kepgw.errors import StoreError
from kepgw.evidence.codes import KepCode
from kepgw.evidence.model import GivenReason
from kepgw.interop.case import Order
from kepgw.interop.desk import Submission
from kepgw.interop.malware import MalwareDesk
from kepgw.interop.peers import Peers
from kepgw.interop.planning import SMALL, Planned, plan
from kepgw.interop.profile import Profiles
from kepgw.interop.settings import Policy
from kepgw.interop.signatures import Found, SignatureDesk
from kepgw.interop.work import new_identifier, order_evidence
from kepgw.journey.states import State
from kepgw.message.decoded import content_octets
from kepgw.message.headers import every, fields, split
from kepgw.message.original import Original, glance, inspect
from kepgw.message.rendering import Rendered, render
from kepgw.message.words import unfold
from kepgw.refusals import Refusal
from kepgw.store.accounts import Operator, account_by_address, audit, operator_by_login, room
from kepgw.store.engine import Store, Tx
from kepgw.store.ids import month_of, new_id
from kepgw.store.mailboxes import SENT, Standard, deliver
from kepgw.store.messages import (
    ACCEPTED,
    REFUSED,
    Dispatch,
    Message,
    Recipient,
    claim,
    claimed,
    insert_dispatch,
    insert_message,
    refresh_keywords,
)
from kepgw.store.octets import ContentRef, Span, put_blob, put_content
from kepgw.store.tasks import SIGN, Kind, Task, add
from kepgw.trust.useranchors import UserAnchors

BASIC: Final = "Basic"  # TS 102 640-2 AuthMethod: a password over TLS
MAX_DETAILS: Final = 2000  # characters of a reason's details
MAX_HEADER_VALUE: Final = 64 * 1024  # octets of To or Cc repeated in the dispatch


@dataclass(frozen=True, slots=True)
class _Looked:
    """What the octets of a submission say."""

    original: Original | None
    problem: Refusal | None
    rendered: Rendered
    message_id: str  # as far as it can be told, also of a header that is refused
    subject: str
    to: str
    cc: str
    signature: Found | None = None  # None: not looked at


class SubmissionCounter:
    """Implements ``desk.SubmissionDesk``."""

    def __init__(
        self,
        store: Store,
        peers: Peers,
        policy: Policy,
        now: Callable[[], datetime],
        ready: Callable[[], None],
        profiles: Profiles,
        anchors: UserAnchors | None = None,
        malware: MalwareDesk | None = None,
    ) -> None:
        self._store = store
        self._peers = peers
        self._policy = policy
        self._now = now
        self._profiles = profiles
        self._signatures = SignatureDesk(policy.signature, anchors)
        self._malware = malware or MalwareDesk(())
        self.ready = ready

    def reconfigure(self, policy: Policy, malware: MalwareDesk) -> None:
        """Judge what comes from now on by other rules."""
        self._policy = policy
        self._malware = malware
        self._signatures = self._signatures.by(policy.signature)

    async def sender(self, operator: Operator, address: str) -> None:
        """The envelope sender is the account. Raises Refusal."""
        if not operator.may(Right.SEND):
            raise Refusal("no-send-right", operator.login)
        await self._store.read(lambda tx: self._hold_quota(tx, operator))
        if ascii_lower(address) != operator.address:
            raise Refusal("sender-not-account", f"{operator.login} as {address!r}", account=operator.address)

    def _hold_quota(self, tx: Tx, operator: Operator) -> None:
        """Over the quota nothing is sent; receiving goes on (PTT's notice on quotas). Raises Refusal."""
        own, kept = room(tx, operator.account)
        quota = self._policy.quota_octets if own is None else own
        if quota and kept > quota:
            told = {"used": kept >> 20, "quota": quota >> 20}
            raise Refusal("quota-exceeded", f"{operator.address} keeps {kept} of {quota} octets", **told)

    async def recipient(self, operator: Operator, address: str, remote: str) -> str:
        """A recipient of a known provider; of ours only if there is such an account. Raises Refusal."""
        try:
            canonical = str(parse(address))
            if self._peers.owner(canonical) == self._peers.own_domain:
                account = await self._store.read(lambda tx: account_by_address(tx, canonical))
                if account is None:
                    raise Refusal("unknown-recipient", canonical, recipient=canonical)
                if not account.receives:
                    raise Refusal("recipient-closed", canonical, recipient=canonical)
        except Refusal as refusal:
            key = refusal.key
            with suppress(StoreError):  # on a full disk the client hears of the rule all the same
                await self._store.write(
                    lambda tx: audit(tx, self._now(), operator.login, "rcpt-refused", address[:254], f"{key} {remote}")
                )
            raise
        return canonical

    async def submit(self, submission: Submission) -> str:
        """Take a message. Returns its identifier when it is durable; raises the Refusal that it was refused with."""
        if not submission.recipients:
            raise Refusal("no-recipients", submission.operator.login)
        looked = await _look(submission, self._policy)
        t0 = self._now()
        if looked.problem is None:
            infected = await self._malware.examine(submission.spool, submission.operator.login)
            looked = replace(looked, problem=infected)
        if looked.problem is None:
            found, problem = await self._signatures.examine(submission.spool.view(), t0, submission.operator.login)
            looked = replace(looked, signature=found, problem=problem)
        problem = looked.problem
        planned = await plan(self._peers, self._profiles, submission, looked.original)
        entry = _Entry(self, submission, looked, t0, planned)
        if problem is None:
            try:
                return await self._store.write(entry.accept)
            except Refusal as refusal:
                problem = refusal
        if problem.rule.code >= 500:  # a lasting refusal is proved by evidence 11; a passing one is tried again
            await self._store.write(lambda tx: entry.refuse(tx, problem))
        raise problem


async def _look(submission: Submission, policy: Policy) -> _Looked:
    small = submission.checked.size <= SMALL
    return _inspect(submission, policy) if small else await asyncio.to_thread(_inspect, submission, policy)


def _inspect(submission: Submission, policy: Policy) -> _Looked:
    octets = submission.spool.view()
    operator = submission.operator
    header_end, _ = split(octets)
    header = bytes(octets[:header_end])
    problem = submission.problem
    original = None
    try:
        original = inspect(header)
        if original.from_address != operator.address:
            raise Refusal(
                "from-not-account", f"{operator.login} as {original.from_address!r}", account=operator.address
            )
        if original.ileti_tip == "eTebligat" and not policy.etebligat:
            raise Refusal("etebligat", original.message_id)
    except Refusal as refusal:
        problem = problem or refusal
    rendered = render(octets)
    if (
        problem is None
        and submission.checked.size > policy.content_octets
        and content_octets(rendered, submission.checked.size) > policy.content_octets
    ):
        problem = Refusal("too-large", "content over the limit", limit=policy.content_octets)
    found = fields(header[: MAX_HEADER_VALUE * 4])
    message_id, subject = (original.message_id, original.subject) if original else glance(header)
    return _Looked(original, problem, rendered, message_id, subject, _value(found, "to"), _value(found, "cc"))


def _value(found: Iterable[object], name: str) -> str:
    """A header's value, unfolded; several fields joined as one list. Empty when it is not plain ASCII."""
    values = [unfold(field.raw).strip() for field in every(found, name)]  # type: ignore[arg-type]
    joined = b", ".join(value for value in values if value)
    return joined.decode("ascii") if joined.isascii() and len(joined) <= MAX_HEADER_VALUE else ""


class _Entry:
    """One submission on its way into the store."""

    def __init__(
        self,
        counter: SubmissionCounter,
        submission: Submission,
        looked: _Looked,
        t0: datetime,
        planned: tuple[Planned, ...],
    ) -> None:
        *self._planned, self._refusal = planned
        self._counter = counter
        self._submission = submission
        self._looked = looked
        self._t0 = t0
        self._month = month_of(t0)
        self._domain = counter._peers.own_domain
        self._id = new_id(t0)
        self._content = ContentRef(self._month, new_id(t0))

    def accept(self, tx: Tx) -> str:
        """The one commit before the 250: original, T0, identifiers, the row in Gönderilmiş, the work that follows."""
        submission, original = self._submission, self._looked.original
        assert original is not None
        self._hold_operator(tx)
        recipients = tuple(dict.fromkeys(submission.recipients))
        scope = f"submission:{submission.operator.account}"
        key = original.message_id.encode()
        mark = hashlib.sha256(submission.checked.sha256 + "\n".join(sorted(recipients)).encode()).digest()
        before = claimed(tx, scope, key)
        if before is not None:
            if before[2] != mark:
                raise Refusal("message-id-reused", original.message_id)
            found = tx.row(
                "SELECT remmd_id FROM dispatch WHERE month = ? AND message = ? ORDER BY blind, id", *before[:2]
            )
            return str(found[0]) if found else ""  # a client's retry: nothing new is made
        claim(tx, scope, key, self._month, self._id, mark)
        message = self._message(ACCEPTED)
        self._store_original(tx, message)
        identifiers = [self._dispatch(tx, message, planned) for planned in self._planned]
        if submission.refused:
            self._refused(tx, message, [(address, refusal) for address, refusal in submission.refused])
        audit(tx, self._t0, submission.operator.login, "submitted", identifiers[0], submission.remote)
        return identifiers[0]

    def _hold_operator(self, tx: Tx) -> None:
        """A session may be older than the last word about its operator. Raises Refusal."""
        operator = operator_by_login(tx, self._submission.operator.login)
        if operator is None or not operator.active:
            raise Refusal("account-disabled", self._submission.operator.login)
        if not operator.may(Right.SEND):
            raise Refusal("no-send-right", operator.login)

    def refuse(self, tx: Tx, problem: Refusal) -> None:
        """Keep a message that is refused whole, in Gönderilmiş, and order evidence 11 for it.

        The same octets to the same recipients, refused again for the same reason, are a client in a loop: proved once.
        """
        submission = self._submission
        what = "\n".join([problem.key, *sorted(submission.recipients), *sorted(each for each, _ in submission.refused)])
        scope, key = f"refused:{submission.operator.account}", hashlib.sha256(submission.checked.sha256 + what.encode())
        if claimed(tx, scope, key.digest()):
            return
        claim(tx, scope, key.digest(), self._month, self._id)
        message = self._message(REFUSED)
        self._store_original(tx, message)
        refused = [(address, problem) for address in dict.fromkeys(self._submission.recipients)]
        self._refused(tx, message, refused + list(self._submission.refused))
        refresh_keywords(tx, message)
        audit(tx, self._t0, self._submission.operator.login, "refused", message.ua_message_id, str(problem))

    def _message(self, state: str) -> Message:
        submission, original = self._submission, self._looked.original
        operator = submission.operator
        parameters, signature = submission.parameters, self._looked.signature
        return Message(
            month=self._month,
            id=self._id,
            direction="out",
            account=operator.account,
            operator=operator.id,
            peer=None,
            sender=operator.address,
            sender_name=operator.account_name,
            subject=self._looked.subject,
            ua_message_id=self._looked.message_id,
            t0=self._t0,
            size=submission.checked.size,
            eight_bit=submission.checked.eight_bit,
            digest=submission.checked.sha256,
            content=self._content.id,
            facts={
                "to": self._looked.to,
                "cc": self._looked.cc,
                "tr_headers": [list(pair) for pair in original.tr_headers] if original else [],
                "ileti_tip": original.ileti_tip if original else "standart",
                "authentication": signature.method if signature and signature.holds else BASIC,
                "signature": asdict(signature) if signature else None,
                "remote": submission.remote,
                "ret": parameters.ret,
                "envid": parameters.envid,
                "notify": parameters.notify,
                "orcpt": parameters.orcpt,
            },
            state=state,
        )

    def _store_original(self, tx: Tx, message: Message) -> None:
        blob = new_id(self._t0)
        size = put_blob(tx, self._month, blob, self._submission.spool.chunks())
        put_content(tx, self._content, [Span(blob, 0, size)], self._looked.rendered)
        insert_message(tx, message)
        sent = Standard(self._submission.operator.account, SENT)
        deliver(tx, sent, self._content, size=size, kind="original", at=self._t0, flags=["\\Seen"], message=message.id)

    def _dispatch(self, tx: Tx, message: Message, planned: Planned) -> str:
        recipients = [self._recipient(tx, ordinal, address) for ordinal, address in enumerate(planned.recipients, 1)]
        dispatch = self._new_dispatch(message, ACCEPTED, planned)
        insert_dispatch(tx, dispatch, recipients, self._t0)
        claim(tx, "remmd", dispatch.remmd_id.encode(), self._month, dispatch.id)
        add(tx, Task(Kind.ISSUE, self._month, message.id, dispatch.id, SIGN, self._t0, {}, self._t0))
        return dispatch.remmd_id

    def _new_dispatch(self, message: Message, state: str, planned: Planned) -> Dispatch:
        return Dispatch(
            month=self._month,
            id=new_id(self._t0),
            message=message.id,
            remmd_id=planned.remmd_id,
            evidence_id=new_identifier("delil", self._domain),
            blind=planned.blind,
            profile=planned.profile,
            digest=planned.digest,
            state=state,
        )

    def _recipient(self, tx: Tx, ordinal: int, address: str) -> Recipient:
        provider = self._counter._peers.owner(address)
        account = account_by_address(tx, address) if provider == self._domain else None
        if provider == self._domain and account is None:
            raise Refusal("unknown-recipient", address, recipient=address)
        if account is not None and not account.receives:
            raise Refusal("recipient-closed", address, recipient=address)
        return Recipient(
            ordinal,
            address,
            account.name if account else "",
            provider,
            account.id if account else None,
            State.ACCEPTED,
        )

    def _refused(self, tx: Tx, message: Message, refused: list[tuple[str, Refusal]]) -> None:
        """One evidence 11 that names the refused recipients, with every reason once."""
        if not refused:
            return
        dispatch = self._new_dispatch(message, REFUSED, self._refusal)
        unique = dict(refused)
        recipients = [
            Recipient(ordinal, address, "", "", None, State.REFUSED, frozenset({"11"}))
            for ordinal, address in enumerate(unique, 1)
        ]
        insert_dispatch(tx, dispatch, recipients, self._t0)
        sentences: dict[str, dict[str, None]] = {}
        for each in unique.values():
            sentences.setdefault(each.rule.reason, {})[each.sentence("tr")] = None
        reasons = tuple(GivenReason(reason, " / ".join(told)[:MAX_DETAILS]) for reason, told in sentences.items())
        order = Order(KepCode.RED, dispatch.evidence_id, self._t0, (), reasons)
        order_evidence(tx, message, dispatch, order, self._t0)
        refresh_keywords(tx, message)
