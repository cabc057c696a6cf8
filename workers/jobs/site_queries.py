"""Answers questions about a site (its LoRAs, its quota, the choices of an input) by reading its page.

A query visits the site under the same rules as a job: accepted terms, credentials, circuit breaker and minimum
interval. Answers are published through ``stores.site_queries``; a failure wakes the waiting requests without one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urljoin

import structlog
from playwright.async_api import BrowserContext

from schemas.errors import ServiceError
from schemas.messages import READ_CHOICES, READ_QUOTA, SEARCH_LORAS
from schemas.sites.recipe import Recipe
from stores import Stores
from workers.browsers.pool import BrowserPool
from workers.jobs.site_access import OnFlood, SiteVisits, authorize_visit
from workers.sites.driver.driver import Driver

QUERY_TIMEOUT_S = 30.0
Query = Callable[[Driver], Awaitable[Any]]

log = structlog.get_logger(__name__)


class SiteQueryRunner:
    """Runs site queries in the browser of one worker."""

    def __init__(self, stores: Stores, browsers: BrowserPool) -> None:
        self._stores = stores
        self._visits = SiteVisits(stores, browsers)

    async def search_loras(self, site: str, query: str) -> None:
        """Search the site's LoRA catalogue for ``query``."""
        recipe = self._stores.recipes.get(site)

        async def search(driver: Driver) -> list[dict[str, Any]]:
            return [_with_public_image(lora, recipe, self._stores) for lora in await driver.search_loras(query)]

        await self._answer(SEARCH_LORAS, recipe, query, search)

    async def read_quota(self, site: str, query: str) -> None:
        """Read the quota that the site shows; ``query`` only identifies the answer."""
        await self._answer(READ_QUOTA, self._stores.recipes.get(site), query, lambda driver: driver.read_quota())

    async def read_choices(self, site: str, input_name: str) -> None:
        """Read the choices that the page offers for an input."""
        await self._answer(
            READ_CHOICES, self._stores.recipes.get(site), input_name, lambda driver: driver.read_choices(input_name)
        )

    async def _answer(self, actor: str, recipe: Recipe, query_text: str, query: Query) -> None:
        site_queries = self._stores.site_queries
        try:
            value = await self._run_query(recipe, query)
        except ServiceError as error:
            log.warning("site_query.failed", actor=actor, site=recipe.name, code=error.code, error=str(error))
            await asyncio.to_thread(site_queries.report_failure, actor, recipe.name, query_text)
        else:
            await asyncio.to_thread(site_queries.store_answer, actor, recipe.name, query_text, value)

    async def _run_query(self, recipe: Recipe, query: Query) -> Any:
        storage_state = await asyncio.to_thread(authorize_visit, self._stores, recipe)

        async def ask(context: BrowserContext, on_flood: OnFlood) -> Any:
            driver = Driver(context, recipe, on_flood=on_flood)
            await driver.open()
            return await query(driver)

        return await self._visits.visit(recipe, storage_state, ask, timeout_s=QUERY_TIMEOUT_S, turn=recipe.name)


def _with_public_image(lora: dict[str, Any], recipe: Recipe, stores: Stores) -> dict[str, Any]:
    """Replace an image address of a bundled page, which exists only in the worker's browser, by a public address."""
    image = lora["image"]
    if image and recipe.bundle and image.startswith(recipe.url):
        image = urljoin(f"{stores.settings.public_url}/{recipe.bundle}/", image.removeprefix(recipe.url))
    return lora | {"image": image}
