"""The check of docs/conformance must be able to fail."""

import importlib.util
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
