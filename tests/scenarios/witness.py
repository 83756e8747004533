"""The witness: looks at providers from the outside, and says what is wrong.

It knows what any user and administrator can know: the replies to what was submitted, the mailboxes over IMAP, the
keywords on the sent messages, and ``kepgw evidence list``. It reads evidence with the standard library and shares no
code with kepgw. At the end of a scenario it holds that

- each recipient that was accepted stands in one transaction and has exactly one state, and that state is a final one;
- nothing is missing: every evidence of the ledger is in the sender's Deliller and the other way round, at both ends;
- nothing is there twice: one evidence of each kind a recipient, one copy of a dispatch in a mailbox;
- all evidence of a transaction names the same message, digest, sender and recipients, and comes from whom it must;
- the keywords of the sent message are those that its evidence makes.
"""

import base64
import email
import hashlib
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parseaddr
from xml.etree import ElementTree as ET

from laboratory import DEADLINE, Node, evidences

CODES = {
    ("SubmissionAcceptanceRejection", "Acceptance"): 10,
    ("SubmissionAcceptanceRejection", "Rejection"): 11,
    ("RelayREMMDAcceptanceRejection", "Acceptance"): 20,
    ("RelayREMMDAcceptanceRejection", "Rejection"): 21,
    ("RelayREMMDFailure", "DeliveryExpiration"): 31,
    ("DeliveryNonDeliveryToRecipient", "Delivery"): 40,
    ("DeliveryNonDeliveryToRecipient", "DeliveryExpiration"): 41,
    ("RetrievalNonRetrievalByRecipient", "Retrieval"): 60,
    ("RetrievalNonRetrievalByRecipient", "NonRetrievalExpiration"): 61,
    ("Evidence", "SubmissionAcceptance"): 10,
    ("Evidence", "SubmissionRejection"): 11,
    ("Evidence", "RelayAcceptance"): 20,
    ("Evidence", "RelayRejection"): 21,
    ("Evidence", "RelayFailure"): 31,
    ("Evidence", "ContentConsignment"): 40,
    ("Evidence", "ContentConsignmentFailure"): 41,
    ("Evidence", "ContentHandover"): 60,
    ("Evidence", "ContentHandoverFailure"): 61,
}
OWN_41 = -41  # by the sender's provider: no news in time
BY_SENDERS_PROVIDER = {10, 11, 31, OWN_41}
WORKING = {"issue", "evidence", "relay", "receipt"}

# what the codes about one recipient say together; 61 ("not read in time") stands beside any of those delivered
AT_HOME = {
    frozenset({10}): "accepted",
    frozenset({10, 40}): "delivered",
    frozenset({10, 40, 60}): "read",
}
AWAY = {
    frozenset({10}): "relaying",
    frozenset({10, 20}): "answered",
    frozenset({10, 20, 40}): "delivered",
    frozenset({10, 20, 40, 60}): "read",
    frozenset({10, 21}): "refused",
    frozenset({10, 31}): "unreached",
    frozenset({10, 31, 21}): "refused",
    frozenset({10, 31, 20}): "answered-late",
    frozenset({10, 31, 20, 40}): "delivered-late",
    frozenset({10, 31, 20, 40, 60}): "read",
    frozenset({10, 31, 20, 41}): "undelivered",
    frozenset({10, 20, 41}): "undelivered",
    frozenset({10, 20, OWN_41}): "unproved",
    frozenset({10, 20, OWN_41, 40}): "delivered-late",
    frozenset({10, 20, OWN_41, 40, 60}): "read",
    frozenset({10, 20, OWN_41, 41}): "undelivered",
}
OPEN = {"accepted", "relaying", "answered", "answered-late"}


@dataclass(frozen=True)
class Seen:
    """One evidence as it lies in a mailbox."""

    identifier: str
    code: int
    issuer: str
    remmd: str  # the transaction
    ua: str  # Message-ID of the original
    digest: str
    sender: str
    recipients: tuple[str, ...]
    about: frozenset[int]  # 1-based; none: all that the issuer speaks for
    baseline: bool

    @property
    def meaning(self) -> int:
        """The code, with the sender's provider's own 41 told apart."""
        own = self.code == 41 and self.issuer == provider(self.sender)
        return OWN_41 if own else self.code

    def addresses(self) -> list[str]:
        """The recipients that it speaks of."""
        if self.about:
            return [self.recipients[each - 1] for each in sorted(self.about)]
        if self.code in {20, 21} and len(self.recipients) > 1:
            return [each for each in self.recipients if provider(each) == self.issuer]
        return list(self.recipients)


def provider(address: str) -> str:
    """The provider of a KEP address: the last three labels of its domain."""
    return ".".join(address.partition("@")[2].split(".")[-3:]).lower()


def look(receipt: bytes) -> Seen:
    """Read the one evidence of a receipt or dispatch."""
    attached = evidences(receipt)
    assert len(attached) == 1, f"{len(attached)} evidences in one envelope"
    root = ET.fromstring(attached[0][1])
    named: dict[str, list[ET.Element]] = {}
    for each in root.iter():
        named.setdefault(each.tag.rpartition("}")[2], []).append(each)

    def text(*names: str) -> str:
        return next((named[name][0].text or "" for name in names if name in named), "")

    baseline = "ERDSEventId" in named
    if baseline:
        event = text("ERDSEventId").rpartition("/")[2]
        recipients = [_text(each, "Identifier") for each in named["RecipientDetails"]]
        sender = _text(named["SenderDetails"][0], "Identifier")
    else:
        event = text("EventCode").rpartition("#")[2]
        listed = named["RecipientsDetails"][0].iter() if "RecipientsDetails" in named else ()
        recipients = [each.text or "" for each in listed if each.tag.endswith("}AttributedElectronicAddress")]
        sender = _text(named["SenderDetails"][0], "AttributedElectronicAddress")
    about = named.get("EvidenceRefersToRecipient", []) + named.get("RelayEvidenceRefersTo", [])
    digest = next((each.text or "" for each in _before_signature(root) if each.tag.endswith("}DigestValue")), "")
    top = email.message_from_bytes(receipt)
    return Seen(
        identifier=text("EvidenceIdentifier"),
        code=CODES[root.tag.rpartition("}")[2], event],
        issuer=provider(parseaddr(top["From"])[1]),
        remmd=text("MessageIdentifierByREMMD", "MessageIdentifier"),
        ua=text("UAMessageIdentifier", "AppLayerIdentifier"),
        digest=digest,
        sender=sender.lower(),
        recipients=tuple(each.lower() for each in recipients),
        about=frozenset(int(each.text or 0) for each in about),
        baseline=baseline,
    )


def _text(element: ET.Element, name: str) -> str:
    return next((each.text or "" for each in element.iter() if each.tag.rpartition("}")[2] == name), "")


def _before_signature(root: ET.Element) -> Iterator[ET.Element]:
    for child in root:
        if not child.tag.endswith("}Signature"):
            yield from child.iter()


@dataclass(frozen=True)
class Sent:
    """A message in Gönderilmiş."""

    message: Message
    digest: str  # SHA-256 of its octets, base64
    flags: frozenset[str]


@dataclass
class Box:
    """What lies in the mailboxes of one account."""

    node: Node
    address: str
    sent: list[Sent] = field(default_factory=list)
    receipts: list[Seen] = field(default_factory=list)
    inbox: list[Seen] = field(default_factory=list)


class Witness:
    """Looks once, at nodes that have come to rest. ``faults`` are sentences."""

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        waiting: Collection[str] = (),
        owed: Mapping[str, Collection[int]] | None = None,
        beside: Mapping[str, Collection[int]] | None = None,
    ) -> None:
        """``waiting`` are recipients whose end has not come yet; ``owed`` codes that their provider fails to say.

        ``beside`` are codes that a provider said once more, or against what it had said before: kept, without effect.
        """
        self.nodes = {node.domain: node for node in nodes}
        self.waiting = set(waiting)
        self.owed = owed or {}
        self.beside = beside or {}
        self.faults: list[str] = []
        self.states: dict[tuple[str, str], str] = {}  # of (Message-ID, recipient)
        self._ledgers: dict[tuple[str, str], list[dict[str, object]]] = {}

    def boxes(self) -> list[Box]:
        """The mailboxes of those who serve, as they are now."""
        return [box for node in self.nodes.values() if node.process is not None for box in _boxes(node)]

    def hold(self, boxes: Sequence[Box]) -> dict[tuple[str, str], str]:
        """Raise AssertionError with all faults. The state of each recipient by (Message-ID, address)."""
        for box in boxes:
            self._mailboxes(box)
        for box in boxes:
            for sent in box.sent:
                self._message(box, sent, boxes)
        self._replies(boxes)
        assert not self.faults, "the witness:\n- " + "\n- ".join(self.faults)
        return self.states

    # -- one account ------------------------------------------------------------------------------------------------

    def _mailboxes(self, box: Box) -> None:
        sent = {str(each.message["Message-ID"]) for each in box.sent}
        self._once(Counter((str(each.message["Message-ID"]), each.digest) for each in box.sent), f"{box.address}: sent")
        self._once(Counter(each.identifier for each in box.receipts), f"{box.address}: evidence in Deliller")
        self._once(Counter(each.remmd for each in box.inbox), f"{box.address}: dispatches in INBOX")
        for each in box.receipts:
            self._check(each.ua in sent, f"{box.address}: evidence {each.identifier} for no sent message")
            self._check(each.sender == box.address, f"{each.identifier} of {each.sender} lies with {box.address}")
        for each in box.inbox:
            self._check(each.code == 10, f"{box.address}: a dispatch with evidence {each.code}")
            self._check(box.address in each.recipients, f"{box.address}: a dispatch for {each.recipients}")
            own = self._own_words(box.node, each.remmd, box.address)
            wanted = {40} if provider(each.sender) == box.node.domain else {20, 40}
            said = {code for code in own if code in {20, 21, 40}}
            self._check(said == wanted, f"{box.address} has {each.remmd}, its provider said {sorted(said)}")

    def _own_words(self, node: Node, remmd: str, address: str) -> Counter[int]:
        """The codes that a provider's ledger has as its own about one of its recipients."""
        found: Counter[int] = Counter()
        for row in self._ledger(node, remmd):
            if row["own"] and row["recipient"] in {"", address}:
                found[int(str(row["code"]))] += 1
        return found

    def _ledger(self, node: Node, message: str) -> list[dict[str, object]]:
        key = (node.domain, message)
        if key not in self._ledgers:
            try:
                self._ledgers[key] = node.asked("evidence", "list", "--message", message)
            except RuntimeError:  # it never came there
                self._ledgers[key] = []
        return self._ledgers[key]

    # -- one sent message -------------------------------------------------------------------------------------------

    def _message(self, box: Box, sent: Sent, boxes: Sequence[Box]) -> None:
        ua, flags = str(sent.message["Message-ID"]), sent.flags
        seen = [each for each in box.receipts if each.ua == ua]
        if sum(str(each.message["Message-ID"]) == ua for each in box.sent) > 1:
            # one that was refused and its mended successor have one Message-ID; the KEP identifier keeps them apart
            taken = {each.remmd for each in seen if each.code == 10}
            whole = {each.remmd for each in seen if each.code == 11 and each.digest == sent.digest}
            seen = [each for each in seen if each.remmd in (taken if "$KepKabul" in flags else whole)]
        self._same_in_ledger(box.node, seen[0].remmd if seen else ua, seen)
        transactions: dict[str, list[Seen]] = {}
        for each in seen:
            if each.code == 11:
                self._check(each.issuer == box.node.domain, f"{each.identifier}: 11 by {each.issuer}")
            else:
                transactions.setdefault(each.remmd, []).append(each)
        self._check(bool(seen), f"{ua}: neither accepted nor refused")
        codes = {address: {11} for each in seen if each.code == 11 for address in each.addresses()}
        for remmd, about in transactions.items():
            found = self._transaction(box, ua, remmd, about, sent, boxes)
            for address, those in found.items():
                self._check(address not in codes, f"{ua}: {address} stands in two transactions")
                codes[address] = those
        wanted = _keywords(codes.values())
        shown = {flag for flag in flags if flag.startswith("$Kep")}
        self._check(shown == wanted, f"{ua}: keywords {sorted(shown)}, its evidence makes {sorted(wanted)}")

    def _same_in_ledger(self, node: Node, message: str, seen: Sequence[Seen]) -> None:
        rows = {str(row["id"]): row for row in self._ledger(node, message)}
        held = {each.identifier: each for each in seen}
        for missing in rows.keys() - held.keys():
            self._check(False, f"{message}: evidence {rows[missing]['code']} is in the ledger, not in Deliller")
        for more in held.keys() - rows.keys():
            self._check(False, f"{message}: evidence {held[more].code} is in Deliller, not in the ledger")
        for identifier in rows.keys() & held.keys():
            told = (rows[identifier]["code"], rows[identifier]["issuer"])
            read = (held[identifier].code, held[identifier].issuer)
            self._check(told == read, f"{message}: the ledger calls {identifier} {told}, it is {read}")

    def _transaction(
        self, box: Box, ua: str, remmd: str, about: Sequence[Seen], sent: Sent, boxes: Sequence[Box]
    ) -> dict[str, set[int]]:
        first = next((each for each in about if each.code == 10), None)
        if first is None:
            self._check(False, f"{ua}: {remmd} has evidence, but no 10")
            return {}
        if not first.baseline:  # the baseline's digest is of its own form (EN 319 532-4 C.22)
            self._check(first.digest == sent.digest, f"{ua}: evidence 10 has another digest than the sent message")
        found: dict[str, Counter[int]] = {each: Counter() for each in first.recipients}
        for each in about:
            same = (each.digest, each.sender, each.recipients, each.baseline)
            wanted = (first.digest, first.sender, first.recipients, first.baseline)
            self._check(same == wanted, f"{ua}: {each.code} {each.identifier} names {same}, 10 {wanted}")
            for address in each.addresses():
                speaks = box.node.domain if each.meaning in BY_SENDERS_PROVIDER else provider(address)
                self._check(each.issuer == speaks, f"{ua}: {each.code} about {address} by {each.issuer}")
                found.setdefault(address, Counter())[each.meaning] += 1
        for address, counted in found.items():
            counted.subtract(self.beside.get(address, ()))
            counted = +counted
            self._once(counted, f"{ua}: {address}: evidence")
            self._recipient(box, ua, first, address, counted, boxes)
        return {address: {abs(code) for code in counted} for address, counted in found.items()}

    def _recipient(
        self, box: Box, ua: str, first: Seen, address: str, counted: Counter[int], boxes: Sequence[Box]
    ) -> None:
        home = provider(address) == box.node.domain
        codes = (set(counted) | set(self.owed.get(address, ()))) - {61}
        if first.baseline and {21, 31} <= codes:
            codes.discard(31)  # EN 319 532-4 C.3: 31 repeats the peer's 21
        state = (AT_HOME if home else AWAY).get(frozenset(codes))
        if state is None:
            self._check(False, f"{ua}: {address}: {sorted(codes)} is no state")
            return
        self.states[ua, address] = state
        pending = address in self.waiting
        self._check((state in OPEN) == pending, f"{ua}: {address} is {state}")
        there = self.nodes.get(provider(address))
        if there is None:
            return
        # what its provider said and what came back is the same
        said = self._own_words(there, first.remmd, address) if not home else None
        if said is not None:
            words = {code for code in said if code in {20, 21, 40, 41, 60, 61}}
            came = {code for code in counted if code in {20, 21, 40, 41, 60, 61}}
            self._check(words == came or pending, f"{ua}: {address}: said {sorted(words)}, came {sorted(came)}")
        mine = next((each for each in boxes if each.address == address), None)
        if mine is not None:
            copies = sum(each.remmd == first.remmd for each in mine.inbox)
            wanted = 1 if 40 in counted or 20 in counted or (pending and said) else 0
            self._check(copies == wanted, f"{ua}: {address} is {state} and has {copies} copies")

    # -- what the providers answered --------------------------------------------------------------------------------

    def _replies(self, boxes: Sequence[Box]) -> None:
        for box in boxes:
            known = {str(each.message["Message-ID"]) for each in box.sent}
            for reply in box.node.replies:
                if reply.sender != box.address or not reply.message_id:
                    continue
                if reply.accepted:
                    self._check(reply.message_id in known, f"{reply.message_id} was taken by a 250 and is not there")
                for address in reply.accepted:
                    self._check(
                        (reply.message_id, address) in self.states,
                        f"{reply.message_id}: {address} was accepted and has no evidence 10",
                    )
                refused = {
                    address
                    for each in box.receipts
                    if each.ua == reply.message_id and each.code == 11
                    for address in each.addresses()
                }
                for address in reply.refused:
                    told = address in refused or not reply.data  # nothing was sent: the reply is all there is
                    self._check(told, f"{reply.message_id}: {address} was refused without evidence 11")

    def _once(self, counted: Mapping[object, int], what: str) -> None:
        twice = sorted(str(key) for key, number in counted.items() if number > 1)
        self._check(not twice, f"{what} more than once: {twice}")

    def _check(self, holds: bool, sentence: str) -> None:
        if not holds:
            self.faults.append(sentence)


def _boxes(node: Node) -> Iterator[Box]:
    for address in node.addresses:
        box = Box(node, address)
        with node.imap(address) as reader:
            reader.select("Gönderilmiş")
            for uid in reader.uids():
                octets = reader.fetch(uid)
                digest = base64.b64encode(hashlib.sha256(octets).digest()).decode()
                box.sent.append(Sent(email.message_from_bytes(octets), digest, frozenset(reader.flags(uid))))
            box.receipts = [look(each) for each in reader.all("Deliller")]
            box.inbox = [look(each) for each in reader.all("INBOX")]
        yield box


def _keywords(recipients: Iterable[set[int]]) -> set[str]:
    all_ = list(recipients)
    first = {10: "$KepKabul", 11: "$KepRed", 20: "$KepIletildi", 21: "$KepTeslimEdilemedi", 31: "$KepTeslimEdilemedi"}
    first[41] = "$KepTeslimEdilemedi"
    found = {first[code] for codes in all_ for code in codes if code in first}
    if all_ and all(codes & {40, 60} for codes in all_):
        found.add("$KepTeslim")
    if all_ and all(60 in codes for codes in all_):
        found.add("$KepOkundu")
    return found


def rest(nodes: Sequence[Node], *, absent: Collection[str] = ()) -> None:
    """Wait until the queues have nothing but windows that run, and work for providers that are ``absent``."""
    running = [node for node in nodes if node.process is not None]
    quiet, until = 0, time.monotonic() + DEADLINE
    while quiet < 2:  # what one gave to another between two looks is seen by the second round
        tasks = [task for node in running for task in node.asked("queue", "list")]
        busy = [task for task in tasks if task["kind"] in WORKING and task["peer"] not in absent]
        assert time.monotonic() < until, f"still under way: {busy}"
        quiet = 0 if busy else quiet + 1
        time.sleep(0.05)  # nothing tells from outside that a queue has become empty
