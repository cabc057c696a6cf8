"""Permissions of the data folder, whichever process creates it and whatever umask it inherits."""

import io
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ops.infra.files.private_files import prepare_data_folder, restrict_stored_files
from ops.infra.settings import ROOT, Settings
from ops.processes.web_command import free_port
from tests.conftest import API_KEY, answers_http, eventually
from tests.integration.conftest import close_app, open_app

MEDIA_KEY = "pictures/ab/cd"


@pytest.fixture(autouse=True)
def permissive_umask() -> Iterator[None]:
    """Everything is readable by everyone unless Darkroom says otherwise; child processes inherit it."""
    before = os.umask(0)
    yield
    os.umask(before)


def loose_entries(folder: Path) -> dict[str, str]:
    """Return the modes of everything that other users may read, by path."""
    paths = [folder, *(path for path in folder.rglob("*") if not path.is_symlink())]
    modes = {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in paths}
    return {path: oct(mode) for path, mode in modes.items() if mode & 0o077}


def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line."""
    environment = os.environ | {"DATA_DIR": str(folder)} | more
    return subprocess.run(
        [sys.executable, "-m", "ops", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [("migrate",), ("api-key", "show"), ("keys", "list"), ("sites", "list")])
def test_a_command_creates_private_files(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Also if it is the first one that uses the data folder."""
    folder = tmp_path / "new" / "data"
    run(folder, *arguments)
    assert loose_entries(tmp_path / "new") == {} if folder.exists() else arguments == ("sites", "list")


@pytest.mark.parametrize("role", ["web", "background", "clock"])
def test_a_process_creates_private_files(settings: Settings, tmp_path: Path, role: str) -> None:
    """Its database with the journals, secrets and temporary folders."""
    folder, log, port = tmp_path / "data", tmp_path / "log", free_port()
    environment = os.environ | {"DATA_DIR": str(folder), "REDIS_URL": settings.redis_url, "PORT": str(port)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops", role], cwd=ROOT, env=environment, stdout=out, stderr=out
        )
    try:
        eventually(lambda: "process.ready" in log.read_text())
        if role == "web":
            eventually(lambda: answers_http(f"http://127.0.0.1:{port}/health"))
            with (folder / "api-key.json").open() as file:
                assert file.read()
        assert loose_entries(folder) == {}
    finally:
        process.terminate()
        process.wait(60)
    assert {"darkroom.sqlite3", "session-key"} <= {path.name for path in folder.iterdir()}


def test_objects_and_journals_are_private(settings: Settings, tmp_path: Path) -> None:
    """Objects of the media store, from memory and from a file, and the folders that they need."""
    folder = tmp_path / "data"
    urls = {"database_url": f"sqlite:///{folder / 'db.sqlite3'}", "media_url": (folder / "media").as_uri()}
    app = open_app(replace(settings, data_dir=folder, **urls))
    app.stores.media.put(MEDIA_KEY, b"bytes")
    app.stores.media.put_file(f"{MEDIA_KEY}2", io.BytesIO(b"bytes"))
    app.stores.api_keys.create("alice")
    assert (folder / "db.sqlite3-wal").exists()
    assert loose_entries(folder) == {}
    close_app(app)


def test_an_older_data_folder_is_restricted(tmp_path: Path) -> None:
    """What Darkroom has stored loses the permissions of others; links and files of the user stay as they are."""
    folder, outside = tmp_path / "data", tmp_path / "outside"
    (folder / "media" / "pictures").mkdir(parents=True, mode=0o755)
    for path in (folder / "darkroom.sqlite3", folder / "media" / "pictures" / "a", folder / "notes.txt", outside):
        path.write_bytes(b"")
        path.chmod(0o644)
    (folder / "media" / "link").symlink_to(outside)
    prepare_data_folder(folder)
    restrict_stored_files(folder)
    assert loose_entries(folder) == {"notes.txt": "0o644"}
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644


def test_a_shared_folder_keeps_its_permissions(tmp_path: Path) -> None:
    """Other users need ``/tmp`` and the like."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    prepare_data_folder(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777


def test_up_creates_private_files(tmp_path: Path) -> None:
    """The embedded server's files and sockets too; the key is the owner's."""
    folder = tmp_path / "data"
    process = subprocess.Popen(
        [sys.executable, "-m", "ops", "up", "--port", str(free_port()), "--data", str(folder)],
        cwd=ROOT,
        env=os.environ | {"API_KEY": API_KEY},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually((folder / "running.json").exists, timeout_s=100)
        assert loose_entries(folder) == {}
        assert {"redis.sock", "redis.log", "appendonlydir"} <= {path.name for path in folder.iterdir()}
    finally:
        process.terminate()
        process.wait(60)
