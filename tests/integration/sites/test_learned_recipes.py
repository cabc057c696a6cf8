"""Recipes learned from the layouts of real Gradio apps, run in a real browser."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from playwright.async_api import BrowserContext

from ops.infra.settings import ROOT
from ops.processes.web_command import free_port
from schemas.errors import ChoiceNotFound
from schemas.images.input_images import InputFile
from schemas.jobs.job import JobRequest
from schemas.sites.recipe_schema import load_recipe
from stores.sites.recipes import Recipes
from tests.conftest import TIMEOUT_S, eventually
from tests.integration.sites.conftest import START_TIMEOUT_S, drive, run_attempt, run_in_browser
from tests.integration.sites.test_recipe_tools import run_sites_command
from tests.support.programs.gradio_layouts import LAYOUTS
from workers.sites.driver.driver import Driver
from workers.sites.driver.generation.program_stop import STOPPED
from workers.sites.learn.detection import detect_program
from workers.sites.learn.drafts import DraftError, learn_from_layout

PROMPT = "a lighthouse at dusk"
# By layout: the inputs of a job, the text that the app must have received, and the number of pictures.
JOBS: dict[str, tuple[dict[str, Any], str, int]] = {
    "interface": ({}, PROMPT, 1),
    "interface-with-settings": (
        {"negative_prompt": "fog", "steps": 9, "cfg_scale": 4.5, "scheduler": "DDIM"},
        f"{PROMPT}|fog|9|4.5|DDIM",
        2,
    ),
    "template": ({"seed": 77, "width": 640, "cfg_scale": 5.5}, f"{PROMPT}||77|640|5.5", 1),
    "two-tasks": ({"seed": 3}, f"{PROMPT}|3", 1),
    "nested-tabs": ({}, PROMPT, 2),
    "two-prompts": ({"negative_prompt": "fog", "steps": 12}, f"{PROMPT}|fog|12", 2),
    "german": ({"negative_prompt": "Nebel", "width": 768, "height": 320}, f"{PROMPT}|Nebel|768|320", 1),
    "chinese": ({"negative_prompt": "雾", "seed": 5}, f"{PROMPT}|雾|5", 2),
    "russian": ({}, PROMPT, 1),
    "enter-key": ({}, PROMPT, 1),
    "chained": ({"seed": 9}, f"{PROMPT}|9", 2),
    "expander": ({}, PROMPT, 1),
    "upscaler": ({"style": "Drawing"}, f"{PROMPT}|Drawing", 1),
    "optional-source": ({"strength": 0.25}, f"no source|{PROMPT}|0.25", 1),
    "silent": ({}, PROMPT, 1),
    "model-choice": (
        {"model": "Flux.1 dev", "style": "Oil", "tileable": False},
        f"{PROMPT}|Flux.1 dev|Oil|Sharpen|0",
        1,
    ),
    "settings-tab": ({"steps": 7, "sampler": "Heun"}, f"{PROMPT}|7|Heun", 2),
    "several-images": ({}, PROMPT, 3),
    "unlabelled": ({"negative_prompt": "fog"}, f"{PROMPT}|fog", 1),
}


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve all layouts; yields the base URL."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("gradio"))}
    log = tmp_path_factory.mktemp("layouts") / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "tests.support.programs.gradio_layouts", str(port)]
        # Some versions of Gradio create a folder where they run.
        process = subprocess.Popen(command, cwd=log.parent, env=environment, stdout=out, stderr=out)
    address = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: process.poll() is not None or _answers(address), timeout_s=START_TIMEOUT_S)
        assert process.poll() is None, log.read_text()
        yield address
    finally:
        process.terminate()
        process.wait(60)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/interface/config", timeout=TIMEOUT_S, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_every_layout_is_tested() -> None:
    """Of the twenty layouts, one has no event that returns a picture."""
    assert set(LAYOUTS) - set(JOBS) == {"chat"}
    assert len(LAYOUTS) == 20


@pytest.mark.parametrize("name", JOBS)
def test_a_learned_recipe_makes_the_picture(layouts: str, name: str) -> None:
    """The app's main event receives the prompt and all inputs, and its final pictures come back."""
    inputs, text, count = JOBS[name]
    draft = learn_from_layout(detect_program(f"{layouts}/{name}"))[0]
    recipe = load_recipe("learned", draft.recipe)

    result = run_attempt(recipe, PROMPT, **inputs)

    assert result.shows_images_of(text, *range(count))
    assert not any(image.lossy for image in result.images)


@pytest.mark.parametrize("name", ["template", "model-choice", "german"])
def test_a_learned_recipe_leaves_the_defaults_of_the_app(layouts: str, name: str) -> None:
    """A job without inputs gets what the app has set."""
    defaults = {
        "template": f"{PROMPT}||0|512|3.5",
        "model-choice": f"{PROMPT}|SDXL 1.0|None|Sharpen|1",
        "german": f"{PROMPT}||512|512",
    }
    recipe = load_recipe("learned", learn_from_layout(detect_program(f"{layouts}/{name}"))[0].recipe)

    assert run_attempt(recipe, PROMPT).shows_images_of(defaults[name], 0)


def test_a_closed_sidebar_is_opened(layouts: str) -> None:
    """Its fields are inputs like all others."""
    recipe = load_recipe("learned", learn_from_layout(detect_program(f"{layouts}/sidebar"))[0].recipe)

    assert run_attempt(recipe, PROMPT, sampler="Heun").shows_images_of(f"{PROMPT}|Heun", 0)


def test_a_picture_is_an_input(layouts: str) -> None:
    """The app receives the picture that a job has."""
    recipe = load_recipe("learned", learn_from_layout(detect_program(f"{layouts}/optional-source"))[0].recipe)
    request = JobRequest("learned", PROMPT, None, recipe.validate_inputs({"strength": 0.5}))
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(data, "PNG")
    images = {"reference_optional": InputFile("mine.png", "image/png", data.getvalue())}

    result = run_in_browser(lambda context: drive(context, recipe, request, images))

    assert result.shows_images_of(f"source|{PROMPT}|0.5", 0)


def test_learn_finds_out_that_an_app_needs_a_picture(layouts: str, tmp_path: Path) -> None:
    """The trial without one fails, the next has one, and the kept recipe requires it."""
    code, printed = run_sites_command(tmp_path, "learn", f"{layouts}/source", "--name", "mine")

    assert code == 0, printed
    assert "The trial failed: Upload a picture first." in printed
    assert Recipes("mine", tmp_path).get("mine").inputs["picture_to_change"].required


def test_the_stop_button_of_an_app_is_used(layouts: str) -> None:
    """The app's own function ends, long before its last step."""
    recipe = load_recipe("learned", learn_from_layout(detect_program(f"{layouts}/stoppable"))[0].recipe)

    async def cancel(context: BrowserContext) -> str:
        driver = Driver(context, recipe)
        await driver.open(JobRequest("learned", PROMPT, None, {}))
        await driver.submit()
        async for update in driver.watch():
            if isinstance(update, bytes):
                break
        return await driver.stop_program()

    assert run_in_browser(cancel) == STOPPED
    steps = eventually(lambda: httpx.get(f"{layouts}/stopped", timeout=TIMEOUT_S, trust_env=False).json())
    assert max(steps) < 50


def test_a_radio_button_that_is_not_there(layouts: str) -> None:
    """The error lists the group's labels."""
    draft = learn_from_layout(detect_program(f"{layouts}/model-choice"))[0]
    del draft.recipe["inputs"]["style"]["choices"]

    with pytest.raises(ChoiceNotFound, match=r"'Pastel'.*None, Comic, Oil"):
        run_attempt(load_recipe("learned", draft.recipe), PROMPT, style="Pastel")


def test_learn_tries_the_next_event_if_the_most_likely_one_fails(layouts: str, tmp_path: Path) -> None:
    """The reason of the failure is printed, and the kept recipe is for the event that worked."""
    code, printed = run_sites_command(tmp_path, "learn", f"{layouts}/two-engines")

    assert code == 0, printed
    assert "The trial failed: There is no graphics card" in printed
    assert "Generate slowly" in (tmp_path / "two-engines.toml").read_text().split("[")[0]


def test_a_layout_without_a_picture_says_what_it_lacks(layouts: str) -> None:
    """A chat returns no picture, so no recipe is written."""
    with pytest.raises(DraftError, match=r"shows no image and no gallery.*chatbot"):
        learn_from_layout(detect_program(f"{layouts}/chat"))
