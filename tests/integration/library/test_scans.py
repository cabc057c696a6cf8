"""Scans asked for over HTTP, and their news as they go on."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.infra.settings import Settings
from tests.integration.conftest import AppClient, close_app, open_app, serve_app
from tests.support.event_streams import KEY_HEADERS
from tests.support.model_files import write_safetensors
from workers.library.indexer import LibraryIndexer


@pytest.fixture
def library(settings: Settings, tmp_path: Path) -> Iterator[AppClient]:
    """A front with one model that nobody has seen yet."""
    folder = tmp_path / "models"
    write_safetensors(folder / "loras" / "a.safetensors")
    front = open_app(replace(settings, models_dir=(folder,)))
    yield front
    close_app(front)


def told_by(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The news of a stream."""
    yield from (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))


def test_without_a_library_there_is_nothing_to_scan(app: AppClient) -> None:
    """409, and the setting that makes one."""
    answer = app.post("/api/v1/library/scan")
    assert (answer.status_code, "MODELS_DIR" in answer.json["error"]) == (409, True)
    assert app.get("/api/v1/library/scan").json is None


def test_a_scan_is_asked_for_and_followed(library: AppClient) -> None:
    """By both names; who comes late goes on where they were."""
    with serve_app(library.client.application) as address:
        url = f"{address}/api/v1/library/scan/events"
        with httpx.stream("GET", url, headers=KEY_HEADERS, trust_env=False) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith("retry:")
            ident = library.post("/api/v1/scan", json={"full": True}).json["id"]
            librarian = LibraryIndexer(library.stores)
            librarian.start()
            done = next(one for one in told_by(lines) if (one["id"], one["state"]) == (ident, "done"))
        librarian.stop()
        assert (done["files"], done["read"]) == (1, 1)
        assert library.get("/api/v1/library/scan").json["id"] == ident
        with httpx.stream("GET", url, headers=KEY_HEADERS | {"Last-Event-ID": "0-0"}, trust_env=False) as answer:
            assert next(told_by(answer.iter_lines()))["id"] == "boot"


@pytest.mark.parametrize("body", [b"[]", b'{"full": 1}', b'"x"'])
def test_a_body_that_means_nothing_scans_nothing(library: AppClient, body: bytes) -> None:
    """400, with what is wrong."""
    answer = library.post("/api/v1/library/scan", data=body, content_type="application/json")
    assert (answer.status_code, answer.json["error"].startswith("full")) == (400, True)
    assert library.stores.scan_requests.claim(0.01) == []


def test_the_news_end_with_the_key(library: AppClient) -> None:
    """Within a second, as every stream does."""
    key = library.stores.api_keys.create("bob")
    with serve_app(library.client.application) as address:
        url = f"{address}/api/v1/library/scan/events"
        with httpx.stream("GET", url, headers={"x-api-key": key}, trust_env=False) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith("retry:")
            library.stores.api_keys.revoke(key.split("_")[1])
            assert not [line for line in lines if line.startswith("data")]
        assert httpx.get(url, headers={"x-api-key": key}, trust_env=False).status_code == 401
