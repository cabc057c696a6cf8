"""What a page may not load, in a real browser; and the manners towards sites that are not the user's own."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import urlsplit

import pytest
from playwright.async_api import BrowserContext

from schemas.errors import RobotsDisallowed, ServiceError, SiteBusy, SiteUnavailable
from schemas.jobs.job import JobRequest
from schemas.sites.recipe import ConsentSpec, Recipe
from tests.integration.sites.conftest import run_in_browser
from tests.support.fake_site import fake_site_recipe, serve_fake_site
from workers.sites.driver.driver import Driver
from workers.sites.policy.request_blocking import block_requests, blocked_url_patterns
from workers.sites.policy.robots import MAX_PAUSE_S, PolitenessPolicy, retry_after_seconds

CACHED = """async (url) => {
  for (let i = 0; i < 2; i++) await (await fetch(url, { cache: "force-cache" })).blob();
  return performance.getEntriesByName(url).map((entry) => entry.transferSize > 0);
}"""
FETCH = "url => fetch(url, { mode: 'no-cors' }).then(() => 'loaded', () => 'failed')"
REFUSED = [
    "http://localhost:{port}/other.png",
    "http://127.0.0.2:{port}/other.png",
    "http://127.1.0.1:{port}/other.png",
    "http://10.1.2.3/",
    "http://192.168.1.1/",
    "http://172.31.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00::1]/",
    "http://2130706434:{port}/other.png",
    "http://metadata.internal/",
    "https://www.google-analytics.com/collect",
    "http://127.0.0.1:{port}/face.woff2",
    "http://127.0.0.1:{port}/face.woff2?version=2",
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A running fake site."""
    with serve_fake_site() as address:
        yield address


@pytest.mark.parametrize("target", REFUSED)
def test_what_a_page_may_not_reach_is_refused_by_the_browser(address: str, target: str) -> None:
    """And not by chance: the browser says that it was told to."""
    url = target.format(port=urlsplit(address).port)

    async def fetch(context: BrowserContext) -> list[str | None]:
        failures: list[str | None] = []
        page = await context.new_page()
        page.on("requestfailed", lambda request: failures.append(request.failure))
        await block_requests(page, replace(fake_site_recipe(address), hosts=()))
        await page.goto(address)
        assert await page.evaluate(FETCH, url) == "failed"
        return failures

    assert ["inspector"] == run_in_browser(fetch)


def test_its_own_host_and_those_of_its_recipe_are_reached(address: str) -> None:
    """Private or not; the cache stays on, and the browser still says that it is driven."""

    async def fetch(context: BrowserContext) -> tuple[list[str], list[bool], bool]:
        page = await context.new_page()
        await block_requests(page, fake_site_recipe(address))
        await page.goto(address)
        own = f"{address}/other.png"
        other = own.replace("127.0.0.1", "localhost")
        reached = [await page.evaluate(FETCH, url) for url in (own, other)]
        return reached, await page.evaluate(CACHED, f"{own}?cached"), await page.evaluate("navigator.webdriver")

    assert (["loaded", "loaded"], [True, False], True) == run_in_browser(fetch)


def test_public_pages_reach_no_private_address_at_all() -> None:
    """Without exceptions the list is short."""
    refused = blocked_url_patterns(replace(fake_site_recipe("http://127.0.0.1"), url="https://example.com/", hosts=()))

    assert {"*://127.*", "*://10.*", "*://192.168.*", "*://localhost:*"} <= set(refused)
    assert len(refused) < 100


def third_party_recipe(address: str, path: str = "/") -> Recipe:
    """The fake site, as somebody else's."""
    PolitenessPolicy._robots_cache.clear()
    return replace(fake_site_recipe(address, path=path), consent=ConsentSpec("terms", "https://example.com/terms"))


def open_and_catch(recipe: Recipe) -> ServiceError | None:
    """Open a site's page; what was in the way."""

    async def run(context: BrowserContext) -> ServiceError | None:
        driver = Driver(context, recipe)
        try:
            await driver.open(JobRequest("fake", "a harbour"))
        except ServiceError as error:
            return error
        return None

    return run_in_browser(run)


def test_robots_txt_is_obeyed_on_the_pages_of_others(address: str) -> None:
    """What it forbids is not visited; what it does not speak of is; one's own page is never asked about."""
    forbidden = open_and_catch(third_party_recipe(address, "/private/"))

    assert isinstance(forbidden, RobotsDisallowed)
    assert "robots.txt" in forbidden.message
    assert open_and_catch(third_party_recipe(address)) is None
    assert open_and_catch(fake_site_recipe(address, path="/private/")) is None


def test_a_robots_txt_that_cannot_be_read_forbids_for_now(address: str) -> None:
    """Nobody knows what it says."""
    PolitenessPolicy._robots_cache.clear()

    assert isinstance(open_and_catch(third_party_recipe("http://127.0.0.1:9")), SiteUnavailable)


@pytest.mark.parametrize(("path", "seconds"), [("/busy", 7), ("/busy-date", 60), ("/busy-silent", 60)])
def test_a_site_that_wants_to_be_left_alone_says_how_long(address: str, path: str, seconds: int) -> None:
    """By Retry-After in both its forms, or without."""
    error = open_and_catch(fake_site_recipe(address, path=path))

    assert isinstance(error, SiteBusy)
    assert error.retry_after_s is not None
    assert abs(seconds - error.retry_after_s) <= 2


def test_a_site_that_is_busy_while_it_paints(address: str) -> None:
    """A 429 to what the page itself asks for ends the wait for its picture."""

    async def run(context: BrowserContext) -> None:
        driver = Driver(context, fake_site_recipe(address, "busy"))
        await driver.open(JobRequest("fake", "a harbour"))
        await driver.submit()
        async with asyncio.timeout(10):
            async for _ in driver.watch():
                pass

    with pytest.raises(SiteBusy, match="7 s"):
        run_in_browser(run)


def test_pauses_are_bounded() -> None:
    """A site cannot ask for a year."""
    later = format_datetime(datetime.now(UTC) + timedelta(days=365), usegmt=True)

    assert [MAX_PAUSE_S, MAX_PAUSE_S, 1, 60, 60] == [
        retry_after_seconds(asked) for asked in ("99999999", later, "-5", "soon", None)
    ]
