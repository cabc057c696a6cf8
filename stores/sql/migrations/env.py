"""Alembic environment: runs the pending revisions in one transaction, in one process at a time.

A caller that gives a connection has begun the transaction, which may run several commands.
"""

from alembic import context
from sqlalchemy import Connection

from ops.infra.database import open_migration
from stores.sql.tables import metadata


def run(connection: Connection) -> None:
    """Run the revisions of this command."""
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    context.run_migrations()


if (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    with open_migration(context.config.attributes["url"]) as opened:
        run(opened)
