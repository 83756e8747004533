"""A provider in one process without sockets: real keys, real signatures, a real store, a clock that we hold."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from kepgw.accounts.passwords import Credentials
from kepgw.evidence.codes import DEVELOPMENT_POLICY, KEP_CODES, KepCode
from kepgw.evidence.model import Authentication, Entity, GivenReason
from kepgw.interop.card import Card, write_card
from kepgw.interop.carrier import Carrier
from kepgw.interop.case import Case, Identity, Order
from kepgw.interop.desk import Outcome, Parameters, Relayed, RelayProblem, Submission
from kepgw.interop.duties import Duties
from kepgw.interop.peers import Peers, add_peer
from kepgw.interop.profile import Profiles
from kepgw.interop.reception import ReceptionCounter
from kepgw.interop.rem_baseline import RemBaseline
from kepgw.interop.settings import Policy, RelaySettings
from kepgw.interop.stamps import Authority, Stamping
from kepgw.interop.submission import SubmissionCounter
from kepgw.interop.tr_kep import TrKep
from kepgw.interop.workshop import Bench, Tools
from kepgw.message.octets import OctetCheck
from kepgw.message.rendering import render
from kepgw.refusals import Refusal
from kepgw.store.accounts import add_account, operator_by_login
from kepgw.store.engine import Store
from kepgw.store.messages import dispatches_of, evidence_of, messages_page, recipients_of
from kepgw.store.octets import ContentRef, read_content
from kepgw.store.spool import Spool
from kepgw.store.tasks import Kind, queue
from kepgw.trust.paths import load_anchors
from kepgw.trust.processkeys import KeyPlace

PROVIDERS = ("hs90.kep.tr", "hs91.kep.tr", "hs92.kep.tr")
HS90, HS91, HS92 = PROVIDERS
SETTINGS = RelaySettings(
    window=timedelta(hours=1),
    answer_window=timedelta(hours=2),
    delivery_window=timedelta(hours=3),
    retry_first=timedelta(seconds=30),
    retry_jitter=0.0,
)


def profiles(identity, **choice):
    known = (TrKep(identity), RemBaseline(identity))
    return Profiles({each.name: each for each in known}, **choice)


def tools(folder, domain, algorithm=""):
    keys = folder / domain / "keys"
    identity = Identity(
        domain=domain,
        name=f"Sağlayıcı {domain}",
        service_address=f"kep@{domain}",
        policies=(DEVELOPMENT_POLICY,),
        development=True,
    )
    return Tools(
        identity=identity,
        profiles=profiles(identity),
        process_keys=(KeyPlace((keys / "process.pem", keys / "intermediate.pem"), keys / "process.key", algorithm),),
        stamping=Stamping(
            (Authority("development", "", 1.0),), tsa_key=keys / "tsa.key", tsa_certificates=(keys / "tsa.pem",)
        ),
    )


class Identities:
    """Benches and cards of three providers, made once."""

    def __init__(self, folder):
        self.folder = folder
        self.benches = {domain: Bench(tools(folder, domain)) for domain in PROVIDERS}

    def anchors(self, domain):
        return load_anchors([self.folder / domain / "keys" / "root.pem"])

    def card(self, domain, **changes):
        keys = self.folder / domain / "keys"
        chain = load_anchors([keys / "process.pem", keys / "intermediate.pem", keys / "root.pem"])
        (tls,) = load_anchors([keys / "tls.pem"])
        card = Card(domain, domain, f"kep@{domain}", (domain,), (chain,), "127.0.0.1", 2525, tls)
        return replace(card, **changes)


class InProcess:
    """A workshop without processes; ``trouble`` is raised instead of the next jobs, ``on_make`` hears of each."""

    def __init__(self, bench):
        self.bench = bench
        self.trouble = []
        self.made = []

    async def make(self, case, order):
        if self.trouble:
            raise self.trouble.pop(0)
        self.made.append((order.code, order.identifier))
        return self.bench.make(case, order)

    async def issue(self, case, order, original, octets):
        if self.trouble:
            raise self.trouble.pop(0)
        self.made.append((order.code, order.identifier))
        return self.bench.issue(case, order, original, octets)

    async def seal(self, unsealed, digest, original, form):
        if self.trouble:
            raise self.trouble.pop(0)
        return self.bench.seal(unsealed, digest, original, form)


class Client:
    """A relay client: every send is kept; the next answers are taken from ``answers`` (an Outcome or an exception)."""

    def __init__(self):
        self.sent = []
        self.answers = []

    async def send(self, route, outgoing):
        octets = b"".join([chunk async for chunk in outgoing.octets()])
        assert len(octets) == outgoing.size
        self.sent.append((route, outgoing, octets))
        answer = self.answers.pop(0) if self.answers else Outcome("250 2.0.0 ok", {})
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            answer = await answer(route, outgoing, octets)
        return answer

    async def close(self):
        pass


class Clock:
    def __init__(self):
        self.time = datetime.now(UTC)

    def __call__(self):
        return self.time

    def go(self, **span):
        self.time += timedelta(**span)


class House:
    """One provider."""

    def __init__(self, identities, folder, domain=HS90, clock=None, policy=None, providers=None, **choice):
        folder.mkdir(exist_ok=True)
        self.identities, self.domain, self.folder = identities, domain, folder
        self.clock = clock or Clock()
        self.policy = policy or Policy()
        self.providers = providers or {}
        self.profiles = profiles(identities.benches[domain].identity, **choice)
        self.store = Store.open(folder / "store.sqlite")
        self.workshop = InProcess(identities.benches[domain])
        self.client = Client()

    async def start(self):
        self.peers = Peers(self.store, self.domain, f"kep@{self.domain}", self.providers)
        await self.peers.start()
        self.submission = SubmissionCounter(
            self.store, self.peers, self.policy, self.clock, lambda: None, self.profiles
        )
        anchors = self.identities.anchors(self.domain)
        self.reception = ReceptionCounter(
            self.store, self.peers, anchors, SETTINGS, self.clock, lambda: None, self.profiles
        )
        self.duties = Duties(self.store, self.peers, self.workshop, self.client, SETTINGS, self.clock)
        return self

    async def know(self, *domains, **changes):
        for domain in domains:
            text = write_card(self.identities.card(domain, **changes))
            await self.store.write(lambda tx, text=text: add_peer(tx, text, self.domain, self.clock()))
        await self.peers.load()

    def account(self, local, name=""):
        address = local if "@" in local else f"{local}@{self.domain}"
        credentials = Credentials("a", "s")
        self.store.write_now(lambda tx: add_account(tx, address, name or local, credentials, self.clock()))
        return self.store.read_now(lambda tx: operator_by_login(tx, address))

    async def submit(self, operator, octets, *recipients, refused=(), problem=None, parameters=None):
        spool = Spool(self.folder)
        check = OctetCheck()
        check.feed(octets)
        spool.write(octets)
        try:
            checked = check.finish()
        except Refusal as refusal:
            checked, problem = check.result(), problem or refusal
        submission = Submission(
            operator, recipients, tuple(refused), spool, checked, problem, parameters or Parameters(), "127.0.0.1"
        )
        try:
            return await self.submission.submit(submission)
        finally:
            spool.close()

    async def receive(self, octets, *recipients, sender=f"kep@{HS91}"):
        received = b"Received: from peer\r\n\tby us;\r\n\tMon, 1 Jan 2026 00:00:00 +0000\r\n"
        spool = Spool(self.folder)
        check = OctetCheck()
        check.feed(octets)
        spool.write(received + octets)
        relayed = Relayed(sender, recipients, spool, check.finish(), len(received), "192.0.2.1")
        try:
            return await self.reception.receive(relayed)
        finally:
            spool.close()

    # doing what is due, without the carrier

    async def work(self, *kinds):
        """Do every due task (of these kinds) until none is left; returns how many."""
        does = {
            Kind.ISSUE: self.duties.issue,
            Kind.EVIDENCE: self.duties.evidence,
            Kind.RELAY: self.duties.relay,
            Kind.RECEIPT: self.duties.receipt,
            Kind.ANSWER_WINDOW: self.duties.answer_window,
            Kind.DELIVERY_WINDOW: self.duties.delivery_window,
            Kind.RETRIEVAL_WINDOW: self.duties.retrieval_window,
        }
        done = 0
        while found := [each for each in self.tasks(*kinds) if each.due <= self.clock()]:
            for task in found:
                await does[task.kind](task)
                done += 1
        return done

    def carrier(self, workers=1):
        return Carrier(self.store, self.duties, self.clock, workers)

    # looking

    def rows(self, sql, *parameters):
        return self.store.read_now(lambda tx: tx.rows(sql, *parameters))

    def tasks(self, *kinds):
        return [each for each in self.store.read_now(queue) if not kinds or each.kind in kinds]

    def message(self, number=0):
        return self.store.read_now(lambda tx: messages_page(tx, 99))[number]

    def dispatches(self, number=0):
        message = self.message(number)
        return self.store.read_now(lambda tx: dispatches_of(tx, message.month, message.id))

    def recipients(self, dispatch=0, message=0):
        found = self.dispatches(message)[dispatch]
        return self.store.read_now(lambda tx: recipients_of(tx, found.month, found.id))

    def states(self, dispatch=0, message=0):
        return [each.state.value for each in self.recipients(dispatch, message)]

    def evidence(self, number=0):
        message = self.message(number)
        return self.store.read_now(lambda tx: evidence_of(tx, message.month, message.id))

    def codes(self, number=0):
        return [each.code for each in self.evidence(number)]

    def mails(self, folder, address=None):
        return self.rows(
            "SELECT m.month, m.content, m.flags, m.kind, m.size, m.mailbox, m.uid FROM mail m"
            " JOIN mailbox b ON b.id = m.mailbox JOIN account a ON a.id = b.account"
            " WHERE b.name = ? AND (? IS NULL OR a.address = ?) ORDER BY m.uid",
            folder,
            address,
            address,
        )

    def octets(self, month, content):
        return self.store.read_now(lambda tx: b"".join(read_content(tx, ContentRef(month, content))))

    def flags(self, address):
        return self.mails("Gönderilmiş", address)[-1][2]

    def close(self):
        self.store.close()


def original(
    sender="ali@hs90.kep.tr", to=("veli@hs91.kep.tr",), cc=(), subject="Merhaba", number=1, more=b"", body=b"x"
):
    header = f"From: <{sender}>\r\nTo: {', '.join(to)}\r\n"
    header += f"Cc: {', '.join(cc)}\r\n" if cc else ""
    header += f"Subject: {subject}\r\nMessage-ID: <{number}@client>\r\n"
    return header.encode() + more + b"\r\n" + body + b"\r\n"


def case(octets, **changes):
    """A transaction as a provider hs91 has it, for ali there to ayse and other people at hs90."""
    at = datetime.now(UTC).replace(microsecond=0)
    values = {
        "remmd_id": f"remmd.{hashlib.sha256(octets).hexdigest()[:12]}@hs91.kep.tr",
        "evidence_id": f"delil.{hashlib.sha256(octets).hexdigest()[:12]}@hs91.kep.tr",
        "sender": Entity("ali@hs91.kep.tr", "Ali Yılmaz"),
        "recipients": (Entity("ayse@hs90.kep.tr"),),
        "subject": "Merhaba",
        "ua_message_id": "<1@client>",
        "t0": at,
        "digest": hashlib.sha256(octets).digest(),
        "size": len(octets),
        "eight_bit": not octets.isascii(),
        "to": "ayse@hs90.kep.tr",
        "cc": "",
        "tr_headers": (),
        "authentication": Authentication(at, "Basic"),
    }
    return Case(**(values | changes))


def sealed(bench, given: Case, octets, *, envelope_by=None, order=None):
    """The octets of a dispatch around the form of ``octets``. ``envelope_by`` signs the envelope instead."""
    made = bench.make(given, order or Order(KepCode.KABUL, given.evidence_id, given.t0), render(octets))
    unsealed, form = made.unsealed, made.form.octets(octets)
    digest = hashlib.sha256(unsealed.signed_head + form + unsealed.tail).digest()
    whole = (envelope_by or bench).seal(unsealed, digest, render(octets), made.form)
    return whole.head + form + whole.tail


def receipt(bench, given: Case, code, *, identifier=None, refers_to=None, reasons=(), at=None):
    """The octets of a receipt of ``bench`` about a transaction."""
    if not KEP_CODES[code].positive and not reasons:
        reasons = (GivenReason("Other"),)
    identifier = identifier or f"delil.{int(code)}.{refers_to}@{bench.identity.domain}"
    order = Order(code, identifier, at or datetime.now(UTC), (refers_to,) if refers_to else (), reasons)
    return bench.make(given, order).receipt


__all__ = ["RelayProblem"]
