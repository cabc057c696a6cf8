"""Libraries that the commands work on."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from ops.cli.main import main as darkroom
from ops.infra.clock import SystemClock
from ops.infra.database import open_database
from schemas.library.model_views import ModelView
from schemas.library.search_query import SortKey, SortOrder, parse_query
from stores.library import Library, tables
from stores.library.search import SearchFilter
from stores.media import Media
from tests.conftest import create_tables
from workers.library.scanner.hash_file import ByteRateLimiter, hash_file
from workers.library.scanner.scan import Scan, ScanScope

PNG = b"\x89PNG\r\n\x1a\n and more"


THUMB = b"RIFF\0\0\0\0WEBP and more"


@dataclass
class LibraryUnderTest:
    """A library with folders, database and media store, and a runner of its commands."""

    folder: Path
    data: Path

    def __post_init__(self) -> None:
        """Create the folders and an empty database."""
        self.folder.mkdir(parents=True)
        self.url = f"sqlite:///{self.data / 'darkroom.sqlite3'}"
        create_tables(self.url)
        self.engine = open_database(self.url)
        self.library = Library.from_engine(self.engine, SystemClock())
        self.media = Media((self.data / "media").as_uri())

    def run(self, *args: str, **environment: str) -> Result:
        """Run a command and return its result."""
        variables = {"DATA_DIR": str(self.data), "MODELS_DIR": str(self.folder), "LOG_LEVEL": "error", **environment}
        return CliRunner().invoke(darkroom, ["library", *args], env=variables)

    def scan(self) -> None:
        """Scan the folder and hash all files."""
        Scan(self.library.scan_writer, (self.folder,)).run([ScanScope(self.folder)])
        for pending in self.library.file_hashes.list_pending([str(self.folder)], 100):
            result = hash_file(pending, (self.folder,), ByteRateLimiter(0), lambda: True)
            self.library.file_hashes.record(pending, result.content, result.hashes)

    def is_locked(self) -> bool:
        """Return whether a process holds a lock of the library."""
        with self.engine.connect() as connection:
            return connection.execute(select(tables.leases)).first() is not None

    def models(self, search: str = "") -> list[ModelView]:
        """Return the models that a search finds, with their versions."""
        search_filter = SearchFilter({}, parse_query(search), SortOrder(SortKey.NAME, descending=False))
        page = self.library.search.find_page(search_filter, limit=100)
        return [self.library.models.get(model_id) for model_id in page.ids]

    def add_image(self, model_id: int, name: str) -> None:
        """Store an uploaded image and its thumbnail for a model."""
        keys = {"media_key": f"library/{name}.png", "thumb_key": f"library/{name}-thumb.webp"}
        self.media.put(keys["media_key"], PNG)
        self.media.put(keys["thumb_key"], THUMB)
        values = {"media_type": "image/png", "nsfw_level": 0, "prompt": f"a {name}", "params": {"seed": 2**64 - 1}}
        self.library.images.add(model_id, None, keys | values)


@pytest.fixture
def lib(tmp_path: Path) -> LibraryUnderTest:
    """An empty library."""
    return LibraryUnderTest(tmp_path / "lib" / "models", tmp_path / "lib" / "data")


@pytest.fixture
def other(tmp_path: Path) -> LibraryUnderTest:
    """Another empty library."""
    return LibraryUnderTest(tmp_path / "other" / "models", tmp_path / "other" / "data")
