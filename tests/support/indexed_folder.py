"""A folder of models and its index, without an app: for tests of the library's stores."""

import json
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, func, select

from schemas.library.search_query import SortKey, SortOrder, parse_query
from stores.library import Library, tables
from stores.library.search import SearchFilter
from tests.conftest import FakeClock
from workers.library.scanner.hash_file import ByteRateLimiter, hash_file
from workers.library.scanner.scan import Scan, ScanProgress, ScanScope

BY_NAME = SortOrder(SortKey.NAME, descending=False)


@dataclass
class IndexedFolder:
    """A folder of models, and the database that has its index."""

    folder: Path
    engine: Engine
    clock: FakeClock

    @property
    def stores(self) -> Library:
        """The stores of the library."""
        return Library.from_engine(self.engine, self.clock)

    def scan(self, *, full: bool = False, subfolder: bytes = b"") -> ScanProgress:
        """Run one scan."""
        return Scan(self.stores.scan_writer, (self.folder,)).run([ScanScope(self.folder, subfolder, full)])

    def hash(self) -> int:
        """Hash all files that wait for it; return how many these are."""
        count, store = 0, self.stores.file_hashes
        while pending := store.list_pending([str(self.folder)], 1):
            hashed = hash_file(pending[0], (self.folder,), ByteRateLimiter(0), lambda: True)
            assert store.record(pending[0], hashed.content, hashed.hashes)
            count += 1
        return count

    def ids(self, search: str = "") -> list[int]:
        """Return the ids of the models that a search finds, by name."""
        page = self.stores.search.find_page(SearchFilter({}, parse_query(search), BY_NAME), limit=100)
        assert page.total == len(page.ids)
        return page.ids

    def names(self, search: str = "") -> list[str]:
        """Return the names of the models that a search finds."""
        return self.names_of(self.ids(search))

    def names_of(self, model_ids: list[int]) -> list[str]:
        """Return the names of models."""
        with self.engine.connect() as connection:
            query = select(tables.models.c.id, tables.models.c.name)
            names = {row.id: row.name for row in connection.execute(query)}
        return [names[model_id] for model_id in model_ids]

    def write_edit(self, model_id: int, field: str, value: str) -> None:
        """Insert a user edit without rebuilding the read model."""
        with self.engine.begin() as connection:
            values = {"model_id": model_id, "field": field, "value": json.dumps(value), "edited_at": 0}
            connection.execute(tables.user_edits.insert().values(**values))

    def edits(self) -> dict[int, str]:
        """Return the values of user edits by model; of several fields of one model, only one."""
        with self.engine.connect() as connection:
            return {row.model_id: json.loads(row.value) for row in connection.execute(select(tables.user_edits))}

    def count_rows(self, table: str) -> int:
        """Return how many rows a table has."""
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(getattr(tables, table))).scalar_one())

    def model_by_file(self) -> dict[str, int]:
        """Return the model of each file on disk, by the file's name."""
        joined = tables.files.join(tables.versions, tables.versions.c.id == tables.files.c.version_id)
        query = select(tables.files.c.name, tables.versions.c.model_id).select_from(joined)
        with self.engine.connect() as connection:
            rows = connection.execute(query.where(tables.files.c.missing_since.is_(None))).all()
        return {row.name: row.model_id for row in rows}
