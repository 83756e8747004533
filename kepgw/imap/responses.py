"""Status responses, and problems that know the response they deserve (RFC 3501 7.1, RFC 5530)."""

from kepgw.errors import KepError
from kepgw.store.mailboxes import MailboxProblem
from kepgw.texts import text


def status(tag: bytes, condition: bytes, key: str, code: str = "", **values: object) -> bytes:
    """``tag OK [CODE] sentence``; ``key`` names the sentence in the catalogue, without its ``imap-``."""
    sentence = text(f"imap-{key}", "en", **values)
    return tag + b" " + condition + f" {f'[{code}] ' if code else ''}{sentence}\r\n".encode("ascii", "replace")


class Problem(KepError):
    """A command fails; the session goes on. ``condition`` is NO or BAD."""

    condition = b"NO"

    def __init__(self, key: str, code: str = "", reason: str = "") -> None:
        super().__init__(reason or key)
        self.key = key
        self.code = code

    def response(self, tag: bytes) -> bytes:
        """The tagged response."""
        return status(tag, self.condition, self.key, self.code, reason=str(self))

    @classmethod
    def of(cls, problem: MailboxProblem) -> "Problem":
        """What a client is told of a problem of the store's mailboxes."""
        return cls(problem.key, problem.code)


class BadCommand(Problem):
    """The client does what the protocol does not allow now."""

    condition = b"BAD"


class Bye(Problem):
    """The connection ends."""

    def response(self, tag: bytes) -> bytes:
        """Untagged: RFC 3501 7.1.5."""
        return status(b"*", b"BYE", self.key, self.code)
