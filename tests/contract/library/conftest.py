"""A folder of models and its index in SQLite and PostgreSQL."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.conftest import FakeClock
from tests.support.indexed_folder import IndexedFolder


@pytest.fixture
def library(engine: Engine, clock: FakeClock, tmp_path: Path) -> IndexedFolder:
    """An empty folder and its index."""
    folder = tmp_path / "models"
    folder.mkdir()
    return IndexedFolder(folder, engine, clock)
