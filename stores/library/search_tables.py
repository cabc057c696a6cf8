"""Tables that triggers of the database keep, so that searches need not read all models.

They are derived from the tables of ``stores.library.tables``, and no part of a backup.
"""

from sqlalchemy import ColumnElement, column, literal_column, table
from sqlalchemy.dialects.postgresql import TSVECTOR

# One row. ``all_models`` includes those without a file on disk.
counts = table(
    "library_search_counts",
    *(column(name) for name in ("all_models", "models", "duplicates", "files", "missing", "size_bytes", "unhashed")),
    *(column(name) for name in ("unhashed_bytes", "pickles", "problems")),
)
# How many models on disk have a value: a row for each of its spellings.
facets = table("library_search_facets", column("kind"), column("key"), column("label"), column("number"))
# PostgreSQL: the words of a model, and its values as ``stores.library.search.terms`` writes them.
terms = table("library_search_terms", column("model_id"), column("terms", TSVECTOR))
# SQLite: the full-text index, of words alone.
words = table("library_search", column("rowid"))


def _sample_order(name: str) -> ColumnElement[int]:
    """Return an order that has nothing to do with what the models are; the indexes spell it the same way."""
    return literal_column(f"{name} * 2654435761 % 4294967296")


# Of the index ``library_search_sample``, and of ``library_search_terms_sample`` on PostgreSQL.
SAMPLE_ORDER, TERMS_SAMPLE_ORDER = _sample_order("id"), _sample_order("model_id")
MAX_KEY_CHARS = 300
