"""Bodies, errors and the texts of answers in AUTOMATIC1111's API."""

import json
from typing import Any

import pytest

from schemas.fields import MAX_PROBLEMS
from schemas.images.embedded.a1111.reader import read_a1111
from schemas.jobs.sdapi.generation_info import PictureInfo, build_info, build_parameters
from schemas.jobs.sdapi.prompt_loras import find_loras, remove_lora
from schemas.jobs.sdapi.requests import SdapiImageToImage, SdapiTextToImage, load_body
from schemas.jobs.sdapi.validation_errors import BodyInvalid, error_details, problem_details
from stores.sites.recipes import Recipes

STUDIO = Recipes("studio").get("studio")


def test_unknown_and_empty_fields_are_ignored() -> None:
    """Null is the same as absent."""
    assert load_body(SdapiTextToImage(), {"prompt": "x", "steps": None, "firstphase_width": 0, "hr_scale": "?"}) == {
        "prompt": "x"
    }


@pytest.mark.parametrize(
    ("body", "location", "kind"),
    [
        ({"prompt": "x", "steps": "many"}, ["body", "steps"], "type_error"),
        ({"prompt": "x", "width": 3.5}, ["body", "width"], "type_error"),
        ({"prompt": ["a"]}, ["body", "prompt"], "type_error"),
        ({"prompt": "x", "n_iter": 0}, ["body", "n_iter"], "value_error"),
        ({"prompt": "x", "n_iter": 10**9}, ["body", "n_iter"], "value_error"),
        ({"prompt": "x", "init_images": "abc"}, ["body", "init_images"], "type_error"),
        ({"prompt": "x", "init_images": [7]}, ["body", "init_images", 0], "type_error"),
        ({"prompt": "x", "override_settings": []}, ["body", "override_settings"], "type_error"),
        ({"prompt": "a\u0000b"}, ["body", "prompt"], "value_error"),
    ],
)
def test_wrong_types_are_reported_as_fastapi_does(body: dict[str, Any], location: list[Any], kind: str) -> None:
    """Each mistake has its place, a sentence and a type."""
    with pytest.raises(BodyInvalid) as caught:
        load_body(SdapiImageToImage(), body)

    [detail] = caught.value.locations
    assert (detail["loc"], detail["type"]) == (location, kind)
    assert detail["msg"]


@pytest.mark.parametrize("name", ["init_images", "styles"])
def test_a_long_list_is_one_mistake(name: str) -> None:
    """Its items are not looked at."""
    with pytest.raises(BodyInvalid) as caught:
        load_body(SdapiImageToImage(), {"prompt": "x", name: [object()] * 10_000})

    [detail] = caught.value.locations
    assert detail["loc"] == ["body", name]


def test_an_answer_names_a_few_mistakes() -> None:
    """However many there are."""
    assert len(error_details({"styles": {key: ["Not a valid string."] for key in range(1000)}})) == MAX_PROBLEMS


def test_sentences_of_other_layers_become_details() -> None:
    """The field before the colon is the place."""
    assert problem_details(["steps: Must be less.", "The body is bad."]) == [
        {"loc": ["body", "steps"], "msg": "Must be less.", "type": "value_error"},
        {"loc": ["body"], "msg": "The body is bad.", "type": "value_error"},
    ]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a <lora:oil>", [("oil", 1.0)]),
        ("a <LORA:oil paint:0.25> <lyco:b:-1>", [("oil paint", 0.25), ("b", -1.0)]),
        ("a <lora:oil:nan> <lora:x:1:2>", [("oil", None), ("x", None)]),
        ("a <lora::1> <hypernet:x:1> <lora:", []),
    ],
)
def test_loras_of_a_prompt(prompt: str, expected: list[tuple[str, float | None]]) -> None:
    """A weight that is not one number is no weight of ours."""
    assert [(lora.name, lora.weight) for lora in find_loras(prompt)] == expected


def test_a_lora_is_removed_once() -> None:
    """White space around it goes too."""
    prompt = "a  <lora:x:1>  b <lora:x:1>"

    assert remove_lora(prompt, find_loras(prompt)[0]) == "a b <lora:x:1>"


def picture(**inputs: Any) -> PictureInfo:
    """A picture of the studio."""
    return PictureInfo("studio", "studio", "a harbour, night", "fog: thick", inputs, 512, 384)


def test_the_infotext_is_read_by_other_programs() -> None:
    """Prompt, negative prompt, seed, steps and size come back."""
    text = picture(seed=7, steps=20).text(STUDIO, "0.1.0")

    assert text.splitlines()[0] == "a harbour, night"
    assert text.splitlines()[1] == "Negative prompt: fog: thick"
    assert text.splitlines()[2].startswith("Steps: 20, Seed: 7, Size: 512x384, Model: studio")
    params = read_a1111({"parameters": text})
    assert params
    assert (params.seed, params.steps, params.width, params.negative_prompt) == (7, 20, 512, "fog: thick")


def test_the_info_lists_every_picture() -> None:
    """Seeds and infotexts stand in the order of the pictures; a page's own infotext is used as it is."""
    own = PictureInfo("studio", "m", "p", "", {}, 1, 1, infotext="p\nSteps: 4, Sampler: Euler, Seed: 99, Size: 1x1")
    body = {"prompt": "p", "batch_size": 2}

    info = json.loads(
        build_info(STUDIO, [picture(seed=7, steps=20), own], body, version="1", notes={"jobs": ["x"]}, now_ms=0)
    )

    assert (info["seed"], info["all_seeds"]) == (7, [7, 99])
    assert (info["steps"], info["width"], info["batch_size"]) == (20, 512, 2)
    assert info["infotexts"][1] == own.infotext
    assert len(info["all_prompts"]) == 2
    assert info["darkroom"] == {"jobs": ["x"]}


def test_the_info_without_pictures_describes_the_request() -> None:
    """An interrupted request may have none."""
    info = json.loads(build_info(STUDIO, [], {"prompt": "p"}, version="1", notes={}, now_ms=0))

    assert (info["seed"], info["all_seeds"], info["infotexts"]) == (-1, [], [])


def test_parameters_hide_pictures() -> None:
    """Unless the client asks for them."""
    body = {"prompt": "p", "init_images": ["abc"], "mask": "def"}

    assert build_parameters(body)["init_images"] is None
    assert build_parameters(body)["steps"] == 50
    assert build_parameters(body | {"include_init_images": True})["init_images"] == ["abc"]
