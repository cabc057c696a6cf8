"""The shipped recipes on imitations of the pages that they are for, in a real browser."""

import re
import tomllib
from dataclasses import replace

import pytest
from playwright.async_api import BrowserContext, StorageState

from ops.infra.settings import ROOT, SHIPPED_RECIPES
from schemas.errors import ChoiceNotFound, LoraNotFound, NeedsHuman, SiteRefused
from schemas.sites.recipe_schema import load_recipe
from tests.integration.sites.conftest import run_attempt, run_in_browser, shipped_recipe
from tests.support.programs.gradio_pages import CHECKPOINTS, SAMPLERS
from tests.support.programs.weights import SIGNED_IN
from workers.sites.driver.driver import Driver

PROMPT = "a lighthouse at dusk"


def signed_in_state(address: str) -> StorageState:
    """Return the storage state of a browser that is signed in."""
    return {
        "cookies": [
            {
                "name": "session",
                "value": SIGNED_IN,
                "domain": "127.0.0.1",
                "path": "/",
                "expires": -1,
                "httpOnly": False,
                "secure": False,
                "sameSite": "Lax",
            }
        ],
        "origins": [{"origin": address, "localStorage": []}],
    }


def test_gradio(programs: str) -> None:
    """Fields are found by their labels; previews are streamed; all images of the gallery are captured byte by byte."""
    result = run_attempt(
        shipped_recipe("gradio", f"{programs}/gradio/"),
        PROMPT,
        negative_prompt="fog",
        seed=7,
        steps=12,
        sampler="DPM++ 2M",
    )

    assert result.shows_images_of(f"{PROMPT}|fog|7|12|DPM++ 2M", 0, 1)
    assert len(set(result.previews)) >= 2
    assert not any(image.lossy for image in result.images)


def test_the_gradio_recipe_adapts_to_other_labels(programs: str) -> None:
    """Only the labels in the recipe have to be changed."""
    text = (SHIPPED_RECIPES / "gradio.toml").read_text()
    for shipped_name, own_name in {
        '"aria/Prompt"': '"aria/Your idea"',
        '"aria/Seed"': '"aria/Lucky number"',
        '"aria/Generate"': '"aria/Draw it"',
    }.items():
        text = text.replace(shipped_name, own_name)
    recipe = load_recipe("mine", {**tomllib.loads(text), "url": f"{programs}/renamed/"})

    result = run_attempt(recipe, PROMPT, seed=3)

    assert result.shows_images_of(f"{PROMPT}|3", 0)


def test_the_recipe_of_the_tutorial_works(programs: str) -> None:
    """The recipe in docs/recipes.md runs a job."""
    text = (ROOT / "docs" / "recipes.md").read_text()
    toml = next(block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if block.startswith("title"))
    recipe = load_recipe("mine", {**tomllib.loads(toml), "url": f"{programs}/renamed/"})

    assert run_attempt(recipe, PROMPT, seed=3).shows_images_of(f"{PROMPT}|3", 0)


def test_a_gradio_error_is_a_refusal(programs: str) -> None:
    """The message of ``gr.Error`` becomes the error's message."""
    with pytest.raises(SiteRefused, match="not allowed here"):
        run_attempt(shipped_recipe("gradio", f"{programs}/gradio/"), "a forbidden thing")


def test_an_unknown_choice_lists_the_offered_ones(programs: str) -> None:
    """The message of the error lists them."""
    with pytest.raises(ChoiceNotFound, match=r"'Eular'.*Euler, Euler a, DPM"):
        run_attempt(shipped_recipe("gradio", f"{programs}/gradio/"), PROMPT, sampler="Eular")


@pytest.mark.parametrize(
    ("name", "input_name", "offered"),
    [
        ("gradio", "sampler", SAMPLERS),
        ("automatic1111", "sampler", SAMPLERS),
        ("automatic1111", "checkpoint", CHECKPOINTS),
        ("automatic1111", "seed", []),
    ],
)
def test_choices_are_read_from_the_page(programs: str, name: str, input_name: str, offered: list[str]) -> None:
    """They have the order of the page."""

    async def read(context: BrowserContext) -> list[str]:
        driver = Driver(context, shipped_recipe(name, f"{programs}/{name}/"))
        await driver.open()
        return await driver.read_choices(input_name)

    assert offered == run_in_browser(read)


def test_automatic1111(programs: str) -> None:
    """The recipe handles settings, a LoRA in the prompt, live previews, progress, several images."""
    result = run_attempt(
        shipped_recipe("automatic1111", f"{programs}/automatic1111/"),
        PROMPT,
        lora="ink wash",
        negative_prompt="fog",
        steps=25,
        sampler="Euler a",
        width=320,
        height=256,
        batch_count=3,
        cfg_scale=5.5,
        seed=11,
        checkpoint=CHECKPOINTS[1],
    )

    text = f"{PROMPT} <lora:ink wash:1>|fog|25|Euler a|5.5|11|{CHECKPOINTS[1]}"
    assert result.shows_images_of(text, 0, 1, 2)
    assert {(image.width, image.height) for image in result.images} == {(320, 256)}
    assert [update.percentage for update in result.progress] == [25.0, 50.0, 75.0]
    assert len(set(result.previews)) >= 2


def test_fooocus(programs: str) -> None:
    """The gallery is the result once the stop button has disappeared."""
    result = run_attempt(
        shipped_recipe("fooocus", f"{programs}/fooocus/"), PROMPT, negative_prompt="fog", image_number=2
    )

    assert result.shows_images_of(f"{PROMPT}|fog", 0, 1)
    assert [update.percentage for update in result.progress] == [25.0, 50.0, 75.0]
    assert len(set(result.previews)) >= 2


def test_a_gradio_login_page_needs_a_person(programs: str) -> None:
    """Missing elements on a login page are not reported as a changed page."""
    recipe = shipped_recipe("gradio", f"{programs}/locked/")
    impatient = tuple(replace(step, timeout_ms=min(step.timeout_ms, 5000)) for step in recipe.steps)

    with pytest.raises(NeedsHuman, match="Login"):
        run_attempt(replace(recipe, steps=impatient), PROMPT)


def test_weights(programs: str) -> None:
    """The recipe handles a contenteditable prompt, a model picker, previews, the result, and credentials."""
    recipe = shipped_recipe("weights", f"{programs}/weights/")

    result = run_attempt(recipe, PROMPT, lora="ukiyo-e", state=signed_in_state(programs))

    assert result.shows_images_of(f"{PROMPT}|Ukiyo-e", 0)
    assert result.previews


def test_weights_needs_a_person_without_credentials(programs: str) -> None:
    """The login page is not reported as a missing element."""
    with pytest.raises(NeedsHuman, match="Sign in to continue"):
        run_attempt(shipped_recipe("weights", f"{programs}/weights/"), PROMPT)


def test_a_weights_toast_is_a_refusal(programs: str) -> None:
    """The error has the text of the toast."""
    with pytest.raises(SiteRefused, match="rules of the house"):
        run_attempt(shipped_recipe("weights", f"{programs}/weights/"), "forbidden", state=signed_in_state(programs))


def test_a_virtual_list_is_read_to_its_end(programs: str) -> None:
    """The picker keeps only six rows in the page."""
    recipe = shipped_recipe("weights", f"{programs}/weights/")

    async def search(context: BrowserContext) -> list[str]:
        driver = Driver(context, recipe)
        await driver.open()
        return [entry["name"] for entry in await driver.search_loras("Model 12")]

    assert [f"Model 12{number}" for number in range(10)] == run_in_browser(search, signed_in_state(programs))


def test_an_unknown_model_suggests_similar_names(programs: str) -> None:
    """The message of the error lists them."""
    with pytest.raises(LoraNotFound, match="Nearest: Model 100"):
        run_attempt(
            shipped_recipe("weights", f"{programs}/weights/"), PROMPT, lora="Modell 00", state=signed_in_state(programs)
        )
