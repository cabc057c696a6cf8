"""On PostgreSQL, few models are read to find those of one rank (``dim``), and to walk along the order of a list.

The rank becomes a term of the model, so that the index of words and values finds it. All terms are copied into a new
table, in the order of the sample, whose terms are then side by side. It takes the place of the old one at the end; only
triggers write that table, never a process. The index of each order, and that of the sample, has the other values that
searches ask for, so that a walk along it reads no rows of models. All that takes about half a minute for a million
models, during which the library is read but not written.
"""

import importlib

from alembic import op

from ops.infra.database import lock_in_turns

revision = "0018"
down_revision = "0017"

# It has landed, so its statements stay as they are.
BEFORE = importlib.import_module("stores.sql.migrations.versions.0017_library_words")
TABLE, NEW = BEFORE.TABLE, BEFORE.NEW
TERMS_ROWS = BEFORE.TERMS_ROWS.replace("'=t' ||", "'=d' || m.dim, '=t' ||")
WRITE_TERMS = BEFORE.WRITE_TERMS.replace(BEFORE.TERMS_ROWS, TERMS_ROWS)
SAMPLE_ORDER = "{id} * 2654435761 % 4294967296"
COPY_TERMS = f"""
INSERT INTO {NEW} (model_id, terms)
SELECT t.model_id, t.terms || array_to_tsvector(array_remove(ARRAY['=d' || m.dim], NULL))
FROM {TABLE} t JOIN library_models m ON m.id = t.model_id ORDER BY {SAMPLE_ORDER.format(id="m.id")}
"""  # noqa: S608 - names of this module, here and below
SAMPLE = "library_search_sample"
NEW_SAMPLE = f"new_{SAMPLE}"
TRIGGER = "library_search_terms_of_dims"
ORDERS = {"newest": "newest_at", "name": "name_key", "downloads": "downloads", "likes": "likes", "size": "size_bytes"}
# Texts among them are cut to what an index holds, about 2,700 bytes for the whole row: there is no room for another.
VALUES = (
    *("files", "base_model_key", "civitai_id", "nsfw_level", "flags", "dim", "newest_at", "downloads", "likes"),
    "size_bytes",
)


def upgrade() -> None:
    """Copy all terms with the ranks among them, and make the indexes."""
    if op.get_bind().dialect.name != "postgresql":
        return
    # Until the triggers are other ones the library is not written.
    op.execute("LOCK TABLE library_details, library_models, library_tags IN SHARE ROW EXCLUSIVE MODE")
    # A transaction that reads the tables for long costs no work; these locks end at once.
    test = op.get_bind().begin_nested()
    lock_in_turns(op.get_bind(), BEFORE.READ_TABLES)
    test.rollback()
    for name, key in ORDERS.items():
        others = ", ".join(value for value in VALUES if value != key)
        op.execute(f"CREATE INDEX library_search_by_{name} ON library_models ({key}, id) INCLUDE ({others})")
    order = SAMPLE_ORDER.format(id="id")
    op.execute(f"CREATE INDEX {NEW_SAMPLE} ON library_models (({order})) INCLUDE (id, {', '.join(VALUES)})")
    _copy_terms()
    # From here on searches wait, so nothing that takes long follows.
    lock_in_turns(op.get_bind(), BEFORE.READ_TABLES)
    op.execute(f"DROP TABLE {TABLE}")
    op.execute(f"DROP INDEX {SAMPLE}")
    op.execute(f"ALTER INDEX {NEW_SAMPLE} RENAME TO {SAMPLE}")
    op.execute(f"ALTER TABLE {NEW} RENAME CONSTRAINT {NEW}_pkey TO {TABLE}_pkey")
    for index in ("index", "sample"):
        op.execute(f"ALTER INDEX {NEW}_{index} RENAME TO {TABLE}_{index}")
    op.execute(f"ALTER TABLE {NEW} RENAME TO {TABLE}")
    op.execute(WRITE_TERMS)
    # After a change of other values too, the terms are written anyway.
    others_differ = BEFORE.COUNTS._differ(BEFORE.COUNTS.TERM_VALUES, is_postgresql=True)  # noqa: SLF001
    op.execute(
        f"CREATE CONSTRAINT TRIGGER {TRIGGER} AFTER UPDATE ON library_models DEFERRABLE INITIALLY DEFERRED "
        f"FOR EACH ROW WHEN (old.dim IS DISTINCT FROM new.dim AND NOT ({others_differ})) "
        "EXECUTE FUNCTION library_search_write_terms()"
    )
    _recount_with(f"{TERMS_ROWS} ORDER BY {SAMPLE_ORDER.format(id='m.id')}")


def _copy_terms() -> None:
    """Write the terms into a new table, so that searches read the old one meanwhile."""
    op.execute(f"CREATE TABLE {NEW} (model_id integer NOT NULL, terms tsvector NOT NULL)")
    op.execute(COPY_TERMS)
    op.execute(f"CREATE INDEX {NEW}_index ON {NEW} USING gin (terms)")
    op.execute(f"ALTER TABLE {NEW} ADD CONSTRAINT {NEW}_pkey PRIMARY KEY (model_id)")
    op.execute(f"CREATE INDEX {NEW}_sample ON {NEW} (({SAMPLE_ORDER.format(id='model_id')}))")
    op.execute(
        f"ALTER TABLE {NEW} ADD CONSTRAINT {TABLE}_model_id_fkey FOREIGN KEY (model_id) "
        "REFERENCES library_models (id) ON DELETE CASCADE"
    )
    op.execute(f"ANALYZE {NEW}")


def _recount_with(rows: str) -> None:
    """Make the function that counts all again write these terms."""
    statements = [f"DELETE FROM {table}" for table in (*BEFORE.RECOUNT.DERIVED, BEFORE.WORDS)]  # noqa: S608
    statements += BEFORE.COUNTS._first_counts()  # noqa: SLF001
    statements.append(f"INSERT INTO {TABLE} (model_id, terms) {rows}")
    statements.append(BEFORE.NEW_WORDS.format(source=BEFORE.WORDS_OF_TABLE.format(table=TABLE)))
    name, body = BEFORE.RECOUNT.FUNCTION, "; ".join(statements)
    op.execute(f"CREATE OR REPLACE FUNCTION {name}() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {body}; END $$")


def downgrade() -> None:
    """Drop the indexes of orders and the trigger. Terms of ranks and the wider sample stay: 0017 works with them."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for name in ORDERS:
        op.execute(f"DROP INDEX library_search_by_{name}")
    op.execute(f"DROP TRIGGER {TRIGGER} ON library_models")
    op.execute(BEFORE.WRITE_TERMS)
    _recount_with(BEFORE.TERMS_ROWS)
