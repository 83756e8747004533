"""Killed anywhere in the middle of archiving: the next process goes on, nothing is skipped, nothing is twice."""

import asyncio
import signal
import subprocess
import sys

import pytest
from test_interop_archiving import Laboratory

from kepgw.store.engine import Store

CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_interop_archiving import Laboratory
from kepgw.interop import archiving
from kepgw.store import archive, archivecheck, archivedocuments
from kepgw.store.engine import Store

archivedocuments.PAGE_GROUPS = archivecheck.PAGE_GROUPS = 2
folder, what = Path(sys.argv[2]), sys.argv[3]
store = Store.open(folder / "store")

def told(function):
    def tell(*arguments, **more):
        print(function.__name__, flush=True)
        sys.stdin.readline()  # here we are killed
        return function(*arguments, **more)
    return tell

for name in ("open_volume", "add_documents", "begin_chain", "put_stamp", "renew"):
    setattr(archive, name, told(getattr(archive, name)))
lab = Laboratory.__new__(Laboratory)
lab.folder, lab.store, lab.down, lab.stamps, lab.roots = folder, store, False, [], []
lab.use(folder / "tsa0")

async def work():
    archivist = lab.archivist()
    if what == "archive":
        await archivist.archive()
    elif what == "stamps":
        await archivist.renew_stamps(force=True)
    else:
        await archivist.renew_trees("sha512")

asyncio.run(work())
print("done", flush=True)
store.close()
"""


def child(folder, what):
    command = [sys.executable, "-c", CHILD, str(__file__).rpartition("/")[0], str(folder), what]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run_until(folder, what, step):
    """Run a process and kill it before its write number ``step``. Whether it came to its end before that."""
    process = child(folder, what)
    with process:
        for number in range(step + 1):
            line = process.stdout.readline()
            if line in {"done\n", ""}:
                assert line, "the process failed"
                return True
            if number == step:
                process.send_signal(signal.SIGKILL)
            else:
                process.stdin.write("\n")
                process.stdin.flush()
    return False


@pytest.mark.parametrize("what", ["archive", "stamps", "trees"])
def test_killed_before_each_write(tmp_path, what):
    store = Store.open(tmp_path / "store")
    lab = Laboratory(tmp_path, store)
    for number in range(1, 4):
        lab.message(number)
    if what != "archive":
        asyncio.run(lab.archivist().archive())
    store.close()
    step = 0
    while not run_until(tmp_path, what, step):
        step += 1
        # each process gets one write further than the one before: every gap between two writes is met
        assert step < 30
    assert step > 0
    lab.store = store = Store.open(tmp_path / "store")
    report = lab.verify()
    assert report.good, report.findings
    assert (report.volumes, report.documents, report.waiting) == (1, 24, 0)
    for seq in range(1, 10):
        lab.proves(seq)
    assert lab.store.read_now(lambda tx: tx.rows("SELECT count(*) FROM archive_document")) == [(24,)]
    assert report.stamps == {"archive": 1, "stamps": 2, "trees": 2}[what]
    store.close()
