"""A scan that is killed, wherever it is: the next one ends where an uninterrupted one would have ended."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import ROOT
from stores.library import Library
from tests.conftest import TIMEOUT_S, eventually
from tests.support.model_files import civitai_model, write_safetensors
from workers.library.scanner.scan import Scan, ScanProgress, ScanScope

FILES = 1500
# How many files are written down when the scan is killed.
KILL_AT_FILES = (0, 50, 300, 550, 800, 1050, 1300, 1499)
IDS = ("id", "model_id", "version_id", "file_id", "hero_image")
TIMES = ("first_seen", "missing_since", "found_at", "created_at", "hashed_at")
TABLES = ("models", "details", "tags", "versions", "claims", "files", "images", "problems", "edits", "hashes")


def make_models(folder: Path) -> None:
    """Models of all kinds: epochs, several of one catalogue's model, broken ones, with pictures and without."""
    for number in range(FILES):
        path = folder / f"loras/{number % 7}/model{number:04}.safetensors"
        if number % 10 == 0:
            path = path.with_name(f"epochs{number % 3}-{number:06}.safetensors")
        write_safetensors(path, data=b"%08d" % number, metadata={"modelspec.title": f"Title {number}"})
        if number % 5 == 1:
            path.with_suffix(".api_info.json").write_text(json.dumps(civitai_model(number % 50, number)))
            said = {"id": number, "modelId": number % 50, "name": "v", "model": {"name": "Ink", "type": "LORA"}}
            path.with_suffix(".civitai.info").write_text(json.dumps(said))
        if number % 9 == 2:
            path.with_suffix(".preview.png").write_bytes(b"picture")
        if number % 50 == 3:
            path.write_bytes(path.read_bytes()[:-1])


def environment(folder: Path, data: Path) -> dict[str, str]:
    """The environment of the command."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"PYTHONPATH": str(ROOT), "DATA_DIR": str(data), "MODELS_DIR": str(folder), "LOG_LEVEL": "error"}


def scan(folder: Path, data: Path) -> ScanProgress:
    """One scan to its end."""
    engine = open_database(f"sqlite:///{data / 'darkroom.sqlite3'}")
    found = Scan(Library.from_engine(engine, SystemClock()).scan_writer, (folder,)).run([ScanScope(folder)])
    engine.dispose()
    return found


def _release_lock(data: Path) -> None:
    """Who was killed cannot say that it has ended: its duty would be free in half a minute."""
    with sqlite3.connect(data / "darkroom.sqlite3") as connection:
        connection.execute("DELETE FROM library_leases")
    connection.close()


def kill_scan(folder: Path, data: Path, question: str, least: int) -> None:
    """Begin a scan, and kill it as soon as a figure in the database has come so far."""
    _release_lock(data)
    command = [sys.executable, "-m", "ops", "library", "scan"]
    with subprocess.Popen(command, env=environment(folder, data), cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        connection = sqlite3.connect(data / "darkroom.sqlite3")
        # Once it has the duty it is at work.
        started = "SELECT count(*) FROM library_leases"
        eventually(lambda: connection.execute(started).fetchone()[0] == 1)
        eventually(lambda: connection.execute(question).fetchone()[0] >= least or process.poll() is not None)
        process.kill()
        process.wait(TIMEOUT_S)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


def state(data: Path) -> dict[str, list[str]]:
    """All that is known, without ids and times: what belongs to what is said by the path of a file."""
    connection = sqlite3.connect(data / "darkroom.sqlite3")
    connection.row_factory = sqlite3.Row
    rows = {name: [dict(row) for row in connection.execute(f"SELECT * FROM library_{name}")] for name in TABLES}  # noqa: S608 - names of ours
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
    """What each is called after: all that belongs to it."""
    found: dict[Any, list[str]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(str(row[of]))
    return {ident: " ".join(sorted(names)) for ident, names in found.items()}


def _shown(row: dict[str, Any]) -> str:
    return repr({name: value for name, value in row.items() if name not in (*IDS, *TIMES)})


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models, and an empty database."""
    place = tmp_path_factory.mktemp("killed")
    make_models(place / "models")
    (place / "empty").mkdir()
    migrate(f"sqlite:///{place / 'empty' / 'darkroom.sqlite3'}")
    return place


def test_a_scan_that_is_killed_is_as_if_it_had_never_been(template: Path, tmp_path: Path) -> None:
    """At eight moments, one after another: each takes up what the one before has left."""
    folder = template / "models"
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for data in (whole, broken):
        shutil.copytree(template / "empty", data)
    assert scan(folder, whole).counts.added == FILES
    for files in KILL_AT_FILES:
        kill_scan(folder, broken, "SELECT count(*) FROM library_files", files)
    scan(folder, broken)
    assert state(broken) == state(whole)
    assert scan(folder, broken).read == 0
    _rename(folder)
    kill_scan(folder, broken, "SELECT count(*) FROM library_files WHERE name LIKE 'moved%'", 300)
    for data in (whole, broken):
        scan(folder, data)
    assert state(broken) == state(whole)
    assert scan(folder, whole).read == 0


def _rename(folder: Path) -> None:
    """Give all of them other names."""
    for path in sorted(folder.rglob("*.safetensors"), reverse=True):
        path.rename(path.with_name(f"moved {path.name}"))
