"""The benchmark ``library``: indexing, rescanning and querying a library of many thousand models.

The baseline deletes and inserts everything on each scan, as the program does whose API this is.
"""

import json
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ops.bench.report import Row
from ops.bench.tools.http_load import LoadResult, request_bytes, run_at_rate
from ops.bench.tools.library_fixture import create_models, model_paths, rename_all, scan
from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.testbed.stack import KEY, Stack, run_stack
from ops.testbed.statistics import percentile
from schemas.library.search_query import SortKey, SortOrder, parse_query
from stores.library import Library
from stores.library.search import SearchFilter

# How many models are queried and renamed, relative to those that are indexed.
QUERIED_SHARE, RENAMED_SHARE = 5 / 3, 1 / 3
# Changed files are taken from the list of models with this step.
CHANGE_EVERY = 7
RATE, CONNECTIONS = 40.0, 4
WARM_UP_REQUESTS = 20
FIRST_PAGE_MODELS = 40
FIRST_PAGE_TIMEOUT_S = 120
POLL_INTERVAL_S = 0.02
BYTES_PER_MB = 1e6
QUERIES = {
    "list": "/api/v1/models?limit=40",
    "page 500": "/api/v1/models?limit=40&page=500",
    "search": "/api/v1/models?limit=40&search=neon%20castle",
    "filter": "/api/v1/models?limit=40&category=LoRA&baseModel=SDXL%201.0&tags=ink&sort=downloads",
    "query": "/api/v1/models?limit=40&search=base:sdxl%20-tag:neon%20dim:%3E=32%20order:-size",
}


@dataclass(frozen=True, slots=True)
class Size:
    """Indexed models, files changed before a rescan, and requests per query."""

    models: int
    changed_files: int
    requests: int


FULL = Size(models=30_000, changed_files=100, requests=600)
SMOKE = Size(models=60, changed_files=5, requests=5)


def measure(size: Size) -> Iterator[Row]:
    """Index, rescan, change and rename models; then query a larger library over HTTP."""
    with tempfile.TemporaryDirectory(prefix="dr-library-") as name:
        folder, data = Path(name) / "models", Path(name) / "data"
        create_models(folder, size.models)
        yield from _measure_indexing(folder, data, size)
        yield from _measure_queries(folder, size)
    with tempfile.TemporaryDirectory(prefix="dr-library-") as name:
        yield from _measure_renaming(Path(name) / "models", Path(name) / "data", round(size.models * RENAMED_SHARE))


def _measure_indexing(folder: Path, data: Path, size: Size) -> Iterator[Row]:
    timer = FirstPageTimer(data)
    timer.start()
    first = scan(folder, data)
    timer.join()
    second = scan(folder, data)
    baseline_first, baseline_second = _delete_and_insert_s(folder, data), _delete_and_insert_s(folder, data)
    yield Row(f"first index of {size.models:,}", first["seconds"], "s", baseline_first, max_value=300)
    yield Row("first page visible", timer.seconds, "s", max_value=2)
    yield Row("scan without changes", second["seconds"], "s", baseline_second, max_value=3)
    yield Row("headers read in it", second["read"], "", max_value=0)
    yield Row("times faster than delete and insert", baseline_second / second["seconds"], "x", 1.0, min_value=20)
    for path in list(model_paths(folder))[: size.changed_files * CHANGE_EVERY : CHANGE_EVERY]:
        _modify(path)
    changed = scan(folder, data)
    if changed["changed"] != size.changed_files:
        raise RuntimeError(f"{size.changed_files} files were changed, but the scan reports {changed}")
    yield Row(f"scan with {size.changed_files} changes", changed["seconds"], "s", max_value=5)


class FirstPageTimer(threading.Thread):
    """Measure when another process can read the first page of models; ``seconds`` has the result."""

    def __init__(self, data: Path) -> None:
        super().__init__()
        self._database = data / "darkroom.sqlite3"
        self.seconds = float("inf")

    def run(self) -> None:
        """Poll the database until the page is there or the timeout is over."""
        started_at = time.monotonic()
        while time.monotonic() - started_at < FIRST_PAGE_TIMEOUT_S:
            if self._database.exists() and self._has_page():
                self.seconds = time.monotonic() - started_at
                return
            time.sleep(POLL_INTERVAL_S)

    def _has_page(self) -> bool:
        connection = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)
        try:
            [number] = connection.execute("SELECT count(*) FROM library_models WHERE files > 0").fetchone()
        except sqlite3.Error:
            return False
        finally:
            connection.close()
        return bool(number >= FIRST_PAGE_MODELS)


def _modify(path: Path) -> None:
    """Change the content of a file without changing its size."""
    with path.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"new!")


def _delete_and_insert_s(folder: Path, data: Path) -> float:
    """Run the baseline's scan and return its seconds; it reads each sidecar and no header."""
    started_at = time.monotonic()
    connection = sqlite3.connect(data / "baseline.sqlite3")
    connection.execute("CREATE TABLE IF NOT EXISTS models(id INTEGER PRIMARY KEY, name, type, about)")
    connection.execute("CREATE TABLE IF NOT EXISTS versions(id INTEGER PRIMARY KEY, model_id, name, base, words)")
    connection.execute("CREATE TABLE IF NOT EXISTS files(id INTEGER PRIMARY KEY, version_id, path, size, mtime)")
    for table in ("files", "versions", "models"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - one of three constants
        connection.commit()
    for number, path in enumerate(model_paths(folder)):
        stat, sidecar = path.stat(), path.with_suffix(".civitai.info")
        info: dict[str, Any] = json.loads(sidecar.read_text()) if sidecar.exists() else {"model": {"name": path.stem}}
        model = (number, info["model"]["name"], "LORA", json.dumps(info))
        connection.execute("INSERT INTO models VALUES (?, ?, ?, ?)", model)
        version = (number, number, "v1", "SDXL", json.dumps(info.get("trainedWords")))
        connection.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?)", version)
        file = (number, number, str(path), stat.st_size, stat.st_mtime)
        connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", file)
        # One transaction per model, as in the original.
        connection.commit()
    connection.close()
    return time.monotonic() - started_at


def _measure_queries(folder: Path, size: Size) -> Iterator[Row]:
    models = round(size.models * QUERIED_SHARE)
    create_models(folder, models)
    with run_stack("web", MODELS_DIR=str(folder), LOG_LEVEL="warning") as stack:
        peak_mb = scan(folder, stack.settings.data_dir)["memoryMb"]
        results = {name: _run_query(stack, path, size.requests) for name, path in QUERIES.items()}
        process = psutil.Process(stack.supervisor.pid("web"))
        processes = (process, *process.children(recursive=True))
        web_mb = sum(child.memory_info().rss for child in processes) / BYTES_PER_MB
    for name, result in results.items():
        yield Row(f"{name}, p95 of {models:,}", percentile(result.latencies_s, 95) * 1000, "ms", max_value=30)
    yield Row("memory of web", web_mb, "MB", max_value=250)
    yield Row(f"memory of a scan of {models:,}", peak_mb, "MB", max_value=250)


def _run_query(stack: Stack, path: str, requests: int) -> LoadResult:
    url = stack.settings.public_url
    request = request_bytes(url + path, key=KEY)
    load: dict[str, Any] = {"connections": CONNECTIONS, "per_second": RATE}
    run_at_rate(url, lambda _: request, requests=min(WARM_UP_REQUESTS, requests), **load)
    result = run_at_rate(url, lambda _: request, requests=requests, **load)
    if set(result.statuses) != {200}:
        raise RuntimeError(f"{path}: {result.statuses}")
    return result


def _measure_renaming(folder: Path, data: Path, models: int) -> Iterator[Row]:
    """Rename every file, and count models that lose their id or what users have added to them."""
    create_models(folder, models)
    scan(folder, data)
    url = f"sqlite:///{data / 'darkroom.sqlite3'}"
    migrate(url)
    engine = open_database(url)
    library = Library.from_engine(engine, SystemClock())
    model_ids = list(_model_ids(library))
    for model_id in model_ids:
        library.user_edits.write(model_id, {"notes": f"note {model_id}"})
        values = {"media_key": f"library/{model_id}.png", "nsfw_level": 0, "params": {}}
        library.images.add(model_id, None, values)
    before = _user_data(library, model_ids)
    rename_all(folder)
    renamed = scan(folder, data)
    after = _user_data(library, list(_model_ids(library)))
    engine.dispose()
    lost = sum(after.get(model_id) != record for model_id, record in before.items()) + abs(len(after) - len(before))
    yield Row(f"rename of {models:,}: ids, notes and images lost", lost, "", max_value=0)
    yield Row("scan after it", renamed["seconds"], "s")


def _model_ids(library: Library) -> Iterator[int]:
    everything = SearchFilter({}, parse_query(""), SortOrder(SortKey.NAME, descending=False))
    cursor, has_more = None, True
    while has_more:
        page = library.search.find_page(everything, limit=500, cursor=cursor)
        yield from page.ids
        cursor, has_more = page.next_cursor, page.next_cursor is not None


def _user_data(library: Library, model_ids: list[int]) -> dict[int, tuple[str | None, int]]:
    """Return the notes and the number of images of each model."""
    models = {model_id: library.models.get(model_id) for model_id in model_ids}
    return {model_id: (model.metadata.notes, len(model.images)) for model_id, model in models.items()}
