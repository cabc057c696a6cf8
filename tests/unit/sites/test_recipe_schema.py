"""Validation of recipe files and of a job's inputs."""

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ops.infra.settings import SHIPPED_RECIPES, SettingsError
from schemas.errors import Invalid
from schemas.sites.recipe_schema import load_recipe
from stores.sites.recipes import Recipes

CLICK = {"type": "click", "selectors": ["#go"]}
CHANGE = {"type": "change", "selectors": ["#go"]}
STUDIO = tomllib.loads((SHIPPED_RECIPES / "studio.toml").read_text())


def problems(changes: dict[str, Any]) -> list[str]:
    """Return the problems of the studio recipe with some keys changed; None deletes a key."""
    raw = copy.deepcopy(STUDIO)
    for path, value in changes.items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        container: Any = raw
        for part in parents:
            container = container[part]
        if value is None:
            del container[last]
        else:
            container[last] = value
    with pytest.raises(Invalid) as caught:
        load_recipe("studio", raw)
    return caught.value.problems


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"steps/3/type": "clik"}, ["studio.toml: steps[3].type", "'clik'", "navigate", "click"]),
        ({"steps/0/url": None}, ["steps[0].url", "navigate", "needs this key"]),
        ({"steps/0/url": "file:///etc/passwd"}, ["steps[0].url", "{{url}}", "https://"]),
        ({"steps/0/url": "view-source:{{url}}"}, ["steps[0].url", "https://"]),
        ({"steps/0/url": "javascript:alert(1)//https://"}, ["steps[0].url", "https://"]),
        ({"steps/0/url": "https://{{prompt}}/"}, ["steps[0].url", "host"]),
        ({"limits/daily": -1}, ["limits.daily", "0", "-1"]),
        ({"limits/concurrency": "many"}, ["limits.concurrency", "integer", "'many'"]),
        ({"surprise": 1}, ["surprise", "Unknown field"]),
        ({"observe/done": None}, ["observe.done", "required"]),
        ({"observe/progress/pattern": "("}, ["observe.progress.pattern", "regular expression"]),
        ({"observe/preview/source": "sound"}, ["observe.preview.source", "canvas", "'sound'"]),
        ({"steps/2/value": "{{banana}}"}, ["steps[2]", "banana", "prompt"]),
        ({"steps/2/when": "banana"}, ["steps[2]", "banana"]),
        ({"steps/2/selectors": []}, ["steps[2].selectors", "at least one"]),
        ({"steps/9/submits": False}, ["steps", "Exactly one"]),
        ({"loras": None}, ["loras", "section is needed"]),
        ({"steps/9/when": "seed"}, ["steps[9].when", "must not be skipped"]),
        ({"steps/9/name": "choose"}, ["steps[9].name", "customStep"]),
        ({"steps/2/value": "{{Prompt}}"}, ["steps[2]", "small_letters"]),
        ({"loras/syntax": "<{{lora}}:{{banana}}>"}, ["loras.syntax", "banana"]),
        ({"observe/missed": "{{url}}history/{{id}}"}, ["cancel.id", "{{id}}"]),
        ({"observe/missed": "{{url}}history/{{banana}}"}, ["observe.missed", "banana"]),
        ({"observe/missed": "https://elsewhere/"}, ["observe.missed", "begin with", "elsewhere"]),
        ({"observe/until": {"frames": {"match": {"job": "{{id}}"}}}}, ["cancel.id", "{{id}}"]),
        ({"loras/open/0": {**CLICK, "when": "banana"}}, ["loras.open[0]", "banana"]),
        ({"capture": {"steps": [{**CHANGE, "value": "{{banana}}"}]}}, ["capture.steps[0]", "banana"]),
        ({"observe/done/selectors": ["img:has-text('done')"]}, ["observe.done.selectors", ":has-text", "CSS"]),
        ({"inputs/seed/type": "colour"}, ["inputs.seed.type", "integer"]),
        ({"inputs/Seed": {"type": "string"}}, ["inputs.Seed", "does not match"]),
        ({"consent/ownership": "terms"}, ["consent.terms_url", "terms"]),
        ({"url": "file:///etc/passwd"}, ["url", "Not a valid URL"]),
        ({"bundle": "../../etc"}, ["bundle"]),
    ],
)
def test_a_mistake_is_reported_with_key_and_value(changes: dict[str, Any], fragments: list[str]) -> None:
    """Each mistake yields one sentence with the file, the key, and the value or what is allowed."""
    [problem] = problems(changes)

    assert not [fragment for fragment in fragments if fragment not in problem]


def test_several_mistakes_are_reported_together() -> None:
    """Correcting one mistake is not needed to see the next."""
    assert len(problems({"limits/daily": -1, "title": None})) == 2


def test_every_shipped_recipe_is_valid() -> None:
    """Every file loads under its name."""
    assert {path.stem for path in SHIPPED_RECIPES.glob("*.toml")} == {
        recipe.name for recipe in Recipes("studio").list_all()
    }


def test_a_recipe_in_recipes_dir_overrides_a_shipped_one(tmp_path: Path) -> None:
    """The names are the same."""
    text = (SHIPPED_RECIPES / "studio.toml").read_text().replace('title = "', 'title = "My ', 1)
    (tmp_path / "studio.toml").write_text(text)

    assert Recipes("studio", tmp_path).get("studio").title.startswith("My ")


def test_an_unknown_default_site_prevents_the_start() -> None:
    """SITE must name a recipe; the message lists the recipes."""
    with pytest.raises(SettingsError, match=r"SITE.*'nowhere'.*studio"):
        Recipes("nowhere")


def test_a_file_that_is_not_toml_prevents_the_start(tmp_path: Path) -> None:
    """The message names the file."""
    (tmp_path / "broken.toml").write_text("= nothing")

    with pytest.raises(SettingsError, match=r"broken\.toml"):
        Recipes("studio", tmp_path)


@pytest.mark.parametrize(
    ("raw_inputs", "expected"),
    [
        ({"seed": "12"}, {"seed": 12}),
        ({"negativePrompt": " fog "}, {"negative_prompt": "fog"}),
        ({"negative_prompt": "fog", "width": 256}, {"negative_prompt": "fog", "width": 256}),
        ({"seed": None}, {}),
        ({}, {}),
    ],
)
def test_inputs_get_the_declared_names_and_types(raw_inputs: dict[str, Any], expected: dict[str, Any]) -> None:
    """Names in either case and values from a query string are accepted."""
    assert expected == Recipes("studio").default.validate_inputs(raw_inputs)


@pytest.mark.parametrize(
    ("raw_inputs", "fragments"),
    [
        ({"sed": 1}, ["sed", "studio accepts", "negativePrompt", "seed"]),
        ({"seed": "seven"}, ["seed", "integer", "'seven'"]),
        ({"seed": -1}, ["seed", "0"]),
        ({"seed": 2**32}, ["seed"]),
        ({"width": 2000}, ["width", "1024"]),
        ({"width": 513}, ["width", "multiple of 8"]),
        ({"steps": True}, ["steps", "integer"]),
        ({"steps": [1]}, ["steps", "integer"]),
        ({"negativePrompt": "x" * 4001}, ["negativePrompt", "4000"]),
        ({"negativePrompt": "a\x00b"}, ["negativePrompt", "control"]),
        ({"negativePrompt": {"deep": 1}}, ["negativePrompt", "string"]),
    ],
)
def test_an_invalid_input_is_rejected_by_name(raw_inputs: dict[str, Any], fragments: list[str]) -> None:
    """The message names the input as the client wrote it, and what is allowed."""
    with pytest.raises(Invalid) as caught:
        Recipes("studio").default.validate_inputs(raw_inputs)

    assert not [fragment for fragment in fragments if fragment not in caught.value.problems[0]]


def test_a_setting_overrides_the_url_of_a_recipe(tmp_path: Path) -> None:
    """The bundled files are then not served."""
    (tmp_path / "my-forge.toml").write_text((SHIPPED_RECIPES / "studio.toml").read_text())
    recipes = Recipes("studio", tmp_path, urls={"my_forge": "http://127.0.0.1:7860/"})

    forge = recipes.get("my-forge")
    assert (forge.url, forge.bundle, recipes.default.bundle) == ("http://127.0.0.1:7860/", None, "studio")
    with pytest.raises(SettingsError, match="SITE_NOWHERE_URL"):
        Recipes("studio", urls={"nowhere": "http://127.0.0.1/"})


def test_a_stand_in_is_not_the_real_program() -> None:
    """A recipe that was run against a stand-in cannot claim the program itself, and says what took its place."""
    program = {"name": "Fooocus", "versions": ["2.5.5"], "stand_in": "a page with its elements"}
    tested = {"with": "a page of ours", "real": False, "programs": [program]}

    recipe = load_recipe("studio", {**STUDIO, "tested": tested})

    assert str(recipe.tested) == "Fooocus 2.5.5 (not itself but a page with its elements)"
    assert "tested.real" in str(problems({"tested": {**tested, "real": True}}))
