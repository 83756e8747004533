"""Alembic environment: runs on the connection that kepgw.store.migrate hands over."""

from alembic import context

from kepgw.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
