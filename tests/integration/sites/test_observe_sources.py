"""The sources of images and progress other than an image element and a text, in a real browser."""

import io

import pytest
from PIL import Image
from playwright.async_api import BrowserContext

from schemas.errors import BrowserLost
from schemas.jobs.job import JobRequest
from schemas.sites.observe import ObserveSpec, WatchSpec
from schemas.sites.recipe import CaptureSpec, Recipe, Step
from tests.conftest import describe_image
from tests.integration.sites.conftest import AttemptResult, drive, run_in_browser
from tests.support.fake_site import RESULT_SIZE, fake_site_recipe, result_png
from workers.sites.driver.driver import Driver
from workers.sites.driver.forms.options import choose_from_list

REQUEST = JobRequest("fake", "a harbour")
RESULT = WatchSpec((("#result",),), "src")


def drive_in_browser(recipe: Recipe) -> AttemptResult:
    """Run one attempt at ``REQUEST`` in a new browser."""
    return run_in_browser(lambda context: drive(context, recipe, REQUEST))


def decode_pixels(data: bytes) -> bytes:
    """Return the decoded pixels of an image, so that different encodings can be compared."""
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
def test_images_are_captured_from_every_source(fake_site: str, way: str, watch: WatchSpec, exact: bool) -> None:
    """A canvas is captured pixel by pixel, every other source byte by byte; none by a screenshot."""
    [image] = drive_in_browser(fake_site_recipe(fake_site, way, observe=ObserveSpec(done=watch))).images

    assert (*RESULT_SIZE, False) == (image.width, image.height, image.lossy)
    assert decode_pixels(result_png()) == decode_pixels(image.data)
    assert not exact or describe_image(result_png()) == describe_image(image.data)


def test_a_downloaded_file_is_captured(fake_site: str) -> None:
    """The page shows a small image and offers the full one as a download."""
    save = (Step("click", (("#download",),)),)
    recipe = fake_site_recipe(fake_site, "download", capture=CaptureSpec("download", steps=save))
    [image] = drive_in_browser(recipe).images

    assert describe_image(result_png()) == describe_image(image.data)


def test_several_images_keep_the_order_of_the_page(fake_site: str) -> None:
    """Elements with different URLs are different images."""
    observe = ObserveSpec(done=WatchSpec((("#gallery img",),), "src", settle_ms=400))
    recipe = fake_site_recipe(fake_site, "several", observe=observe, capture=CaptureSpec(many=True))
    images = drive_in_browser(recipe).images

    assert [RESULT_SIZE, (8, 8), RESULT_SIZE] == [(image.width, image.height) for image in images]


@pytest.mark.parametrize("progress", [WatchSpec((("#meter",),), "aria-valuenow"), WatchSpec((("#bar",),), "width")])
def test_progress_is_read_from_meters_and_bars(fake_site: str, progress: WatchSpec) -> None:
    """Sources are aria-valuenow and the width of a bar relative to its parent."""
    observe = ObserveSpec(done=RESULT, progress=progress)
    result = drive_in_browser(fake_site_recipe(fake_site, "measures", observe=observe))

    assert [25.0, 50.0, 100.0] == [update.percentage for update in result.progress]


def test_watching_ends_when_the_page_is_closed(fake_site: str) -> None:
    """A closed page raises BrowserLost at once."""

    async def watch_closed_page(context: BrowserContext) -> None:
        driver = Driver(context, fake_site_recipe(fake_site, "nothing"))
        await driver.open(REQUEST)
        await driver.submit()
        await driver.page.close()
        async for _ in driver.watch():
            pass

    with pytest.raises(BrowserLost, match="closed"):
        run_in_browser(watch_closed_page)


def test_visible_elements_are_preferred_and_the_alternative_is_recorded(fake_site: str) -> None:
    """The first alternative is on the page too, but hidden."""
    done = WatchSpec((("#result",), ('aria/Finished[role="img"]',)), "src")

    async def matched_selectors(context: BrowserContext) -> dict[str, str]:
        driver = Driver(context, fake_site_recipe(fake_site, "second", observe=ObserveSpec(done=done)))
        await driver.open(REQUEST)
        await driver.submit()
        async for _ in driver.watch():
            pass
        [image] = await driver.collect_images()
        assert describe_image(result_png()) == describe_image(image.data)
        return driver.matched_selectors

    assert run_in_browser(matched_selectors)["#result"] == 'aria/Finished[role="img"]'


def test_a_poster_is_a_preview(fake_site: str) -> None:
    """The worker fetches it, because the page cannot draw a poster."""
    observe = ObserveSpec(done=RESULT, preview=WatchSpec((("#video",),), "poster"))
    [preview] = drive_in_browser(fake_site_recipe(fake_site, "moving", observe=observe)).previews

    with Image.open(io.BytesIO(preview)) as image:
        assert image.size == RESULT_SIZE


LISTBOX_PAGE = """
<label for="field">Sampler</label><input id="field" aria-controls="mine">
<ul role="listbox" id="other"><li role="option">Euler</li><li role="option">Other</li></ul>
<ul role="listbox" id="mine" hidden><li role="option">Euler</li></ul>
<output></output>
<script>
  const mine = document.querySelector("#mine"), field = document.querySelector("#field");
  field.onclick = () => { mine.hidden = false; };
  // Some options appear only when text is typed, and the list is drawn again while more of them arrive.
  field.oninput = () => {
    const draw = () => { mine.innerHTML = `<li role="option">${field.value}</li>`; };
    for (let delay = 200; delay < 800; delay += 20) setTimeout(draw, delay);
  };
  document.onclick = ({ target }) => {
    if (target.role !== "option") return;
    document.querySelector("output").textContent = `${target.parentNode.id} ${target.textContent}`;
  };
</script>
"""


@pytest.mark.parametrize("choice", ["Euler", "DPM++ 2M"])
def test_an_option_is_selected_in_the_fields_own_listbox(choice: str) -> None:
    """Another listbox is open too; an option that is not shown yet is typed."""

    async def select(context: BrowserContext) -> str:
        page = await context.new_page()
        await page.set_content(LISTBOX_PAGE)
        await choose_from_list(await page.locator("#field").element_handle(), choice, 5000)
        return await page.locator("output").inner_text()

    assert run_in_browser(select) == f"mine {choice}"
