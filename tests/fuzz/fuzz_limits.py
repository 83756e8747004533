"""What pieces of work cost in CPU seconds and memory, measured in a process of their own.

A fork server keeps what the work needs imported, so that each measurement costs a fork and not an interpreter.
"""

import multiprocessing
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

MOST_SECONDS = 60  # of CPU: what takes longer is ended by the kernel
MOST_MEMORY = 2 << 30  # octets of address space beside what is mapped already
PRELOADED = ["fuzz_garbage", "pyhanko_certvalidator.validate", "pyhanko_certvalidator.context"]


class Cost(NamedTuple):
    """CPU seconds, MiB above what was in use before, and the error that came out, in words, or an empty text."""

    seconds: float
    mebibytes: float
    error: str


def cost(make: Callable[[], dict[str, Callable[[], object]]]) -> dict[str, Cost]:
    """The cost of each piece of work that ``make`` gives; making it is not counted. ``make`` must be picklable.

    A process that died (out of memory, too long, stack overflow) is an error too.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(make, send), daemon=True)
    process.start()
    send.close()
    costs: dict[str, Cost] = {}
    try:
        while (named := receive.recv()) is not None:
            costs[named[0]] = Cost(*named[1:])
    except EOFError:
        process.join()
        costs["?"] = Cost(float("inf"), float("inf"), f"the process ended with {process.exitcode}")
    process.join()
    return costs


def _measure(make, send) -> None:
    works = make()
    most = int(time.process_time()) + MOST_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MOST_MEMORY, mapped + MOST_MEMORY))
    for name, work in works.items():
        error = ""
        with suppress(OSError):  # the peak begins here; where that is not allowed it counts what was made before
            Path("/proc/self/clear_refs").write_text("5")
        before, began = _peak(), time.process_time()
        try:
            work()
        except BaseException as caught:
            error = f"{type(caught).__name__}: {caught}"[:500]
        send.send((name, time.process_time() - began, _peak() - before, error))
    send.send(None)


def _peak() -> float:
    """The most memory that this process has had resident, MiB (proc(5), VmHWM)."""
    line = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
