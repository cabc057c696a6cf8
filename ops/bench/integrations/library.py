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
from ops.bench.tools.http_load import Load, at_rate, request_bytes
from ops.bench.tools.library_fixture import make, paths, rename_all
from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import ROOT
from ops.testbed.stack import KEY, Stack, stack
from ops.testbed.statistics import percentile
from schemas.library.search_query import Order, Sort, read_query
from stores.library import Library
from stores.library.search import Wanted

MODELS = 30_000
# Parts of the models that are indexed: how many are asked about, how many renamed.
ASKED, RENAMED = 5 / 3, 1 / 3
CHANGED = 100
REQUESTS, RATE, CONNECTIONS = 600, 40.0, 4
QUESTIONS = {
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
        make(folder, models)
        yield from _indexing(folder, data, models)
        rows, peak = _asking(Path(name), models)
        yield from rows
        yield Row(f"memory of a scan of {round(models * ASKED):,}", peak, "MB", most=250)
    with tempfile.TemporaryDirectory(prefix="dr-library-") as name:
        yield from _renaming(Path(name) / "models", Path(name) / "data", round(models * RENAMED))


def _indexing(folder: Path, data: Path, models: int) -> Iterator[Row]:
    watcher = FirstPage(data)
    watcher.start()
    first = _scan(folder, data)
    watcher.join()
    again = _scan(folder, data)
    old_first, old_again = _delete_and_insert(folder, data), _delete_and_insert(folder, data)
    yield Row(f"first index of {models:,}", first["seconds"], "s", old_first, most=300)
    yield Row("first page to be seen", watcher.seconds, "s", most=2)
    yield Row("scan without a change", again["seconds"], "s", old_again, most=3)
    yield Row("headers read in it", again["read"], "", most=0)
    yield Row("times faster than delete and insert", old_again / again["seconds"], "x", 1.0, least=20)
    for path in list(paths(folder))[: CHANGED * 7 : 7]:
        _change(path)
    changed = _scan(folder, data)
    if changed["changed"] != CHANGED:
        raise RuntimeError(f"{CHANGED} files were changed, and {changed} was found")
    yield Row(f"scan with {CHANGED} changes", changed["seconds"], "s", most=5)


class FirstPage(threading.Thread):
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
    command = [sys.executable, "-m", "workers.library", "scan", "--json"]
    done = subprocess.run(command, env=_environment(folder, data), cwd=ROOT, capture_output=True, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _change(path: Path) -> None:
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
    for number, path in enumerate(paths(folder)):
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


def _asking(place: Path, models: int) -> tuple[list[Row], float]:
    folder = place / "models"
    make(folder, round(models * ASKED))
    with stack("web", MODELS_DIR=str(folder), LOG_LEVEL="warning") as darkroom:
        peak = _scan(folder, darkroom.settings.data_dir)["memoryMb"]
        loads = {name: _load(darkroom, path) for name, path in QUESTIONS.items()}
        process = psutil.Process(darkroom.supervisor.pid("web"))
        web = sum(one.memory_info().rss for one in (process, *process.children(recursive=True))) / 1e6
    rows = [
        Row(f"{name}, p95 of {round(models * ASKED):,}", percentile(load.latencies_s, 95) * 1000, "ms", most=30)
        for name, load in loads.items()
    ]
    return [*rows, Row("memory of web", web, "MB", most=250)], peak


def _load(darkroom: Stack, path: str) -> Load:
    url = darkroom.settings.public_url
    request = request_bytes(url + path, key=KEY)
    at_rate(url, lambda _: request, connections=CONNECTIONS, requests=20, per_second=RATE)
    load = at_rate(url, lambda _: request, connections=CONNECTIONS, requests=REQUESTS, per_second=RATE)
    if set(load.statuses) != {200}:
        raise RuntimeError(f"{path}: {load.statuses}")
    return load


def _renaming(folder: Path, data: Path, models: int) -> Iterator[Row]:
    make(folder, models)
    _scan(folder, data)
    migrate(f"sqlite:///{data / 'darkroom.sqlite3'}")
    engine = open_database(f"sqlite:///{data / 'darkroom.sqlite3'}")
    library = Library.of(engine, SystemClock())
    before = _written(library)
    rename_all(folder)
    renamed = _scan(folder, data)
    after = _written(library, write=False)
    engine.dispose()
    lost = sum(after.get(ident) != words for ident, words in before.items()) + abs(len(after) - len(before))
    yield Row(f"rename of {models:,}: ids, notes and pictures lost", lost, "", most=0)
    yield Row("scan after it", renamed["seconds"], "s")


def _written(library: Library, *, write: bool = True) -> dict[int, tuple[str | None, int]]:
    """The notes and the number of pictures of every model, by its id; written first, if wanted."""
    found: dict[int, tuple[str | None, int]] = {}
    wanted, cursor, more = Wanted({}, read_query(""), Order(Sort.NAME, descending=False)), None, True
    while more:
        page = library.listing.page(wanted, limit=500, cursor=cursor)
        cursor, more = page.following, page.following is not None
        for ident in page.ids:
            if write:
                library.edits.write(ident, {"notes": f"note {ident}"})
                values = {"media_key": f"library/{ident}.png", "nsfw_level": 0, "params": {}}
                library.pictures.add(ident, None, values)
            shown = library.shelf.get(ident)
            found[ident] = (shown.facts.notes, len(shown.images))
    return found
