"""Downloads of a page: those that the recipe asks for are limited while they arrive, and all others are refused."""

import asyncio
import tomllib

import pytest

from ops.testbed import flooding_site
from ops.testbed.flooding_site import run_flooding_site
from schemas.errors import ResultRefused
from schemas.jobs.job import JobRequest
from schemas.sites.recipe import Recipe
from schemas.sites.recipe_schema import load_recipe
from tests.conftest import TIMEOUT_S
from tests.integration.browsers.test_pool import started_pool
from tests.integration.sites.conftest import drive, run_in_browser
from workers.images.convert import MAX_IMAGE_BYTES
from workers.sites.driver.driver import Driver


def download_recipe(url: str, kind: str) -> Recipe:
    """Return a recipe for the flooding site whose pictures are downloaded files."""
    capture = {"source": "download", "steps": [{"type": "click", "selectors": ["#save"]}]}
    return load_recipe("downloads", {**tomllib.loads(flooding_site.recipe(url, kind)), "capture": capture})


def test_an_endless_download_ends_at_the_maximum_size() -> None:
    """The download is cancelled while it arrives, and the error names the limit."""
    with run_flooding_site() as url:
        recipe = download_recipe(url, "calm")
        with pytest.raises(ResultRefused, match=f"{MAX_IMAGE_BYTES:,}"):
            run_in_browser(lambda context: drive(context, recipe, JobRequest("downloads", "a boat")))


@pytest.mark.parametrize("accepts_downloads", [True, False])
def test_downloads_that_no_recipe_asks_for_are_refused(*, accepts_downloads: bool) -> None:
    """A page that starts downloads writes nothing, whether or not its recipe takes pictures from downloads."""

    async def count_refused(url: str) -> int:
        recipe = download_recipe(url, "downloads")
        async with (
            asyncio.timeout(TIMEOUT_S),
            started_pool() as pool,
            pool.lease(lambda: None, recipe.direct_hosts, accepts_downloads=accepts_downloads) as context,
        ):
            driver = Driver(context, recipe)
            await driver.open(JobRequest("downloads", "a boat"))
            async with driver.page.expect_download() as first:
                await driver.submit()
            async with driver.page.expect_download() as second:
                pass
            failures = [await (await download.value).failure() for download in (first, second)]
        return sum(failure is not None for failure in failures)

    with run_flooding_site() as url:
        assert asyncio.run(count_refused(url)) == 2
