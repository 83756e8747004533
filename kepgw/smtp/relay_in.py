"""The door of other providers: dispatches and receipts, TLS required, known peers only."""

import re
import ssl
from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from typing import ClassVar, Final

from kepgw.interop.desk import RelayDesk, Relayed
from kepgw.net.link import link_of
from kepgw.refusals import Refusal
from kepgw.smtp import replies
from kepgw.smtp.channel import Channel
from kepgw.smtp.grammar import Offered, SyntaxRefused
from kepgw.smtp.intake import Intake, Transaction
from kepgw.smtp.limits import Limits
from kepgw.smtp.server import Server
from kepgw.smtp.session import Session, Surroundings
from kepgw.trust.tls import ServerContext

_HEADER_LOOK: Final = 256 * 1024  # octets in which Received lines are counted; a loop's lines stand at the top
_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)


class RelaySession(Session):
    """A session of another provider."""

    door: ClassVar[str] = "relay"
    offered: ClassVar[Offered] = Offered(frozenset({"SIZE", "BODY"}))

    def __init__(
        self, surroundings: Surroundings, channel: Channel, tls: ssl.SSLContext | None, desk: RelayDesk
    ) -> None:
        super().__init__(surroundings, channel, tls)
        self._desk = desk
        self._messages = 0

    @property
    def size_limit(self) -> int:
        """Octets that a message may have: an original and what its sender's provider put around it."""
        return self.limits.message + self.limits.relay_extra

    def extensions(self) -> list[str]:
        """Nothing more."""
        return []

    def gate(self, verb: str) -> bytes | None:
        """Mail comes over TLS or not at all."""
        if verb in self.free_verbs or self.channel.tls:
            return None
        return replies.refused(Refusal("tls-required", verb))

    def opening(self) -> bytes:
        """Our Received line (RFC 5321 4.4); without FOR, which would show one blind recipient to another."""
        self._messages += 1
        address = f"IPv6:{self.remote}" if ":" in self.remote else self.remote
        date = format_datetime(self.surroundings.clock())
        line = (
            f"Received: from {self.greeted} ([{address}])\r\n"
            f"\tby {self.hostname} with ESMTPS id {self.id}.{self._messages};\r\n"
            f"\t{date}\r\n"
        )
        return line.encode("ascii", "replace")

    async def take_sender(self, address: str) -> None:
        """The service address of a peer; the desk judges."""
        self._desk.ready()
        link = link_of(self.remote, self.channel.about("ssl_object"))
        await self._desk.sender(address, link.client_certificate)

    async def take_recipient(self, address: str) -> str:
        """One of ours; the desk judges."""
        assert self.transaction is not None
        return await self._desk.recipient(self.transaction.mail.address, address)

    async def take_message(self, transaction: Transaction, intake: Intake, *, chunking: bool) -> bytes:
        """Hand the message to the desk."""
        checked, problem = intake.finish(chunking=chunking)
        if problem is not None:
            raise problem
        self._check_loop(intake)
        relayed = Relayed(
            service_address=transaction.mail.address,
            recipients=tuple(transaction.recipients),
            spool=intake.spool,
            checked=checked,
            received_length=intake.opening,
            remote=self.remote,
        )
        identifier = await self._desk.receive(relayed)
        return replies.reply("smtp-relayed", identifier=identifier)

    def _check_loop(self, intake: Intake) -> None:
        view = intake.spool.view()
        end = view.find(b"\r\n\r\n", 0, _HEADER_LOOK)
        header = view[intake.opening : end if end >= 0 else _HEADER_LOOK]
        if len(_RECEIVED.findall(header)) > self.limits.received_lines:
            raise SyntaxRefused("smtp-loop")  # RFC 5321 6.3


class RelayServer(Server):
    """Port 25 between providers."""

    def __init__(
        self,
        desk: RelayDesk,
        *,
        hostname: str,
        spool_folder: Path,
        limits: Limits | None = None,
        clock: Callable[[], datetime] | None = None,
        clients: Callable[[], frozenset[bytes]] = frozenset,
    ) -> None:
        """``clients`` gives the certificates (DER) that relays of peers show, at this moment."""
        limits = limits or Limits()
        shared = Surroundings(hostname, limits, spool_folder, clock) if clock else None
        super().__init__(shared or Surroundings(hostname, limits, spool_folder))
        self._desk: Final = desk
        self._clients: Final = clients

    def session(self, channel: Channel, tls: ssl.SSLContext | None) -> Session:
        """A session on a new connection."""
        if isinstance(tls, ServerContext):
            tls.ask(self._clients())
        return RelaySession(self.surroundings, channel, tls, self._desk)
