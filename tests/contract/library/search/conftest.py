"""Libraries that are searched, in SQLite and PostgreSQL."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from schemas.library.search_query import SearchQuery
from stores.library.search import SearchFilter
from tests.conftest import FakeClock
from tests.support.indexed_folder import BY_NAME, IndexedFolder
from tests.support.model_files import civitai_model


@pytest.fixture
def library(engine: Engine, clock: FakeClock, tmp_path: Path) -> IndexedFolder:
    """An empty folder and its index."""
    folder = tmp_path / "models"
    folder.mkdir()
    return IndexedFolder(folder, engine, clock)


def write_civitai_metadata(path: Path, model_id: int, **more: Any) -> None:
    """Write Civitai metadata beside a model file."""
    path.with_suffix(".api_info.json").write_text(json.dumps(civitai_model(model_id, 10 * model_id, **more)))


def find_names(library: IndexedFolder, **criteria: Any) -> list[str]:
    """Return the names of the models that match, by name unless ordered otherwise."""
    search = SearchFilter(**{"equal": {}, "query": SearchQuery(), "order": BY_NAME} | criteria)
    page = library.stores.search.find_page(search, limit=100)
    assert page.total == len(page.ids)
    return library.names_of(page.ids)
