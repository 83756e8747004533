"""Bringing a store's schema up to date with Alembic."""

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from kepgw.store.engine import PAGE_SIZE

HERE = Path(__file__).parent / "migrations"


def upgrade(path: Path) -> None:
    """Make or upgrade the store at ``path``. Raises sqlite3.Error when the file cannot be used."""
    if not path.exists():
        # the page size holds only if it is set before the first table and before WAL
        with sqlite3.connect(path) as connection:
            connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
            connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
        path.chmod(0o600)
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(HERE))
    try:
        with engine.begin() as connection_:
            config.attributes["connection"] = connection_
            command.upgrade(config, "head")
    finally:
        engine.dispose()
