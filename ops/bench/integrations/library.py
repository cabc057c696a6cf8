"""The bench ``library``: what a library of many thousand models costs to index, to compare and to ask.

The baseline does as the program did whose API this is: it deletes all and inserts all, with every scan.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from ops.bench.report import Row
from ops.bench.tools.http_load import LoadResult, request_bytes, run_at_rate
from ops.bench.tools.library_fixture import create_models, model_paths, rename_all
from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import ROOT
from ops.testbed.stack import KEY, Stack, run_stack
from ops.testbed.statistics import percentile
from schemas.library.search_query import SortKey, SortOrder, parse_query
from stores.library import Library
from stores.library.search import SearchFilter

MODELS = 30_000
# Parts of the models that are indexed: how many are asked about, how many renamed.
QUERIED_SHARE, RENAMED_SHARE = 5 / 3, 1 / 3
CHANGED_FILES = 100
REQUESTS, RATE, CONNECTIONS = 600, 40.0, 4
QUERIES = {
    "list": "/api/v1/models?limit=40",
    "page 500": "/api/v1/models?limit=40&page=500",
    "search": "/api/v1/models?limit=40&search=neon%20castle",
    "filter": "/api/v1/models?limit=40&category=LoRA&baseModel=SDXL%201.0&tags=ink&sort=downloads",
    "query": "/api/v1/models?limit=40&search=base:sdxl%20-tag:neon%20dim:%3E=32%20order:-size",
}


def measure(models: int = MODELS) -> Iterator[Row]:
    """Index, compare, change, rename; then ask a larger one over HTTP."""
    with tempfile.TemporaryDirectory(prefix="dr-library-") as name:
        folder, data = Path(name) / "models", Path(name) / "data"
        create_models(folder, models)
        yield from _measure_indexing(folder, data, models)
        rows, peak = _measure_queries(Path(name), models)
        yield from rows
        yield Row(f"memory of a scan of {round(models * QUERIED_SHARE):,}", peak, "MB", max_value=250)
    with tempfile.TemporaryDirectory(prefix="dr-library-") as name:
        yield from _measure_renaming(Path(name) / "models", Path(name) / "data", round(models * RENAMED_SHARE))


def _measure_indexing(folder: Path, data: Path, models: int) -> Iterator[Row]:
    watcher = FirstPageTimer(data)
    watcher.start()
    first = _scan(folder, data)
    watcher.join()
    again = _scan(folder, data)
    old_first, old_again = _delete_and_insert(folder, data), _delete_and_insert(folder, data)
    yield Row(f"first index of {models:,}", first["seconds"], "s", old_first, max_value=300)
    yield Row("first page to be seen", watcher.seconds, "s", max_value=2)
    yield Row("scan without a change", again["seconds"], "s", old_again, max_value=3)
    yield Row("headers read in it", again["read"], "", max_value=0)
    yield Row("times faster than delete and insert", old_again / again["seconds"], "x", 1.0, min_value=20)
    for path in list(model_paths(folder))[: CHANGED_FILES * 7 : 7]:
        _modify(path)
    changed = _scan(folder, data)
    if changed["changed"] != CHANGED_FILES:
        raise RuntimeError(f"{CHANGED_FILES} files were changed, and {changed} was found")
    yield Row(f"scan with {CHANGED_FILES} changes", changed["seconds"], "s", max_value=5)


class FirstPageTimer(threading.Thread):
    """Looks, from another process's point of view, when there is a page to be seen."""

    def __init__(self, data: Path) -> None:
        super().__init__()
        self._data = data
        self.seconds = float("inf")

    def run(self) -> None:
        """Look again and again, for two minutes at the most."""
        began = time.monotonic()
        while time.monotonic() - began < 120:
            if (self._data / "darkroom.sqlite3").exists() and self._found():
                self.seconds = time.monotonic() - began
                return
            time.sleep(0.02)

    def _found(self) -> bool:
        connection = sqlite3.connect(f"file:{self._data / 'darkroom.sqlite3'}?mode=ro", uri=True)
        try:
            return bool(connection.execute("SELECT count(*) FROM library_models WHERE files > 0").fetchone()[0] >= 40)
        except sqlite3.Error:
            return False
        finally:
            connection.close()


def _environment(folder: Path, data: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT), "DATA_DIR": str(data), "MODELS_DIR": str(folder), "LOG_LEVEL": "warning"}


def _scan(folder: Path, data: Path) -> dict[str, Any]:
    """One scan in a process of its own; the seconds are from its first line on."""
    command = [sys.executable, "-m", "ops", "library", "scan", "--json"]
    done = subprocess.run(command, env=_environment(folder, data), cwd=ROOT, capture_output=True, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _modify(path: Path) -> None:
    """Other tensors in the same place."""
    with path.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"new!")


def _delete_and_insert(folder: Path, data: Path) -> float:
    """The baseline's scan: seconds. It reads each sidecar, and looks at no header."""
    began = time.monotonic()
    connection = sqlite3.connect(data / "baseline.sqlite3")
    connection.execute("CREATE TABLE IF NOT EXISTS models(id INTEGER PRIMARY KEY, name, type, about)")
    connection.execute("CREATE TABLE IF NOT EXISTS versions(id INTEGER PRIMARY KEY, model_id, name, base, words)")
    connection.execute("CREATE TABLE IF NOT EXISTS files(id INTEGER PRIMARY KEY, version_id, path, size, mtime)")
    for table in ("files", "versions", "models"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - one of three words
        connection.commit()
    for number, path in enumerate(model_paths(folder)):
        about, sidecar = path.stat(), path.with_suffix(".civitai.info")
        said: dict[str, Any] = json.loads(sidecar.read_text()) if sidecar.exists() else {"model": {"name": path.stem}}
        model = (number, said["model"]["name"], "LORA", json.dumps(said))
        connection.execute("INSERT INTO models VALUES (?, ?, ?, ?)", model)
        words = json.dumps(said.get("trainedWords"))
        connection.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?)", (number, number, "v1", "SDXL", words))
        connection.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?)", (number, number, str(path), about.st_size, about.st_mtime)
        )
        # Outside a transaction, as the original does it.
        connection.commit()
    connection.close()
    return time.monotonic() - began


def _measure_queries(place: Path, models: int) -> tuple[list[Row], float]:
    folder = place / "models"
    create_models(folder, round(models * QUERIED_SHARE))
    with run_stack("web", MODELS_DIR=str(folder), LOG_LEVEL="warning") as darkroom:
        peak = _scan(folder, darkroom.settings.data_dir)["memoryMb"]
        loads = {name: _load(darkroom, path) for name, path in QUERIES.items()}
        process = psutil.Process(darkroom.supervisor.pid("web"))
        web = sum(one.memory_info().rss for one in (process, *process.children(recursive=True))) / 1e6
    rows = [
        Row(
            f"{name}, p95 of {round(models * QUERIED_SHARE):,}",
            percentile(load.latencies_s, 95) * 1000,
            "ms",
            max_value=30,
        )
        for name, load in loads.items()
    ]
    return [*rows, Row("memory of web", web, "MB", max_value=250)], peak


def _load(darkroom: Stack, path: str) -> LoadResult:
    url = darkroom.settings.public_url
    request = request_bytes(url + path, key=KEY)
    run_at_rate(url, lambda _: request, connections=CONNECTIONS, requests=20, per_second=RATE)
    load = run_at_rate(url, lambda _: request, connections=CONNECTIONS, requests=REQUESTS, per_second=RATE)
    if set(load.statuses) != {200}:
        raise RuntimeError(f"{path}: {load.statuses}")
    return load


def _measure_renaming(folder: Path, data: Path, models: int) -> Iterator[Row]:
    create_models(folder, models)
    _scan(folder, data)
    migrate(f"sqlite:///{data / 'darkroom.sqlite3'}")
    engine = open_database(f"sqlite:///{data / 'darkroom.sqlite3'}")
    library = Library.from_engine(engine, SystemClock())
    before = _user_records(library)
    rename_all(folder)
    renamed = _scan(folder, data)
    after = _user_records(library, write=False)
    engine.dispose()
    lost = sum(after.get(ident) != words for ident, words in before.items()) + abs(len(after) - len(before))
    yield Row(f"rename of {models:,}: ids, notes and pictures lost", lost, "", max_value=0)
    yield Row("scan after it", renamed["seconds"], "s")


def _user_records(library: Library, *, write: bool = True) -> dict[int, tuple[str | None, int]]:
    """The notes and the number of pictures of every model, by its id; written first, if wanted."""
    found: dict[int, tuple[str | None, int]] = {}
    wanted, cursor, more = SearchFilter({}, parse_query(""), SortOrder(SortKey.NAME, descending=False)), None, True
    while more:
        page = library.search.find_page(wanted, limit=500, cursor=cursor)
        cursor, more = page.next_cursor, page.next_cursor is not None
        for ident in page.ids:
            if write:
                library.user_edits.write(ident, {"notes": f"note {ident}"})
                values = {"media_key": f"library/{ident}.png", "nsfw_level": 0, "params": {}}
                library.images.add(ident, None, values)
            shown = library.models.get(ident)
            found[ident] = (shown.facts.notes, len(shown.images))
    return found
