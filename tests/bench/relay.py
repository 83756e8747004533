"""Relay of a full queue to one peer that is back, against the rate at which the same messages were taken.

The peer is down while messages are submitted, so all of them wait; then it answers, `kepgw queue retry` says so, and
the clock runs until the last one is taken. The peer is our own server with a desk that throws everything away, in a
process of its own on the same cores: what is measured is our relay, not somebody's checks.
"""

import argparse
import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from kepgw.interop.desk import Relayed
from kepgw.smtp.relay_in import RelayServer
from kepgw.trust.tls import server_context
from tests.bench.__main__ import body_of, cpu_of, message_of
from tests.bench.load import submit

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from laboratory import PASSWORD, Node

CONNECTIONS = 16  # of the submitting tool
SIZE = 5_000  # octets


class Sink:
    """A desk that takes everything and keeps nothing."""

    def ready(self) -> None:
        """Always."""

    async def sender(self, address: str, certificate: bytes | None) -> None:
        """Anybody."""

    async def recipient(self, sender: str, address: str) -> str:
        """Anybody."""
        return address

    async def receive(self, relayed: Relayed) -> str:
        """Gone."""
        return "sink"


async def serve(folder: Path, port: int) -> None:
    """A peer on ``port`` that shows the TLS certificate of the provider in ``folder``."""
    keys = folder / "keys"
    server = RelayServer(Sink(), hostname="hs91.kep.tr", spool_folder=folder)
    await server.start("127.0.0.1", port, server_context(keys / "tls.pem", keys / "tls.key"), False)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print("ready", flush=True)
    await ended.wait()
    await server.stop(1)


def wait_until(store: Path, sql: str, wanted: int) -> None:
    """Until a count in the store is ``wanted``."""
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    until = time.monotonic() + 3600
    while connection.execute(sql).fetchone()[0] != wanted:
        if time.monotonic() > until:
            raise TimeoutError(sql)
        time.sleep(0.05)
    connection.close()


def measure(messages: int, folder: Path) -> dict[str, float]:
    """One run."""
    here, there = Node(folder / "hs90", "hs90.kep.tr").init(), Node(folder / "hs91", "hs91.kep.tr").init()
    ali = here.account("ali")
    here.peer_with(there)
    here.configure(relay__retry_first=600, limits__waiting_messages=1_000_000, submission__require_signature="off")
    store, body = here.folder / "kepgw.sqlite", body_of(SIZE)
    here.start()
    assert here.process is not None

    def make(number: int) -> bytes:
        return message_of(ali, "veli@hs91.kep.tr", SIZE, number, body)

    began = time.perf_counter()
    where = ("127.0.0.1", here.base + 465)
    asyncio.run(submit(where, ali, PASSWORD, "veli@hs91.kep.tr", make, messages, CONNECTIONS))
    taken = time.perf_counter() - began
    wait_until(store, "SELECT count(*) FROM task WHERE kind = 'relay'", messages)
    ready = time.perf_counter() - began
    sink = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.relay", "--sink", str(there.folder), str(there.base + 25)],
        stdout=subprocess.PIPE,
    )
    assert sink.stdout is not None
    sink.stdout.readline()
    cpu, sinks, began = cpu_of(here.process.pid), cpu_of(sink.pid), time.perf_counter()
    here.cli("queue", "retry")
    wait_until(store, "SELECT count(*) FROM task WHERE kind = 'relay'", 0)
    relayed = time.perf_counter() - began
    cpu, sinks = cpu_of(here.process.pid) - cpu, cpu_of(sink.pid) - sinks
    sink.terminate()
    here.stop()
    return {
        "messages": messages,
        "accepted/s": messages / taken,
        "queued/s": messages / ready,
        "relayed/s": messages / relayed,
        "of accepted": taken / relayed,
        "relay cpu ms": 1000 * cpu / messages,
        "peer cpu ms": 1000 * sinks / messages,
    }


def main() -> int:
    """Print the figures, and write them as JSON with --json FILE."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sink", nargs=2, metavar=("FOLDER", "PORT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.sink:
        uvloop.run(serve(Path(given.sink[0]), int(given.sink[1])))
        return 0
    with tempfile.TemporaryDirectory(prefix="kepgw-bench-") as folder:
        found = measure(given.messages, Path(folder))
    print("  ".join(f"{name:>12}" for name in found))
    print("  ".join(f"{value:>12.2f}" for value in found.values()))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
