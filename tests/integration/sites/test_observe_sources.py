"""Where pages show their pictures and their progress, besides an image and a text, in a real browser."""

import io
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import BrowserContext

from schemas.errors import BrowserLost
from schemas.jobs.job import Picture, Progress, Submission
from schemas.sites.observe import Observe, Watch
from schemas.sites.recipe import Capture, Recipe, Step
from tests.conftest import digest
from tests.integration.sites.conftest import in_browser
from tests.support.fake_site import RESULT_SIZE, recipe, result_bytes, serving
from workers.sites.driver.driver import Driver
from workers.sites.driver.select_options import choose
from workers.sites.driver.selectors import Finder

SHOWN = Watch((("#result",),), "src")


def attempt(recipe: Recipe, seen: list[Progress | bytes] | None = None) -> list[Picture]:
    """One attempt, from open to collect."""

    async def work(context: BrowserContext) -> list[Picture]:
        driver = Driver(context, recipe)
        await driver.open(Submission("fake", "a harbour"))
        await driver.submit()
        async for shown in driver.watch():
            if seen is not None:
                seen.append(shown)
        return await driver.collect()

    return in_browser(work)


def pixels(data: bytes) -> bytes:
    """What a picture shows, however it is written."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").tobytes()


@pytest.mark.parametrize(
    ("way", "watch", "exact"),
    [
        ("canvas", Watch((("#canvas",),), "canvas"), False),
        ("background", Watch((("#background",),), "background-image"), True),
        ("poster", Watch((("#video",),), "poster"), True),
    ],
)
def test_pictures_are_found_wherever_a_page_shows_them(way: str, watch: Watch, exact: bool) -> None:
    """A canvas pixel for pixel, everything else byte for byte; nothing from the screen."""
    with serving() as address:
        [picture] = attempt(recipe(address, way, observe=Observe(done=watch)))

    assert (*RESULT_SIZE, False) == (picture.width, picture.height, picture.lossy)
    assert pixels(result_bytes()) == pixels(picture.data)
    assert not exact or digest(result_bytes()) == digest(picture.data)


def test_a_file_that_the_page_hands_out_is_the_picture() -> None:
    """The page shows a small one and has the real one behind a link."""
    save = (Step("click", (("#download",),)),)
    with serving() as address:
        [picture] = attempt(recipe(address, "download", capture=Capture("download", steps=save)))

    assert digest(result_bytes()) == digest(picture.data)


def test_several_pictures_come_in_the_pages_order() -> None:
    """Each is its own; the same address twice would be one."""
    observe = Observe(done=Watch((("#gallery img",),), "src", settle_ms=400))
    with serving() as address:
        pictures = attempt(recipe(address, "several", observe=observe, capture=Capture(many=True)))

    assert [RESULT_SIZE, (8, 8), RESULT_SIZE] == [(picture.width, picture.height) for picture in pictures]


@pytest.mark.parametrize("progress", [Watch((("#meter",),), "aria-valuenow"), Watch((("#bar",),), "width")])
def test_progress_is_read_from_meters_and_bars(progress: Watch) -> None:
    """By the number for screen readers, or by how long the bar is."""
    seen: list[Any] = []
    with serving() as address:
        attempt(recipe(address, "measures", observe=Observe(done=SHOWN, progress=progress)), seen)

    assert [25.0, 50.0, 100.0] == [one.percentage for one in seen if isinstance(one, Progress)]


def test_a_page_that_is_closed_is_noticed() -> None:
    """And not waited for."""

    async def work(context: BrowserContext) -> None:
        driver = Driver(context, recipe(address, "nothing"))
        await driver.open(Submission("fake", "a harbour"))
        await driver.submit()
        await driver.page.close()
        async for _ in driver.watch():
            pass

    with serving() as address, pytest.raises(BrowserLost, match="closed"):
        in_browser(work)


def test_what_can_be_seen_is_observed_and_said_by_which_alternative() -> None:
    """The first alternative is on the page too, hidden; names and words find as they do in steps."""
    done = Watch((("#result",), ('aria/Finished[role="img"]',)), "src")

    async def work(context: BrowserContext) -> dict[str, str]:
        driver = Driver(context, recipe(address, "second", observe=Observe(done=done)))
        await driver.open(Submission("fake", "a harbour"))
        await driver.submit()
        async for _ in driver.watch():
            pass
        [picture] = await driver.collect()
        assert digest(result_bytes()) == digest(picture.data)
        return driver.matched

    with serving() as address:
        assert in_browser(work)["#result"] == 'aria/Finished[role="img"]'


def test_a_poster_is_a_preview() -> None:
    """Fetched by the worker's browser, for the page cannot draw it."""
    seen: list[Any] = []
    with serving() as address:
        observe = Observe(done=SHOWN, preview=Watch((("#video",),), "poster"))
        attempt(recipe(address, "moving", observe=observe), seen)

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
        await choose(Finder(), page.locator("#field"), wanted, 5000)
        return await page.locator("output").inner_text()

    assert in_browser(work) == f"mine {wanted}"
