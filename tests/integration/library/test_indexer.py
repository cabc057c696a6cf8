"""The library indexer on real folders, Redis and database."""

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ops.infra.database import migrate
from ops.infra.redis import connect
from ops.infra.settings import Settings
from ops.processes.embedded_redis import SOCKET_NAME, server_command
from schemas.library.model_views import ModelView
from schemas.library.search_query import SortKey, SortOrder, parse_query
from stores import Stores, open_stores
from stores.library.search import SearchFilter
from tests.conftest import answers_ping, eventually
from tests.support.model_files import civitai_model, write_safetensors
from workers.library import indexer, leader_lock
from workers.library.indexer import LibraryIndexer
from workers.library.scanner import watch_folders
from workers.library.scanner.hash_file import CHUNK_BYTES, ByteRateLimiter
from workers.library.scanner.watch_folders import FolderWatcher

GIGABYTE = 1024**3


@dataclass(frozen=True)
class IndexedLibrary:
    """A library folder and the stores of an indexer."""

    folder: Path
    stores: Stores

    def models(self, search: str = "") -> list[ModelView]:
        """Return the models that a search finds, with their versions."""
        search_filter = SearchFilter({}, parse_query(search), SortOrder(SortKey.NAME, descending=False))
        ids = self.stores.library.search.find_page(search_filter, limit=100).ids
        return self.stores.library.models.get_many(ids, with_versions=True)

    def names(self, search: str = "") -> list[str]:
        """Return the names of these models."""
        return [model.name for model in self.models(search)]

    def write_model(self, name: str, **data: Any) -> Path:
        """Write a model file."""
        return write_safetensors(self.folder / name, **({"data": name.encode()} | data))

    def collect_events(self, after: str, until: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Return the scan events after an id, up to the first that satisfies ``until``."""
        events: list[dict[str, Any]] = []

        def is_satisfied() -> bool:
            nonlocal after
            for event_id, event in self.stores.scan_requests.read_events(after, 0.1):
                after = event_id
                events.append(event)
            return any(map(until, events))

        eventually(is_satisfied)
        return events


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten all intervals."""
    monkeypatch.setattr(leader_lock, "RETRY_INTERVAL_S", 0.1)
    monkeypatch.setattr(indexer, "RETRY_INTERVAL_S", 0.1)
    monkeypatch.setattr(indexer, "REQUEST_POLL_S", 0.1)
    monkeypatch.setattr(indexer, "PROGRESS_INTERVAL_S", 0.0)
    monkeypatch.setattr(watch_folders, "DEBOUNCE_MS", 100)
    monkeypatch.setattr(watch_folders, "POLL_MS", 60)
    monkeypatch.setattr(watch_folders, "RESTART_DELAY_S", 0.1)


@pytest.fixture
def library(settings: Settings, tmp_path: Path) -> Iterator[IndexedLibrary]:
    """An empty library without an indexer."""
    folder = tmp_path / "models"
    folder.mkdir()
    with open_stores_with_database(replace(settings, models_dir=(folder,))) as stores:
        yield IndexedLibrary(folder, stores)


@contextmanager
def open_stores_with_database(settings: Settings) -> Iterator[Stores]:
    """Open stores on a migrated database."""
    migrate(settings.database_url)
    stores = open_stores(settings)
    try:
        yield stores
    finally:
        stores.close()


@contextmanager
def running_indexer(stores: Stores) -> Iterator[LibraryIndexer]:
    """Run an indexer."""
    library_indexer = LibraryIndexer(stores)
    library_indexer.start()
    try:
        yield library_indexer
    finally:
        library_indexer.stop()


def test_changes_on_disk_are_indexed(library: IndexedLibrary) -> None:
    """Existing files and files that are added, changed in place, renamed and deleted are noticed."""
    path = library.write_model("loras/first.safetensors")
    with running_indexer(library.stores):
        eventually(lambda: library.names("is:hashed") == ["first"])
        [first] = library.models()
        library.write_model("loras/new folder/second.safetensors")
        eventually(lambda: library.names() == ["first", "second"])
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"!")
        eventually(lambda: library.models("first")[0].id != first.id)
        path.rename(path.with_name("third.safetensors"))
        eventually(lambda: library.names() == ["second", "third"])
        shutil.rmtree(library.folder / "loras" / "new folder")
        eventually(lambda: library.names() == ["third"])


def test_changes_in_a_civitdl_folder_are_indexed(library: IndexedLibrary) -> None:
    """This includes a file that is rewritten, which changes no folder's time."""
    folder = library.folder / "loras" / "extra_data-vid_11"
    folder.mkdir(parents=True)
    for name in ("model_dict-mid_7-vid_11.json", "1.json", "1.png"):
        (folder / name).write_text(json.dumps(civitai_model(7, 11)) if "dict" in name else "{}")
    library.write_model("loras/ink-mid_7-vid_11.safetensors")
    with running_indexer(library.stores):
        eventually(lambda: library.names() == ["Ink"])
        metadata = {"url": "https://example.invalid/1.png", "width": 1, "height": 1, "meta": {"prompt": "a lighthouse"}}
        (folder / "1.json").write_text(json.dumps(metadata))
        eventually(lambda: library.models()[0].versions[0].images[0].prompt == "a lighthouse")
        (folder / "model_dict-mid_7-vid_11.json").write_text(json.dumps(civitai_model(7, 11, name="Other")))
        eventually(lambda: library.names() == ["Other"])


def test_a_requested_scan_publishes_its_progress(library: IndexedLibrary) -> None:
    """Requests that wait for an indexer share one scan."""
    library.write_model("a.safetensors")
    scans = library.stores.scan_requests
    after = scans.last_event_id()
    scan_ids = {scans.request(full=False) for _ in range(5)}
    assert len(scan_ids) == 1
    full = scans.request(full=True)
    assert scans.request(full=True) == full
    with running_indexer(library.stores):
        events = library.collect_events(after, lambda event: event["id"] == full and event["state"] == "done")
        done = {event["id"]: event for event in events if event["state"] == "done"}
        assert done.keys() >= {"boot", full, *scan_ids}
        assert done[full]["read"] == 1
        assert scans.latest() is not None
        again = scans.request(full=False)
        events = library.collect_events(after, lambda event: event["id"] == again and event["state"] == "done")
        assert events[-1]["read"] == 0
        assert [event["phase"] for event in events if event["id"] == full][-1] == "done"


def test_one_of_two_indexers_is_the_leader(library: IndexedLibrary) -> None:
    """When it stops, the other one takes over."""
    with running_indexer(library.stores) as first:
        eventually(library.stores.scan_requests.latest)
        after = library.stores.scan_requests.last_event_id()
        with open_stores_with_database(library.stores.settings) as stores, running_indexer(stores):
            library.write_model("a.safetensors")
            events = library.collect_events(after, lambda event: event["id"] == "change")
            assert all(event["id"] == "change" for event in events)
            first.stop()
            library.collect_events(after, lambda event: event["id"] == "boot")
            library.write_model("b.safetensors")
            eventually(lambda: library.names("is:hashed") == ["a", "b"])


def test_indexing_continues_without_redis(library: IndexedLibrary, tmp_path: Path) -> None:
    """Changes are indexed, and requests are answered once Redis is back."""
    socket = tmp_path / "r" / SOCKET_NAME
    socket.parent.mkdir()
    server = subprocess.Popen(server_command(socket.parent, socket))
    url = f"unix://{socket}?db=0"
    client = connect(url, retries=0)
    eventually(lambda: answers_ping(client))
    with open_stores_with_database(replace(library.stores.settings, redis_url=url)) as stores, running_indexer(stores):
        eventually(stores.scan_requests.latest)
        server.kill()
        server.wait()
        library.write_model("a.safetensors")
        eventually(lambda: library.names() == ["a"])
        with subprocess.Popen(server_command(socket.parent, socket)) as server:
            eventually(lambda: answers_ping(client))
            scan_id = stores.scan_requests.request(full=False)
            eventually(lambda: (stores.scan_requests.latest() or {}).get("id") == scan_id)
            server.send_signal(signal.SIGTERM)
    client.close()


def test_a_missing_root_does_not_remove_its_models(library: IndexedLibrary) -> None:
    """An example is a disk that is not mounted; once it is back, it is watched again."""
    library.write_model("a.safetensors")
    away = library.folder.with_name("away")
    with running_indexer(library.stores):
        eventually(lambda: library.names() == ["a"])
        library.folder.rename(away)
        eventually(lambda: library.stores.library.maintenance.get_counts()["problems"] == 1)
        assert library.names() == ["a"]
        away.rename(library.folder)
        eventually(lambda: library.stores.library.maintenance.get_counts()["problems"] == 0)
        library.write_model("b.safetensors")
        eventually(lambda: library.names() == ["a", "b"])


def test_models_of_a_removed_root_are_hidden_until_it_is_back(library: IndexedLibrary, tmp_path: Path) -> None:
    """They keep their edits and ids."""
    library.write_model("a.safetensors")
    other = tmp_path / "other"
    write_safetensors(other / "b.safetensors", data=b"other")
    both = replace(library.stores.settings, models_dir=(library.folder, other))
    with open_stores_with_database(both) as stores, running_indexer(stores):
        eventually(lambda: library.names() == ["a", "b"])
        model_id = library.models()[1].id
        stores.library.user_edits.write(model_id, {"notes": "mine"})
    with running_indexer(library.stores):
        eventually(lambda: library.names() == ["a"])
    with open_stores_with_database(both) as stores, running_indexer(stores):
        eventually(lambda: library.names("has:notes") == ["b"])
        assert library.models()[1].id == model_id


def test_a_missing_root_does_not_affect_the_others(library: IndexedLibrary, tmp_path: Path) -> None:
    """It is reported, and indexed once it is there."""
    library.write_model("a.safetensors")
    away = tmp_path / "away"
    with capture_logs() as logs:
        both = replace(library.stores.settings, models_dir=(away, library.folder))
        with open_stores_with_database(both) as stores, running_indexer(stores):
            eventually(lambda: library.names() == ["a"])
            assert [problem.code for problem in stores.library.maintenance.list_problems(9)[0]] == ["unreadable"]
            write_safetensors(away / "b.safetensors", data=b"b")
            eventually(lambda: library.names() == ["a", "b"])
    assert [entry["root"] for entry in logs if entry["event"] == "library.root_missing"] == [str(away)]


def test_without_roots_all_models_are_missing(library: IndexedLibrary) -> None:
    """This happens only if no process with roots is the leader."""
    library.write_model("a.safetensors")
    none = replace(library.stores.settings, models_dir=())
    with running_indexer(library.stores):
        eventually(lambda: library.names() == ["a"])
        with open_stores_with_database(none) as stores:
            idle = LibraryIndexer(stores)
            idle.start()
            eventually(lambda: not idle._threads[-1].is_alive())
            idle.stop()
        assert library.names() == ["a"]
    with open_stores_with_database(none) as stores, running_indexer(stores):
        eventually(lambda: library.names() == [])
        eventually(lambda: stores.library.maintenance.acquire_lease("scanning", "a process with roots"))
    assert library.names("is:missing") == ["a"]


def test_hashing_is_interrupted_and_resumed(library: IndexedLibrary) -> None:
    """It stops in the middle of a large file, and every file is hashed in the end."""
    large = library.write_model("large.safetensors")
    with large.open("r+b") as file:
        file.truncate(40 * GIGABYTE)
    library.write_model("small.safetensors")
    slow = replace(library.stores.settings, hash_rate_mb_s=1)
    with open_stores_with_database(slow) as stores, running_indexer(stores):
        eventually(lambda: library.names("is:hashed") == ["small"])
    assert library.names("large -is:hashed") == ["large"]
    with large.open("r+b") as file:
        file.truncate(2 * CHUNK_BYTES)
    with running_indexer(library.stores):
        eventually(lambda: "large" in library.names("is:hashed"))


def test_a_long_scan_is_interrupted_without_errors(library: IndexedLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next indexer answers the request for it."""
    for number in range(120):
        library.write_model(f"{number}.safetensors")
    stopping = threading.Event()
    reading, read = threading.Event(), indexer.Scan._read_file

    def slow(self: Any, file: Any) -> Any:
        reading.set()
        stopping.wait(30)
        return read(self, file)

    scan_id = library.stores.scan_requests.request(full=False)
    after = library.stores.scan_requests.last_event_id()
    with capture_logs() as logs, monkeypatch.context() as patch:
        patch.setattr(indexer.Scan, "_read_file", slow)
        library_indexer = LibraryIndexer(library.stores)
        library_indexer.start()
        assert reading.wait(30)
        stopping_thread = threading.Thread(target=library_indexer.stop)
        stopping_thread.start()
        eventually(library_indexer._stop_event.is_set)
        stopping.set()
        stopping_thread.join(30)
        assert not stopping_thread.is_alive()
    assert library.names() == []
    assert not [entry for entry in logs if entry["log_level"] in ("warning", "error", "critical")]
    with running_indexer(library.stores):
        library.collect_events(after, lambda event: event["id"] == scan_id and event["state"] == "done")
        assert len(library.names()) == 100


def test_an_interrupted_request_is_answered_by_the_next_indexer(
    library: IndexedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next indexer runs a full scan, as requested."""
    reading, stopping = threading.Event(), threading.Event()
    with monkeypatch.context() as patch:
        library_indexer = LibraryIndexer(library.stores)
        library_indexer.start()
        eventually(library.stores.scan_requests.latest)
        read = indexer.Scan._read_file

        def slow(self: Any, file: Any) -> Any:
            reading.set()
            stopping.wait(30)
            return read(self, file)

        patch.setattr(indexer.Scan, "_read_file", slow)
        patch.setattr(library_indexer._watcher, "take_changes", list)
        library.write_model("a.safetensors")
        after = library.stores.scan_requests.last_event_id()
        scan_id = library.stores.scan_requests.request(full=True)
        assert reading.wait(30)
        stopping_thread = threading.Thread(target=library_indexer.stop)
        stopping_thread.start()
        eventually(library_indexer._stop_event.is_set)
        stopping.set()
        stopping_thread.join(30)
    with running_indexer(library.stores):
        events = library.collect_events(after, lambda event: event["id"] == scan_id and event["state"] == "done")
    assert events[-1]["read"] == 1


def test_hashing_is_rate_limited() -> None:
    """A pause causes no burst."""
    waits: list[float] = []
    limiter = ByteRateLimiter(2, waits.append)
    for _ in range(4):
        limiter.consume(1_000_000)
    assert waits == pytest.approx([0.5, 1.0, 1.5, 2.0], abs=0.1)


def test_without_file_watching_everything_is_compared(library: IndexedLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is compared every minute, and the log says so once."""

    def refuse(*_roots: Path, **_options: Any) -> Iterator[Any]:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(watch_folders, "watch", refuse)
    with capture_logs() as logs:
        watcher = FolderWatcher((library.folder,), fallback_rescan_s=0.01)
        watcher.start()
        try:
            for _ in range(3):
                assert [scope.subfolder for scope in eventually(watcher.take_changes)] == [b""]
        finally:
            watcher.stop()
    assert [entry["event"] for entry in logs] == ["library.not_watched"]
    assert watch_folders.FALLBACK_RESCAN_S == 60


def test_an_undecodable_file_name_does_not_end_watching(library: IndexedLibrary) -> None:
    """It is logged, and all files are indexed."""
    with capture_logs() as logs, running_indexer(library.stores):
        eventually(library.stores.scan_requests.latest)
        for number in range(2):
            library.write_model(f"before{number}.safetensors")
            hostile = os.fsencode(library.folder) + b"/%d\xff.safetensors" % number
            Path(os.fsdecode(hostile)).write_bytes((library.folder / f"before{number}.safetensors").read_bytes() + b"x")
            eventually(lambda expected=2 * number + 2: len(library.names()) == expected)
        library.write_model("after.safetensors")
        eventually(lambda: "after" in library.names())
    assert {entry["log_level"] for entry in logs if entry["event"] == "library.not_watched"} == {"warning"}


def test_everything_is_compared_periodically(library: IndexedLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """This needs no notification of changes."""
    monkeypatch.setattr(FolderWatcher, "take_changes", lambda _self: [])
    with (
        open_stores_with_database(replace(library.stores.settings, rescan_every_s=1)) as stores,
        running_indexer(stores),
    ):
        eventually(stores.scan_requests.latest)
        library.write_model("a.safetensors")
        eventually(lambda: library.names() == ["a"])


def test_unreferenced_media_are_deleted_after_a_day(library: IndexedLibrary) -> None:
    """They are deleted also without a library."""
    media = library.stores.media
    folder = Path(library.stores.settings.media_url.removeprefix("file://"))
    library.write_model("a.safetensors")
    with running_indexer(library.stores):
        eventually(lambda: library.names() == ["a"])
    [model] = library.models()
    for key in ("library/known.png", "library/orphan.png", "library/young.png", "uploads/old", "uploads/young"):
        media.put(key, b"bytes")
        if "young" not in key:
            os.utime(folder / key, (1, 1))
    values = {"media_key": "library/known.png", "nsfw_level": 0, "params": {}}
    library.stores.library.images.add(model.id, None, values)
    with open_stores_with_database(replace(library.stores.settings, models_dir=())) as stores, running_indexer(stores):
        eventually(lambda: not media.exists("library/orphan.png") and not media.exists("uploads/old"))
    assert all(media.exists(key) for key in ("library/known.png", "library/young.png", "uploads/young"))
