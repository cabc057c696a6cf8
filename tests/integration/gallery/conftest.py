"""One app for all tests of a file, and people who use its gallery."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ops.infra.settings import Settings
from schemas.accounts.caller import Scope
from stores.accounts.api_keys import KeyChange
from tests.conftest import API_KEY, isolated_settings
from tests.integration.conftest import AppClient, close_app, open_app

GALLERY = "/api/v1/gallery"


@dataclass(frozen=True)
class Person:
    """The holder of a key, who uses the gallery's native API."""

    app: AppClient
    key: str

    def call(self, method: str, path: str, *, key: str | None = None, **options: Any) -> Any:
        """Send a request with this person's key, or another; ``path`` is below the gallery's, or begins at the root."""
        url = path if path.startswith(("/api/", "/v1/")) else GALLERY + path
        headers = {"Authorization": f"Bearer {key or self.key}"} | options.pop("headers", {})
        return self.app.client.open(url, method=method, headers=headers, **options)

    @property
    def address(self) -> str:
        """The wallet address."""
        return str(self.call("GET", "/profile").json["address"])

    def create_collection(self, name: str, **fields: Any) -> dict[str, Any]:
        """Create a collection."""
        response = self.call("POST", "/collections", json={"name": name, **fields})
        assert response.status_code == 201, response.json
        collection: dict[str, Any] = response.json
        return collection

    def create_token(self, slug: str, name: str, **fields: Any) -> str:
        """Create a token without a picture, as existing clients do; return its id."""
        token_id = str(self.call("GET", f"/v1/c/virtual/next/{self.address}").json["tokenId"])
        path = f"/v1/c/virtual/token/{slug}/{token_id}"
        assert self.call("POST", path, json={"name": name, **fields}).json == {"success": "true"}
        return token_id


@pytest.fixture(scope="module")
def gallery_settings(base_settings: Settings, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings for one file: its own folder, an empty Redis."""
    folder = tmp_path_factory.mktemp("gallery")
    return isolated_settings(base_settings, redis_url, folder)


@pytest.fixture(scope="module")
def gallery_app(gallery_settings: Settings) -> Iterator[AppClient]:
    """An app without workers."""
    app = open_app(gallery_settings)
    yield app
    close_app(app)


@pytest.fixture(scope="module")
def owner(gallery_app: AppClient) -> Person:
    """The holder of the owner's key."""
    return Person(gallery_app, API_KEY)


@pytest.fixture(scope="module")
def bob(gallery_app: AppClient) -> Person:
    """Another person."""
    return Person(gallery_app, gallery_app.stores.api_keys.create("bob"))


@pytest.fixture(scope="module")
def reader(gallery_app: AppClient) -> Person:
    """The holder of a key that may only read."""
    change = KeyChange(scopes=frozenset({Scope.READ}))
    return Person(gallery_app, gallery_app.stores.api_keys.create("reader", change))
