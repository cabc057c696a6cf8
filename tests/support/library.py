"""An app with a model library: its folder, scans and hashing without a worker, and requests with an API key."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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

MODELS_PATH = "/api/v1/models"


@dataclass(frozen=True)
class LibraryApp:
    """An app whose library is one folder."""

    app: AppClient
    folder: Path

    @property
    def stores(self) -> Stores:
        """The app's stores."""
        return self.app.stores

    def scan(self, *, full: bool = False) -> ScanProgress:
        """Run one scan."""
        roots = self.stores.settings.models_dir
        return Scan(self.stores.library.scan_writer, roots).run([ScanScope(root, full=full) for root in roots])

    def hash(self) -> None:
        """Hash all files that wait for it."""
        store = self.stores.library.file_hashes
        while pending := store.list_pending([str(self.folder)], 1):
            hashed = hash_file(pending[0], (self.folder,), ByteRateLimiter(0), lambda: True)
            assert store.record(pending[0], hashed.content, hashed.hashes)

    def request(self, method: str, path: str, *, key: str = API_KEY, **kwargs: Any) -> Any:
        """Send a request with a key; a ``path`` that does not begin with ``/api`` is relative to that of models."""
        headers = {"Authorization": f"Bearer {key}"} | kwargs.pop("headers", {})
        url = path if path.startswith("/api") else MODELS_PATH + path
        return self.app.client.open(url, method=method, headers=headers, buffered=True, **kwargs)

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a successful GET."""
        response = self.request("GET", path, query_string=query)
        assert response.status_code == 200, response.get_data(as_text=True)
        return response.json

    def patch(self, model_id: int, **fields: Any) -> Any:
        """Edit fields of a model; return the JSON of the successful response."""
        response = self.request("PATCH", f"/{model_id}", json=fields)
        assert response.status_code == 200, response.get_data(as_text=True)
        return response.json

    def find_id(self, search: str) -> int:
        """Return the id of the only model that a search finds."""
        [model] = self.get("", search=search)["items"]
        return int(model["id"])

    def create_reader_key(self) -> str:
        """Create a key that may only read."""
        return self.stores.api_keys.create("reader", KeyChange(scopes=frozenset({Scope.READ})))


@contextmanager
def open_library_app(settings: Settings, folder: Path, **changes: Any) -> Iterator[LibraryApp]:
    """Open an app whose library is ``folder``; ``changes`` are settings."""
    folder.mkdir(exist_ok=True)
    app = open_app(replace(settings, **{"models_dir": (folder,), **changes}))
    try:
        yield LibraryApp(app, folder)
    finally:
        close_app(app)


@contextmanager
def run_image_inspector(stores: Stores) -> Iterator[list[str]]:
    """Inspect uploaded images in a thread; yields the list of the upload keys that it has inspected."""
    inspected: list[str] = []
    stop_event = threading.Event()
    thread = threading.Thread(target=_inspect_uploads, args=(stores, inspected, stop_event))
    thread.start()
    try:
        yield inspected
    finally:
        stop_event.set()
        thread.join()


def _inspect_uploads(stores: Stores, inspected: list[str], stop_event: threading.Event) -> None:
    client = stores.queue.client
    while not stop_event.is_set():
        entry = client.blpop([f"dramatiq:{LIBRARY_QUEUE}"], timeout=0.05)
        if entry is not None:
            message = client.hget(f"dramatiq:{LIBRARY_QUEUE}.msgs", entry[1])
            key, *kind = json.loads(message)["args"]
            inspected.append(key)
            uploads.inspect_upload(stores, key, *kind)
