"""Foreign keys for the library and for delivery attempts; one schema for every database that has run 0006.

0006 was edited three times after it had landed (collation of ``library_models.name_key``, indexes of the lists), so
what it made depends on the day it ran. This revision sets those again.
"""

from typing import NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


class Reference(NamedTuple):
    """A foreign key from ``table.column`` to ``parent.id``."""

    table: str
    column: str
    parent: str
    on_delete: str | None = "CASCADE"

    @property
    def name(self) -> str:
        """The name of the constraint."""
        return f"{self.table}_{self.column}_fkey"


# Parents come before children, so that orphans of orphans are deleted too. Edits do not cascade: the database refuses
# to delete a model that still has user edits.
REFERENCES = (
    Reference("library_versions", "model_id", "library_models"),
    Reference("library_details", "model_id", "library_models"),
    Reference("library_tags", "model_id", "library_models"),
    Reference("library_edits", "model_id", "library_models", on_delete=None),
    Reference("library_claims", "version_id", "library_versions"),
    Reference("library_files", "version_id", "library_versions"),
    Reference("library_hashes", "file_id", "library_files"),
    Reference("library_images", "model_id", "library_models"),
    Reference("library_images", "version_id", "library_versions"),
    Reference("delivery_attempts", "delivery", "deliveries"),
)
TABLES = tuple(dict.fromkeys(reference.table for reference in REFERENCES))
AUTOINCREMENT_TABLES = ("library_versions", "library_files", "library_images")
LIST_INDEXES = {
    "library_models_newest": ("newest_at", "id", "files"),
    "library_models_name": ("name_key", "id", "files"),
    "library_models_downloads": ("downloads", "id", "files"),
    "library_models_likes": ("likes", "id", "files"),
    "library_models_size": ("size_bytes", "id", "files"),
    "library_models_files": ("files", "base_model_key", "dim"),
}


def upgrade() -> None:
    """Delete orphans, add the constraints, make the indexes again."""
    connection = op.get_bind()
    for reference in REFERENCES:
        _delete_orphans(connection, reference)
    if connection.dialect.name == "sqlite":
        _rebuild_tables(connection, with_keys=True)
    else:
        for reference in REFERENCES:
            table, column, parent, on_delete = reference
            op.create_foreign_key(reference.name, table, parent, [column], ["id"], ondelete=on_delete)
        connection.exec_driver_sql('ALTER TABLE library_models ALTER COLUMN name_key TYPE text COLLATE "C"')
    for name, columns in LIST_INDEXES.items():
        op.drop_index(name, "library_models", if_exists=True)
        op.create_index(name, "library_models", list(columns))


def _delete_orphans(connection: sa.Connection, reference: Reference) -> None:
    """Delete rows whose parent is gone. Deleting by hand should have left none."""
    child = sa.table(reference.table, sa.column(reference.column), sa.column("slot"))
    parent_id = sa.table(reference.parent, sa.column("id")).c.id
    column = child.c[reference.column]
    is_orphan = column.is_not(None) & column.not_in(sa.select(parent_id))
    if (reference.table, reference.column) == ("library_images", "version_id"):
        # An image that a user gave belongs to its model first.
        connection.execute(sa.update(child).where(is_orphan, child.c.slot.is_(None)).values(version_id=None))
    connection.execute(sa.delete(child).where(is_orphan))


def downgrade() -> None:
    """Drop the constraints."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        _rebuild_tables(connection, with_keys=False)
    else:
        for reference in REFERENCES:
            op.drop_constraint(reference.name, reference.table)


def _rebuild_tables(connection: sa.Connection, *, with_keys: bool) -> None:
    """Copy each table: SQLite cannot change the constraints of a table that exists."""
    # A table's triggers are dropped with it; those of the full text index are on library_details.
    query = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'library_details'"
    triggers = list(connection.exec_driver_sql(query).scalars())
    # A copy counts from its largest id. Larger ids may have been given and deleted: they must not be given again.
    query = "SELECT name, seq FROM sqlite_sequence"
    sequences = {row.name: row.seq for row in connection.exec_driver_sql(query)}
    for table in TABLES:
        options = {"sqlite_autoincrement": table in AUTOINCREMENT_TABLES}
        with op.batch_alter_table(table, recreate="always", table_kwargs=options) as batch:
            for reference in (reference for reference in REFERENCES if reference.table == table):
                _, column, parent, on_delete = reference
                if with_keys:
                    batch.create_foreign_key(reference.name, parent, [column], ["id"], ondelete=on_delete)
                else:
                    batch.drop_constraint(reference.name, type_="foreignkey")
    for trigger in triggers:
        connection.exec_driver_sql(trigger)
    for table in AUTOINCREMENT_TABLES:
        if table in sequences:
            connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
            row = (table, sequences[table])
            connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", row)
