"""Every sentence that the server says is in the catalogue, and every one there is said."""

import re
from pathlib import Path

import kepgw
from kepgw.imap.responses import BadCommand, Bye, Problem, status
from kepgw.store.mailboxes import MailboxProblem
from kepgw.texts import catalogue

SOURCES = [
    *Path(kepgw.__file__).parent.glob("imap/*.py"),
    *(Path(kepgw.__file__).parent / "store" / name for name in ("mailboxes.py", "reading.py")),
]
SAID = re.compile(
    r'(?:Problem|BadCommand|Bye)\(\s*"([a-z0-9-]+)"'
    r'|MailboxProblem\(\s*"[A-Z]+",\s*"([a-z0-9-]+)"'
    r'|status\((?:b"\*"|[a-z.]+),\s*b"[A-Z]+",\s*"([a-z0-9-]+)"'
    r'|require\([^"]*"([a-z0-9-]+)"'
)


def test_texts_and_problems_are_the_same():
    said = {f"imap-{next(filter(None, found))}" for path in SOURCES for found in SAID.findall(path.read_text("utf-8"))}
    assert said == {key for key in catalogue() if key.startswith("imap-")}


def test_what_goes_on_the_wire_is_ascii():
    for key in catalogue():
        if key.startswith("imap-"):
            line = status(b"a", b"NO", key.removeprefix("imap-"), "X", command="ş", reason="ş", provider="ş")
            assert line.isascii()


def test_problems_know_their_response():
    assert Problem("mailbox-none", "NONEXISTENT").response(b"a") == b"a NO [NONEXISTENT] There is no such mailbox\r\n"
    assert BadCommand("wrong-state").response(b"a") == b"a BAD This command is not possible now\r\n"
    assert Bye("bye").response(b"a") == b"* BYE Logging out\r\n"
    assert Problem.of(MailboxProblem("CANNOT", "mailbox-name")).response(b"a").startswith(b"a NO [CANNOT] ")


def test_private_reasons_stay_private():
    assert b"secret" not in Problem("unavailable", reason="secret").response(b"a")
