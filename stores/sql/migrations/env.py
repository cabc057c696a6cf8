"""Alembic environment: runs the pending revisions in one transaction, in one process at a time."""

from alembic import context
from sqlalchemy import create_engine

from stores.sql.tables import metadata

# Any number that nothing else locks in PostgreSQL.
LOCK_ID = 7_118_104
# Another process may be migrating: longer than any migration takes.
LOCK_TIMEOUT_S = 60

url = context.config.attributes["url"]
is_sqlite = url.startswith("sqlite")
engine = create_engine(url, connect_args={"timeout": LOCK_TIMEOUT_S} if is_sqlite else {})
with engine.begin() as connection:
    # The driver of SQLite begins no transaction before DDL: a killed migration would leave a part of it behind.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_sqlite else f"SELECT pg_advisory_xact_lock({LOCK_ID})")
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    context.run_migrations()
engine.dispose()
