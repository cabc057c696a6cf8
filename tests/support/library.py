"""A front with a model library, for tests: its folder, what scans and hashes it, and requests with the key."""

import functools
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ops.infra.database import migrate
from ops.infra.settings import Settings
from schemas.accounts.caller import Scope
from schemas.messages import LIBRARY_QUEUE
from stores import Stores
from stores.accounts.api_keys import KeyChange
from tests.conftest import API_KEY
from tests.integration.conftest import AppClient, close_app, open_app
from workers.images import uploads
from workers.library.scanner.hash_file import ByteRateLimiter, hash_file
from workers.library.scanner.scan import Scan, ScanProgress, ScanScope

MODELS = "/api/v1/models"


@dataclass(frozen=True)
class LibraryApp:
    """A front whose library is one folder."""

    app: AppClient
    folder: Path

    @property
    def stores(self) -> Stores:
        """What is behind the front."""
        return self.app.stores

    def scan(self, *, full: bool = False) -> ScanProgress:
        """One scan."""
        roots = self.stores.settings.models_dir
        return Scan(self.stores.library.scan_writer, roots).run([ScanScope(root, full=full) for root in roots])

    def hash(self) -> None:
        """Hash all that waits."""
        hashing = self.stores.library.file_hashes
        while waiting := hashing.list_pending([str(self.folder)], 1):
            found = hash_file(waiting[0], (self.folder,), ByteRateLimiter(0), lambda: True)
            assert hashing.record(waiting[0], found.content, found.hashes)

    def request(self, method: str, path: str, *, key: str = API_KEY, **kwargs: Any) -> Any:
        """A request with a key; ``path`` may be whole, or go on from the models'."""
        headers = {"Authorization": f"Bearer {key}"} | kwargs.pop("headers", {})
        url = path if path.startswith("/api") else MODELS + path
        return self.app.client.open(url, method=method, headers=headers, buffered=True, **kwargs)

    def get(self, path: str, **query: Any) -> Any:
        """What a GET says that works."""
        answer = self.request("GET", path, query_string=query)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.json

    def patch(self, ident: int, **fields: Any) -> Any:
        """What a PATCH says that works."""
        answer = self.request("PATCH", f"/{ident}", json=fields)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.json

    def find_id(self, search: str) -> int:
        """The one model that a search finds."""
        [found] = self.get("", search=search)["items"]
        return int(found["id"])

    def create_reader_key(self) -> str:
        """A key that may read only."""
        return self.stores.api_keys.create("reader", KeyChange(scopes=frozenset({Scope.READ})))


@functools.cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "empty.sqlite3"
        migrate(f"sqlite:///{path}")
        return path.read_bytes()


@contextmanager
def open_library_app(settings: Settings, folder: Path, **changes: Any) -> Iterator[LibraryApp]:
    """A front whose library is ``folder``; ``changes`` are settings."""
    folder.mkdir(exist_ok=True)
    database = Path(settings.database_url.removeprefix("sqlite:///"))
    if settings.database_url.startswith("sqlite:///") and not database.exists():
        # To make the tables takes longer than most tests.
        database.write_bytes(_empty_database())
    front = open_app(replace(settings, **{"models_dir": (folder,), **changes}))
    try:
        yield LibraryApp(front, folder)
    finally:
        close_app(front)


@contextmanager
def run_image_inspector(stores: Stores) -> Iterator[list[str]]:
    """A courier that looks at pictures; the keys of those that it has looked at."""
    looked: list[str] = []
    stopped = threading.Event()
    thread = threading.Thread(target=_look, args=(stores, looked, stopped))
    thread.start()
    try:
        yield looked
    finally:
        stopped.set()
        thread.join()


def _look(stores: Stores, looked: list[str], stopped: threading.Event) -> None:
    queue = stores.queue.client
    while not stopped.is_set():
        found = queue.blpop([f"dramatiq:{LIBRARY_QUEUE}"], timeout=0.05)
        if found is not None:
            message = queue.hget(f"dramatiq:{LIBRARY_QUEUE}.msgs", found[1])
            looked.append(message.decode().partition('"args":["')[2].partition('"')[0])
            uploads.inspect_upload(stores, looked[-1])
