"""Every bound of an SMTP session, server and client. Times are seconds, sizes octets."""

from dataclasses import dataclass
from typing import Final

from kepgw.accounts.rates import UNBOUNDED, Rate
from kepgw.net.acceptor import Network

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the server side. What no standard gives is a choice, and a setting."""

    message: int = 36 * MIB  # announced by SIZE: 25 MB of content in base64 with room for headers
    relay_extra: int = MIB  # relay-in takes so much more: envelope, evidence and signature around the original
    command: int = 512  # RFC 5321 4.5.3.1.4
    command_with_parameters: int = 2048  # MAIL and RCPT: RFC 1870 4, RFC 3461 4 add to the 512
    authentication: int = 12_288  # one line of an AUTH exchange, RFC 4954 4
    recipients: int = 1000  # per message, taken or refused; at least 100 by RFC 5321 4.5.3.1.8
    errors: int = 20  # commands refused with 5xx before 421
    commands: int = 100_000  # per session
    chunks: int = 10_000  # BDAT commands per message
    received_lines: int = 50  # more is a loop, RFC 5321 6.3 (at least 100 hops would never be honest here)
    login_failures: int = 3  # before 421, RFC 4954 9
    idle: float = 300.0  # waiting for a command, RFC 5321 4.5.3.2.7
    handshake: float = 30.0  # of TLS
    data_block: float = 180.0  # between two blocks of DATA, RFC 5321 4.5.3.2.5
    data_total: float = 3600.0  # for one message: a client that drips cannot hold a session for ever
    connections: int = 2000  # at the same time
    connections_per_address: int = 200
    arrivals: Rate = UNBOUNDED  # new connections of one address
    messages: Rate = UNBOUNDED  # of one account
    account_recipients: Rate = UNBOUNDED  # of all messages of one account
    proxies: tuple[Network, ...] = ()  # who tells the client's address by the PROXY protocol


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Bounds of the client side; the times are those of RFC 5321 4.5.3.2 or less."""

    connect: float = 30.0
    greeting: float = 60.0  # and EHLO, STARTTLS, RSET
    mail: float = 300.0
    rcpt: float = 300.0
    data_start: float = 120.0
    data_block: float = 180.0
    data_end: float = 600.0
    idle: float = 60.0  # a pooled connection is closed after so long
    messages_per_connection: int = 500
