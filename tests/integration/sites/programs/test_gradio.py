"""The recipe ``gradio`` on pages of our own, on the real versions of Gradio."""

import asyncio
import io
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import BrowserContext

from schemas.errors import (
    ChoiceNotFound,
    NeedsHuman,
    NoPicture,
    ServiceError,
    SiteBusy,
    SiteFailed,
    SiteRefused,
    SiteUnavailable,
)
from schemas.images.input_images import InputFile
from schemas.jobs.job import JobRequest
from schemas.sites.recipe import Recipe
from schemas.sites.recipe_schema import load_recipe
from tests.integration.sites.conftest import drive, shipped_recipe
from tests.integration.sites.programs.conftest import RealBrowser, picture_hashes
from tests.support.programs.gradio_server import GradioServer
from tests.support.reverse_proxy import serve_below
from workers.sites.driver.driver import Driver
from workers.sites.learn.detection import detect_program
from workers.sites.learn.drafts import learn_from_layout

# The first test of a version waits for its environment, which may have to be made.
pytestmark = pytest.mark.timeout(600)
PROMPT = "a lighthouse at dusk"


def gradio_recipe(gradio: GradioServer, page: str) -> Recipe:
    """The recipe for a page."""
    return shipped_recipe("gradio", f"{gradio.url}/{page}/")


def test_two_pictures_after_previews(gradio: GradioServer, browser: RealBrowser) -> None:
    """The finished pictures are delivered byte for byte, after previews, with every input taken."""
    inputs = {"negative_prompt": "fog", "seed": 7, "steps": 12, "sampler": "DPM++ 2M"}

    result = browser.attempt(gradio_recipe(gradio, "streamed"), PROMPT, **inputs)

    assert result.shows_images_of(f"{PROMPT}|fog|7|12|DPM++ 2M", 0, 1)
    assert gradio.hashes(PROMPT) == picture_hashes(result)
    assert len(set(result.previews)) >= 2


@pytest.mark.parametrize("page", ["captions", "once"])
def test_a_gallery_with_captions_and_a_generator_that_yields_once(
    gradio: GradioServer, browser: RealBrowser, page: str
) -> None:
    """Both pictures come back as they are."""
    prompt = f"{page} lamp"

    result = browser.attempt(gradio_recipe(gradio, page), prompt)

    assert gradio.hashes(prompt) == picture_hashes(result)
    assert result.shows_images_of(prompt, 0, 1)


def test_an_interface(gradio: GradioServer, browser: RealBrowser) -> None:
    """The button of ``gr.Interface`` is found, and its one picture comes back."""
    result = browser.attempt(gradio_recipe(gradio, "interface"), PROMPT, seed=3)

    assert result.shows_images_of(f"{PROMPT}|3", 0)


def test_progress(gradio: GradioServer, browser: RealBrowser) -> None:
    """Percentages of the page's progress bar are reported, and nothing else that looks like numbers."""
    prompt = "a counted lamp"

    result = browser.attempt(gradio_recipe(gradio, "progress"), prompt)

    assert result.shows_images_of(prompt, 0, 1)
    assert {update.percentage for update in result.progress} <= {25.0, 50.0, 75.0, 100.0}
    assert len(result.progress) >= 2


def test_a_picture_in_an_input_is_not_a_result(gradio: GradioServer, browser: RealBrowser) -> None:
    """The page shows a picture from the beginning, and previews in its result."""
    prompt = "a repainted lamp"

    result = browser.attempt(gradio_recipe(gradio, "img2img"), prompt)

    assert gradio.hashes(prompt) == picture_hashes(result)


def test_a_page_that_never_shows_that_it_works(gradio: GradioServer, browser: RealBrowser) -> None:
    """Neither the picture that was there before nor a preview is the result."""
    prompt = "a hidden lamp"

    result = browser.attempt(gradio_recipe(gradio, "hidden"), prompt)

    assert gradio.hashes(prompt) == picture_hashes(result)


def test_a_refusal_has_the_words_of_the_page(gradio: GradioServer, browser: RealBrowser) -> None:
    """The message of ``gr.Error`` becomes the error's message, without the captions around it."""
    with pytest.raises(SiteRefused, match=r"^That prompt is not allowed here\.$"):
        browser.attempt(gradio_recipe(gradio, "streamed"), "a forbidden thing")


def test_an_exception_after_a_preview_is_a_failure_of_the_program(gradio: GradioServer, browser: RealBrowser) -> None:
    """The preview is no result, and the prompt is not to blame: the job is tried again."""
    with pytest.raises((SiteFailed, NoPicture)) as caught:
        browser.attempt(gradio_recipe(gradio, "streamed"), "a crash")

    assert caught.value.retryable


def test_an_exception_that_the_page_hides_is_an_error(gradio: GradioServer, browser: RealBrowser) -> None:
    """With hidden progress the page shows only its last preview; the message of its connection tells the failure."""
    with pytest.raises(ServiceError):
        browser.attempt(gradio_recipe(gradio, "hidden"), "a hidden crash")


def test_out_of_memory_is_tried_again(gradio: GradioServer, browser: RealBrowser) -> None:
    """The words say that the program failed, not that the prompt is refused."""
    with pytest.raises(ServiceError, match="out of memory") as caught:
        browser.attempt(gradio_recipe(gradio, "streamed"), "an exhausting lamp")

    assert caught.value.retryable


def test_a_page_that_shows_nothing_new_has_an_error_of_its_own(gradio: GradioServer, browser: RealBrowser) -> None:
    """The page is idle again and its gallery is empty; the previews before are no result."""
    with pytest.raises(NoPicture):
        browser.attempt(gradio_recipe(gradio, "streamed"), "nothing to see")


def test_a_login_needs_a_person(gradio: GradioServer, browser: RealBrowser) -> None:
    """A login page is noticed as one while the prompt's field is awaited."""
    with pytest.raises(NeedsHuman):
        browser.attempt(gradio_recipe(gradio, "login"), PROMPT)


@pytest.mark.parametrize(
    ("page", "inputs", "text"),
    [
        ("tabs", {"seed": 5}, "5"),
        ("accordion", {"negative_prompt": "fog", "seed": 5, "sampler": "Euler a"}, "fog|5|Euler a"),
    ],
)
def test_what_hides_a_field_is_opened(
    gradio: GradioServer, browser: RealBrowser, page: str, inputs: dict[str, Any], text: str
) -> None:
    """The prompt stands in the second tab, the settings in a closed accordion."""
    prompt = f"a lamp behind {page}"

    result = browser.attempt(gradio_recipe(gradio, page), prompt, **inputs)

    assert result.shows_images_of(f"{prompt}|{text}", 0, 1)


def test_the_choices_of_a_list_are_read(gradio: GradioServer, browser: RealBrowser) -> None:
    """In the order of the page."""

    async def read(context: BrowserContext) -> list[str]:
        driver = Driver(context, gradio_recipe(gradio, "streamed"))
        await driver.open()
        return await driver.read_choices("sampler")

    assert browser.run(read) == ["Euler", "Euler a", "DPM++ 2M", "DPM++ SDE Karras"]


def test_lists_of_every_kind(gradio: GradioServer, browser: RealBrowser) -> None:
    """With and without search, long, open to other values, radio buttons and a checkbox, in a learned recipe."""
    prompt = "a chosen lamp"
    draft = learn_from_layout(detect_program(f"{gradio.url}/choices"))[0]
    recipe = load_recipe("learned", draft.recipe)
    values = {"sampler": "DPM++ 2M", "tone": "Cold", "style": "Style 237", "finish": "Glossy"}

    result = browser.attempt(recipe, prompt, **values, aspect_ratio="Landscape", tiled=False)

    assert result.shows_images_of(f"{prompt}|DPM++ 2M|Cold|Style 237|Glossy||Landscape|0", 0)


def test_a_choice_that_the_page_does_not_offer(gradio: GradioServer, browser: RealBrowser) -> None:
    """The message lists those that it offers."""
    with pytest.raises(ChoiceNotFound, match=r"'Eular'.*Euler, Euler a, DPM"):
        browser.attempt(gradio_recipe(gradio, "streamed"), PROMPT, sampler="Eular")


def test_a_picture_as_input(gradio: GradioServer, browser: RealBrowser) -> None:
    """The program receives the picture of the request, and what it shows of it is no result."""
    prompt, out = "a lamp after a picture", io.BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 90)).save(out, "PNG")
    recipe = gradio_recipe(gradio, "upload")
    request = JobRequest(recipe.name, prompt)
    images = {"image": InputFile("image.png", "image/png", out.getvalue())}

    result = browser.run(lambda context: drive(context, recipe, request, images))

    assert result.shows_images_of(f"{prompt}|0.5|200|30|90", 0)
    assert gradio.hashes(prompt) == picture_hashes(result)


def test_a_full_queue_is_tried_again(gradio: GradioServer, browser: RealBrowser) -> None:
    """One prompt is worked on, one waits, and the third finds the queue full."""
    recipe = gradio_recipe(gradio, "crowded")

    async def crowd(context: BrowserContext) -> None:
        contexts = [await context.browser.new_context() for _ in range(2)]
        for number, other in enumerate(contexts):
            driver = Driver(other, recipe)
            await driver.open(JobRequest(recipe.name, f"a slow lamp {number}"))
            await driver.submit()
            if number == 0:
                await anext(driver.watch())
        try:
            await drive(context, recipe, JobRequest(recipe.name, "a lamp too many"))
        finally:
            for other in contexts:
                await other.close()

    with pytest.raises((SiteBusy, SiteUnavailable)) as caught:
        browser.run(crowd)

    assert caught.value.retryable


def test_a_program_below_a_path(gradio: GradioServer, browser: RealBrowser) -> None:
    """A reverse proxy serves the program below a path of its own."""
    prompt = "a lamp behind a proxy"

    with serve_below(gradio.url, "/apps/paint") as url:
        result = browser.attempt(shipped_recipe("gradio", f"{url}/apps/paint/streamed/"), prompt)

    assert gradio.hashes(prompt) == picture_hashes(result)


async def submit(context: BrowserContext, recipe: Recipe, prompt: str) -> Driver:
    """Submit a prompt and return when the program works on it."""
    driver = Driver(context, recipe)
    await driver.open(JobRequest(recipe.name, prompt))
    await driver.submit()
    await anext(driver.watch())
    return driver


def test_cancel_stops_the_program(gradio: GradioServer, browser: RealBrowser) -> None:
    """The program works on one prompt at a time, so that the next one has a picture only if the first was stopped."""
    recipe, prompt, next_prompt = gradio_recipe(gradio, "streamed"), "a slow cancelled lamp", "the lamp after it"

    async def cancel(context: BrowserContext) -> None:
        await (await submit(context, recipe, prompt)).stop_program()

    browser.run(cancel)
    result = browser.attempt(recipe, next_prompt)

    assert "finished" not in gradio.events(prompt)
    assert gradio.hashes(next_prompt) == picture_hashes(result)


def test_a_program_that_dies_is_tried_again(gradio: GradioServer, browser: RealBrowser) -> None:
    """The prompt is not to blame, and when the program is back, the next attempt works."""
    recipe, prompt, next_prompt = gradio_recipe(gradio, "streamed"), "a slow dying lamp", "the lamp of the next attempt"

    async def kill(context: BrowserContext) -> None:
        driver = await submit(context, recipe, prompt)
        await asyncio.to_thread(gradio.kill)
        async for _ in driver.watch():
            pass

    try:
        with pytest.raises(ServiceError) as caught:
            browser.run(kill)
    finally:
        gradio.start()

    assert caught.value.retryable
    assert caught.value.code in ("site_unavailable", "site_busy", "site_failed")
    result = browser.attempt(recipe, next_prompt)
    assert gradio.hashes(next_prompt) == picture_hashes(result)
