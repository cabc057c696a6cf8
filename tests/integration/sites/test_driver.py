"""The driver on a page that does what real pages do, in a real browser."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import pytest
from PIL import Image
from playwright.async_api import BrowserContext, async_playwright

from ops.infra.browser_install import find_browser
from schemas.errors import BrowserLost, NeedsHuman, ServiceError, SiteChanged, SiteRefused, SiteUnavailable
from schemas.jobs.job import GeneratedImage, JobRequest, Progress
from schemas.sites.recipe import Recipe
from tests.conftest import TIMEOUT_S, describe_image
from tests.support.fake_site import RESULT_SIZE, fake_site_recipe, result_png, serve_fake_site
from workers.sites.driver.driver import Driver

T = TypeVar("T")
SUBMISSION = JobRequest("fake", "a {{sampler}} harbour", inputs={"sampler": "DPM++"})


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A running fake site."""
    with serve_fake_site() as address:
        yield address


@asynccontextmanager
async def a_context() -> AsyncIterator[BrowserContext]:
    """A context of a real browser."""
    browser = find_browser(os.environ.get("BROWSER"))
    assert browser
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=browser.path)
        yield await launched.new_context()
        await launched.close()


def in_browser(work: Callable[[BrowserContext], Awaitable[T]]) -> T:
    """Run ``work`` with a context, before a deadline."""

    async def run() -> T:
        async with asyncio.timeout(TIMEOUT_S), a_context() as context:
            return await work(context)

    return asyncio.run(run())


async def attempt(context: BrowserContext, recipe: Recipe, seen: list[Progress | bytes]) -> GeneratedImage:
    """One attempt, from open to collect."""
    driver = Driver(context, recipe)
    await driver.open(SUBMISSION)
    await driver.submit()
    seen += [shown async for shown in driver.watch()]
    [picture] = await driver.collect_images()
    return picture


@pytest.mark.parametrize(
    "way", ["blob", "revoked", "data", "direct", "forgotten", "elsewhere", "flood", "lies", "late", "same", "leaves"]
)
def test_the_exact_bytes_are_fetched(address: str, way: str) -> None:
    """However the page shows its picture, and whatever nonsense or old picture it shows besides."""
    picture = in_browser(lambda context: attempt(context, fake_site_recipe(address, way), []))

    assert (describe_image(result_png()), "image/png", *RESULT_SIZE, False) == (
        describe_image(picture.data),
        picture.media_type,
        picture.width,
        picture.height,
        picture.lossy,
    )


def test_progress_and_previews_are_pushed(address: str) -> None:
    """Each step is told once, previews come downscaled."""
    seen: list[Progress | bytes] = []
    in_browser(lambda context: attempt(context, fake_site_recipe(address, "steps"), seen))

    assert [one.percentage for one in seen if isinstance(one, Progress)] == [25.0, 50.0, 75.0, 100.0]
    previews = [one for one in seen if isinstance(one, bytes)]
    assert len(set(previews)) >= 3
    with Image.open(io.BytesIO(previews[0])) as image:
        assert (image.format, image.size) == ("JPEG", (400, 300))


def test_values_are_filled_in_and_not_read_as_templates(address: str) -> None:
    """A select takes its option, a text field the words as they are."""

    async def title(context: BrowserContext) -> str:
        await attempt(context, fake_site_recipe(address, "blob"), [])
        return await context.pages[0].title()

    assert in_browser(title) == "a {{sampler}} harbour|DPM++"


@pytest.mark.parametrize(
    ("way", "path", "error", "words"),
    [
        ("refuse", "/", SiteRefused, "The words of the site: no."),
        ("captcha", "/", NeedsHuman, "robot"),
        ("blob", "/broken", SiteUnavailable, "503"),
        ("blob", "/hang", SiteUnavailable, "3 s"),
        ("blob", "/endless", SiteUnavailable, "reached"),
    ],
)
def test_what_a_page_does_wrong_has_a_name(
    address: str, way: str, path: str, error: type[ServiceError], words: str
) -> None:
    """Moderation, CAPTCHAs and sites that are down end in errors of their own."""
    with pytest.raises(error, match=words):
        in_browser(lambda context: attempt(context, fake_site_recipe(address, way, path), []))


def test_a_closed_port_is_a_site_that_cannot_be_reached() -> None:
    """And not a fault of the browser."""
    with pytest.raises(SiteUnavailable, match="cannot be reached"):
        in_browser(lambda context: attempt(context, fake_site_recipe("http://127.0.0.1:9"), []))


def test_a_missing_element_names_what_was_tried(address: str) -> None:
    """The message has every alternative of the step."""
    first, second, *rest = fake_site_recipe(address).steps
    moved = replace(second, selectors=(("#one",), ("aria/Two",)), timeout_ms=200)

    with pytest.raises(SiteChanged, match="#one, aria/Two"):
        in_browser(lambda context: attempt(context, fake_site_recipe(address, steps=(first, moved, *rest)), []))


def test_a_dead_page_is_a_lost_browser(address: str) -> None:
    """Whatever the driver was about to do."""

    async def die(context: BrowserContext) -> None:
        driver = Driver(context, fake_site_recipe(address, "nothing"))
        await driver.open(SUBMISSION)
        await context.close()
        await driver.submit()

    with pytest.raises(BrowserLost):
        in_browser(die)


def test_evidence_explains_a_failure(address: str) -> None:
    """Address, screenshot, console, failed requests and DOM."""

    async def look(context: BrowserContext) -> dict[str, object] | None:
        driver = Driver(context, fake_site_recipe(address, "refuse"))
        await driver.open(SUBMISSION)
        await context.pages[0].evaluate("console.warn('token=hunter2'); fetch('/broken')")
        await driver.submit()
        with pytest.raises(SiteRefused):
            async for _ in driver.watch():
                pass
        return await driver.build_failure_report()

    bundle = in_browser(look)

    assert bundle
    assert [line for line in bundle["console"] if "token" in line] == ["warning: token=[redacted]"]  # type: ignore[attr-defined]
    assert any("/broken: 503" in line for line in bundle["requests"])  # type: ignore[attr-defined]
    assert "The words of the site" in str(bundle["dom"])
    assert str(bundle["screenshot"]).startswith("data:image/jpeg;base64,")
