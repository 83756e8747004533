"""A name server on loopback that says what a test lets it say."""

import asyncio
import socket
import threading
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class NameServer:
    """``records`` maps (name, kind) to the data of its records; ``rcode`` answers everything when it is set.

    A name with any record has no error for kinds that it lacks; an unknown name does not exist. ``silent``: no answers.
    """

    def __init__(self, records):
        self.records = records
        self.rcode = None
        self.silent = False
        self.asked = []

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Questions(self), local_addr=("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._transport.get_extra_info('sockname')[1]}"
        return self

    async def __aexit__(self, *_):
        self._transport.close()

    def answer(self, octets):
        query = dns.message.from_wire(octets)
        question = query.question[0]
        name, kind = question.name.to_text().rstrip("."), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if self.rcode is not None:
            response.set_rcode(self.rcode)
        elif (name, kind) in self.records:
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *self.records[name, kind]))
        elif name not in {each for each, _ in self.records}:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()


@contextmanager
def name_server(records):
    """The same for a test without a loop: a thread that answers."""
    server = NameServer(records)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        server.address = f"127.0.0.1:{sock.getsockname()[1]}"
        thread = threading.Thread(target=_answer, args=(server, sock), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", sock.getsockname())
            thread.join(5)


def _answer(server, sock):
    while True:
        octets, where = sock.recvfrom(4096)
        if not octets:
            return
        sock.sendto(server.answer(octets), where)


class _Questions(asyncio.DatagramProtocol):
    def __init__(self, server):
        self._server = server

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, addr):
        answer = self._server.answer(data)
        if not self._server.silent:
            self._transport.sendto(answer, addr)
