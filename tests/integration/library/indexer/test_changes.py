"""The indexer notices changes on disk."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.conftest import eventually
from tests.integration.library.indexer.conftest import IndexedLibrary, open_stores_with_database, running_indexer
from tests.support.model_files import civitai_model
from workers.library.scanner import watch_folders
from workers.library.scanner.watch_folders import FolderWatcher


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
