"""Migrations only add, so that processes of the version before go on with the new tables."""

from collections.abc import Iterator
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect

from ops.infra.database import MIGRATIONS, list_revisions, open_database

# A column by table and name: whether NULL is allowed, and whether a row may leave it out.
Columns = dict[tuple[str, str], tuple[bool, bool]]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[str]:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'growing.sqlite3'}"
        return
    base = request.getfixturevalue("postgresql")
    server = create_engine(base, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE growing")
    yield str(base.replace("/postgres?", "/growing?"))
    with server.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE growing")
    server.dispose()


def read_columns(url: str) -> Columns:
    """The columns of all tables of the database."""
    engine = open_database(url)
    found = inspect(engine)
    columns = {
        (table, column["name"]): (
            bool(column["nullable"]),
            bool(column["nullable"] or column["default"] is not None or column.get("autoincrement") is True),
        )
        for table in found.get_table_names()
        for column in found.get_columns(table)
    }
    engine.dispose()
    return columns


def test_a_migration_takes_nothing_away(url: str) -> None:
    """Every table and column stays, takes NULL if it did, and new columns of old tables may be left out of a row."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    before: Columns = {}
    for revision in reversed(list_revisions()):
        command.upgrade(config, revision)
        after = read_columns(url)
        assert set(before) <= set(after), revision
        assert [place for place, (nullable, _) in before.items() if nullable and not after[place][0]] == [], revision
        tables = {table for table, _ in before}
        new = {place for place in set(after) - set(before) if place[0] in tables}
        assert [place for place in new if not after[place][1]] == [], revision
        before = after

    assert len(before) > 100
