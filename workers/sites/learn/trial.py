"""The trial of a learned recipe: one generation on the page, as a worker runs it."""

import asyncio
import io
from collections.abc import Callable

from PIL import Image
from playwright.async_api import BrowserContext, Error

from schemas.errors import DeadlineExceeded, ServiceError, SiteChanged
from schemas.images.input_images import InputFile
from schemas.jobs.job import GeneratedImage, JobRequest, Progress
from schemas.sites.recipe import Recipe
from workers.sites.driver.driver import Driver

TRIAL_PROMPT = "a lighthouse at dusk, oil painting"
TRIAL_IMAGE_SIZE = (512, 512)


async def try_recipe(
    context: BrowserContext, recipe: Recipe, timeout_s: float, report: Callable[[str], None]
) -> list[GeneratedImage]:
    """Run one job with the recipe in a new page of the context, and return its pictures.

    Raises:
        ServiceError: the recipe does not fit the page, or the site failed; its message is the page's own.
    """
    driver = Driver(context, recipe, on_step=report)
    try:
        async with asyncio.timeout(timeout_s):
            images = {name: _trial_image() for name, spec in recipe.image_inputs.items() if spec.required}
            await driver.open(JobRequest(recipe.name, TRIAL_PROMPT, None, recipe.validate_inputs({})), images)
            await driver.submit()
            async for update in driver.watch():
                if isinstance(update, Progress):
                    report(f"progress {update.percentage:g} %")
            return await driver.collect_images()
    except TimeoutError as error:
        raise DeadlineExceeded(f"The trial showed no finished picture within {timeout_s:g} s.") from error
    except Error as error:
        raise SiteChanged(error.message.partition("\n")[0]) from error


def _trial_image() -> InputFile:
    """Return a picture for an app that needs one to begin with."""
    data = io.BytesIO()
    Image.radial_gradient("L").resize(TRIAL_IMAGE_SIZE).convert("RGB").save(data, "PNG")
    return InputFile("darkroom-trial.png", "image/png", data.getvalue())


def describe_failure(error: ServiceError) -> str:
    """Return a failed trial in one sentence."""
    return f"{error.message} ({error.code})"
