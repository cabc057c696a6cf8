"""Indexers of several machines, each with folders of its own, on one database and one Redis."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.infra.settings import ROOT
from stores import Stores
from stores.library.maintenance import HASHING, SCANNING
from tests.conftest import TIMEOUT_S, eventually
from tests.integration.library.indexer.conftest import IndexedLibrary, open_stores_with_database, running_indexer
from tests.support.model_files import write_safetensors
from workers.library import indexer


@pytest.fixture
def other(library: IndexedLibrary, tmp_path: Path) -> Iterator[Stores]:
    """The stores of another machine, with a folder of its own and one of the first machine."""
    folders = (tmp_path / "other", library.folder)
    folders[0].mkdir()
    with open_stores_with_database(replace(library.stores.settings, models_dir=folders)) as stores:
        yield stores


def test_a_slow_machine_does_not_hold_up_the_scans_of_another(
    library: IndexedLibrary, other: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder that both have is scanned and hashed by the first, and by the other one after that has stopped."""
    library.write_model("a.safetensors")
    write_safetensors(tmp_path / "other" / "b.safetensors", data=b"other")
    reading, proceed, read = threading.Event(), threading.Event(), indexer.Scan._read_file

    def slow(self: Any, file: Any) -> Any:
        if file.root == str(library.folder):
            reading.set()
            proceed.wait(TIMEOUT_S)
        return read(self, file)

    monkeypatch.setattr(indexer.Scan, "_read_file", slow)
    with running_indexer(library.stores):
        assert reading.wait(TIMEOUT_S)
        with running_indexer(other):
            eventually(lambda: library.names("is:hashed") == ["b"])
            assert library.names() == ["b"]
            proceed.set()
            eventually(lambda: library.names("is:hashed") == ["a", "b"])
            library.write_model("c.safetensors")
            eventually(lambda: library.names() == ["a", "b", "c"])
    with running_indexer(other):
        library.write_model("d.safetensors")
        eventually(lambda: library.names("is:hashed") == ["a", "b", "c", "d"])


def test_a_request_is_answered_by_all_machines(library: IndexedLibrary, other: Stores, tmp_path: Path) -> None:
    """It is done once, when the last has scanned, with the figures of all."""
    library.write_model("a.safetensors")
    write_safetensors(tmp_path / "other" / "b.safetensors", data=b"other")
    scans = library.stores.scan_requests
    with running_indexer(library.stores), running_indexer(other):
        eventually(lambda: library.names("is:hashed") == ["a", "b"])
        after = scans.last_event_id()
        scan_id = scans.request(full=True)
        events = library.collect_events(after, lambda event: event["id"] == scan_id and event["state"] == "done")
        assert [event["state"] for event in events if event["id"] == scan_id].count("done") == 1
        assert (events[-1]["files"], events[-1]["read"]) == (2, 2)
        assert [event for event in events if (event["state"], event["phase"]) == ("running", "done")] == []
        assert scans.list_shared() == []


def test_a_folder_whose_hashing_is_taken_over_is_hashed_at_once(library: IndexedLibrary, other: Stores) -> None:
    """Its files may come before those that the machine has hashed last, which are larger."""
    library.write_model("a.safetensors")
    write_safetensors(other.settings.models_dir[0] / "b.safetensors", data=b"larger" * 20)
    maintenance, folder = library.stores.library.maintenance, str(library.folder)
    assert maintenance.acquire_folders(HASHING, [folder], "stopping")
    with running_indexer(other):
        eventually(lambda: library.names("is:hashed") == ["b"])
        eventually(lambda: library.names() == ["a", "b"])
        maintenance.release_folders(HASHING, [folder], "stopping")
        eventually(lambda: library.names("is:hashed") == ["a", "b"])


@pytest.mark.parametrize("has_lease", [False, True])
def test_a_machine_that_is_gone_is_not_waited_for_long(
    library: IndexedLibrary, monkeypatch: pytest.MonkeyPatch, has_lease: bool
) -> None:
    """Its share of a request is given up, even if it lives with another Redis; one that is back in time scans."""
    library.write_model("a.safetensors")
    scans, renewed = library.stores.scan_requests, []
    renew_shares = scans.renew_shares
    monkeypatch.setattr(scans, "renew_shares", lambda folders: (renewed.append(folders), renew_shares(folders)))
    if has_lease:
        library.stores.library.maintenance.acquire_folders(SCANNING, ["/gone"], "with another Redis")
    after, scan_id = scans.last_event_id(), scans.request(full=True)
    [request] = scans.claim(1)
    scans.share(request, frozenset({str(library.folder), "/gone"}))
    with running_indexer(library.stores):
        is_read = lambda event: (event["id"], event["state"], event["read"]) == (scan_id, "running", 1)  # noqa: E731
        library.collect_events(after, is_read)
        eventually(lambda: [set(share.waiting) for share in scans.list_shared()] == [{"/gone"}])
        monkeypatch.setattr(indexer, "GIVE_UP_SHARE_AFTER_MS", 0)
        events = library.collect_events(after, lambda event: event["id"] == scan_id and event["state"] == "done")
    assert events[-1]["read"] == 1
    assert renewed[0] == {str(library.folder)}


def test_processes_of_two_machines_scan_at_the_same_time(library: IndexedLibrary, tmp_path: Path) -> None:
    """A real process indexes its folder while this one holds another; a second one for the same folder is refused."""
    folder = tmp_path / "there"
    settings = library.stores.settings
    environment = {
        **os.environ,
        "DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "MODELS_DIR": f"{folder}:{library.folder}",
    }
    command = [sys.executable, "-m", "ops", "library", "watch"]
    write_safetensors(folder / "b.safetensors", data=b"there")
    with running_indexer(library.stores):
        library.write_model("a.safetensors")
        eventually(lambda: library.names() == ["a"])
        with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
            eventually(lambda: library.names("is:hashed") == ["a", "b"])
            refused = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
            process.terminate()
            process.wait(TIMEOUT_S)
    assert refused.returncode == 1
    assert "already indexes the library" in refused.stderr
