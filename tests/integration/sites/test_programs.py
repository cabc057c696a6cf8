"""Every shipped recipe on a page like the one it is for, in a real browser."""

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
    """What a browser knows once somebody has signed in."""
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
    """Fields by their labels, streamed previews, all pictures of the gallery, byte for byte."""
    run = run_attempt(
        shipped_recipe("gradio", f"{programs}/gradio/"),
        PROMPT,
        negative_prompt="fog",
        seed=7,
        steps=12,
        sampler="DPM++ 2M",
    )

    assert run.shows_images_of(f"{PROMPT}|fog|7|12|DPM++ 2M", 0, 1)
    assert len(set(run.previews)) >= 2
    assert not any(picture.lossy for picture in run.pictures)


def test_gradio_with_other_names_takes_five_lines(programs: str) -> None:
    """A page of somebody's own: only the labels differ."""
    text = (SHIPPED_RECIPES / "gradio.toml").read_text()
    for shipped_name, own_name in {
        '"aria/Prompt", ': '"aria/Your idea", ',
        '"aria/Seed", ': '"aria/Lucky number", ',
        '"aria/Generate", ': '"aria/Draw it", ',
    }.items():
        text = text.replace(shipped_name, own_name)
    recipe = load_recipe("mine", {**tomllib.loads(text), "url": f"{programs}/renamed/"})

    run = run_attempt(recipe, PROMPT, seed=3)

    assert run.shows_images_of(f"{PROMPT}|3", 0)


def test_the_recipe_of_the_tutorial_paints(programs: str) -> None:
    """What the documents say a new page takes."""
    text = (ROOT / "docs" / "recipes.md").read_text()
    written = next(block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if block.startswith("title"))
    recipe = load_recipe("mine", {**tomllib.loads(written), "url": f"{programs}/renamed/"})

    assert run_attempt(recipe, PROMPT, seed=3).shows_images_of(f"{PROMPT}|3", 0)


def test_gradio_refuses_in_its_own_words(programs: str) -> None:
    """``gr.Error`` is a refusal."""
    with pytest.raises(SiteRefused, match="not allowed here"):
        run_attempt(shipped_recipe("gradio", f"{programs}/gradio/"), "a forbidden thing")


def test_a_choice_that_the_page_does_not_offer(programs: str) -> None:
    """The sentence names those that it does."""
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
    """In the page's order."""

    async def read(context: BrowserContext) -> list[str]:
        driver = Driver(context, shipped_recipe(name, f"{programs}/{name}/"))
        await driver.open()
        return await driver.read_choices(input_name)

    assert offered == run_in_browser(read)


def test_automatic1111(programs: str) -> None:
    """Settings, a LoRA written into the prompt, live previews, progress, several pictures."""
    run = run_attempt(
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

    words = f"{PROMPT} <lora:ink wash:1>|fog|25|Euler a|5.5|11|{CHECKPOINTS[1]}"
    assert run.shows_images_of(words, 0, 1, 2)
    assert {(picture.width, picture.height) for picture in run.pictures} == {(320, 256)}
    assert [one.percentage for one in run.progress] == [25.0, 50.0, 75.0]
    assert len(set(run.previews)) >= 2


def test_fooocus(programs: str) -> None:
    """The preview window comes and goes; the gallery counts once the stop button has gone."""
    run = run_attempt(shipped_recipe("fooocus", f"{programs}/fooocus/"), PROMPT, negative_prompt="fog", image_number=2)

    assert run.shows_images_of(f"{PROMPT}|fog", 0, 1)
    assert [(one.step, one.steps) for one in run.progress] == [(1, 4), (2, 4), (3, 4)]
    assert len(set(run.previews)) >= 2


def test_comfyui(programs: str) -> None:
    """The workflow with its nodes filled in; progress, previews and pictures from the page's own socket."""
    run = run_attempt(
        shipped_recipe("comfyui", f"{programs}/comfyui/"),
        PROMPT,
        negative_prompt="fog",
        seed=5,
        steps=9,
        width=320,
        height=256,
        batch_size=2,
    )

    assert run.shows_images_of(f"{PROMPT}|fog|5|9", 0, 1)
    assert {(picture.width, picture.height) for picture in run.pictures} == {(320, 256)}
    assert [(one.step, one.steps) for one in run.progress][-1] == (4, 4)
    assert run.previews
    assert not any(picture.lossy for picture in run.pictures)


def test_comfyui_tells_why_it_failed(programs: str) -> None:
    """In the words of its own error message."""
    with pytest.raises(SiteRefused, match="The sampler has refused"):
        run_attempt(shipped_recipe("comfyui", f"{programs}/comfyui/"), "forbidden")


def test_comfyui_tells_why_a_workflow_was_not_taken(programs: str) -> None:
    """The server says so to the page alone, which shows it."""
    with pytest.raises(SiteRefused, match="Too many steps"):
        run_attempt(shipped_recipe("comfyui", f"{programs}/comfyui/"), PROMPT, steps=150)


def test_a_gradio_app_with_a_password_asks_for_a_person(programs: str) -> None:
    """What is missing on its login page is not a change of the page."""
    recipe = shipped_recipe("gradio", f"{programs}/locked/")
    hasty = tuple(replace(step, timeout_ms=min(step.timeout_ms, 5000)) for step in recipe.steps)

    with pytest.raises(NeedsHuman, match="Login"):
        run_attempt(replace(recipe, steps=hasty), PROMPT)


def test_a_seed_is_drawn_where_a_program_would_repeat_itself(programs: str) -> None:
    """So that the same prompt twice gives two pictures, and the job says which seed it was."""
    recipe = shipped_recipe("comfyui", f"{programs}/comfyui/")

    assert recipe.validate_inputs({})["seed"] != recipe.validate_inputs({})["seed"]
    assert recipe.validate_inputs({"seed": 4})["seed"] == 4


def test_weights(programs: str) -> None:
    """A contenteditable prompt, a model from a picker, previews and the result, once somebody is signed in."""
    recipe = shipped_recipe("weights", f"{programs}/weights/")

    run = run_attempt(recipe, PROMPT, lora="ukiyo-e", state=signed_in_state(programs))

    assert run.shows_images_of(f"{PROMPT}|Ukiyo-e", 0)
    assert run.previews


def test_weights_asks_for_a_person_without_a_session(programs: str) -> None:
    """The login wall is not an element that is missing."""
    with pytest.raises(NeedsHuman, match="Sign in to continue"):
        run_attempt(shipped_recipe("weights", f"{programs}/weights/"), PROMPT)


def test_weights_refuses_with_a_toast(programs: str) -> None:
    """In the page's words."""
    with pytest.raises(SiteRefused, match="rules of the house"):
        run_attempt(shipped_recipe("weights", f"{programs}/weights/"), "forbidden", state=signed_in_state(programs))


def test_a_virtual_list_is_read_to_its_end(programs: str) -> None:
    """A picker that keeps six rows in the page still has all its models searched."""
    recipe = shipped_recipe("weights", f"{programs}/weights/")

    async def search(context: BrowserContext) -> list[str]:
        driver = Driver(context, recipe)
        await driver.open()
        return [found["name"] for found in await driver.search_loras("Model 12")]

    assert [f"Model 12{number}" for number in range(10)] == run_in_browser(search, signed_in_state(programs))


def test_a_model_that_is_not_there(programs: str) -> None:
    """The nearest names are suggested."""
    with pytest.raises(LoraNotFound, match="Nearest: Model 100"):
        run_attempt(
            shipped_recipe("weights", f"{programs}/weights/"), PROMPT, lora="Modell 00", state=signed_in_state(programs)
        )
