"""The studio page without a worker, in a real browser, under its Content Security Policy."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest
from playwright.async_api import BrowserContext, Page, Request, async_playwright

from ops.infra.browser_install import find_browser
from schemas.jobs.job import JobRequest
from schemas.sites.recipe import Step
from stores.sites.recipes import Recipes
from stores.sites.static_sites import get_bundle_folder
from tests.conftest import TIMEOUT_S
from tests.integration.sites.conftest import run_in_browser
from workers.sites.driver.driver import Driver
from workers.sites.driver.selectors import ElementFinder
from workers.sites.driver.static_server import serve_bundle
from workers.sites.driver.steps import StepRunner

T = TypeVar("T")
RECIPE = Recipes("studio").get("studio")
DONE = "#studio[data-state=done]"
INCOMPLETE_STYLES = """() => [...document.querySelectorAll(".style")].filter((style) => {
  const image = style.querySelector("img");
  return !image.alt || !image.src.endsWith(".webp") || !style.querySelector(".style-tags li");
}).map((style) => style.dataset.style)"""
FETCH = """async () => {
  const bytes = new Uint8Array(await (await fetch(document.querySelector("#result").src)).arrayBuffer());
  return [...bytes];
}"""


@dataclass
class StudioPage:
    """The open page, and its errors, console messages and failed requests."""

    page: Page
    problems: list[str] = field(default_factory=list)

    def add_failed_request(self, request: Request) -> None:
        """Add the request, unless the next preview took the place of one that was still loading."""
        is_replaced = request.url.startswith("blob:") and request.failure == "net::ERR_ABORTED"
        if not is_replaced:
            self.problems.append(f"{request.url}: {request.failure}")

    async def generate(self, prompt: str, **inputs: object) -> None:
        """Fill in the form and click Generate; the image is small by default."""
        for name, value in {"width": 256, "height": 256, "steps": 4, **inputs}.items():
            await self.page.fill(f"#{name}", str(value))
        await self.page.fill("#prompt", prompt)
        await self.page.click("#generate")

    async def generate_image(self, prompt: str, **inputs: object) -> bytes:
        """Generate an image and return its bytes."""
        before = await self.page.get_attribute("#result", "src")
        await self.generate(prompt, **inputs)
        await self.page.wait_for_selector(f"#result:not([src='{before}'])")
        await self.page.wait_for_selector(DONE)
        return bytes(await self.page.evaluate(FETCH))


@asynccontextmanager
async def open_studio() -> AsyncIterator[StudioPage]:
    """Open the page in a new browser."""
    browser = find_browser(os.environ.get("BROWSER"))
    folder = get_bundle_folder(RECIPE)
    assert browser
    assert folder
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=browser.path)
        context = await launched.new_context()
        await serve_bundle(context, RECIPE.url, folder)
        studio = StudioPage(await context.new_page())
        studio.page.on("console", lambda message: studio.problems.append(message.text))
        studio.page.on("pageerror", lambda error: studio.problems.append(str(error)))
        studio.page.on("requestfailed", studio.add_failed_request)
        await studio.page.goto(RECIPE.url)
        yield studio
        await launched.close()


def run_in_studio(work: Callable[[StudioPage], Awaitable[T]]) -> T:
    """Run ``work`` on the open page with a timeout, and check that the page reported no problems."""

    async def run() -> T:
        async with asyncio.timeout(2 * TIMEOUT_S), open_studio() as studio:
            result = await work(studio)
            assert studio.problems == []
            return result

    return asyncio.run(run())


def test_the_page_says_that_it_is_a_demo() -> None:
    """In the title and in the visible text."""

    async def look(studio: StudioPage) -> tuple[str, str]:
        return await studio.page.title(), await studio.page.inner_text("body")

    title, text = run_in_studio(look)
    assert "procedural demo" in title
    assert "procedural demo" in text.lower()


def test_the_same_inputs_give_the_same_bytes_in_another_browser() -> None:
    """Images depend on the inputs only."""

    async def generate(studio: StudioPage) -> list[bytes]:
        await studio.page.fill("#negative-prompt", "clouds")
        return [await studio.generate_image("a castle by a lake at dawn", seed=seed) for seed in (5, 6)]

    first, second = run_in_studio(generate), run_in_studio(generate)

    assert first == second
    assert first[0] != first[1]


def test_known_and_unknown_words_change_the_image() -> None:
    """At least 200 words are known; unknown words seed the composition."""

    async def look(studio: StudioPage) -> tuple[int, set[bytes]]:
        known = await studio.page.evaluate(
            "import('./painter.js').then(({ LEXICON }) => LEXICON.size ?? Object.keys(LEXICON).length)"
        )
        prompts = ("a forest at noon", "a forest at night", "a desert at noon", "xyzzy plugh", "xyzzy frotz")
        return known, {await studio.generate_image(prompt) for prompt in prompts}

    known, images = run_in_studio(look)
    assert known >= 200
    assert len(images) == 5


def test_the_preview_changes_at_each_quarter() -> None:
    """Three previews appear before the result, and progress counts every step."""

    async def look(studio: StudioPage) -> tuple[list[str], str]:
        await studio.page.evaluate(
            """() => {
              window.urls = [];
              const preview = document.querySelector("#preview");
              new MutationObserver(() => window.urls.push(preview.src)).observe(preview, { attributeFilter: ["src"] });
            }"""
        )
        await studio.generate_image("a village in the snow", steps=8)
        return await studio.page.evaluate("window.urls"), await studio.page.inner_text("#progress-text")

    previews, progress = run_in_studio(look)
    assert len(set(previews)) == 3
    assert all(url.startswith("blob:") for url in previews)
    assert progress == "8/8"


def test_styles_are_found_added_and_removed() -> None:
    """At least 24 styles have a name, a thumbnail and tags; the search filters the list."""

    async def look(studio: StudioPage) -> None:
        page = studio.page
        await page.click("#open-styles")
        assert await page.locator("#style-list > li").count() >= 24
        assert await page.evaluate(INCOMPLETE_STYLES) == []
        await page.fill("#style-search", "LINOCUT")
        assert await page.locator("#style-list > li").all_inner_texts() != []
        assert await page.locator(".style-name").all_inner_texts() == ["Linocut"]
        await page.click(".style-add")
        await page.click("#close-styles")
        assert await page.locator("#active-styles > li").get_attribute("data-style") == "Linocut"
        with_style = await studio.generate_image("a boat at sea")
        await page.click("[aria-label='Remove Linocut']")
        assert await page.locator("#active-styles > li").count() == 0
        assert with_style != await studio.generate_image("a boat at sea")

    run_in_studio(look)


@pytest.mark.parametrize(
    ("prompt", "inputs", "message"),
    [
        ("", {}, "Write a prompt"),
        ("some gore in a meadow", {}, '"gore"'),
        ("a meadow", {"width": 4000}, "1024"),
        ("a meadow", {"steps": 0}, "1"),
    ],
)
def test_invalid_inputs_are_refused_with_a_toast(prompt: str, inputs: dict[str, object], message: str) -> None:
    """The toast is an alert for assistive technology; no image is generated."""

    async def look(studio: StudioPage) -> str:
        await studio.generate(prompt, **inputs)
        await studio.page.wait_for_selector("[role=alert]#toast:not([hidden])")
        assert await studio.page.is_hidden("#result")
        return await studio.page.inner_text("#toast")

    assert message in run_in_studio(look)


def test_images_are_counted() -> None:
    """The counter goes up by one for each image and survives a reload."""

    async def look(studio: StudioPage) -> list[str]:
        counts = [await studio.page.inner_text("#quota-used")]
        await studio.generate_image("a meadow")
        counts.append(await studio.page.inner_text("#quota-used"))
        await studio.page.reload()
        return [*counts, await studio.page.inner_text("#quota-used")]

    assert run_in_studio(look) == ["0", "1", "1"]


def test_query_parameters_are_treated_as_text() -> None:
    """Markup in the URL does not reach the page as markup."""

    async def look(studio: StudioPage) -> str:
        await studio.page.wait_for_load_state("networkidle")
        await studio.page.goto(RECIPE.url + "?prompt=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&seed=7")
        return await studio.page.input_value("#prompt")

    assert run_in_studio(look) == "<img src=x onerror=alert(1)>"


def test_selected_styles_are_removed() -> None:
    """By the step removeLoras, and before another style is added, because pages may remember earlier selections."""
    clear = Step("customStep", name="removeLoras")
    recipe = replace(RECIPE, steps=(*RECIPE.steps[:-1], clear, RECIPE.steps[-1]))

    async def chosen(context: BrowserContext) -> tuple[list[int], str]:
        driver = Driver(context, RECIPE)
        await driver.open(JobRequest("studio", "a quiet lake", "Ukiyo-e"))
        player = StepRunner(driver.page, recipe, ElementFinder(), {"lora": "Oil Impasto"}, {})
        counts = [await driver.page.locator(".style-remove").count()]
        await player.run(next(step for step in recipe.steps if step.name == "addLora"))
        left = await driver.page.locator(".style-remove").get_attribute("aria-label")
        await player.run(clear)
        return [*counts, await driver.page.locator(".style-remove").count()], str(left)

    assert ([1, 0], "Remove Oil Impasto") == run_in_browser(chosen)
