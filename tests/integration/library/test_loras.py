"""The library's LoRAs in generations: searched for, named in a job, listed as trainings."""

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
    """A front with two LoRAs and a checkpoint."""
    folder = tmp_path / "models"
    ink = write_safetensors(folder / "loras" / "ink_v3.safetensors", data=b"ink")
    about = civitai_model(7, 11, name="Ink Wash", description="<p>Ink &amp; <b>water</b></p>")
    ink.with_name("ink_v3.api_info.json").write_text(json.dumps(about))
    write_safetensors(folder / "loras" / "neon.safetensors", data=b"neon")
    write_safetensors(folder / "checkpoints" / "inkpunk.safetensors", data=b"checkpoint")
    front = open_app(replace(settings, models_dir=(folder,)))
    Scan(front.stores.library.scan_writer, (folder,)).run([ScanScope(folder)])
    yield front
    close_app(front)


def test_a_search_answers_from_the_library_too(library: AppClient) -> None:
    """What the site has comes first, and what both have comes once."""
    site = [{"name": "ink wash", "image": "", "tags": [], "description": ""}]
    library.stores.site_queries.store_answer("search_loras", "studio", "ink", site)
    found = library.get("/search-loras?query=ink").json
    assert [one["name"] for one in found] == ["ink wash"]
    library.stores.site_queries.store_answer("search_loras", "studio", "ink", [])
    [found] = library.get("/search-loras?query=ink").json
    assert (found["name"], found["tags"], found["description"]) == ("Ink Wash", ["ink", "style"], "Ink & water")


def test_a_site_without_a_catalogue_has_the_librarys(library: AppClient) -> None:
    """As where a LoRA is written into the prompt."""
    answer = library.get("/search-loras?query=neo&site=automatic1111")
    assert [one["name"] for one in answer.json] == ["neon"]
    assert "X-Darkroom-Partial" not in answer.headers
    assert library.get("/search-loras?query=nothing&site=automatic1111").json == []


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("Ink Wash", "ink_v3"),
        ("ink wash", "ink_v3"),
        ("ink_v3", "ink_v3"),
        ("unknown", "unknown"),
        ("inkpunk", "inkpunk"),
    ],
)
def test_a_name_of_the_library_becomes_the_name_of_the_file(library: AppClient, asked: str, written: str) -> None:
    """Where the page is told in the prompt; a name that the library does not know is the site's affair."""
    body = {"prompt": "a quiet lake at dawn", "lora": asked, "site": "automatic1111"}
    assert library.post("/api/v1/jobs", json=body).json["lora"] == written
    assert library.post("/api/v1/jobs", json=body | {"site": "studio"}).json["lora"] == asked


def test_trainings_are_the_librarys_loras(library: AppClient) -> None:
    """And the id of one is a model to generate with."""
    for path in ("/v1/training/owned-by/me/", "/v1/training/owned-by-me"):
        ink, neon = library.get(path).json
        assert (ink["name"], ink["status"], ink["source_model_slug"]) == ("Ink Wash", "COMPLETED", "stability-ai-sdxl")
        assert ink["owner"] == library.get("/v1/consumer/user-info").json["address"]
        assert len(ink["id"]) == len(neon["id"]) == 66
    made = library.post("/v1/consumer/gen", json={"input": {"prompt": "a lake"}, "model": ink["id"]}).json
    assert library.get_job(made["id"].removeprefix("0x"))["lora"] == "Ink Wash"
    unknown = library.post("/v1/consumer/gen", json={"input": {"prompt": "a lake"}, "model": "0x" + "f" * 64}).json
    assert "there is no" in unknown["warnings"][0]


def test_without_a_library_there_are_none(app: AppClient) -> None:
    """As before."""
    assert app.get("/v1/training/owned-by/me").json == []
    assert app.get("/search-loras?query=ink&site=automatic1111").json == []
