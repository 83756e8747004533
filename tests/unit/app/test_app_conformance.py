"""The check of docs/conformance must be able to fail."""

import importlib.util
import re
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "check_conformance.py"
HEAD = "| Rule | Clause | Status | Test |\n| --- | --- | --- | --- |\n"


@pytest.fixture(scope="module")
def check():
    spec = importlib.util.spec_from_file_location("check_conformance", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path):
    (tmp_path / "docs/conformance").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_x.py").write_text(
        "def test_a(): ...\ndef helper(): ...\nclass TestB:\n    async def test_c(self): ...\n"
    )
    return tmp_path


def run(check, root, rows, capsys):
    (root / "docs/conformance/law.md").write_text(HEAD + rows)
    return check.main(root), capsys.readouterr().out


@pytest.mark.parametrize(
    "row",
    [
        "| a | m.1 | Yes | tests/test_x.py::test_a |",
        "| a | m.1 | Yes | tests/test_x.py::TestB::test_c, tests/test_x.py |",
        "| a \\| b | m.1 | Partial (half) | tests/test_x.py |",
        "| a | m.1 | No | |",
    ],
)
def test_what_holds_passes(check, root, capsys, row):
    assert run(check, root, row, capsys)[0] == 0


@pytest.mark.parametrize(
    ("row", "finding"),
    [
        ("| a | m.1 | Yes | |", "without a test"),
        ("| a | m.1 | Yes | by eye |", "without a test"),
        ("| a | m.1 | Partial (half) | |", "without a test"),
        ("| a | m.1 | Yes | tests/test_x.py::test_gone |", "no test test_gone"),
        ("| a | m.1 | Yes | tests/test_x.py::test_a, tests/test_y.py |", "tests/test_y.py does not exist"),
        ("| a | m.1 | Yes | tests/test_x.py::helper |", "not a test"),
        ("| a | m.1 | Perhaps | |", "Perhaps"),
        ("| a | m.1 | Yes |", "3 cells"),
        ("", "no table"),
    ],
)
def test_what_does_not_hold_fails(check, root, capsys, row, finding):
    status, out = run(check, root, row, capsys)
    assert status == 1
    assert finding in out


def test_the_tables_of_this_tree_hold(check):
    assert check.main() == 0


@pytest.mark.parametrize(
    ("listed", "findings"),
    [
        ("TS 102 640-2 4.1\n", []),
        ("# a comment\n\nm.1 # another\n", []),
        ("TS 102 640-2 4.10\n", ["TS 102 640-2 4.10 has no row"]),
        ("TS 102 640-2 4\n", ["TS 102 640-2 4 has no row"]),
        ("m.1\nm.1\n", ["m.1 stands twice"]),
    ],
)
def test_every_listed_clause_has_a_row(check, root, capsys, listed, findings):
    (root / "docs/conformance/clauses.txt").write_text(listed)
    status, said = run(check, root, "| a | m.1, TS 102 640-2 4.1 | Yes | tests/test_x.py |", capsys)
    assert [line.partition(": ")[2] for line in said.splitlines() if "clauses.txt" in line] == findings
    assert status == bool(findings)


SPEC = Path(__file__).parents[4] / "shared" / "spec" / "etsi-rem.md"
TAGS = {
    "T1": "TS 102 640-1", "T2": "TS 102 640-2", "T63": "TS 102 640-6-3",
    **{f"522-{part}": f"EN 319 522-{part}" for part in range(1, 4)},
    **{f"532-{part}": f"EN 319 532-{part}" for part in range(1, 5)},
    "521": "EN 319 521", "531": "EN 319 531",
}  # fmt: skip


def named_clauses(text):
    """The clauses of ``[T2 5.1]``, ``[522-3 cl. 5]``, ``[532-4 table C.28]``, and of annexes by their number alone."""
    for tag, rest in re.findall(r"\[(T1|T2|T63|522-[123]|532-[1234]|521|531) ([^\]]+)\]", text):
        first = re.sub(r"(?<=\d)-\d+(?![\d.])", "", rest.partition(",")[0])  # of tables 7-12
        for number in re.findall(r"(?:tables? |Annex )?[A-Z]?\.?\d[\d.]*|Annex [A-Z]", first):
            yield f"{TAGS[tag]} {number.rstrip('.').replace('tables ', 'table ')}"
    for number in re.findall(r"\bB\.\d\.\d+(?:\.\d+)*", text):
        yield f"TS 102 640-2 {number}"
    for number in re.findall(r"\b(?:C\.\d\.\d[\d.]*\d|C\.2[0-9]|D\.4\.\d)", text):
        yield f"EN 319 532-4 {number}"


def test_the_list_holds_what_the_sources_name():
    """Beside a checkout with the notes on the texts: nothing that they cite is missing."""
    if not SPEC.is_file():
        pytest.skip("the notes on the texts (../shared/spec) are not beside the checkout")
    folder = SCRIPT.parents[1] / "docs" / "conformance"
    listed = {line.partition("#")[0].strip() for line in (folder / "clauses.txt").read_text("utf-8").splitlines()}
    named = set(named_clauses(SPEC.read_text("utf-8")))
    assert len(named) > 40
    # the whole of a group, or a table in place of a clause of that number, will do
    missing = {
        each for each in named
        if each not in listed and each.replace(" C.", " table C.") not in listed and not each.endswith("5.1.x")
    }  # fmt: skip
    assert missing == set()
