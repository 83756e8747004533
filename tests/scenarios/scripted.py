"""A provider that follows a script: real keys of a provider, real sockets, and whatever answers a scenario wants.

It takes dispatches on the relay port of its folder and says what its plan has for each stage of SMTP; with the keys it
makes evidence and dispatches of its own, true ones or others.
"""

import asyncio
import hashlib
import itertools
import queue
import smtplib
import ssl
import threading
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from laboratory import DEADLINE, Node, blind, evidences

from kepgw.app.config import load
from kepgw.app.wiring import tools_of
from kepgw.evidence.codes import KepCode
from kepgw.evidence.model import Entity, GivenReason
from kepgw.evidence.reading import read
from kepgw.interop.case import Case, Counterpart, Order, sender_told, tell_sender
from kepgw.interop.workshop import Bench
from kepgw.message.rendering import render

OFFERS = ("SIZE 40000000", "8BITMIME", "ENHANCEDSTATUSCODES")  # and PIPELINING, CHUNKING where a scenario adds them
CLOSE = "close"  # hang up in place of a reply
GOOD = {
    "connect": "220 script",
    "ehlo": "",
    "starttls": "220 2.0.0 go",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": "354 go",
    "end": "250 2.0.0 taken",
}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Taken:
    """A dispatch or receipt that was handed over, whatever was answered at its end."""

    sender: str
    recipients: tuple[str, ...]
    octets: bytes


def relay(node: Node, sender: str, recipients: Iterable[str], octets: bytes) -> tuple[int, str]:
    """Give octets to a provider's relay port as a peer does; the last reply, or the first that refuses."""
    with smtplib.SMTP("127.0.0.1", node.base + 25, timeout=DEADLINE) as client:
        client.starttls(context=blind())
        client.ehlo("script")
        replies = [client.mail(sender, ["BODY=8BITMIME"]), *(client.rcpt(each) for each in recipients)]
        refused = next((each for each in replies if each[0] >= 400), None)
        code, text = refused or client.data(octets)
        return code, text.decode()


class ScriptedPeer:
    """A known provider. ``plan`` has, for a stage, the answers to come; without one the answer is good."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.domain = node.domain
        self.service_address = f"kep@{node.domain}"
        self.offers = list(OFFERS)
        self.tls = True
        self.plan: dict[str, deque[str]] = {}
        self.go_on = threading.Event()  # a stage planned as "wait ..." answers when this is set
        self.taken: queue.Queue[Taken] = queue.Queue()
        self.stages: list[str] = []  # all that was asked
        self._open: set[asyncio.StreamWriter] = set()
        config = load(node.folder)
        self.bench = Bench(tools_of(config))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        keys = node.folder / "keys"
        self._context.load_cert_chain(keys / "tls.pem", keys / "tls.key")
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(DEADLINE)

    # -- the server ---------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._session, "127.0.0.1", self.node.base + 25, limit=2**26)
        )
        self._ready.set()
        self._loop.run_forever()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    def close(self) -> None:
        """Stop serving."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)

    def answer(self, **stages: str | list[str]) -> None:
        """Plan: the answers of the next times that a stage is reached. Earlier plans and connections end."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(DEADLINE)
        self.plan = {key: deque([value] if isinstance(value, str) else value) for key, value in stages.items()}
        self.stages.clear()

    async def _hang_up(self) -> None:
        for writer in self._open:
            writer.close()
        self._open.clear()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await self._talk(reader, writer)
        self._open.discard(writer)
        writer.close()

    async def _say(self, writer: asyncio.StreamWriter, stage: str, lines: Iterable[str] = ()) -> bool:
        """Give the planned answer; whether it was a good one."""
        self.stages.append(stage)
        planned = self.plan.get(stage)
        said = planned.popleft() if planned else GOOD[stage]
        if said.startswith("wait"):
            await asyncio.to_thread(self.go_on.wait, DEADLINE)
            said = said.removeprefix("wait").strip() or GOOD[stage]
        if said == CLOSE:
            raise ConnectionResetError
        if stage == "ehlo" and not said:
            words = ["script", *lines]
            said = "\r\n".join(f"250{'-' if each is not words[-1] else ' '}{each}" for each in words)
        writer.write(said.encode() + b"\r\n")
        await writer.drain()
        return said[:1] in "23"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._say(writer, "connect"):
            return
        secure, sender, content = False, "", b""
        recipients: list[str] = []
        while line := (await reader.readline()).decode("ascii", "replace").strip():
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                offers = self.offers if secure or not self.tls else [*self.offers, "STARTTLS"]
                await self._say(writer, "ehlo", offers)
            elif verb == "STARTTLS":
                if await self._say(writer, "starttls"):
                    await writer.start_tls(self._context)
                    secure = True
            elif verb == "MAIL":
                recipients, content = [], b""
                named = line.partition("<")[2].partition(">")[0]
                sender = named if await self._say(writer, "mail") else ""
            elif verb == "RCPT" and sender:
                if await self._say(writer, "rcpt"):
                    recipients.append(line.partition("<")[2].partition(">")[0])
            elif verb == "DATA" and recipients:
                if await self._say(writer, "data"):
                    await self._data(reader, writer, sender, recipients)
                    return  # one message a connection, so that the next fault can be at its beginning
            elif verb == "BDAT":
                if self._planned("within"):
                    raise ConnectionResetError
                content += await reader.readexactly(int(line.split()[1]))
                if not recipients:
                    writer.write(b"503 5.5.1 no recipients\r\n")
                elif not line.upper().endswith("LAST"):
                    writer.write(b"250 2.0.0 go on\r\n")
                else:
                    self.taken.put(Taken(sender, tuple(recipients), content))
                    await self._say(writer, "end")
                    return
            elif verb in {"RCPT", "DATA"}:  # in a group whose beginning was refused
                writer.write(b"503 5.5.1 bad sequence\r\n")
            elif verb == "QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")

    async def _data(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sender: str, recipients: Collection[str]
    ) -> None:
        if self._planned("within"):
            await reader.readline()
            raise ConnectionResetError
        content = await reader.readuntil(b"\r\n.\r\n")
        octets = content[:-3].replace(b"\r\n..", b"\r\n.")
        self.taken.put(Taken(sender, tuple(recipients), octets))
        await self._say(writer, "end")

    def _planned(self, stage: str) -> bool:
        """Whether the plan has something for a stage that has no reply: hang up in the middle of the content."""
        if not self.plan.get(stage):
            return False
        self.plan[stage].popleft()
        self.stages.append(stage)
        return True

    def next(self) -> Taken:
        """The next dispatch or receipt that came here."""
        return self.taken.get(timeout=DEADLINE)

    # -- what it says of itself ---------------------------------------------------------------------------------

    def case(self, dispatch: bytes) -> Case:
        """What evidence about a dispatch must name."""
        evidence = read(evidences(dispatch)[0][1])
        details = evidence.message
        assert details is not None
        sender, authentication = sender_told(tell_sender(evidence))
        domain = evidence.sender.address.rpartition("@")[2]
        return Case(
            remmd_id=details.remmd_message_id,
            evidence_id=evidence.identifier,
            sender=replace(sender, address=evidence.sender.address, name=evidence.sender.name),
            recipients=tuple(Entity(each.address, each.name) for each in evidence.recipients),
            subject=details.subject,
            ua_message_id=details.ua_message_id,
            t0=evidence.submission_time or evidence.event_time,
            digest=details.digest,
            size=len(dispatch),
            eight_bit=False,
            to="",
            cc="",
            tr_headers=(),
            authentication=authentication,
            profile="rem-baseline" if evidence.is_erds else "tr-kep",
            own_sender=False,
            counterpart=Counterpart(domain, domain, f"kep@{domain}"),
        )

    def about(self, case: Case, *locals_: str) -> tuple[int, ...]:
        """The ordinals of recipients here: those with these local parts, or all."""
        return tuple(
            number
            for number, each in enumerate(case.recipients, 1)
            if each.address.endswith(self.domain) and (not locals_ or each.address.partition("@")[0] in locals_)
        )

    def receipt(
        self,
        case: Case,
        code: KepCode,
        about: tuple[int, ...],
        reason: object = None,
        *,
        at: datetime | None = None,
        identifier: str = "",
    ) -> bytes:
        """A receipt by our keys."""
        reasons = () if reason is None else (GivenReason(reason),)  # type: ignore[arg-type]
        name = identifier or f"delil.betik-{next(_numbers)}@{self.domain}"
        return self.bench.make(case, Order(code, name, at or datetime.now(UTC), about, reasons)).receipt

    def say(self, to: Node, receipt: bytes) -> tuple[int, str]:
        """Give a receipt to a provider; its reply."""
        return relay(to, self.service_address, [f"kep@{to.domain}"], receipt)

    def tell(self, to: Node, dispatch: bytes, code: KepCode, *locals_: str, reason: object = None) -> None:
        """Say the truth about a dispatch: one evidence for all it is about, or one each where it must be so."""
        case = self.case(dispatch)
        about = self.about(case, *locals_)
        together = code in {KepCode.ILETILDI, KepCode.ILETILMEDI} and case.profile == "rem-baseline"
        for each in [about] if together else [(one,) for one in about]:
            reply = self.say(to, self.receipt(case, code, each, reason))
            assert reply[0] == 250, reply

    def dispatch(self, sender: str, recipients: Sequence[str], original: bytes, **changes: object) -> bytes:
        """A dispatch around an original of a user here."""
        number = next(_numbers)
        case = Case(
            remmd_id=f"remmd.betik-{number}@{self.domain}",
            evidence_id=f"delil.betik-{number}@{self.domain}",
            sender=Entity(sender, "Betik"),
            recipients=tuple(Entity(each) for each in recipients),
            subject="Betik",
            ua_message_id=f"<betik-{number}@{self.domain}>",
            t0=datetime.now(UTC),
            digest=hashlib.sha256(original).digest(),
            size=len(original),
            eight_bit=False,
            to=", ".join(recipients),
            cc="",
            tr_headers=(),
            authentication=None,
        )
        case = replace(case, **changes)  # type: ignore[arg-type]
        made = self.bench.make(case, Order(KepCode.KABUL, case.evidence_id, case.t0), render(original))
        assert made.unsealed is not None
        assert made.form is not None
        digest = hashlib.sha256(made.unsealed.signed_head + original + made.unsealed.tail).digest()
        sealed = self.bench.seal(made.unsealed, digest, render(original), made.form)
        return sealed.head + original + sealed.tail
