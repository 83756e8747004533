import hashlib
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from asn1crypto import cms as asn1
from asn1crypto import tsp

from kepgw.errors import FormatError, SignatureInvalid, StampUnavailable
from kepgw.trust import cms, der, devpki
from kepgw.trust.keys import load_key
from kepgw.trust.paths import load_anchors
from kepgw.trust.stamping import (
    DEVELOPMENT_POLICY,
    DevelopmentTsa,
    HttpTsa,
    TsaOrder,
    build_request,
    read_response,
    read_token,
    verify_token,
)
from kepgw.trust.tokens import read_request

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIGEST = hashlib.sha256(b"delil").digest()


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["p-256", "p-384", "rsa-2048"])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_openssl_accepts_the_development_tokens(pki, openssl, tmp_path, kind, digest):
    keys = pki(kind)
    tsa = DevelopmentTsa(load_key(keys / "tsa.key", keys / "tsa.pem", purpose="tsa"), now=lambda: AT)
    imprint = hashlib.new(digest, b"delil").digest()
    (tmp_path / "token").write_bytes(tsa(imprint))

    def judged(wanted):
        return openssl(
            "ts", "-verify", "-digest", wanted.hex(), "-token_in", "-in", tmp_path / "token",
            "-CAfile", keys / "root.pem", "-attime", int(AT.timestamp()),
        )  # fmt: skip

    assert judged(imprint).returncode == 0, judged(imprint).stderr
    assert judged(hashlib.new(digest, b"other").digest()).returncode != 0


@pytest.mark.oracle
def test_openssl_accepts_the_answer_to_its_own_query(pki, tsa, openssl, tmp_path):
    (tmp_path / "data").write_bytes(b"delil")
    query = openssl("ts", "-query", "-data", tmp_path / "data", "-sha256", "-cert").stdout
    (tmp_path / "query").write_bytes(query)
    (tmp_path / "response").write_bytes(tsa.respond(query))
    judged = openssl(
        "ts", "-verify", "-queryfile", tmp_path / "query", "-in", tmp_path / "response",
        "-CAfile", pki() / "root.pem", "-attime", int(AT.timestamp()),
    )  # fmt: skip
    assert judged.returncode == 0, judged.stderr


@pytest.mark.oracle
def test_openssl_reads_our_request(openssl, tmp_path):
    (tmp_path / "query").write_bytes(build_request(DIGEST, 0x1122334455667788))
    shown = openssl("ts", "-query", "-in", tmp_path / "query", "-text").stdout
    assert b"Nonce: 0x1122334455667788" in shown
    assert b"Certificate required: yes" in shown
    assert read_request(build_request(DIGEST, 7)).digest == DIGEST


@pytest.mark.oracle
def test_rfc3161_client_accepts_them_too(pki, tsa):
    from cryptography import x509
    from rfc3161_client import VerifierBuilder, decode_timestamp_response

    root = x509.load_pem_x509_certificate((pki() / "root.pem").read_bytes())
    response = decode_timestamp_response(tsa.respond(build_request(DIGEST, 99)))
    assert VerifierBuilder().add_root_certificate(root).nonce(99).build().verify(response, DIGEST)


def test_what_a_token_says(tsa, anchors):
    first, second = tsa(DIGEST), tsa(DIGEST)
    stamped = verify_token(first, DIGEST, anchors)
    assert (stamped.time, stamped.accuracy, stamped.policy) == (AT, timedelta(seconds=1), DEVELOPMENT_POLICY)
    assert stamped.serial != read_token(second).serial
    assert stamped.serial.bit_length() == 64


def test_the_time_is_that_of_the_call(pki, anchors):
    keys = pki()
    clock = [AT]
    tsa = DevelopmentTsa(load_key(keys / "tsa.key", keys / "tsa.pem", purpose="tsa"), now=lambda: clock[0])
    clock[0] = AT + timedelta(days=3, microseconds=120_000)
    token = tsa(DIGEST)
    assert verify_token(token, DIGEST, anchors).time == clock[0]
    assert b"20260304120000.12Z" in token  # RFC 3161 2.4.2: no trailing zeros
    clock[0] = AT + timedelta(days=6 * 365)
    with pytest.raises(StampUnavailable, match="valid from"):
        tsa(DIGEST)


def test_imprint_and_nonce(tsa, anchors):
    with pytest.raises(SignatureInvalid, match="other octets") as caught:
        verify_token(tsa(DIGEST), hashlib.sha256(b"other").digest(), anchors)
    assert caught.value.check == "time-stamp"
    token = tsa.token(DIGEST, 5)
    assert verify_token(token, DIGEST, anchors, nonce=5)
    with pytest.raises(SignatureInvalid, match="nonce"):
        verify_token(token, DIGEST, anchors, nonce=6)


def test_stranger(tsa, pki):
    with pytest.raises(SignatureInvalid, match="no path"):
        verify_token(tsa(DIGEST), DIGEST, load_anchors([pki("rsa-2048") / "root.pem"]))


def test_a_process_certificate_stamps_nothing(process_key, anchors):
    with pytest.raises(SignatureInvalid, match=r"RFC 3161 2\.3"):
        verify_token(DevelopmentTsa(process_key(), now=lambda: AT)(DIGEST), DIGEST, anchors)


@pytest.mark.parametrize("moment", [AT + timedelta(days=6 * 365), AT - timedelta(days=1)])
def test_time_outside_the_authoritys_certificate(pki, anchors, moment):
    class Timeless:
        """The TSA's key without its dates, so that nothing stops it."""

        def __init__(self, key):
            self.certificate, self.chain, self.algorithm, self.sign = key.certificate, (), key.algorithm, key.sign

    keys = pki()
    tsa = DevelopmentTsa(Timeless(load_key(keys / "tsa.key", keys / "tsa.pem", purpose="tsa")), now=lambda: moment)
    with pytest.raises(SignatureInvalid, match="not at"):
        verify_token(tsa(DIGEST), DIGEST, anchors)


def test_every_altered_octet_of_the_time_is_noticed(tsa, anchors):
    token = tsa(DIGEST)
    content = read_token(token).cms.content
    start = token.index(content)
    for place in range(start, start + len(content)):
        spoilt = token[:place] + bytes([token[place] ^ 0x01]) + token[place + 1 :]
        with pytest.raises(SignatureInvalid):
            verify_token(spoilt, DIGEST, anchors)


def test_unsorted_certificates_are_read(tsa, anchors, pki):
    """Tokens in the field carry their certificate SET in any order; strict readers refuse those."""
    root, intermediate = (load_anchors([pki() / f"{name}.pem"])[0] for name in ("root", "intermediate"))
    info = asn1.ContentInfo.load(tsa(DIGEST))
    own = info["content"]["certificates"][0].chosen.dump()
    for order in ((root, own, intermediate), (intermediate, root, own), (own, intermediate, root)):
        info["content"]["certificates"] = [
            asn1.CertificateChoices("certificate", asn1.Certificate.load(each)) for each in order
        ]
        token = info.dump(force=True)
        sorted_by_der = info["content"]["certificates"].contents
        token = token.replace(sorted_by_der, b"".join(order))
        assert verify_token(token, DIGEST, anchors).time == AT


def test_signing_certificate_of_version_1(pki, tsa, anchors, monkeypatch):
    """RFC 5816: an ESSCertID by SHA-1 still names the certificate; one of another certificate does not."""
    keys = pki()
    key = load_key(keys / "tsa.key", keys / "tsa.pem", purpose="tsa")
    full = cms._static(key.certificate, key.chain, key.algorithm)

    def token(named):
        value = der.sequence(der.sequence(der.sequence(der.octet_string(hashlib.sha1(named).digest()))))
        attribute = der.attribute("1.2.840.113549.1.9.16.2.12", value)
        monkeypatch.setattr(cms, "_static", lambda *_: full._replace(attributes=(attribute,)))
        return DevelopmentTsa(key, now=lambda: AT)(DIGEST)

    assert verify_token(token(key.certificate), DIGEST, anchors).time == AT
    with pytest.raises(SignatureInvalid, match="another certificate"):
        verify_token(token(b"other"), DIGEST, anchors)


@pytest.mark.parametrize("octets", [b"", b"0\x80", b"\x30\x03\x02\x01\x00", bytes(300_000)])
def test_rubbish(octets, anchors):
    with pytest.raises(FormatError):
        read_request(octets)
    with pytest.raises(StampUnavailable):
        read_response(octets)
    with pytest.raises(SignatureInvalid):
        verify_token(octets, DIGEST, anchors)


def test_an_envelope_signature_is_no_token(process_key, anchors):
    with pytest.raises(SignatureInvalid, match="content of type"):
        verify_token(cms.sign_detached(DIGEST, process_key(), AT), DIGEST, anchors)


@pytest.fixture
def served(tsa):
    """A real HTTP server with an authority behind it; ``answer`` may be changed, ``seen`` holds the requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            query = self.rfile.read(int(self.headers["Content-Length"]))
            server.seen.append((self.headers["Content-Type"], query))
            status, octets = server.answer(query)
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.answer = [], lambda query: (200, tsa.respond(query))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def url(server):
    return f"http://127.0.0.1:{server.server_port}/tsa"


def test_over_http(served, anchors):
    token = HttpTsa(url(served), anchors=anchors)(DIGEST)
    assert verify_token(token, DIGEST, anchors).time == AT
    ((kind, query),) = served.seen
    assert kind == "application/timestamp-query"
    assert read_request(query).nonce is not None


def refusal():
    status = tsp.PKIStatusInfo({"status": "rejection", "status_string": ["kota doldu"], "fail_info": {"bad_request"}})
    return der.sequence(status.dump())


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda _query, _tsa: (503, b""), "HTTP 503"),
        (lambda _query, _tsa: (200, b"<html>"), "not a readable"),
        (lambda _query, _tsa: (200, refusal()), "rejection.*kota doldu"),
        (lambda _query, _tsa: (200, bytes(300_000)), "an answer over"),
        (lambda _query, tsa: (200, tsa.respond(build_request(DIGEST, 1))), "another request"),
        (lambda query, tsa: (200, tsa.respond(build_request(hashlib.sha256(query).digest()))), "other octets|another"),
    ],
    ids=["status", "html", "refused", "endless", "nonce", "imprint"],
)
def test_authorities_that_fail(served, tsa, anchors, answer, told):
    served.answer = lambda query: answer(query, tsa)
    with pytest.raises(StampUnavailable, match=told):
        HttpTsa(url(served), anchors=anchors)(DIGEST)


def test_untrusted_authority_is_not_used(served, pki):
    with pytest.raises(StampUnavailable, match="no path"):
        HttpTsa(url(served), anchors=load_anchors([pki("rsa-2048") / "root.pem"]))(DIGEST)


def test_without_anchors_no_token_is_used(served):
    with pytest.raises(StampUnavailable, match="no path") as caught:
        HttpTsa(url(served), anchors=())(DIGEST)
    assert isinstance(caught.value.__cause__, SignatureInvalid)


def test_one_that_nobody_can_verify_gives_way_to_the_next(served, tsa, anchors, pki):
    stranger = load_anchors([pki("rsa-2048") / "root.pem"])
    failed = []
    order = TsaOrder(
        [HttpTsa(url(served), anchors=stranger), tsa],
        attempted=lambda each: failed.append((each.authority, each.outcome)),
    )
    assert verify_token(order(DIGEST), DIGEST, anchors).time == AT
    assert failed == [(url(served), "untrusted"), ("development TSA", "good")]


def test_no_listener():
    with pytest.raises(StampUnavailable, match=r"http://127\.0\.0\.1:1/"):
        HttpTsa("http://127.0.0.1:1/", anchors=(), timeout=2)(DIGEST)


def test_slow_authority():
    def slow(_request):
        raise httpx.ReadTimeout("timed out")

    with pytest.raises(StampUnavailable, match="ReadTimeout"):
        HttpTsa("http://tsa.example/", anchors=(), transport=httpx.MockTransport(slow))(DIGEST)


def test_the_next_in_order_serves(served, tsa, anchors):
    failed = []
    order = TsaOrder(
        [HttpTsa("http://127.0.0.1:1/", anchors=(), timeout=2), HttpTsa(url(served), anchors=anchors), tsa],
        attempted=lambda each: failed.append((each.authority, each.outcome)),
    )
    assert verify_token(order(DIGEST), DIGEST, anchors).time == AT
    assert failed == [("http://127.0.0.1:1/", "connect"), (url(served), "good")]
    assert len(served.seen) == 1


def test_all_fail():
    with pytest.raises(StampUnavailable, match="configured"):
        TsaOrder([])(DIGEST)
    with pytest.raises(StampUnavailable, match=r"127\.0\.0\.1:1/a.*127\.0\.0\.1:1/b"):
        TsaOrder([*(HttpTsa(f"http://127.0.0.1:1/{name}", anchors=(), timeout=2) for name in "ab")])(DIGEST)


def test_expired_development_tsa_falls_through(tmp_path, tsa, anchors):
    devpki.create(tmp_path, "hs92.kep.tr", "kep@hs92.kep.tr", algorithm="p-256", at=AT - timedelta(days=3000))
    old = load_key(tmp_path / "keys" / "tsa.key", tmp_path / "keys" / "tsa.pem", purpose="tsa")
    assert verify_token(TsaOrder([DevelopmentTsa(old), tsa])(DIGEST), DIGEST, anchors)
