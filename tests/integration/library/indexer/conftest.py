"""A library folder and its indexer, on real folders, Redis and database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ops.infra.settings import Settings
from schemas.library.model_views import ModelView
from schemas.library.search_query import SortKey, SortOrder, parse_query
from stores import Stores, open_stores
from stores.library.search import SearchFilter
from tests.conftest import create_tables, eventually
from tests.support.model_files import write_safetensors
from workers.library import indexer, leader_lock
from workers.library.indexer import LibraryIndexer
from workers.library.scanner import watch_folders


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
    create_tables(settings.database_url)
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
