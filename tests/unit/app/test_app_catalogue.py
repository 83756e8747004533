"""docs/interop.md is printed from the catalogue, and what the catalogue says can be wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def printer():
    import print_catalogue

    return print_catalogue


def test_the_document_is_printed_from_the_table():
    script = ROOT / "scripts" / "print_catalogue.py"
    printed = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout == (ROOT / "docs" / "interop.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        (["X", "what", "Yes", "here::test_a_row"], ""),
        (["X", "what", "No (why)", ""], ""),
        (["X", "what", "Yes", ""], "X: Yes without a test"),
        (["X", "what", "Partial", "here::test_a_row"], "X: status 'Partial'"),
        (["X", "what", "Perhaps (so)", ""], "X: status 'Perhaps (so)'"),
        (["X", "what", "Yes", "here::test_nowhere"], "has no test test_nowhere"),
        (["X", "what", "Yes", "tests/none.py::test_x"], "does not exist"),
        (["Y", "what", "No (why)", ""], "Y stands twice"),
    ],
)
def test_a_row(printer, row, wrong):
    first = ["Y", "what", "Yes", "here::test_a_row"]
    catalogue = {
        "files": {"here": "tests/unit/app/test_app_catalogue.py"},
        "part": [{"title": "t", "text": "", "rows": [first, row]}],
    }
    found = list(printer.findings(catalogue))
    assert (found == []) if not wrong else (len(found) == 1 and wrong in found[0])


def test_a_file_that_nobody_names(printer):
    catalogue = {"files": {"old": "tests/none.py"}, "part": []}
    assert list(printer.findings(catalogue)) == ["old is not used"]
