"""A time-stamp authority over HTTP (RFC 3161 3.4) for tests and laboratories, without any legal effect.

    python scripts/tsa_server.py --keys DIR/keys --port 3180                      # tokens by kepgw's development TSA
    python scripts/tsa_server.py --keys DIR/keys --port 3180 --engine openssl     # tokens by `openssl ts -reply`
    python scripts/tsa_server.py --keys DIR/keys --port 3180 --behaviour garbage  # one that fails in that way

DIR/keys holds tsa.key and tsa.pem, as `kepgw init --dev` makes them. ``--behaviour``: serve, garbage, hang (takes the
question and never answers), busy (503), moved (redirect), refuse (PKIStatus rejection), nonce, other (a token for other
octets), old (a clock some minutes behind). ``--user NAME:PASSWORD`` or ``--token TOKEN`` wants HTTP Basic or Bearer.
Prints "ready" and its URL when it listens; ends with SIGTERM.
"""

import argparse
import base64
import hashlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from kepgw.trust.devtsa import DevelopmentTsa
from kepgw.trust.keys import load_key
from kepgw.trust.tokens import build_request, read_request

POLICY = "2.999.5070.2"  # below the arc for examples: no authority's
MAX_QUERY = 64 * 1024

OPENSSL_CONF = """\
[tsa]
default_tsa = lab
[lab]
serial = {folder}/serial
signer_cert = {keys}/tsa.pem
signer_key = {keys}/tsa.key
certs = {keys}/tsa.pem
signer_digest = sha256
default_policy = {policy}
digests = sha256, sha384, sha512
accuracy = secs:1
clock_precision_digits = 3
ess_cert_id_alg = sha256
"""

Answer = Callable[[bytes], tuple[int, bytes]]


class OpensslTsa:
    """``openssl ts -reply``, one at a time: its serial numbers stand in a file."""

    def __init__(self, keys: Path) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        self._conf = folder / "tsa.cnf"
        self._conf.write_text(OPENSSL_CONF.format(folder=folder, keys=keys.absolute(), policy=POLICY))
        (folder / "serial").write_text("01\n")
        self._lock = threading.Lock()

    def respond(self, query: bytes) -> bytes:
        """The TimeStampResp to a TimeStampReq."""
        command = ["openssl", "ts", "-reply", "-config", str(self._conf), "-queryfile", "/dev/stdin"]
        with self._lock:
            return subprocess.run(command, input=query, capture_output=True, check=True).stdout


def answer_of(behaviour: str, respond: Callable[[bytes], bytes], old: Callable[[bytes], bytes]) -> Answer:
    """What comes of a question: HTTP status and octets."""

    def other(query: bytes) -> bytes:
        asked = read_request(query)
        return respond(build_request(hashlib.new("sha256", asked.digest).digest(), asked.nonce))

    def hang(_: bytes) -> bytes:
        threading.Event().wait()
        return b""

    answers: dict[str, Callable[[bytes], bytes]] = {
        "serve": respond,
        "garbage": lambda _: b"<html>Bu sayfa bulunamad\xc4\xb1</html>" * 50,
        "hang": hang,
        "busy": lambda _: b"",
        "moved": lambda _: b"",
        "refuse": lambda _: bytes.fromhex("3009300702010203020780"),  # rejection, badAlg
        "nonce": lambda query: respond(build_request(read_request(query).digest, 1)),
        "other": other,
        "old": old,
    }
    status = {"busy": 503, "moved": 302}.get(behaviour, 200)
    return lambda query: (status, answers[behaviour](query))


def server(port: int, answer: Answer, wanted: str = "") -> ThreadingHTTPServer:
    """An HTTP server on loopback; ``wanted`` is the Authorization that a client must send."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            if length > MAX_QUERY or self.headers["Content-Type"] != "application/timestamp-query":
                self.send_error(400)
                return
            query = self.rfile.read(length)
            status, octets = answer(query) if self.headers.get("Authorization", "") == wanted else (401, b"")
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    listening.daemon_threads = True
    return listening


def main() -> None:
    """Serve until the end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--engine", choices=["development", "openssl"], default="development")
    parser.add_argument("--behaviour", default="serve")
    parser.add_argument("--user", default="", metavar="NAME:PASSWORD")
    parser.add_argument("--token", default="")
    given = parser.parse_args()
    key = load_key(given.keys / "tsa.key", given.keys / "tsa.pem", purpose="tsa")
    respond = OpensslTsa(given.keys).respond if given.engine == "openssl" else DevelopmentTsa(key).respond
    old = DevelopmentTsa(key, lambda: max(datetime.now(UTC) - timedelta(hours=1), key.not_before)).respond
    wanted = f"Basic {base64.b64encode(given.user.encode()).decode()}" if given.user else ""
    wanted = f"Bearer {given.token}" if given.token else wanted
    with server(given.port, answer_of(given.behaviour, respond, old), wanted) as listening:
        print(f"ready http://127.0.0.1:{listening.server_port}/", flush=True)
        listening.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
