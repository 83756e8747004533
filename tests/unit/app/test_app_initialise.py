import os
import stat
import tomllib
from datetime import UTC, datetime

import pytest

from kepgw.app.config import FILE, load, missing_files, shipped
from kepgw.app.initialise import PORTS, fill, initialise, toml_value
from kepgw.errors import ConfigurationError


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def made():
    stores = []
    return stores, lambda path: (stores.append(path), path.write_bytes(b""))


def test_a_development_provider_is_complete(tmp_path, made):
    stores, create_store = made
    directory = tmp_path / "a" / "hs91"
    at = datetime(2026, 1, 2, tzinfo=UTC)
    initialise(directory, "hs91.kep.tr", 3000, True, "p-256", at=at, create_store=create_store)
    config = load(directory)
    assert config.provider.domain == "hs91.kep.tr"
    assert config.provider.service_address == "kep@hs91.kep.tr"
    assert config.provider.development
    assert config.listen.host == "127.0.0.1"
    assert config.listen.ports == {name: 3000 + offset for name, offset in PORTS.items()}
    assert config.tsa[0].kind == "development"
    assert missing_files(config) == []
    assert stores == [config.store_path]
    assert mode(directory) == mode(directory / "keys") == 0o700
    assert {mode(path) for path in directory.rglob("*") if path.is_file() and path.name != "kepgw.sqlite"} == {0o600}


def test_the_store_is_made_when_none_is_given(tmp_path):
    initialise(tmp_path / "p", "hs91.kep.tr")
    assert (tmp_path / "p" / "kepgw.sqlite").read_bytes().startswith(b"SQLite format 3")
    assert mode(tmp_path / "p" / "kepgw.sqlite") == 0o600


def test_the_settings_keep_every_comment(tmp_path, made):
    initialise(tmp_path, "hs91.kep.tr", create_store=made[1])
    written = (tmp_path / FILE).read_text("utf-8").splitlines()
    template = shipped(FILE).splitlines()
    assert len(written) == len(template)
    for new, old in zip(written, template, strict=True):
        assert new.partition("#")[2] == old.partition("#")[2]


def test_without_development_no_key_is_made_and_the_notes_say_what_to_do(tmp_path, made):
    notes = "\n".join(initialise(tmp_path, "hs91.kep.tr", create_store=made[1]))
    assert list((tmp_path / "keys").iterdir()) == []
    for part in ("process.key", "process.pem", "intermediate.pem", "tls.key", "tls.pem", "root.pem", "url", "policies"):
        assert part in notes
    with pytest.raises(ConfigurationError, match="url"):
        load(tmp_path)


def test_the_notes_say_what_kepgw_is_not(tmp_path, made):
    notes = "\n".join(initialise(tmp_path, "hs91.kep.tr", development=True, algorithm="p-256", create_store=made[1]))
    assert "no legal effect" in notes
    assert "BTK'nin yetkilendirdiği" in notes
    assert "authorised by BTK" in notes


@pytest.mark.parametrize("name", [FILE, "providers.toml", "kepgw.sqlite", "keys/process.key"])
def test_nothing_is_overwritten(tmp_path, made, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigurationError, match="nothing was written"):
        initialise(tmp_path, "hs91.kep.tr", development=True, algorithm="p-256", create_store=made[1])
    assert sorted(tmp_path.rglob("*")) == before
    assert path.read_text() == "mine"
    assert made[0] == []


def test_a_dangling_link_is_not_written_through(tmp_path, made):
    os.symlink(tmp_path / "elsewhere", tmp_path / FILE)
    with pytest.raises(ConfigurationError):
        initialise(tmp_path, "hs91.kep.tr", create_store=made[1])
    assert not (tmp_path / "elsewhere").exists()


def test_real_keys_that_lie_there_are_kept(tmp_path, made):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "process.key").write_text("mine")
    initialise(tmp_path, "hs91.kep.tr", create_store=made[1])
    assert (tmp_path / "keys" / "process.key").read_text() == "mine"


@pytest.mark.parametrize(
    ("provider", "port", "algorithm", "part"),
    [
        ("example.com", 2000, "p-256", "hsNN.kep.tr"),
        ("x.hs91.kep.tr", 2000, "p-256", "hsNN.kep.tr"),
        ("hs91.kep.tr\n", 2000, "p-256", "hsNN.kep.tr"),
        ("hs91.kep.tr", -1, "p-256", "base port"),
        ("hs91.kep.tr", 65000, "p-256", "base port"),
        ("hs91.kep.tr", 2000, "rsa-1024", "rsa-3072"),
    ],
)
def test_bad_arguments_write_nothing(tmp_path, made, provider, port, algorithm, part):
    with pytest.raises(ConfigurationError, match=part):
        initialise(tmp_path / "p", provider, port, True, algorithm, create_store=made[1])
    assert not (tmp_path / "p").exists()


def test_a_file_in_the_way(tmp_path, made):
    (tmp_path / "p").write_text("")
    with pytest.raises(ConfigurationError):
        initialise(tmp_path / "p", "hs91.kep.tr", create_store=made[1])


def test_filling_a_setting_that_is_not_there():
    with pytest.raises(ConfigurationError, match="colour"):
        fill(shipped(FILE), {"log.colour": "red"})


@pytest.mark.parametrize("value", ['a"b\\c', "ş\x7f\x00\n", 3, 0.5, True, ["a", "b"], []])
def test_values_read_back(value):
    assert tomllib.loads(f"x = {toml_value(value)}")["x"] == value
