"""Print docs/interop.md from tests/catalogue.toml, after checking that every named test is there.

Exit status 0 when all hold, 1 with one line a finding on stderr otherwise.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from check_conformance import check_test

ROOT = Path(__file__).resolve().parents[1]
STATUS = re.compile(r"Yes|(Partial|No|Not applicable) \(.+\)")
HEAD = """# The catalogue of interoperability tests

Printed by `python scripts/print_catalogue.py > docs/interop.md` from `tests/catalogue.toml`; do not edit.

What a provider that wants to connect can expect to have been tried, and by which test. The identifiers S1 to S7 are
those of EN 319 532-4, EVF and the like those of TR 103 071; all others are ours. **Yes**: tried, whole. **Partial**:
what is left stands beside it. A status says what the tests prove, not what a text claims.

Scenarios run between separate processes over real sockets. When one has ended, a witness that shares no code with
kepgw looks at SMTP replies, mailboxes, keywords and `kepgw evidence list` (`tests/scenarios/witness.py`): every
recipient has exactly one state, and a final one; no evidence is missing and none is there twice, at either provider;
all evidence of a message names the same digest, sender and recipients. `test_scenario_50_witness.py` shows that it
sees each single thing that is wrong.

How to connect and to try it with us: [peering.md](peering.md).
"""


def tests_of(named: str, files: Mapping[str, str]) -> list[str]:
    """``file::test`` of each test, short names of files resolved."""
    split = [each.split("::") for each in named.split()]
    return [f"{files.get(file, file)}::{test}" for file, test in split]


def findings(catalogue: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the table."""
    seen: set[str] = set()
    used: set[str] = set()
    for part in catalogue["part"]:
        for identifier, _, status, named in part["rows"]:
            if identifier in seen:
                yield f"{identifier} stands twice"
            seen.add(identifier)
            if not STATUS.fullmatch(status):
                yield f"{identifier}: status {status!r}"
            if status.startswith(("Yes", "Partial")) and not named:
                yield f"{identifier}: {status} without a test"
            used |= {each.split("::")[0] for each in named.split()}
            for test in tests_of(named, catalogue["files"]):
                if (wrong := check_test(test, ROOT)) is not None:
                    yield f"{identifier}: {wrong}"
    for short in catalogue["files"].keys() - used:
        yield f"{short} is not used"


def link(test: str) -> str:
    """A test as a link to its file."""
    file, _, name = test.partition("::")
    return f"[{name}](../{file})"


def pages(catalogue: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the document."""
    yield HEAD
    kinds = ["Yes", "Partial", "No", "Not applicable"]
    statuses = [row[2].partition(" (")[0] for part in catalogue["part"] for row in part["rows"]]
    yield f"{len(statuses)} rows: " + ", ".join(f"{statuses.count(kind)} {kind}" for kind in kinds) + "."
    for part in catalogue["part"]:
        yield f"\n## {part['title']}\n"
        if part["text"]:
            yield f"{part['text']}\n"
        yield "| Id | What | Status | Test |\n| --- | --- | --- | --- |"
        for identifier, what, status, named in part["rows"]:
            yield f"| {identifier} | {what} | {status} | {', '.join(map(link, tests_of(named, catalogue['files'])))} |"


def main() -> int:
    """Print, or say what is wrong."""
    catalogue = tomllib.loads((ROOT / "tests" / "catalogue.toml").read_text("utf-8"))
    wrong = list(findings(catalogue))
    for each in wrong:
        print(each, file=sys.stderr)
    if not wrong:
        sys.stdout.buffer.write(("\n".join(pages(catalogue)) + "\n").encode("utf-8"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
