"""A look at a peer's relay, step by step, without giving it a message: what was met and where it ended.

The same steps as for a message, with the same grammar and bounds; only the certificate is looked at before it is held
against the card, so that a difference can be told.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

from kepgw.interop.desk import RelayProblem, Route
from kepgw.smtp.channel import Gone, TooSlow
from kepgw.smtp.client import MAX_PLACES, SmtpRelayClient
from kepgw.smtp.connection import Connection, Place
from kepgw.smtp.limits import ClientLimits
from kepgw.smtp.replies import Reply


@dataclass
class Met:
    """What was met; a field keeps its default when it did not come so far.

    ``stage`` (dns, connect, tls, mail, rcpt) and ``reason`` say where and why it ended; both "" when nothing was amiss
    on the way. ``unreached`` are places that were tried before ``place``. Extensions map a keyword to its parameters.
    ``certificate`` is DER.
    """

    places: tuple[Place, ...] = ()
    unreached: list[str] = field(default_factory=list)
    place: Place | None = None
    greeting: str = ""
    plain_extensions: dict[str, str] = field(default_factory=dict)
    extensions: dict[str, str] = field(default_factory=dict)
    tls_version: str = ""
    cipher: str = ""
    certificate: bytes = b""
    mail: Reply | None = None
    rcpt: Reply | None = None
    stage: str = ""
    reason: str = ""


class _Look(Connection):
    """A connection that tells what it meets."""

    def __init__(self, route: Route, hostname: str, limits: ClientLimits, met: Met) -> None:
        super().__init__(route, hostname, limits)
        self.met = met

    async def _greet(self, context: ssl.SSLContext) -> None:
        met, limits = self.met, self._limits
        met.place = self.place
        greeting = await self._reply(limits.greeting, "connect")
        met.greeting = str(greeting)
        if greeting.code != 220:
            raise RelayProblem(str(greeting), permanent=False, stage="connect")
        await self._ehlo("connect")
        met.plain_extensions = self._extensions
        if "STARTTLS" not in self._extensions:
            raise RelayProblem("the peer does not offer STARTTLS", permanent=False, stage="tls")
        reply = await self._ask("STARTTLS", limits.greeting, "tls")
        if reply.code != 220:
            raise RelayProblem(str(reply), permanent=False, stage="tls")
        if not self._reader.clean or self.channel.pending:
            raise RelayProblem("octets behind the reply to STARTTLS", permanent=False, stage="tls")  # RFC 3207 4.2
        try:
            await self.channel.start_tls(context, limits.greeting, server=False, name=self.place.name)
        except (Gone, TooSlow) as error:
            raise RelayProblem(f"TLS handshake failed: {error}", permanent=False, stage="tls") from error
        session = self.channel.about("ssl_object")
        assert isinstance(session, ssl.SSLObject)
        met.tls_version, met.cipher = session.version() or "", (session.cipher() or ("",))[0]
        met.certificate = session.getpeercert(binary_form=True) or b""
        await self._ehlo("tls")
        met.extensions = self._extensions

    async def ask_for(self, sender: str, recipient: str) -> None:
        """Begin a transaction, as far as RCPT, and give it up (RSET)."""
        self.met.mail = await self._ask(f"MAIL FROM:<{sender}>", self._limits.mail, "mail")
        if self.met.mail.good:
            self.met.rcpt = await self._ask(f"RCPT TO:<{recipient}>", self._limits.rcpt, "rcpt")
        await self._ask("RSET", self._limits.greeting, "rcpt")


async def look(
    client: SmtpRelayClient,
    route: Route,
    context: ssl.SSLContext,
    hostname: str,
    limits: ClientLimits,
    addresses: tuple[str, str],
) -> Met:
    """Look at the relay of ``route``; ``addresses`` are our service address and the peer's. Never raises for the peer.

    ``client`` only tells the places.
    """
    met = Met()
    try:
        met.places = tuple((await client.places(route))[:MAX_PLACES])
        connection = await _reached(met, met.places, route, context, hostname, limits)
        try:
            await connection.ask_for(*addresses)
        finally:
            connection.quit()
    except RelayProblem as problem:
        met.stage, met.reason = problem.stage, str(problem)
    return met


async def _reached(
    met: Met, places: Sequence[Place], route: Route, context: ssl.SSLContext, hostname: str, limits: ClientLimits
) -> _Look:
    """A connection to the first place that answers at all; what it then says counts, whatever it is."""
    problem = RelayProblem(f"{route.provider} has no address", permanent=False, stage="dns")
    for place in places:
        connection = _Look(route, hostname, limits, met)
        try:
            await connection.open(place, context)
        except RelayProblem as error:
            if met.place is not None:
                raise
            met.unreached.append(str(error))
            problem = error
        else:
            return connection
    raise problem
