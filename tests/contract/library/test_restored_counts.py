"""The counts of a library after a backup has been restored."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, insert, text, update

from ops.infra.database import migrate, open_database
from stores.backup.rows import load_rows, open_snapshot
from stores.library import Library, tables
from tests.conftest import FakeClock
from tests.support.library_counts import check_counts

MODELS = 400
PAGE_BYTES = 8192
KEYS = ("type", "type_key", "category", "category_key", "base_model", "base_model_key")
MODEL = {
    **dict.fromkeys(KEYS, "x"),
    **dict.fromkeys(("nsfw_level", "downloads", "likes", "newest_at", "size_bytes", "flags"), 0),
    "files": 1,
}
FILE = {
    **dict.fromkeys(("inode", "size_bytes", "mtime_ns", "first_seen"), 5),
    **dict.fromkeys(("name", "companions", "header", "hashes"), ""),
    "kind": "pickle",
    "root": "/models",
}


@pytest.fixture
def restored(postgresql: str) -> Iterator[str]:
    """The URL of a database without tables."""
    server = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("CREATE DATABASE restored_counts"))
    yield postgresql.replace("/postgres?", "/restored_counts?")
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE restored_counts"))
    server.dispose()


def fill(engine: Engine) -> None:
    """Store models with tags, files and a problem."""
    ids = range(1, MODELS + 1)
    with engine.begin() as connection:
        connection.execute(insert(tables.models), [MODEL | {"id": n, "name": f"{n}", "name_key": f"{n}"} for n in ids])
        words = [{"model_id": n, "facts": "", "sources": "", "search_text": f"ink {n}"} for n in ids]
        connection.execute(insert(tables.details), words)
        connection.execute(insert(tables.tags), [{"model_id": n, "key": "ink", "label": "Ink"} for n in ids])
        versions = [{"id": n, "model_id": n, "facts": "{}", "first_seen": 0} for n in ids]
        connection.execute(insert(tables.versions), versions)
        files = [FILE | {"version_id": n, "path": b"%d" % n, "missing_since": None if n % 3 else 1} for n in ids]
        connection.execute(insert(tables.files), files)
        problems = [{"root": "/models", "path": b"%d" % n, "subject": b"x", "code": "c", "message": ""} for n in ids]
        connection.execute(insert(tables.problems), [row | {"found_at": 1} for row in problems])


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_restore_counts_once(engine: Engine, restored: str, clock: FakeClock) -> None:
    """Each change of the row of counts would read all versions of it before; later changes are counted as ever."""
    fill(engine)
    migrate(restored)
    target = open_database(restored)
    with open_snapshot(engine) as snapshot:
        load_rows(target, snapshot.state, snapshot.read_lines)
    with target.connect() as connection:
        size = connection.execute(text("SELECT pg_relation_size('library_search_counts')")).scalar_one()
    assert size == PAGE_BYTES
    library = Library.from_engine(target, clock)
    check_counts(target, library)
    with target.begin() as connection:
        connection.execute(update(tables.files).values(missing_since=None))
        connection.execute(update(tables.models).where(tables.models.c.id < 9).values(files=0))
    check_counts(target, library)
    target.dispose()
