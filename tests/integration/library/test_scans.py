"""Scans requested over HTTP, and the events of their progress."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.infra.settings import Settings
from tests.conftest import TIMEOUT_S
from tests.integration.conftest import AppClient, close_app, open_app, serve_app
from tests.support.event_streams import KEY_HEADERS
from tests.support.model_files import write_safetensors
from workers.library.indexer import LibraryIndexer


@pytest.fixture
def library(settings: Settings, tmp_path: Path) -> Iterator[AppClient]:
    """An app with one model that is not indexed yet."""
    folder = tmp_path / "models"
    write_safetensors(folder / "loras" / "a.safetensors")
    app = open_app(replace(settings, models_dir=(folder,)))
    yield app
    close_app(app)


def parse_events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yield the JSON of the events of a stream."""
    yield from (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))


def test_without_a_library_scans_are_rejected(app: AppClient) -> None:
    """The status is 409 and the message names the setting."""
    response = app.post("/api/v1/library/scan")
    assert (response.status_code, "MODELS_DIR" in response.json["error"]) == (409, True)
    assert app.get("/api/v1/library/scan").json is None


def test_a_requested_scan_is_followed(library: AppClient) -> None:
    """Both URLs work; a later client resumes after its last event."""
    with serve_app(library.client.application) as base_url:
        url = f"{base_url}/api/v1/library/scan/events"
        with httpx.stream("GET", url, headers=KEY_HEADERS, timeout=TIMEOUT_S, trust_env=False) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("retry:")
            scan_id = library.post("/api/v1/scan", json={"full": True}).json["id"]
            indexer = LibraryIndexer(library.stores)
            indexer.start()
            done = next(event for event in parse_events(lines) if (event["id"], event["state"]) == (scan_id, "done"))
        indexer.stop()
        assert (done["files"], done["read"]) == (1, 1)
        assert library.get("/api/v1/library/scan").json["id"] == scan_id
        with httpx.stream(
            "GET", url, headers=KEY_HEADERS | {"Last-Event-ID": "0-0"}, timeout=TIMEOUT_S, trust_env=False
        ) as response:
            assert next(parse_events(response.iter_lines()))["id"] == "boot"


@pytest.mark.parametrize("body", [b"[]", b'{"full": 1}', b'"x"'])
def test_invalid_scan_requests_are_rejected(library: AppClient, body: bytes) -> None:
    """The status is 400 with a message, and no scan runs."""
    response = library.post("/api/v1/library/scan", data=body, content_type="application/json")
    assert (response.status_code, response.json["error"].startswith("full")) == (400, True)
    assert library.stores.scan_requests.claim(0.01) == []


def test_the_stream_ends_when_the_key_is_revoked(library: AppClient) -> None:
    """It ends within a second, like every stream."""
    key = library.stores.api_keys.create("bob")
    with serve_app(library.client.application) as base_url:
        url = f"{base_url}/api/v1/library/scan/events"
        with httpx.stream("GET", url, headers={"x-api-key": key}, timeout=TIMEOUT_S, trust_env=False) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("retry:")
            library.stores.api_keys.revoke(key.split("_")[1])
            assert not [line for line in lines if line.startswith("data")]
        assert httpx.get(url, headers={"x-api-key": key}, timeout=TIMEOUT_S, trust_env=False).status_code == 401
