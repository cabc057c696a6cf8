"""A library of a million models is searched and counted without reading all of it.

Triggers keep the counts, so versions before this one keep them too. On PostgreSQL a row of each model has its words,
tags and other values that searches ask for, in one index. All rows are read once: about two minutes for a million
models on PostgreSQL, during which the library is read but not written.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

SORTED_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
COUNTS = (
    *("all_models", "models", "duplicates", "files", "missing", "size_bytes", "unhashed", "unhashed_bytes", "pickles"),
    "problems",
)
# A key of a PostgreSQL index has at most 2,700 bytes.
KEY_CHARS = 300
FACETS = {"category": "category", "base_model": "base_model", "type": "type"}
DUPLICATE = 16
ON_CONFLICT = "ON CONFLICT (kind, key, label) DO UPDATE SET number = library_search_facets.number + excluded.number"
# Models in an order that has nothing to do with what they are, so that the first of it are a random sample.
SAMPLE = "CREATE INDEX library_search_sample ON library_models ((id * 2654435761 % 4294967296))"
GONE_FILE = (
    "SELECT 1 FROM library_files f WHERE f.root = {row}.root AND f.path = {row}.path AND f.missing_since IS NOT NULL"
)
SAME_PROBLEM = "SELECT count(*) FROM library_problems p WHERE p.root = {row}.root AND p.path = {row}.path"
IS_PRESENT, IS_GONE = "{row}.missing_since IS NULL", "{row}.missing_since IS NOT NULL AND {row}.path IS NOT NULL"
FILE_COUNTS = {
    "files": f"CASE WHEN {IS_PRESENT} THEN 1 ELSE 0 END",
    "missing": f"CASE WHEN {IS_GONE} THEN 1 ELSE 0 END",
    "size_bytes": f"CASE WHEN {IS_PRESENT} THEN {{row}}.size_bytes ELSE 0 END",
    "unhashed": f"CASE WHEN {IS_PRESENT} AND {{row}}.hashed_at IS NULL THEN 1 ELSE 0 END",
    "unhashed_bytes": f"CASE WHEN {IS_PRESENT} AND {{row}}.hashed_at IS NULL THEN {{row}}.size_bytes ELSE 0 END",
    "pickles": f"CASE WHEN {IS_PRESENT} AND {{row}}.kind = 'pickle' THEN 1 ELSE 0 END",
    # Problems of files that have gone do not count.
    "problems": f"CASE WHEN {IS_GONE} THEN -({SAME_PROBLEM}) ELSE 0 END",
}
MODEL_COUNTS = {
    "all_models": "1",
    "models": "CASE WHEN {row}.files > 0 THEN 1 ELSE 0 END",
    "duplicates": f"CASE WHEN {{row}}.flags & {DUPLICATE} <> 0 THEN 1 ELSE 0 END",
}
PROBLEM_COUNTS = {
    "problems": f"CASE WHEN EXISTS ({GONE_FILE}) THEN 0 ELSE 1 END",
}
# What a trigger looks at: it runs when one of these differs.
MODEL_VALUES = (
    *("files > 0", f"flags & {DUPLICATE}", "category", "category_key", "base_model", "base_model_key", "type"),
    "type_key",
)
FILE_VALUES = ("root", "path", "missing_since", "size_bytes", "hashed_at", "kind")

# The words of a model, and after an equals sign, which no word has, its other values.
TERMS = """
to_tsvector('simple', d.search_text) || array_to_tsvector(array_remove(ARRAY[
    '=c' || left(m.category_key, 200), '=s' || left(m.subcategory_key, 200), '=b' || left(m.base_model_key, 200),
    '=t' || left(m.type_key, 200), '=a' || left(m.creator_key, 200),
    '=n' || length(ltrim(m.nsfw_level::bit(32)::text, '0')),
    CASE WHEN m.civitai_id IS NOT NULL THEN '=hcivitai' END
], NULL)
|| ARRAY(SELECT '=h' || n FROM generate_series(0, 8) AS n WHERE m.flags & (1 << n) <> 0)
|| ARRAY(SELECT '=g' || t.key FROM library_tags t WHERE t.model_id = m.id))
"""
TERMS_ROWS = f"SELECT m.id, {TERMS} FROM library_models m JOIN library_details d ON d.model_id = m.id"  # noqa: S608
TERM_VALUES = (
    *("category_key", "subcategory_key", "base_model_key", "type_key", "creator_key", "nsfw_level", "civitai_id"),
    "flags",
)


TRIGRAM_FUNCTION = (
    "CREATE FUNCTION library_search_trigrams(value text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS "
    "$$ SELECT ARRAY(SELECT substr(value, n, 3) FROM generate_series(1, length(value) - 2) AS n) $$"
)
# The extension pg_trgm is not there on all servers.
TRIGRAM_INDEX = (
    "CREATE INDEX library_search_names ON library_models "
    "USING gin (library_search_trigrams(name_key), library_search_trigrams(creator_key))"
)


def upgrade() -> None:
    """Create the tables and triggers, and count what is there."""
    op.create_table(
        "library_search_counts",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTS),
    )
    op.create_table(
        "library_search_facets",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("key", SORTED_TEXT, primary_key=True),
        sa.Column("label", SORTED_TEXT, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.create_index("library_models_dim", "library_models", ["dim", "id"])
    op.execute(SAMPLE)
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for table, event, condition, statements in _triggers(is_postgresql=is_postgresql):
        create = _create_postgresql_trigger if is_postgresql else _create_sqlite_trigger
        create(table, event, condition, statements)
    for statement in _first_counts():
        op.execute(statement)
    if is_postgresql:
        _create_terms()


def downgrade() -> None:
    """Drop them."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for table, event, *_ in _triggers(is_postgresql=is_postgresql):
        name = _trigger_name(table, event)
        if is_postgresql:
            op.execute(f"DROP FUNCTION {name}() CASCADE")
        else:
            op.execute(f"DROP TRIGGER {name}")
    if is_postgresql:
        op.execute("DROP FUNCTION library_search_write_terms() CASCADE")
        op.execute("DROP TABLE library_search_terms")
        op.execute("DROP INDEX library_search_names")
        op.execute("DROP FUNCTION library_search_trigrams")
    op.drop_index("library_search_sample", "library_models")
    op.drop_index("library_models_dim", "library_models")
    op.drop_table("library_search_facets")
    op.drop_table("library_search_counts")


def _triggers(*, is_postgresql: bool) -> Iterator[tuple[str, str, str, list[str]]]:
    """Yield the table, the event, the condition and the statements of each trigger."""
    yield "library_models", "INSERT", "", [*_count_facets("new", 1), _count(MODEL_COUNTS, "new")]
    yield (
        *("library_models", "UPDATE", _differ(MODEL_VALUES, is_postgresql=is_postgresql)),
        [*_count_facets("old", -1), *_count_facets("new", 1), *_move_tags(), _count(MODEL_COUNTS, "new", "old")],
    )
    # Before, while the tags of the model are there.
    yield (
        *("library_models", "DELETE", ""),
        [
            *_count_facets("old", -1),
            _add_tags("-1", "t.model_id = old.id AND old.files > 0"),
            _count(MODEL_COUNTS, None, "old"),
        ],
    )
    yield "library_tags", "INSERT", "", [_count_tag("new", 1)]
    yield "library_tags", "DELETE", "", [_count_tag("old", -1)]
    yield "library_files", "INSERT", "", [_count(FILE_COUNTS, "new")]
    yield (
        *("library_files", "UPDATE", _differ(FILE_VALUES, is_postgresql=is_postgresql)),
        [_count(FILE_COUNTS, "new", "old")],
    )
    yield "library_files", "DELETE", "", [_count(FILE_COUNTS, None, "old")]
    yield "library_problems", "INSERT", "", [_count(PROBLEM_COUNTS, "new")]
    yield "library_problems", "DELETE", "", [_count(PROBLEM_COUNTS, None, "old")]


def _count(counts: dict[str, str], new: str | None, old: str | None = None) -> str:
    """Return the statement that adds what a new row counts, and subtracts what the old one did."""
    changes = []
    for name, expression in counts.items():
        added = f" + ({expression.format(row=new)})" if new else ""
        subtracted = f" - ({expression.format(row=old)})" if old else ""
        changes.append(f"{name} = {name}{added}{subtracted}")
    # Table and columns are names of this module, here and below.
    return f"UPDATE library_search_counts SET {', '.join(changes)} WHERE id = 1"  # noqa: S608


def _count_facets(row: str, change: int) -> Iterator[str]:
    """Yield the statements that count the values of a model on disk."""
    for kind, column in FACETS.items():
        key, label = f"substr({row}.{column}_key, 1, {KEY_CHARS})", f"substr({row}.{column}, 1, {KEY_CHARS})"
        yield (
            f"INSERT INTO library_search_facets (kind, key, label, number) SELECT '{kind}', {key}, {label}, {change} "
            f"WHERE {row}.files > 0 AND {row}.{column}_key IS NOT NULL AND {row}.{column} IS NOT NULL {ON_CONFLICT}"
        )


def _move_tags() -> Iterator[str]:
    """Yield the statements that count the tags of a model that is on disk again, or is not any more."""
    yield _add_tags("1", "t.model_id = new.id AND new.files > 0 AND NOT old.files > 0")
    yield _add_tags("-1", "t.model_id = new.id AND old.files > 0 AND NOT new.files > 0")


def _add_tags(change: str, condition: str) -> str:
    return (
        f"INSERT INTO library_search_facets (kind, key, label, number) "  # noqa: S608
        f"SELECT 'tags', substr(t.key, 1, {KEY_CHARS}), substr(t.label, 1, {KEY_CHARS}), {change} "
        f"FROM library_tags t WHERE {condition} {ON_CONFLICT}"
    )


def _count_tag(row: str, change: int) -> str:
    return (
        f"INSERT INTO library_search_facets (kind, key, label, number) "  # noqa: S608
        f"SELECT 'tags', substr({row}.key, 1, {KEY_CHARS}), substr({row}.label, 1, {KEY_CHARS}), {change} "
        f"FROM library_models m WHERE m.id = {row}.model_id AND m.files > 0 {ON_CONFLICT}"
    )


def _differ(values: tuple[str, ...], *, is_postgresql: bool) -> str:
    operator = "IS DISTINCT FROM" if is_postgresql else "IS NOT"
    return " OR ".join(f"(old.{value}) {operator} (new.{value})" for value in values)


def _trigger_name(table: str, event: str) -> str:
    return f"library_search_{table.removeprefix('library_')}_{event.lower()}"


def _when(table: str, event: str) -> str:
    return f"{'BEFORE' if (table, event) == ('library_models', 'DELETE') else 'AFTER'} {event} ON {table} FOR EACH ROW"


def _create_sqlite_trigger(table: str, event: str, condition: str, statements: list[str]) -> None:
    when = f" WHEN {condition}" if condition else ""
    body = "; ".join(statements)
    op.execute(f"CREATE TRIGGER {_trigger_name(table, event)} {_when(table, event)}{when} BEGIN {body}; END")


def _create_postgresql_trigger(table: str, event: str, condition: str, statements: list[str]) -> None:
    name, when = _trigger_name(table, event), f" WHEN ({condition})" if condition else ""
    body = "; ".join(statements)
    result = "old" if event == "DELETE" else "new"
    op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN {result}; END $$")
    op.execute(f"CREATE TRIGGER {name} {_when(table, event)}{when} EXECUTE FUNCTION {name}()")


def _first_counts() -> Iterator[str]:
    """Yield the statements that count the rows that are there."""
    sums = {
        ("library_models r", tuple(MODEL_COUNTS)): MODEL_COUNTS,
        ("library_files r", tuple(FILE_COUNTS)[:-1]): FILE_COUNTS,
        ("library_problems r", tuple(PROBLEM_COUNTS)): PROBLEM_COUNTS,
    }
    selected = [
        f"(SELECT coalesce(sum({expressions[name].format(row='r')}), 0) FROM {table})"  # noqa: S608
        for (table, names), expressions in sums.items()
        for name in names
    ]
    yield f"INSERT INTO library_search_counts (id, {', '.join(COUNTS)}) SELECT 1, {', '.join(selected)}"
    insert = "INSERT INTO library_search_facets (kind, key, label, number)"
    for kind, column in FACETS.items():
        key, label = f"substr({column}_key, 1, {KEY_CHARS})", f"substr({column}, 1, {KEY_CHARS})"
        yield (
            f"{insert} SELECT '{kind}', {key}, {label}, count(*) FROM library_models WHERE files > 0 "  # noqa: S608
            f"AND {column}_key IS NOT NULL AND {column} IS NOT NULL GROUP BY {key}, {label}"
        )
    key, label = f"substr(t.key, 1, {KEY_CHARS})", f"substr(t.label, 1, {KEY_CHARS})"
    yield (
        f"{insert} SELECT 'tags', {key}, {label}, count(*) FROM library_tags t "  # noqa: S608
        f"JOIN library_models m ON m.id = t.model_id WHERE m.files > 0 GROUP BY {key}, {label}"
    )


def _create_terms() -> None:
    op.execute(
        "CREATE TABLE library_search_terms (model_id integer PRIMARY KEY REFERENCES library_models (id) "
        "ON DELETE CASCADE, terms tsvector NOT NULL)"
    )
    # At the end of the transaction, when tags and details are both written.
    op.execute(
        f"""
        CREATE FUNCTION library_search_write_terms() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE changed integer;
        BEGIN
            IF TG_TABLE_NAME = 'library_models' THEN changed := new.id; ELSE changed := new.model_id; END IF;
            INSERT INTO library_search_terms (model_id, terms) {TERMS_ROWS} WHERE m.id = changed
            ON CONFLICT (model_id) DO UPDATE SET terms = excluded.terms
            WHERE library_search_terms.terms IS DISTINCT FROM excluded.terms;
            RETURN NULL;
        END $$
        """
    )
    differ = _differ(TERM_VALUES, is_postgresql=True)
    for table, event, condition in (
        ("library_details", "INSERT OR UPDATE OF search_text", ""),
        ("library_models", "UPDATE", f"WHEN ({differ})"),
    ):
        op.execute(
            f"CREATE CONSTRAINT TRIGGER {table.replace('library_', 'library_search_terms_of_')} AFTER {event} "
            f"ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW {condition} "
            "EXECUTE FUNCTION library_search_write_terms()"
        )
    op.execute(f"INSERT INTO library_search_terms (model_id, terms) {TERMS_ROWS}")
    op.execute("CREATE INDEX library_search_terms_index ON library_search_terms USING gin (terms)")
    op.execute(TRIGRAM_FUNCTION)
    op.execute(TRIGRAM_INDEX)
