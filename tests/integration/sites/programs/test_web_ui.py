"""The recipe ``automatic1111`` on stand-ins for AUTOMATIC1111 and Forge, on the versions of Gradio that they use."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from playwright.async_api import BrowserContext

from schemas.errors import ServiceError, SiteFailed
from schemas.jobs.job import JobRequest
from schemas.sites.recipe import Recipe
from tests.integration.sites.conftest import shipped_recipe
from tests.integration.sites.programs.attempts import lose_program
from tests.integration.sites.programs.conftest import RealBrowser, picture_hashes
from tests.support.programs.gradio_server import GradioServer
from workers.sites.driver.driver import Driver

# The first test waits for the environment, which may have to be made.
pytestmark = pytest.mark.timeout(600)
PROMPT = "a lighthouse at dusk"
CHECKPOINTS = ["dreamshaper_8.safetensors [879db523c3]", "sd_xl_base_1.0.safetensors [31e35c80fc]"]
SAMPLERS = ["DPM++ 2M", "DPM++ SDE", "Euler a", "Euler", "LMS", "Heun"]


@dataclass(frozen=True)
class WebUi:
    """A program with the ids of AUTOMATIC1111, and the recipe for it."""

    server: GradioServer
    recipe: Recipe


@pytest.fixture(scope="module", params=[("automatic1111", "3.41.2"), ("forge", "4.40.0")], ids=lambda pair: pair[0])
def web_ui(request: pytest.FixtureRequest, gradio_servers: Callable[[str], GradioServer]) -> WebUi:
    """Each of the programs."""
    name, version = request.param
    server = gradio_servers(version)
    return WebUi(server, shipped_recipe("automatic1111", f"{server.url}/{name}/"))


def test_every_input_is_taken(web_ui: WebUi, browser: RealBrowser) -> None:
    """Settings, sampler, checkpoint and a LoRA reach the program; the picture is exact; progress and previews come."""
    result = browser.attempt(
        web_ui.recipe,
        PROMPT,
        lora="ink wash",
        negative_prompt="fog",
        steps=25,
        sampler="Euler a",
        width=320,
        height=256,
        cfg_scale=5.5,
        seed=11,
        checkpoint=CHECKPOINTS[1],
    )

    prompt = f"{PROMPT} <lora:ink wash:1>"
    assert result.shows_images_of(f"{prompt}|fog|25|Euler a|5.5|11|{CHECKPOINTS[1]}", 0)
    assert web_ui.server.hashes(prompt) == picture_hashes(result)
    assert {(image.width, image.height) for image in result.images} == {(320, 256)}
    assert len(set(result.previews)) >= 2
    percentages = [update.percentage for update in result.progress]
    assert len(percentages) >= 2
    assert percentages == sorted(percentages)


def test_the_contact_sheet_is_no_picture(web_ui: WebUi, browser: RealBrowser) -> None:
    """With several pictures the gallery begins with a sheet of all of them, which is left out."""
    prompt = "three lamps"

    result = browser.attempt(web_ui.recipe, prompt, batch_count=3, seed=1)

    assert len(result.images) == 3
    assert web_ui.server.hashes(prompt) == picture_hashes(result)


@pytest.mark.parametrize(("name", "offered"), [("sampler", SAMPLERS), ("checkpoint", CHECKPOINTS)])
def test_choices_are_read_from_the_page(web_ui: WebUi, browser: RealBrowser, name: str, offered: list[str]) -> None:
    """They have the order of the page."""

    async def read(context: BrowserContext) -> list[str]:
        driver = Driver(context, web_ui.recipe)
        await driver.open()
        return await driver.read_choices(name)

    assert offered == browser.run(read)


def test_an_exception_has_the_words_of_the_program(web_ui: WebUi, browser: RealBrowser) -> None:
    """The line below the empty gallery; the prompt is not to blame."""
    with pytest.raises(SiteFailed, match="mat1 and mat2 shapes"):
        browser.attempt(web_ui.recipe, "a crash")


def test_out_of_memory_is_tried_again(web_ui: WebUi, browser: RealBrowser) -> None:
    """The program failed; the prompt is not refused."""
    with pytest.raises(ServiceError, match="out of memory") as caught:
        browser.attempt(web_ui.recipe, "an exhausting lamp")

    assert caught.value.retryable


def test_cancel_stops_the_program(web_ui: WebUi, browser: RealBrowser) -> None:
    """The program's log shows it, the next job starts at once, and its picture is its own."""
    prompt, next_prompt = "a slow cancelled lamp", "the lamp after it"
    browser.run(lambda context: cancel(context, web_ui, prompt))

    result = browser.attempt(web_ui.recipe, next_prompt, seed=3)

    assert web_ui.server.events(prompt) == ["started", "stopped"]
    assert web_ui.server.hashes(next_prompt) == picture_hashes(result)


async def cancel(context: BrowserContext, web_ui: WebUi, prompt: str) -> None:
    """Submit a prompt, and stop the program when it works on it."""
    driver = Driver(context, web_ui.recipe)
    await driver.open(JobRequest(web_ui.recipe.name, prompt))
    await driver.submit()
    async for _ in driver.watch():
        if "started" in await asyncio.to_thread(web_ui.server.events, prompt):
            break
    await driver.stop_program()


def test_a_waiting_job_does_not_stop_the_one_of_another(web_ui: WebUi, browser: RealBrowser) -> None:
    """Interrupt is global, so it is not pressed while the program works for another page."""
    others_prompt, own_prompt = "the lamp of another person", "a waiting lamp"

    async def wait_and_cancel(context: BrowserContext) -> list[str]:
        other, own = Driver(context, web_ui.recipe), Driver(await context.browser.new_context(), web_ui.recipe)
        others_inputs = web_ui.recipe.validate_inputs({"batch_count": 4})
        await own.open(JobRequest(web_ui.recipe.name, own_prompt))
        await other.open(JobRequest(web_ui.recipe.name, others_prompt, inputs=others_inputs))
        await other.submit()
        watching = other.watch()
        await anext(watching)
        await own.submit()
        await own.stop_program()
        await own.page.context.close()
        async for _ in watching:
            pass
        return await asyncio.to_thread(web_ui.server.events, others_prompt)

    assert browser.run(wait_and_cancel) == ["started", "finished"]


def test_a_restart_in_mid_job_is_survived(web_ui: WebUi, browser: RealBrowser, short_reconnection: None) -> None:
    """The prompt is not to blame, and the next attempt has its picture."""
    prompt, next_prompt = "a slow dying lamp", "the lamp of the next attempt"

    error = browser.run(lambda context: lose_program(context, web_ui.recipe, prompt, web_ui.server))
    result = browser.attempt(web_ui.recipe, next_prompt, seed=4)

    assert (error.code, error.retryable) == ("site_unavailable", True), error.message
    assert web_ui.server.hashes(next_prompt) == picture_hashes(result)


def test_a_page_that_mounts_slowly_is_waited_for(
    gradio_servers: Callable[[str], GradioServer], browser: RealBrowser
) -> None:
    """An empty page is not a changed page."""
    server = gradio_servers("3.41.2")
    prompt = "a late lamp"
    recipe = shipped_recipe("automatic1111", f"{server.url}/slowly/")

    result = browser.attempt(recipe, prompt, seed=2)

    assert server.hashes(prompt) == picture_hashes(result)
