"""The answering of questions about a site (its LoRAs, its quota) by looking at its page."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urljoin

import structlog

from schemas.errors import BrowserLost, ServiceError, SiteBusy, SiteUnavailable
from schemas.messages import READ_CHOICES, READ_QUOTA, SEARCH_LORAS
from schemas.sites.recipe import Recipe
from stores import Stores
from workers.browsers.pool import BrowserPool
from workers.sites.driver.driver import Driver

QUERY_TIMEOUT_S = 30.0
MAX_TURN_WAIT_MS = 5_000
Query = Callable[[Driver], Awaitable[Any]]

log = structlog.get_logger(__name__)


class SiteQueryRunner:
    """Answers by one worker's browser."""

    def __init__(self, stores: Stores, browsers: BrowserPool) -> None:
        """Nothing is opened yet."""
        self._stores = stores
        self._browsers = browsers

    async def search_loras(self, site: str, query: str) -> None:
        """Look ``words`` up in the site's catalogue."""
        recipe = self._stores.recipes.get(site)

        async def search(driver: Driver) -> list[dict[str, Any]]:
            return [_with_public_image(lora, recipe, self._stores) for lora in await driver.search_loras(query)]

        await self._answer(SEARCH_LORAS, recipe, query, search)

    async def read_quota(self, site: str, query: str) -> None:
        """Read the quota that the site shows."""
        await self._answer(READ_QUOTA, self._stores.recipes.get(site), query, lambda driver: driver.read_quota())

    async def read_choices(self, site: str, input_name: str) -> None:
        """Read what the page offers for the input ``words``."""
        await self._answer(
            READ_CHOICES, self._stores.recipes.get(site), input_name, lambda driver: driver.read_choices(input_name)
        )

    async def _answer(self, actor: str, recipe: Recipe, words: str, question: Query) -> None:
        lookups = self._stores.site_queries
        try:
            value = await self._run_query(recipe, question)
        except ServiceError as error:
            log.warning("lookup.failed", actor=actor, site=recipe.name, code=error.code, error=error.message)
            if isinstance(error, SiteBusy) and error.retry_after_s:
                until_ms = self._stores.clock.now_ms() + 1000 * error.retry_after_s
                await asyncio.to_thread(self._stores.circuit_breakers.pause, recipe.name, until_ms)
            await asyncio.to_thread(lookups.report_failure, actor, recipe.name, words)
        else:
            await asyncio.to_thread(lookups.store_answer, actor, recipe.name, words, value)

    async def _run_query(self, recipe: Recipe, question: Query) -> Any:
        looking = asyncio.current_task()
        lost = False

        def interrupt() -> None:
            nonlocal lost
            lost = True
            if looking:
                looking.cancel()

        await self._wait_for_turn(recipe)
        try:
            state = await asyncio.to_thread(self._stores.credentials.load, recipe)
            async with (
                asyncio.timeout(QUERY_TIMEOUT_S),
                self._browsers.lease(interrupt, recipe.direct_hosts, state) as context,
            ):
                driver = Driver(context, recipe)
                await driver.open()
                return await question(driver)
        except TimeoutError as error:
            raise SiteUnavailable(f"{recipe.name} did not answer within {QUERY_TIMEOUT_S:g} s.") from error
        except asyncio.CancelledError:
            if lost and looking:
                looking.uncancel()
                raise BrowserLost from None
            raise

    async def _wait_for_turn(self, recipe: Recipe) -> None:
        """See that the site is visited no sooner after the last visit, and no more willingly, than for a job.

        Raises:
            SiteBusy: its circuit is open, or it wants to be left alone for longer than anybody waits.
            Forbidden: nobody has accepted its terms.
        """
        await asyncio.to_thread(self._stores.accepted_terms.require, recipe)
        circuits, clock = self._stores.circuit_breakers, self._stores.clock
        circuit = (await asyncio.to_thread(circuits.read, [recipe.name]))[recipe.name]
        wait_ms = await asyncio.to_thread(circuits.get_paused_until, recipe.name) - clock.now_ms()
        if circuit.is_open or wait_ms > MAX_TURN_WAIT_MS:
            raise SiteBusy(f"{recipe.name} is left alone just now: {circuit.error or 'it asked for it'}.")
        await asyncio.sleep(max(0, wait_ms) / 1000)
        interval_ms = round(1000 * self._stores.recipes.get_limits(recipe.name).min_interval_s)
        await asyncio.to_thread(circuits.pause, recipe.name, clock.now_ms() + interval_ms)


def _with_public_image(lora: dict[str, Any], recipe: Recipe, stores: Stores) -> dict[str, Any]:
    """A bundled page's own address means nothing to a client: its files are also served by the API."""
    image = lora["image"]
    if image and recipe.bundle and image.startswith(recipe.url):
        image = urljoin(f"{stores.settings.public_url}/{recipe.bundle}/", image.removeprefix(recipe.url))
    return lora | {"image": image}
