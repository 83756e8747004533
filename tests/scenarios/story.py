"""Words that the scenarios share."""

from collections import Counter

from laboratory import Judges, Node, event_of, evidences

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
