"""The indexer and folders that are missing or not named any more."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from schemas.errors import NotFound
from stores.library import tables
from stores.library.maintenance import SCANNING, SWEEPING
from tests.conftest import eventually
from tests.integration.library.indexer.conftest import IndexedLibrary, open_stores_with_database, running_indexer
from tests.support.model_files import write_safetensors
from workers.library import indexer
from workers.library.indexer import LibraryIndexer
from workers.library.leader_lock import machine_name
from workers.library.scanner.scan import Scan, ScanScope


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


def test_a_process_without_roots_does_not_change_the_library(library: IndexedLibrary) -> None:
    """Even if it is the only process: the database records the folders of the library."""
    library.write_model("a.safetensors")
    none = replace(library.stores.settings, models_dir=())
    with running_indexer(library.stores):
        eventually(lambda: library.names() == ["a"])
    with open_stores_with_database(none) as stores:
        idle = LibraryIndexer(stores)
        assert [thread.name for thread in idle._threads] == [f"library {SWEEPING}"]
        idle.start()
        idle.stop()
        assert library.names() == ["a"]
        assert [root.path for root in stores.library.roots.list_all()] == [str(library.folder)]


def test_a_machine_that_does_not_scan_renews_its_record(
    library: IndexedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folders are in the library while it runs, however long another machine leads."""
    monkeypatch.setattr(indexer, "RECORD_INTERVAL_S", 0.0)
    assert library.stores.library.maintenance.acquire_lease(SCANNING, "another machine")

    def named_at() -> int:
        with library.stores.engine.connect() as connection:
            return connection.execute(select(func.max(tables.roots.c.named_at))).scalar_one() or 0

    with running_indexer(library.stores):
        first = eventually(named_at)
        eventually(lambda: named_at() > first)
    assert [root.machines for root in library.stores.library.roots.list_all()] == [(machine_name(),)]


def test_another_machine_adds_its_folders(library: IndexedLibrary, tmp_path: Path) -> None:
    """They stay when the lead passes on, until their machine does not name them any more or a command removes them."""
    here, there = str(library.folder), str(tmp_path / "other")
    library.write_model("a.safetensors")
    write_safetensors(tmp_path / "other" / "b.safetensors", data=b"other")
    roots = library.stores.library.roots
    with running_indexer(library.stores):
        eventually(lambda: library.names() == ["a"])
    roots.record("elsewhere", [there, here])
    elsewhere = replace(library.stores.settings, models_dir=(tmp_path / "other",))
    with open_stores_with_database(elsewhere) as stores:
        scope = ScanScope(tmp_path / "other", full=False)
        Scan(stores.library.scan_writer, stores.settings.models_dir, lambda _: None, lambda: True).run([scope])
    with running_indexer(library.stores):
        eventually(lambda: library.names() == ["a", "b"])
    assert [(root.path, root.machines) for root in roots.list_all()] == [
        (here, ("elsewhere", machine_name())),
        (there, ("elsewhere",)),
    ]
    roots.record("elsewhere", [here])
    assert library.names() == ["a"]
    roots.remove(here)
    assert library.names() == []
    assert library.names("is:missing") == ["a", "b"]
    with pytest.raises(NotFound):
        roots.remove(here)
