"""The library's LoRAs in generations: search, names in jobs, trainings."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ops.infra.settings import Settings
from tests.integration.conftest import AppClient, close_app, open_app
from tests.support.model_files import civitai_model, write_safetensors, write_tensors
from workers.library.scanner.scan import Scan, ScanScope


@pytest.fixture
def library(settings: Settings, tmp_path: Path) -> Iterator[AppClient]:
    """An app with two LoRAs and a checkpoint."""
    with open_library(settings, tmp_path / "models") as app:
        yield app


@contextmanager
def open_library(settings: Settings, folder: Path) -> Iterator[AppClient]:
    """Open an app with two LoRAs and a checkpoint in this folder."""
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


@pytest.mark.parametrize("query", ["%", "%%%", "_ - *", "!?"])
def test_a_search_for_nothing_but_marks_finds_nothing(library: AppClient, query: str) -> None:
    """Neither in the library nor on the site, which is not asked."""
    library.stores.site_queries.store_answer("search_loras", "studio", query, [{"name": "Ink Wash"}])

    response = library.get("/search-loras", query_string={"query": query})

    assert (response.status_code, response.json) == (200, [])
    assert "X-Darkroom-Partial" not in response.headers


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


def test_trainings_name_their_own_base_model(library: AppClient) -> None:
    """A successor is never called by the name of its forerunner."""
    [folder] = library.stores.settings.models_dir
    spellings = {
        "dev": ("flux-1-dev/lora", "black-forest-labs-flux-dev", "Flux.1 D"),
        "klein": ("flux2_klein_9b", "flux-2-klein-9b", "Flux.2 Klein 9B"),
        "kontext": ("flux-1-kontext-dev/lora", "flux-1-kontext", "Flux.1 Kontext"),
        "large": ("stable-diffusion-3.5-large/lora", "sd-3-5-large", "SD 3.5 Large"),
        "wander": ("wanderer", "wanderer", "wanderer"),
    }
    for name, (spelling, _, _) in spellings.items():
        metadata = {"modelspec.architecture": spelling}
        write_safetensors(folder / "loras" / f"{name}.safetensors", data=name.encode(), metadata=metadata)
    Scan(library.stores.library.scan_writer, (folder,)).run([ScanScope(folder)])
    slugs = {entry["name"]: entry["source_model_slug"] for entry in library.get("/v1/training/owned-by/me").json}
    for name, (_, slug, base_model) in spellings.items():
        assert slugs[name] == slug
        found = library.get("/api/v1/models", query_string={"baseModel": base_model}).json["items"]
        assert [model["name"] for model in found] == [name]


def write_loras_of_one_name(library: AppClient) -> None:
    """Add two LoRAs that have the same name, and one of another name whose file has it."""
    [folder] = library.stores.settings.models_dir
    for stem, name in {"ink_a": "Inky Sixty", "ink_b": "Inky Sixty", "neon_v2": "neon"}.items():
        path = write_safetensors(folder / "loras" / f"{stem}.safetensors", data=stem.encode())
        path.with_suffix(".civitai.info").write_text(json.dumps({"model": {"name": name, "type": "LORA"}}))
    Scan(library.stores.library.scan_writer, (folder,)).run([ScanScope(folder)])


def test_each_training_makes_pictures_with_its_own_file(settings: Settings, tmp_path: Path) -> None:
    """Also if another one has the same name, or its file has the name of this one."""
    used = []
    with open_library(replace(settings, site="automatic1111"), tmp_path / "models") as library:
        write_loras_of_one_name(library)
        for training in library.get("/v1/training/owned-by/me").json:
            body = {"input": {"prompt": "a lake"}, "model": training["id"]}
            workload = library.post("/v1/consumer/gen", json=body).json
            used.append((training["name"], library.get_job(workload["id"].removeprefix("0x"))["lora"]))
    assert sorted(used) == [
        ("Ink Wash", "ink_v3"),
        ("Inky Sixty", "ink_a"),
        ("Inky Sixty", "ink_b"),
        ("neon", "neon"),
        ("neon", "neon_v2"),
    ]


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/generateImage"])
def test_a_name_that_several_loras_have_is_refused(library: AppClient, path: str) -> None:
    """The message names the files, and each of these names is accepted."""
    write_loras_of_one_name(library)
    body = {"prompt": "a quiet lake at dawn", "site": "automatic1111"}
    field = "loraName" if path == "/generateImage" else "lora"
    refused = library.post(path, json=body | {field: "inky sixty"})
    assert refused.status_code == 400
    assert "'ink_a', 'ink_b'" in refused.get_data(as_text=True)
    results = library.get("/search-loras?query=inky&site=automatic1111").json
    assert [result["name"] for result in results] == ["ink_a", "ink_b"]
    for name in ("ink_a", "ink_b", "loras/ink_b", "neon", "neon_v2"):
        assert library.post(path, json=body | {field: name}).status_code in (200, 202)


def test_loras_are_found_in_any_folder(library: AppClient) -> None:
    """By tensors, header or sidecar: they are search results, names of jobs and trainings."""
    [folder] = library.stores.settings.models_dir
    write_tensors(folder / "9f583d2f-deab" / "free.safetensors", {"lora_unet_x.lora_up.weight": (1, 1)}, seed="free")
    kohya = {"ss_network_module": "networks.lora"}
    write_safetensors(folder / "free_kohya.safetensors", data=b"free kohya", metadata=kohya)
    named = write_safetensors(folder / "checkpoints" / "named.safetensors", data=b"named")
    named.with_suffix(".civitai.info").write_text(json.dumps({"model": {"name": "free named", "type": "LORA"}}))
    write_safetensors(folder / "free_other.safetensors", data=b"free other")
    Scan(library.stores.library.scan_writer, (folder,)).run([ScanScope(folder)])
    found = [entry["name"] for entry in library.get("/search-loras?query=free&site=automatic1111").json]
    assert found == ["free", "free kohya", "free named"]
    assert set(found) <= {training["name"] for training in library.get("/v1/training/owned-by/me").json}
    body = {"prompt": "a quiet lake at dawn", "lora": "free named", "site": "automatic1111"}
    assert library.post("/api/v1/jobs", json=body).json["lora"] == "named"


def test_without_a_library_there_are_no_loras(app: AppClient) -> None:
    """The lists are empty."""
    assert app.get("/v1/training/owned-by/me").json == []
    assert app.get("/search-loras?query=ink&site=automatic1111").json == []
