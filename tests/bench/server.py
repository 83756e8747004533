"""A provider that also measures itself: loop lag while it serves, written as JSON when it stops."""

import asyncio
import json
import resource
import signal
import sys
from pathlib import Path

import uvloop

from kepgw.app import logs
from kepgw.app.config import load
from kepgw.app.provider import Provider

EVERY = 0.005  # seconds between two looks at the loop


async def lag(found: list[float]) -> None:
    """How much later than asked the loop wakes us, in seconds."""
    loop = asyncio.get_running_loop()
    while True:
        asked = loop.time() + EVERY
        await asyncio.sleep(EVERY)
        found.append(loop.time() - asked)


async def main(folder: Path) -> str:
    """Serve until SIGTERM; the figures as JSON."""
    provider = Provider(load(folder))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await provider.start()
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: list[float] = []
    watch = asyncio.create_task(lag(found))
    await ended.wait()
    watch.cancel()
    await provider.stop()
    found.sort()
    own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.dumps(
        {
            "lag_p50_ms": 1000 * found[len(found) // 2],
            "lag_p99_ms": 1000 * found[len(found) * 99 // 100],
            "lag_max_ms": 1000 * found[-1],
            "rss_idle_mib": idle / 1024,
            "rss_mib": own.ru_maxrss / 1024,
            "worker_rss_mib": workers.ru_maxrss / 1024,
            "cpu_own": own.ru_utime + own.ru_stime,
            "cpu_workers": workers.ru_utime + workers.ru_stime,
        }
    )


if __name__ == "__main__":
    logs.set_up("json", "error")
    Path(sys.argv[2]).write_text(uvloop.run(main(Path(sys.argv[1]))))
