"""An app with a movable clock, and the background actors that serve it in this process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from dramatiq import Worker

from api import create_app
from ops.infra.broker import BlockingRedisBroker
from ops.infra.settings import Settings
from schemas.gallery.collections import Collection, NewCollection
from schemas.gallery.pictures import SCRATCH_PREFIX
from schemas.gallery.tokens import MediaStatus, NewToken, Token
from schemas.messages import BACKGROUND_QUEUES
from stores import open_stores
from tests.conftest import FakeClock, create_tables, eventually, isolated_settings
from tests.integration.conftest import AppClient, described_client
from workers.actors import declare_background_actors
from workers.clock.sweeper import Sweeper

OWNER = "owner"


@dataclass(frozen=True)
class PictureStack:
    """The app, its clock, and the clock process's sweeps."""

    app: AppClient
    clock: FakeClock
    sweeper: Sweeper
    broker: BlockingRedisBroker

    def create_token(self, **fields: Any) -> Token:
        """Return a new token of the owner, in a collection of its own."""
        tokens, collection = self.app.stores.gallery.tokens, self.create_collection()
        return tokens.create(OWNER, collection, tokens.reserve_id(OWNER), NewToken("a picture", **fields))

    def create_collection(self) -> Collection:
        """Return a new collection of the owner."""
        return self.app.stores.gallery.collections.create(OWNER, NewCollection(f"pictures {time.monotonic_ns()}"))

    @property
    def media_folder(self) -> Path:
        """Where the media store is."""
        return Path(urlsplit(self.app.stores.settings.media_url).path)

    def read_token(self, token: Token) -> Token:
        """Return the token as it is now."""
        return self.app.stores.gallery.tokens.find(token.token_id)

    def upload_url(self, token: Token, name: str = "art.png") -> str:
        """Return a signed URL for the picture of a token."""
        response = self.app.get(f"/v1/upload/token/{token.token_id}/{name}")
        assert response.status_code == 200, response.get_data(as_text=True)
        assert set(response.json) == {"url"}
        return str(response.json["url"])

    def put(self, url: str, body: bytes, **options: Any) -> Any:
        """Upload to a URL of this app, without a key, as a browser does."""
        parts = urlsplit(url)
        return self.app.client.put(f"{parts.path}?{parts.query}", data=body, content_type="image/png", **options)

    def wait_for(self, token: Token, *statuses: MediaStatus) -> Token:
        """Wait until the picture of a token has one of these states."""

        def find() -> Token | None:
            found = self.read_token(token)
            return found if found.media.status in statuses else None

        found: Token = eventually(find)
        return found

    def has_no_messages(self) -> bool:
        """Whether the actors have done all that they were asked for."""
        return not any(self.broker.client.exists(f"{self.broker.queue_key(name)}.msgs") for name in BACKGROUND_QUEUES)

    def file(self, name: str | None) -> bytes:
        """Return the bytes of an asset, which needs no key."""
        response = self.app.client.get(f"/images/asset/{name}")
        assert response.status_code == 200, name
        return bytes(response.data)

    def scratch_keys(self) -> list[str]:
        """Return the keys of files that wait for their examination."""
        return [key for keys in self.app.stores.media.list_older_than(SCRATCH_PREFIX, 2**45) for key in keys]


@contextmanager
def open_stack(settings: Settings, **changes: Any) -> Iterator[PictureStack]:
    """Open an app and run its background actors; ``changes`` are settings."""
    settings = replace(settings, **changes)
    create_tables(settings.database_url)
    # Files have real times.
    clock = FakeClock(time.time_ns() // 1_000_000)
    broker = BlockingRedisBroker(settings.broker_url, [])
    stores = open_stores(settings, broker=broker, clock=clock)
    declare_background_actors(broker, stores)
    worker = Worker(broker, worker_threads=4)
    worker.start()
    try:
        yield PictureStack(AppClient(described_client(create_app(stores)), stores), clock, Sweeper(stores), broker)
    finally:
        worker.stop(timeout=60_000)
        stores.close()


@pytest.fixture(scope="module")
def stack(base_settings: Settings, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PictureStack]:
    """One stack for all tests of a file, in a folder of its own, on an empty Redis."""
    folder = tmp_path_factory.mktemp("pictures")
    settings = isolated_settings(base_settings, redis_url, folder)
    with open_stack(settings) as running:
        yield running
