"""Fuzz the readers with atheris: ``python tests/fuzz [--seconds N] [READER ...]``, each in a process of its own.

What is found is written to tests/fuzz/found/; copy it to tests/fuzz/crashers/<reader>/ under a telling name, and the
tests read it for ever. Exit status 1 when something was found.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]
FOUND = HERE / "found"
SLOWEST = 10  # seconds for one input, instrumented: some five times as long as without
LARGEST = 1 << 16  # octets of one input
MEMORY = 2048  # MiB


def fuzz(name: str, seconds: int, corpus: Path) -> None:
    """Fuzz one reader in this process until the time is over; never returns."""
    import atheris

    with atheris.instrument_imports(include=["kepgw", "asn1crypto"]):
        from fuzz_readers import READERS, SEEDS

    for number, seed in enumerate(SEEDS[name]()):
        (corpus / f"seed-{number}").write_bytes(seed)
    FOUND.mkdir(exist_ok=True)
    options = [
        f"-max_total_time={seconds}", f"-timeout={SLOWEST}", f"-max_len={LARGEST}", f"-rss_limit_mb={MEMORY}",
        f"-artifact_prefix={FOUND}/{name}-", "-print_final_stats=1", "-verbosity=0",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], READERS[name])
    atheris.Fuzz()


def main() -> int:
    """Run every reader named, all when none is."""
    if sys.argv[1:2] == ["--alone"]:  # before the readers are imported: atheris instruments imports
        fuzz(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    from fuzz_readers import READERS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(READERS))
    parser.add_argument("--seconds", type=int, default=60, help="for each reader")
    given = parser.parse_args()
    unknown = set(given.readers) - set(READERS)
    if unknown:
        parser.error(f"no such reader: {', '.join(sorted(unknown))}")
    bad = []
    for name in given.readers or READERS:
        with tempfile.TemporaryDirectory(prefix="kepgw-corpus-") as corpus:
            command = [sys.executable, str(HERE), "--alone", name, str(given.seconds), corpus]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        runs = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        print(f"{name:16} {runs[0].split()[-1] if runs else '?':>9} inputs  {'ok' if not done.returncode else 'FOUND'}")
        if done.returncode:
            bad.append(name)
            print(done.stdout[-3000:], done.stderr[-6000:], sep="\n", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
