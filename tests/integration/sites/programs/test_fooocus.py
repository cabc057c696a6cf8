"""The recipe ``fooocus`` on a stand-in for Fooocus, on the version of Gradio that it uses."""

import asyncio
from collections.abc import Callable

import pytest
from playwright.async_api import BrowserContext

from schemas.errors import ChoiceNotFound, NoPicture
from schemas.jobs.job import JobRequest
from schemas.sites.recipe import Recipe
from tests.integration.sites.conftest import shipped_recipe
from tests.integration.sites.programs.attempts import lose_program
from tests.integration.sites.programs.conftest import RealBrowser, picture_hashes
from tests.support.programs.gradio_server import GradioServer
from workers.sites.driver.driver import Driver

# The first test waits for the environment, which may have to be made.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def server(gradio_servers: Callable[[str], GradioServer]) -> GradioServer:
    """The programs of the version that Fooocus uses."""
    return gradio_servers("3.41.2")


@pytest.fixture(scope="module")
def recipe(server: GradioServer) -> Recipe:
    """The recipe for the stand-in."""
    return shipped_recipe("fooocus", f"{server.url}/fooocus/")


def test_inputs_of_the_hidden_column(server: GradioServer, recipe: Recipe, browser: RealBrowser) -> None:
    """The column and the seed's field are opened; two exact pictures, previews and progress come."""
    prompt = "a framed lamp"

    result = browser.attempt(recipe, prompt, negative_prompt="fog", image_number=2, seed=77, performance="Lightning")

    assert result.shows_images_of(f"{prompt}|fog|77|Lightning", 0, 1)
    assert server.hashes(prompt) == picture_hashes(result)
    assert len(set(result.previews)) >= 2
    percentages = [update.percentage for update in result.progress]
    assert percentages == sorted(percentages)
    assert len(percentages) >= 3


def test_a_job_without_inputs(server: GradioServer, recipe: Recipe, browser: RealBrowser) -> None:
    """The page's own settings are left as they are."""
    prompt = "a plain lamp"

    result = browser.attempt(recipe, prompt)

    assert len(result.images) == 2
    assert server.hashes(prompt) == picture_hashes(result)


def test_an_option_that_is_not_offered(recipe: Recipe, browser: RealBrowser) -> None:
    """The page's options are read from the hidden column, and the error names them."""

    async def read(context: BrowserContext) -> list[str]:
        driver = Driver(context, recipe)
        await driver.open()
        return await driver.read_choices("performance")

    assert browser.run(read) == ["Quality", "Speed", "Lightning"]
    with pytest.raises(ChoiceNotFound, match="Quality, Speed, Lightning"):
        browser.attempt(recipe, "a hasty lamp", performance="Extreme Speed")


def test_a_restart_in_mid_job_is_survived(server: GradioServer, recipe: Recipe, browser: RealBrowser) -> None:
    """The prompt is not to blame, and the next attempt has its picture."""
    prompt, next_prompt = "a slow dying lamp", "the lamp of the next attempt"

    error = browser.run(lambda context: lose_program(context, recipe, prompt, server))
    result = browser.attempt(recipe, next_prompt, image_number=1)

    assert (error.code, error.retryable) == ("site_unavailable", True)
    assert server.hashes(next_prompt) == picture_hashes(result)


def test_an_exception_that_shows_nothing(recipe: Recipe, browser: RealBrowser) -> None:
    """The page is idle again and its gallery is empty: neither a preview nor silence is a result."""
    with pytest.raises(NoPicture) as caught:
        browser.attempt(recipe, "a crash", image_number=1)

    assert caught.value.retryable


def test_the_picture_of_a_cancelled_job_is_not_that_of_the_next(
    server: GradioServer, recipe: Recipe, browser: RealBrowser
) -> None:
    """The program stops, the next job starts at once, and its picture is its own."""
    prompt, next_prompt = "a slow sleeping cat", "a flying bird"

    async def cancel(context: BrowserContext) -> None:
        driver = Driver(context, recipe)
        await driver.open(JobRequest(recipe.name, prompt))
        await driver.submit()
        async for _ in driver.watch():
            if "started" in await asyncio.to_thread(server.events, prompt):
                break
        await driver.stop_program()

    browser.run(cancel)
    result = browser.attempt(recipe, next_prompt, image_number=1)

    assert server.events(prompt) == ["started", "stopped"]
    assert server.hashes(next_prompt) == picture_hashes(result)
