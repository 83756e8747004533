"""Check docs/conformance: a rule that is met, wholly or partly, names tests, and every named test is there.

Each clause that docs/conformance/clauses.txt lists has a row: one whose Clause cell names it, alone or between commas.

Exit status 0 when all hold, 1 with one line a finding otherwise.
"""

import ast
import re
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = ["Rule", "Clause", "Status", "Test"]
STATUSES = ("Yes", "Partial", "No")
NAMED = re.compile(r"tests/[\w./-]+\.\w+(?:::[\w:]+)?")


def cells(line: str) -> list[str]:
    """The cells of a table row; a bar behind a backslash is part of its cell."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


@cache
def names(path: Path) -> frozenset[str]:
    """Every test of a file: functions as ``test_x``, methods as ``TestX::test_x``, classes as ``TestX``."""
    found: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found.add(node.name)
            inner = (item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef))
            found.update(f"{node.name}::{item.name}" for item in inner)
    return frozenset(found)


def check_test(named: str, root: Path) -> str | None:
    """What is wrong with the name of one test, or None."""
    file, _, test = named.partition("::")
    path = root / file
    if not path.is_file():
        return f"{file} does not exist"
    if test and (path.suffix != ".py" or test not in names(path)):
        return f"{file} has no test {test}"
    if test and not test.rpartition("::")[2].startswith(("test", "Test")):
        return f"{named} is not a test"
    return None


def check_clauses(listed: Path, rows: set[str], root: Path) -> list[str]:
    """A finding for each clause of the list that has no row, or stands in the list twice."""
    findings: list[str] = []
    seen: set[str] = set()
    for number, line in enumerate(listed.read_text("utf-8").splitlines() if listed.is_file() else [], 1):
        clause = line.partition("#")[0].strip()
        if not clause:
            continue
        where = f"{listed.relative_to(root)}:{number}"
        if clause not in rows:
            findings.append(f"{where}: {clause} has no row")
        if clause in seen:
            findings.append(f"{where}: {clause} stands twice")
        seen.add(clause)
    return findings


def check_table(path: Path, root: Path) -> tuple[list[str], int, set[str]]:
    """Findings in one file of the table, how many rules it holds, and the clauses that have a row."""
    findings: list[str] = []
    clauses: set[str] = set()
    rules = 0
    inside = False
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.lstrip().startswith("|"):
            inside = False
            continue
        row = cells(line)
        if row == HEADER:
            inside = True
            continue
        if not inside or all(re.fullmatch(r":?-+:?", cell) for cell in row):
            continue
        where = f"{path.relative_to(root)}:{number}"
        if len(row) != len(HEADER):
            findings.append(f"{where}: {len(row)} cells instead of {len(HEADER)}")
            continue
        rules += 1
        _, clause, status, tests = row
        clauses.update(each.strip() for each in clause.split(","))
        status = status.partition(" ")[0]  # "Partial (what is left)"
        named = NAMED.findall(tests)
        if status not in STATUSES:
            findings.append(f"{where}: status {status!r} is none of {', '.join(STATUSES)}")
        elif status != "No" and not named:
            findings.append(f"{where}: {status} without a test is No")
        findings += [f"{where}: {problem}" for test in named if (problem := check_test(test, root))]
    return findings, rules, clauses


def main(root: Path = ROOT) -> int:
    """Check every table; returns the exit status."""
    findings: list[str] = []
    clauses: set[str] = set()
    rules = 0
    for path in sorted((root / "docs" / "conformance").glob("*.md")):
        if path.name == "README.md":
            continue
        found, count, named = check_table(path, root)
        if not count:
            found.append(f"{path.relative_to(root)}: no table with the columns {' | '.join(HEADER)}")
        findings += found
        rules += count
        clauses |= named
    findings += check_clauses(root / "docs" / "conformance" / "clauses.txt", clauses, root)
    if not rules:
        findings.append("docs/conformance holds no rule")
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    if not findings:
        sys.stdout.write(f"conformance: {rules} rules, every named test is there\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
