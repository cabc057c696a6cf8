"""The benchmark ``tables``: searches of a library of a million models, and ten million deliveries of webhooks.

The rows are written by the database itself. Searches and lists go over HTTP; what only processes ask for is measured at
the stores. PostgreSQL has targets; SQLite is measured with the library alone, and a tenth of the models.
"""

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import psycopg

from ops.bench.report import Row
from ops.bench.tools.databases.delivery_rows import DeliveryRows
from ops.bench.tools.databases.library_rows import BEFORE_COUNTS, LibraryRows
from ops.bench.tools.databases.postgresql import run_postgresql
from ops.bench.tools.http_load import request_bytes, run_at_rate
from ops.infra.clock import SystemClock
from ops.infra.database import migrate, migrate_to, open_database
from ops.testbed.stack import KEY, Stack, run_stack
from ops.testbed.statistics import percentile
from schemas.library.search_query import SortKey, SortOrder, parse_query
from schemas.paging import Cursor
from schemas.webhooks.subscriptions import DeliveryAttempt, DeliveryState
from stores.library import Library
from stores.library.search import SearchFilter
from stores.webhooks.deliveries import Deliveries, DeliveryOutcome

RATE, CONNECTIONS = 10.0, 2
WARM_UP_REQUESTS = 5
LIBRARY_TARGET_MS, DELIVERIES_TARGET_MS = 50, 20
CLAIMED, DEEP_PAGES = 16, 50
FACET_VALUES = 12
SEARCHES = {
    "all": {},
    "page 500": {"page": "500"},
    "one word": {"search": "neon"},
    "two words": {"search": "neon castle"},
    "three words": {"search": "neon castle winter"},
    "beginnings of words": {"search": "ne ca wi"},
    "rare word": {"search": "98765"},
    "phrase": {"search": '"neon castle"'},
    "long phrase": {"search": '"neon castle winter"'},
    "words and base model": {"search": "neon castle base:sdxl"},
    "word and number": {"search": "neon castle dim:8"},
    "category": {"category": "LoRA", "sort": "downloads"},
    "three filters": {"category": "LoRA", "baseModel": "SDXL 1.0", "tags": "tag 0", "sort": "downloads"},
    "three rare filters": {"category": "VAE", "baseModel": "Aura", "tags": "tag 361"},
    "words and filters": {"search": "neon type:lora -castle dim:>=32 order:-size"},
    "base model contains": {"search": "base:sdxl -tag:neon"},
    "name contains": {"search": "name:ntern"},
    "rare name": {"search": "name:89123"},
    "creator contains": {"search": "creator:4321"},
    "missing": {"search": "is:missing"},
}


@dataclass(frozen=True, slots=True)
class Size:
    """Models, deliveries, and requests for each query."""

    models: int
    deliveries: int
    requests: int


FULL = Size(models=1_000_000, deliveries=10_000_000, requests=100)
SMOKE = Size(models=600, deliveries=2_000, requests=3)


def measure(size: Size) -> Iterator[Row]:
    """Measure the library on PostgreSQL and on SQLite, then deliveries on PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="dr-tables-") as name, run_postgresql() as url:
        yield from _measure_library(Path(name), url, "PostgreSQL", size.models, size)
    with tempfile.TemporaryDirectory(prefix="dr-tables-") as name:
        url = f"sqlite:///{name}/library.sqlite3"
        yield from _measure_library(Path(name), url, "SQLite", size.models // 10, size)
    with tempfile.TemporaryDirectory(prefix="dr-tables-") as name, run_postgresql() as url:
        yield from _measure_deliveries(Path(name), url, size)


def _measure_library(folder: Path, url: str, database: str, models: int, size: Size) -> Iterator[Row]:
    migrate_to(url, BEFORE_COUNTS)
    LibraryRows(models).write(url)
    _vacuum(url)
    yield Row(f"{database}: upgrade of {models:,} models", _seconds(lambda: migrate(url)), "s")
    _vacuum(url)
    yield from measure_library(folder, url, database, models, size.requests)


def measure_library(folder: Path, url: str, database: str, models: int, requests: int) -> Iterator[Row]:
    """Measure the searches of a library that is loaded."""
    target = LIBRARY_TARGET_MS if database == "PostgreSQL" else None
    paths = {name: f"/api/v1/models?{urlencode({'limit': '50', **query})}" for name, query in SEARCHES.items()}
    paths |= {"filter values": "/api/v1/models/filters", "report": "/api/v1/library/report?limit=20"}
    with run_stack("web", data_dir=folder, DATABASE_URL=url, LOG_LEVEL="warning") as stack:
        for name, path in paths.items():
            p95_ms = _request_ms(stack, [path], requests)
            yield Row(f"{database}: {name}, p95 of {models:,}", p95_ms, "ms", max_value=target)
    engine = open_database(url)
    search = Library.from_engine(engine, SystemClock()).search
    for text in ("", "neon", "neon castle", '"neon castle"'):
        criteria = SearchFilter({}, parse_query(text), SortOrder(SortKey.NEWEST, descending=True))
        p95_ms = _call_ms(lambda: search.count_facets(criteria, FACET_VALUES), requests)  # noqa: B023
        yield Row(f"{database}: facets of {text or 'all'!r}, p95 of {models:,}", p95_ms, "ms", max_value=target)
    engine.dispose()


def _measure_deliveries(folder: Path, url: str, size: Size) -> Iterator[Row]:
    rows = DeliveryRows(size.deliveries, SystemClock().now_ms())
    migrate(url)
    rows.write(url)
    _vacuum(url)
    yield from measure_deliveries(folder, url, rows, size.requests)


def measure_deliveries(folder: Path, url: str, rows: DeliveryRows, requests: int) -> Iterator[Row]:
    """Measure the lists of deliveries that are loaded, and what processes ask for."""
    clock = SystemClock()
    with run_stack("web", data_dir=folder, DATABASE_URL=url, LOG_LEVEL="warning") as stack:
        for name, paths in _delivery_paths(rows).items():
            yield _delivery_row(name, rows, _request_ms(stack, paths, requests))
    engine = open_database(url)
    deliveries = Deliveries(engine, clock)
    calls: dict[str, Callable[[], object]] = {
        "due destinations": deliveries.due_destinations,
        "trimming without anything to trim": deliveries.purge,
    }
    for name, call in calls.items():
        yield _delivery_row(name, rows, _call_ms(call, requests))
    yield Row(f"claim of {CLAIMED} and their outcomes", _call_ms(_claimer(deliveries, clock), requests), "ms")
    engine.dispose()


def _delivery_row(name: str, rows: DeliveryRows, value_ms: float) -> Row:
    return Row(f"{name}, p95 of {rows.deliveries:,} deliveries", value_ms, "ms", max_value=DELIVERIES_TARGET_MS)


def _delivery_paths(rows: DeliveryRows) -> dict[str, list[str]]:
    """Return the paths of each query, in a fixed random order."""
    numbers = random.Random(7).sample(range(rows.deliveries), DEEP_PAGES)
    cursors = [Cursor(rows.created_at(number), "msg_").encode() for number in numbers]
    path = "/api/v1/deliveries?limit=50"
    return {
        "newest": [path],
        "deep cursor": [f"{path}&cursor={cursor}" for cursor in cursors],
        "of a webhook": [f"{path}&webhookId={rows.webhook(1)}"],
        "of a webhook, deep cursor": [f"{path}&webhookId={rows.webhook(1)}&cursor={cursor}" for cursor in cursors],
        "failed": [f"{path}&state=failed"],
        "failed of a webhook": [f"{path}&webhookId={rows.webhook(1)}&state=failed"],
        "of a job": [f"{path}&jobId={rows.job(number)}" for number in numbers],
    }


def _claimer(deliveries: Deliveries, clock: SystemClock) -> Callable[[], None]:
    """Return a call that claims deliveries and records attempts at them."""
    attempt = DeliveryAttempt(clock.now_ms(), 20, 200, None, "")

    def claim() -> None:
        claimed = deliveries.claim(deliveries.due_destinations()[0], CLAIMED)
        # Due again at once, so that the next call finds as many.
        again = [DeliveryOutcome(each, attempt, DeliveryState.PENDING, next_at=clock.now_ms()) for each in claimed]
        deliveries.record_outcomes(again)

    return claim


def _vacuum(url: str) -> None:
    """Update the statistics, as the server itself would do a minute later."""
    if not url.startswith("sqlite"):
        with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True) as server:
            server.execute("VACUUM ANALYZE")


def _seconds(call: Callable[[], object]) -> float:
    started_at = time.perf_counter()
    call()
    return time.perf_counter() - started_at


def _call_ms(call: Callable[[], object], times: int) -> float:
    """Return the 95th percentile of a call."""
    call()
    return percentile([_seconds(call) for _ in range(times)], 95) * 1000


def _request_ms(stack: Stack, paths: list[str], requests: int) -> float:
    """Return the 95th percentile of requests for the paths in turn."""
    url = stack.settings.public_url
    prepared = [request_bytes(url + path, key=KEY) for path in paths]

    def run(count: int) -> list[float]:
        make = lambda number: prepared[number % len(prepared)]  # noqa: E731 - shorter than a function of its own
        result = run_at_rate(url, make, connections=CONNECTIONS, requests=count, per_second=RATE)
        if set(result.statuses) != {200}:
            raise RuntimeError(f"{paths[0]}: {result.statuses}")
        return result.latencies_s

    run(min(WARM_UP_REQUESTS, requests))
    return percentile(run(requests), 95) * 1000
