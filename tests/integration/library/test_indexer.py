"""Who looks after the library: on real folders, a real Redis and a real database."""

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
    """A library, and who may look after it."""

    folder: Path
    stores: Stores

    def models(self, search: str = "") -> list[ModelView]:
        """The models that a search finds, whole."""
        wanted = SearchFilter({}, parse_query(search), SortOrder(SortKey.NAME, descending=False))
        ids = self.stores.library.search.find_page(wanted, limit=100).ids
        return self.stores.library.models.get_many(ids, with_versions=True)

    def names(self, search: str = "") -> list[str]:
        """Their names."""
        return [model.name for model in self.models(search)]

    def write_model(self, name: str, **data: Any) -> Path:
        """A model on disk."""
        return write_safetensors(self.folder / name, **({"data": name.encode()} | data))

    def collect_events(self, after: str, until: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """What is told after a place, up to the first of which something is true."""
        told: list[dict[str, Any]] = []

        def look() -> bool:
            nonlocal after
            for place, news in self.stores.scan_requests.read_events(after, 0.1):
                after = place
                told.append(news)
            return any(map(until, told))

        eventually(look)
        return told


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for longer than it must be."""
    monkeypatch.setattr(leader_lock, "RETRY_INTERVAL_S", 0.1)
    monkeypatch.setattr(indexer, "RETRY_INTERVAL_S", 0.1)
    monkeypatch.setattr(indexer, "REQUEST_POLL_S", 0.1)
    monkeypatch.setattr(indexer, "PROGRESS_INTERVAL_S", 0.0)
    monkeypatch.setattr(watch_folders, "DEBOUNCE_MS", 100)
    monkeypatch.setattr(watch_folders, "POLL_MS", 60)
    monkeypatch.setattr(watch_folders, "RESTART_DELAY_S", 0.1)


@pytest.fixture
def kept(settings: Settings, tmp_path: Path) -> Iterator[IndexedLibrary]:
    """An empty library that nobody looks after."""
    folder = tmp_path / "models"
    folder.mkdir()
    with open_stores_with_database(replace(settings, models_dir=(folder,))) as stores:
        yield IndexedLibrary(folder, stores)


@contextmanager
def open_stores_with_database(settings: Settings) -> Iterator[Stores]:
    """The stores of these settings, with a database."""
    migrate(settings.database_url)
    stores = open_stores(settings)
    try:
        yield stores
    finally:
        stores.close()


@contextmanager
def running_indexer(stores: Stores) -> Iterator[LibraryIndexer]:
    """Somebody does."""
    librarian_ = LibraryIndexer(stores)
    librarian_.start()
    try:
        yield librarian_
    finally:
        librarian_.stop()


def test_what_happens_to_the_files_is_noticed(kept: IndexedLibrary) -> None:
    """What is there at the beginning, what is added, changed in place, renamed and removed."""
    path = kept.write_model("loras/first.safetensors")
    with running_indexer(kept.stores):
        eventually(lambda: kept.names("is:hashed") == ["first"])
        [first] = kept.models()
        kept.write_model("loras/new folder/second.safetensors")
        eventually(lambda: kept.names() == ["first", "second"])
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"!")
        eventually(lambda: kept.models("first")[0].id != first.id)
        path.rename(path.with_name("third.safetensors"))
        eventually(lambda: kept.names() == ["second", "third"])
        shutil.rmtree(kept.folder / "loras" / "new folder")
        eventually(lambda: kept.names() == ["third"])


def test_a_file_in_a_downloaders_folder_is_noticed(kept: IndexedLibrary) -> None:
    """Also one that is written again in its place, which changes no folder."""
    folder = kept.folder / "loras" / "extra_data-vid_11"
    folder.mkdir(parents=True)
    for name in ("model_dict-mid_7-vid_11.json", "1.json", "1.png"):
        (folder / name).write_text(json.dumps(civitai_model(7, 11)) if "dict" in name else "{}")
    kept.write_model("loras/ink-mid_7-vid_11.safetensors")
    with running_indexer(kept.stores):
        eventually(lambda: kept.names() == ["Ink"])
        said = {"url": "https://example.invalid/1.png", "width": 1, "height": 1, "meta": {"prompt": "a lighthouse"}}
        (folder / "1.json").write_text(json.dumps(said))
        eventually(lambda: kept.models()[0].versions[0].images[0].prompt == "a lighthouse")
        (folder / "model_dict-mid_7-vid_11.json").write_text(json.dumps(civitai_model(7, 11, name="Other")))
        eventually(lambda: kept.names() == ["Other"])


def test_who_asks_for_a_scan_is_told(kept: IndexedLibrary) -> None:
    """Several who ask while nobody looks after the library get one scan."""
    kept.write_model("a.safetensors")
    scans = kept.stores.scan_requests
    after = scans.last_event_id()
    idents = {scans.request(full=False) for _ in range(5)}
    assert len(idents) == 1
    full = scans.request(full=True)
    assert scans.request(full=True) == full
    with running_indexer(kept.stores):
        told = kept.collect_events(after, lambda news: news["id"] == full and news["state"] == "done")
        done = {news["id"]: news for news in told if news["state"] == "done"}
        assert done.keys() >= {"boot", full, *idents}
        assert done[full]["read"] == 1
        assert scans.latest() is not None
        again = scans.request(full=False)
        told = kept.collect_events(after, lambda news: news["id"] == again and news["state"] == "done")
        assert told[-1]["read"] == 0
        assert [news["phase"] for news in told if news["id"] == full][-1] == "done"


def test_one_of_two_has_the_duty(kept: IndexedLibrary) -> None:
    """When it is gone the other goes on."""
    with running_indexer(kept.stores) as first:
        eventually(kept.stores.scan_requests.latest)
        after = kept.stores.scan_requests.last_event_id()
        with open_stores_with_database(kept.stores.settings) as stores, running_indexer(stores):
            kept.write_model("a.safetensors")
            told = kept.collect_events(after, lambda news: news["id"] == "change")
            assert all(news["id"] == "change" for news in told)
            first.stop()
            kept.collect_events(after, lambda news: news["id"] == "boot")
            kept.write_model("b.safetensors")
            eventually(lambda: kept.names("is:hashed") == ["a", "b"])


def test_without_redis_the_library_is_looked_after(kept: IndexedLibrary, tmp_path: Path) -> None:
    """Nobody can ask for a scan; what changes is noticed all the same, and who asks afterwards is heard."""
    socket = tmp_path / "r" / SOCKET_NAME
    socket.parent.mkdir()
    server = subprocess.Popen(server_command(socket.parent, socket))
    url = f"unix://{socket}?db=0"
    client = connect(url, retries=0)
    eventually(lambda: answers_ping(client))
    with open_stores_with_database(replace(kept.stores.settings, redis_url=url)) as stores, running_indexer(stores):
        eventually(stores.scan_requests.latest)
        server.kill()
        server.wait()
        kept.write_model("a.safetensors")
        eventually(lambda: kept.names() == ["a"])
        with subprocess.Popen(server_command(socket.parent, socket)) as server:
            eventually(lambda: answers_ping(client))
            ident = stores.scan_requests.request(full=False)
            eventually(lambda: (stores.scan_requests.latest() or {}).get("id") == ident)
            server.send_signal(signal.SIGTERM)
    client.close()


def test_a_folder_that_vanishes_takes_nothing_away(kept: IndexedLibrary) -> None:
    """As when a disk is not there; once it is back it is watched again."""
    kept.write_model("a.safetensors")
    away = kept.folder.with_name("away")
    with running_indexer(kept.stores):
        eventually(lambda: kept.names() == ["a"])
        kept.folder.rename(away)
        eventually(lambda: kept.stores.library.maintenance.get_counts()["problems"] == 1)
        assert kept.names() == ["a"]
        away.rename(kept.folder)
        eventually(lambda: kept.stores.library.maintenance.get_counts()["problems"] == 0)
        kept.write_model("b.safetensors")
        eventually(lambda: kept.names() == ["a", "b"])


def test_a_root_that_is_taken_out_is_forgotten_until_it_is_back(kept: IndexedLibrary, tmp_path: Path) -> None:
    """What a person wrote about its models is still there."""
    kept.write_model("a.safetensors")
    other = tmp_path / "other"
    write_safetensors(other / "b.safetensors", data=b"other")
    both = replace(kept.stores.settings, models_dir=(kept.folder, other))
    with open_stores_with_database(both) as stores, running_indexer(stores):
        eventually(lambda: kept.names() == ["a", "b"])
        ident = kept.models()[1].id
        stores.library.user_edits.write(ident, {"notes": "mine"})
    with running_indexer(kept.stores):
        eventually(lambda: kept.names() == ["a"])
    with open_stores_with_database(both) as stores, running_indexer(stores):
        eventually(lambda: kept.names("has:notes") == ["b"])
        assert kept.models()[1].id == ident


def test_a_root_that_is_away_keeps_nobody_from_the_others(kept: IndexedLibrary, tmp_path: Path) -> None:
    """It is told, and found when it is back."""
    kept.write_model("a.safetensors")
    away = tmp_path / "away"
    with capture_logs() as logs:
        both = replace(kept.stores.settings, models_dir=(away, kept.folder))
        with open_stores_with_database(both) as stores, running_indexer(stores):
            eventually(lambda: kept.names() == ["a"])
            assert [one.code for one in stores.library.maintenance.list_problems(9)[0]] == ["unreadable"]
            write_safetensors(away / "b.safetensors", data=b"b")
            eventually(lambda: kept.names() == ["a", "b"])
    assert [entry["root"] for entry in logs if entry["event"] == "library.root_away"] == [str(away)]


def test_without_any_root_all_is_out_of_reach(kept: IndexedLibrary) -> None:
    """Unless somebody else looks after them, who has some."""
    kept.write_model("a.safetensors")
    none = replace(kept.stores.settings, models_dir=())
    with running_indexer(kept.stores):
        eventually(lambda: kept.names() == ["a"])
        with open_stores_with_database(none) as stores:
            idle = LibraryIndexer(stores)
            idle.start()
            eventually(lambda: not idle._threads[-1].is_alive())
            idle.stop()
        assert kept.names() == ["a"]
    with open_stores_with_database(none) as stores, running_indexer(stores):
        eventually(lambda: kept.names() == [])
        eventually(lambda: stores.library.maintenance.acquire_lease("scanning", "somebody with folders"))
    assert kept.names("is:missing") == ["a"]


def test_hashing_is_ended_and_taken_up_again(kept: IndexedLibrary) -> None:
    """In the middle of a file of many gigabytes; no file is forgotten."""
    large = kept.write_model("large.safetensors")
    with large.open("r+b") as file:
        file.truncate(40 * GIGABYTE)
    kept.write_model("small.safetensors")
    slow = replace(kept.stores.settings, hash_rate_mb_s=1)
    with open_stores_with_database(slow) as stores, running_indexer(stores):
        eventually(lambda: kept.names("is:hashed") == ["small"])
    assert kept.names("large -is:hashed") == ["large"]
    with large.open("r+b") as file:
        file.truncate(2 * CHUNK_BYTES)
    with running_indexer(kept.stores):
        eventually(lambda: "large" in kept.names("is:hashed"))


def test_a_long_scan_is_ended_quietly(kept: IndexedLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked for it is answered by whoever takes it up."""
    for number in range(120):
        kept.write_model(f"{number}.safetensors")
    stopping = threading.Event()
    reading, read = threading.Event(), indexer.Scan._read_file

    def slow(self: Any, one: Any) -> Any:
        reading.set()
        stopping.wait(30)
        return read(self, one)

    ident = kept.stores.scan_requests.request(full=False)
    after = kept.stores.scan_requests.last_event_id()
    with capture_logs() as logs, monkeypatch.context() as patch:
        patch.setattr(indexer.Scan, "_read_file", slow)
        librarian_ = LibraryIndexer(kept.stores)
        librarian_.start()
        assert reading.wait(30)
        ending = threading.Thread(target=librarian_.stop)
        ending.start()
        eventually(librarian_._stop_event.is_set)
        stopping.set()
        ending.join(30)
        assert not ending.is_alive()
    assert kept.names() == []
    assert not [entry for entry in logs if entry["log_level"] in ("warning", "error", "critical")]
    with running_indexer(kept.stores):
        kept.collect_events(after, lambda news: news["id"] == ident and news["state"] == "done")
        assert len(kept.names()) == 100


def test_what_was_asked_for_is_not_lost_with_who_began_it(
    kept: IndexedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked of the next."""
    reading, stopping = threading.Event(), threading.Event()
    with monkeypatch.context() as patch:
        librarian_ = LibraryIndexer(kept.stores)
        librarian_.start()
        eventually(kept.stores.scan_requests.latest)
        read = indexer.Scan._read_file

        def slow(self: Any, one: Any) -> Any:
            reading.set()
            stopping.wait(30)
            return read(self, one)

        patch.setattr(indexer.Scan, "_read_file", slow)
        patch.setattr(librarian_._watcher, "take_changes", list)
        kept.write_model("a.safetensors")
        after = kept.stores.scan_requests.last_event_id()
        ident = kept.stores.scan_requests.request(full=True)
        assert reading.wait(30)
        ending = threading.Thread(target=librarian_.stop)
        ending.start()
        eventually(librarian_._stop_event.is_set)
        stopping.set()
        ending.join(30)
    with running_indexer(kept.stores):
        told = kept.collect_events(after, lambda news: news["id"] == ident and news["state"] == "done")
    assert told[-1]["read"] == 1


def test_hashing_goes_no_faster_than_allowed() -> None:
    """So many bytes a second, without bursts after a pause."""
    waits: list[float] = []
    pace = ByteRateLimiter(2, waits.append)
    for _ in range(4):
        pace.consume(1_000_000)
    assert waits == pytest.approx([0.5, 1.0, 1.5, 2.0], abs=0.1)


def test_where_the_system_watches_nothing_all_is_compared(
    kept: IndexedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said once, and every minute the whole is looked at."""

    def refuse(*_roots: Path, **_options: Any) -> Iterator[Any]:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(watch_folders, "watch", refuse)
    with capture_logs() as logs:
        watching_ = FolderWatcher((kept.folder,), fallback_rescan_s=0.01)
        watching_.start()
        try:
            for _ in range(3):
                assert [part.below for part in eventually(watching_.take_changes)] == [b""]
        finally:
            watching_.stop()
    assert [entry["event"] for entry in logs] == ["library.not_watched"]
    assert watch_folders.FALLBACK_RESCAN_S == 60


def test_a_name_that_is_no_text_does_not_end_the_watching(kept: IndexedLibrary) -> None:
    """It is told; what comes before, with and after it is noticed."""
    with capture_logs() as logs, running_indexer(kept.stores):
        eventually(kept.stores.scan_requests.latest)
        for number in range(2):
            kept.write_model(f"before{number}.safetensors")
            hostile = os.fsencode(kept.folder) + b"/%d\xff.safetensors" % number
            Path(os.fsdecode(hostile)).write_bytes((kept.folder / f"before{number}.safetensors").read_bytes() + b"x")
            eventually(lambda wanted=2 * number + 2: len(kept.names()) == wanted)
        kept.write_model("after.safetensors")
        eventually(lambda: "after" in kept.names())
    assert {entry["log_level"] for entry in logs if entry["event"] == "library.not_watched"} == {"warning"}


def test_all_is_compared_now_and_then(kept: IndexedLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the system tells of nothing."""
    monkeypatch.setattr(FolderWatcher, "take_changes", lambda _self: [])
    with open_stores_with_database(replace(kept.stores.settings, rescan_every_s=1)) as stores, running_indexer(stores):
        eventually(stores.scan_requests.latest)
        kept.write_model("a.safetensors")
        eventually(lambda: kept.names() == ["a"])


def test_pictures_that_nobody_knows_are_swept(kept: IndexedLibrary) -> None:
    """A day after they were put; also where there is no library."""
    media = kept.stores.media
    folder = Path(kept.stores.settings.media_url.removeprefix("file://"))
    kept.write_model("a.safetensors")
    with running_indexer(kept.stores):
        eventually(lambda: kept.names() == ["a"])
    [model] = kept.models()
    for key in ("library/known.png", "library/orphan.png", "library/young.png", "uploads/old", "uploads/young"):
        media.put(key, b"bytes")
        if "young" not in key:
            os.utime(folder / key, (1, 1))
    values = {"media_key": "library/known.png", "nsfw_level": 0, "params": {}}
    kept.stores.library.images.add(model.id, None, values)
    with open_stores_with_database(replace(kept.stores.settings, models_dir=())) as stores, running_indexer(stores):
        eventually(lambda: not media.exists("library/orphan.png") and not media.exists("uploads/old"))
    assert all(media.exists(key) for key in ("library/known.png", "library/young.png", "uploads/young"))
