"""Killed scans: the next scan ends in the same state as an uninterrupted one."""

import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import psutil
import pytest

from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import ROOT
from stores.library import Library
from tests.conftest import eventually
from tests.support.model_files import civitai_model, write_safetensors
from workers.library.scanner.scan import Scan, ScanProgress, ScanScope

FILES = 800
# How many files the index has when the scan is killed. A scan writes first a small batch, then large ones.
KILL_AT_FILES = (0, 50, 100, 150, 400, 450, 700, 799)
# Loads the code of the command once, and forks for each line of stdin.
SCANNER = """
import os, sys
import workers.library.cli.commands
from ops.cli.main import main
for _line in sys.stdin:
    child = os.fork()
    if child == 0:
        main(["library", "scan"])
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""
IDS = ("id", "model_id", "version_id", "file_id", "hero_image")
TIMES = ("first_seen", "missing_since", "found_at", "created_at", "hashed_at")
TABLES = ("models", "details", "tags", "versions", "claims", "files", "images", "problems", "edits", "hashes")


def make_models(folder: Path) -> None:
    """Create models of all kinds: epochs, several of one Civitai model, damaged ones, with previews and without."""
    for number in range(FILES):
        path = folder / f"loras/{number % 7}/model{number:04}.safetensors"
        if number % 10 == 0:
            path = path.with_name(f"epochs{number % 3}-{number:06}.safetensors")
        write_safetensors(path, data=b"%08d" % number, metadata={"modelspec.title": f"Title {number}"})
        if number % 5 == 1:
            path.with_suffix(".api_info.json").write_text(json.dumps(civitai_model(number % 50, number)))
            answer = {"id": number, "modelId": number % 50, "name": "v", "model": {"name": "Ink", "type": "LORA"}}
            path.with_suffix(".civitai.info").write_text(json.dumps(answer))
        if number % 9 == 2:
            path.with_suffix(".preview.png").write_bytes(b"picture")
        if number % 50 == 3:
            path.write_bytes(path.read_bytes()[:-1])


def environment(folder: Path, data: Path) -> dict[str, str]:
    """Return the environment of the command."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return inherited | {"PYTHONPATH": str(ROOT), "DATA_DIR": str(data), "MODELS_DIR": str(folder), "LOG_LEVEL": "error"}


def scan(folder: Path, data: Path) -> ScanProgress:
    """Run a complete scan."""
    engine = open_database(f"sqlite:///{data / 'darkroom.sqlite3'}")
    progress = Scan(Library.from_engine(engine, SystemClock()).scan_writer, (folder,)).run([ScanScope(folder)])
    engine.dispose()
    return progress


def _release_lock(data: Path) -> None:
    """Release the lock of a killed process, which would otherwise expire after half a minute."""
    with sqlite3.connect(data / "darkroom.sqlite3") as connection:
        connection.execute("DELETE FROM library_leases")
    connection.close()


@contextmanager
def scanner(folder: Path, data: Path) -> Iterator[Popen[str]]:
    """Run a process that begins a scan for each line."""
    command = [sys.executable, "-c", SCANNER]
    with Popen(
        command, env=environment(folder, data), cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True
    ) as process:
        yield process
        process.communicate()


def kill_scan(process: Popen[str], data: Path, query: str, min_count: int) -> None:
    """Start a scan and kill it once the count that ``query`` returns is reached."""
    _release_lock(data)
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    pid = int(process.stdout.readline())
    connection = sqlite3.connect(data / "darkroom.sqlite3")

    def is_reached(query: str, count: int) -> bool:
        # Near its end, a scan may be faster than this process.
        return connection.execute(query).fetchone()[0] >= count or not psutil.pid_exists(pid)

    # The scan has started once it holds the lock.
    eventually(lambda: is_reached("SELECT count(*) FROM library_leases", 1))
    eventually(lambda: is_reached(query, min_count))
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    assert "ended\n" in iter(process.stdout.readline, "")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def state(data: Path) -> dict[str, list[str]]:
    """Return the index without ids and times; rows are identified by the paths of files."""
    connection = sqlite3.connect(data / "darkroom.sqlite3")
    connection.row_factory = sqlite3.Row
    rows = {name: [dict(row) for row in connection.execute(f"SELECT * FROM library_{name}")] for name in TABLES}  # noqa: S608 - constant table names
    assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    connection.close()
    version = _names(rows["files"], "version_id", "path")
    version |= {row["id"]: f"catalogue {row['civitai_id']}" for row in rows["versions"] if row["id"] not in version}
    model = _names([row | {"of": version[row["id"]]} for row in rows["versions"]], "model_id", "of")
    for row in (row for name in TABLES for row in rows[name]):
        row["version"], row["model"] = version.get(row.get("version_id")), model.get(row.get("model_id"))
    for row in rows["models"]:
        row["model"] = model[row["id"]]
    return {name: sorted(_shown(row) for row in rows[name]) for name in TABLES}


def _names(rows: list[dict[str, Any]], key: str, of: str) -> dict[Any, str]:
    """Name each id by the rows that belong to it."""
    names_by_id: dict[Any, list[str]] = {}
    for row in rows:
        names_by_id.setdefault(row[key], []).append(str(row[of]))
    return {id_: " ".join(sorted(names)) for id_, names in names_by_id.items()}


def _shown(row: dict[str, Any]) -> str:
    return repr({name: value for name, value in row.items() if name not in (*IDS, *TIMES)})


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, and an empty database."""
    folder = tmp_path_factory.mktemp("killed")
    make_models(folder / "models")
    (folder / "empty").mkdir()
    migrate(f"sqlite:///{folder / 'empty' / 'darkroom.sqlite3'}")
    return folder


def test_killed_scans_leave_a_consistent_index(template: Path, tmp_path: Path) -> None:
    """Scans are killed at eight points, each continuing the previous one; then again after a rename."""
    folder = template / "models"
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for data in (whole, broken):
        shutil.copytree(template / "empty", data)
    assert scan(folder, whole).counts.added == FILES
    with scanner(folder, broken) as process:
        for files in KILL_AT_FILES:
            kill_scan(process, broken, "SELECT count(*) FROM library_files", files)
        scan(folder, broken)
        assert state(broken) == state(whole)
        assert scan(folder, broken).read == 0
        _rename(folder)
        kill_scan(process, broken, "SELECT count(*) FROM library_files WHERE name LIKE 'moved%'", 300)
    for data in (whole, broken):
        scan(folder, data)
    assert state(broken) == state(whole)
    assert scan(folder, whole).read == 0


def _rename(folder: Path) -> None:
    """Rename all models."""
    for path in sorted(folder.rglob("*.safetensors"), reverse=True):
        path.rename(path.with_name(f"moved {path.name}"))
