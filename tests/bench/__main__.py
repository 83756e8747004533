"""The first table: submit -> 10 -> dispatch -> local delivery -> 40 -> receipts, all durable, against bare signatures.

The floor is what the signatures alone cost with the same keys on all cores: five of the process key and three time
stamps a message. Figures of one run belong together; on a shared machine only their ratios mean something.
"""

import argparse
import asyncio
import json
import os
import secrets
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from kepgw.app.config import load
from kepgw.trust.keys import load_key
from tests.bench.load import submit

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from laboratory import PASSWORD, Node, free_base, kepgw

PROCESS_SIGNATURES = 5  # evidence 10 and 40, dispatch, two receipts
STAMPS = 3  # evidence 10 and 40, dispatch
SIZES = {"5 KB": (5_000, 400, 16), "1 MB": (1_000_000, 40, 4), "10 MB": (10_000_000, 8, 2)}


def message_of(login: str, recipient: str, size: int, number: int, body: bytes) -> bytes:
    """A message with a base64 attachment of about this size."""
    head = (
        f"From: {login}\r\nTo: {recipient}\r\nSubject: =?utf-8?q?=C3=96l=C3=A7=C3=BCm?= {number}\r\n"
        f"Message-ID: <{number}.{size}.{secrets.token_hex(8)}@bench>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n'
        "Merhaba.\r\n\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    return head.encode() + body + b"\r\n--b--\r\n"


def body_of(size: int) -> bytes:
    """Base64 lines."""
    line = b"VGhpcyBpcyBub3QgcmFuZG9tLCBidXQgaXQgaXMgYmFzZTY0IGFuZCBsb25nIGVub3VnaCB0byBj\r\n"
    return line * (size // len(line)) + b"QUJD"


def sign_for(folder: str, seconds: float) -> float:
    """Seconds that the signatures of one message take, bare, in one process that does nothing else."""
    keys = load(Path(folder)).keys
    process = keys.process[0].place.key()
    stamp = load_key(keys.tsa_key, *keys.tsa_certificates, purpose="tsa")
    data = secrets.token_bytes(200)
    rounds = 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        for _ in range(PROCESS_SIGNATURES):
            process.sign(data)
        for _ in range(STAMPS):
            stamp.sign(data)
        rounds += 1
    return passed / rounds


def floor(folder: Path, cores: int, seconds: float = 2.0) -> float:
    """Messages a second that bare signing would allow on all cores together."""
    with ProcessPoolExecutor(cores) as pool:
        took = list(pool.map(sign_for, [str(folder)] * cores, [seconds] * cores))
    return sum(1 / each for each in took)


def wait_done(store: Path, evidences: int) -> None:
    """Until every evidence is in the ledger and the queue is empty."""
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    until = time.monotonic() + 600
    while time.monotonic() < until:
        made = connection.execute("SELECT count(*) FROM evidence").fetchone()[0]
        left = connection.execute("SELECT count(*) FROM task").fetchone()[0]
        if made >= evidences and left == 0:
            connection.close()
            return
        time.sleep(0.02)
    raise TimeoutError("the provider did not finish")


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and its children so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0.0
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    for each in (str(pid), *children):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / ticks
    return total


def measure(algorithm: str, size: str, runs: int, folder: Path) -> dict[str, float | str]:
    """One row of the table: the median of several runs after a warm-up, in one process of the provider."""
    octets, count, connections = SIZES[size]
    cores = os.cpu_count() or 1
    node = Node(folder / f"{algorithm}-{octets}", "hs90.kep.tr", free_base())
    kepgw(
        "init", node.folder, "--provider", node.domain, "--dev", "--base-port", str(node.base), "--algorithm", algorithm
    )
    node.configure(mailbox__quota_octets=0)
    sender, recipient = node.account("ali"), node.account("veli")
    result = folder / f"{algorithm}-{octets}.json"
    server = subprocess.Popen([sys.executable, "-m", "tests.bench.server", str(node.folder), str(result)])
    while not _answers(node.base + 80):
        time.sleep(0.1)
    where, body, done = ("127.0.0.1", node.base + 465), body_of(octets), 0
    store = node.folder / "kepgw.sqlite"
    rates, cpus, latencies, floors = [], [], [], []

    def make(number: int) -> bytes:
        return message_of(sender, recipient, octets, number, body)

    for run in range(runs + 1):
        some = max(count // 4, 2) if run == 0 else count  # the first is the warm-up
        before, began = cpu_of(server.pid), time.perf_counter()
        taken = asyncio.run(submit(where, sender, PASSWORD, recipient, make, some, connections))
        done += some
        wait_done(store, 2 * done)
        passed = time.perf_counter() - began
        if run:
            rates.append(some / passed)
            cpus.append((cpu_of(server.pid) - before) / some)
            latencies += taken
            floors.append(floor(node.folder, cores))  # between the runs: a machine's speed drifts
    server.send_signal(signal.SIGTERM)
    server.wait(60)
    own = json.loads(result.read_text())
    latencies.sort()
    rate = statistics.median(rates)
    return {
        "key": algorithm,
        "size": size,
        "messages/s": rate,
        "of floor": statistics.median(rate / base for rate, base in zip(rates, floors, strict=True)),
        "floor/s": statistics.median(floors),
        "cpu ms": 1000 * statistics.median(cpus),
        "250 p50 ms": 1000 * latencies[len(latencies) // 2],
        "250 p99 ms": 1000 * latencies[len(latencies) * 99 // 100],
        "lag p99 ms": own["lag_p99_ms"],
        "lag max ms": own["lag_max_ms"],
        "idle MiB": own["rss_idle_mib"],
        "rss MiB": own["rss_mib"],
        "worker MiB": own["worker_rss_mib"],
    }


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def main() -> int:
    """Print the table, and write it as JSON with --json FILE."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keys", nargs="*", default=["rsa-3072", "p-256"])
    parser.add_argument("--sizes", nargs="*", default=list(SIZES))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="kepgw-bench-") as folder:
        for algorithm in given.keys:
            for size in given.sizes:
                row = measure(algorithm, size, given.runs, Path(folder))
                if not rows:
                    print("  ".join(f"{name:>10}" for name in row), flush=True)
                rows.append(row)
                shown = (f"{each:>10.2f}" if isinstance(each, float) else f"{each:>10}" for each in row.values())
                print("  ".join(shown), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
