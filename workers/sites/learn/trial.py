"""The trial of a learned recipe: one generation on the page, in a browser as workers use it."""

import asyncio
from collections.abc import Callable

from playwright.async_api import Error

from ops.infra.settings import Settings
from schemas.errors import DeadlineExceeded, ServiceError, SiteChanged
from schemas.jobs.job import GeneratedImage, JobRequest, Progress
from schemas.sites.recipe import Recipe
from workers.sites.cli.browser_session import DisplayOptions, open_browser_context
from workers.sites.driver.driver import Driver

TRIAL_PROMPT = "a lighthouse at dusk, oil painting"


async def try_recipe(
    settings: Settings, recipe: Recipe, report: Callable[[str], None], timeout_s: float
) -> list[GeneratedImage]:
    """Run one job with the recipe and return its pictures.

    Raises:
        ServiceError: the recipe does not fit the page, or the site failed; its message is the page's own.
    """
    async with open_browser_context(settings, recipe, None, DisplayOptions()) as context:
        driver = Driver(context, recipe, on_step=report)
        try:
            async with asyncio.timeout(timeout_s):
                await driver.open(JobRequest(recipe.name, TRIAL_PROMPT, None, recipe.validate_inputs({})))
                await driver.submit()
                async for update in driver.watch():
                    if isinstance(update, Progress):
                        report(f"progress {update.percentage:g} %")
                return await driver.collect_images()
        except TimeoutError as error:
            raise DeadlineExceeded(f"The trial showed no finished picture within {timeout_s:g} s.") from error
        except Error as error:
            raise SiteChanged(error.message.partition("\n")[0]) from error


def describe_failure(error: ServiceError) -> str:
    """Return a failed trial in one sentence."""
    return f"{error.message} ({error.code})"
