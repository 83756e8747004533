"""Words that the scenarios share."""

import re
from collections import Counter

from laboratory import Judges, Node, event_of, evidences
from witness import look

ACCEPTED = "SubmissionAcceptanceRejection/Acceptance"  # 10
REJECTED = "SubmissionAcceptanceRejection/Rejection"  # 11
RELAYED = "RelayREMMDAcceptanceRejection/Acceptance"  # 20
NOT_RELAYED = "RelayREMMDAcceptanceRejection/Rejection"  # 21
UNREACHED = "RelayREMMDFailure/DeliveryExpiration"  # 31
DELIVERED = "DeliveryNonDeliveryToRecipient/Delivery"  # 40
READ = "RetrievalNonRetrievalByRecipient/Retrieval"  # 60
NOT_READ = "RetrievalNonRetrievalByRecipient/NonRetrievalExpiration"  # 61
# the same in EN 319 522-1
REM_ACCEPTED = "SubmissionAcceptance"
REM_RELAYED = "RelayAcceptance"
REM_NOT_RELAYED = "RelayRejection"
REM_UNREACHED = "RelayFailure"
REM_DELIVERED = "ContentConsignment"
REM_READ = "ContentHandover"


def receipts(node: Node, address: str, count: int, judges: Judges, about: str = "") -> Counter[str]:
    """Wait for so many receipts (about a Message-ID), judge each, and count their events."""
    criteria = ("HEADER", "In-Reply-To", about) if about else ()
    with node.imap(address) as reader:
        uids = reader.wait_for("Deliller", count, *criteria)
        mails = [reader.fetch(uid) for uid in uids]
    found: Counter[str] = Counter()
    judges.messages(mails)
    for octets in mails:
        attached = evidences(octets)
        assert len(attached) == 1, "one receipt carries one evidence"
        found[event_of(attached[0][1])] += 1
    return found


def keywords(node: Node, address: str, message_id: str, wanted: set[str]) -> None:
    """Wait until the message in Gönderilmiş has exactly these server keywords."""
    with node.imap(address) as reader:

        def ready(_: object) -> bool:
            uids = reader.uids("HEADER", "Message-ID", message_id)
            return len(uids) == 1 and {flag for flag in reader.flags(uids[0]) if flag.startswith("$Kep")} == wanted

        reader.wait("Gönderilmiş", ready)


def reasons(xml: bytes) -> set[str]:
    """The reasons of an evidence: REM codes (RB22) where it has them, else the last part of each URI."""
    found = re.findall(rb"EventReason.*?<(?:\w+:)?Code>[^<]*[#/](\w+)<(.*?)</(?:\w+:)?EventReason>", xml, re.DOTALL)
    codes = [(name, re.search(rb"<(?:\w+:)?Details>(R[A-F]\d\d)<", rest)) for name, rest in found]
    return {(code[1] if code else name).decode() for name, code in codes}


def said(node: Node, address: str, about: str) -> list[tuple[int, tuple[str, ...], set[str]]]:
    """Code, recipients and reasons of each evidence about a message."""
    with node.imap(address) as reader:
        reader.select("Deliller")
        mails = [reader.fetch(uid) for uid in reader.uids("HEADER", "In-Reply-To", about)]
    seen = [look(each) for each in mails]
    return [
        (each.code, tuple(each.addresses()), reasons(evidences(mail)[0][1]))
        for each, mail in zip(seen, mails, strict=True)
    ]
