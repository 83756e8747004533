"""The demonstration: two providers exchange cards, then three messages travel the whole way, judged by others.

Exit status 0 only if every message arrives, every evidence is there, and openssl, xmlsec1 and `kepgw verify` accept
all of them.
"""

import email
import shutil
import sys
import tempfile
import time
from collections import Counter
from email.message import EmailMessage
from pathlib import Path

from laboratory import Judges, Node, compose, event_of, evidences, tools_missing

ACCEPTED = "SubmissionAcceptanceRejection/Acceptance"
RELAYED = "RelayREMMDAcceptanceRejection/Acceptance"
UNKNOWN = "RelayREMMDAcceptanceRejection/Rejection"
DELIVERED = "DeliveryNonDeliveryToRecipient/Delivery"
READ = "RetrievalNonRetrievalByRecipient/Retrieval"

NAMES = ["Çağrı", "İlknur", "Işıl", "Özgür", "Şükrü", "Ümit", "Gülşah", "Ahmet", "Ayşe", "Barış", "Cem", "Deniz"]


class Demonstration:
    """The story, step by step; each step that does not hold ends it."""

    def __init__(self, folder: Path) -> None:
        self.here = Node(folder / "hs90", "hs90.kep.tr")
        self.there = Node(folder / "hs91", "hs91.kep.tr")
        self.failures: list[str] = []
        self.mails: list[bytes] = []  # every dispatch and receipt that a client fetched

    def set_up(self) -> None:
        """Providers and their processes; then accounts and cards, while they run."""
        self.here.init()
        self.there.init()
        self.here.start()
        self.there.start()
        self.ali = self.here.account("ali.yilmaz", "Ali Yılmaz")
        self.veli = self.there.account("veli.ozturk", "Veli Öztürk")
        self.many_here = [self.here.account(f"memur{number}", name) for number, name in enumerate(NAMES, 1)]
        self.many_there = [
            self.there.account(f"uye{number}@dernek.{self.there.domain}", name)
            for number, name in enumerate(NAMES[:-1], 1)
        ]
        self.blind = self.there.account("gizli", "Gizli Alıcı")
        self.here.peer_with(self.there)
        self.there.peer_with(self.here)
        roots = [node.folder / "keys" / "root.pem" for node in (self.here, self.there)]
        self.judges = Judges(roots)
        for node in (self.here, self.there):
            say(f"{node.domain} runs on base port {node.base}")

    def plain(self) -> str:
        """A plain message from Ali to Veli; Veli reads it."""
        message = compose(self.ali, [self.veli], "İlk KEP iletisi", "Merhaba Veli,\n\nİyi çalışmalar.\n")
        self.here.send(message, self.ali, [self.veli])
        self._arrived(self.there, self.veli, message, 1)
        self._evidence(self.ali, message, {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1, READ: 1})
        say("a plain message: accepted, relayed, delivered, read")
        return str(message["Message-ID"])

    def many(self) -> None:
        """25 recipients at both providers with attachments and Turkish names; one unknown, one blind."""
        unknown = f"yok.boyle.biri@{self.there.domain}"
        to = [*self.many_here, *self.many_there, unknown]
        assert len(to) == 24
        attachments = [("Sözleşme İŞGÜCÜ.pdf", bytes(range(256)) * 400), ("ek-2.bin", b"\0\1\2" * 3000)]
        message = compose(
            self.ali, to[:20], "Çağrı: ŞĞÜİÖÇ şğüıöç", "Ekler ilişiktedir.\n", cc=to[20:], attachments=attachments
        )
        self.here.send(message, self.ali, [*to, self.blind])
        for node, addresses in ((self.here, self.many_here), (self.there, self.many_there)):
            for address in addresses:
                self._arrived(node, address, message, 1, read=False)
        self._arrived(self.there, self.blind, message, 1, read=False)
        # 12 here and 11 there are delivered and told so one by one, as is the blind one in a dispatch of its own;
        # the unknown one makes 20 and 21 come one by one for its dispatch
        self._evidence(self.ali, message, {ACCEPTED: 2, RELAYED: 12, UNKNOWN: 1, DELIVERED: 24})
        say("25 recipients with attachments: 24 deliveries, one unknown recipient, one blind")

    def reply(self, original_id: str) -> None:
        """Veli answers."""
        message = compose(self.veli, [self.ali], "Re: İlk KEP iletisi", "Aldım, teşekkürler.\n", reply_to=original_id)
        self.there.send(message, self.veli, [self.ali])
        self._arrived(self.here, self.ali, message, 1)
        self._evidence(self.veli, message, {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1, READ: 1}, node=self.there)
        say("a reply: accepted, relayed, delivered, read")

    def _arrived(self, node: Node, address: str, sent: EmailMessage, count: int, *, read: bool = True) -> None:
        with node.imap(address) as reader:
            uid = reader.wait_for("INBOX", count)[-1]
            octets = reader.fetch(uid, peek=not read)
        self.mails.append(octets)
        inner = next(
            part for part in email.message_from_bytes(octets).walk() if part.get_content_type() == "message/rfc822"
        )
        carried = inner.get_payload()[0]
        self._hold(carried["Message-ID"] == sent["Message-ID"], f"{address} has another message")
        wanted = sent.as_bytes(policy=sent.policy.clone(linesep="\r\n"))
        self._hold(wanted.rstrip() in octets, f"{address}: the original is not carried byte for byte")
        self._hold(len(evidences(octets)) == 1, f"{address}: the dispatch does not carry one evidence")

    def _evidence(self, address: str, sent: EmailMessage, wanted: dict[str, int], node: Node | None = None) -> None:
        node = node or self.here
        total = sum(wanted.values())
        with node.imap(address) as reader:
            uids = reader.wait_for("Deliller", total, "HEADER", "In-Reply-To", str(sent["Message-ID"]))
            receipts = [reader.fetch(uid) for uid in uids]
        found: Counter[str] = Counter()
        self.mails += receipts
        for octets in receipts:
            found.update(event_of(xml) for _, xml in evidences(octets))
        self._hold(dict(found) == wanted, f"evidence of {sent['Subject']!r}: {dict(found)}, not {wanted}")

    def judge(self) -> None:
        """Let others judge every mail."""
        self.judges.messages(self.mails)
        say(f"{self.judges.judged} dispatches and receipts: openssl, xmlsec1 and kepgw verify accept all")

    def timeline(self) -> None:
        """What the command line tells of the first message."""
        print(self.here.cli("message", "list").decode())
        newest = self.here.json("message", "list")
        for entry in newest:
            print(self.here.cli("message", "show", str(entry["number"])).decode())

    def _hold(self, good: bool, otherwise: str) -> None:
        if not good:
            self.failures.append(otherwise)
            say(f"NOT AS IT SHOULD BE: {otherwise}")

    def end(self) -> None:
        """Both providers end by themselves."""
        for node in (self.here, self.there):
            self._hold(node.stop() == 0, f"{node.domain} did not stop cleanly")


def say(what: str) -> None:
    """A step of the story."""
    print(f"== {what}", flush=True)


def main() -> int:
    """Run it; the exit status."""
    if missing := tools_missing():
        print(f"needed to judge and not installed: {', '.join(missing)} (apt-get install {' '.join(missing)})")
        return 2
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="kepgw-demo-"))
    story = Demonstration(folder)
    try:
        story.set_up()
        first = story.plain()
        story.many()
        story.reply(first)
        story.judge()
        story.timeline()
        story.end()
    except Exception as error:
        say(f"FAILED: {error}")
        for node in (story.here, story.there):
            if (node.folder / "log").exists():
                print(f"-- log of {node.domain}\n{node.log()}")
        return 1
    finally:
        for node in (story.here, story.there):
            if node.process is not None:
                node.kill()
        shutil.rmtree(folder, ignore_errors=True)
    if story.failures:
        return 1
    say(f"all held, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
