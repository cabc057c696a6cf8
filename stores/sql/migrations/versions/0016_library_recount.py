"""A function of PostgreSQL counts the library anew.

A restore calls it once, and disables the triggers meanwhile: all their changes of the counts would be in one
transaction, where each one reads what all before it have left behind. A later revision that changes what the triggers
keep changes this function too.
"""

import importlib

from alembic import op

revision = "0016"
down_revision = "0015"

FUNCTION = "library_search_recount"
DERIVED = ("library_search_counts", "library_search_facets", "library_search_terms")
# It has landed, so its statements stay as they are.
FIRST = importlib.import_module("stores.sql.migrations.versions.0014_library_counts")


def upgrade() -> None:
    """Create the function."""
    if op.get_bind().dialect.name != "postgresql":
        return
    statements = [f"DELETE FROM {table}" for table in DERIVED]  # noqa: S608 - names of this module
    statements += FIRST._first_counts()  # noqa: SLF001
    statements.append(f"INSERT INTO library_search_terms (model_id, terms) {FIRST.TERMS_ROWS}")
    body = "; ".join(statements)
    op.execute(f"CREATE FUNCTION {FUNCTION}() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {body}; END $$")


def downgrade() -> None:
    """Drop the function."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"DROP FUNCTION {FUNCTION}")
