"""A page that floods the browser ends its own attempt, and the pages beside it go on."""

import asyncio
import tomllib

import pytest

from ops.testbed import flooding_site
from ops.testbed.flooding_site import run_flooding_site
from schemas.errors import BrowserLost, PageFloods
from schemas.jobs.job import JobRequest
from schemas.sites.recipe import Recipe
from schemas.sites.recipe_schema import load_recipe
from tests.conftest import TIMEOUT_S
from tests.integration.browsers.test_pool import started_pool
from tests.integration.sites.conftest import AttemptResult, drive
from workers.browsers import pool as pool_module
from workers.browsers.pool import BrowserPool

REQUEST = JobRequest("flooding", "a boat")


def flooding_recipe(url: str, kind: str) -> Recipe:
    """Return a recipe for one kind of page of the flooding site."""
    return load_recipe("flooding", tomllib.loads(flooding_site.recipe(url, kind)))


async def attempt(pool: BrowserPool, recipe: Recipe) -> AttemptResult:
    """Run one attempt in a context of its own."""
    async with pool.lease(lambda: None, recipe.direct_hosts) as context:
        return await drive(context, recipe, REQUEST)


async def finish_beside(pool: BrowserPool, url: str, kind: str) -> tuple[int, str]:
    """Run a calm attempt beside a flooding one; returns its number of pictures and how the other one ended."""
    flooding = asyncio.create_task(attempt(pool, flooding_recipe(url, kind)))
    try:
        calm = await attempt(pool, flooding_recipe(url, "calm"))
    except BrowserLost:
        # On a slow machine the browser is replaced, and the job is tried again.
        calm = await attempt(pool, flooding_recipe(url, "calm"))
    if kind not in ENDED:
        flooding.cancel()
    try:
        await flooding
    except (PageFloods, BrowserLost, asyncio.CancelledError) as error:
        return len(calm.images), str(error)
    return len(calm.images), "it did not flood"


ENDED = {"sockets": "messages"}
HARMLESS = ("binding", "console", "dialogs", "tabs", "requests")


@pytest.mark.parametrize("kind", [*ENDED, *HARMLESS])
def test_a_page_that_floods_holds_up_no_other(kind: str) -> None:
    """What the page does too often is dropped at its source, or ends its attempt with the reason."""

    async def work(url: str) -> None:
        async with asyncio.timeout(2 * TIMEOUT_S), started_pool() as pool:
            images, ended = await finish_beside(pool, url, kind)
        assert images == 1
        assert ENDED.get(kind, "") in ended or ended == str(BrowserLost())

    with run_flooding_site() as url:
        asyncio.run(work(url))


def test_the_end_of_a_flooding_page_names_the_cause() -> None:
    """Without a listener, as for commands, the driver itself raises the error."""

    async def work(url: str) -> None:
        recipe = flooding_recipe(url, "sockets")
        async with (
            asyncio.timeout(TIMEOUT_S),
            started_pool() as pool,
            pool.lease(lambda: None, recipe.direct_hosts) as context,
        ):
            with pytest.raises(PageFloods, match="messages a second"):
                await drive(context, recipe, REQUEST)

    with run_flooding_site() as url:
        asyncio.run(work(url))


def test_a_browser_that_does_not_answer_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The running attempts are told that it is lost, and the next context opens in a new browser."""

    async def work() -> None:
        lost = asyncio.Event()
        async with asyncio.timeout(2 * TIMEOUT_S), started_pool() as pool:
            await pool.ping()
            assert pool.launch_count == 1
            async with pool.lease(lost.set):
                monkeypatch.setattr(pool_module, "PING_TIMEOUT_S", 0.0)
                await pool.ping()
                monkeypatch.undo()
                await lost.wait()
            async with pool.lease(lambda: None) as context:
                await context.new_page()
            assert pool.launch_count == 2

    asyncio.run(work())
