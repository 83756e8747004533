"""Migrations: they make the schema that schema.py describes, whole or not at all."""

import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from kepgw.errors import StoreError
from kepgw.store import migrate
from kepgw.store.engine import PAGE_SIZE, Store
from kepgw.store.schema import metadata


def test_a_fresh_store_is_what_the_schema_says(store):
    engine = create_engine(f"sqlite:///{store.path}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert differences == []


def test_tables_without_rowid_are_so(store):
    rows = store.read_now(lambda tx: tx.rows("SELECT name FROM sqlite_master WHERE sql LIKE '%WITHOUT ROWID%'"))
    wanted = {name for name, table in metadata.tables.items() if table.dialect_options["sqlite"]["with_rowid"] is False}
    assert {name for (name,) in rows} == wanted


def test_month_is_in_the_key_of_every_row_of_a_message():
    for name in ("blob", "blob_chunk", "content", "message", "dispatch", "recipient", "evidence", "mail"):
        assert "month" in metadata.tables[name].primary_key.columns, name


def test_opening_again_changes_nothing(tmp_path):
    Store.open(tmp_path / "s").close()
    with sqlite3.connect(tmp_path / "s") as connection:
        before = connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    Store.open(tmp_path / "s").close()
    with sqlite3.connect(tmp_path / "s") as connection:
        assert connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == before
    connection.close()


def test_an_empty_file_that_somebody_made_gets_our_page_size(tmp_path):
    (tmp_path / "s").touch()
    store = Store.open(tmp_path / "s")
    assert store.read_now(lambda tx: tx.row("PRAGMA page_size")) == (PAGE_SIZE,)
    store.close()


def test_an_upgrade_that_breaks_leaves_nothing_behind(tmp_path, monkeypatch):
    real = migrate.command.upgrade

    def broken(config, target):
        real(config, target)
        raise RuntimeError("power cut")

    monkeypatch.setattr(migrate.command, "upgrade", broken)
    with pytest.raises(RuntimeError, match="power cut"):
        Store.open(tmp_path / "s")
    monkeypatch.undo()
    with sqlite3.connect(tmp_path / "s") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
    Store.open(tmp_path / "s").close()


def test_names_of_folders_may_hold_any_character(tmp_path):
    folder = tmp_path / "şube %41?#;&x"
    folder.mkdir()
    Store.open(folder / "s.sqlite").close()
    assert (folder / "s.sqlite").stat().st_size > 0


def test_what_cannot_be_used_is_a_StoreError(tmp_path):
    (tmp_path / "text").write_bytes(b"not a database" * 5000)
    with pytest.raises(StoreError, match="NOTADB"):
        Store.open(tmp_path / "text")
    with pytest.raises(StoreError):
        Store.open(tmp_path / "nowhere" / "s")
    with pytest.raises(StoreError):
        Store.open(tmp_path)


def test_a_store_of_a_newer_version_is_not_touched(tmp_path):
    Store.open(tmp_path / "s").close()
    with sqlite3.connect(tmp_path / "s") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreError, match="schema"):
        Store.open(tmp_path / "s")
