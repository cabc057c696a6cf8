"""Attempts that tests steer while they run, each in a context of its own in one browser."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import pytest
from playwright.async_api import Browser, BrowserContext

from schemas.errors import ServiceError
from schemas.images.input_images import InputFile
from schemas.jobs.job import JobRequest, Progress
from schemas.sites.recipe import Recipe
from tests.conftest import eventually
from tests.integration.sites.conftest import AttemptResult, drive
from tests.support.programs.gradio_server import GradioServer
from tests.support.shared_browser import shared_browser
from workers.sites.driver.driver import Driver

T = TypeVar("T")
TIMEOUT_S = 110.0


def run_attempts(work: Callable[[Browser], Awaitable[T]]) -> T:
    """Run ``work`` with a real browser."""
    return shared_browser.run_with_browser(work, TIMEOUT_S)


async def attempt(
    browser: Browser, recipe: Recipe, prompt: str, images: Mapping[str, InputFile] | None = None, **inputs: Any
) -> AttemptResult:
    """Run one attempt to its end."""
    context = await _open_context(browser)
    try:
        return await drive(context, recipe, _request(recipe, prompt, inputs), images)
    finally:
        await context.close()


async def submit(browser: Browser, recipe: Recipe, prompt: str, **inputs: Any) -> Driver:
    """Run an attempt up to its submission."""
    driver = Driver(await _open_context(browser), recipe)
    await driver.open(_request(recipe, prompt, inputs))
    await driver.submit()
    return driver


async def cancel(driver: Driver, condition: Callable[[], bool]) -> str:
    """Watch an attempt until ``condition``, then end it as a cancelled job ends; returns the note about the program."""
    watching = asyncio.ensure_future(_watch(driver))
    await until(condition)
    watching.cancel()
    await asyncio.wait([watching])
    note = await driver.stop_program()
    await driver.page.context.close()
    return note


async def collect(driver: Driver) -> AttemptResult:
    """Watch an attempt to its end, and return its pictures."""
    await _watch(driver)
    return AttemptResult(images=await driver.collect_images())


async def watch_until_progress(driver: Driver) -> None:
    """Watch an attempt until it reports progress."""
    async for update in driver.watch():
        if isinstance(update, Progress):
            return


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that sends requests, while the attempts of this loop go on."""
    await asyncio.to_thread(eventually, condition)


async def lose_program(context: BrowserContext, recipe: Recipe, prompt: str, server: GradioServer) -> ServiceError:
    """Kill a program while it works on a prompt, and start it again; return the error with which the attempt ends."""
    driver = Driver(context, recipe)
    await driver.open(JobRequest(recipe.name, prompt))
    await driver.submit()
    try:
        async for _update in driver.watch():
            if "started" in await asyncio.to_thread(server.events, prompt):
                break
        await asyncio.to_thread(server.kill)
        with pytest.raises(ServiceError) as caught:
            await _watch(driver)
    finally:
        await asyncio.to_thread(server.start)
    return caught.value


async def _open_context(browser: Browser) -> BrowserContext:
    return await browser.new_context(viewport={"width": 1280, "height": 900})


def _request(recipe: Recipe, prompt: str, inputs: Mapping[str, Any]) -> JobRequest:
    return JobRequest(recipe.name, prompt, None, recipe.validate_inputs(inputs))


async def _watch(driver: Driver) -> None:
    async for _update in driver.watch():
        pass
