"""Bringing a store's schema up to date with Alembic."""

import sqlite3
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from kepgw.errors import StoreError
from kepgw.store.engine import connect

HERE = Path(__file__).parent / "migrations"


def upgrade(path: Path) -> None:
    """Make or upgrade the store at ``path``, in one transaction: a killed upgrade leaves nothing behind.

    Raises sqlite3.Error when the file cannot be used, StoreError when a newer version made it.
    """
    path.touch(mode=0o600)
    # page size and WAL are set by ``connect``: they hold only if they come before the first table
    engine = create_engine("sqlite://", creator=lambda: _connection(path), poolclass=NullPool)
    event.listen(engine, "begin", _begin)
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise error.orig from error
        raise
    except CommandError as error:
        raise StoreError(f"{path}: the schema is not one that this version knows: {error}") from error
    finally:
        engine.dispose()


def _connection(path: Path) -> sqlite3.Connection:
    connection = connect(path, writable=True)
    connection.execute("PRAGMA foreign_keys=OFF")  # a migration may have to make a table anew
    return connection


def _begin(connection: Any) -> None:
    # Python's sqlite3 begins no transaction before DDL by itself
    connection.exec_driver_sql("BEGIN IMMEDIATE")
