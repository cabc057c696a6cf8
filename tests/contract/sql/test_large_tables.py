"""Tables of millions of rows, after all migrations, on SQLite and PostgreSQL: what is asked often reads few of them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, select, text

from ops.infra.clock import SystemClock
from schemas.library.search_query import SortKey, SortOrder, parse_query
from schemas.webhooks.subscriptions import NewDelivery
from stores.library import Library
from stores.library.index.read_model import ModelFlag
from stores.library.search import SearchFilter, pages
from stores.library.tables import models
from stores.sql import tables
from stores.webhooks.deliveries import Deliveries
from tests.conftest import FakeClock

MORE_THAN_32_BITS = 2**31 + 5
MODEL = {
    **dict.fromkeys(("name", "name_key", "type", "type_key", "category", "category_key"), "x"),
    "base_model_key": "sdxl",
    "civitai_id": 1,
    "dim": 16,
    "nsfw_level": 0,
    "files": 1,
    "flags": ModelFlag.NOTES,
}
NUMBERS = ("downloads", "likes", "newest_at", "size_bytes")
LARGE_TABLES = ("library_models", "library_files", "library_tags", "library_problems")


@contextmanager
def collect_plans(engine: Engine) -> Iterator[list[str]]:
    """Collect the plans of all queries; PostgreSQL's are those that it would make if it could not read whole tables."""
    plans: list[str] = []
    is_sqlite = engine.dialect.name == "sqlite"

    def explain(_: object, cursor: Any, statement: str, parameters: Any, *_rest: object) -> None:
        if statement.startswith("SELECT"):
            if not is_sqlite:
                cursor.execute("SET enable_seqscan = off")
            cursor.execute(f"EXPLAIN {'QUERY PLAN ' if is_sqlite else ''}{statement}", parameters)
            plans.append("\n".join(str(row[-1]) for row in cursor.fetchall()))
            if not is_sqlite:
                cursor.execute("RESET enable_seqscan")

    event.listen(engine, "before_cursor_execute", explain)
    yield plans
    event.remove(engine, "before_cursor_execute", explain)


@contextmanager
def collect_statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Collect all queries with their parameters."""
    statements: list[tuple[str, Any]] = []

    def note(_: object, _cursor: object, statement: str, parameters: Any, *_rest: object) -> None:
        statements.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


def plan_with_wide_indexes(engine: Engine, statements: list[tuple[str, Any]]) -> list[str]:
    """Return the plans that PostgreSQL makes after VACUUM where no other index has the order of a list."""
    with engine.connect() as connection:
        for name in ("newest", "name", "downloads", "likes", "size"):
            connection.execute(text(f"DROP INDEX library_models_{name}"))
        connection.execute(text("UPDATE pg_class SET relallvisible = relpages WHERE relname = 'library_models'"))
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plans = [connection.exec_driver_sql(f"EXPLAIN {statement}", values).all() for statement, values in statements]
        # All of this was for the plans alone.
        connection.rollback()
    return ["\n".join(str(row[0]) for row in plan) for plan in plans]


def test_deliveries_are_trimmed_and_listed_along_indexes(engine: Engine, clock: FakeClock) -> None:
    """Trimming finds what ended long ago, and a list the deliveries of its job, webhook and state."""
    deliveries = Deliveries(engine, clock)
    if engine.dialect.name == "postgresql":
        # What other tests have left in the table's files would change its plans.
        with engine.begin() as connection:
            connection.execute(text("TRUNCATE deliveries CASCADE"))
    with collect_plans(engine) as plans:
        deliveries.purge()
    assert [("deliveries_ended" in plan, "SCAN deliveries" in plan) for plan in plans] == [(True, False)] * 2
    for filters, index in (
        ({"job_id": "a"}, "deliveries_of_job"),
        ({"webhook": "a"}, "deliveries_of_webhook_by_time"),
        ({"webhook": "a", "state": "failed"}, "deliveries_of_webhook_by_state"),
        ({"state": "failed"}, "deliveries_of_owner_by_state"),
        ({}, "deliveries_of_owner"),
    ):
        with collect_plans(engine) as plans:
            deliveries.page("bob", filters, None, 10)
        assert all(index in plan for plan in plans), (filters, plans)
        assert len(plans) == 1


def test_attempts_have_numbers_of_64_bits(engine: Engine, clock: FakeClock) -> None:
    """Millions a day would use up 32 bits within years."""
    Deliveries(engine, clock).add(
        [NewDelivery("msg_1", "bob", "https://example.com/", "job.completed", "{}", None, "a")]
    )
    row = {"delivery": "msg_1", "at": 1, "duration_ms": 1, "excerpt": ""}
    with engine.begin() as connection:
        connection.execute(insert(tables.delivery_attempts).values(row | {"id": MORE_THAN_32_BITS}))
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT setval('delivery_attempts_id_seq', {MORE_THAN_32_BITS})"))
        connection.execute(insert(tables.delivery_attempts).values(row))
        ids = select(tables.delivery_attempts.c.id).order_by(tables.delivery_attempts.c.id)
        assert list(connection.execute(ids).scalars()) == [MORE_THAN_32_BITS, MORE_THAN_32_BITS + 1]


def test_the_library_is_counted_without_reading_it(engine: Engine) -> None:
    """The figures of the report and the values of filters are in small tables that the database keeps."""
    library = Library.from_engine(engine, SystemClock())
    with collect_plans(engine) as plans:
        library.maintenance.get_counts()
        library.search.list_filter_values()
    assert len(plans) == 2
    assert not [plan for plan in plans if any(name in plan for name in LARGE_TABLES)]
    assert [sum(name in plan for plan in plans) for name in ("library_search_counts", "library_search_facets")] == [
        1,
        1,
    ]


def test_postgresql_compiles_no_query(engine: Engine) -> None:
    """Compiling a search of a large library takes longer than the search, and its planner would choose that."""
    if engine.dialect.name == "sqlite":
        pytest.skip("compiles all queries to a bytecode of its own")
    with engine.connect() as connection:
        assert connection.execute(text("SHOW jit")).scalar_one() == "off"


def test_a_walk_along_any_order_reads_no_rows_of_models(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's indexes of orders and of the sample have all numbers, flags and base models that are asked for."""
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no indexes with other values")
    for name, value in {"MAX_COUNTED": 1, "MIN_SAMPLED": 1, "SAMPLE_SIZE": 10}.items():
        monkeypatch.setattr(pages, name, value)
    with engine.begin() as connection:
        # Not in the order of the table, where rows are read as fast.
        numbers = random.Random(3).sample(range(1, 1001), 1000)
        rows = [MODEL | {"name_key": str(number)} | dict.fromkeys(NUMBERS, number) for number in numbers]
        connection.execute(insert(models), rows)
        connection.execute(text("ANALYZE library_models"))
    search = Library.from_engine(engine, SystemClock()).search
    query = parse_query(
        "base:sdxl dim:>8 size:>0 downloads:>0 likes:>0 nsfw:<2 has:notes has:civitai is:local -is:pickle"
    )
    for key in SortKey:
        for descending in (True, False):
            with collect_statements(engine) as statements:
                page = search.find_page(SearchFilter({}, query, SortOrder(key, descending)), limit=5)
            plans = plan_with_wide_indexes(engine, statements)
            index = f"library_search_by_{'newest' if key is SortKey.OLDEST else key}"
            assert (len(page.ids), page.total_is_estimate) == (5, True)
            assert f"Index Only Scan {'Backward ' if descending else ''}using {index} " in plans[-1]
            assert "Index Only Scan using library_search_sample " in plans[-2]
