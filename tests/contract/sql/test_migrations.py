"""Migrations on SQLite and PostgreSQL: landed ones never change, and all databases end up with the same schema."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, delete, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from ops.infra.database import MIGRATIONS, open_database
from stores.library.tables import details, images, models, user_edits, versions
from stores.sql.tables import metadata

# Databases have run these: an edit would not reach them. To change the schema, add a revision and its digest.
LANDED = {
    "0001_keys.py": "6e00874ba463ae8bed381354cd993faae9f286bb5b404e30b19d55b3d670dcfc",
    "0002_sites.py": "db8760aa3eb2bacfdb9ee7a57d0fa81b940cbee7eb8ef40ee5458c74ffe2900d",
    "0003_addresses.py": "40eadd80a1ef0e0fedff51dc03fe432ef8c2e179174883f3d2e6e57cfc8bfc28",
    "0004_webhooks.py": "68ca048077d333c905d58f5dd06633d54fa06a57cbc363c4e2b45489062953b7",
    "0005_scopes.py": "8576a50061abda602c0f11e07066d940c48a20ab771cd1d72d7cb808f6e624cf",
    "0006_library.py": "8c9700d99a91a802825c5074a836be454b892642b319e8278638312c7db1f324",
    "0007_foreign_keys.py": "fb33ad55fbd12e110e2722ff92110e21971685422da8ba0735c1b6516057e418",
    "0008_gallery.py": "e45d5831cd1ee05d7196ee82332cb7563c95ba2a21dea1fe8ff56e9f8a8fc21c",
    "0009_gallery_owner_lists.py": "373cc5b3d6bb99188c65e6d475c49b97c66c07dc8bdd6ae760c735fdd533e16b",
    "0010_gallery_deletions.py": "23f367283906d5afe08278e8caebe28f7d248ecb28ed3998f7b5d14cb9276d88",
    "0011_large_tables.py": "93b69ebf4cdab32748c175fd6675ff1458356f61b70c865e1170c206ae303dc3",
    "0012_shared_settings.py": "29241ba43ab8a72d79cd48469bddf9917b9f4f346184a2f3c9da4f0d374173c6",
    "0013_library_roots.py": "298084300afab9212a31c111185a36bece71987a61ec9bf98060731eff8b61f9",
    "0014_library_counts.py": "f6a5adeb71ae0e6e7c6da824b2cf7fede16f02dcb318bf43a2bf1a03f2cd0d1b",
    "0015_failed_deliveries.py": "c93f5f60c00947b91d59b678b5419172231dbfa95fddd2cc3636376a92b19903",
    "0016_library_recount.py": "48518a59b6169fae8410c93c8422830c8434f798e195bb08dcbd94a9964116ba",
    "0017_library_words.py": "d905433b44b7a7a2c464b231bfaefa8faa92a8ff3051fa0c754ddd8a11f385b6",
    "0018_library_orders.py": "7d58d4d432049b62b3c932b832269609c44caf6683d2b11f8336e62f32bd7830",
}
# The indexes of the lists as 0006 first made them.
FIRST_INDEXES = {
    "newest": "newest_at, id",
    "name": "name_key, id",
    "downloads": "downloads, id",
    "likes": "likes, id",
    "size": "size_bytes, id",
}
MODEL = {
    **dict.fromkeys(("name", "name_key", "type", "type_key", "category", "category_key"), "x"),
    **dict.fromkeys(("nsfw_level", "downloads", "likes", "newest_at", "size_bytes", "files", "flags"), 0),
}
POSTGRESQL_SCHEMA = (
    (
        "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name "
        "FROM information_schema.columns WHERE table_schema = 'public'"
    ),
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
    "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
)


@pytest.fixture(params=["sqlite", "postgresql"])
def create_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Make an empty database without tables; its URL."""
    if request.param == "sqlite":
        yield lambda name: f"sqlite:///{tmp_path / name}.sqlite3"
        return
    base = request.getfixturevalue("postgresql")
    server = create_engine(base, isolation_level="AUTOCOMMIT")
    names: list[str] = []

    def create(name: str) -> str:
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        names.append(name)
        return str(base.replace("/postgres?", f"/{name}?"))

    yield create
    with server.connect() as connection:
        for name in names:
            connection.execute(text(f"DROP DATABASE {name}"))
    server.dispose()


def migrate_to(url: str, revision: str, move: Callable[..., None] = command.upgrade) -> None:
    """Bring a database to a revision."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    move(config, revision)


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Open a transaction on a database."""
    engine = open_database(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def schema(url: str) -> list[str]:
    """Tables, columns, indexes, constraints and triggers of a database, as text."""
    with connected(url) as connection:
        if connection.dialect.name == "sqlite":
            rows = connection.execute(text("SELECT type, name, sql FROM sqlite_master")).all()
            return sorted(str(tuple(row)).replace('"', "") for row in rows)
        return sorted(str(row) for query in POSTGRESQL_SCHEMA for row in connection.execute(text(query)))


def make_early(connection: Connection) -> None:
    """Change the tables to those of the first version of 0006."""
    if connection.dialect.name == "postgresql":
        connection.execute(text('ALTER TABLE library_models ALTER COLUMN name_key TYPE text COLLATE "default"'))
    connection.execute(text("DROP INDEX library_models_files"))
    for name, columns in FIRST_INDEXES.items():
        connection.execute(text(f"DROP INDEX library_models_{name}"))
        connection.execute(text(f"CREATE INDEX library_models_{name} ON library_models ({columns})"))


def test_landed_migrations_do_not_change() -> None:
    """Every revision is listed with its digest."""
    paths = (MIGRATIONS / "versions").glob("*.py")
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths} == LANDED


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
def test_migrations_make_the_described_tables(engine: Engine) -> None:
    """Tables, columns, indexes and foreign keys match; what searches derive from them has no description."""

    def is_described(_object: Any, name: str | None, _kind: str, _reflected: bool, _counterpart: Any) -> bool:
        return not str(name).startswith("library_search")

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_described, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_databases_of_every_0006_get_the_same_schema(create_database: Callable[[str], str]) -> None:
    """0006 was edited after it had landed; 0007 sets collation and indexes again. Downgrading leads back to 0006."""
    early, current = create_database("early"), create_database("current")
    for url in (early, current):
        migrate_to(url, "0006")
    before = schema(current)
    with connected(early) as connection:
        make_early(connection)
    assert schema(early) != before
    for url in (early, current):
        migrate_to(url, "head")
    assert schema(early) == schema(current) != before
    migrate_to(current, "0006", command.downgrade)
    assert schema(current) == before


def test_rows_survive_the_foreign_keys(create_database: Callable[[str], str]) -> None:
    """Rows without a parent are deleted; a user image stays with its model; full-text search and ids go on."""
    url = create_database("filled")
    migrate_to(url, "0006")
    version = {"facts": "{}", "first_seen": 0}
    image = {"nsfw_level": 0, "params": "{}", "sort_order": 0, "created_at": 0}
    with connected(url) as connection:
        connection.execute(insert(models).values(id=3, **MODEL))
        rows = [{"model_id": model_id, "facts": "", "sources": "", "search_text": "ink wash"} for model_id in (3, 4)]
        connection.execute(insert(details), rows)
        rows = [{"id": 8, "model_id": 3}, {"id": 9, "model_id": 3}, {"id": 10, "model_id": 4}]
        connection.execute(insert(versions), [row | version for row in rows])
        connection.execute(delete(versions).where(versions.c.id == 9))
        rows = [{"version_id": 8, "slot": "preview"}, {"version_id": 9, "slot": None}, {"version_id": 9, "slot": "x"}]
        connection.execute(insert(images), [row | image | {"model_id": 3} for row in rows])

    migrate_to(url, "head")

    with connected(url) as connection:
        assert connection.execute(select(details.c.model_id)).scalars().all() == [3]
        assert connection.execute(select(versions.c.id)).scalars().all() == [8]
        left = connection.execute(select(images.c.version_id, images.c.slot).order_by(images.c.id)).all()
        assert [tuple(row) for row in left] == [(8, "preview"), (None, None)]
        if connection.dialect.name == "sqlite":
            query = text("SELECT rowid FROM library_search WHERE library_search MATCH 'wash'")
            assert connection.execute(query).scalars().all() == [3]
            added = connection.execute(insert(versions).values(model_id=3, **version)).inserted_primary_key
            assert added
            assert added[0] == 11
        connection.execute(delete(models))
        for table in (details, versions, images):
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0


def test_a_model_with_user_edits_cannot_be_deleted(engine: Engine) -> None:
    """The database refuses it; everything else that belongs to a model is deleted with it."""
    with engine.begin() as connection:
        connection.execute(insert(models).values(id=1, **MODEL))
        connection.execute(insert(user_edits).values(model_id=1, field="notes", value='"mine"', edited_at=0))
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(delete(models))
