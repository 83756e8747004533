"""The grammar of SMTP commands, without I/O: octets in, values or a SyntaxRefused out.

Strict where leniency helps nobody but an attacker: a command line is printable ASCII ended by CRLF, every part has
its bound, an unknown parameter is refused. Lenient in the one place where mail clients need it: a space after
``FROM:`` and ``TO:``.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from kepgw.message.deliverystatus import printable_xtext

LOCAL_PART: Final = 64  # octets, RFC 5321 4.5.3.1.1
DOMAIN: Final = 255  # octets, RFC 5321 4.5.3.1.2
PATH: Final = 256  # octets with its brackets, RFC 5321 4.5.3.1.3
ENVID: Final = 100  # octets as encoded, RFC 3461 4.4
ORCPT: Final = 500  # octets, RFC 3461 4.2
SIZE_DIGITS: Final = 20  # RFC 1870 5
CHUNK_DIGITS: Final = 19  # a chunk-size that a signed 64-bit number holds

_LINE = re.compile(rb"[\x20-\x7e]*\r\n")
_VERB = re.compile(r"[A-Za-z]{3,12}")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_QUOTED = re.compile(r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*"')
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_LITERAL = re.compile(r"\[(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|IPv6:[0-9A-Fa-f:.]{2,45})\]", re.IGNORECASE)
_SOURCE_ROUTE = re.compile(rf"@{_LABEL}(?:\.{_LABEL})*(?:,@{_LABEL}(?:\.{_LABEL})*)*:")
_GREETED = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9_.])?")  # hosts with _ greet us every day
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]{0,63})(?:=([\x21-\x3c\x3e-\x7e]+))?")
_XTEXT = re.compile(r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})*")  # RFC 3461 4
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]{1,64}")
_BDAT = re.compile(rf"([0-9]{{1,{CHUNK_DIGITS}}})(?: +(LAST))?", re.IGNORECASE)


class SyntaxRefused(Exception):  # an answer to a client, not an error of ours
    """A command does not keep the grammar. ``key`` names the reply in kepgw.smtp.replies."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key)
        self.key = key
        self.values = values


@dataclass(frozen=True, slots=True)
class Command:
    """A verb in upper case and what follows it, without spaces at either end."""

    verb: str
    argument: str


@dataclass(frozen=True, slots=True)
class MailFrom:
    """MAIL with its parameters; ``address`` is empty for the null reverse-path."""

    address: str
    size: int | None = None  # octets, RFC 1870
    body: str = "7BIT"  # or 8BITMIME, RFC 6152
    ret: str = ""  # FULL or HDRS, RFC 3461 4.3
    envid: str = ""  # xtext as given, RFC 3461 4.4


@dataclass(frozen=True, slots=True)
class RcptTo:
    """RCPT with its parameters, as given (RFC 3461 4.1, 4.2)."""

    address: str
    notify: str = ""
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class Offered:
    """Which parameters the EHLO reply has offered; all others are refused with 555 (RFC 5321 4.1.1.11)."""

    parameters: frozenset[str] = field(default_factory=frozenset)


def command(line: bytes) -> Command:
    """Parse one command line with its CRLF. Raises SyntaxRefused (bare CR or LF, NUL, eight-bit, no verb)."""
    if not _LINE.fullmatch(line):
        raise SyntaxRefused("smtp-line")  # RFC 5321 2.3.8, 4.1.2
    verb, _, argument = line[:-2].decode("ascii").partition(" ")
    if not _VERB.fullmatch(verb):
        raise SyntaxRefused("smtp-unknown-verb")
    return Command(verb.upper(), argument.strip(" "))


def greeting(argument: str) -> str:
    """The name that a client gives itself in EHLO or HELO: a domain or an address literal (RFC 5321 4.1.1.1)."""
    if not (_GREETED.fullmatch(argument) or _LITERAL.fullmatch(argument)):
        raise SyntaxRefused("smtp-greeting")
    return argument


def mail(argument: str, offered: Offered) -> MailFrom:
    """The argument of MAIL (RFC 5321 4.1.1.2)."""
    address, given = _path_and_parameters(argument, "FROM:", offered, empty=True)
    size = given.get("SIZE")
    if size is not None and not (size.isdecimal() and len(size) <= SIZE_DIGITS):
        raise SyntaxRefused("smtp-parameter-value", parameter="SIZE")
    body = _one_of(given, "BODY", ("7BIT", "8BITMIME")) or "7BIT"
    ret = _one_of(given, "RET", ("FULL", "HDRS"))
    envid = given.get("ENVID", "")
    if len(envid) > ENVID or not _printable(envid) or (not envid and "ENVID" in given):
        raise SyntaxRefused("smtp-parameter-value", parameter="ENVID")
    # RFC 4954 5: a client is not trusted with AUTH=; it is checked and treated as "<>"
    if "AUTH" in given and not _XTEXT.fullmatch(given["AUTH"] or "="):
        raise SyntaxRefused("smtp-parameter-value", parameter="AUTH")
    return MailFrom(address, int(size) if size else None, body, ret, envid)


def rcpt(argument: str, offered: Offered) -> RcptTo:
    """The argument of RCPT (RFC 5321 4.1.1.3)."""
    address, given = _path_and_parameters(argument, "TO:", offered, empty=False)
    notify = given.get("NOTIFY", "").upper()
    if "NOTIFY" in given:
        wishes = notify.split(",")
        known = wishes == ["NEVER"] or set(wishes) <= {"SUCCESS", "FAILURE", "DELAY"}
        if not known or len(set(wishes)) != len(wishes):
            raise SyntaxRefused("smtp-parameter-value", parameter="NOTIFY")
    orcpt = given.get("ORCPT", "")
    if "ORCPT" in given:
        kind, semicolon, original = orcpt.partition(";")
        good = semicolon and original and _ADDRESS_TYPE.fullmatch(kind) and _printable(original)
        if not good or len(orcpt) > ORCPT:
            raise SyntaxRefused("smtp-parameter-value", parameter="ORCPT")
    return RcptTo(address, notify, orcpt)


def _printable(text: str) -> bool:
    """Whether this is an xtext of printable ASCII: it will stand in a header of a notification (RFC 3461 4.2, 4.4)."""
    return bool(_XTEXT.fullmatch(text)) and printable_xtext(text)


def bdat(argument: str) -> tuple[int, bool]:
    """The argument of BDAT: octets that follow, and whether they are the last (RFC 3030 2)."""
    match = _BDAT.fullmatch(argument)
    if not match:
        raise SyntaxRefused("smtp-chunk")
    return int(match[1]), match[2] is not None


def _one_of(given: dict[str, str], keyword: str, values: tuple[str, ...]) -> str:
    value = given.get(keyword, "").upper()
    if keyword in given and value not in values:
        raise SyntaxRefused("smtp-parameter-value", parameter=keyword)
    return value


def _path_and_parameters(argument: str, prefix: str, offered: Offered, *, empty: bool) -> tuple[str, dict[str, str]]:
    if argument[: len(prefix)].upper() != prefix:
        raise SyntaxRefused("smtp-path-syntax", prefix=prefix)
    rest = argument[len(prefix) :].lstrip(" ")
    end = _path_end(rest)
    address = _mailbox(rest[1:end], empty=empty, postmaster=not empty)
    return address, _parameters(rest[end + 1 :], offered)


def _path_end(rest: str) -> int:
    """Where the ``>`` of a path stands; one inside a quoted local part does not end it."""
    if not rest.startswith("<"):
        raise SyntaxRefused("smtp-path")
    quote = rest.find('"', 1, PATH)
    start = 1
    if quote >= 0 and rest.find(">", 1, quote) < 0:
        match = _QUOTED.match(rest, quote)
        if not match:
            raise SyntaxRefused("smtp-path")
        start = match.end()
    # a source route (RFC 5321 Appendix C) is dropped, so that it may stretch the path a little
    end = rest.find(">", start, 4 * PATH)
    if end < 0:
        raise SyntaxRefused("smtp-path")
    return end


def _mailbox(path: str, *, empty: bool, postmaster: bool) -> str:
    if not path:
        if empty:
            return ""
        raise SyntaxRefused("smtp-path")
    if path.startswith("@"):
        route = _SOURCE_ROUTE.match(path)
        if not route:
            raise SyntaxRefused("smtp-path")
        path = path[route.end() :]  # RFC 5321 3.3: accepted and ignored
    if postmaster and path.lower() == "postmaster":
        return path  # RFC 5321 4.1.1.3
    local, at, domain = path.rpartition("@")
    if not at or len(local) > LOCAL_PART or len(domain) > DOMAIN or len(path) > PATH - 2:
        raise SyntaxRefused("smtp-path")
    if not (_DOMAIN.fullmatch(domain) or _LITERAL.fullmatch(domain)):
        raise SyntaxRefused("smtp-path")
    if _QUOTED.fullmatch(local):
        plain = re.sub(r"\\(.)", r"\1", local[1:-1])
        if _DOT_STRING.fullmatch(plain):
            local = plain  # RFC 5321 4.1.2: the quotes say nothing here
    elif not _DOT_STRING.fullmatch(local):
        raise SyntaxRefused("smtp-path")
    return f"{local}@{domain.removesuffix('.')}"


def _parameters(rest: str, offered: Offered) -> dict[str, str]:
    if not rest:
        return {}
    if not rest.startswith(" "):
        raise SyntaxRefused("smtp-path")
    given: dict[str, str] = {}
    for word in rest.split():
        match = _PARAMETER.fullmatch(word)
        if not match:
            raise SyntaxRefused("smtp-parameter-syntax")
        keyword = match[1].upper()
        if keyword not in offered.parameters:
            raise SyntaxRefused("smtp-parameter-unknown", parameter=keyword)
        if keyword in given:
            raise SyntaxRefused("smtp-parameter-twice", parameter=keyword)
        given[keyword] = match[2] or ""
    return given
