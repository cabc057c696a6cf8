"""Tables of millions of rows, after all migrations, on SQLite and PostgreSQL: what is asked often reads few of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event, insert, select, text

from ops.infra.clock import SystemClock
from schemas.webhooks.subscriptions import NewDelivery
from stores.library import Library
from stores.sql import tables
from stores.webhooks.deliveries import Deliveries
from tests.conftest import FakeClock

MORE_THAN_32_BITS = 2**31 + 5
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


def test_deliveries_are_trimmed_and_listed_along_indexes(engine: Engine, clock: FakeClock) -> None:
    """Trimming finds what ended long ago, and a list the deliveries of its job, webhook and state."""
    deliveries = Deliveries(engine, clock)
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
