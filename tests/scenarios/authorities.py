"""Authorities on the network for tests: openssl's own OCSP responder, and a small site that can misbehave."""

import re
import select
import subprocess
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Responder:
    """``openssl ocsp`` for one authority; ``by`` is a delegated responder, else the authority signs itself."""

    def __init__(self, folder, authority, by=None, *options):
        signer = by or authority
        self.index = folder / "index.txt"
        self.index.touch()
        (folder / "ca.pem").write_bytes(authority.pem())
        (folder / "signer.pem").write_bytes(signer.pem())
        (folder / "signer.key").write_bytes(signer.key_pem())
        self._words = [
            "openssl", "ocsp", "-port", "0", "-index", self.index, "-CA", folder / "ca.pem",
            "-rsigner", folder / "signer.pem", "-rkey", folder / "signer.key",
            *(options or ("-ndays", "1")),
        ]  # fmt: skip
        self._process = None
        self.port = 0

    def knows(self, certificate, state="V", reason=""):
        """A line of the index: V(alid) or R(evoked) since yesterday. Before ``start``: openssl reads it once."""
        ends = f"{certificate.not_valid_after_utc:%y%m%d%H%M%SZ}"
        since = f"{certificate.not_valid_before_utc:%y%m%d%H%M%SZ}" if state == "R" else ""
        since += f",{reason}" if since and reason else ""
        serial = f"{certificate.serial_number:X}"
        serial = serial if len(serial) % 2 == 0 else f"0{serial}"
        with self.index.open("a") as file:
            file.write(f"{state}\t{ends}\t{since}\t{serial}\tunknown\t/CN=x\n")

    def start(self):
        self._process = subprocess.Popen(self._words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert select.select([self._process.stdout], [], [], 20)[0], "openssl ocsp does not start"
        told = self._process.stdout.readline().decode()
        self.port = int(re.search(r":(\d+) PID", told)[1])
        return f"http://127.0.0.1:{self.port}/"

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()


class Site:
    """HTTP on loopback; ``pages`` maps a path to octets, or to a function of the handler. ``asked`` keeps requests."""

    def __init__(self):
        self.pages, self.asked = {}, []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                site.asked.append((self.command, self.path, body))
                page = site.pages.get(self.path)
                try:
                    if callable(page):
                        page(self)
                    elif page is None:
                        self.send_error(404)
                    else:
                        self.give(page)
                except (BrokenPipeError, ConnectionResetError):
                    pass

            do_GET = do_POST = answer

            def give(self, octets, status=200, **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                if "Content_Length" not in headers:
                    self.send_header("Content-Length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def port(self):
        return self._server.server_address[1]

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def hand_on(self, path, url):
        """Answer what is asked at ``path`` by what ``url`` answers: certificates name us before openssl has a port."""

        def page(handler):
            _, _, body = self.asked[-1]
            request = urllib.request.Request(url, body, {"Content-Type": "application/ocsp-request"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                handler.give(answer.read())

        self.pages[path] = page

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
