"""Where pages show their pictures and their progress, besides an image and a text, in a real browser."""

import io
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import BrowserContext

from schemas.errors import BrowserLost
from schemas.jobs.job import GeneratedImage, JobRequest, Progress
from schemas.sites.observe import ObserveSpec, WatchSpec
from schemas.sites.recipe import CaptureSpec, Recipe, Step
from tests.conftest import describe_image
from tests.integration.sites.conftest import run_in_browser
from tests.support.fake_site import RESULT_SIZE, fake_site_recipe, result_png, serve_fake_site
from workers.sites.driver.driver import Driver
from workers.sites.driver.select_options import choose_from_listbox
from workers.sites.driver.selectors import ElementFinder

SHOWN = WatchSpec((("#result",),), "src")


def attempt(recipe: Recipe, seen: list[Progress | bytes] | None = None) -> list[GeneratedImage]:
    """One attempt, from open to collect."""

    async def work(context: BrowserContext) -> list[GeneratedImage]:
        driver = Driver(context, recipe)
        await driver.open(JobRequest("fake", "a harbour"))
        await driver.submit()
        async for shown in driver.watch():
            if seen is not None:
                seen.append(shown)
        return await driver.collect_images()

    return run_in_browser(work)


def pixels(data: bytes) -> bytes:
    """What a picture shows, however it is written."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").tobytes()


@pytest.mark.parametrize(
    ("way", "watch", "exact"),
    [
        ("canvas", WatchSpec((("#canvas",),), "canvas"), False),
        ("background", WatchSpec((("#background",),), "background-image"), True),
        ("poster", WatchSpec((("#video",),), "poster"), True),
    ],
)
def test_pictures_are_found_wherever_a_page_shows_them(way: str, watch: WatchSpec, exact: bool) -> None:
    """A canvas pixel for pixel, everything else byte for byte; nothing from the screen."""
    with serve_fake_site() as address:
        [picture] = attempt(fake_site_recipe(address, way, observe=ObserveSpec(done=watch)))

    assert (*RESULT_SIZE, False) == (picture.width, picture.height, picture.lossy)
    assert pixels(result_png()) == pixels(picture.data)
    assert not exact or describe_image(result_png()) == describe_image(picture.data)


def test_a_file_that_the_page_hands_out_is_the_picture() -> None:
    """The page shows a small one and has the real one behind a link."""
    save = (Step("click", (("#download",),)),)
    with serve_fake_site() as address:
        [picture] = attempt(fake_site_recipe(address, "download", capture=CaptureSpec("download", steps=save)))

    assert describe_image(result_png()) == describe_image(picture.data)


def test_several_pictures_come_in_the_pages_order() -> None:
    """Each is its own; the same address twice would be one."""
    observe = ObserveSpec(done=WatchSpec((("#gallery img",),), "src", settle_ms=400))
    with serve_fake_site() as address:
        pictures = attempt(fake_site_recipe(address, "several", observe=observe, capture=CaptureSpec(many=True)))

    assert [RESULT_SIZE, (8, 8), RESULT_SIZE] == [(picture.width, picture.height) for picture in pictures]


@pytest.mark.parametrize("progress", [WatchSpec((("#meter",),), "aria-valuenow"), WatchSpec((("#bar",),), "width")])
def test_progress_is_read_from_meters_and_bars(progress: WatchSpec) -> None:
    """By the number for screen readers, or by how long the bar is."""
    seen: list[Any] = []
    with serve_fake_site() as address:
        attempt(fake_site_recipe(address, "measures", observe=ObserveSpec(done=SHOWN, progress=progress)), seen)

    assert [25.0, 50.0, 100.0] == [one.percentage for one in seen if isinstance(one, Progress)]


def test_a_page_that_is_closed_is_noticed() -> None:
    """And not waited for."""

    async def work(context: BrowserContext) -> None:
        driver = Driver(context, fake_site_recipe(address, "nothing"))
        await driver.open(JobRequest("fake", "a harbour"))
        await driver.submit()
        await driver.page.close()
        async for _ in driver.watch():
            pass

    with serve_fake_site() as address, pytest.raises(BrowserLost, match="closed"):
        run_in_browser(work)


def test_what_can_be_seen_is_observed_and_said_by_which_alternative() -> None:
    """The first alternative is on the page too, hidden; names and words find as they do in steps."""
    done = WatchSpec((("#result",), ('aria/Finished[role="img"]',)), "src")

    async def work(context: BrowserContext) -> dict[str, str]:
        driver = Driver(context, fake_site_recipe(address, "second", observe=ObserveSpec(done=done)))
        await driver.open(JobRequest("fake", "a harbour"))
        await driver.submit()
        async for _ in driver.watch():
            pass
        [picture] = await driver.collect_images()
        assert describe_image(result_png()) == describe_image(picture.data)
        return driver.matched_selectors

    with serve_fake_site() as address:
        assert run_in_browser(work)["#result"] == 'aria/Finished[role="img"]'


def test_a_poster_is_a_preview() -> None:
    """Fetched by the worker's browser, for the page cannot draw it."""
    seen: list[Any] = []
    with serve_fake_site() as address:
        observe = ObserveSpec(done=SHOWN, preview=WatchSpec((("#video",),), "poster"))
        attempt(fake_site_recipe(address, "moving", observe=observe), seen)

    [preview] = [one for one in seen if isinstance(one, bytes)]
    with Image.open(io.BytesIO(preview)) as image:
        assert image.size == RESULT_SIZE


LISTS = """
<label for="field">Sampler</label><input id="field" aria-controls="mine">
<ul role="listbox" id="other"><li role="option">Euler</li><li role="option">Other</li></ul>
<ul role="listbox" id="mine" hidden><li role="option">Euler</li></ul>
<output></output>
<script>
  const mine = document.querySelector("#mine"), field = document.querySelector("#field");
  field.onclick = () => { mine.hidden = false; };
  // Some options are there only once somebody types.
  field.oninput = () => setTimeout(() => { mine.innerHTML = `<li role="option">${field.value}</li>`; }, 200);
  document.onclick = ({ target }) => {
    if (target.role !== "option") return;
    document.querySelector("output").textContent = `${target.parentNode.id} ${target.textContent}`;
  };
</script>
"""


@pytest.mark.parametrize("wanted", ["Euler", "DPM++ 2M"])
def test_an_option_is_taken_from_the_fields_own_list(wanted: str) -> None:
    """Another list is open beside it; what is not in it yet is typed."""

    async def work(context: BrowserContext) -> str:
        page = await context.new_page()
        await page.set_content(LISTS)
        await choose_from_listbox(ElementFinder(), page.locator("#field"), wanted, 5000)
        return await page.locator("output").inner_text()

    assert run_in_browser(work) == f"mine {wanted}"
