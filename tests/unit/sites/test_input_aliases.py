"""Fields of other APIs become inputs of recipes."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from schemas.errors import Invalid
from schemas.jobs.batches import split_batch
from schemas.jobs.generaitiv_requests import GENERAITIV
from schemas.jobs.openai_requests import OPENAI
from schemas.sites.input_aliases import ClientApi, SentField, accepted_fields, find_input, parse_size, translate
from schemas.sites.recipe import InputSpec, Recipe
from schemas.sites.recipe_schema import load_recipe
from stores.sites.recipes import Recipes
from tests.support.image_pages import image_page_recipe

RECIPES = Recipes("studio")
PICTURES = load_recipe("pictures", image_page_recipe("http://127.0.0.1:9/"))


def recipe_with(**inputs: dict[str, Any]) -> Recipe:
    """Return a recipe with these inputs."""
    return load_recipe("own", image_page_recipe("http://127.0.0.1:9/") | {"inputs": inputs, "documents": {}})


def problems_of(call: Callable[..., Any], *arguments: Any) -> list[str]:
    """Return what is wrong with a call."""
    with pytest.raises(Invalid) as caught:
        call(*arguments)
    return caught.value.problems


def sent(**values: Any) -> list[SentField]:
    """Return fields as a client sends them."""
    return [SentField(name, value) for name, value in values.items()]


@pytest.mark.parametrize(
    ("site", "field", "value", "expected"),
    [
        ("studio", "num_inference_steps", 7, {"steps": 7}),
        ("automatic1111", "guidance_scale", 7.5, {"cfg_scale": 7.5}),
        ("automatic1111", "scheduler", "Euler", {"sampler": "Euler"}),
        ("invokeai", "scheduler", "euler", {"scheduler": "euler"}),
        ("automatic1111", "num_outputs", 3, {"batch_count": 3}),
        ("fooocus", "num_outputs", 3, {"image_number": 3}),
        ("automatic1111_img2img", "prompt_strength", 0.5, {"denoising_strength": 0.5}),
        ("automatic1111", "negativePrompt", "fog", {"negative_prompt": "fog"}),
        ("automatic1111", "cfg_scale", 4, {"cfg_scale": 4.0}),
        ("studio", "seed", None, {}),
    ],
)
def test_a_field_sets_the_input_that_the_recipe_declares(
    site: str, field: str, value: Any, expected: dict[str, Any]
) -> None:
    """Names of the API, names of recipes and camel case are all understood."""
    inputs = translate(GENERAITIV, RECIPES.get(site), sent(**{field: value})).inputs

    assert {name: inputs[name] for name in expected} == expected
    assert set(inputs) <= {*expected, "seed"}


def test_an_api_drops_or_refuses_what_a_site_does_not_take() -> None:
    """A refusal names every field, once, and lists what the site takes."""
    fields = [SentField("size", "9x9", input=""), *sent(refiner="x", steps=99, num_inference_steps=5)]

    translated = translate(GENERAITIV, RECIPES.default, fields)
    *problems, advice = problems_of(translate, OPENAI, RECIPES.default, [*fields, fields[0]])

    assert translated.inputs == {"steps": 5}
    assert [warning.partition(":")[0] for warning in translated.warnings] == ["size", "refiner", "steps"]
    assert [problem.partition(":")[0] for problem in problems] == ["size", "refiner", "steps"]
    assert advice.startswith("studio takes prompt, model, n, size")
    assert "strength" not in advice


def test_two_fields_for_one_input_are_refused() -> None:
    """Which of them counts would be a guess."""
    [problem] = problems_of(translate, OPENAI, RECIPES.default, sent(steps=4, num_inference_steps=5))

    assert problem == "num_inference_steps: another field sets the input 'steps' as well."


def test_the_picture_to_begin_with_is_never_dropped() -> None:
    """Even an API that drops what it does not understand refuses a picture that it cannot read."""
    for api in (GENERAITIV, OPENAI):
        [problem] = problems_of(translate, api, PICTURES, sent(image="https://example.com/picture.png"))
        assert "URLs are not fetched" in problem


def test_neutral_values_are_accepted_everywhere() -> None:
    """They are what clients send when a person has chosen nothing; choices have the recipe's spelling."""
    recipe = recipe_with(quality={"type": "string", "choices": ["Draft", "High"]})

    assert translate(OPENAI, RECIPES.default, sent(quality="auto", style="vivid", background="auto")).inputs == {}
    assert translate(OPENAI, recipe, sent(quality="high")).inputs == {"quality": "High"}
    assert problems_of(translate, OPENAI, recipe, sent(quality="low"))[0].startswith("quality: Must be one of")


def test_hostile_names_are_quoted_in_part() -> None:
    """A request with thousands of long names gets a short answer."""
    fields = [SentField(f"{number}" + "x" * 10_000, 1) for number in range(1000)]

    assert len(" ".join(problems_of(translate, OPENAI, RECIPES.default, fields))) < 4000


def test_what_a_site_takes_depends_on_its_inputs() -> None:
    """Fields without an input of the site are left out; the site's own inputs come last."""
    own = accepted_fields(OPENAI, recipe_with(mood={"type": "string"}, init={"type": "image"}))

    assert own[-1] == "mood"
    assert {"prompt", "n", "image"} <= set(own)
    assert not {"size", "mask", "lora", "user", "seed"} & set(own)
    assert (find_input(PICTURES, "image"), find_input(PICTURES, "mask")) == ("init", "mask")
    assert find_input(RECIPES.default, "image", "seed") == "seed"
    assert ClientApi("none", ()).find("prompt") is None


def test_sizes_are_parsed() -> None:
    """Anything but WIDTHxHEIGHT is refused by name."""
    assert parse_size("size", " 1024X768 ") == (1024, 768)
    for text in ("", "1024", "0x5", "-1x5", "1x1x1", "123456x1", None, 5, ["1x1"]):
        assert problems_of(parse_size, "size", text)[0].startswith("size: must be WIDTHxHEIGHT")


def parts(recipe: Recipe, inputs: dict[str, Any], count: int, *, one_each: bool = False) -> list[tuple[Any, Any, int]]:
    """Return seed, batch input and number of pictures of each job."""
    name = find_input(recipe, "count")
    split = split_batch(recipe, inputs, count, rng=random.Random(1), one_each=one_each)
    return [(part.inputs.get("seed"), part.inputs.get(name or ""), part.pictures) for part in split]


def test_several_pictures_are_jobs_of_their_own_or_one_job() -> None:
    """A site with an input for the number makes them in one job, up to what it allows."""
    one = RECIPES.default
    many = recipe_with(image_number={"type": "integer", "minimum": 1, "maximum": 4}, seed={"type": "integer"})

    assert parts(one, {"seed": 7}, 3) == [(7, None, 1), (8, None, 1), (9, None, 1)]
    assert parts(many, {"seed": 7}, 3) == [(7, 3, 3)]
    assert parts(many, {"seed": 7}, 6) == [(7, 4, 4), (11, 2, 2)]
    assert parts(many, {"seed": 7}, 2, one_each=True) == [(7, 1, 1), (8, 1, 1)]
    assert parts(many, {}, 1) == [(None, 1, 1)]
    assert parts(many, {"image_number": 2}, 1) == [(None, 2, 2)]
    assert problems_of(parts, many, {"image_number": 2}, 3)[0].startswith("imageNumber: another field")


def test_jobs_of_one_request_never_share_a_seed() -> None:
    """Seeds go around at the largest one; without one they are drawn; a negative one is left to the program."""
    studio, largest = RECIPES.default, 2**32 - 1
    drawn = [seed for seed, _, _ in parts(studio, {}, 3)]

    assert [seed for seed, _, _ in parts(studio, {"seed": largest}, 2)] == [largest, 0]
    assert len(set(drawn)) == 3
    assert drawn == [seed for seed, _, _ in parts(studio, {}, 3)]
    assert parts(studio, {}, 1) == [(None, None, 1)]
    assert parts(RECIPES.get("automatic1111_img2img"), {"seed": -1}, 2) == [(-1, None, 1)] * 2
    assert isinstance(studio.inputs["seed"], InputSpec)
