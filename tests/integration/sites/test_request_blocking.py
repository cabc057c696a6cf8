"""Blocked requests, in a real browser, and politeness towards third-party sites."""

import asyncio
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
from tests.support.fake_site import fake_site_recipe
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
    "http://127.0.0.1:{port}/sounds/sound.flac?version=2",
    "http://127.0.0.1:{port}/clips/clip.avi",
]
# Addresses that only begin or contain what others end with.
ALLOWED = ("picture.avif", "picture.avif?x=1", "x.movies/picture.png", "film.mp4", "film.webm", "a.wave/b.ttfx")


@pytest.mark.parametrize("target", REFUSED)
def test_forbidden_addresses_are_blocked_by_the_browser(fake_site: str, target: str) -> None:
    """The failure reason proves that the block list is the cause."""
    url = target.format(port=urlsplit(fake_site).port)

    async def fetch(context: BrowserContext) -> list[str | None]:
        failures: list[str | None] = []
        page = await context.new_page()
        page.on("requestfailed", lambda request: failures.append(request.failure))
        await block_requests(page, replace(fake_site_recipe(fake_site), hosts=()))
        await page.goto(fake_site)
        assert await page.evaluate(FETCH, url) == "failed"
        return failures

    assert ["net::ERR_BLOCKED_BY_CLIENT.Inspector"] == run_in_browser(fetch)


def test_the_sites_own_hosts_are_reached(fake_site: str) -> None:
    """They may be private; the HTTP cache stays enabled, and navigator.webdriver stays true."""

    async def fetch(context: BrowserContext) -> tuple[list[str], list[bool], bool]:
        page = await context.new_page()
        await block_requests(page, fake_site_recipe(fake_site))
        await page.goto(fake_site)
        own = f"{fake_site}/other.png"
        other = own.replace("127.0.0.1", "localhost")
        reached = [
            await page.evaluate(FETCH, url) for url in (own, other, *(f"{fake_site}/{path}" for path in ALLOWED))
        ]
        return reached, await page.evaluate(CACHED, f"{own}?cached"), await page.evaluate("navigator.webdriver")

    assert (["loaded"] * (2 + len(ALLOWED)), [True, False], True) == run_in_browser(fetch)


def test_public_sites_reach_no_private_address() -> None:
    """Without allowed private hosts the list is short."""
    blocked = blocked_url_patterns(replace(fake_site_recipe("http://127.0.0.1"), url="https://example.com/", hosts=()))

    assert {"*://127.*", "*://10.*", "*://192.168.*", "*://localhost:*"} <= set(blocked)
    assert len(blocked) < 100


def third_party_recipe(fake_site: str, path: str = "/") -> Recipe:
    """Return a recipe that treats the fake site as a third party's, with an empty robots.txt cache."""
    PolitenessPolicy._robots_cache.clear()
    return replace(fake_site_recipe(fake_site, path=path), consent=ConsentSpec("terms", "https://example.com/terms"))


def open_and_catch(recipe: Recipe) -> ServiceError | None:
    """Open a site's page; returns the error, or None."""

    async def run(context: BrowserContext) -> ServiceError | None:
        driver = Driver(context, recipe)
        try:
            await driver.open(JobRequest("fake", "a harbour"))
        except ServiceError as error:
            return error
        return None

    return run_in_browser(run)


def test_robots_txt_is_obeyed_on_third_party_sites(fake_site: str) -> None:
    """Disallowed pages are not opened, others are; robots.txt of the user's own site is ignored."""
    error = open_and_catch(third_party_recipe(fake_site, "/private/"))

    assert isinstance(error, RobotsDisallowed)
    assert "robots.txt" in error.message
    assert open_and_catch(third_party_recipe(fake_site)) is None
    assert open_and_catch(fake_site_recipe(fake_site, path="/private/")) is None


def test_an_unreachable_robots_txt_makes_the_site_unavailable() -> None:
    """Its rules are unknown, so the page is not opened."""
    PolitenessPolicy._robots_cache.clear()

    assert isinstance(open_and_catch(third_party_recipe("http://127.0.0.1:9")), SiteUnavailable)


@pytest.mark.parametrize(("path", "seconds"), [("/busy", 7), ("/busy-date", 60), ("/busy-silent", 60)])
def test_a_busy_site_says_how_long_to_pause(fake_site: str, path: str, seconds: int) -> None:
    """Retry-After is read in both forms; without it the default applies."""
    error = open_and_catch(fake_site_recipe(fake_site, path=path))

    assert isinstance(error, SiteBusy)
    assert error.retry_after_s is not None
    assert abs(seconds - error.retry_after_s) <= 2


def test_a_429_while_generating_ends_the_attempt(fake_site: str) -> None:
    """The 429 answers a request of the page's own script."""

    async def run(context: BrowserContext) -> None:
        driver = Driver(context, fake_site_recipe(fake_site, "busy"))
        await driver.open(JobRequest("fake", "a harbour"))
        await driver.submit()
        async with asyncio.timeout(60):
            async for _ in driver.watch():
                pass

    with pytest.raises(SiteBusy, match="7 s"):
        run_in_browser(run)


def test_pauses_are_bounded() -> None:
    """A site cannot ask for a year; a malformed header means the default."""
    later = format_datetime(datetime.now(UTC) + timedelta(days=365), usegmt=True)

    assert [MAX_PAUSE_S, MAX_PAUSE_S, 1, 1, 60, 60] == [
        retry_after_seconds(header) for header in ("99999999", later, "0", "-5", "soon", None)
    ]
