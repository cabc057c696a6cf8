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
from schemas.library.model_views import ShownModel
from schemas.library.search_query import Order, Sort, read_query
from stores import Stores, open_stores
from stores.library.search import Wanted
from tests.conftest import _answers, eventually
from tests.support.model_files import catalogue, safetensors
from workers.library import indexer, leader_lock
from workers.library.indexer import Librarian
from workers.library.scanner import watch_folders
from workers.library.scanner.hash_file import CHUNK_BYTES, Pace
from workers.library.scanner.watch_folders import Watching

GIGABYTE = 1024**3


@dataclass(frozen=True)
class Kept:
    """A library, and who may look after it."""

    folder: Path
    stores: Stores

    def models(self, search: str = "") -> list[ShownModel]:
        """The models that a search finds, whole."""
        wanted = Wanted({}, read_query(search), Order(Sort.NAME, descending=False))
        ids = self.stores.library.listing.page(wanted, limit=100).ids
        return self.stores.library.shelf.some(ids, with_versions=True)

    def names(self, search: str = "") -> list[str]:
        """Their names."""
        return [model.name for model in self.models(search)]

    def model(self, name: str, **data: Any) -> Path:
        """A model on disk."""
        return safetensors(self.folder / name, **({"data": name.encode()} | data))

    def news(self, after: str, until: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """What is told after a place, up to the first of which something is true."""
        told: list[dict[str, Any]] = []

        def look() -> bool:
            nonlocal after
            for place, news in self.stores.scans.events(after, 0.1):
                after = place
                told.append(news)
            return any(map(until, told))

        eventually(look)
        return told


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for longer than it must be."""
    for module in (leader_lock, indexer):
        monkeypatch.setattr(module, "AWAY_S", 0.1)
    monkeypatch.setattr(indexer, "LOOK_S", 0.1)
    monkeypatch.setattr(indexer, "TELL_EVERY_S", 0.0)
    monkeypatch.setattr(watch_folders, "SETTLE_MS", 100)
    monkeypatch.setattr(watch_folders, "LOOK_MS", 60)
    monkeypatch.setattr(watch_folders, "AGAIN_S", 0.1)


@pytest.fixture
def kept(settings: Settings, tmp_path: Path) -> Iterator[Kept]:
    """An empty library that nobody looks after."""
    folder = tmp_path / "models"
    folder.mkdir()
    with opened(replace(settings, models_dir=(folder,))) as stores:
        yield Kept(folder, stores)


@contextmanager
def opened(settings: Settings) -> Iterator[Stores]:
    """The stores of these settings, with a database."""
    migrate(settings.database_url)
    stores = open_stores(settings)
    try:
        yield stores
    finally:
        stores.close()


@contextmanager
def looking_after(stores: Stores) -> Iterator[Librarian]:
    """Somebody does."""
    librarian_ = Librarian(stores)
    librarian_.start()
    try:
        yield librarian_
    finally:
        librarian_.stop()


def test_what_happens_to_the_files_is_noticed(kept: Kept) -> None:
    """What is there at the beginning, what is added, changed in place, renamed and removed."""
    path = kept.model("loras/first.safetensors")
    with looking_after(kept.stores):
        eventually(lambda: kept.names("is:hashed") == ["first"])
        [first] = kept.models()
        kept.model("loras/new folder/second.safetensors")
        eventually(lambda: kept.names() == ["first", "second"])
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"!")
        eventually(lambda: kept.models("first")[0].id != first.id)
        path.rename(path.with_name("third.safetensors"))
        eventually(lambda: kept.names() == ["second", "third"])
        shutil.rmtree(kept.folder / "loras" / "new folder")
        eventually(lambda: kept.names() == ["third"])


def test_a_file_in_a_downloaders_folder_is_noticed(kept: Kept) -> None:
    """Also one that is written again in its place, which changes no folder."""
    folder = kept.folder / "loras" / "extra_data-vid_11"
    folder.mkdir(parents=True)
    for name in ("model_dict-mid_7-vid_11.json", "1.json", "1.png"):
        (folder / name).write_text(json.dumps(catalogue(7, 11)) if "dict" in name else "{}")
    kept.model("loras/ink-mid_7-vid_11.safetensors")
    with looking_after(kept.stores):
        eventually(lambda: kept.names() == ["Ink"])
        said = {"url": "https://example.invalid/1.png", "width": 1, "height": 1, "meta": {"prompt": "a lighthouse"}}
        (folder / "1.json").write_text(json.dumps(said))
        eventually(lambda: kept.models()[0].versions[0].images[0].prompt == "a lighthouse")
        (folder / "model_dict-mid_7-vid_11.json").write_text(json.dumps(catalogue(7, 11, name="Other")))
        eventually(lambda: kept.names() == ["Other"])


def test_who_asks_for_a_scan_is_told(kept: Kept) -> None:
    """Several who ask while nobody looks after the library get one scan."""
    kept.model("a.safetensors")
    scans = kept.stores.scans
    after = scans.newest_place()
    idents = {scans.want(full=False) for _ in range(5)}
    assert len(idents) == 1
    full = scans.want(full=True)
    assert scans.want(full=True) == full
    with looking_after(kept.stores):
        told = kept.news(after, lambda news: news["id"] == full and news["state"] == "done")
        done = {news["id"]: news for news in told if news["state"] == "done"}
        assert done.keys() >= {"boot", full, *idents}
        assert done[full]["read"] == 1
        assert scans.latest() is not None
        again = scans.want(full=False)
        told = kept.news(after, lambda news: news["id"] == again and news["state"] == "done")
        assert told[-1]["read"] == 0
        assert [news["phase"] for news in told if news["id"] == full][-1] == "done"


def test_one_of_two_has_the_duty(kept: Kept) -> None:
    """When it is gone the other goes on."""
    with looking_after(kept.stores) as first:
        eventually(kept.stores.scans.latest)
        after = kept.stores.scans.newest_place()
        with opened(kept.stores.settings) as stores, looking_after(stores):
            kept.model("a.safetensors")
            told = kept.news(after, lambda news: news["id"] == "change")
            assert all(news["id"] == "change" for news in told)
            first.stop()
            kept.news(after, lambda news: news["id"] == "boot")
            kept.model("b.safetensors")
            eventually(lambda: kept.names("is:hashed") == ["a", "b"])


def test_without_redis_the_library_is_looked_after(kept: Kept, tmp_path: Path) -> None:
    """Nobody can ask for a scan; what changes is noticed all the same, and who asks afterwards is heard."""
    socket = tmp_path / "r" / SOCKET_NAME
    socket.parent.mkdir()
    server = subprocess.Popen(server_command(socket.parent, socket))
    url = f"unix://{socket}?db=0"
    client = connect(url, retries=0)
    eventually(lambda: _answers(client))
    with opened(replace(kept.stores.settings, redis_url=url)) as stores, looking_after(stores):
        eventually(stores.scans.latest)
        server.kill()
        server.wait()
        kept.model("a.safetensors")
        eventually(lambda: kept.names() == ["a"])
        with subprocess.Popen(server_command(socket.parent, socket)) as server:
            eventually(lambda: _answers(client))
            ident = stores.scans.want(full=False)
            eventually(lambda: (stores.scans.latest() or {}).get("id") == ident)
            server.send_signal(signal.SIGTERM)
    client.close()


def test_a_folder_that_vanishes_takes_nothing_away(kept: Kept) -> None:
    """As when a disk is not there; once it is back it is watched again."""
    kept.model("a.safetensors")
    away = kept.folder.with_name("away")
    with looking_after(kept.stores):
        eventually(lambda: kept.names() == ["a"])
        kept.folder.rename(away)
        eventually(lambda: kept.stores.library.upkeep.counts()["problems"] == 1)
        assert kept.names() == ["a"]
        away.rename(kept.folder)
        eventually(lambda: kept.stores.library.upkeep.counts()["problems"] == 0)
        kept.model("b.safetensors")
        eventually(lambda: kept.names() == ["a", "b"])


def test_a_root_that_is_taken_out_is_forgotten_until_it_is_back(kept: Kept, tmp_path: Path) -> None:
    """What a person wrote about its models is still there."""
    kept.model("a.safetensors")
    other = tmp_path / "other"
    safetensors(other / "b.safetensors", data=b"other")
    both = replace(kept.stores.settings, models_dir=(kept.folder, other))
    with opened(both) as stores, looking_after(stores):
        eventually(lambda: kept.names() == ["a", "b"])
        ident = kept.models()[1].id
        stores.library.edits.write(ident, {"notes": "mine"})
    with looking_after(kept.stores):
        eventually(lambda: kept.names() == ["a"])
    with opened(both) as stores, looking_after(stores):
        eventually(lambda: kept.names("has:notes") == ["b"])
        assert kept.models()[1].id == ident


def test_a_root_that_is_away_keeps_nobody_from_the_others(kept: Kept, tmp_path: Path) -> None:
    """It is told, and found when it is back."""
    kept.model("a.safetensors")
    away = tmp_path / "away"
    with capture_logs() as logs:
        both = replace(kept.stores.settings, models_dir=(away, kept.folder))
        with opened(both) as stores, looking_after(stores):
            eventually(lambda: kept.names() == ["a"])
            assert [one.code for one in stores.library.upkeep.problems(9)[0]] == ["unreadable"]
            safetensors(away / "b.safetensors", data=b"b")
            eventually(lambda: kept.names() == ["a", "b"])
    assert [entry["root"] for entry in logs if entry["event"] == "library.root_away"] == [str(away)]


def test_without_any_root_all_is_out_of_reach(kept: Kept) -> None:
    """Unless somebody else looks after them, who has some."""
    kept.model("a.safetensors")
    none = replace(kept.stores.settings, models_dir=())
    with looking_after(kept.stores):
        eventually(lambda: kept.names() == ["a"])
        with opened(none) as stores:
            idle = Librarian(stores)
            idle.start()
            eventually(lambda: not idle._threads[-1].is_alive())
            idle.stop()
        assert kept.names() == ["a"]
    with opened(none) as stores, looking_after(stores):
        eventually(lambda: kept.names() == [])
        eventually(lambda: stores.library.upkeep.take("scanning", "somebody with folders"))
    assert kept.names("is:missing") == ["a"]


def test_hashing_is_ended_and_taken_up_again(kept: Kept) -> None:
    """In the middle of a file of many gigabytes; no file is forgotten."""
    large = kept.model("large.safetensors")
    with large.open("r+b") as file:
        file.truncate(40 * GIGABYTE)
    kept.model("small.safetensors")
    slow = replace(kept.stores.settings, hash_rate_mb_s=1)
    with opened(slow) as stores, looking_after(stores):
        eventually(lambda: kept.names("is:hashed") == ["small"])
    assert kept.names("large -is:hashed") == ["large"]
    with large.open("r+b") as file:
        file.truncate(2 * CHUNK_BYTES)
    with looking_after(kept.stores):
        eventually(lambda: "large" in kept.names("is:hashed"))


def test_a_long_scan_is_ended_quietly(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked for it is answered by whoever takes it up."""
    for number in range(120):
        kept.model(f"{number}.safetensors")
    stopping = threading.Event()
    reading, read = threading.Event(), indexer.Scan._seen

    def slow(self: Any, one: Any) -> Any:
        reading.set()
        stopping.wait(30)
        return read(self, one)

    ident = kept.stores.scans.want(full=False)
    after = kept.stores.scans.newest_place()
    with capture_logs() as logs, monkeypatch.context() as patch:
        patch.setattr(indexer.Scan, "_seen", slow)
        librarian_ = Librarian(kept.stores)
        librarian_.start()
        assert reading.wait(30)
        ending = threading.Thread(target=librarian_.stop)
        ending.start()
        eventually(librarian_._stopped.is_set)
        stopping.set()
        ending.join(30)
        assert not ending.is_alive()
    assert kept.names() == []
    assert not [entry for entry in logs if entry["log_level"] in ("warning", "error", "critical")]
    with looking_after(kept.stores):
        kept.news(after, lambda news: news["id"] == ident and news["state"] == "done")
        assert len(kept.names()) == 100


def test_what_was_asked_for_is_not_lost_with_who_began_it(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked of the next."""
    reading, stopping = threading.Event(), threading.Event()
    with monkeypatch.context() as patch:
        librarian_ = Librarian(kept.stores)
        librarian_.start()
        eventually(kept.stores.scans.latest)
        read = indexer.Scan._seen

        def slow(self: Any, one: Any) -> Any:
            reading.set()
            stopping.wait(30)
            return read(self, one)

        patch.setattr(indexer.Scan, "_seen", slow)
        patch.setattr(librarian_._watching, "take", list)
        kept.model("a.safetensors")
        after = kept.stores.scans.newest_place()
        ident = kept.stores.scans.want(full=True)
        assert reading.wait(30)
        ending = threading.Thread(target=librarian_.stop)
        ending.start()
        eventually(librarian_._stopped.is_set)
        stopping.set()
        ending.join(30)
    with looking_after(kept.stores):
        told = kept.news(after, lambda news: news["id"] == ident and news["state"] == "done")
    assert told[-1]["read"] == 1


def test_hashing_goes_no_faster_than_allowed() -> None:
    """So many bytes a second, without bursts after a pause."""
    waits: list[float] = []
    pace = Pace(2, waits.append)
    for _ in range(4):
        pace.take(1_000_000)
    assert waits == pytest.approx([0.5, 1.0, 1.5, 2.0], abs=0.1)


def test_where_the_system_watches_nothing_all_is_compared(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once, and every minute the whole is looked at."""

    def refuse(*_roots: Path, **_options: Any) -> Iterator[Any]:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(watch_folders, "watch", refuse)
    with capture_logs() as logs:
        watching_ = Watching((kept.folder,), blind_every_s=0.01)
        watching_.start()
        try:
            for _ in range(3):
                assert [part.below for part in eventually(watching_.take)] == [b""]
        finally:
            watching_.stop()
    assert [entry["event"] for entry in logs] == ["library.not_watched"]
    assert watch_folders.BLIND_EVERY_S == 60


def test_a_name_that_is_no_text_does_not_end_the_watching(kept: Kept) -> None:
    """It is told; what comes before, with and after it is noticed."""
    with capture_logs() as logs, looking_after(kept.stores):
        eventually(kept.stores.scans.latest)
        for number in range(2):
            kept.model(f"before{number}.safetensors")
            hostile = os.fsencode(kept.folder) + b"/%d\xff.safetensors" % number
            Path(os.fsdecode(hostile)).write_bytes((kept.folder / f"before{number}.safetensors").read_bytes() + b"x")
            eventually(lambda wanted=2 * number + 2: len(kept.names()) == wanted)
        kept.model("after.safetensors")
        eventually(lambda: "after" in kept.names())
    assert {entry["log_level"] for entry in logs if entry["event"] == "library.not_watched"} == {"warning"}


def test_all_is_compared_now_and_then(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the system tells of nothing."""
    monkeypatch.setattr(Watching, "take", lambda _self: [])
    with opened(replace(kept.stores.settings, rescan_every_s=1)) as stores, looking_after(stores):
        eventually(stores.scans.latest)
        kept.model("a.safetensors")
        eventually(lambda: kept.names() == ["a"])


def test_pictures_that_nobody_knows_are_swept(kept: Kept) -> None:
    """A day after they were put; also where there is no library."""
    media = kept.stores.media
    folder = Path(kept.stores.settings.media_url.removeprefix("file://"))
    kept.model("a.safetensors")
    with looking_after(kept.stores):
        eventually(lambda: kept.names() == ["a"])
    [model] = kept.models()
    for key in ("library/known.png", "library/orphan.png", "library/young.png", "uploads/old", "uploads/young"):
        media.put(key, b"bytes")
        if "young" not in key:
            os.utime(folder / key, (1, 1))
    values = {"media_key": "library/known.png", "nsfw_level": 0, "params": {}}
    kept.stores.library.pictures.add(model.id, None, values)
    with opened(replace(kept.stores.settings, models_dir=())) as stores, looking_after(stores):
        eventually(lambda: not media.exists("library/orphan.png") and not media.exists("uploads/old"))
    assert all(media.exists(key) for key in ("library/known.png", "library/young.png", "uploads/young"))
