"""On PostgreSQL, the beginnings of words and phrases are searched for as whole words and pairs of words.

An index answers for a whole word several times as fast as for the beginning of words. Each word of the library is
therefore in a table, and each pair of words that follow one another is a term of its own, cut to a number of 16 bits so
that the index has few of them. All terms are written again, into a new table: about 100 seconds for a million models,
during which the library is read but not written. The new table takes the place of the old one at the end. Only triggers
write that table, never a process.
"""

import importlib

from alembic import op

from ops.infra.database import lock_in_turns

revision = "0017"
down_revision = "0016"

# They have landed, so their statements stay as they are.
COUNTS = importlib.import_module("stores.sql.migrations.versions.0014_library_counts")
RECOUNT = importlib.import_module("stores.sql.migrations.versions.0016_library_recount")
TABLE, WORDS = "library_search_terms", "library_search_words"
NEW = f"new_{TABLE}"
# Dropping a foreign key locks the table it refers to. Searches lock both in this order.
READ_TABLES = ("library_models", TABLE)
# PostgreSQL gives this position to all words after it too: which of them follow one another is not known.
LAST_POSITION = 16_383
PAIR_FUNCTION = (
    "CREATE FUNCTION library_search_pair(first text, second text) RETURNS text "
    "LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS "
    "$$ SELECT '=p' || substr(encode(sha256(convert_to(first || ' ' || second, 'UTF8')), 'hex'), 1, 4) $$"
)
# The character between two texts, U+00AA, is a word of its own.
PAIRS_FUNCTION = f"""
CREATE FUNCTION library_search_pairs(words tsvector) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT CASE
        WHEN second_at >= {LAST_POSITION} THEN '=pmany' ELSE library_search_pair(first, second)
    END), ARRAY[]::text[])
    FROM (
        SELECT u.lexeme AS first, p AS first_at, lead(u.lexeme) OVER w AS second, lead(p) OVER w AS second_at
        FROM unnest(words) AS u, unnest(u.positions) AS p WINDOW w AS (ORDER BY p)
    ) AS pairs WHERE (second_at = first_at + 1 OR second_at >= {LAST_POSITION}) AND chr(170) NOT IN (first, second)
$$
"""  # noqa: S608 - a number of this module
TERMS_ROWS = COUNTS.TERMS_ROWS.replace(
    "to_tsvector('simple', d.search_text) ||", "t.words || array_to_tsvector(library_search_pairs(t.words)) ||"
) + (
    # So that the words are split once.
    " CROSS JOIN LATERAL (SELECT to_tsvector('simple', d.search_text) AS words OFFSET 0) AS t"
)
NEW_WORDS = f"""
INSERT INTO {WORDS} (word)
SELECT DISTINCT word FROM {{source}} WHERE NOT starts_with(word, '=') ORDER BY word ON CONFLICT DO NOTHING
"""  # noqa: S608 - names of this module, here and below
WORDS_OF_TABLE = "ts_stat('SELECT terms FROM {table}') AS all_words (word, documents, entries)"
WRITE_TERMS = f"""
CREATE OR REPLACE FUNCTION library_search_write_terms() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE changed integer; written tsvector;
BEGIN
    IF TG_TABLE_NAME = 'library_models' THEN changed := new.id; ELSE changed := new.model_id; END IF;
    INSERT INTO {TABLE} (model_id, terms) {TERMS_ROWS} WHERE m.id = changed
    ON CONFLICT (model_id) DO UPDATE SET terms = excluded.terms
    WHERE {TABLE}.terms IS DISTINCT FROM excluded.terms RETURNING terms INTO written;
    IF FOUND THEN {NEW_WORDS.format(source="unnest(tsvector_to_array(written)) AS word")}; END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Create the functions and the table of words, and write all terms."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(PAIR_FUNCTION)
    op.execute(PAIRS_FUNCTION)
    # Until the trigger is another one the library is not written.
    op.execute("LOCK TABLE library_details, library_models, library_tags IN SHARE ROW EXCLUSIVE MODE")
    # A transaction that reads the tables for long costs no work; these locks end at once.
    test = op.get_bind().begin_nested()
    lock_in_turns(op.get_bind(), READ_TABLES)
    test.rollback()
    _write_terms()
    op.execute(f'CREATE TABLE {WORDS} (word text COLLATE "C" PRIMARY KEY)')
    op.execute(NEW_WORDS.format(source=WORDS_OF_TABLE.format(table=NEW)))
    op.execute(f"ANALYZE {NEW}, {WORDS}")
    # From here on searches wait, so nothing that takes long follows.
    lock_in_turns(op.get_bind(), READ_TABLES)
    op.execute(f"DROP TABLE {TABLE}")
    op.execute(f"ALTER TABLE {NEW} RENAME CONSTRAINT {NEW}_pkey TO {TABLE}_pkey")
    op.execute(f"ALTER INDEX {NEW}_index RENAME TO {TABLE}_index")
    op.execute(f"ALTER TABLE {NEW} RENAME TO {TABLE}")
    op.execute(WRITE_TERMS)
    _count_words_too()


def _write_terms() -> None:
    """Write the terms into a new table, so that searches read the old one meanwhile."""
    op.execute(f"CREATE TABLE {NEW} (model_id integer NOT NULL, terms tsvector NOT NULL)")
    op.execute(f"INSERT INTO {NEW} (model_id, terms) {TERMS_ROWS}")
    op.execute(f"CREATE INDEX {NEW}_index ON {NEW} USING gin (terms)")
    op.execute(f"ALTER TABLE {NEW} ADD CONSTRAINT {NEW}_pkey PRIMARY KEY (model_id)")
    # The order of the index of the sample, so that its terms are read without looking for each.
    op.execute(f"CREATE INDEX {TABLE}_sample ON {NEW} ((model_id * 2654435761 % 4294967296))")
    op.execute(
        f"ALTER TABLE {NEW} ADD CONSTRAINT {TABLE}_model_id_fkey FOREIGN KEY (model_id) "
        "REFERENCES library_models (id) ON DELETE CASCADE"
    )


def _count_words_too() -> None:
    statements = [f"DELETE FROM {table}" for table in (*RECOUNT.DERIVED, WORDS)]  # noqa: S608
    statements += COUNTS._first_counts()  # noqa: SLF001
    statements.append(f"INSERT INTO {TABLE} (model_id, terms) {TERMS_ROWS}")
    statements.append(NEW_WORDS.format(source=WORDS_OF_TABLE.format(table=TABLE)))
    body = "; ".join(statements)
    op.execute(
        f"CREATE OR REPLACE FUNCTION {RECOUNT.FUNCTION}() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {body}; END $$"
    )


def downgrade() -> None:
    """Drop the table of words. The pairs of words stay in the terms, where no version before looks for them."""
    if op.get_bind().dialect.name != "postgresql":
        return
    before = WRITE_TERMS.replace(TERMS_ROWS, COUNTS.TERMS_ROWS)
    before = before[: before.index("    IF FOUND")] + "    RETURN NULL;\nEND $$\n"
    op.execute(before)
    op.execute(f"DROP FUNCTION {RECOUNT.FUNCTION}")
    RECOUNT.upgrade()
    op.execute(f"DROP INDEX {TABLE}_sample")
    op.execute(f"DROP TABLE {WORDS}")
    op.execute("DROP FUNCTION library_search_pairs")
    op.execute("DROP FUNCTION library_search_pair")
