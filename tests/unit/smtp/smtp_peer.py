"""A peer by script, and messages for it."""

import asyncio
import re

from kepgw.interop.desk import Outgoing, Route

SENDER = "kep@hs91.kep.tr"
MESSAGE = b"Subject: x\r\n\r\n.bir\r\n..\r\n.\r\n" + b"0123456789\r\n" * 20


def outgoing(recipients=("ali@hs90.kep.tr",), message=MESSAGE, eight_bit=False, sender=SENDER, chunk=7):
    async def octets():
        for start in range(0, len(message), chunk):
            yield message[start : start + chunk]

    return Outgoing(sender, tuple(recipients), len(message), eight_bit, octets)


def route_to(port, certificate):
    return Route("hs90", "127.0.0.1", port, certificate.sha256)


class Peer:
    """A peer by script: for each command that matches, octets; None hangs up."""

    def __init__(self, certificate, *, extensions=("PIPELINING", "8BITMIME", "SIZE 1000000"), tls=True, answers=()):
        self.certificate = certificate
        self.extensions = [*extensions]
        self.tls = tls
        self.answers = [*answers, ("DATA", b"354 go\r\n"), (r"\.", b"250 2.0.0 taken\r\n"), ("", b"250 OK\r\n")]
        self.heard = []
        self.greeting = lambda: b"220 peer\r\n"
        self.after_tls = None  # who goes on with a connection behind the second EHLO
        self.messages = []  # that came in chunks
        self.connections = 0
        self.said_goodbye = asyncio.Event()
        self._writers = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.route = route_to(self.server.sockets[0].getsockname()[1], self.certificate)
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader, writer):
        self.connections += 1
        self._writers.append(writer)
        in_data = secure = False
        chunks = []
        writer.write(self.greeting())
        while line := await reader.readline():
            text = line.decode().rstrip("\r\n")
            if in_data and text != ".":
                continue
            in_data = False
            self.heard.append(text)
            if text == "QUIT":
                self.said_goodbye.set()
            if text.startswith("BDAT"):
                chunks.append(await reader.readexactly(int(text.split()[1])))
                if text.endswith("LAST"):
                    self.messages.append(b"".join(chunks))
                    chunks.clear()
            answer = next(octets for regex, octets in self.answers if re.match(regex, text))
            if answer is None:
                writer.transport.abort()
                return
            if text.startswith("EHLO") and answer == b"250 OK\r\n":
                offered = self.extensions + (["STARTTLS"] if self.tls and not secure else [])
                answer = "\r\n".join(f"250-{word}" for word in ["peer", *offered]).encode() + b"\r\n250 HELP\r\n"
            if text == "STARTTLS" and answer == b"250 OK\r\n":
                writer.write(b"220 go\r\n")
                await writer.start_tls(self.certificate.server)
                secure = True
                if self.after_tls is not None:
                    answer = [b"250-peer", *(f"250-{word}".encode() for word in self.extensions), b"250 HELP", b""]
                    await reader.readuntil(b"\r\n")
                    writer.write(b"\r\n".join(answer))
                    await self.after_tls(reader, writer)
                    return
                continue
            in_data = answer.startswith(b"354")
            writer.write(answer)
