"""What a recipe must contain, and how its mistakes are told."""

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


def problems(change: dict[str, Any]) -> list[str]:
    """What is said about the studio's recipe with some keys changed."""
    raw = copy.deepcopy(STUDIO)
    for path, value in change.items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        place: Any = raw
        for part in parents:
            place = place[part]
        if value is None:
            del place[last]
        else:
            place[last] = value
    with pytest.raises(Invalid) as caught:
        load_recipe("studio", raw)
    return caught.value.problems


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps/3/type": "clik"}, ["studio.toml: steps[3].type", "'clik'", "navigate", "click"]),
        ({"steps/0/url": None}, ["steps[0].url", "navigate", "needs this key"]),
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
        ({"steps/9/when": "seed"}, ["steps[9].when", "cannot be left out"]),
        ({"steps/9/name": "choose"}, ["steps[9].name", "customStep"]),
        ({"steps/2/value": "{{Prompt}}"}, ["steps[2]", "small_letters"]),
        ({"loras/syntax": "<{{lora}}:{{banana}}>"}, ["loras.syntax", "banana"]),
        ({"loras/open/0": {**CLICK, "when": "banana"}}, ["loras.open[0]", "banana"]),
        ({"capture": {"steps": [{**CHANGE, "value": "{{banana}}"}]}}, ["capture.steps[0]", "banana"]),
        ({"observe/done/selectors": ["img:has-text('done')"]}, ["observe.done.selectors", ":has-text", "CSS"]),
        ({"inputs/seed/type": "colour"}, ["inputs.seed", "type", "integer"]),
        ({"consent/ownership": "terms"}, ["consent.terms_url", "terms"]),
        ({"url": "file:///etc/passwd"}, ["url", "Not a valid URL"]),
        ({"bundle": "../../etc"}, ["bundle"]),
    ],
)
def test_a_mistake_is_named_with_place_and_value(change: dict[str, Any], words: list[str]) -> None:
    """Each mistake gives one sentence that names the file, the key, the value or what is allowed."""
    said = problems(change)

    assert len(said) == 1
    assert not [word for word in words if word not in said[0]]


def test_several_mistakes_are_told_together() -> None:
    """Nobody has to mend one mistake to see the next."""
    assert len(problems({"limits/daily": -1, "title": None})) == 2


def test_every_shipped_recipe_is_valid() -> None:
    """What ships loads."""
    assert {path.stem for path in SHIPPED_RECIPES.glob("*.toml")} == {one.name for one in Recipes("studio").list_all()}


def test_a_recipe_of_the_users_own_wins(tmp_path: Path) -> None:
    """A recipe in RECIPES_DIR replaces a shipped one of the same name."""
    text = (SHIPPED_RECIPES / "studio.toml").read_text().replace('title = "', 'title = "My ', 1)
    (tmp_path / "studio.toml").write_text(text)

    assert Recipes("studio", tmp_path).get("studio").title.startswith("My ")


def test_an_unknown_default_site_stops_the_boot() -> None:
    """SITE must name a recipe; the message lists what there is."""
    with pytest.raises(SettingsError, match=r"SITE.*'nowhere'.*studio"):
        Recipes("nowhere")


def test_a_file_that_is_no_toml_stops_the_boot(tmp_path: Path) -> None:
    """The message names the file."""
    (tmp_path / "broken.toml").write_text("= nothing")

    with pytest.raises(SettingsError, match=r"broken\.toml"):
        Recipes("studio", tmp_path)


@pytest.mark.parametrize(
    ("given", "checked"),
    [
        ({"seed": "12"}, {"seed": 12}),
        ({"negativePrompt": " fog "}, {"negative_prompt": "fog"}),
        ({"negative_prompt": "fog", "width": 256}, {"negative_prompt": "fog", "width": 256}),
        ({"seed": None}, {}),
        ({}, {}),
    ],
)
def test_inputs_become_what_the_recipe_declares(given: dict[str, Any], checked: dict[str, Any]) -> None:
    """Names in either case and values as words of a URL are understood."""
    assert checked == Recipes("studio").default.validate_inputs(given)


@pytest.mark.parametrize(
    ("given", "words"),
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
def test_a_wrong_input_is_refused_with_its_name(given: dict[str, Any], words: list[str]) -> None:
    """The sentence names the input as the client wrote it and says what is allowed."""
    with pytest.raises(Invalid) as caught:
        Recipes("studio").default.validate_inputs(given)

    assert not [word for word in words if word not in caught.value.problems[0]]


def test_a_site_may_be_elsewhere_than_its_recipe_says(tmp_path: Path) -> None:
    """The address that the installation names wins; a bundled page is then a page of the user's."""
    (tmp_path / "my-forge.toml").write_text((SHIPPED_RECIPES / "studio.toml").read_text())
    recipes = Recipes("studio", tmp_path, urls={"my_forge": "http://127.0.0.1:7860/"})

    forge = recipes.get("my-forge")
    assert (forge.url, forge.bundle, recipes.default.bundle) == ("http://127.0.0.1:7860/", None, "studio")
    with pytest.raises(SettingsError, match="SITE_NOWHERE_URL"):
        Recipes("studio", urls={"nowhere": "http://127.0.0.1/"})
