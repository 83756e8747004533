r"""What one session knows of its selected mailbox: the UIDs behind the sequence numbers, and what it was told.

Sequence numbers change only when the client is told so; what other sessions do waits in the store until then
(RFC 3501 5.5, 7.4.1). Only UIDs are kept, four octets a message.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from kepgw.imap.grammar import SequenceSet
from kepgw.store.mailboxes import SERVER_KEYWORDS, Mailbox
from kepgw.store.reading import Changes, Opened

SYSTEM: Final = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")
MAX_KEYWORDS_SHOWN: Final = 200


def flags_text(flags: str, *, recent: bool) -> bytes:
    r"""``FLAGS (\Seen)``; the flags of the store are separated as IMAP wants them."""
    text = f"{flags} \\Recent".lstrip() if recent else flags
    return b"FLAGS (%b)" % text.encode("ascii")


class View:
    """A selected mailbox."""

    def __init__(self, mailbox: Mailbox, opened: Opened, *, read_only: bool, may_delete: bool) -> None:
        self.mailbox = mailbox
        self.read_only = read_only
        self.may_delete = may_delete
        self.uids = array("I", opened.uids)
        self.modseq = opened.modseq
        self.uidnext = opened.uidnext
        self.recent: set[int] = set()
        self.reported: set[int] = set()  # UIDs of dispatches whose reading this session has made known
        self.keywords = set(opened.keywords)
        self.dirty = False  # the store has news
        self.own: set[int] = set()  # modseqs of our own changes that the client was told of already
        self._count = len(opened.uids)  # mails in the store, when last looked

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def id(self) -> int:
        """The mailbox's."""
        return self.mailbox.id

    @property
    def has_gone(self) -> bool:
        """Whether messages were removed that the client still counts."""
        return self._count < len(self.uids)

    def sequence(self, uid: int) -> int | None:
        """The sequence number of a UID."""
        at = bisect_left(self.uids, uid)
        return at + 1 if at < len(self.uids) and self.uids[at] == uid else None

    def resolve(self, numbers: SequenceSet, *, uid: bool) -> list[int] | None:
        """The UIDs that a set names, ascending; None when it names a sequence number that is not there.

        Unknown UIDs are passed over (RFC 3501 6.4.8).
        """
        if uid:
            found: list[int] = []
            for low, high in numbers.spans(self.uids[-1] if self.uids else 0):
                found += self.uids[bisect_left(self.uids, low) : bisect_right(self.uids, high)]
            return found
        if not self.uids and any(0 in pair for pair in numbers.ranges):
            return []  # clients ask for 1:* of an empty mailbox, and mean nothing
        chosen: list[int] = []
        for low, high in numbers.spans(len(self.uids)):
            if low < 1 or high > len(self.uids):
                return None
            chosen += self.uids[low - 1 : high]
        return chosen

    def flags_line(self) -> bytes:
        """The untagged FLAGS response."""
        return f"* FLAGS ({' '.join((*SYSTEM, *self._shown()))})\r\n".encode("ascii")

    def permanent(self) -> bytes:
        """PERMANENTFLAGS: what this client can change for good; keywords of the server are not among them."""
        if self.read_only:
            return b"* OK [PERMANENTFLAGS ()] Read-only\r\n"
        system = [flag for flag in SYSTEM if flag != "\\Deleted" or self.may_delete]
        own = [keyword for keyword in self._shown() if keyword not in SERVER_KEYWORDS]
        return f"* OK [PERMANENTFLAGS ({' '.join((*system, *own, chr(92) + '*'))})] Flags\r\n".encode("ascii")

    def _shown(self) -> list[str]:
        return sorted(self.keywords | SERVER_KEYWORDS)[:MAX_KEYWORDS_SHOWN]

    def new_keywords(self, flags: Iterable[str]) -> bytes:
        """FLAGS and PERMANENTFLAGS again when a keyword was not known yet (RFC 3501 7.2.6)."""
        unknown = {flag for flag in flags if not flag.startswith("\\")} - self.keywords - SERVER_KEYWORDS
        if not unknown or len(self.keywords) > MAX_KEYWORDS_SHOWN:
            return b""
        self.keywords |= unknown
        return self.flags_line() + self.permanent()

    def apply(self, changes: Changes, claim: Iterable[int]) -> bytes:
        r"""Take in what the store says happened; the untagged EXISTS, RECENT and FETCH responses.

        ``claim``: new UIDs that are \Recent for this session. Removals are told by ``remove`` when the moment allows.
        """
        self.modseq = changes.modseq
        last = self.uids[-1] if self.uids else 0
        new = [uid for uid, _, _ in changes.rows if uid > last]
        self.recent.update(claim)
        told = [self.new_keywords(flag for _, flags, _ in changes.rows for flag in flags.split())]
        if new:
            self.uids.extend(new)
            told.append(b"* %d EXISTS\r\n* %d RECENT\r\n" % (len(self.uids), len(self.recent)))
        for uid, flags, modseq in changes.rows:
            if modseq in self.own or uid > last:
                continue
            number = self.sequence(uid)
            if number is not None:
                told.append(b"* %d FETCH (UID %d %b)\r\n" % (number, uid, flags_text(flags, recent=uid in self.recent)))
        self.own.clear()
        self._count = changes.messages
        return b"".join(told)

    def remove(self, remaining: Sequence[int]) -> bytes:
        """Take out what is not among ``remaining``; the untagged EXPUNGE responses, from the end."""
        kept = array(self.uids.typecode, remaining)
        known = set(kept)
        told: list[bytes] = []
        for at in range(len(self.uids) - 1, -1, -1):
            if self.uids[at] not in known:
                told.append(b"* %d EXPUNGE\r\n" % (at + 1))
                self.recent.discard(self.uids[at])
        if told:
            gone = [uid for uid in self.uids if uid in known]
            self.uids = array(self.uids.typecode, gone)
        self._count = len(self.uids)
        return b"".join(told)
