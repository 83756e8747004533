"""Durable accept beside a Postfix: the same load tool, TLS and AUTH for both, in turns on the same machine and disk.

A 250 is what counts, not what follows it. kepgw is measured twice: as it is, with its signatures at work on the same
cores, and with the time-stamp authority out of reach, so that messages are taken and wait. Postfix writes its
queue to the same disk and discards what it took. The time for logging in counts for neither.
"""

import argparse
import asyncio
import contextlib
import json
import re
import signal
import socket
import socketserver
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.__main__ import SIZES, body_of, message_of, wait_done
from tests.bench.load import pace

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).parents[1] / "houses"))

from laboratory import PASSWORD, Node, free_base, kepgw
from postfix_house import PostfixHouse, why_not

IDLE = 1000  # connections
LOGIN = "ali@hs90.kep.tr"


@dataclass
class Door:
    """Where to submit, and as whom."""

    port: int
    sender: str
    recipient: str
    store: Path | None = None  # of kepgw when it signs: a round ends when everything that follows is done
    done: int = 0

    def round(self, octets: int, count: int, connections: int) -> float:
        """Messages a second from the first MAIL to the last 250, on connections that are logged in."""
        body = body_of(octets)

        def make(number: int) -> bytes:
            return message_of(self.sender, self.recipient, octets, number, body)

        where = ("127.0.0.1", self.port)
        passed = asyncio.run(pace(where, self.sender, PASSWORD, self.recipient, make, count, connections))
        self.done += count
        if self.store is not None:
            wait_done(self.store, 2 * self.done)
        return count / passed


class Logins(socketserver.StreamRequestHandler):
    """Dovecot's authentication protocol 1.1 for one user: Postfix asks it at each login."""

    def handle(self) -> None:
        """Greet, then answer each AUTH."""
        self.wfile.write(b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t" + b"0" * 32 + b"\nDONE\n")
        for line in self.rfile:
            verb, _, rest = line.rstrip(b"\n").partition(b"\t")
            if verb == b"AUTH":
                number, *words = rest.split(b"\t")
                given = b64decode(words[-1].removeprefix(b"resp="))
                good = given == f"\0{LOGIN}\0{PASSWORD}".encode()
                self.wfile.write((b"OK\t%b\tuser=%b\n" if good else b"FAIL\t%b\tuser=%b\n") % (number, LOGIN.encode()))


@contextlib.contextmanager
def postfix() -> Iterator[Door]:
    """A Postfix with TLS from the first octet and one user."""
    house = PostfixHouse("posta.hs90.kep.tr", implicit_tls=True)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Logins) as logins:
        logins.daemon_threads = True
        threading.Thread(target=logins.serve_forever, daemon=True).start()
        house.settings |= {
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": f"inet:127.0.0.1:{logins.server_address[1]}",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
            "default_transport": "discard:",
            "in_flow_delay": 0,  # else it slows intake down to the pace of delivery
        }
        try:
            house.start()
            yield Door(house.port, LOGIN, "veli@hs91.kep.tr")
        finally:
            house.stop()
            logins.shutdown()


@contextlib.contextmanager
def provider(folder: Path, name: str, *, signing: bool) -> Iterator[tuple[Door, int]]:
    """A kepgw, and the process that owns its store."""
    node = Node(folder / name, "hs90.kep.tr", free_base())
    kepgw(
        "init", node.folder, "--provider", node.domain, "--dev", "--base-port", str(node.base), "--algorithm", "p-256"
    )
    sender, recipient = node.account("ali"), node.account("veli")
    node.configure(limits__connections_per_address=2 * IDLE, mailbox__quota_octets=0)
    if not signing:
        node.configure(tsa__kind="http", tsa__url="http://127.0.0.1:1/")
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.server", str(node.folder), str(folder / f"{name}.json")]
    )
    try:
        while not _answers(node.base + 80):
            time.sleep(0.1)
        yield Door(node.base + 465, sender, recipient, node.folder / "kepgw.sqlite" if signing else None), server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def memory(pid: int) -> float:
    """Resident MiB of a process now."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found
    return int(found[1]) / 1024


async def idle(port: int, pid: int) -> tuple[float, float]:
    """Resident MiB before, and with IDLE clients that are greeted inside TLS and say nothing more."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    before = memory(pid)
    writers = []
    for _ in range(IDLE // 50):
        opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port, ssl=context) for _ in range(50)))
        for reader, writer in opened:
            assert (await reader.readline()).startswith(b"220")
            writer.write(b"EHLO bench\r\n")
            while not (await reader.readline()).startswith(b"250 "):
                pass
            writers.append(writer)
    during = memory(pid)
    for writer in writers:
        writer.transport.abort()
    return before, during


def compare(rounds: int, sizes: list[str], folder: Path) -> dict[str, object]:
    """All figures of one run."""
    rows = []
    with (
        postfix() as theirs,
        provider(folder, "whole", signing=True) as (whole, pid),
        provider(folder, "intake", signing=False) as (intake, _),
    ):
        before, during = asyncio.run(idle(whole.port, pid))
        for size in sizes:
            octets, count, connections = SIZES[size]
            rates: dict[str, list[float]] = {"postfix": [], "kepgw, signing": [], "kepgw, intake": []}
            for number in range(rounds + 1):
                for name, door in zip(rates, (theirs, whole, intake), strict=True):
                    rate = door.round(octets, max(count // 4, 2) if number == 0 else count, connections)
                    if number:  # the first is the warm-up
                        rates[name].append(rate)
            row: dict[str, object] = {"size": size, **{name: statistics.median(found) for name, found in rates.items()}}
            for name in ("kepgw, signing", "kepgw, intake"):
                pairs = zip(rates[name], rates["postfix"], strict=True)
                row[f"{name} / postfix"] = statistics.median(ours / other for ours, other in pairs)
            rows.append(row)
            print(
                "  ".join(
                    f"{name}={value:.2f}" if isinstance(value, float) else f"{value}" for name, value in row.items()
                ),
                flush=True,
            )
    print(f"{IDLE} idle TLS connections: {before:.0f} MiB before, {during:.0f} MiB with them", flush=True)
    return {"accept": rows, "idle": {"connections": IDLE, "before MiB": before, "with MiB": during}}


def main() -> int:
    """Print what was found, and write it as JSON with --json FILE."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sizes", nargs="*", default=["5 KB", "1 MB"])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if not Path("/usr/sbin/postfix").exists():
        print("no comparison with Postfix: postfix is not installed (scripts/setup-system.sh)")
        return 0
    if reason := why_not():
        print(f"no comparison with Postfix: {reason}")
        return 0
    with tempfile.TemporaryDirectory(prefix="kepgw-bench-") as folder:
        found = compare(given.runs, given.sizes, Path(folder))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
