"""Authorities that fail are left alone while the next serves, and come back by a probe. No real time passes."""

import hashlib
import logging
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU

from kepgw.errors import ConfigurationError, StampUnavailable
from kepgw.evidence.algorithms import stamp_over
from kepgw.trust import der, devpki
from kepgw.trust.circuit import Circuit, Waits
from kepgw.trust.devtsa import DEVELOPMENT_POLICY
from kepgw.trust.stamping import Access, Demands, HttpTsa, Outcome, TsaOrder, read_token, verify_token
from kepgw.trust.tokens import read_request

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIGEST = hashlib.sha256(b"delil").digest()
WAITS = Waits(10, 100, jitter=0.0)
WRONG = Waits(1000, 3000, jitter=0.0)


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


class Scripted:
    """An authority whose next answers are given: an outcome to fail with, or None to serve."""

    def __init__(self, name, tsa, *outcomes):
        self.name, self._tsa, self.outcomes, self.asked = name, tsa, list(outcomes), 0

    def token(self, digest, nonce=None):
        self.asked += 1
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise StampUnavailable(f"{self.name}: private reason", outcome)
        return self._tsa.token(digest, nonce)


def order(clock, *authorities, **more):
    return TsaOrder(authorities, waits=WAITS, wrong_waits=WRONG, clock=clock, now=lambda: AT, **more)


def test_waits_grow_to_a_limit_and_are_left_to_chance_a_little():
    assert [Waits(5, 300, jitter=0).seconds(n, 0.5) for n in (0, 1, 2, 5, 6, 7, 10_000)] == [
        5, 10, 20, 160, 300, 300, 300,
    ]  # fmt: skip
    spread = [Waits(100, 100, jitter=0.2).seconds(0, chance) for chance in (0.0, 0.5, 1.0)]
    assert spread == pytest.approx([80, 100, 120])


def test_an_open_circuit_lets_one_probe_through(clock):
    circuit = Circuit(WAITS, WRONG, clock)
    assert circuit.enter()
    circuit.failed()
    assert not circuit.enter()
    assert not circuit.closed
    clock.seconds = 10
    assert circuit.enter()
    assert not circuit.enter(), "one probe at a time"
    circuit.failed()
    assert circuit.left == 20
    clock.seconds = 30
    assert circuit.enter()
    circuit.good()
    assert circuit.closed
    assert circuit.enter()
    assert circuit.left == 0
    circuit.failed()
    assert circuit.left == 10, "the waits begin anew"


def test_a_wrong_answer_keeps_it_out_longer_and_a_lesser_fault_does_not_shorten_that(clock):
    circuit = Circuit(WAITS, WRONG, clock)
    circuit.failed(wrong=True)
    assert circuit.left == 1000
    circuit.failed()
    assert circuit.left == 1000
    clock.seconds = 1000
    assert circuit.enter()
    circuit.failed(wrong=True)
    assert circuit.left == 2000


def test_the_next_serves_while_the_first_is_left_alone_and_the_first_comes_back(tsa, clock):
    first, second = Scripted("a", tsa, Outcome.CONNECT), Scripted("b", tsa)
    told = []
    stamp = order(clock, first, second, attempted=told.append)
    for _ in range(3):
        stamp(DIGEST)
    assert (first.asked, second.asked) == (1, 3)
    assert [(each.authority, each.outcome) for each in told] == [("a", "connect"), *[("b", "good")] * 3]
    assert [(each.authority, each.closed, each.left) for each in stamp.standings()] == [
        ("a", False, 10),
        ("b", True, 0),
    ]
    clock.seconds = 10
    stamp(DIGEST)
    stamp(DIGEST)
    assert (first.asked, second.asked) == (3, 3)
    assert told[-1].offset == 0.0


def test_when_all_are_left_alone_nobody_is_asked_and_nothing_is_signed_in_vain(tsa, clock):
    only = Scripted("a", tsa, Outcome.TIMEOUT)
    stamp = order(clock, only)
    stamp.check()
    with pytest.raises(StampUnavailable, match="private reason"):
        stamp(DIGEST)
    with pytest.raises(StampUnavailable, match="in 10 s"):
        stamp.check()
    with pytest.raises(StampUnavailable, match="a: left alone for 10 s more"):
        stamp(DIGEST)
    assert only.asked == 1
    clock.seconds = 10
    stamp.check()
    assert stamp(DIGEST)


@pytest.mark.parametrize("outcome", [Outcome.WRONG, Outcome.UNTRUSTED, Outcome.POLICY, Outcome.ACCURACY, Outcome.CLOCK])
def test_a_wrong_token_is_an_error_in_the_log_with_its_reason(tsa, clock, caplog, outcome):
    stamp = order(clock, Scripted("a", tsa, outcome), Scripted("b", tsa, Outcome.CONNECT), Scripted("c", tsa))
    with caplog.at_level(logging.INFO, "kepgw.stamping"):
        stamp(DIGEST)
    (error, warning) = caplog.records
    assert (error.levelno, warning.levelno) == (logging.ERROR, logging.WARNING)
    assert "private reason" in error.getMessage()
    assert f"outcome={outcome}" in error.getMessage()
    assert [each.left for each in stamp.standings()] == [1000, 10, 0]


# -- one authority over HTTP: what it must say ----------------------------------------------------------------------


def http(answer, anchors, *, now=AT, status=200, **more):
    """An authority behind a transport that answers in this process."""
    transport = httpx.MockTransport(
        lambda request: httpx.Response(status, stream=httpx.ByteStream(answer(request.read())))
    )
    return HttpTsa("http://tsa.example/", anchors=anchors, transport=transport, now=lambda: now, **more)


def outcome(authority):
    with pytest.raises(StampUnavailable) as caught:
        authority(DIGEST)
    return caught.value.outcome


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_each_digest_that_can_be_set(tsa, anchors, digest):
    authority = http(tsa.respond, anchors)
    token = stamp_over(b"imza", TsaOrder([authority], digest=digest))
    assert read_token(token).digest_algorithm == digest
    assert verify_token(token, hashlib.new(digest, b"imza").digest(), anchors).time == AT


def test_policy_is_asked_for_and_insisted_on(tsa, anchors):
    asked = []

    def answer(query):
        asked.append(read_request(query).policy)
        return tsa.respond(query)

    assert http(answer, anchors, demands=Demands(policy=DEVELOPMENT_POLICY))(DIGEST)
    assert outcome(http(answer, anchors, demands=Demands(policy="1.2.3"))) == Outcome.REFUSED
    assert asked == [DEVELOPMENT_POLICY, "1.2.3"]

    def deaf(query):
        read = read_request(query)
        return der.sequence(der.sequence(der.integer(0)), tsa.token(read.digest, read.nonce))

    assert outcome(http(deaf, anchors, demands=Demands(policy="1.2.3"))) == Outcome.POLICY


def test_accuracy_has_a_bound(tsa, anchors, monkeypatch):
    assert http(tsa.respond, anchors, demands=Demands(accuracy=timedelta(seconds=1)))(DIGEST)
    assert outcome(http(tsa.respond, anchors, demands=Demands(accuracy=timedelta(milliseconds=999)))) == "accuracy"
    monkeypatch.setattr("kepgw.trust.devtsa._ACCURACY", b"")
    assert outcome(http(tsa.respond, anchors, demands=Demands(accuracy=timedelta(hours=1)))) == "accuracy"
    assert http(tsa.respond, anchors)(DIGEST)


@pytest.mark.parametrize(("seconds", "fits"), [(-61, False), (-60, True), (0, True), (60, True), (61, False)])
def test_the_clocks_must_agree(tsa, anchors, seconds, fits):
    authority = http(
        tsa.respond, anchors, now=AT - timedelta(seconds=seconds), demands=Demands(clock=timedelta(seconds=60))
    )
    if fits:
        assert authority(DIGEST)
        return
    with pytest.raises(StampUnavailable, match="61 s ahead of ours" if seconds > 0 else "61 s behind ours") as caught:
        authority(DIGEST)
    assert (caught.value.outcome, caught.value.offset) == (Outcome.CLOCK, seconds)


def test_redirects_are_not_followed(tsa, anchors):
    seen = []

    def answer(request):
        seen.append(request.url)
        return httpx.Response(302, headers={"Location": "http://elsewhere.example/"})

    authority = HttpTsa("http://tsa.example/", anchors=anchors, transport=httpx.MockTransport(answer))
    assert outcome(authority) == Outcome.HTTP
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("answer", "status", "what"),
    [
        (lambda _: b"", 503, Outcome.HTTP),
        (lambda _: b"", 401, Outcome.HTTP),
        (lambda _: b"<html>", 200, Outcome.UNREADABLE),
        (lambda _: bytes(300_000), 200, Outcome.UNREADABLE),
        (lambda _: bytes.fromhex("3009300702010203020780"), 200, Outcome.REFUSED),
    ],
)
def test_what_is_counted_as_what(anchors, answer, status, what):
    assert outcome(http(answer, anchors, status=status)) == what


def test_name_and_password_or_token_come_from_files(tsa, anchors, tmp_path):
    seen = []

    def answer(request):
        seen.append(request.headers.get("Authorization"))
        assert request.headers["Accept-Encoding"] == "identity"
        return httpx.Response(200, stream=httpx.ByteStream(tsa.respond(request.read())))

    secret = tmp_path / "secret"
    secret.write_text("gizli\nthe second line is not read\n", "ascii")
    for access in (Access(), Access(user="kep", password_file=secret), Access(token_file=secret)):
        HttpTsa("http://t/", anchors=anchors, access=access, transport=httpx.MockTransport(answer))(DIGEST)
    assert seen == [None, "Basic a2VwOmdpemxp", "Bearer gizli"]
    for content in (b"", b"\n", b"\xff\n", b"a" * 5000):
        secret.write_bytes(content)
        with pytest.raises(ConfigurationError, match="secret"):
            HttpTsa("http://t/", anchors=anchors, access=Access(token_file=secret))
    with pytest.raises(ConfigurationError, match="absent"):
        HttpTsa("http://t/", anchors=anchors, access=Access(client_certificate=tmp_path / "absent"))


# -- real sockets ---------------------------------------------------------------------------------------------------


class Kept(BaseHTTPRequestHandler):
    """Keeps connections; ``server.answer`` writes the answer."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        query = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.peers.append(self.client_address)
        self.server.answer(self, query)

    def log_message(self, *_):
        pass


@pytest.fixture
def listening():
    made = []

    def listen(answer, context=None):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Kept)
        server.daemon_threads = True
        server.answer, server.peers = answer, []
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        made.append((server, thread))
        return server

    yield listen
    for server, thread in made:
        server.shutdown()
        server.server_close()
        thread.join()


def reply(handler, octets):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(octets)))
    handler.end_headers()
    handler.wfile.write(octets)


def test_one_connection_serves_many_requests(listening, tsa, anchors):
    server = listening(lambda handler, query: reply(handler, tsa.respond(query)))
    authority = HttpTsa(f"http://127.0.0.1:{server.server_port}/", anchors=anchors)
    for _ in range(5):
        authority(DIGEST)
    authority.close()
    assert len(set(server.peers)) == 1


@pytest.mark.parametrize("part", ["headers", "body"])
def test_one_that_drips_octets_for_ever_is_given_up(listening, tsa, anchors, part):
    over = threading.Event()
    begun = []

    def drip(handler, query):
        begun.append(part)
        if len(begun) > 1:
            return reply(handler, tsa.respond(query))
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n" + (b"X: " if part == "headers" else b"\r\n")
        handler.wfile.write(head)
        while not over.wait(0.02):
            try:
                handler.wfile.write(b"a")
                handler.wfile.flush()
            except OSError:
                break
        return None

    server = listening(drip)
    authority = HttpTsa(f"http://127.0.0.1:{server.server_port}/", anchors=anchors, timeout=0.3)
    try:
        assert outcome(authority) == Outcome.TIMEOUT
        assert authority(DIGEST), "the next request has a connection of its own"
    finally:
        over.set()
        authority.close()


def test_tls_with_a_client_certificate(listening, tsa, anchors, tmp_path):
    """Certificates of today, since TLS looks at today's clock."""
    start, day = datetime.now(UTC) - timedelta(hours=1), timedelta(days=1)
    root_key, root_name = ec.generate_private_key(ec.SECP256R1()), devpki._name("Root")
    root = devpki._issue(root_key, root_name, root_key, root_name, start, day, devpki._authority(0))
    (tmp_path / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
    names = [x509.IPAddress(ip_address("127.0.0.1"))]
    for name, purpose in (("server", EKU.SERVER_AUTH), ("client", EKU.CLIENT_AUTH)):
        key = ec.generate_private_key(ec.SECP256R1())
        made = devpki._issue(key, devpki._name(name), root_key, root_name, start, day, devpki._leaf(purpose, names))
        (tmp_path / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))
        octets = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / f"{name}.key").write_bytes(octets)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    context.load_verify_locations(tmp_path / "root.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = listening(lambda handler, query: reply(handler, tsa.respond(query)), context)
    url = f"https://127.0.0.1:{server.server_port}/"
    client = {"client_certificate": tmp_path / "client.pem", "client_key": tmp_path / "client.key"}
    assert outcome(HttpTsa(url, anchors=anchors, access=Access(**client))) == Outcome.CONNECT, "an unknown server"
    known = {"tls_anchors": tmp_path / "root.pem"}
    assert outcome(HttpTsa(url, anchors=anchors, access=Access(**known))) == Outcome.CONNECT, "an unknown client"
    assert HttpTsa(url, anchors=anchors, access=Access(**known, **client))(DIGEST)
