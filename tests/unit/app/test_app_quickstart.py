import stat

import pytest

from kepgw.app.config import load
from kepgw.app.initialise import initialise
from kepgw.app.quickstart import ACCOUNTS, connection_help, prepare
from kepgw.errors import KepError


class Recorded:
    """Stands for the kepgw command: init is real, accounts are remembered."""

    def __init__(self, folder):
        self.folder = folder
        self.calls = []
        self.accounts = {}

    def __call__(self, arguments, stdin):
        self.calls.append(arguments[:2] if arguments[0] == "account" else arguments[:1])
        if arguments[0] == "init":
            initialise(self.folder / "hs90", "hs90.kep.tr", development=True, algorithm="p-256")
            return 0
        adding, address = arguments[1] == "add", arguments[3]
        if adding == (address in self.accounts):
            return 1
        self.accounts[address] = stdin.rstrip("\n")
        return 0


def test_the_first_run_makes_everything_and_the_second_nothing(tmp_path):
    command = Recorded(tmp_path)
    passwords = prepare(tmp_path, command)
    assert command.accounts == passwords
    assert set(passwords) == set(ACCOUNTS)
    assert command.calls == [["init"], ["account", "add"], ["account", "add"]]
    assert stat.S_IMODE((tmp_path / "ACCOUNTS.txt").stat().st_mode) == 0o600
    assert prepare(tmp_path, command) == passwords
    assert len(command.calls) == 3


def test_an_interrupted_run_is_taken_up(tmp_path):
    command = Recorded(tmp_path)
    prepare(tmp_path, command)
    (tmp_path / "ACCOUNTS.txt").unlink()
    passwords = prepare(tmp_path, command)
    assert command.accounts == passwords


def test_a_failing_command_ends_it(tmp_path):
    with pytest.raises(KepError, match="init"):
        prepare(tmp_path, lambda _arguments, _stdin: 2)


def test_the_help_names_ports_passwords_and_the_legal_limit(tmp_path):
    command = Recorded(tmp_path)
    passwords = prepare(tmp_path, command)
    shown = connection_help(load(tmp_path / "hs90"), passwords, tmp_path)
    for part in ("2993", "2465", "2143", "2587", "NO LEGAL EFFECT", *passwords.values(), *passwords):
        assert part in shown
