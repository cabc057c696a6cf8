"""Alembic environment: runs the revisions of a command in one transaction, in one process at a time.

A caller that gives a connection has begun the transaction, which may run several commands.
"""

from alembic import context
from sqlalchemy import Connection, inspect

from ops.infra.database import open_migration, wait_for_library
from stores.sql.tables import metadata

# The tables that a revision keeps others from using while it reads or writes all rows, and how.
NO_WRITING, NO_READING = "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE"
LONG_LOCKS = {
    "0011": {"deliveries": NO_WRITING, "delivery_attempts": NO_READING},
    "0014": dict.fromkeys(
        ("library_details", "library_files", "library_models", "library_problems", "library_tags"), NO_WRITING
    ),
    "0015": {"deliveries": NO_WRITING},
    "0017": dict.fromkeys(("library_details", "library_models", "library_tags"), NO_WRITING),
    "0018": dict.fromkeys(("library_details", "library_models", "library_tags"), NO_WRITING),
}


def run(connection: Connection) -> None:
    """Run the revisions of this command."""
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    if connection.dialect.name == "postgresql":
        lock_pending(connection)
    context.run_migrations()


def lock_pending(connection: Connection) -> None:
    """Lock the tables of all pending revisions first: a table in use does not throw away minutes of work."""
    present = max(context.get_context().get_current_heads(), default="")
    newest = str(context.get_revision_argument() or "")
    locks: dict[str, str] = {}
    for revision, tables in LONG_LOCKS.items():
        if present < revision <= newest:
            locks |= tables
    if any(table.startswith("library_") for table in locks):
        wait_for_library(connection)
    for table in sorted(locks.keys() & set(inspect(connection).get_table_names())):
        connection.exec_driver_sql(f"LOCK TABLE {table} IN {locks[table]} MODE")


if (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    with open_migration(context.config.attributes["url"]) as opened:
        run(opened)
