"""The library's LoRAs in generations: search, names in jobs, trainings."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ops.infra.settings import Settings
from tests.integration.conftest import AppClient, close_app, open_app
from tests.support.model_files import civitai_model, write_safetensors
from workers.library.scanner.scan import Scan, ScanScope


@pytest.fixture
def library(settings: Settings, tmp_path: Path) -> Iterator[AppClient]:
    """An app with two LoRAs and a checkpoint."""
    folder = tmp_path / "models"
    ink = write_safetensors(folder / "loras" / "ink_v3.safetensors", data=b"ink")
    metadata = civitai_model(7, 11, name="Ink Wash", description="<p>Ink &amp; <b>water</b></p>")
    ink.with_name("ink_v3.api_info.json").write_text(json.dumps(metadata))
    write_safetensors(folder / "loras" / "neon.safetensors", data=b"neon")
    write_safetensors(folder / "checkpoints" / "inkpunk.safetensors", data=b"checkpoint")
    app = open_app(replace(settings, models_dir=(folder,)))
    Scan(app.stores.library.scan_writer, (folder,)).run([ScanScope(folder)])
    yield app
    close_app(app)


def test_searches_include_the_library(library: AppClient) -> None:
    """The site's results come first, and duplicates appear once."""
    site = [{"name": "ink wash", "image": "", "tags": [], "description": ""}]
    library.stores.site_queries.store_answer("search_loras", "studio", "ink", site)
    results = library.get("/search-loras?query=ink").json
    assert [entry["name"] for entry in results] == ["ink wash"]
    library.stores.site_queries.store_answer("search_loras", "studio", "ink", [])
    [result] = library.get("/search-loras?query=ink").json
    assert (result["name"], result["tags"], result["description"]) == ("Ink Wash", ["ink", "style"], "Ink & water")


def test_a_site_without_loras_of_its_own_has_those_of_the_library(library: AppClient) -> None:
    """An example is a site that takes LoRAs in the prompt."""
    response = library.get("/search-loras?query=neo&site=automatic1111")
    assert [entry["name"] for entry in response.json] == ["neon"]
    assert "X-Darkroom-Partial" not in response.headers
    assert library.get("/search-loras?query=nothing&site=automatic1111").json == []


@pytest.mark.parametrize(
    ("requested", "stored"),
    [
        ("Ink Wash", "ink_v3"),
        ("ink wash", "ink_v3"),
        ("ink_v3", "ink_v3"),
        ("unknown", "unknown"),
        ("inkpunk", "inkpunk"),
    ],
)
def test_library_names_become_file_names(library: AppClient, requested: str, stored: str) -> None:
    """This holds for sites that take LoRAs in the prompt; unknown names stay as they are."""
    body = {"prompt": "a quiet lake at dawn", "lora": requested, "site": "automatic1111"}
    assert library.post("/api/v1/jobs", json=body).json["lora"] == stored
    assert library.post("/api/v1/jobs", json=body | {"site": "studio"}).json["lora"] == requested


def test_trainings_are_loras_of_the_library(library: AppClient) -> None:
    """The id of a training is accepted as the model of a generation."""
    for path in ("/v1/training/owned-by/me/", "/v1/training/owned-by-me"):
        ink, neon = library.get(path).json
        assert (ink["name"], ink["status"], ink["source_model_slug"]) == ("Ink Wash", "COMPLETED", "stability-ai-sdxl")
        assert ink["owner"] == library.get("/v1/consumer/user-info").json["address"]
        assert len(ink["id"]) == len(neon["id"]) == 66
    workload = library.post("/v1/consumer/gen", json={"input": {"prompt": "a lake"}, "model": ink["id"]}).json
    assert library.get_job(workload["id"].removeprefix("0x"))["lora"] == "Ink Wash"
    unknown = library.post("/v1/consumer/gen", json={"input": {"prompt": "a lake"}, "model": "0x" + "f" * 64}).json
    assert "there is no" in unknown["warnings"][0]


def test_without_a_library_there_are_no_loras(app: AppClient) -> None:
    """The lists are empty."""
    assert app.get("/v1/training/owned-by/me").json == []
    assert app.get("/search-loras?query=ink&site=automatic1111").json == []
