"""The programs that the shipped recipes are tested against, running, and the driving of a recipe in a real browser."""

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from PIL import Image
from playwright.async_api import BrowserContext, StorageState, async_playwright

from ops.infra.browser_install import find_browser
from ops.infra.settings import ROOT
from schemas.jobs.job import GeneratedImage, JobRequest, Progress
from schemas.sites.recipe import Recipe
from stores.sites.recipes import Recipes
from tests.conftest import TIMEOUT_S, eventually, free_port
from tests.support.programs.painting import is_image_of
from workers.sites.driver.driver import Driver

T = TypeVar("T")
START_TIMEOUT_S = 90.0


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address below which all programs run."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("gradio"))}
    log = tmp_path_factory.mktemp("programs") / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "tests.support.programs.serve", str(port)]
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    address = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: process.poll() is not None or _answers(address), timeout_s=START_TIMEOUT_S)
        assert process.poll() is None, log.read_text()
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/comfyui/", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@dataclass
class AttemptResult:
    """What one attempt saw and brought home."""

    pictures: list[GeneratedImage] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    previews: list[bytes] = field(default_factory=list)
    matched: dict[str, str] = field(default_factory=dict)

    def shows_images_of(self, words: str, *numbers: int) -> bool:
        """Whether the pictures are those of ``words``, in this order."""
        images = [Image.open(io.BytesIO(picture.data)) for picture in self.pictures]
        pairs = list(zip(images, numbers, strict=True))
        return all(is_image_of(image, words, number) for image, number in pairs)


def shipped_recipe(name: str, url: str) -> Recipe:
    """A shipped recipe for a program at ``url``."""
    recipe = Recipes("studio", urls={name: url}).get(name)
    # What is tested here is the driving; whose page it is has tests of its own.
    return replace(recipe, consent=replace(recipe.consent, ownership="own"))


@asynccontextmanager
async def open_context(state: StorageState | None = None) -> AsyncIterator[BrowserContext]:
    """A context of a real browser."""
    browser = find_browser(os.environ.get("BROWSER"))
    assert browser
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=browser.path)
        yield await launched.new_context(storage_state=state, viewport={"width": 1280, "height": 900})
        await launched.close()


def run_in_browser(work: Callable[[BrowserContext], Awaitable[T]], state: StorageState | None = None) -> T:
    """Run ``work`` with a context, before a deadline."""

    async def run() -> T:
        async with asyncio.timeout(2 * TIMEOUT_S), open_context(state) as context:
            return await work(context)

    return asyncio.run(run())


def run_attempt(
    recipe: Recipe, prompt: str, *, lora: str = "", state: StorageState | None = None, **inputs: object
) -> AttemptResult:
    """One attempt, from open to collect, with inputs as the API would pass them on."""

    async def work(context: BrowserContext) -> AttemptResult:
        run, driver = AttemptResult(), Driver(context, recipe)
        await driver.open(JobRequest(recipe.name, prompt, lora or None, recipe.validate_inputs(inputs)))
        await driver.submit()
        async for shown in driver.watch():
            if isinstance(shown, Progress):
                run.progress.append(shown)
            else:
                run.previews.append(shown)
        run.pictures = await driver.collect_images()
        run.matched = driver.matched_selectors
        return run

    return run_in_browser(work, state)


@pytest.fixture
def own_recipes(tmp_path: Path) -> Path:
    """A folder for recipes of the user's own."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    return folder
