"""Generation parameters of images over HTTP: from the file, from the form, and the models that they name."""

import json
from typing import Any

import pytest
from PIL.PngImagePlugin import PngInfo

from tests.conftest import eventually
from tests.support.images import draw_image, encode
from tests.support.library import LibraryApp
from tests.support.library_images import media_objects, upload, upload_ok
from tests.support.model_files import write_safetensors


def test_embedded_params_fill_missing_fields(library: LibraryApp, inspected: list[str]) -> None:
    """Form fields override them, empty ones do not; models are matched by hash and by name."""
    files = [library.get(f"/{library.find_id(name)}")["versions"][0]["files"][0]["hashes"] for name in ("ink", "base")]
    png_info = PngInfo()
    png_info.add_text(
        "parameters",
        "a ship\nNegative prompt: bad\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 64x48, "
        f"Model hash: {files[1]['AutoV2']}, Model: renamed, "
        f'Lora hashes: "renamed too: {files[0]["AutoV3"]}, unknown: 0123456789ab"',
    )
    data = encode(draw_image(), "PNG", pnginfo=png_info)
    image = upload_ok(
        library, library.find_id("other"), data, steps="30", seed="", prompt=" ", versionId="", nsfwLevel="", loras=""
    )
    params = image["generationParams"]
    assert image["prompt"] == "a ship"
    assert (params["steps"], params["seed"], params["sampler"], params["cfgScale"]) == (30, 5, "Euler a", 7.0)
    assert params["negativePrompt"] == "bad"
    assert "prompt" not in params
    have = {entry["name"]: entry["model"]["name"] for entry in image["uses"]["have"]}
    assert have == {"renamed": "base", "renamed too": "ink"}
    assert [entry["name"] for entry in image["uses"]["lack"]] == ["unknown"]
    assert (image["versionId"], image["nsfwLevel"]) == (None, 0)
    other = library.get(f"/{library.find_id('other')}")
    assert [entry["id"] for entry in other["modelLevelImages"]] == [image["id"]]


def test_resources_are_matched_by_folder_and_civitai_version(library: LibraryApp, inspected: list[str]) -> None:
    """Of two files with one name, the one in the named folder is meant."""
    for place, number in (("loras/ink", 1), ("loras/sdxl/ink", 2), ("loras/sdxl/deep/ink", 3)):
        path = write_safetensors(library.folder / f"{place}.safetensors", data=b"%d" % number)
        sidecar = {"id": 80 + number, "modelId": 70 + number, "name": "v", "model": {"name": place, "type": "LORA"}}
        path.with_suffix(".civitai.info").write_text(json.dumps(sidecar))
    library.scan()
    names = ["sdxl/ink.safetensors", "sdxl\\deep\\ink.safetensors", "Deep/Ink", "elsewhere/ink"]
    numbers = [82, 99, True, 2**70, "82"]
    params = {
        "loras": [{"name": name} for name in names],
        "resources": [{"type": "lora", "civitaiVersionId": number} for number in numbers],
    }
    image = upload_ok(library, library.find_id("other"))["id"]
    uses = edit(library, library.find_id("other"), image, generationParams=params).json["uses"]
    have = [(entry.get("name") or entry["civitaiVersionId"], entry["model"]["name"]) for entry in uses["have"]]
    assert have[:4] == [
        (82, "loras/sdxl/ink"),
        (names[0], "loras/sdxl/ink"),
        (names[1], "loras/sdxl/deep/ink"),
        (names[2], "loras/sdxl/deep/ink"),
    ]
    assert have[4][0] == "elsewhere/ink"
    assert [entry["civitaiVersionId"] for entry in uses["lack"]] == numbers[1:]
    assert inspected


INVALID_FIELDS: list[tuple[dict[str, str], str]] = [
    ({"seed": str(2**64)}, "seed:"),
    ({"seed": "1.5"}, "seed:"),
    ({"seed": "9" * 5000}, "seed:"),
    ({"steps": "-1"}, "steps:"),
    ({"cfgScale": "NaN"}, "cfgScale:"),
    ({"cfgScale": "inf"}, "cfgScale:"),
    ({"cfgScale": "seven"}, "cfgScale:"),
    ({"nsfwLevel": "5"}, "nsfwLevel: 5 is not a level"),
    ({"nsfwLevel": "64"}, "nsfwLevel:"),
    ({"nsfwLevel": "R"}, "nsfwLevel:"),
    ({"loras": "ink"}, "loras: the value is not JSON"),
    ({"loras": "{}"}, "loras: must be a JSON list"),
    ({"loras": '[{"name": 5}]'}, "loras: must be a list"),
    ({"loras": json.dumps([{"name": "x"}] * 101)}, "loras: must be a list"),
    ({"comfyWorkflow": "[]"}, "comfyWorkflow: must be a JSON object"),
    ({"comfyWorkflow": "{"}, "comfyWorkflow: the value is not JSON"),
    ({"comfyWorkflow": '{"a":' * 70 + "1" + "}" * 70}, "comfyWorkflow: the value is nested more than 64 levels deep"),
    ({"comfyWorkflow": '{"a":' * 200_000}, "comfyWorkflow: the value is nested more than 64 levels deep"),
    ({"versionId": "x"}, "versionId:"),
    ({"versionId": "999999"}, "versionId: the model has no version 999999"),
    ({"versionId": str(2**40)}, "versionId:"),
    ({"prompt": "x" * 100_001}, "prompt:"),
    ({"sampler": "x" * 201}, "sampler:"),
]


def test_invalid_form_fields_are_rejected(library: LibraryApp) -> None:
    """They are rejected before the image is inspected, and nothing is stored."""
    model_id, other = library.find_id("ink"), library.find_id("other")
    version_id = library.get(f"/{other}")["versions"][0]["id"]
    for fields, message in [*INVALID_FIELDS, ({"versionId": str(version_id)}, "has no version")]:
        response = upload(library, model_id, **fields)
        assert (response.status_code, response.json["code"]) == (400, "invalid"), fields
        assert message in response.json["error"], response.json
        assert len(response.data) < 1000
    assert upload(library, 999_999).json["error"] == "Model not found"
    assert library.request("POST", "/x/images", data={}).json["error"] == "Invalid model ID"
    assert library.request("POST", f"/{model_id}/images", data=b"x").status_code == 400
    assert library.get(f"/{model_id}/images") == []
    assert eventually(lambda: not media_objects(library))


def edit(library: LibraryApp, model_id: int, image: int, **fields: Any) -> Any:
    """Return the response to an edit of an image."""
    return library.request("PATCH", f"/{model_id}/images/{image}", json=fields)


HOSTILE_PARAMS: list[str] = [
    '{"resources": 5, "loras": "ink", "model": {"a": 1}}',
    '{"resources": [5, null, {"type": ["x"], "name": {}, "hash": 5}], "loras": [[], {"name": 7}]}',
    '{"resources": [{"type": "lora", "name": "a\\u0000b", "hash": "\\u0000\\u00000000000"}], "model": "\\ud800"}',
    '{"loras": [{"name": "%_\'\\" OR 1=1", "strength": 1e999}], "model": "../../etc/passwd"}',
    '{"cfgScale": NaN, "x": Infinity, "y": -Infinity, "z": 1e999, "\\u0000\\ud800": "\\ud800"}',
    '{"seed": ' + "9" * 4000 + "}",
    '{"prompt": "hidden", "workflow": {"nodes": [1, 2, [3]]}}',
]


def test_hostile_params_are_shown_as_valid_json(library: LibraryApp, inspected: list[str]) -> None:
    """Names in them are looked up in the library."""
    model_id = library.find_id("ink")
    image = upload_ok(library, model_id)["id"]
    for text in HOSTILE_PARAMS:
        response = library.request(
            "PATCH",
            f"/{model_id}/images/{image}",
            data=f'{{"generationParams": {text}}}',
            content_type="application/json",
        )
        assert response.status_code == 200, (text[:80], response.json)
        view = library.request("GET", f"/{model_id}/images/{image}").get_data(as_text=True)
        assert json.loads(view, parse_constant=pytest.fail)["id"] == image
        assert "\\u0000" not in view
        assert "\\ud800" not in view
    for text in ('{"x":' * 70 + "1" + "}" * 70, '{"x":' * 100_000):
        response = library.request(
            "PATCH",
            f"/{model_id}/images/{image}",
            data=f'{{"generationParams": {text}}}',
            content_type="application/json",
        )
        assert response.status_code == 400
    assert inspected
