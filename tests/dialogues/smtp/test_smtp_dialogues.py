"""Plays the dialogue files of this folder against the servers.

    # a comment
    limits errors=3                    limits of the servers, before anything else
    c open submission|submission-tls|relay
    c -> TEXT                          send TEXT and CRLF
    c => TEXT                          send TEXT with \\r \\n \\0 \\xNN and nothing more
    c =* COUNT TEXT                    the same COUNT times
    c <- TEXT                          the next line is TEXT
    c <~ REGEX                         the next line matches (at its start)
    c <* REGEX                         the next reply, all of its lines together, matches somewhere
    c flood TEXT                       the same for ever and never listen, until the server leaves
    c tls | c login | c handshake | c hangup | c closed
    desk taken N | desk octets TEXT | desk to ADDRESS... | desk refused ADDRESS RULE | desk problem RULE
    log RULE                           a line of the log names the rule

Another letter than ``c`` is another client. Clients are plain blocking sockets: none of our code reads for them.
"""

import asyncio
import logging
import re
import socket
import ssl
from base64 import b64encode
from pathlib import Path

import pytest
from smtp_house import ALI, open_client_context

DIALOGUES = sorted(Path(__file__).parent.glob("*.dialogue"))
LOGIN = b64encode(f"\0{ALI}\0gizli".encode()).decode()


def octets(text):
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


class Client:
    def __init__(self, port, tls):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        if tls:
            self.socket = open_client_context().wrap_socket(self.socket)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        while b"\n" not in self.buffer:
            more = self.socket.recv(65536)
            assert more, f"closed after {self.buffer!r}"
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        assert line.endswith(b"\r")
        assert len(line) < 512
        return line[:-1].decode("ascii")

    def reply(self):
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return "\n".join(lines)

    def expect(self, regex):
        reply = self.reply()
        assert re.search(regex, reply), reply

    def ask(self, command, regex):
        self.send(command.encode() + b"\r\n")
        self.expect(regex)

    def start_tls(self):
        self.ask("EHLO client.example", "^250")
        self.ask("STARTTLS", "^220 2.0.0")
        assert not self.buffer
        self.handshake()
        self.ask("EHLO client.example", "^250")

    def handshake(self):
        self.socket = open_client_context().wrap_socket(self.socket)

    def flood(self, data):
        self.socket.settimeout(60)
        try:
            while True:
                self.socket.sendall(data * 10_000)
        except (ConnectionResetError, BrokenPipeError):  # a TimeoutError would be a server that waits for ever
            pass

    def closed(self):
        try:
            rest = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            rest = b""
        assert not self.buffer + rest, self.buffer + rest


class Player:
    def __init__(self, servers, records):
        self.servers = servers
        self.records = records
        self.clients = {}

    @property
    def taken(self):
        return self.servers.submission_desk.taken + self.servers.relay_desk.taken

    def play(self, text):
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.startswith(("#", "limits ")):
                continue
            who, _, rest = line.partition(" ")
            act, _, rest = rest.partition(" ")
            try:
                if who == "desk":
                    self.desk(act, rest)
                elif who == "log":
                    assert act in {getattr(record, "rule", "") for record in self.records}
                else:
                    self.client(who, act, rest)
            except Exception as error:
                raise AssertionError(f"line {number}: {line}\n{type(error).__name__}: {error}") from error
        for client in self.clients.values():
            client.socket.close()

    def client(self, who, act, rest):
        if act == "open":
            self.clients[who] = Client(self.servers.ports[rest], rest.endswith("-tls"))
            return
        client = self.clients[who]
        match act:
            case "->":
                client.send(octets(rest) + b"\r\n")
            case "=>":
                client.send(octets(rest))
            case "=*":
                count, _, text = rest.partition(" ")
                client.send(octets(text) * int(count))
            case "<-":
                line = client.line()
                assert line == rest, line
            case "<~":
                line = client.line()
                assert re.match(rest, line), line
            case "<*":
                client.expect(rest)
            case "flood":
                client.flood(octets(rest))
            case "handshake":
                client.handshake()
            case "tls":
                client.start_tls()
            case "login":
                client.start_tls()
                client.ask(f"AUTH PLAIN {LOGIN}", "^235 2.7.0")
            case "closed":
                client.closed()
            case "hangup":
                client.socket.close()
            case _:
                raise ValueError(act)

    def desk(self, act, rest):
        taken = self.taken
        match act:
            case "taken":
                assert len(taken) == int(rest), taken
            case "octets":
                assert taken[-1].octets == octets(rest), taken[-1].octets
            case "to":
                assert list(taken[-1].recipients) == rest.split(), taken[-1].recipients
            case "refused":
                address, key = rest.split()
                assert (address, key) in [(who, refusal.key) for who, refusal in taken[-1].refused]
            case "problem":
                assert taken[-1].problem.key == rest, taken[-1].problem
            case _:
                raise ValueError(act)


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
async def test_dialogue(path, house, caplog, tmp_path, monkeypatch):
    monkeypatch.setattr("kepgw.smtp.channel.CLOSE_WAIT", 0.3)
    text = path.read_text("utf-8")
    limits = {}
    for line in text.splitlines():
        if line.startswith("limits "):
            limits |= {key: type_of(value) for key, value in (pair.split("=") for pair in line.split()[1:])}
    caplog.set_level(logging.INFO, "kepgw.smtp")
    async with house(**limits) as servers:
        await asyncio.to_thread(Player(servers, caplog.records).play, text)
    assert not list(tmp_path.glob("spool-*"))


def type_of(value):
    return float(value) if "." in value else int(value)


def test_there_are_dialogues():
    assert len(DIALOGUES) > 20
