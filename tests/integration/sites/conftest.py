"""Fixtures for tests of recipes: the test programs in a process, and attempts in a real browser."""

import io
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import httpx
import pytest
from PIL import Image
from playwright.async_api import BrowserContext, StorageState

from ops.infra.settings import ROOT
from ops.processes.web_command import free_port
from schemas.images.input_images import InputFile
from schemas.jobs.job import GeneratedImage, JobRequest, Progress
from schemas.sites.recipe import Recipe
from stores.sites.recipes import Recipes
from tests.conftest import TIMEOUT_S, eventually
from tests.support.fake_site import serve_fake_site
from tests.support.programs.rendering import is_image_of
from tests.support.shared_browser import shared_browser
from workers.sites.driver.driver import Driver

T = TypeVar("T")
START_TIMEOUT_S = 90.0


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the test programs; yields their base URL."""
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
        process.wait(60)


@pytest.fixture(scope="module")
def fake_site() -> Iterator[str]:
    """Run the fake site; yields its address."""
    with serve_fake_site() as address:
        yield address


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/weights/", timeout=TIMEOUT_S, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@dataclass
class AttemptResult:
    """What one attempt yielded and captured."""

    images: list[GeneratedImage] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    previews: list[bytes] = field(default_factory=list)

    def shows_images_of(self, text: str, *numbers: int) -> bool:
        """Whether the images are those rendered for ``text`` with these numbers, in this order."""
        images = [Image.open(io.BytesIO(image.data)) for image in self.images]
        return all(is_image_of(image, text, number) for image, number in zip(images, numbers, strict=True))


def shipped_recipe(name: str, url: str) -> Recipe:
    """Return a shipped recipe for a program at ``url``."""
    recipe = Recipes("studio", urls={name: url}).get(name)
    # Declared as the user's own site, so that neither terms nor robots.txt are involved.
    return replace(recipe, consent=replace(recipe.consent, ownership="own"))


def run_in_browser(work: Callable[[BrowserContext], Awaitable[T]], state: StorageState | None = None) -> T:
    """Run ``work`` with a new context and a timeout."""
    return shared_browser.run(work, state)


async def drive(
    context: BrowserContext, recipe: Recipe, request: JobRequest, images: Mapping[str, InputFile] | None = None
) -> AttemptResult:
    """Run one attempt, from opening the page to collecting the images."""
    result, driver = AttemptResult(), Driver(context, recipe)
    await driver.open(request, images)
    await driver.submit()
    async for update in driver.watch():
        if isinstance(update, Progress):
            result.progress.append(update)
        else:
            result.previews.append(update)
    result.images = await driver.collect_images()
    return result


def run_attempt(
    recipe: Recipe, prompt: str, *, lora: str = "", state: StorageState | None = None, **inputs: object
) -> AttemptResult:
    """Run one attempt in a new context, with inputs as the API receives them."""
    request = JobRequest(recipe.name, prompt, lora or None, recipe.validate_inputs(inputs))
    return run_in_browser(lambda context: drive(context, recipe, request), state)
